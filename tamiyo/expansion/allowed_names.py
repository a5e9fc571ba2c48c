"""The names that a unit may use, a table for each module: tensor arithmetic and layers."""

import math
from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCH = _names("""
Tensor Size device dtype float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 bool float
double long int finfo iinfo inf nan pi e abs acos add addcdiv addcmul addmm all allclose amax amin aminmax
any arange argmax argmin argsort asin atan atan2 atleast_1d atleast_2d atleast_3d baddbmm bernoulli bincount
block_diag bmm broadcast_tensors broadcast_to bucketize cartesian_prod cat cdist ceil chunk clamp clamp_max
clamp_min clip clone column_stack complex concat concatenate conj cos cosh count_nonzero cross cummax cummin
cumprod cumsum deg2rad diag diag_embed diagonal diff dist div dot dropout einsum empty empty_like eq erf
erfc erfinv exp exp2 expand_copy expm1 eye flatten flip fliplr floor floor_divide fmod frac full full_like
gather ge greater gt heaviside histc hstack hypot index_add index_select inner is_floating_point is_tensor
isclose isfinite isinf isnan isneginf isposinf kron kthvalue le lerp less lgamma linspace log log10 log1p
log2 log_softmax logaddexp logcumsumexp logical_and logical_not logical_or logical_xor logit logspace
logsumexp lt masked_fill masked_select matmul matrix_exp max maximum mean median meshgrid min minimum mm
mode movedim moveaxis mul multinomial mv nan_to_num nanmean nansum narrow ne neg no_grad nonzero norm normal
not_equal numel ones ones_like outer permute polar polygamma pow prod quantile rad2deg rand
rand_like randint randint_like randn randn_like randperm reciprocal relu remainder renorm repeat_interleave
reshape roll rot90 round rsqrt scatter scatter_add searchsorted select selu sgn sigmoid sign sin sinc sinh
softmax sort split sqrt square squeeze stack std std_mean sub sum swapaxes swapdims t take take_along_dim
tan tanh tensor tensordot tile topk trace transpose trapezoid tril tril_indices triu triu_indices
true_divide trunc unbind unflatten unique unsqueeze vander var var_mean vdot view_as_complex view_as_real
vstack where zeros zeros_like
""")

_LAYERS = _names("""
Module ModuleList ModuleDict Sequential Parameter ParameterList ParameterDict Identity Flatten Unflatten
Linear Bilinear Embedding EmbeddingBag Dropout Dropout1d AlphaDropout LayerNorm RMSNorm GroupNorm Conv1d
ConvTranspose1d Conv2d Unfold Fold ZeroPad1d ConstantPad1d AvgPool1d MaxPool1d AdaptiveAvgPool1d
AdaptiveMaxPool1d LPPool1d GRU GRUCell LSTM LSTMCell RNN RNNCell MultiheadAttention TransformerEncoderLayer
TransformerEncoder ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Softplus Softsign Softshrink
Hardshrink Hardsigmoid Hardswish Hardtanh Tanh Tanhshrink Sigmoid LogSigmoid Softmax LogSoftmax Softmin GLU
Threshold CosineSimilarity PairwiseDistance Bilinear ChannelShuffle PixelShuffle Upsample
""")

_FUNCTIONAL = _names("""
linear bilinear embedding embedding_bag one_hot dropout dropout1d alpha_dropout layer_norm rms_norm
group_norm normalize conv1d conv2d conv_transpose1d pad unfold fold avg_pool1d max_pool1d
adaptive_avg_pool1d adaptive_max_pool1d lp_pool1d scaled_dot_product_attention relu relu6 leaky_relu prelu
elu celu selu gelu silu mish softplus softsign softshrink hardshrink hardsigmoid hardswish hardtanh tanh
tanhshrink sigmoid logsigmoid softmax log_softmax softmin gumbel_softmax glu threshold cosine_similarity
pairwise_distance interpolate
""")

_INITIALISERS = _names("""
uniform_ normal_ constant_ ones_ zeros_ eye_ dirac_ xavier_uniform_ xavier_normal_ kaiming_uniform_
kaiming_normal_ trunc_normal_ orthogonal_ sparse_ calculate_gain
""")

