"""From programs to the interpreter's node records: loops unrolled, scans laid flat; leaves running to C++.

A loop's repetitions share their parameters' places. Of a scan, the nodes that depend on no state become
ordinary records over all steps; the others follow one another and carry the scan's number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from blueprints.graph import LOOP, SCAN, STATE
from crucible.program import (
    HOST_GATE,
    HOST_GRAFT,
    HOST_INPUT,
    HOST_MEAN,
    HOST_READOUT,
    Body,
    Program,
    ProgramNode,
    Signature,
)

#: Fields of one record, as src/request.h has them.
FIELDS = (
    *("op", "input_0", "input_1", "input_2", "width", "sequence", "parameters"),
    *("kernel", "dilation", "signed", "parts", "full", "scan", "store"),
)
#: Ops of the host that are rows of the table under another name.
ALIASES = {
    HOST_INPUT: "LINEAR",
    HOST_READOUT: "LINEAR",
    HOST_MEAN: "POOL_MEAN",
    HOST_GATE: "SCALE",
    HOST_GRAFT: "ADD",
}
#: Ops that become other records: a loop is unrolled, a scan laid flat.
DISSOLVED = frozenset({LOOP, SCAN})
#: Attributes that say into how many parts an op divides its width or its work, or how many rows it has.
PARTS = ("heads", "experts", "divisor", "vocabulary")
NONE = -1
NO_INPUTS = (NONE, NONE, NONE)
#: The settings of an op without attributes.
NO_SETTINGS = (1, 1, 0, 1, 0)
_STORE = FIELDS.index("store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A program for the interpreter.

    Attributes:
        table: `[N, fields]` int32.
        pooled: the record whose value is read out; averaged over time it is the fingerprint.
    """

    table: np.ndarray
    pooled: int


def ops_of(program: Program) -> set[str]:
    """Return the ops of a program, in loops and scans too, under the names of the interpreter's table."""
    return {ALIASES.get(op, op) for op in _ops(program.nodes)}


def _ops(nodes: Sequence[ProgramNode]) -> Iterator[str]:
    for node in nodes:
        yield node.signature.op
        if node.signature.body is not None:
            yield from _ops(node.signature.body.nodes)


def build_records(program: Program, rows: Mapping[str, int]) -> Records:
    """Return the records of `program`; `rows` gives each op its row of the table."""
    writer = _Writer(rows)
    places: list[int] = []
    offset = 0
    for node in program.nodes:
        places.append(writer.add(node, [places[i] for i in node.inputs], offset))
        offset += node.size
    return Records(table=np.asarray(writer.records, dtype=np.int32), pooled=places[program.pooled])


@dataclass(slots=True)
class _Writer:
    rows: Mapping[str, int]
    records: list[list[int]] = field(default_factory=list)
    num_scans: int = 0

    def add(
        self, node: ProgramNode, inputs: Sequence[int], offset: int, *, steps: bool = False, scan: int = 0
    ) -> int:
        """Add the records of one node; return the one that holds its value.

        Inside a scan's body (`steps`) every value has as many steps as the scan's input.
        """
        signature = node.signature
        if signature.op == LOOP:
            return self._add_loop(signature, inputs, offset, steps, scan)
        if signature.op == SCAN:
            return self._add_scan(signature, inputs, offset)
        self.records.append(
            [
                self.rows[ALIASES.get(signature.op, signature.op)],
                *inputs,
                *NO_INPUTS[len(inputs) :],
                signature.width,
                int(steps or signature.sequence),
                offset,
                *(_settings(signature) if signature.attributes else NO_SETTINGS),
                scan,
                NONE,
            ]
        )
        return len(self.records) - 1

    def _add_loop(
        self, signature: Signature, inputs: Sequence[int], offset: int, steps: bool, scan: int
    ) -> int:
        body = _body(signature)
        (value,) = inputs
        for _ in range(signature.attribute("repeat")):
            places = [value]
            for node, start in _after_input(body, offset):
                places.append(self.add(node, [places[i] for i in node.inputs], start, steps=steps, scan=scan))
            value = places[body.output]
        return value

    def _add_scan(self, signature: Signature, inputs: Sequence[int], offset: int) -> int:
        body = _body(signature)
        self.num_scans += 1
        number = self.num_scans
        places = {0: inputs[0]}
        rows = list(enumerate(_after_input(body, offset), start=1))
        at_once = [row for row in rows if row[0] not in body.recurrent]
        step_by_step = [row for row in rows if row[0] in body.recurrent]
        for index, (node, start) in at_once:
            places[index] = self.add(node, [places[i] for i in node.inputs], start, steps=True)
        for index, (node, start) in step_by_step:
            places[index] = self.add(node, [places[i] for i in node.inputs], start, steps=True, scan=number)
        for index, (node, _) in step_by_step:
            if node.signature.op == STATE:
                self.records[places[index]][_STORE] = places[body.stores[node.signature.attribute("index")]]
        return places[body.output]


def _settings(signature: Signature) -> tuple[int, ...]:
    """Return what a record has of an op's attributes."""
    attributes = dict(signature.attributes)
    return (
        attributes.get("kernel", 1),
        attributes.get("dilation", 1),
        attributes.get("signed", 0),
        next((attributes[name] for name in PARTS if name in attributes), 1),
        attributes.get("full", 0),
    )


def _body(signature: Signature) -> Body:
    assert signature.body is not None, f"{signature.op} has a body"
    return signature.body


def _after_input(body: Body, offset: int) -> Iterator[tuple[ProgramNode, int]]:
    """Yield the nodes of a body but its input, each with the place of its parameters."""
    for node in body.nodes:
        if node is not body.nodes[0]:
            yield node, offset
        offset += node.size
