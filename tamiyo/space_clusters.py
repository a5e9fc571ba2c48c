"""Projections of embeddings, and clusters that say what their members share; learns no embedding.

Axes: M members, E embedding, O ops, K clusters.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from tamiyo.space_records import Cluster, Member, OpShare, SpaceSettings

#: Principal components that clusters are sought in.
_NUM_COMPONENTS = 8
#: Members that the silhouette is measured on.
_NUM_JUDGED = 1000
#: Share of a cluster's members, the nearest to its middle, that the outline goes round.
_OUTLINED = 0.8
#: An op names a cluster that has it so much more often, or more seldom, than the sample does.
_LEAST_EXCESS = 0.15
#: Programs are long or short when they differ in ops from the sample's mean by so many of its deviations.
_LEAST_LENGTH = 0.4
_PERPLEXITY = 30

Place = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where members lie in both projections, and the share of variance that the first holds."""

    pca: tuple[Place, ...]
    tsne: tuple[Place, ...]
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The cluster of each member, by falling mean reward, and how well they stand apart."""

    of: tuple[int, ...]
    num: int
    silhouette: float


def project(embeddings_ME: Tensor, seed: int) -> Places:
    """Return two principal components, and t-SNE (van der Maaten & Hinton 2008) that starts from them."""
    found = PCA(n_components=2, svd_solver="full").fit(embeddings_ME.numpy())
    perplexity = min(_PERPLEXITY, (len(embeddings_ME) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed, n_jobs=1)
    return Places(
        pca=_scaled(found.transform(embeddings_ME.numpy())),
        tsne=_scaled(tsne.fit_transform(embeddings_ME.numpy())),
        explained=round(float(found.explained_variance_ratio_.sum()), 4),
    )


def group(embeddings_ME: Tensor, rewards: Sequence[float | None], settings: SpaceSettings) -> Grouping:
    """Return k-means clusters; of the numbers tried, the one with the greatest mean silhouette."""
    num_components = min(_NUM_COMPONENTS, embeddings_ME.shape[1])
    reduced = PCA(n_components=num_components, svd_solver="full").fit_transform(embeddings_ME.numpy())
    tried = []
    for num in range(settings.least_clusters, settings.most_clusters + 1):
        start: Any = 4  # best of so many starts; its type is declared as text alone
        labels = KMeans(num, n_init=start, random_state=settings.seed).fit_predict(reduced)
        num_judged = min(_NUM_JUDGED, len(reduced))
        score = silhouette_score(reduced, labels, sample_size=num_judged, random_state=settings.seed)
        tried.append((float(score), labels))
    silhouette, labels = max(tried, key=lambda one: one[0])
    return _by_reward(labels, rewards, silhouette)


def describe(
    grouping: Grouping,
    members: Sequence[Member],
    counts_MO: Tensor,
    ops: Sequence[str],
    places: Places,
) -> tuple[Cluster, ...]:
    """Return the clusters with their labels, means and outlines."""
    has_MO, length_M = counts_MO.numpy() > 0, counts_MO.numpy().sum(axis=1)
    overall_O, spread = has_MO.mean(axis=0), max(float(length_M.std()), 1e-12)
    found: list[Cluster] = []
    for index in range(grouping.num):
        inside = [place for place, cluster in enumerate(grouping.of) if cluster == index]
        shares = _telling_ops(has_MO[inside].mean(axis=0), overall_O, ops)
        longer = float(length_M[inside].mean() - length_M.mean()) / spread
        rewards = [reward for place in inside if (reward := members[place].reward) is not None]
        best = max(inside, key=lambda place: _known(members[place].reward))
        found.append(
            Cluster(
                index=index,
                label=_label(shares, longer, [cluster.label for cluster in found]),
                ops=shares,
                num_ops_mean=round(float(length_M[inside].mean()), 2),
                num_members=len(inside),
                reward_mean=round(float(np.mean(rewards)), 4) if rewards else None,
                best_id=members[best].id,
                pca=outline([places.pca[place] for place in inside]),
                tsne=outline([places.tsne[place] for place in inside]),
            )
        )
    return tuple(found)


def agreement(embeddings_ME: Tensor, families: Sequence[str], num_neighbours: int) -> float:
    """Return the share of each member's nearest neighbours that are of its family, over all members."""
    search = NearestNeighbors(n_neighbors=num_neighbours + 1).fit(embeddings_ME.numpy())
    near_MK = search.kneighbors(return_distance=False, n_neighbors=num_neighbours)
    family_M = np.array(families)
    return round(float((family_M[near_MK] == family_M[:, None]).mean()), 4)


