"""Questions with the cards that answer them, by which retrieval is judged; written before it was measured."""

from tamiyo.expansion.retrieval import Index, Method

#: Question to slugs of cards of which any one answers it.
QUERIES: dict[str, tuple[str, ...]] = {
    "how do I keep gradients flowing through a very deep stack": ("residual-connection", "highway", "rezero"),
    "normalise before or after the residual sum": ("pre-norm", "post-norm", "sandwich-norm"),
    "cheaper alternative to layer norm without subtracting the mean": ("rms-norm",),
    "small learnable gain on the residual branch": ("layer-scale", "rezero", "skip-init"),
    "train residual networks without any normalization": ("fixup-initialisation", "skip-init", "rezero"),
    "gated MLP used in LLaMA": ("swiglu", "glu"),
    "activation found by architecture search for language models": ("squared-relu",),
    "multiply two linear projections": ("bilinear-layer", "glu"),
    "sparse activations only the largest units stay active": ("k-winners",),
    "several experts weighted by a softmax gate": ("mixture-of-experts", "sparse-routing"),
    "channel attention from global average pooling": ("squeeze-and-excitation", "global-context"),
    "convolution that does not look into the future": (
        "causal-convolution",
        "temporal-convolutional-network",
    ),
    "increase receptive field exponentially with few layers": ("dilated-convolution",),
    "replace an RNN by convolutions": ("temporal-convolutional-network",),
    "mobile networks with cheap convolutions": ("depthwise-separable-convolution", "inverted-bottleneck"),
    "raw audio generation gated tanh": ("wavenet-gate",),
    "previous token features mixed in without parameters": ("token-shift",),
    "rotate queries and keys by position": ("rotary-positions",),
    "extrapolate to longer sequences than in training": ("alibi", "sinusoidal-positions"),
    "does a recurrent block need position embeddings": ("no-positions",),
    "table of position vectors added to embeddings": ("learned-positions",),
    "attention in linear time as an RNN": ("linear-attention",),
    "associative memory with Hebbian updates": ("fast-weights", "delta-rule"),
    "state space model with long convolution kernels": ("s4",),
    "selective scan with input dependent step size": ("mamba",),
    "solving parity with a linear recurrence": ("signed-gates",),
    "complex diagonal recurrence on the unit circle": ("linear-recurrent-unit",),
    "memory cell with input, forget and output gates": ("lstm",),
    "recurrent unit with reset and update gate": ("gru",),
    "bias so that the LSTM remembers at the start": ("forget-gate-bias",),
    "initial weights for ReLU layers": ("he-initialisation",),
    "Xavier initialisation for tanh": ("glorot-initialisation",),
    "scale down residual output weights by number of layers like GPT-2": ("depth-scaled-initialisation",),
    "hyperparameter transfer across widths": ("mup",),
    "drop whole layers at random during training": ("stochastic-depth",),
    "share the embedding matrix with the output layer": ("weight-tying",),
    "summarise a sequence into one vector for classification": (
        "mean-pooling",
        "attention-pooling",
        "last-step-pooling",
        "max-pooling",
        "class-token",
    ),
    "detect whether a motif appears anywhere": ("max-pooling",),
    "encoding of numerical features with sines for tabular deep learning": ("numerical-embeddings",),
    "transformer over columns of a table": ("ft-transformer",),
    "simple strong baseline for tables": ("tabular-resnet",),
    "embedding categories": ("categorical-embeddings",),
    "standardising inputs with long tails": ("feature-scaling",),
    "split an image or signal into pieces before the transformer": ("patches",),
    "overconfident classifier calibration": ("label-smoothing",),
    "learning rate decay towards zero": ("cosine-schedule",),
    "exploding gradients in recurrent nets": ("gradient-clipping", "orthogonal-initialisation"),
    "all-MLP architecture for vision": ("mlp-mixer",),
}


def hits(index: Index, method: Method, num: int) -> int:
    """Return how many questions find a card that answers them among the first `num` passages."""
    found = [
        {passage.name for passage in index.search(query, num, method=method)} & set(slugs)
        for query, slugs in QUERIES.items()
    ]
    return sum(map(bool, found))
