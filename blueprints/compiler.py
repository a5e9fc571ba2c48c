"""From a graph to an nn.Module that runs one blueprint at a time; training many is the Crucible's work."""

from collections.abc import Mapping

import torch
from torch import nn

from blueprints.graph import Graph
from blueprints.language import resolve
from blueprints.modules import MODULES, ModuleBuilder
from blueprints.parser import Blueprint


class BlueprintModule(nn.Module):
    """A blueprint in a host of width D: maps `[B, T, D]` to `[B, T, D]`, or to `[B, 1, D]` after a pool.

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
        self.ops = nn.ModuleList()
        for index, node in enumerate(graph.nodes[1:], start=1):
            w_in = graph.input_types(index)[0].channels(width)
            self.ops.append(modules[node.op](w_in, node.type.channels(width), resolve(node, width)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the blueprint to `x`, `[B, T, D]`."""
        values = [x]
        for node, op in zip(self.graph.nodes[1:], self.ops, strict=True):
            values.append(op(*(values[i] for i in node.inputs)))
        return values[-1]


def compile_blueprint(blueprint: Blueprint | Graph, width: int) -> BlueprintModule:
    """Return the module of a blueprint in a host of width `width`, with torch's default initial values."""
    graph = blueprint.graph if isinstance(blueprint, Blueprint) else blueprint
    return BlueprintModule(graph, width)
