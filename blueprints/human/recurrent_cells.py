"""Human blueprints that write a recurrent cell out as a scan, step by step."""

from blueprints.human.entry import HumanBlueprint

RECURRENT_CELLS: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "rnn_cell",
        "recurrent cell",
        "Elman 1990",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 LINEAR OUT_DIM_IN TANH SCAN_END",
    ),
    HumanBlueprint(
        "relu_rnn_cell",
        "recurrent cell",
        "Le et al. 2015, without its start at the identity",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 LINEAR OUT_DIM_IN RELU SCAN_END",
    ),
    HumanBlueprint(
        "layernorm_rnn_cell",
        "recurrent cell",
        "Ba et al. 2016, on layer norm",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 LINEAR OUT_DIM_IN LAYERNORM TANH SCAN_END",
    ),
    HumanBlueprint(
        "narx_cell",
        "recurrent cell",
        "Lin et al. 1996, three delays",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 CONCAT STATE_1 CONCAT STATE_2 LINEAR OUT_DIM_IN TANH SCAN_END",
    ),
    HumanBlueprint(
        "multiplicative_rnn_cell",
        "recurrent cell",
        "Sutskever et al. 2011",
        "SCAN_START OUT_DIM_IN BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP BRANCH_START LINEAR OUT_DIM_IN "
        "BRANCH_SEP LOAD STATE_0 LINEAR OUT_DIM_IN MERGE_MUL LINEAR OUT_DIM_IN MERGE_ADD TANH SCAN_END",
    ),
    HumanBlueprint(
        "ind_rnn_cell",
        "recurrent cell",
        "Li et al. 2018, with a tanh for its ReLU",
        "SCAN_START OUT_DIM_IN LINEAR OUT_DIM_IN SAVE TAP_0 LOAD STATE_0 SCALE ADD TAP_0 TANH SCAN_END",
    ),
    HumanBlueprint(
        "gru_cell",
        "recurrent cell",
        "Cho et al. 2014, with the reset gate behind the product",
        "SCAN_START OUT_DIM_IN BRANCH_START CONCAT STATE_0 LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LOAD STATE_0 "
        "BRANCH_SEP BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP BRANCH_START CONCAT STATE_0 LINEAR OUT_DIM_IN "
        "SIGMOID BRANCH_SEP LOAD STATE_0 LINEAR OUT_DIM_IN MERGE_MUL MERGE_ADD TANH MERGE_BLEND SCAN_END",
    ),
    HumanBlueprint(
        "gru_cell_reset_first",
        "recurrent cell",
        "Cho et al. 2014",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 CONCAT STATE_0 SAVE TAP_1 LINEAR OUT_DIM_IN SIGMOID MUL STATE_0 "
        "CONCAT TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_2 LOAD TAP_1 LINEAR OUT_DIM_IN SIGMOID "
        "BLEND STATE_0 TAP_2 SCAN_END",
    ),
    HumanBlueprint(
        "minimal_gated_unit",
        "recurrent cell",
        "Zhou et al. 2016",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 CONCAT STATE_0 LINEAR OUT_DIM_IN SIGMOID SAVE TAP_1 MUL STATE_0 "
        "CONCAT TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_2 LOAD TAP_1 BLEND TAP_2 STATE_0 SCAN_END",
    ),
    HumanBlueprint(
        "update_gate_rnn_cell",
        "recurrent cell",
        "Collins et al. 2017",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID BLEND STATE_0 TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "fast_grnn_cell",
        "recurrent cell",
        "Kusupati et al. 2018, with one bias and without its two scalars",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 LINEAR OUT_DIM_IN BRANCH_START SIGMOID BRANCH_SEP LOAD STATE_0 "
        "BRANCH_SEP TANH MERGE_BLEND SCAN_END",
    ),
    HumanBlueprint(
        "mutated_gru_cell",
        "recurrent cell",
        "Jozefowicz et al. 2015, MUT1",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 CONCAT STATE_0 LINEAR OUT_DIM_IN SIGMOID MUL STATE_0 "
        "LINEAR OUT_DIM_IN SAVE TAP_1 LOAD TAP_0 TANH ADD TAP_1 TANH SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN "
        "SIGMOID BLEND TAP_1 STATE_0 SCAN_END",
    ),
    HumanBlueprint(
        "recurrent_highway_cell",
        "recurrent cell",
        "Zilly et al. 2017, depth two",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID BLEND TAP_1 STATE_0 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP "
        "LINEAR OUT_DIM_IN TANH BRANCH_SEP MERGE_BLEND SCAN_END",
    ),
    HumanBlueprint(
        "lstm_cell",
        "recurrent cell",
        "Hochreiter and Schmidhuber 1997; Gers et al. 2000",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL STATE_1 SAVE TAP_1 "
        "LOAD TAP_0 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LINEAR OUT_DIM_IN TANH MERGE_MUL "
        "ADD TAP_1 SAVE STATE_1 TANH SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "lstm_cell_coupled",
        "recurrent cell",
        "Greff et al. 2017, coupled input and forget gates, without peepholes",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID BLEND STATE_1 TAP_1 SAVE STATE_1 TANH SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID MUL TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "lstm_cell_no_forget",
        "recurrent cell",
        "Hochreiter and Schmidhuber 1997, before the forget gate",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP "
        "LINEAR OUT_DIM_IN TANH MERGE_MUL ADD STATE_1 SAVE STATE_1 TANH SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID MUL TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "lstm_cell_peephole",
        "recurrent cell",
        "Gers and Schmidhuber 2000, with full maps for its diagonal peepholes and an output gate that sees "
        "the earlier state",
        "SCAN_START OUT_DIM_IN CONCAT STATE_0 CONCAT STATE_1 SAVE TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL "
        "STATE_1 SAVE TAP_1 LOAD TAP_0 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LINEAR OUT_DIM_IN "
        "TANH MERGE_MUL ADD TAP_1 SAVE STATE_1 TANH SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL "
        "TAP_1 SCAN_END",
    ),
    HumanBlueprint(
        "sru_cell",
        "recurrent cell",
        "Lei et al. 2018",
        "SCAN_START OUT_DIM_IN SAVE TAP_0 LINEAR OUT_DIM_IN SAVE TAP_1 LOAD STATE_1 SCALE ADD TAP_1 SIGMOID "
        "SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SAVE TAP_2 LOAD TAP_1 BLEND STATE_1 TAP_2 SAVE STATE_1 "
        "SAVE TAP_1 LOAD STATE_1 SCALE SAVE TAP_3 LOAD TAP_0 LINEAR OUT_DIM_IN ADD TAP_3 SIGMOID "
        "BLEND TAP_1 TAP_0 SCAN_END",
    ),
    HumanBlueprint(
        "qrnn",
        "recurrent cell",
        "Bradbury et al. 2017, kernel size 2",
        "SAVE TAP_0 SHIFT CONCAT TAP_0 SCAN_START OUT_DIM_IN SAVE TAP_0 LINEAR OUT_DIM_IN TANH SAVE TAP_1 "
        "LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID BLEND STATE_1 TAP_1 SAVE STATE_1 SAVE TAP_1 LOAD TAP_0 "
        "LINEAR OUT_DIM_IN SIGMOID MUL TAP_1 SCAN_END",
    ),
)
