"""A map of a sample of blueprints: learned embeddings, two projections, named clusters; reads no library.

The network, the projections and clusters, and the process that all of it runs in have files of their own:
space_network.py, space_clusters.py and space_service.py. Torch, torch-geometric and scikit-learn are imported
by the first two alone, when a map is drawn. On one thread of a CPU, equal members in any order and equal
settings give an equal map.
"""

from collections.abc import Callable, Sequence
from typing import Any

from blueprints import BlueprintError, Language, TamiyoError, parse
from blueprints.graph import Graph
from tamiyo.space_records import Member, Point, Quality, SpaceMap, SpaceSettings

#: Fewer blueprints than this make no map: a fifth of them are held out, and clusters need members.
FEWEST_MEMBERS = 50
#: Budgets are the run's matter: what it allowed is read here.
_READS_ALL = Language(max_length=1 << 20, max_flops=1 << 60)


class SpaceError(TamiyoError):
    """A map that cannot be drawn, with what to do about it."""


def draw_map(
    members: Sequence[Member], settings: SpaceSettings, progress: Callable[[str, float], None]
) -> SpaceMap:
    """Return the map of a sample.

    Args:
        members: at least `FEWEST_MEMBERS` that the language reads, in any order.
        settings: what else decides the map.
        progress: told the name of each phase and the share of the whole that is done, 0 to 1.

    Raises:
        SpaceError: when there are too few members, or a package is not installed.
    """
    network, clusters = _packages()
    progress("reading graphs", 0.0)
    known, graphs = _readable(members)
    if len(known) < FEWEST_MEMBERS:
        raise SpaceError(
            f"{len(known)} blueprints make no map; expected at least {FEWEST_MEMBERS}; "
            "train more, then look again"
        )
    counts_MO, ops = network.op_counts(graphs)
    rewards = [member.reward for member in known]
    learned = network.embed(graphs, counts_MO, rewards, settings, progress)
    progress("projecting", 0.6)
    places = clusters.project(learned.embeddings, settings.seed)
    progress("clustering", 0.9)
    grouping = clusters.group(learned.embeddings, rewards, settings)
    families = [member.family for member in known]
    return SpaceMap(
        points=tuple(
            Point(
                id=member.id,
                family=member.family,
                reward=member.reward,
                cluster=index,
                pca=pca,
                tsne=tsne,
            )
            for member, index, pca, tsne in zip(known, grouping.of, places.pca, places.tsne, strict=True)
        ),
        clusters=clusters.describe(grouping, known, counts_MO, ops, places),
        quality=Quality(
            num_held_out=learned.num_held_out,
            reward_correlation=learned.correlation,
            counts_correlation=learned.counts_correlation,
            family_agreement=clusters.agreement(learned.embeddings, families, settings.num_neighbours),
            family_chance=clusters.chance(families),
            num_neighbours=settings.num_neighbours,
            silhouette=grouping.silhouette,
        ),
        explained=places.explained,
        num_unread=len(members) - len(known),
        seed=settings.seed,
    )


def _packages() -> tuple[Any, Any]:
    """Return the modules space_network and space_clusters, whose packages an extra installs."""
    try:
        from tamiyo import space_clusters, space_network
    except ModuleNotFoundError as error:
        raise SpaceError(
            f"the map needs {error.name}, which is not installed: pip install 'tamiyo[api,interop]'"
        ) from error
    return space_network, space_clusters


def _readable(members: Sequence[Member]) -> tuple[list[Member], list[Graph]]:
    """Return the members that the language reads, in the order of ids, with their graphs."""
    known, graphs = [], []
    for member in sorted(members, key=lambda member: member.id):
        try:
            graphs.append(parse(member.tokens, _READS_ALL).graph)
        except BlueprintError:
            continue
        known.append(member)
    return known, graphs
