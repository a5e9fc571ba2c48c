"""Parameters and FLOPs of a graph, counted from the op table without building a module."""

from blueprints.graph import LOOP, Graph
from blueprints.language import LANGUAGE, Language, resolve


def num_parameters(graph: Graph, width: int, language: Language = LANGUAGE) -> int:
    """Return the number of trainable scalars in a host of width `width`."""
    return sum(p.size for row in language.parameters(graph, width) for p in row)


def flops(graph: Graph, width: int, time: int, language: Language = LANGUAGE) -> int:
    """Return the forward FLOPs of one example of `time` steps in a host of width `width`.

    A multiply-add counts as two. A pool reads every step of its input; any other op is paid for each step
    of its output; a loop for each repetition.
    """
    return sum(_node_flops(graph, index, width, time, language) for index in range(1, len(graph.nodes)))


def _node_flops(graph: Graph, index: int, width: int, time: int, language: Language) -> int:
    node = graph.nodes[index]
    if node.body is not None:
        times = int(node.attribute("repeat")) if node.op == LOOP else time
        return times * flops(node.body, width, time, language)
    if node.op not in language.table:
        return 0
    op = language.table[node.op]
    x = graph.input_types(index)[0]
    steps = x.steps(time) if op.pools else node.type.steps(time)
    w_out = node.type.channels(width)
    return steps * op.flops(x.channels(width) if op.arity == 1 else w_out, w_out, resolve(node, width))
