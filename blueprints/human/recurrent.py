"""Human blueprints around the ready-made recurrent ops, GRU and LSTM; cells written out stand elsewhere."""

from blueprints.human.entry import HumanBlueprint

RECURRENT: tuple[HumanBlueprint, ...] = (
    HumanBlueprint("gru", "recurrent", "Cho et al. 2014", "GRU"),
    HumanBlueprint("gru_last", "recurrent", "Cho et al. 2014", "GRU POOL_LAST"),
    HumanBlueprint("residual_gru", "recurrent", "Kim et al. 2017", "RES_START GRU LINEAR OUT_DIM_IN RES_END"),
    HumanBlueprint(
        "conv_gru", "recurrent", "Amodei et al. 2016", "CONV1D KERNEL_3 CHANNELS_IN RELU GRU POOL_LAST"
    ),
    HumanBlueprint("lstm", "recurrent", "Hochreiter and Schmidhuber 1997; Gers et al. 2000", "LSTM"),
    HumanBlueprint("lstm_last", "recurrent", "Sutskever et al. 2014, its encoder", "LSTM POOL_LAST"),
    HumanBlueprint("stacked_lstm", "recurrent", "Graves et al. 2013", "LSTM LSTM"),
    HumanBlueprint(
        "residual_lstm",
        "recurrent",
        "Wu et al. 2016, two layers",
        "RES_START LSTM RES_END RES_START LSTM RES_END",
    ),
    HumanBlueprint(
        "prenorm_lstm", "recurrent", "Merity 2019, its recurrent half", "RES_START LAYERNORM LSTM RES_END"
    ),
    HumanBlueprint(
        "conv_lstm_mlp",
        "recurrent",
        "Sainath et al. 2015",
        "CONV1D KERNEL_5 CHANNELS_IN RELU LSTM LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "lstm_attention",
        "recurrent",
        "Merity 2019, with a learned map down in its MLP",
        "RES_START LAYERNORM LSTM RES_END RES_START LAYERNORM ATTENTION HEADS_1 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "gru_mlp",
        "recurrent",
        "De et al. 2024, with a GRU for its recurrence",
        "RES_START RMSNORM GRU RES_END RES_START RMSNORM BRANCH_START LINEAR OUT_DIM_DOUBLE GELU BRANCH_SEP "
        "LINEAR OUT_DIM_DOUBLE MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
)
