"""Human blueprints after the brain: plasticity, sparse and normalised codes, feedback, neurons and cortex."""

from blueprints.human.entry import HumanBlueprint

BRAIN: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "k_winners_mlp",
        "brain",
        "Ahmad and Scheinkman 2019, with dense weights and without boosting",
        "LINEAR OUT_DIM_QUAD KWINNERS KEEP_QUARTER LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "k_winners_conv",
        "brain",
        "Ahmad and Scheinkman 2019, with dense weights and without boosting",
        "CONV1D KERNEL_5 CHANNELS_DOUBLE KWINNERS KEEP_HALF LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "active_dendrites",
        "brain",
        "Iyer et al. 2022, with the sequence's mean for its context and one segment a neuron",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP POOL_MEAN LINEAR OUT_DIM_DOUBLE SIGMOID MERGE_MUL "
        "KWINNERS KEEP_QUARTER LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "two_layer_neuron",
        "brain",
        "Poirazi et al. 2003",
        "LINEAR OUT_DIM_QUAD SIGMOID LINEAR OUT_DIM_IN SIGMOID",
    ),
    HumanBlueprint(
        "fast_weights",
        "brain",
        "Ba et al. 2016, on fast weights, without its recurrent net",
        "HEBBIAN LAYERNORM RELU",
    ),
    HumanBlueprint(
        "hebbian_plasticity",
        "brain",
        "Miconi et al. 2018, with learned maps to what it associates",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP HEBBIAN SCALE MERGE_ADD TANH",
    ),
    HumanBlueprint(
        "neuromodulated_plasticity",
        "brain",
        "Miconi et al. 2019, with a gate on what is read for one on what is written",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP BRANCH_START HEBBIAN BRANCH_SEP LINEAR OUT_DIM_IN SIGMOID "
        "MERGE_MUL MERGE_ADD TANH",
    ),
    HumanBlueprint(
        "divisive_normalization",
        "brain",
        "Carandini and Heeger 2012, one pool of all features",
        "LINEAR OUT_DIM_DOUBLE SQUARE_RELU RMSNORM LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "energy_model",
        "brain",
        "Adelson and Bergen 1985, with learned filters",
        "CONV1D KERNEL_7 CHANNELS_DOUBLE SAVE TAP_0 MUL TAP_0 LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "motion_detector",
        "brain",
        "Hassenstein and Reichardt 1956, with a delay for its low-pass filter",
        "BRANCH_START LINEAR OUT_DIM_IN SHIFT BRANCH_SEP LINEAR OUT_DIM_IN MERGE_MUL LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "predictive_coding",
        "brain",
        "Rao and Ballard 1999, over time, with a learned sign for its difference and a tanh",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 LOAD STATE_0 LINEAR OUT_DIM_IN ADD TAP_0 LINEAR OUT_DIM_IN "
        "ADD STATE_0 TANH SCAN_END",
    ),
    HumanBlueprint(
        "leaky_integrator",
        "brain",
        "Jaeger et al. 2007, trained, with a leak that the input sets",
        "SCAN_START OUT_DIM_IN BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LOAD STATE_0 BRANCH_SEP "
        "CONCAT STATE_0 LINEAR OUT_DIM_IN TANH MERGE_BLEND SCAN_END",
    ),
    HumanBlueprint(
        "closed_form_continuous",
        "brain",
        "Hasani et al. 2022, without a backbone, at unit time steps",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP "
        "LINEAR OUT_DIM_IN TANH BRANCH_SEP LINEAR OUT_DIM_IN TANH MERGE_BLEND SCAN_END",
    ),
    HumanBlueprint(
        "sub_lstm_cell",
        "brain",
        "Costa et al. 2017, with learned gains for its two subtractions",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN SIGMOID SCALE SAVE TAP_1 LOAD "
        "TAP_0 LINEAR OUT_DIM_IN SIGMOID ADD TAP_1 SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL "
        "STATE_1 ADD TAP_1 SAVE STATE_1 SIGMOID SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID SCALE ADD "
        "TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "legendre_memory_cell",
        "brain",
        "Voelker et al. 2019, with a learned memory of the input itself",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 CONCAT STATE_1 LINEAR OUT_DIM_IN SAVE STATE_1 CONCAT TAP_0 "
        "CONCAT STATE_0 LINEAR OUT_DIM_IN TANH SCAN_END",
    ),
    HumanBlueprint(
        "tied_resnet",
        "brain",
        "Liao and Poggio 2016",
        "LOOP_START REPEAT_3 RES_START LAYERNORM RELU LINEAR OUT_DIM_IN RES_END LOOP_END",
    ),
    HumanBlueprint(
        "recurrent_conv",
        "brain",
        "Liang and Hu 2015, three steps, with a residual for its feed-forward input, causal",
        "CONV1D KERNEL_3 CHANNELS_IN RELU LOOP_START REPEAT_3 RES_START CONV1D KERNEL_3 CHANNELS_IN RELU "
        "LAYERNORM RES_END LOOP_END",
    ),
    HumanBlueprint(
        "hopfield_retrieval",
        "brain",
        "Ramsauer et al. 2021, two steps with projections in each of them",
        "LOOP_START REPEAT_2 LAYERNORM ATTENTION HEADS_1 FULL LOOP_END",
    ),
)
