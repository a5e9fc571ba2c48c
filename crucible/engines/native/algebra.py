"""Rewrites records to less work for the same function and training; leaves running them to C++.

Three rewrites, all exact in real arithmetic, gradients included:

- A mean over time commutes with what is affine and acts on each step alone, the last step with all that acts
  on each step alone; so such nodes work on one step instead of T. Where all data have one step, pools vanish.
- LINEARs and convolutions that follow one another become one map, whose weights are multiplied out once a
  step of training (rows `weights`, `product` and `merged`), where that costs less.
- Nodes on which neither the loss nor the slot's output depends are left out.

The bodies of scans, which run step by step, stay as they are. In float32 results are equal up to rounding; at
parameters around 1e19 and beyond a product of weights overflows where the values between two maps may not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from blueprints.graph import INPUT
from crucible.engines.native.records import FIELDS, NONE, Records

#: The interpreter's rows for chains of maps: the first map, one more after it, and the chain applied.
WEIGHTS, PRODUCT, MERGED = "weights", "product", "merged"
AFFINE = frozenset({"LINEAR", "CONV1D"})
KINDS = MEAN, LAST = "POOL_MEAN", "POOL_LAST"
POOLS = frozenset({*KINDS, "POOL_MAX"})
#: Ops that map each step alone; those of more inputs take a single step along with a sequence.
STEPWISE = frozenset(
    {
        *("LINEAR", "SCALE", "ADD", "MUL", "CONCAT", "BLEND", "LAYERNORM", "RMSNORM", "MOE", "KWINNERS"),
        *("RELU", "LEAKY_RELU", "ELU", "GELU", "SILU", "TANH", "SIGMOID", "SOFTPLUS", "SIN", "MISH"),
        *("HARD_SWISH", "SQUARE_RELU", "ABS"),
    }
)
#: Of these, the ones that are affine in all sequences that they take together.
SUMS = frozenset({"LINEAR", "SCALE", "ADD", "CONCAT"})

#: Places of a record's fields, and of how many inputs it has room for.
WIDTH, SEQUENCE, KERNEL, DILATION = (FIELDS.index(n) for n in ("width", "sequence", "kernel", "dilation"))
SCAN, STORE = FIELDS.index("scan"), FIELDS.index("store")
MOST_INPUTS = 3
_PLACE = attrgetter("place")
#: Scalars of a vector: rows of weights, and batches, are padded to a multiple of it.
LINE = 16
#: Multiply-adds that reading or writing one scalar is worth, about.
TOUCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the records will compute.

    Attributes:
        batch: examples of a step of training.
        steps: T in training.
        is_single: whether T = 1 in all that will ever be computed, exams included.
    """

    batch: int
    steps: int
    is_single: bool

    def columns(self, node: "Node") -> int:
        """Return the columns of a node's value: examples, padded, at all steps."""
        return _padded(self.batch) * (self.steps if node.sequence else 1)

    def taps(self, node: "Node") -> int:
        """Return how many taps of an affine node see a step at all."""
        return min(node.kernel, (self.steps - 1) // node.dilation + 1)


class Node:
    """One record with its inputs as nodes.

    Attributes:
        op: name of its row.
        inputs: whose values it reads.
        sequence: whether its value has the task's steps rather than one.
        scan: number of the scan that it runs in, else 0.
        store: of a state: the node whose value at the step before it reads.
        place: by which nodes are ordered, each after its inputs; no two have the same.
    """

    __slots__ = ("inputs", "op", "place", "record", "scan", "sequence", "store")

    def __init__(self, op: str, inputs: list["Node"], record: list[int], place: tuple[int, ...]) -> None:
        self.op = op
        self.inputs = inputs
        self.record = record
        self.place = place
        self.sequence = record[SEQUENCE]
        self.scan = record[SCAN]
        self.store: Node | None = None

    @property
    def width(self) -> int:
        """Channels."""
        return self.record[WIDTH]

    @property
    def kernel(self) -> int:
        """Taps of a convolution, else 1."""
        return self.record[KERNEL]

    @property
    def dilation(self) -> int:
        """Steps between taps."""
        return self.record[DILATION]

    def single(self, inputs: list["Node"], pool: str) -> "Node":
        """Return the same node on the single step that a pool makes of its inputs."""
        node = Node(self.op, inputs, self.record, (*self.place[:2], 1 + KINDS.index(pool)))
        node.sequence = 0
        return node

    def written(self, row: int, inputs: Sequence[int]) -> list[int]:
        """Return the record with these inputs and under this row of the table."""
        record = [row, *inputs, *self.record[len(inputs) + 1 :]]
        record[SEQUENCE] = self.sequence
        for i in range(len(inputs), MOST_INPUTS):
            record[1 + i] = NONE
        return record


def simplify(records: Records, rows: Mapping[str, int], workload: Workload) -> Records:
    """Return records of the same function and of less work; `rows` gives each op its row of the table."""
    ops = {row: op for op, row in rows.items()}
    table = records.table.tolist()
    if not _offers_something(table, ops, workload.is_single):
        return records
    graph = _Graph(_nodes(table, ops), records.pooled)
    if workload.is_single:
        graph.drop_pools()
    else:
        graph.advance_pools(workload)
    return _written(graph, _Chains(graph, workload), rows)


def map_work(records: Records, rows: Mapping[str, int], workload: Workload) -> int:
    """Return the multiply-adds of a step of training in LINEARs, CONV1Ds and their chains."""
    ops = {row: op for op, row in rows.items()}
    graph = _Graph(_nodes(records.table.tolist(), ops), records.pooled)
    graph.pooled = graph.logits  # of what exams alone compute, training does nothing
    total = 0
    taps: dict[Node, int] = {}
    starts: dict[Node, int] = {}
    for node in graph.live(lambda node: node.inputs if node.store is None else [*node.inputs, node.store]):
        x, *chain = node.inputs or [node]
        if node.op in AFFINE:
            total += workload.columns(node) * _map_products(x, node.width, workload.taps(node))
        elif node.op == MERGED:
            total += workload.columns(node) * _map_products(x, node.width, taps[chain[0]])
        elif node.op in (WEIGHTS, PRODUCT):
            starts[node] = starts.get(x, x.width)
            taps[node] = taps.get(x, 1) * workload.taps(node)
            total += 3 * taps[node] * node.width * x.width * _padded(starts[node]) * (node.op == PRODUCT)
    return total


def _padded(count: int) -> int:
    return -(-count // LINE) * LINE


def _offers_something(table: Sequence[Sequence[int]], ops: Mapping[int, str], is_single: bool) -> bool:
    """Return whether maps follow one another, or a pool what it may commute with."""
    before: list[str] = []
    for record in table:
        op, source = ops[record[0]], before[record[1]] if record[1] != NONE else INPUT
        if (op in AFFINE and source in AFFINE) or (op in KINDS and source in STEPWISE and not is_single):
            return True
        # On a single step a pool is what it pools.
        before.append(source if is_single and op in POOLS else op)
    return False


def _nodes(table: Sequence[list[int]], ops: Mapping[int, str]) -> list[Node]:
    """Return the records as nodes."""
    nodes: list[Node] = []
    for place, record in enumerate(table):
        sources = [nodes[i] for i in record[1 : 1 + MOST_INPUTS] if i != NONE]
        nodes.append(Node(ops[record[0]], sources, record, (place, 0, 0)))
    for node in nodes:
        if node.record[STORE] != NONE:
            node.store = nodes[node.record[STORE]]
    return nodes


class _Graph:
    """Nodes in order, who uses them, and the two that are wanted: the logits and the slot's output."""

    def __init__(self, nodes: list[Node], pooled: int) -> None:
        self._nodes = nodes
        self.logits, self.pooled = nodes[-1], nodes[pooled]
        self.users: dict[Node, list[Node]] = {node: [] for node in nodes}
        for node in nodes:
            self._add_uses(node)
        self._pools: dict[tuple[str, Node], Node] = {}

    def drop_pools(self) -> None:
        """Let the users of a pool read what it pools, which has a single step."""
        for node in self._nodes:
            node.sequence = 1
            if node.op in POOLS:
                self._replace(node, node.inputs[0])

    def advance_pools(self, workload: Workload) -> None:
        """Let pools take the inputs of what they commute with instead of its output."""
        for node in self._nodes:
            if node.op in KINDS and not node.scan:
                first = self._pools.setdefault((node.op, node.inputs[0]), node)
                if first is node:
                    node.place = self._place_after(node.inputs[0], node.op)
                else:
                    self._replace(node, first)
        for node in reversed(self._nodes):
            if node.scan or not node.sequence:
                continue
            pools = [pool for pool in self.users[node] if _commutes(pool, node)]
            is_pooled_only = len(pools) == len(self.users[node])
            if is_pooled_only or _is_cheaper_pooled_before(node, workload):
                for pool in pools:
                    self._advance(pool, node)
            if pools and is_pooled_only:
                self._drop_uses(node)

    def _advance(self, pool: Node, node: Node) -> None:
        inputs = [self._pooled(pool.op, x) if x.sequence else x for x in node.inputs]
        single = node.single(inputs, pool.op)
        self.users[single] = []
        self._add_uses(single)
        self._replace(pool, single)

    def _pooled(self, op: str, x: Node) -> Node:
        """Return the pool of `x`; there is one of each kind."""
        if (op, x) not in self._pools:
            pool = Node(op, [x], _pool_record(x.width), self._place_after(x, op))
            self._pools[op, x] = pool
            self.users[pool] = []
            self._add_uses(pool)
        return self._pools[op, x]

    def _place_after(self, x: Node, op: str) -> tuple[int, ...]:
        """Return the place of a pool, right after `x` and all that runs step by step along with it."""
        index = x.place[0]
        while x.scan and index + 1 < len(self._nodes) and self._nodes[index + 1].scan == x.scan:
            index += 1
        return index, 1, KINDS.index(op)

    def _replace(self, old: Node, new: Node) -> None:
        """Let `new` take the place of `old`, which nobody uses then and which uses nothing."""
        users = self.users.pop(old)
        for user in set(users):
            user.inputs = [new if x is old else x for x in user.inputs]
        self.users[new] += users
        self.users[old] = []
        self._drop_uses(old)
        self.pooled = new if self.pooled is old else self.pooled
        self.logits = new if self.logits is old else self.logits

    def _add_uses(self, node: Node) -> None:
        for x in node.inputs:
            self.users[x].append(node)

    def _drop_uses(self, node: Node) -> None:
        for x in node.inputs:
            self.users[x].remove(node)

    def live(self, sources: Callable[[Node], Iterable[Node]]) -> list[Node]:
        """Return in order the input and all on which what is wanted depends, each node on its `sources`."""
        waiting = [self._nodes[0], self.logits, self.pooled]
        found = set(waiting)
        while waiting:
            for source in sources(waiting.pop()):
                if source not in found:
                    found.add(source)
                    waiting.append(source)
        found.remove(self.logits)
        return [*sorted(found, key=_PLACE), self.logits]


def _pool_record(width: int) -> list[int]:
    defaults = {"width": width, "kernel": 1, "dilation": 1, "parts": 1, "store": NONE}
    return [defaults.get(name, 0) for name in FIELDS]


def _is_cheaper_pooled_before(node: Node, workload: Workload) -> bool:
    """Return whether pooling a LINEAR's input pays although its output is needed at all steps too."""
    if node.op != "LINEAR":
        return False
    (x,) = node.inputs
    touched = 3 * TOUCH * workload.columns(node)
    return (
        touched * x.width + _map_work(x, node.width, 1, workload.columns(node.single([x], MEAN)))
        < touched * node.width
    )


def _commutes(pool: Node, node: Node) -> bool:
    if pool.scan or node.op not in STEPWISE:
        return False
    if pool.op == MEAN:
        return node.op in SUMS or _is_affine(node.op, [bool(x.sequence) for x in node.inputs])
    return pool.op == LAST


def _is_affine(op: str, sequences: Sequence[bool]) -> bool:
    """Return whether a product or blend is affine in those of its inputs that are sequences."""
    if op == "MUL":
        return not all(sequences)
    if op == "BLEND":
        gate, *blended = sequences
        return not gate or not any(blended)
    return False


class _Chains:
    """The chain of maps, itself the last, that each affine node is best computed by."""

    def __init__(self, graph: _Graph, workload: Workload) -> None:
        self._graph = graph
        self._workload = workload
        self._best: dict[Node, tuple[float, list[Node]]] = {}

    def sources(self, node: Node) -> list[Node]:
        """Return what a node is computed from."""
        if node.op in AFFINE and not node.scan:
            return self.of(node)[0].inputs
        return node.inputs if node.store is None else [*node.inputs, node.store]

    def of(self, node: Node) -> list[Node]:
        """Return the chain of a node, of it alone where it is best by itself."""
        if node.op not in AFFINE or node.scan:
            return [node]
        waiting = [node]
        while waiting:
            if (source := waiting[-1].inputs[0]) in self._best or not _may_follow(source, node):
                self._choose(waiting.pop())
            else:
                waiting.append(source)
        return self._best[node][1]

    def _choose(self, node: Node) -> None:
        if node in self._best:
            return
        best = None
        for work, chain in _candidates(node, self._workload):
            source = chain[0].inputs[0]
            # What only the chain uses costs its own work; a value that others need is there anyway.
            if source in self._best and len(self._graph.users[source]) == 1:
                work += self._best[source][0]
            if best is None or work < best[0]:
                best = work, chain
        assert best is not None, "a node is a candidate by itself"
        self._best[node] = best


def _may_follow(source: Node, node: Node) -> bool:
    """Return whether `source` is affine, and computed for the same steps as `node`."""
    return source.op in AFFINE and not source.scan and source.sequence == node.sequence


def _candidates(node: Node, workload: Workload) -> Iterator[tuple[float, list[Node]]]:
    """Yield (work, chain) for the chains that end in `node`: it alone, then ever longer ones."""
    chain, taps, products = [node], workload.taps(node), 0
    looks_back = node.kernel > 1 and not workload.is_single
    while True:
        first, source = chain[0], chain[0].inputs[0]
        work = _map_work(source, node.width, taps, workload.columns(node))
        if len(chain) > 1:
            work += 3 * products * _padded(source.width) + 2 * taps * first.width * source.width
        yield work, chain
        is_second = source.kernel > 1 and not workload.is_single
        if not _may_follow(source, node) or (looks_back and is_second):
            return
        looks_back |= is_second
        products = workload.taps(source) * (products + first.width * source.width * workload.taps(first))
        taps *= workload.taps(source)
        chain = [source, *chain]


def _map_work(x: Node, width: int, taps: int, columns: int) -> int:
    """Return what a map of `x` to `width` channels costs a step of training, in multiply-adds."""
    return columns * (_map_products(x, width, taps) + TOUCH * (x.width + 2 * width))


def _map_products(x: Node, width: int, taps: int) -> int:
    """Return the multiply-adds a column of a map: its value, and the gradients of weights and input."""
    outer = min(width * _padded(x.width), x.width * _padded(width))
    inner = x.width * width * (1 if x.op == INPUT else 2)
    return taps * (outer + inner)


def _written(graph: _Graph, chains: _Chains, rows: Mapping[str, int]) -> Records:
    """Return the records of all that is wanted, chains multiplied out."""
    table: list[list[int]] = []
    places: dict[Node, int] = {}

    def write(op: str, node: Node, *inputs: int) -> int:
        table.append(node.written(rows[op], inputs))
        return len(table) - 1

    live = graph.live(chains.sources)
    for node in live:
        chain = chains.of(node)
        if len(chain) == 1:
            places[node] = write(node.op, node, *[places[x] for x in node.inputs])
            continue
        x = places[chain[0].inputs[0]]
        last = write(WEIGHTS, chain[0], x)
        for link in chain[1:]:
            last = write(PRODUCT, link, last)
        places[node] = write(MERGED, node, x, last)
        table[-1][DILATION] = max(link.dilation for link in chain)
    for node in live:
        if node.store is not None:
            table[places[node]][STORE] = places[node.store]
    return Records(table=np.asarray(table, dtype=np.int32), pooled=places[graph.pooled])
