"""Compares what came out of a sandbox with what the compiled blueprint makes of the same numbers."""

import ast
from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: Most that two float64 results may differ to be equal, relative to the largest of them and at least 1.
TOLERANCE = 1e-9
#: The same where they come from batches or lengths of different size, hence summed in another order.
LOOSE_TOLERANCE = 1e-6


def gap(one: Tensor, other: Tensor) -> float:
    """Return the largest difference relative to the largest value, and at least 1; inf where shapes differ.

    Places where both are the same infinity, or both no number, are equal.
    """
    if one.shape != other.shape:
        return float("inf")
    if not one.numel():
        return 0.0
    one, other = one.double(), other.double()
    same = (one == other) | (one.isnan() & other.isnan())
    difference = torch.where(same, 0.0, (one - other).abs())
    finite = other[other.isfinite()]
    scale = max(1.0, float(finite.abs().max())) if finite.numel() else 1.0
    worst = float(difference.max())
    return float("inf") if worst != worst else worst / scale


def same_program(source: str, emitted: str) -> bool:
    """Whether two sources are the same program, docstrings and layout aside."""
    try:
        return _without_docstrings(source) == _without_docstrings(emitted)
    except SyntaxError:
        return False


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def block_difference(module: nn.Module, answers: Mapping[str, Tensor], probes: Mapping[str, Tensor]) -> str:
    """Return where the blocks' answers differ from the compiled blueprint's, or nothing.

    Args:
        module: the compiled blueprint, in float64, with the weights that went into the sandbox.
        answers: `alone.K` for each probe of that name, and `in.I.C` and `out.I.C` for call C of
            block I in place.
        probes: what went in.
    """
    pairs = [
        (f"Block alone, {name}", probes[name], answers.get(name)) for name in probes if name[:6] == "alone."
    ]
    for name in sorted(answers):
        if name.startswith("in."):
            pairs.append(
                (f"block {name[3:].split('.')[0]} in place", answers[name], answers.get(f"out{name[2:]}"))
            )
    for where, given, came in pairs:
        with torch.no_grad():
            expected = module(given.double())
        if came is None or came.shape != expected.shape:
            shape = None if came is None else list(came.shape)
            return f"{where}: gave the shape {shape}, the compiled blueprint gives {list(expected.shape)}"
        distance = gap(came, expected)
        if not distance <= TOLERANCE:
            return (
                f"{where}: differs from the compiled blueprint by {distance:.1e} of its largest value on "
                f"{list(given.shape)}, expected at most {TOLERANCE:.0e}"
            )
    return ""


def dead_parameters(module: nn.Module, inputs: list[Tensor], generator: torch.Generator) -> set[int]:
    """Return which parameters of the compiled blueprint get no gradient on `inputs`, by their number."""
    module.zero_grad()
    for given in inputs:
        output = module(given.double())
        if output.requires_grad:
            (output * torch.randn(output.shape, generator=generator, dtype=torch.float64)).sum().backward()
    return {i for i, p in enumerate(module.parameters()) if p.grad is None or not bool(p.grad.any())}
