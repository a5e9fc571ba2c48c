"""Batched LOOP and SCAN: bodies run by the kernels of their own ops; differentiated by torch.

Axes: M members, T time, B examples, W width. Members share one body, with weights of their own. What a scan's
body computes from its step alone is computed for all steps at once.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from blueprints.graph import STATE
from crucible.engines.kernels.kernel import AutogradKernel, Kernel
from crucible.program import Body, Signature


class Loop(AutogradKernel):
    """A body applied several times with the same weights."""

    cost = 100

    def __init__(self, kernels: Mapping[str, Kernel]) -> None:
        self._kernels = kernels

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the value after the last repetition."""
        body = signature.body
        assert body is not None, "a loop has a body"
        own = list(body.parameters_of(parameters))
        (value,) = x
        for _ in range(signature.attribute("repeat")):
            values = [value]
            for node, mine in zip(body.nodes[1:], own[1:], strict=True):
                kernel = self._kernels[node.signature.op]
                values.append(kernel.forward([values[i] for i in node.inputs], mine, node.signature))
            value = values[body.output]
        return value


class Scan(AutogradKernel):
    """A recurrent cell over time whose states start at zero."""

    cost = 400

    def __init__(self, kernels: Mapping[str, Kernel]) -> None:
        self._kernels = kernels

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the cell's outputs, `[M, T, B, W]`."""
        body = signature.body
        assert body is not None, "a scan has a body"
        own = list(body.parameters_of(parameters))
        (x_MTBW,) = x
        M, T, B, _ = x_MTBW.shape
        at_once: dict[int, Tensor] = {0: x_MTBW}
        for index in range(1, len(body.nodes)):
            if index not in body.recurrent:
                at_once[index] = self._apply(body, index, own[index], at_once)
        states = [x_MTBW.new_zeros(M, 1, B, signature.width) for _ in body.stores]
        outputs = []
        for step in range(T):
            values = {index: value[:, step : step + 1] for index, value in at_once.items()}
            for index in sorted(body.recurrent):
                node = body.nodes[index].signature
                if node.op == STATE:
                    values[index] = states[node.attribute("index")]
                else:
                    values[index] = self._apply(body, index, own[index], values)
            states = [values[index] for index in body.stores]
            outputs.append(states[0])
        return torch.cat(outputs, 1)

    def _apply(
        self, body: Body, index: int, parameters: Sequence[Tensor], values: Mapping[int, Tensor]
    ) -> Tensor:
        node = body.nodes[index]
        kernel = self._kernels[node.signature.op]
        return kernel.forward([values[i] for i in node.inputs], parameters, node.signature)
