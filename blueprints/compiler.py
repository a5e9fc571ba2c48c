"""From a graph to an nn.Module that runs one blueprint at a time; training many is the Crucible's work."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from blueprints.graph import LOOP, SCAN, STATE, Graph, Node
from blueprints.language import LANGUAGE, Language, resolve
from blueprints.modules import MODULES, ModuleBuilder
from blueprints.parser import Blueprint


class BlueprintModule(nn.Module):
    """A graph in a host of width D: maps `[B, T, D]` to `[B, T, D]`, or to `[B, 1, D]` after a pool.

    `parameters()` come in the order of the graph's nodes and, within one, of its row in the op table.

    Attributes:
        graph: what it computes.
        width: D, a multiple of 16.
        ops: one module a node, the input excluded.
    """

    def __init__(self, graph: Graph, width: int, modules: Mapping[str, ModuleBuilder] = MODULES) -> None:
        super().__init__()
        if width < 16 or width % 16:
            raise ValueError(f"a host's width must be a positive multiple of 16, got {width}")
        self.graph = graph
        self.width = width
        self.ops = nn.ModuleList(
            _node_module(graph, index, width, modules) for index in range(1, len(graph.nodes))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the graph to `x`, `[B, T, D]`."""
        return self.values(x)[self.graph.output]

    def values(self, x: torch.Tensor, states: Sequence[torch.Tensor] = ()) -> list[torch.Tensor]:
        """Return what every node makes of `x`; a scan's body also reads its `states`, each `[B, 1, W]`."""
        values = [x]
        for node, op in zip(self.graph.nodes[1:], self.ops, strict=True):
            if node.op == STATE:
                values.append(states[int(node.attribute("index"))])
            else:
                values.append(op(*(values[i] for i in node.inputs)))
        return values


class Loop(nn.Module):
    """A body applied several times with the same weights."""

    def __init__(self, body: BlueprintModule, repeat: int) -> None:
        super().__init__()
        self.body = body
        self.repeat = repeat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a value to one of the same type."""
        for _ in range(self.repeat):
            x = self.body(x)
        return x


class Scan(nn.Module):
    """A recurrent cell over time: its body sees one step and the states that the step before left."""

    def __init__(self, body: BlueprintModule, state_width: int) -> None:
        super().__init__()
        self.body = body
        self.state_width = state_width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, W]` to the cell's outputs `[B, T, state_width]`; states start at zero."""
        stores = self.body.graph.stores
        states = [x.new_zeros(x.shape[0], 1, self.state_width) for _ in stores]
        outputs = []
        for step in range(x.shape[1]):
            values = self.body.values(x[:, step : step + 1], states)
            states = [values[i] for i in stores]
            outputs.append(states[0])
        return torch.cat(outputs, dim=1)


def compile_blueprint(
    blueprint: Blueprint | Graph, width: int, language: Language = LANGUAGE
) -> BlueprintModule:
    """Return the module of a blueprint in a host of width `width`, with torch's default initial values."""
    graph = blueprint.graph if isinstance(blueprint, Blueprint) else blueprint
    return BlueprintModule(graph, width, modules_of(language))


def modules_of(language: Language) -> Mapping[str, ModuleBuilder]:
    """Return the module builder of every op of a language, the user's own included."""
    return {**MODULES, **{op.name: op.module for op in language.ops if op.module is not None}}


def _node_module(graph: Graph, index: int, width: int, modules: Mapping[str, ModuleBuilder]) -> nn.Module:
    node: Node = graph.nodes[index]
    if node.op == STATE:
        return nn.Identity()
    if node.body is not None:
        body = BlueprintModule(node.body, width, modules)
        if node.op == LOOP:
            return Loop(body, int(node.attribute("repeat")))
        assert node.op == SCAN, f"{node.op} has a body"
        return Scan(body, node.type.channels(width))
    w_in = graph.input_types(index)[0].channels(width)
    return modules[node.op](w_in, node.type.channels(width), resolve(node, width))
