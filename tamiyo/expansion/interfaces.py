"""What each unit around the block must define, in code and words, for whoever writes or checks one."""

import textwrap
from collections.abc import Mapping
from types import MappingProxyType

from tamiyo.expansion.records import TargetName, UnitName
from tamiyo.expansion.template import unit_file

_COMMON = """\
Every unit is one Python file that imports torch, math and `from config import Config` alone. `config` has
config.target, config.input_size, config.output_size, config.max_length, config.depth, config.width,
config.positions ("none", "learned", "sinusoidal"), config.normalisation ("none", "layernorm", "rmsnorm"),
config.head ("linear", "norm_linear", "mlp"), config.initialisation ("default", "small_normal",
"depth_scaled") and config.dropout. Axes: B examples, T steps, 1 <= T <= config.max_length.

The fixed model.py puts the units together:

"""

#: The interface of each unit.
UNIT_INTERFACES: Mapping[UnitName, str] = MappingProxyType(
    {
        "embedding": """\
class Embedding(nn.Module):
    def __init__(self, config: Config) -> None: ...
    def forward(self, inputs: torch.Tensor) -> torch.Tensor: ...

Inputs by config.target:
- char_lm: ids, integers [B, T] below config.input_size, to [B, T, config.width]. The table of characters is
  `self.tokens`, an nn.Embedding(config.input_size, config.width), so that the head can tie its weights.
- sequence_classifier: floats [B, T, config.input_size] to [B, T, config.width].
- tabular: floats [B, config.input_size] to [B, S, config.width] with S = 1 (a row is one step, the only way
  in which columns meet if the block treats each step by itself) or S = config.input_size (a step a column).
Honours config.positions. For char_lm no step may depend on a later one.
""",
        "layer": """\
class Layer(nn.Module):
    def __init__(self, config: Config, block: nn.Module) -> None: ...
    def forward(self, x: torch.Tensor) -> torch.Tensor: ...

Maps [B, T, config.width] to the same shape. Keeps the block it is given as `self.block`, unchanged, and calls
it once in a forward. The block maps [B, T, config.width] to [B, T, config.width], or to a single step
[B, 1, config.width], which is then added to every step. `self.gain` is an nn.Parameter of
[config.width] ones that multiplies what the layer adds to its input. Honours config.normalisation (before
the block) and config.dropout (after it). For char_lm no step may depend on a later one.
""",
        "head": """\
class Head(nn.Module):
    def __init__(self, config: Config, embedding: nn.Module) -> None: ...
    def forward(self, x: torch.Tensor) -> torch.Tensor: ...

Maps [B, T, config.width] to logits: for char_lm [B, T, config.output_size], step by step, where the last
matrix may be tied to `embedding.get_parameter("tokens.weight")`; otherwise [B, config.output_size] from all
the steps.
Honours config.head: a linear map, a normalisation before it, or one more hidden layer.
""",
        "initialisation": """\
def initialise(model: nn.Module, config: Config) -> None: ...

Sets initial weights of model.embedding, model.head and the layers' own parameters in place, by
config.initialisation, and returns nothing. It runs at the end of Model.__init__. Parameters below
layer.block are the block's own and are left as they are. Works under torch.no_grad().
""",
    }
)


def common_interface(target: TargetName) -> str:
    """Return what every unit of a target is told besides its own interface."""
    return _COMMON + textwrap.indent(unit_file(target, "model.py"), " " * 4)
