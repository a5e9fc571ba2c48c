"""The kernel of an op for which nobody wrote one: its torch module, member by member; leaves speed aside."""

from collections.abc import Sequence

import torch
from torch import Tensor

from blueprints.modules import ModuleBuilder
from crucible.engines.kernels.kernel import AutogradKernel
from crucible.program import Signature


class ModuleKernel(AutogradKernel):
    """Runs an op's module once a member, on that member's parameters; torch differentiates it.

    The module's parameters must come in the order of the op's row.
    """

    def __init__(self, builder: ModuleBuilder) -> None:
        self._builder = builder

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the outputs of all members, `[M, T, B, W]`."""
        module = self._builder(signature.widths[0], signature.width, dict(signature.attributes))
        names = [name for name, _ in module.named_parameters()]
        outputs = []
        for member in range(len(x[0])):
            own = dict(zip(names, (parameter[member] for parameter in parameters), strict=True))
            inputs = tuple(value[member].transpose(0, 1) for value in x)
            outputs.append(torch.func.functional_call(module, own, inputs).transpose(0, 1))
        return torch.stack(outputs)
