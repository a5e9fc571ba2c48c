"""Every batched kernel: one answer from its forward, its backward and its module, whatever the company.

A kernel's `forward` equals the op's module, member by member, and `bind` equals `forward`, gradients
included, in float64; by transitivity a hand-written backward differentiates what the module computes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import pytest
import torch
from engines_here import jobs_of
from torch import Tensor

from blueprints.graph import LOOP, SCAN
from blueprints.modules import MODULES
from blueprints.ops import OPS, Op
from blueprints.types import ValueType
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import KERNELS, AutogradKernel, Kernel, Launch, ModuleKernel
from crucible.program import HOST_OPS, ProgramNode, Signature
from curricula.temporal import Temporal

#: Width of the host in which the widths of a case are rationals.
D = 16
#: Scalars to which the flat buffer of parameters rounds up a stack.
ROW = 16


@dataclass(frozen=True)
class Run:
    """Output and gradients of one run: of each input, then of each parameter."""

    y: Tensor
    gradients: list[Tensor]


def times_of(op: Op) -> Iterator[tuple[str, ...]]:
    """Yield every kind of inputs in time that the op takes."""
    return product(("sequence",) if op.needs_sequence else ("sequence", "single"), repeat=op.arity)


def nodes_of(op: Op, width: int) -> Iterator[ProgramNode]:
    """Yield a node of the op for every kind of inputs and every value of its attributes but widths."""
    for times in times_of(op):
        choices = [
            list(a.tokens.values()) + ([] if a.default is None else [a.default]) for a in op.attributes
        ]
        choices = [
            [Fraction(2)] if a.name == "width" else values
            for a, values in zip(op.attributes, choices, strict=True)
        ]
        for values in product(*choices):
            attributes = dict(zip((a.name for a in op.attributes), values, strict=True))
            widths = [width * (1 + (op.widths == "sum") * i) for i in range(op.arity)]
            types = tuple(
                ValueType(time=t, width=Fraction(w, D))  # pyright: ignore[reportArgumentType]
                for t, w in zip(times, widths, strict=True)
            )
            out = op.infer(types, attributes)
            channels = out.channels(D)
            resolved = {n: channels if n == "width" else int(v) for n, v in attributes.items()}
            signature = Signature(
                op=op.name,
                attributes=tuple(sorted(resolved.items())),
                widths=tuple(widths),
                sequences=tuple(t == "sequence" for t in times),
                width=channels,
                sequence=out.time == "sequence",
            )
            parameters = tuple(op.parameters(width, channels, resolved))
            yield ProgramNode(signature, (), parameters, sum(p.size for p in parameters))


def tensors_of(
    node: ProgramNode, members: int, time: int, batch: int, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return inputs, parameters and a gradient of the output; member m is the same for every M."""
    s = node.signature
    shapes = [(time if sequence else 1, batch, w) for sequence, w in zip(s.sequences, s.widths, strict=True)]
    shapes += [p.shape for p in node.parameters]
    shapes += [(time if s.sequence else 1, batch, s.width)]
    rows: list[list[Tensor]] = []
    for member in range(members):
        generator = torch.Generator().manual_seed(member)
        rows.append([torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes])
    stacks = [torch.stack(column).to(dtype) for column in zip(*rows, strict=True)]
    num = len(s.widths)
    parameters = [0.5 * p for p in stacks[num:-1]]
    return stacks[:num], [in_rows(p) for p in parameters], stacks[-1]


