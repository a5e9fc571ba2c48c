"""What tasks weigh in a mean over tasks, in reward and hall of fame alike; needs no torch."""

from collections.abc import Iterable, Mapping


def counted_weights(names: Iterable[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Return what each of `names` weighs in a mean: 1 where `weights` says nothing.

    Where nothing weighs anything, as in a first stage that is a gate, all weigh alike.
    """
    counted = {name: weights.get(name, 1.0) for name in names}
    return counted if any(counted.values()) else dict.fromkeys(counted, 1.0)


def gates(names: Iterable[str], weights: Mapping[str, float]) -> frozenset[str]:
    """Return which of `names` are gates: those that weigh nothing beside others that do.

    They are outside the mean, which is multiplied by how far the least passed of them is passed.
    """
    return frozenset(name for name, weight in counted_weights(names, weights).items() if not weight)
