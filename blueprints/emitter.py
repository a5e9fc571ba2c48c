"""From a blueprint to plain PyTorch source that imports torch only; writes blocks, never whole models."""

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from blueprints.cost import num_parameters
from blueprints.graph import LOOP, STATE, Graph
from blueprints.language import LANGUAGE, Language
from blueprints.parser import Blueprint
from blueprints.printer import to_tokens

MODULES = Path(__file__).parent / "modules"


def emit(
    blueprint: Blueprint | Graph,
    class_name: str = "Block",
    language: Language = LANGUAGE,
    provenance: str = "",
) -> str:
    """Return source with one class `class_name(width=16)`, an nn.Module on `[B, T, width]`.

    Its submodules come in the order of the graph's nodes, so its `parameters()` match those of
    `compile_blueprint` one by one. Classes that it needs, and one for each loop and scan, stand before it.

    Args:
        blueprint: what is written.
        class_name: name of the class.
        language: the language of the blueprint.
        provenance: where the blueprint comes from, for the docstring.
    """
    graph = blueprint.graph if isinstance(blueprint, Blueprint) else blueprint
    tokens = blueprint.tokens if isinstance(blueprint, Blueprint) else to_tokens(graph, language)
    writer = _Writer(class_name, language)
    writer.write_block(graph, _docstring(graph, tokens, language, provenance))
    body = "".join(f"\n\n{text}\n" for text in (*writer.needed_classes(), *writer.classes))
    imports = ["import torch"]
    if re.search(r"\bF\.", body):
        imports.append("import torch.nn.functional as F")
    imports.append("from torch import nn")
    count = num_parameters(graph, 16, language)
    head = f'"""A module discovered by Tamiyo; {count:,} parameters at width 16."""'
    return "\n".join([head, "", *imports, ""]) + body


def _docstring(graph: Graph, tokens: Sequence[str], language: Language, provenance: str) -> list[str]:
    shape = "[B, T, width]" if graph.type.time == "sequence" else "[B, 1, width]"
    counts = (f"{num_parameters(graph, width, language):,} at width {width}" for width in (16, 64))
    lines = [
        f"Maps [B, T, width] to {shape}; width is a multiple of 16.",
        "",
        f"Parameters: {', '.join(counts)}.",
        "",
        "Program:",
        *_wrapped(tokens),
    ]
    return [*lines, "", f"Provenance: {provenance}"] if provenance else lines


def _wrapped(tokens: Sequence[str], limit: int = 80) -> list[str]:
    lines, line = [], "   "
    for token in tokens:
        if len(line) + len(token) >= limit:
            lines.append(line)
            line = "   "
        line += " " + token
    return [*lines, line]


def _width(ratio: Fraction) -> str:
    """Return a width as an expression in `width`."""
    product = "width" if ratio.numerator == 1 else f"{ratio.numerator} * width"
    return product if ratio.denominator == 1 else f"{product} // {ratio.denominator}"


@dataclass(slots=True)
class _Lines:
    """The lines of a scope: those of `__init__` after super, those of the forward, and where values are."""

    init: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    variables: dict[int, str] = field(default_factory=dict)


