"""The contract of a batched kernel: one op over a stack of members; leaves the ops to the other files.

Axes: M members of a group, T time, B examples, W width. Values are time-major, `[M, T, B, W]`, so that a tap
of a causal convolution is a contiguous slice.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crucible.program import ProgramNode, Signature

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a node's parameters that the flat buffer stores as one stack `[M, *shape]`.

    Attributes:
        parameter: index among the node's parameters.
        shape: shape of the piece for one member.
        view: from the parameter as torch.nn stores it to a view of the piece.
    """

    parameter: int
    shape: tuple[int, ...]
    view: Callable[[Tensor], Tensor] = lambda parameter: parameter


@dataclass(frozen=True, slots=True)
class Launch:
    """The tensors of one batched run of an op, all of them allocated once and for all.

    Attributes:
        signature: what the members have in common.
        x: inputs `[M, T, B, W]`; led by the kernel's halo of zeros where it asks for one.
        y: where the output goes.
        parameters: one stack `[M, ...]` a block.
        dy: gradient of the output, followed by the halo of zeros; absent when nothing is trained.
        dx: where the gradient of each input goes; absent where nobody asks.
        gradients: where the gradients of the parameters go.
    """

    signature: Signature
    x: Sequence[Tensor]
    y: Tensor
    parameters: Sequence[Tensor]
    dy: Tensor | None = None
    dx: Sequence[Tensor | None] = ()
    gradients: Sequence[Tensor] = ()


class Kernel(ABC):
    """Batched forward and backward of one op, for any device."""

    #: About how many torch calls a forward and a backward make: what splitting a group would repeat.
    cost: int = 2

    def blocks(self, node: ProgramNode, time: int) -> tuple[Block, ...]:
        """Return how the parameters lie in the flat buffer when no sequence is longer than `time`."""
        return tuple(Block(index, parameter.shape) for index, parameter in enumerate(node.parameters))

    def halo(self, signature: Signature, time: int) -> int:
        """Return the steps of zeros wanted before the input and after the output's gradient."""
        return 0

    def passes(self, signature: Signature, position: int) -> bool:
        """Say whether the gradient of that input is the gradient of the output itself."""
        return False

    @abstractmethod
    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the output `[M, T, B, W]` of inputs `[M, T, B, W]`, differentiable by torch.

        `parameters` holds one stack `[M, ...]` a parameter of the op's module, as torch.nn stores it; inputs
        have no halo and may be views. Neither the result for a member nor its gradients may depend on M.
        """

    @abstractmethod
    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return the forward and, where `launch.dy` is present, the backward of one launch.

        A backward overwrites `dx` and `gradients`. The result for a member must not depend on M.
        """


class AutogradKernel(Kernel):
    """A kernel of which only `forward` is written; torch differentiates it."""

    cost = 20

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a forward that records a graph and a backward that runs through it."""
        saved: list[Tensor] = []
        num_x = len(launch.x)

        def forward() -> None:
            saved[:] = []
            if launch.dy is None:
                with torch.no_grad():
                    launch.y.copy_(self.forward(launch.x, launch.parameters, launch.signature))
                return
            with torch.enable_grad():
                # `.data` has a version of its own: other rows of the same arena are written before backward.
                leaves = [t.data.requires_grad_() for t in (*launch.x, *launch.parameters)]
                y = self.forward(leaves[:num_x], leaves[num_x:], launch.signature)
            launch.y.copy_(y.detach())
            saved.extend((y, *leaves))

        def backward() -> None:
            y, *leaves = saved
            gradients: Sequence[Tensor | None] = [None] * len(leaves)
            if y.requires_grad:  # a body need not depend on anything that is trained
                gradients = torch.autograd.grad(y, leaves, launch.dy, allow_unused=True)
            for out, gradient in zip((*launch.dx, *launch.gradients), gradients, strict=True):
                if out is not None:
                    out.zero_() if gradient is None else out.copy_(gradient)
            saved[:] = []

        return forward, None if launch.dy is None else backward


def packed(value: Tensor) -> Tensor:
    """Return `value` laid out contiguously, and lay its gradient out alike.

    With a single member more views of a tensor are legal, and products of views round differently.
    """
    result = _Packed.apply(value)
    assert isinstance(result, Tensor)
    return result


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()


def allocator(like: Tensor) -> Callable[..., Tensor]:
    """Return what makes uninitialised tensors of the dtype and device of `like`."""

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=like.dtype, device=like.device)

    return empty


def rows(value_MTBW: Tensor) -> Tensor:
    """Return `[M, T * B, W]`, a view."""
    return value_MTBW.flatten(1, 2)
