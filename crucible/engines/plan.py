"""Static launches of a scheduled batch of programs; leaves loss and optimiser to training.py.

Axes: J programs, M members of a group, T time, B examples, W width. All tensors are allocated once; a run of
the plan is a fixed list of calls without a decision on data, which a device could capture and replay.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crucible.engines.kernels import Kernel, Launch
from crucible.engines.kernels.kernel import Call
from crucible.engines.schedule import Group, Member
from crucible.program import Program

#: Seconds that one torch call costs beside its work, and seconds a byte of a copy.
CALL_S = 2.0e-6
BYTE_S = 1.5e-10

#: (steps, width) of a value; values of one shape share an arena `[rows, T, B, W]`.
Shape = tuple[int, int]


@dataclass(slots=True)
class _Arena:
    """Rows of equal shape, handed out in order, allocated when all are known."""

    num: int = 0

    def take(self, num: int) -> range:
        """Return `num` consecutive new rows."""
        self.num += num
        return range(self.num - num, self.num)


class Plan:
    """Forward and, where gradients are given, backward launches for a batch of programs.

    Attributes:
        logits: `[J', P, B, K]` of the last group, with one step or all; `order` has the program of each row.
        d_logits: where the gradient of the loss goes before `backward`.
        order: `[J']`, programs in the order of the logits.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        groups: Sequence[Group],
        kernels: Mapping[str, Kernel],
        parameters: Sequence[Sequence[Tensor]],
        inputs_JTBF: Tensor,
        gradients: Sequence[Sequence[Tensor]] | None = None,
    ) -> None:
        self._programs = programs
        self._groups = groups
        self._kernels = kernels
        self._inputs = inputs_JTBF
        self._time, self._batch = inputs_JTBF.shape[1:3]
        self._like = inputs_JTBF
        self._values: dict[Shape, _Arena] = defaultdict(_Arena)
        self._slopes: dict[Shape, _Arena] = defaultdict(_Arena)
        self._rows: dict[Member, int] = {}
        self._forward: list[Call] = []
        self._backward: list[Call] = []
        self.order = [p for p, _ in groups[-1].members]
        for group in groups:
            for member, row in zip(
                group.members, self._values[self._shape(group)].take(len(group.members)), strict=True
            ):
                self._rows[member] = row
        self._trains = gradients is not None
        if self._trains:
            self._plan_gradients()
        self._value_tensors = self._allocate(self._values)
        self._slope_tensors = self._allocate(self._slopes)
        backwards = []
        for index, group in enumerate(groups):
            backwards.append(
                self._bind(index, group, parameters[index], gradients[index] if gradients is not None else ())
            )
        for calls in reversed(backwards):
            self._backward += calls
        self.logits = self._view(self._value_tensors, groups[-1], [self._rows[m] for m in groups[-1].members])
        if self._trains:
            self.d_logits = self._view(self._slope_tensors, groups[-1], self._dy_rows[-1])

    def forward(self) -> None:
        """Compute the logits of the inputs."""
        for call in self._forward:
            call()

    def backward(self) -> None:
        """Compute all gradients from `d_logits`."""
        for call in self._backward:
            call()

    def pooled(self) -> Tensor:
        """Return the slot's outputs of the last forward, averaged over time, `[J, B, D]`."""
        rows = [self._rows[p, program.pooled] for p, program in enumerate(self._programs)]
        first = self._programs[0]
        steps = self._time if first.nodes[first.pooled].signature.sequence else 1
        pooled_JTBD = self._value_tensors[steps, first.width].index_select(0, self._index(rows))
        return pooled_JTBD[:, 0] if steps == 1 else pooled_JTBD.mean(1)

    # Rows

    def _shape(self, group: Group) -> Shape:
        return (self._time if group.signature.sequence else 1, group.signature.width)

    def _input_shape(self, group: Group, position: int) -> Shape:
        signature = group.signature
        return (self._time if signature.sequences[position] else 1, signature.widths[position])

    def _plan_gradients(self) -> None:
        """Give every gradient a row: of each group's output, and of each of its inputs."""
        self._dy_rows: list[list[int]] = [[] for _ in self._groups]
        self._dx_rows: list[list[range | None]] = [[] for _ in self._groups]
        self._sums: list[list[tuple[int, list[int]]]] = [[] for _ in self._groups]
        sources: dict[tuple[int, int, int], int] = {}
        for g in reversed(range(len(self._groups))):
            group = self._groups[g]
            arena = self._slopes[self._shape(group)]
            if g == len(self._groups) - 1:
                self._dy_rows[g] = list(arena.take(len(group.members)))
            else:
                terms = [
                    [sources[p, user, position] for user, position in self._programs[p].users[index]]
                    for p, index in group.members
                ]
                for rows in terms:
                    if len(rows) > 1:
                        (row,) = arena.take(1)
                        self._sums[g].append((row, list(rows)))
                        rows[:] = [row]
                self._dy_rows[g] = [row for (row,) in terms]
            kernel = self._kernels[group.signature.op]
            for position in range(len(group.signature.widths)):
                if g == 0:
                    rows = None
                elif kernel.passes(group.signature, position):
                    rows = self._dy_rows[g]
                else:
                    rows = self._slopes[self._input_shape(group, position)].take(len(group.members))
                for (p, index), row in zip(group.members, rows or (), strict=False):
                    sources[p, index, position] = row
                self._dx_rows[g].append(rows if isinstance(rows, range) else None)

    def _allocate(self, arenas: Mapping[Shape, _Arena]) -> dict[Shape, Tensor]:
        return {
            (time, width): self._like.new_empty(arena.num, time, self._batch, width)
            for (time, width), arena in arenas.items()
        }

    def _index(self, rows: Sequence[int]) -> Tensor:
        return torch.tensor(rows, device=self._like.device)

    def _view(self, tensors: Mapping[Shape, Tensor], group: Group, rows: Sequence[int]) -> Tensor:
        assert rows[-1] - rows[0] == len(rows) - 1, "rows must be consecutive"
        return tensors[self._shape(group)][rows[0] : rows[-1] + 1]

    # Launches

    def _bind(
        self, g: int, group: Group, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> list[Call]:
        """Add the forward calls of one group; return its backward calls."""
        kernel = self._kernels[group.signature.op]
        num = len(group.members)
        y = self._view(self._value_tensors, group, [self._rows[m] for m in group.members])
        sources = [self._source(group, position) for position in range(len(group.signature.widths))]
        dy_source = (self._slope_tensors[self._shape(group)], self._dy_rows[g]) if self._trains else None
        backward = self._sum_calls(g, group) if self._trains else []

        halo = kernel.halo(group.signature, self._time) if group.signature.sequence else 0
        if halo:
            x = [_padded(source, halo, self._forward, before=True) for source in sources]
            dy = None if dy_source is None else _padded(dy_source, halo, backward, before=False)
            spans = [(0, num)]
        else:
            gather_x, gather_dy, spans = self._cheapest(kernel, sources, dy_source)
            x = [self._gathered(source, self._forward) if gather_x else None for source in sources]
            dy = self._gathered(dy_source, backward) if dy_source is not None and gather_dy else None
        for a, b in spans:
            launch = Launch(
                signature=group.signature,
                x=[
                    _span(source, a, b) if gathered is None else gathered[a:b]
                    for source, gathered in zip(sources, x, strict=True)
                ],
                y=y[a:b],
                parameters=[p[a:b] for p in parameters],
                dy=None if dy_source is None else _span(dy_source, a, b) if dy is None else dy[a:b],
                dx=[
                    None
                    if rows is None
                    else self._slope_tensors[self._input_shape(group, position)][rows[a] : rows[b - 1] + 1]
                    for position, rows in enumerate(self._dx_rows[g])
                ]
                if self._trains
                else (),
                gradients=[p[a:b] for p in gradients],
            )
            forward_call, backward_call = kernel.bind(launch)
            self._forward.append(forward_call)
            if backward_call is not None:
                backward.append(backward_call)
        return backward

    def _source(self, group: Group, position: int) -> tuple[Tensor, list[int]]:
        """Return the arena and rows of one input of a group."""
        members = [(p, self._programs[p].nodes[index].inputs[position]) for p, index in group.members]
        if members[0][1] == 0:
            return self._inputs, [p for p, _ in members]
        return self._value_tensors[self._input_shape(group, position)], [self._rows[m] for m in members]

    def _sum_calls(self, g: int, group: Group) -> list[Call]:
        """Return calls that add up the gradients of values with several users, always in the same order."""
        if not self._sums[g]:
            return []
        arena = self._slope_tensors[self._shape(group)]
        calls: list[Call] = []
        by_count: dict[int, list[tuple[int, list[int]]]] = defaultdict(list)
        for row, terms in self._sums[g]:
            by_count[len(terms)].append((row, terms))
        for count, entries in by_count.items():
            columns = [
                [row for row, _ in entries],
                *([terms[i] for _, terms in entries] for i in range(count)),
            ]
            for a, b in _runs(columns):
                target, first, second, *others = (arena[c[a] : c[a] + b - a] for c in columns)
                calls.append(_call(torch.add, first, second, out=target))
                calls += [_call(target.add_, other) for other in others]
        return calls

    def _cheapest(
        self,
        kernel: Kernel,
        sources: Sequence[tuple[Tensor, list[int]]],
        dy_source: tuple[Tensor, list[int]] | None,
    ) -> tuple[bool, bool, list[tuple[int, int]]]:
        """Decide whether to copy inputs, or the output's gradient, side by side, or to split the group."""
        columns = [rows for _, rows in sources]
        dy_columns = [] if dy_source is None else [dy_source[1]]
        num = len(columns[0])
        options = []
        for gather_x in (False, True):
            for gather_dy in (False, True)[: 1 + len(dy_columns)]:
                in_place = ([] if gather_x else columns) + ([] if gather_dy else dy_columns)
                spans = _runs(in_place) if in_place else [(0, num)]
                cost = len(spans) * kernel.cost * CALL_S
                copied = (list(sources) if gather_x else []) + (
                    [dy_source] if gather_dy and dy_source else []
                )
                for arena, _ in copied:
                    cost += CALL_S + num * arena[0].numel() * arena.element_size() * BYTE_S
                options.append((cost, gather_x, gather_dy, spans))
        _, gather_x, gather_dy, spans = min(options, key=lambda option: option[0])
        return gather_x, gather_dy, spans

    def _gathered(self, source: tuple[Tensor, list[int]], calls: list[Call]) -> Tensor:
        """Add a call that copies rows of an arena side by side; return where they go."""
        arena, rows = source
        target = arena.new_empty(len(rows), *arena.shape[1:])
        calls.append(_call(torch.index_select, arena, 0, self._index(rows), out=target))
        return target


def _call(function, *arguments, **keywords) -> Call:
    return lambda: function(*arguments, **keywords)


def _runs(columns: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Return spans within which every column counts up by one."""
    starts = [0]
    for i in range(1, len(columns[0])):
        if any(column[i] != column[i - 1] + 1 for column in columns):
            starts.append(i)
    return list(zip(starts, [*starts[1:], len(columns[0])], strict=True))


def _span(source: tuple[Tensor, list[int]], a: int, b: int) -> Tensor:
    arena, rows = source
    return arena[rows[a] : rows[b - 1] + 1]


def _padded(source: tuple[Tensor, list[int]], halo: int, calls: list[Call], *, before: bool) -> Tensor:
    """Add calls that copy rows side by side with `halo` steps of zeros before or after each."""
    arena, rows = source
    time = arena.shape[1]
    buffer = arena.new_zeros(len(rows), time + halo, *arena.shape[2:])
    inner = buffer[:, halo:] if before else buffer[:, :time]
    for a, b in _runs([rows]):
        calls.append(_call(inner[a:b].copy_, _span(source, a, b)))
    return buffer