class _Writer:
    """Writes the class of a graph, and before it the classes of its bodies."""

    def __init__(self, class_name: str, language: Language) -> None:
        self.class_name = class_name
        self.language = language
        self.classes: list[str] = []
        self.needed: dict[str | type, None] = {}
        self.numbers: Counter[str] = Counter()

    def needed_classes(self) -> Iterator[str]:
        """Yield the source of the classes that ops need, in the order of their first use."""
        for needed in self.needed:
            yield (inspect.getsource(needed) if isinstance(needed, type) else _class_source(needed)).rstrip()

    def write_block(self, graph: Graph, docstring: list[str]) -> None:
        """Add the class of the program itself."""
        lines = self._scope(graph, {0: "x"})
        returned = _returned(lines, graph.output)
        self._add(self.class_name, docstring, lines.init, "width: int = 16", {"forward": (["x"], returned)})

    def _write_loop(self, name: str, graph: Graph, repeat: int) -> None:
        lines = self._scope(graph, {0: "x"})
        forward = [f"for _ in range({repeat}):", "    x = self.body(x)", "return x"]
        docstring = [f"Applies its body {repeat} times with the same weights."]
        methods = {"body": (["x"], _returned(lines, graph.output)), "forward": (["x"], forward)}
        self._add(name, docstring, lines.init, "width: int", methods)

    def _write_scan(self, name: str, graph: Graph) -> None:
        states = [f"h{k}" for k in range(len(graph.stores))]
        given = {i: f"h{n.attribute('index')}" for i, n in enumerate(graph.nodes) if n.op == STATE}
        lines = self._scope(graph, {0: "x", **given})
        stored = ", ".join(lines.variables[i] for i in graph.stores)
        step = [*lines.forward, f"return {stored}{',' if len(states) == 1 else ''}"]
        forward = [
            f"states = [x.new_zeros(x.shape[0], 1, self.state_width) for _ in range({len(states)})]",
            "outputs = []",
            "for x_t in x.split(1, dim=1):",
            "    states = self.step(x_t, *states)",
            "    outputs.append(states[0])",
            "return torch.cat(outputs, dim=1)",
        ]
        init = [f"self.state_width = {_width(graph.type.width)}", *lines.init]
        docstring = ["A recurrent cell over time; its states start at zero."]
        methods = {"step": (["x", *states], step), "forward": (["x"], forward)}
        self._add(name, docstring, init, "width: int", methods)

    def _add(
        self,
        name: str,
        docstring: list[str],
        init: list[str],
        argument: str,
        methods: dict[str, tuple[list[str], list[str]]],
    ) -> None:
        """Add a class of methods on tensors, each its arguments and lines."""
        quoted = [f'    """{docstring[0]}', *_indented(docstring[1:], 1), '    """']
        if len(docstring) == 1:
            quoted = [f'    """{docstring[0]}"""']
        lines = [f"class {name}(nn.Module):", *quoted, ""]
        lines += [f"    def __init__(self, {argument}) -> None:", "        super().__init__()"]
        lines += _indented(init, 2)
        for method, (arguments, body) in methods.items():
            typed = ", ".join(f"{argument}: torch.Tensor" for argument in arguments)
            returns = "tuple[torch.Tensor, ...]" if method == "step" else "torch.Tensor"
            signature = f"    def {method}(self, {typed}) -> {returns}:"
            if len(signature) > 88:
                signature = f"    def {method}(\n        self, {typed}\n    ) -> {returns}:"
            lines += ["", signature, *_indented(body, 2)]
        self.classes.append("\n".join(lines))

    def _scope(self, graph: Graph, variables: dict[int, str]) -> _Lines:
        """Return the lines that compute every node of a graph from what `variables` already hold."""
        lines = _Lines(variables=dict(variables))
        remaining = Counter(source for node in graph.nodes for source in node.inputs)
        remaining.update(graph.stores or [graph.output])
        counts: Counter[str] = Counter()
        free = (f"x{i}" for i in range(1, len(graph.nodes) + 1))
        for index, node in enumerate(graph.nodes):
            if index in variables:
                continue
            counts[node.op] += 1
            name = f"{node.op.lower()}_{counts[node.op]}"
            names = [lines.variables[i] for i in node.inputs]
            lines.init += self._init(graph, index, name)
            remaining.subtract(node.inputs)
            reusable = [v for i, v in zip(node.inputs, names, strict=True) if remaining[i] == 0]
            target = next((v for v in reusable if re.fullmatch(r"x\d*", v)), None) or next(free)
            operands = dict(zip("xyz", names, strict=False))
            row = self.language.table.get(node.op)
            template = "self.{name}({x})" if row is None else row.source.forward
            lines.forward.append(f"{target} = {template.format(name=name, **operands)}")
            lines.variables[index] = target
        return lines

    def _init(self, graph: Graph, index: int, name: str) -> list[str]:
        """Return the line that makes a node's submodule, if it has one."""
        node = graph.nodes[index]
        if node.body is not None:
            kind = "Loop" if node.op == LOOP else "Cell"
            self.numbers[kind] += 1
            class_name = f"{self.class_name}{kind}{self.numbers[kind]}"
            if node.op == LOOP:
                self._write_loop(class_name, node.body, int(node.attribute("repeat")))
            else:
                self._write_scan(class_name, node.body)
            return [f"self.{name} = {class_name}(width)"]
        source = self.language.table[node.op].source
        self.needed.update(dict.fromkeys(source.classes))
        values = {
            "w_in": _width(graph.input_types(index)[0].width),
            "w_out": _width(node.type.width),
            **{key: value for key, value in node.attributes if key != "width"},
        }
        return [f"self.{name} = {source.init.format(**values)}"] if source.init else []


def _returned(lines: _Lines, output: int) -> list[str]:
    """Return the forward's lines, the last of which returns what it computes."""
    if not lines.forward:
        return ["return x"]
    target, value = lines.forward[-1].split(" = ", 1)
    if lines.variables[output] != target:
        return [*lines.forward, f"return {lines.variables[output]}"]
    return [*lines.forward[:-1], f"return {value}"]


def _indented(lines: Sequence[str], depth: int) -> list[str]:
    return [f"{'    ' * depth}{line}" if line else "" for line in lines]


@lru_cache(maxsize=1)
def _class_sources() -> dict[str, str]:
    """Return the source of every class in modules/, read without importing torch."""
    sources = {}
    for path in sorted(MODULES.glob("*.py")):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                sources[node.name] = ast.get_source_segment(text, node) or ""
    return sources


def _class_source(name: str) -> str:
    return _class_sources()[name]