def chance(families: Sequence[str]) -> float:
    """Return the share of pairs of different members that are of one family."""
    num = len(families)
    pairs = sum(count * (count - 1) for count in Counter(families).values())
    return round(pairs / (num * (num - 1)), 4)


def outline(points: Sequence[Place]) -> tuple[Place, ...]:
    """Return the convex hull, counter-clockwise, of the points nearest to their middle (Andrew 1979)."""
    middle = np.median(np.array(points), axis=0)
    near = sorted(points, key=lambda point: float(np.hypot(*(np.array(point) - middle))))
    kept = sorted(set(near[: max(round(_OUTLINED * len(near)), min(3, len(near)))]))
    if len(kept) < 3:
        return tuple(kept)
    return (*_half_hull(kept), *_half_hull(kept[::-1]))


def _half_hull(points: Sequence[Place]) -> list[Place]:
    """Return one half of the hull of sorted points, without its end."""
    hull: list[Place] = []
    for point in points:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    return hull[:-1]


def _turn(a: Place, b: Place, c: Place) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _scaled(places_M2: np.ndarray) -> tuple[Place, ...]:
    """Return places around their middle, the farthest at 1, with four decimals."""
    around = places_M2 - places_M2.mean(axis=0)
    around = around / max(float(np.hypot(around[:, 0], around[:, 1]).max()), 1e-12)
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in around)


def _by_reward(labels: np.ndarray, rewards: Sequence[float | None], silhouette: float) -> Grouping:
    """Return the clusters numbered by falling mean reward, those without one last."""
    means: dict[int, float] = {}
    for cluster in sorted(set(labels.tolist())):
        known = [reward for reward, label in zip(rewards, labels, strict=True) if label == cluster]
        earned = [reward for reward in known if reward is not None]
        means[cluster] = float(np.mean(earned)) if earned else -np.inf
    order = sorted(means, key=lambda cluster: (-means[cluster], cluster))
    number = {cluster: index for index, cluster in enumerate(order)}
    return Grouping(
        of=tuple(number[label] for label in labels.tolist()),
        num=len(order),
        silhouette=round(silhouette, 4),
    )


def _known(reward: float | None) -> float:
    return -np.inf if reward is None else reward


def _telling_ops(share_O: np.ndarray, overall_O: np.ndarray, ops: Sequence[str]) -> tuple[OpShare, ...]:
    """Return up to two ops that it has more often than the sample, then up to two that it has more seldom."""
    excess_O = share_O - overall_O
    order = sorted(range(len(ops)), key=lambda place: (-excess_O[place], ops[place]))
    more = [place for place in order if excess_O[place] >= _LEAST_EXCESS]
    less = [place for place in reversed(order) if excess_O[place] <= -_LEAST_EXCESS]
    return tuple(
        OpShare(op=ops[o], share=round(float(share_O[o]), 4), overall=round(float(overall_O[o]), 4))
        for o in (*more[:2], *less[:2])
    )


def _label(shares: Sequence[OpShare], longer: float, taken: Sequence[str]) -> str:
    """Return what tells a cluster from the rest; what it lacks only where it has too little."""
    more = [share.op for share in shares if share.share > share.overall]
    less = [f"few {share.op}" for share in shares if share.share < share.overall]
    length = ["long"] * (longer >= _LEAST_LENGTH) + ["short"] * (longer <= -_LEAST_LENGTH)
    label = ", ".join([*more, *less[: 2 - len(more)], *length]) or "mixed"
    num_alike = sum(other == label or other.startswith(f"{label} (") for other in taken)
    return f"{label} ({num_alike + 1})" if num_alike else label
