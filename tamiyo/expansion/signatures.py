"""Reads from a unit's source whether it defines what its interface asks for; runs nothing."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from tamiyo.expansion.interfaces import UNIT_INTERFACES
from tamiyo.expansion.records import UnitName


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a unit defines: a class with methods, or a function, and the arguments that each takes."""

    name: str
    methods: Mapping[str, tuple[str, ...]]


SIGNATURES: Mapping[UnitName, Signature] = {
    "embedding": Signature(name="Embedding", methods={"__init__": ("config",), "forward": ("inputs",)}),
    "layer": Signature(name="Layer", methods={"__init__": ("config", "block"), "forward": ("x",)}),
    "head": Signature(name="Head", methods={"__init__": ("config", "embedding"), "forward": ("x",)}),
    "initialisation": Signature(name="initialise", methods={"": ("model", "config")}),
}


def missing(name: UnitName, source: str) -> str:
    """Return what a unit's source lacks of its interface, with the interface, or nothing.

    Args:
        name: the unit.
        source: Python that parses.
    """
    signature = SIGNATURES[name]
    found = _missing(signature, ast.parse(source))
    return f"{name}.py: {found}. Expected:\n{UNIT_INTERFACES[name].strip()}" if found else ""


def _missing(signature: Signature, tree: ast.Module) -> str:
    kind = ast.FunctionDef if "" in signature.methods else ast.ClassDef
    word = "function" if kind is ast.FunctionDef else "class"
    node = next((n for n in tree.body if isinstance(n, kind) and n.name == signature.name), None)
    if node is None:
        others = [n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        return f"defines no {word} `{signature.name}` (it defines {', '.join(others) or 'none'})"
    if isinstance(node, ast.FunctionDef):
        return _miscalled(node, signature.methods[""], 0)
    methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
    for method, arguments in signature.methods.items():
        if method not in methods:
            return f"line {node.lineno}: class {node.name} has no method `{method}`"
        wrong = _miscalled(methods[method], arguments, 1)
        if wrong:
            return wrong
    return ""


def _miscalled(node: ast.FunctionDef, arguments: tuple[str, ...], num_own: int) -> str:
    """Return how a function cannot be called with so many arguments beside its own `self`."""
    given = node.args
    positional = [a.arg for a in (*given.posonlyargs, *given.args)][num_own:]
    required = len(positional) - len(given.defaults)
    keyword_only = [a.arg for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d is None]
    is_callable = required <= len(arguments) and (
        len(arguments) <= len(positional) or given.vararg is not None
    )
    if is_callable and not keyword_only:
        return ""
    shown = ", ".join([*positional, *(f"*, {name}" for name in keyword_only)])
    called = ", ".join(arguments)
    return f"line {node.lineno}: `{node.name}` takes ({shown}), expected to be called with ({called})"
