"""Parameters and FLOPs of a graph, counted from the op table without building a module."""

from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language, resolve


def num_parameters(graph: Graph, width: int, language: Language = LANGUAGE) -> int:
    """Return the number of trainable scalars in a host of width `width`."""
    return sum(p.size for row in language.parameters(graph, width) for p in row)


def flops(graph: Graph, width: int, time: int, language: Language = LANGUAGE) -> int:
    """Return the forward FLOPs of one example of `time` steps in a host of width `width`.

    A multiply-add counts as two. A pool reads every step of its input; any other op is paid for each step
    of its output.
    """
    total = 0
    for index, node in enumerate(graph.nodes):
        if node.op not in language.ops:
            continue
        op = language.ops[node.op]
        x = graph.input_types(index)[0]
        steps = x.steps(time) if op.pools else node.type.steps(time)
        total += steps * op.flops(x.channels(width), node.type.channels(width), resolve(node, width))
    return total
