"""Where each parameter of many programs lies in one flat buffer; leaves values to plan.py.

Axes: J programs, P scalars of one program in torch.nn's order, R rows of `ROW` scalars of the buffer.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from crucible.engines.kernels import Block, Kernel
from crucible.engines.schedule import Group
from crucible.initialisation import split
from crucible.program import Program

#: Scalars a row; every stack starts at a row, so that no vector register straddles two programs.
ROW = 16


class Layout:
    """One stack `[M, *shape]` a (group, block), one behind the other.

    Attributes:
        num_rows: rows of the buffer.
        row_order: `[R']`, the rows of program 0 in the order of its nodes, then those of program 1, ...
        row_counts: `[J]`, the number of rows of each program.
        frozen_rows: `[R']`, those of all programs that do not learn.
    """

    def __init__(
        self, programs: Sequence[Program], groups: Sequence[Group], kernels: Mapping[str, Kernel], time: int
    ) -> None:
        self._programs = programs
        self._groups = groups
        self._stacks: list[list[tuple[Block, int]]] = []
        places: dict[tuple[int, int], list[tuple[Block, int, int]]] = {}
        self.num_rows = 0
        for group in groups:
            p, index = group.members[0]
            stacks = []
            for block in kernels[group.signature.op].blocks(programs[p].nodes[index], time):
                stacks.append((block, self.num_rows))
                height = _height(block)
                for place, member in enumerate(group.members):
                    places.setdefault(member, []).append((block, self.num_rows + place * height, height))
                self.num_rows += height * len(group.members)
            self._stacks.append(stacks)
        self._places = [
            [
                [(block, row, height) for block, row, height in places.get((p, index), ())]
                for index in range(len(program.nodes))
            ]
            for p, program in enumerate(programs)
        ]
        orders = [
            [r for node in nodes for _, row, height in node for r in range(row, row + height)]
            for nodes in self._places
        ]
        self.row_counts = torch.tensor([len(order) for order in orders])
        self.row_order = torch.from_numpy(
            np.concatenate([np.asarray(order, dtype=np.int64) for order in orders])
        )

        self.frozen_rows = torch.tensor(
            [
                r
                for program, nodes in zip(programs, self._places, strict=True)
                if program.graft is not None
                for _, row, height in (*nodes[1], *nodes[-1])
                for r in range(row, row + height)
            ],
            dtype=torch.int64,
        )

    def stacks(self, buffer: Tensor) -> list[list[Tensor]]:
        """Return, for each group, views `[M, *shape]` of the flat `buffer`, one a block."""
        rows_RC = buffer.view(-1, ROW)
        views = []
        for group, stacks in zip(self._groups, self._stacks, strict=True):
            num = len(group.members)
            views.append(
                [
                    rows_RC[row : row + num * _height(block)]
                    .view(num, -1)[:, : _size(block)]
                    .view(num, *block.shape)
                    for block, row in stacks
                ]
            )
        return views

    def write(self, buffer: Tensor, index: int, flat_P: Tensor) -> None:
        """Copy the parameters of program `index` into `buffer`."""
        for piece, place in self._pieces(buffer, index, flat_P):
            place.copy_(piece)

    def read(self, buffer: Tensor, index: int) -> Tensor:
        """Return the parameters, or gradients, of program `index` as `[P]`; zero where nothing is stored."""
        flat_P = torch.zeros(self._programs[index].num_parameters, dtype=buffer.dtype)
        for piece, place in self._pieces(buffer, index, flat_P):
            piece.copy_(place)
        return flat_P

    def _pieces(self, buffer: Tensor, index: int, flat_P: Tensor) -> list[tuple[Tensor, Tensor]]:
        program = self._programs[index]
        parameters = iter(split(program, flat_P))
        pieces = []
        for node, places in zip(program.nodes, self._places[index], strict=True):
            own = [next(parameters) for _ in node.parameters]
            for block, row, _ in places:
                place = buffer[row * ROW : row * ROW + _size(block)].view(block.shape)
                pieces.append((block.view(own[block.parameter]), place))
        return pieces


def _size(block: Block) -> int:
    size = 1
    for extent in block.shape:
        size *= extent
    return size


def _height(block: Block) -> int:
    return -(-_size(block) // ROW)
