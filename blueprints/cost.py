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
    nodes, total = graph.nodes, 0
    widths = [node.type.channels(width) for node in nodes]
    for node, w_out in zip(nodes, widths, strict=True):
        if node.body is not None:
            times = int(node.attribute("repeat")) if node.op == LOOP else time
            total += times * flops(node.body, width, time, language)
        elif node.op in language.table:
            op, source = language.table[node.op], node.inputs[0]
            paid = nodes[source].type if op.pools else node.type
            w_in = widths[source] if op.arity == 1 else w_out
            total += paid.steps(time) * op.flops(w_in, w_out, resolve(node, width))
    return total