_TYPING = _names("""
Any Callable ClassVar Dict Final Generic Iterable Iterator List Literal Mapping NamedTuple Optional Protocol
Sequence Set Tuple Type TypeAlias TypeVar Union
""")

#: Public names of each module that a unit may import; nothing else of it may be named.
MODULES: Mapping[str, frozenset[str]] = {
    "torch": _TORCH | {"nn"},
    "torch.nn": _LAYERS | {"functional", "init"},
    "torch.nn.functional": _FUNCTIONAL,
    "torch.nn.init": _INITIALISERS,
    "math": frozenset(name for name in dir(math) if not name.startswith("_")),
    "dataclasses": _names("dataclass field replace asdict astuple fields"),
    "typing": _TYPING,
    "collections.abc": _names("Callable Iterable Iterator Mapping Sequence"),
    "__future__": _names("annotations"),
}

#: Names that need no import.
BUILTINS = _names("""
abs all any bool classmethod complex dict divmod enumerate filter float frozenset int isinstance len list
map max min next object pow property range reversed round set slice sorted staticmethod str sum super tuple
zip True False None NotImplemented ArithmeticError AssertionError Exception IndexError KeyError
NotImplementedError RuntimeError TypeError ValueError
""")

#: The special methods that a unit may define, and call by `super()`.
SPECIAL_METHODS = _names("__init__ __post_init__")

#: What stands above a function or a class.
DECORATORS = _names("dataclass dataclasses.dataclass staticmethod classmethod property torch.no_grad")

#: Attributes that lead from a value to the interpreter, to memory, to other threads or to hooks.
ATTRIBUTES_REFUSED = _names("""
mro tofile numpy data_ptr storage untyped_storage typed_storage set_ share_memory_ share_memory backward
grad_fn register_hook register_post_accumulate_grad_hook register_forward_hook register_forward_pre_hook
register_full_backward_hook register_full_backward_pre_hook register_backward_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_state_dict_post_hook
register_state_dict_pre_hook compile cuda xpu ipu mps pin_memory is_cuda map_ map2_ apply_ new_shared
""")

#: Refused too: attributes of generators, coroutines, frames, tracebacks, code and functions.
FRAME_ATTRIBUTES = _names("""
gi_frame gi_code gi_yieldfrom cr_frame cr_code cr_await ag_frame ag_code f_back f_builtins f_code f_globals
f_locals f_trace tb_frame tb_next tb_lasti co_code co_consts co_names func_globals func_code
""")

#: The machinery of nn.Module, which checks, training and saving rely on: called, never replaced.
MODULE_MACHINERY = _names("""
add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval float
get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers
named_children named_modules named_parameters parameters register_buffer register_module register_parameter
requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
zero_grad
""")

#: Why a name is refused and what stands in for it, where a reader would wonder.
INSTEAD: Mapping[str, str] = {
    "torch.nn.BatchNorm1d": "it mixes the examples of a batch; use nn.LayerNorm or nn.RMSNorm",
    "torch.nn.BatchNorm2d": "it mixes the examples of a batch; use nn.LayerNorm or nn.RMSNorm",
    "torch.nn.SyncBatchNorm": "it mixes the examples of a batch; use nn.LayerNorm or nn.RMSNorm",
    "torch.nn.InstanceNorm1d": "it mixes the steps of a sequence; use nn.LayerNorm or nn.RMSNorm",
    "torch.nn.functional.batch_norm": "it mixes the examples of a batch; use F.layer_norm",
    "torch.Generator": "whoever builds the model sets the seed; draw by torch.randn or nn.init alone",
    "torch.manual_seed": "whoever builds the model sets the seed; draw by torch.randn or nn.init alone",
    "torch.load": "a unit reads no files",
    "torch.save": "a unit writes no files",
    "print": "a unit prints nothing",
    "open": "a unit reads and writes no files",
    "getattr": "name the attribute itself: `x.name`",
    "setattr": "name the attribute itself: `self.name = ...`",
    "hasattr": "a unit knows its own attributes",
    "type": "use isinstance(x, Class)",
    "numpy": "use torch",
    "einops": "use torch's own permute, unflatten and flatten",
}
