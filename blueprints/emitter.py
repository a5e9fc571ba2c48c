"""From a blueprint to plain PyTorch source that imports torch only; writes blocks, never whole models."""

from collections import Counter
from fractions import Fraction

from blueprints.cost import num_parameters
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language
from blueprints.parser import Blueprint
from blueprints.printer import to_tokens

_CAUSAL_CONV = '''

class CausalConv1d(nn.Module):
    """A convolution over time on [B, T, W] whose step t sees steps up to t alone."""

    def __init__(self, w_in: int, w_out: int, kernel_size: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(w_in, w_out, kernel_size, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x.transpose(1, 2), (self.conv.kernel_size[0] - 1, 0))
        return self.conv(x).transpose(1, 2)
'''


def emit(blueprint: Blueprint | Graph, class_name: str = "Block", language: Language = LANGUAGE) -> str:
    """Return source with one class `class_name(width=16)`, an nn.Module on `[B, T, width]`.

    Its submodules come in the order of the graph's nodes, so its `parameters()` match those of
    `compile_blueprint` one by one.
    """
    graph = blueprint.graph if isinstance(blueprint, Blueprint) else blueprint
    tokens = blueprint.tokens if isinstance(blueprint, Blueprint) else to_tokens(graph, language)
    init, forward = _body(graph, language)
    shape = "[B, T, width]" if graph.type.time == "sequence" else "[B, 1, width]"
    count = num_parameters(graph, 16, language)
    lines = [f'"""A module discovered by Tamiyo; {count:,} parameters at width 16."""', "", "import torch"]
    if any("F." in line for line in forward) or any("CausalConv1d" in line for line in init):
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import nn")
    if any("CausalConv1d" in line for line in init):
        lines.append(_CAUSAL_CONV.rstrip("\n"))
    lines += [
        "",
        "",
        f"class {class_name}(nn.Module):",
        f'    """Maps [B, T, width] to {shape}; width is a multiple of 16.',
        "",
        "    Program:",
        *_wrapped(tokens),
        '    """',
        "",
        "    def __init__(self, width: int = 16) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in init),
        "",
        "    def forward(self, x: torch.Tensor) -> torch.Tensor:",
        *(f"        {line}" for line in forward),
        "",
    ]
    return "\n".join(lines)


def _wrapped(tokens: tuple[str, ...], limit: int = 88) -> list[str]:
    lines, line = [], "       "
    for token in tokens:
        if len(line) + len(token) >= limit:
            lines.append(line)
            line = "       "
        line += " " + token
    return [*lines, line]


def _width(ratio: Fraction) -> str:
    """Return a width as an expression in `width`."""
    if ratio == 1:
        return "width"
    return f"width // {ratio.denominator}" if ratio.numerator == 1 else f"{ratio} * width"


def _body(graph: Graph, language: Language) -> tuple[list[str], list[str]]:
    """Return the lines of `__init__` after super, and those of `forward`."""
    remaining = Counter(source for node in graph.nodes for source in node.inputs)
    counts: Counter[str] = Counter()
    init: list[str] = []
    forward: list[str] = []
    variables = {0: "x"}
    free = iter(f"x{i}" for i in range(1, len(graph.nodes) + 1))
    for index, node in enumerate(graph.nodes[1:], start=1):
        row = language.ops[node.op]
        counts[node.op] += 1
        name = f"{node.op.lower()}_{counts[node.op]}"
        names = [variables[i] for i in node.inputs]
        values = {
            "w_in": _width(graph.input_types(index)[0].width),
            "w_out": _width(node.type.width),
            **{key: value for key, value in node.attributes if key != "width"},
        }
        if row.source.init:
            init.append(f"self.{name} = {row.source.init.format(**values)}")
        for source in node.inputs:
            remaining[source] -= 1
        reusable = [v for i, v in zip(node.inputs, names, strict=True) if remaining[i] == 0]
        target = reusable[0] if reusable else next(free)
        operands = dict(zip(("x", "y"), names, strict=False))
        forward.append(f"{target} = {row.source.forward.format(name=name, **operands)}")
        variables[index] = target
    last = forward.pop().split(" = ", 1)[1] if forward else "x"
    return init, [*forward, f"return {last}"]
