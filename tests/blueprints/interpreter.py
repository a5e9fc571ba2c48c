"""A plain interpreter of tokens: says what a program computes; knows neither grammar nor graph nor costs.

It reads tokens as docs/language.md describes them and does at once what each says, to tensors. Weights come
from outside: the modules of the ops of one input, in the order in which the program writes them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor, nn

from blueprints import LANGUAGE

CLOSERS = {"END", "RES_END", "GATE_END", "BRANCH_SEP", "LOOP_END", "SCAN_END"}
WIDTHS = {"QUARTER": Fraction(1, 4), "HALF": Fraction(1, 2), "IN": 1, "DOUBLE": 2, "QUAD": 4}


@dataclass(slots=True)
class Scope:
    """The program, or one run of a body: current value, named values, states as they were and will be."""

    value: Tensor
    states: list[Tensor] = field(default_factory=list)
    named: dict[str, Tensor] = field(default_factory=dict)
    stored: dict[int, Tensor] = field(default_factory=dict)

    def read(self, register: str) -> Tensor:
        kind, _, number = register.partition("_")
        return self.states[int(number)] if kind == "STATE" else self.named[register]

    def save(self, register: str) -> None:
        kind, _, number = register.partition("_")
        if kind == "STATE":
            self.stored[int(number)] = self.value
        else:
            self.named[register] = self.value


Step = Callable[[Scope], None]


def interpret(tokens: tuple[str, ...], ops: Iterator[nn.Module], x: Tensor) -> Tensor:
    """Return what a legal program makes of `x`, `[B, T, D]`; `ops` are its ops of one input, gates' too."""
    reader = _Reader([*tokens, "END"], ops, x.shape[2])
    body, closer = reader.body()
    assert closer == "END"
    assert not reader.tokens
    return body(Scope(x)).value


def merge(op: str, values: list[Tensor]) -> Tensor:
    """Return what an op of several inputs makes of them; a single step is broadcast."""
    first, second, *rest = torch.broadcast_tensors(*values) if op != "CONCAT" else values
    if op == "CONCAT":
        steps = max(first.shape[1], second.shape[1])
        return torch.cat([v.expand(-1, steps, -1) for v in (first, second)], dim=2)
    if op == "BLEND":
        return first * second + (1 - first) * rest[0]
    return {"ADD": torch.add, "MUL": torch.mul}[op](first, second)


class _Reader:
    """Reads tokens once, so that each op has its one module, into steps that may run often."""

    def __init__(self, tokens: list[str], ops: Iterator[nn.Module], width: int) -> None:
        self.tokens = tokens
        self.ops = ops
        self.width = width

    def body(self) -> tuple[Callable[[Scope], Scope], str]:
        """Read up to the token that closes the innermost block, or a part of it; return both."""
        steps: list[Step] = []
        while (token := self.tokens.pop(0)) not in CLOSERS and not token.startswith("MERGE_"):
            steps.append(self.step(token))

        def run(scope: Scope) -> Scope:
            for step in steps:
                step(scope)
            return scope

        return run, token

    def step(self, token: str) -> Step:
        blocks = {"RES_START": self.residual, "GATE_START": self.gate, "BRANCH_START": self.branches}
        bodies = {"LOOP_START": self.loop, "SCAN_START": self.scan}
        if token in blocks or token in bodies:
            return (blocks | bodies)[token]()
        if token == "SAVE":
            register = self.tokens.pop(0)
            return lambda scope: scope.save(register)
        if token == "LOAD":
            register = self.tokens.pop(0)
            return lambda scope: setattr(scope, "value", scope.read(register))
        return self.op(token)

    def op(self, name: str) -> Step:
        arity = LANGUAGE.table[name].arity
        if arity > 1:
            others = [self.tokens.pop(0) for _ in range(arity - 1)]
            return lambda scope: setattr(scope, "value", merge(name, [scope.value, *map(scope.read, others)]))
        while self.tokens[0] in LANGUAGE.vocabulary.attribute_tokens:
            self.tokens.pop(0)
        module = next(self.ops)
        return lambda scope: setattr(scope, "value", module(scope.value))

    # -- blocks ----------------------------------------------------------------------------------------------

    def residual(self) -> Step:
        body, _ = self.body()

        def run(scope: Scope) -> None:
            entry = scope.value
            scope.value = entry + body(scope).value

        return run

    def gate(self) -> Step:
        body, _ = self.body()
        sigmoid = next(self.ops)

        def run(scope: Scope) -> None:
            entry = scope.value
            scope.value = entry * sigmoid(body(scope).value)

        return run

    def branches(self) -> Step:
        parts, closer = [], "BRANCH_SEP"
        while closer == "BRANCH_SEP":
            part, closer = self.body()
            parts.append(part)

        def run(scope: Scope) -> None:
            entry, ends = scope.value, []
            for part in parts:
                scope.value = entry
                ends.append(part(scope).value)
            scope.value = merge(closer.removeprefix("MERGE_"), ends)

        return run

    def loop(self) -> Step:
        times = int(self.tokens.pop(0).removeprefix("REPEAT_"))
        body, _ = self.body()

        def run(scope: Scope) -> None:
            for _ in range(times):
                scope.value = body(Scope(scope.value)).value

        return run

    def scan(self) -> Step:
        width = int(WIDTHS[self.tokens.pop(0).removeprefix("OUT_DIM_")] * self.width)
        body, _ = self.body()

        def run(scope: Scope) -> None:
            states = [scope.value.new_zeros(len(scope.value), 1, width)] * 3
            ends = []
            for x in scope.value.split(1, dim=1):
                after = body(Scope(x, states))
                earlier = zip((1, 2), states, strict=False)
                states = [after.value, *(after.stored.get(k, before) for k, before in earlier)]
                ends.append(after.value)
            scope.value = torch.cat(ends, dim=1)

        return run
