"""The records of a map of blueprints: members and settings that it is drawn of, places, clusters, quality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One blueprint of the sample.

    Attributes:
        id: its canonical hash.
        tokens: its program.
        family: how it carries information along time, as the library says.
        reward: the best that it earned; absent where it earned none.
    """

    id: str
    tokens: tuple[str, ...]
    family: str
    reward: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSettings:
    """What decides a map beside its members.

    Attributes:
        seed: of the network's first weights, of batches and masks, of projections and clusters.
        num_steps: steps of learning, of 128 blueprints each, whatever the sample's size.
        embedding_size: numbers that an embedding has.
        num_neighbours: nearest neighbours that quality is measured by.
        least_clusters: smallest number of clusters that is tried; silhouettes alone would halve most samples.
        most_clusters: largest number that is tried.
    """

    seed: int = 0
    num_steps: int = 240
    embedding_size: int = 32
    num_neighbours: int = 10
    least_clusters: int = 5
    most_clusters: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A blueprint on the map.

    Attributes:
        id: its canonical hash.
        family: as the library says.
        reward: the best that it earned.
        cluster: index of its cluster.
        pca: place in the projection on principal components; the farthest point is 1 from the middle.
        tsne: place in the t-SNE, likewise.
    """

    id: str
    family: str
    reward: float | None
    cluster: int
    pca: tuple[float, float]
    tsne: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpShare:
    """How usual an op is among the members of a cluster, against the whole sample; shares of 1."""

    op: str
    share: float
    overall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Blueprints that lie together.

    Attributes:
        index: its number, by falling mean reward.
        label: what tells it from the rest, such as `LSTM, few LINEAR, short`; `mixed` where nothing does.
        ops: the shares that the label rests on.
        num_ops_mean: ops of a member, on average.
        num_members: of the sample.
        reward_mean: of the members with a reward; absent where none has one.
        best_id: the member with the best reward.
        pca: outline of the four fifths of its members nearest to its middle, in that projection.
        tsne: likewise.
    """

    index: int
    label: str
    ops: tuple[OpShare, ...]
    num_ops_mean: float
    num_members: int
    reward_mean: float | None
    best_id: str
    pca: tuple[tuple[float, float], ...]
    tsne: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the embeddings are worth, measured.

    Attributes:
        num_held_out: blueprints whose rewards the network never saw.
        reward_correlation: Spearman's rank correlation of predicted with actual reward among them.
        counts_correlation: the same of ridge regression on the counts of ops, which knows no edges.
        family_agreement: share of nearest neighbours that are of the same family, over all members.
        family_chance: the share that neighbours drawn at random would have.
        num_neighbours: neighbours of each.
        silhouette: mean silhouette (Rousseeuw 1987) of the clusters, -1 to 1.
    """

    num_held_out: int
    reward_correlation: float | None
    counts_correlation: float | None
    family_agreement: float
    family_chance: float
    num_neighbours: int
    silhouette: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceMap:
    """The map.

    Attributes:
        points: one a blueprint, in the order of ids.
        clusters: by falling mean reward.
        quality: of the embeddings.
        explained: share of the embeddings' variance that the two principal components hold.
        num_unread: members left out because this version of the language cannot read them.
        seed: that it was drawn with.
    """

    points: tuple[Point, ...]
    clusters: tuple[Cluster, ...]
    quality: Quality
    explained: float
    num_unread: int
    seed: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SpaceMap":
        """Return the map that `asdict` made values of, which went through JSON."""
        points = (
            Point(**{**row, "pca": tuple(row["pca"]), "tsne": tuple(row["tsne"])}) for row in values["points"]
        )
        clusters = (
            Cluster(
                **{
                    **row,
                    "ops": tuple(OpShare(**share) for share in row["ops"]),
                    "pca": tuple(map(tuple, row["pca"])),
                    "tsne": tuple(map(tuple, row["tsne"])),
                }
            )
            for row in values["clusters"]
        )
        quality = Quality(**values["quality"])
        return cls(**{**values, "points": tuple(points), "clusters": tuple(clusters), "quality": quality})
