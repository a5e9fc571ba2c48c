"""Which blueprints a blueprint came from, which came from it, and which are built like it; draws nothing."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from math import sqrt

from sqlalchemy import Connection, select

from blueprints import BlueprintError, Graph
from hall_of_fame import schema
from hall_of_fame.catalogue import CatalogueRow, catalogue_row, row_columns
from hall_of_fame.queries import chunks
from hall_of_fame.store import Store
from hall_of_fame.structure import features, similarity
from hall_of_fame.views import read

#: Blueprints of a family whose tokens are compared, and those of them whose graphs are.
COMPARED, REFINED = 1_000, 48
#: Tokens by which lengths differ at most among those.
NEAR = 4
#: Generations of parents or children, and blueprints of them, at most.
MAX_DEPTH, MAX_KIN = 16, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineages:
    """A blueprint among those that it came from and that came from it.

    Attributes:
        rows: by id, of the blueprint itself and of all others of whom something is known.
        parents: ids that each was made from, by id, whether they have a row or not.
        steps: from the blueprint: 0 itself, -1 its parents, 1 its children, and so on.
        is_whole: whether nothing was left out within the depth asked for.
    """

    rows: dict[str, CatalogueRow]
    parents: dict[str, tuple[str, ...]]
    steps: dict[str, int]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A blueprint that is built like another.

    Attributes:
        row: it.
        likeness: cosine of the Weisfeiler-Lehman features of both graphs; see `structure.py`.
    """

    row: CatalogueRow
    likeness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """What is built like a blueprint, the likest first.

    Attributes:
        found: none where this version of the language cannot read the blueprint.
        num_compared: blueprints whose tokens were compared: the best of its family with about its length.
    """

    found: tuple[Neighbour, ...]
    num_compared: int


def lineages(store: Store, blueprint_id: str, *, back: int = 8, ahead: int = 1, limit: int = 64) -> Lineages:
    """Return what a blueprint came from, `back` steps, and what came from it, `ahead` steps.

    Args:
        store: the ledger.
        blueprint_id: an id on record.
        back: steps towards parents, at most 16.
        ahead: steps towards children, at most 16.
        limit: blueprints in each of both directions at most, those nearer first, then by id.
    """
    back, ahead, limit = min(back, MAX_DEPTH), min(ahead, MAX_DEPTH), min(limit, MAX_KIN)
    with store.reading() as connection:
        steps = {blueprint_id: 0}
        whole = [
            _walk(connection, steps, blueprint_id, back, -1, limit),
            _walk(connection, steps, blueprint_id, ahead, 1, limit),
        ]
        rows = _rows(connection, steps)
        edges = _edges(connection, steps, "child_id", MAX_KIN * MAX_KIN)
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(rows, ())
    for parent, child in sorted(edges):
        parents[child] = (*parents[child], parent)
    return Lineages(rows=rows, parents=parents, steps=steps, is_whole=all(whole))


def neighbours(store: Store, blueprint_id: str, k: int = 8) -> Neighbours:
    """Return the `k` blueprints that are built most alike.

    Those looked at are of its family and at most 4 tokens longer or shorter: the 1,000 best of them by
    standing. The 48 whose tokens are most alike, as a bag, are compared as graphs; so a blueprint of the same
    tokens in another order is found, and one that is alike as a graph yet not in its tokens is not.
    """
    with store.reading() as connection:
        own = _rows(connection, [blueprint_id]).get(blueprint_id)
        graph = None if own is None else _graph(own.tokens)
        if own is None or graph is None:
            return Neighbours(found=(), num_compared=0)
        others = _of_its_kind(connection, own)
        likest = heapq.nsmallest(max(k, REFINED), others, key=_distance_from(own.tokens))
        rows = _rows(connection, [id_ for id_, _ in likest])
    near = [(rows[id_], other) for id_, text in likest if (other := _graph(tuple(text.split())))]
    if not near:
        return Neighbours(found=(), num_compared=len(others))
    likeness = similarity(features([graph]), features([other for _, other in near]))[0].tolist()
    ranked = sorted(zip(likeness, (row for row, _ in near), strict=True), key=lambda pair: -pair[0])
    found = tuple(Neighbour(row=row, likeness=alike) for alike, row in ranked[:k])
    return Neighbours(found=found, num_compared=len(others))


def _walk(
    connection: Connection, steps: dict[str, int], start: str, depth: int, sign: int, limit: int
) -> bool:
    """Add to `steps` what lies in one direction; return whether that is all within the depth."""
    own, other = ("child_id", 0) if sign < 0 else ("parent_id", 1)
    layer, num = [start], 0
    for step in range(1, depth + 1):
        edges = _edges(connection, layer, own, MAX_KIN * MAX_KIN)
        layer = sorted({edge[other] for edge in edges} - steps.keys())
        left = limit - num
        steps |= dict.fromkeys(layer[:left], sign * step)
        num += len(layer[:left])
        if len(layer) > left or len(edges) == MAX_KIN * MAX_KIN:
            return False
        if not layer:
            return True
    return not _edges(connection, layer, own, 1) if sign < 0 else True


def _edges(connection: Connection, ids: Collection[str], name: str, limit: int) -> list[tuple[str, str]]:
    """Return parent and child of the edges whose end of this name is among `ids`, at most `limit`."""
    table = schema.catalogue_lineage.c
    query = select(table.parent_id, table.child_id).order_by(table.parent_id, table.child_id).limit(limit)
    return [
        (parent, child)
        for chunk in chunks(ids)
        for parent, child in connection.execute(query.where(table[name].in_(chunk)))
    ]


def _rows(connection: Connection, ids: Iterable[str]) -> dict[str, CatalogueRow]:
    table = schema.catalogue.c
    query = select(*row_columns(table))
    return {
        row.blueprint_id: catalogue_row(row)
        for chunk in chunks(ids)
        for row in connection.execute(query.where(table.blueprint_id.in_(chunk)))
    }


def _of_its_kind(connection: Connection, own: CatalogueRow) -> list[tuple[str, str]]:
    """Return id and program of the best others of the family with about the length.

    Four times as many are looked at.
    """
    table = schema.catalogue.c
    seen = select(table.blueprint_id, table.tokens, table.length).where(table.family == own.family)
    seen = seen.order_by(table.standing.desc(), table.number.desc()).limit(4 * COMPARED).subquery()
    query = select(seen.c.blueprint_id, seen.c.tokens).limit(COMPARED)
    query = query.where(seen.c.length.between(own.length - NEAR, own.length + NEAR))
    return [(id_, text) for id_, text in connection.execute(query) if id_ != own.blueprint_id]


def _graph(tokens: tuple[str, ...]) -> Graph | None:
    """Return the graph of a program; None where this version of the language cannot read it."""
    try:
        return read(tokens)
    except BlueprintError:
        return None


def _distance_from(tokens: tuple[str, ...]) -> Callable[[tuple[str, str]], tuple[float, str]]:
    """Return what orders programs by the cosine of their bags of tokens with that of `tokens`, then by id."""
    ours = Counter(tokens)

    def distance(other: tuple[str, str]) -> tuple[float, str]:
        theirs = other[1].split()
        dot = sum(ours.get(token, 0) for token in theirs)
        return -dot / sqrt(sum(map(theirs.count, theirs)) or 1), other[0]

    return distance
