"""The batched kernels, one row an op; an explicit table, no registration by side effect."""

from collections.abc import Mapping

from crucible.engines.kernels.activations import ACTIVATIONS, KWinners
from crucible.engines.kernels.attention import Attention, FastWeights
from crucible.engines.kernels.composite import Loop, Scan
from crucible.engines.kernels.features import LayerNorm, MixtureOfExperts, RmsNorm, Scale
from crucible.engines.kernels.host import Embedding, Spread
from crucible.engines.kernels.kernel import AutogradKernel, Block, Kernel, Launch
from crucible.engines.kernels.merges import Add, Blend, Concat, Multiply
from crucible.engines.kernels.mixing import Convolution, DepthwiseConvolution, Linear
from crucible.engines.kernels.module import ModuleKernel
from crucible.engines.kernels.pools import PoolLast, PoolMax, PoolMean, Shift
from crucible.engines.kernels.recurrent import DiagonalScan, Gru, Lstm
from crucible.program import (
    HOST_EMBEDDING,
    HOST_GATE,
    HOST_GRAFT,
    HOST_INPUT,
    HOST_MEAN,
    HOST_READOUT,
    HOST_SPREAD,
)

_KERNELS: Mapping[str, Kernel] = {
    HOST_INPUT: Linear(),
    HOST_EMBEDDING: Embedding(),
    HOST_MEAN: PoolMean(),
    HOST_SPREAD: Spread(),
    HOST_READOUT: Linear(),
    HOST_GATE: Scale(),
    HOST_GRAFT: Add(),
    "LINEAR": Linear(),
    "CONV1D": Convolution(),
    "DWCONV1D": DepthwiseConvolution(),
    "GRU": Gru(),
    "POOL_MEAN": PoolMean(),
    "POOL_MAX": PoolMax(),
    "POOL_LAST": PoolLast(),
    "LAYERNORM": LayerNorm(),
    "ADD": Add(),
    "MUL": Multiply(),
    "ATTENTION": Attention(),
    "LSTM": Lstm(),
    "DIAGONAL_SCAN": DiagonalScan(),
    "SHIFT": Shift(),
    "HEBBIAN": FastWeights(),
    "RMSNORM": RmsNorm(),
    "SCALE": Scale(),
    "MOE": MixtureOfExperts(),
    "KWINNERS": KWinners(),
    "CONCAT": Concat(),
    "BLEND": Blend(),
    **ACTIVATIONS,
}


def kernels_with(own: Mapping[str, Kernel]) -> Mapping[str, Kernel]:
    """Return the built-in kernels beside a caller's own, which may replace them, in bodies too."""
    kernels = {**_KERNELS, **own}
    kernels.update(LOOP=Loop(kernels), SCAN=Scan(kernels))
    return kernels


KERNELS: Mapping[str, Kernel] = kernels_with({})

__all__ = ["KERNELS", "AutogradKernel", "Block", "Kernel", "Launch", "ModuleKernel", "kernels_with"]
