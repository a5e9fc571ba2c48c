"""The map of the library, as an answer and as a route; leaves drawing it to tamiyo/space*.py."""

from collections.abc import Sequence
from functools import lru_cache

from fastapi import APIRouter

from hall_of_fame.catalogue import Catalogue, CatalogueRow
from hall_of_fame.store import Store
from tamiyo.api import map_shapes
from tamiyo.api.context import InContext
from tamiyo.space_records import Member
from tamiyo.space_service import SpaceService, SpaceState

#: The best so many blueprints are on the map, and so many others drawn at random.
NUM_BEST, NUM_RANDOM = 1500, 1500

router = APIRouter(prefix="/api/v1", tags=["landscape"])


@router.get("/map", operation_id="get_map")
def get_map(context: InContext) -> map_shapes.MapAnswer:
    """Return the map of the library, or how far its drawing is: the first request starts it."""
    return map_answer(context.space.state())


@lru_cache(maxsize=2)
def map_answer(state: SpaceState) -> map_shapes.MapAnswer:
    """Return what is known of the map; of one map it is put together once."""
    found = state.map
    return map_shapes.MapAnswer(
        status=state.status,
        is_redrawn=state.is_redrawn,
        phase=state.phase,
        share=state.share,
        reason=state.reason,
        key=state.key,
        num_blueprints=state.num_blueprints,
        num_best=NUM_BEST,
        num_random=NUM_RANDOM,
        points=() if found is None else tuple(map(map_shapes.MapPoint.model_validate, found.points)),
        clusters=() if found is None else tuple(map(map_shapes.MapCluster.model_validate, found.clusters)),
        quality=None if found is None else map_shapes.MapQuality.model_validate(found.quality),
        explained=None if found is None else found.explained,
        num_unread=0 if found is None else found.num_unread,
        seed=None if found is None else found.seed,
    )


def space_service(store: Store, catalogue: Catalogue) -> SpaceService:
    """Return the service that keeps the map of a library."""
    return SpaceService(count=lambda: catalogue.facets().num, sample=lambda: sample(store, catalogue))


def sample(
    store: Store, catalogue: Catalogue, num_best: int = NUM_BEST, num_random: int = NUM_RANDOM
) -> Sequence[Member]:
    """Return the best blueprints by standing, and others at random: ids are hashes, so their order is one."""
    best = {row.blueprint_id: row for row in catalogue.sample(num_best)}
    ids = [id_ for id_ in store.ids(limit=num_best + num_random) if id_ not in best][:num_random]
    others = [row for id_ in ids if (row := catalogue.row(id_)) is not None]
    return [_member(row) for row in (*best.values(), *others)]


def _member(row: CatalogueRow) -> Member:
    return Member(id=row.blueprint_id, tokens=row.tokens, family=row.family, reward=row.reward)
