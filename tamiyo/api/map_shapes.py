"""The shapes of the map's answer; computes nothing."""

from typing import Literal

from pydantic import Field

from tamiyo.api.shapes import Shape

Place = tuple[float, float]


class MapPoint(Shape):
    """One blueprint on the map."""

    id: str = Field(description="canonical hash")
    family: str = Field(description="how it carries information along time; empty where it cannot be read")
    reward: float | None = Field(description="the best reward that it was given")
    cluster: int = Field(description="index of its cluster")
    pca: Place = Field(description="place on two principal components; the farthest is 1 from the middle")
    tsne: Place = Field(description="place in the t-SNE, likewise")


class MapOp(Shape):
    """How usual an op is in a cluster."""

    op: str
    share: float = Field(description="share of the cluster's members that have it")
    overall: float = Field(description="share of the whole sample that has it")


class MapCluster(Shape):
    """Blueprints that lie together."""

    index: int = Field(description="its number, by falling mean reward")
    label: str = Field(description="what tells it from the rest")
    ops: tuple[MapOp, ...] = Field(description="what the label rests on")
    num_ops_mean: float = Field(description="ops of a member, on average")
    num_members: int = Field(description="blueprints of the sample in it")
    reward_mean: float | None = Field(description="mean reward of its members")
    best_id: str = Field(description="the member with the best reward")
    pca: tuple[Place, ...] = Field(description="outline of the four fifths nearest to its middle")
    tsne: tuple[Place, ...] = Field(description="likewise, in the t-SNE")


class MapQuality(Shape):
    """What the embeddings behind the map are worth, measured on this library."""

    num_held_out: int = Field(description="blueprints whose rewards the network never saw")
    reward_correlation: float | None = Field(
        description="Spearman's rank correlation of predicted with actual reward among those"
    )
    counts_correlation: float | None = Field(description="the same of ridge regression on counts of ops")
    family_agreement: float = Field(description="share of nearest neighbours that are of the same family")
    family_chance: float = Field(description="that share for neighbours drawn at random")
    num_neighbours: int = Field(description="neighbours of each blueprint")
    silhouette: float = Field(description="mean silhouette of the clusters, -1 to 1")


class MapAnswer(Shape):
    """The map, or how far its drawing is."""

    status: Literal["ready", "computing", "failed"] = Field(
        description="`computing` before there is a map: ask again in a second; `failed`: see `reason`"
    )
    is_redrawn: bool = Field(description="whether a drawing is under way; an older map serves meanwhile")
    phase: str = Field(description="what the drawing does")
    share: float = Field(description="how far it is, 0 to 1")
    reason: str = Field(description="why the last drawing failed; empty where it did not")
    key: str = Field(description="names the map: a hash of the sample and the settings")
    num_blueprints: int = Field(description="blueprints in the library when the sample was taken")
    num_best: int = Field(description="the best so many are in the sample")
    num_random: int = Field(description="and so many of the others, at random")
    points: tuple[MapPoint, ...] = Field(description="in the order of ids")
    clusters: tuple[MapCluster, ...] = Field(description="by falling mean reward")
    quality: MapQuality | None
    explained: float | None = Field(description="share of the variance on the two principal components")
    num_unread: int = Field(description="blueprints that this version of the language cannot read")
    seed: int | None = Field(description="of the network, the projections and the clusters")