def in_rows(stack: Tensor) -> Tensor:
    """Return the stack as the flat buffer holds it: every member starts at a multiple of `ROW`."""
    size = stack[0].numel()
    buffer = torch.zeros(len(stack), -(-size // ROW) * ROW, dtype=stack.dtype)
    view = buffer[:, :size].view(stack.shape)
    view.copy_(stack)
    return view


def run_forward(
    kernel: Kernel, node: ProgramNode, x: Sequence[Tensor], p: Sequence[Tensor], dy: Tensor
) -> Run:
    leaves = [t.detach().requires_grad_() for t in (*x, *p)]
    with torch.enable_grad():
        y = kernel.forward(leaves[: len(x)], leaves[len(x) :], node.signature)
        gradients = torch.autograd.grad(y, leaves, dy, allow_unused=True, materialize_grads=True)
    return Run(y.detach(), list(gradients))


def run_bound(kernel: Kernel, node: ProgramNode, x: Sequence[Tensor], p: Sequence[Tensor], dy: Tensor) -> Run:
    signature = node.signature
    time = max(t.shape[1] for t in (*x, dy))
    halo = kernel.halo(signature, time) if signature.sequence else 0
    blocks = kernel.blocks(node, time)
    stacks = [in_rows(torch.stack([b.view(member) for member in p[b.parameter]])) for b in blocks]
    zeros = dy.new_zeros(len(dy), halo, *dy.shape[2:])
    passes = [kernel.passes(signature, i) for i in range(len(x))]
    dx = [None if passed else torch.full_like(t, torch.nan) for passed, t in zip(passes, x, strict=True)]
    d_stacks = [in_rows(torch.full_like(s, torch.nan)) for s in stacks]
    y = torch.full_like(dy, torch.nan)
    launch = Launch(
        signature=signature,
        x=[torch.cat([t.new_zeros(len(t), halo, *t.shape[2:]), t], 1) for t in x],
        y=y,
        parameters=stacks,
        dy=torch.cat([dy, zeros], 1),
        dx=dx,
        gradients=d_stacks,
    )
    with torch.no_grad():
        forward, backward = kernel.bind(launch)
        for _ in range(2):  # a launch is run again and again
            forward()
            if backward is not None:
                backward()
    d_parameters = [torch.zeros_like(t) for t in p]
    for block, d_stack in zip(blocks, d_stacks, strict=True):
        for member, piece in zip(d_parameters[block.parameter], d_stack, strict=True):
            block.view(member).copy_(piece)
    return Run(y, [dy if t is None else t for t in dx] + d_parameters)


def run_on_slices(
    kernel: Kernel, node: ProgramNode, x: Sequence[Tensor], p: Sequence[Tensor], dy: Tensor
) -> Run:
    """Run forward on steps of longer sequences, as a scan does: side by side in memory only when M is 1."""
    *x, dy = (torch.cat([t, t], 1)[:, : t.shape[1]] for t in (*x, dy))
    return run_forward(kernel, node, x, p, dy)


def assert_close(a: Run, b: Run, message: str) -> None:
    torch.testing.assert_close(a.y, b.y, rtol=1e-9, atol=1e-10, msg=message)
    for i, (first, second) in enumerate(zip(a.gradients, b.gradients, strict=True)):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-10, msg=f"{message}, gradient {i}")


def test_every_op_has_a_kernel() -> None:
    assert set(KERNELS) == {op.name for op in OPS} | {*HOST_OPS, LOOP, SCAN}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_forward_backward_and_module_agree(op: Op) -> None:
    kernel, module = KERNELS[op.name], ModuleKernel(MODULES[op.name])
    for width, time, batch in ((4, 1, 3), (4, 5, 2), (16, 11, 3), (12, 17, 2)):
        for node in nodes_of(op, width):
            arguments = tensors_of(node, 3, time, batch, torch.float64)
            forward = run_forward(kernel, node, *arguments)
            message = f"{node.signature}, {time} steps"
            assert_close(run_forward(module, node, *arguments), forward, f"forward: {message}")
            assert_close(run_bound(kernel, node, *arguments), forward, f"bind: {message}")


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_bits_of_a_member_do_not_depend_on_its_company(op: Op) -> None:
    kernel = KERNELS[op.name]
    for width, time, batch in ((4, 1, 32), (4, 24, 32), (16, 16, 32), (12, 3, 64), (64, 2, 32)):
        for node in nodes_of(op, width):
            x, p, dy = tensors_of(node, 37, time, batch, torch.float32)
            for run in (run_forward, run_on_slices, run_bound):
                together = run(kernel, node, x, p, dy)
                for a, b in ((0, 1), (17, 18), (34, 37)):
                    alone = run(kernel, node, [t[a:b] for t in x], [in_rows(t[a:b]) for t in p], dy[a:b])
                    message = f"{run.__name__} {node.signature}, {time} steps of {batch}"
                    assert torch.equal(alone.y, together.y[a:b]), message
                    pairs = zip(alone.gradients, together.gradients, strict=True)
                    for i, (one, many) in enumerate(pairs):
                        assert torch.equal(one, many[a:b]), f"{message}, gradient {i}"


class SlowLinear(AutogradKernel):
    """LINEAR with a forward alone."""

    def forward(self, x, parameters, signature):
        weight_MOI, bias_MO = parameters
        return torch.einsum("mtbi,moi->mtbo", x[0], weight_MOI) + bias_MO[:, None, None]


class SlowSilu(AutogradKernel):
    """SILU with a forward alone."""

    def forward(self, x, parameters, signature):
        return x[0] * torch.sigmoid(x[0])


def test_a_kernel_with_a_forward_alone_trains_like_one_with_a_backward() -> None:
    task = Temporal(epochs=1)
    programs = ["LINEAR OUT_DIM_HALF SILU LINEAR OUT_DIM_IN", "RES_START SILU LINEAR OUT_DIM_IN RES_END TANH"]
    jobs = jobs_of(programs, task)
    written = BatchedEngine().train(jobs, task)
    derived = BatchedEngine(kernels={"LINEAR": SlowLinear(), "SILU": SlowSilu()}).train(jobs, task)
    for a, b in zip(written, derived, strict=True):
        assert a.status == b.status == "ok"
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-4)
