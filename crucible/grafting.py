"""The host of a graft, trained before a blueprint enters it; leaves the blueprint to the engines.

A host trained with the identity in its slot is an affine model. Behind a gate that is zero at the start
(Bachlechner et al. 2021) a blueprint enters it and learns alone; the host stays as it is.

Axes: N examples, T time, D width of the host, K outputs, R answers that count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt

import numpy as np
import torch

from crucible.errors import CrucibleError
from curricula.heads import HEADS
from curricula.task import Split, Task

#: Share of the greatest singular value from which on a direction of the host's features counts.
_RANK_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedHost:
    """A host with the identity in its slot. Hosts are cached and shared: never write into their arrays.

    Attributes:
        input_map: `[P]` float32, the first of a program's parameters.
        readout: `[P]` float32, the last of them.
        losses: mean squared error on each split but the training one, by name.
    """

    input_map: np.ndarray
    readout: np.ndarray
    losses: Mapping[str, float]


@lru_cache(maxsize=256)
def trained_host(task: Task, seed: int, width: int) -> TrainedHost:
    """Return the host of D = `width` that answers best what `task` asks in training, slot left as it was.

    The input map is drawn from `seed`, the readout is the least squares solution of smallest norm: for
    linear inputs no wider than the host the best of all affine models. It is then a minimum for every map
    that is affine in the slot, so whatever a blueprint gains it gains by not being affine. Nothing depends on
    an engine or on threads.
    """
    weight, bias = _drawn_map(task, seed, width)
    splits = task.splits(seed)
    features_RD, targets_RK = _answers(task, splits.train, weight, bias)
    gram = np.einsum("ri,rj->ij", features_RD, features_RD)
    moments = np.einsum("ri,rk->ik", features_RD, targets_RK)
    solution = np.linalg.lstsq(gram, moments, rcond=_RANK_TOLERANCE)[0].astype(np.float32)
    losses = {}
    for name, split in list(splits.by_name.items())[1:]:
        features_RD, targets_RK = _answers(task, split, weight, bias)
        errors_RK = np.einsum("ri,ik->rk", features_RD, solution.astype(np.float64)) - targets_RK
        losses[name] = float(np.square(errors_RK).mean())
        if not isfinite(losses[name]) or losses[name] <= 0:
            raise CrucibleError(
                f"the host answers the {name} split of graft '{task.name}', seed {seed}, with a loss of "
                f"{losses[name]}; expected more than 0, of which gains and rises are shares"
            )
    return TrainedHost(
        input_map=np.concatenate([weight.ravel(), bias]),
        readout=np.concatenate([solution[:-1].T.ravel(), solution[-1]]),
        losses=losses,
    )


def _drawn_map(task: Task, seed: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias of an input map, flat and as torch.nn draws them; an embedding has no bias."""
    is_linear, size = task.input == "linear", task.input_width * width
    draws = (
        torch.rand(size + is_linear * width, generator=torch.Generator().manual_seed(seed)).mul_(2).sub_(1)
    )
    bound = np.float32(1 / sqrt(task.input_width) if is_linear else 1.0)
    weight, bias = np.split(draws.numpy() * bound, [size])
    return weight.reshape((width, -1) if is_linear else (-1, width)), bias


def _answers(task: Task, split: Split, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the host reads out, `[R, D + 1]` with ones last, and the targets `[R, K]`, in float64.

    Sums are plain loops: a matrix product may be split over threads, and round otherwise then.
    """
    if task.input == "linear":
        inputs_NTF = split.inputs.numpy().astype(np.float64)
        x_NTD = np.einsum("ntf,df->ntd", inputs_NTF, weight.astype(np.float64)) + bias
    else:
        x_NTD = weight[split.inputs.numpy()].astype(np.float64)
    targets = split.targets.numpy().astype(np.float64)
    if not HEADS[task.head].is_per_step:
        x_NTD, targets = x_NTD.mean(1, keepdims=True), targets[:, None]
    features = np.concatenate([x_NTD, np.ones((*x_NTD.shape[:2], 1))], 2)
    counts_NT = ~np.isnan(targets).any(2)
    return features[counts_NT], targets[counts_NT]
