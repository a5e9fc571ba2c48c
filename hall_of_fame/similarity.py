"""How alike trained representations are: debiased linear CKA and RSA, batched; leaves novelty out.

Centred kernel alignment (Kornblith et al. 2019) compares two sets of representations of the same examples and
ignores rotation and scale. Its plain estimate is biased upwards when features are not few against examples
(Murphy et al. 2024), so the dependence is measured by the unbiased HSIC estimator of Song et al. 2012: two
independent representations then average 0. Representational similarity analysis (Kriegeskorte et al. 2008)
correlates the distances between examples instead.

A fingerprint is a mean over time, and most of it is what any slot hands on: the mean of what came in.
`emphasised` turns that part down, so that what a blueprint makes of its input decides.
redundancy.py finds the nearest of many.

Axes: N candidates, M archive entries, P probes, D width (E in the archive).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

#: Spread over the probes, relative to the largest value, under which a representation counts as constant.
_CONSTANT = 1e-4
#: Self-similarity (of a representation of norm 1) under which nothing but a lone probe stands out.
_STRUCTURELESS = 1e-6
#: Candidates compared at once; bounds the memory.
_CHUNK = 128
#: Representations changed at once, so that they stay in the processor's cache.
_FEW = 64
#: What is left of the part of a fingerprint that is linear in the mean input. Not 0: a blueprint that is
#: linear throughout has nothing else to be known by.
_LINEAR_PART = 0.05
#: Singular values are raised to this power, so that the first few directions are not all that counts.
_FLATTENING = 0.5
#: Singular value, relative to the largest, under which a direction is rounding.
_NOISE = 1e-3
_SMALLEST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True)
class Units:
    """Representations as CKA compares them.

    Attributes:
        values: `[N, P, D]`, centred over the probes and of norm 1; all 0 where constant or not finite.
        diagonals: `[N, P]`, of each one's Gram matrix over the probes.
        self_hsic: `[N]`, unbiased HSIC with itself, times P(P - 3).
        is_known: `[N]`, whether it is similar to anything, itself included.
        is_finite: `[N]`, whether all values were finite.
    """

    values: torch.Tensor
    diagonals: torch.Tensor
    self_hsic: torch.Tensor
    is_known: torch.Tensor
    is_finite: torch.Tensor

    @classmethod
    def of(cls, representations: torch.Tensor) -> "Units":
        """Return those of `[N, P, D]`."""
        x_NPD = _unit(representations)
        energy_N = torch.bmm(x_NPD.transpose(1, 2), x_NPD).square_().sum(dim=(1, 2))
        diagonal_NP = x_NPD.square().sum(dim=2)
        value_N = debiased(energy_N, diagonal_NP.square().sum(dim=1), x_NPD.shape[1])
        self_hsic_N = torch.where(energy_N > 0, value_N, 0.0)
        return cls(x_NPD, diagonal_NP, self_hsic_N, self_hsic_N > _STRUCTURELESS, _is_finite(representations))


def cka(candidates: torch.Tensor, archive: torch.Tensor) -> torch.Tensor:
    """Return `[N, M]` debiased linear CKA of `[N, P, D]` against `[M, P, E]`, clipped to [0, 1].

    A representation that is constant over the probes, or not finite, is similar to nothing: 0.
    """
    known = Units.of(archive)
    rows = [candidates.new_zeros(0, len(archive))]
    for chunk in candidates.split(_CHUNK):
        own = Units.of(chunk)
        rows.append(normalised(energies(own.values, known.values), own, known))
    return torch.cat(rows)


def normalised(energy_NM: torch.Tensor, own: Units, known: Units) -> torch.Tensor:
    """Return `[N, M]` debiased CKA, clipped to [0, 1], from the energies |XᵀY|² of all pairs."""
    value_NM = debiased(energy_NM, own.diagonals @ known.diagonals.T, own.values.shape[1])
    value_NM *= _inverse_root(own)[:, None]
    value_NM *= _inverse_root(known)
    return value_NM.clamp_(0, 1)


def normalised_pairs(
    energy_Q: torch.Tensor, own: Units, rows: torch.Tensor, known: Units, columns: torch.Tensor
) -> torch.Tensor:
    """Return `[Q]`: the same for pairs of one of `own` and one of `known`."""
    diagonal_Q = (own.diagonals[rows] * known.diagonals[columns]).sum(dim=1)
    value_Q = debiased(energy_Q, diagonal_Q, own.values.shape[1])
    return (value_Q * _inverse_root(own)[rows] * _inverse_root(known)[columns]).clamp_(0, 1)


def rsa(candidates: torch.Tensor, archive: torch.Tensor) -> torch.Tensor:
    """Return `[N, M]`: correlation of the Euclidean distances between probes, clipped to [0, 1].

    A representation that is constant over the probes, or not finite, is similar to nothing: 0.
    """
    archive_d = _unit_distances(archive)
    rows = [candidates.new_zeros(0, len(archive))]
    rows += [(_unit_distances(chunk) @ archive_d.T).clamp(0, 1) for chunk in candidates.split(_CHUNK)]
    return torch.cat(rows)


def emphasised(fingerprints: torch.Tensor, probe: torch.Tensor, input_width: int) -> torch.Tensor:
    """Return `[N, P, D]` fingerprints with what tells blueprints apart made larger; NaN stays NaN.

    Of sequences, what is linear in an example's mean input over time is scaled by 0.05; what a slot hands on
    unchanged is linear in it, and so alike in all. Then singular values are replaced by their roots.

    Args:
        fingerprints: `[N, P, D]`, means over time of a slot's output.
        probe: the task's probe set, `[P, T, F]`, or `[P, T]` symbols.
        input_width: F, or how many symbols there are.
    """
    basis_PF = None
    if probe.shape[1] > 1:
        basis_PF = input_basis(probe, input_width).float()
    return torch.cat(
        [fingerprints[:0].float(), *(_emphasised(x, basis_PF) for x in fingerprints.split(_FEW))]
    )


def input_basis(probe: torch.Tensor, input_width: int) -> torch.Tensor:
    """Return `[P, K]`, orthonormal: the span of the centred mean inputs over time, float64."""
    x_PF = _mean_input(probe, input_width)
    u, s, _ = torch.linalg.svd(x_PF - x_PF.mean(dim=0), full_matrices=False)
    return u[:, s > _NOISE * s.max()]


def alike(candidates: Sequence[torch.Tensor], archive: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return `[N, M]`: the mean CKA over tasks, of those on which both have a finite representation; else 0.

    Args:
        candidates: `[N, P, D]` a task.
        archive: `[M, P, E]` a task, in the same order of tasks; P may differ between them.
    """
    total = candidates[0].new_zeros(len(candidates[0]), len(archive[0]))
    num_tasks = torch.zeros_like(total)
    for of_candidates, of_archive in zip(candidates, archive, strict=True):
        total += cka(of_candidates, of_archive)
        num_tasks += _is_finite(of_candidates)[:, None] & _is_finite(of_archive)[None]
    return total / num_tasks.clamp_min(1)


def energies(x_NPD: torch.Tensor, y_MPE: torch.Tensor) -> torch.Tensor:
    """Return `[N, M]`: |XᵀY|²."""
    (N, P, D), (M, _, E) = x_NPD.shape, y_MPE.shape
    cross = x_NPD.transpose(1, 2).reshape(N * D, P) @ y_MPE.transpose(0, 1).reshape(P, M * E)
    return cross.square_().view(N, D, M, E).sum(dim=(1, 3))


def debiased(energy: torch.Tensor, diagonal: torch.Tensor, P: int) -> torch.Tensor:
    """Return the unbiased HSIC of linear kernels, times P(P - 3), of centred representations of norm 1.

    With K = X Xᵀ without its diagonal k and likewise L, Song et al. estimate
    tr(KL) + 1ᵀK1 1ᵀL1 / ((P - 1)(P - 2)) - 2 1ᵀKL1 / (P - 2). Here the rows of X Xᵀ sum to 0 and k sums to 1,
    so K1 = -k, and the whole is |XᵀY|² + 1 / ((P - 1)(P - 2)) - P / (P - 2) k·l: no P x P matrix is needed.

    Args:
        energy: |XᵀY|².
        diagonal: k·l.
        P: how many probes.
    """
    assert P > 3, f"{P} probes; the unbiased estimator needs at least 4"
    return energy + 1 / ((P - 1) * (P - 2)) - P / (P - 2) * diagonal


def _is_finite(x_NPD: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(_largest(x_NPD))


def _largest(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return `[N]`: the largest absolute value; NaN where one is."""
    return x_NPD.abs().amax(dim=(1, 2))


def _mean_input(probe: torch.Tensor, input_width: int) -> torch.Tensor:
    """Return `[P, F]`: each example's mean input over time; of symbols, how often each occurs."""
    if not probe.is_floating_point():
        probe = torch.nn.functional.one_hot(probe.long(), input_width)
    return probe.double().mean(dim=1)


def _emphasised(x_NPD: torch.Tensor, basis_PF: torch.Tensor | None) -> torch.Tensor:
    finite_N11 = _is_finite(x_NPD)[:, None, None]
    x_NPD = _centred(x_NPD)
    if basis_PF is not None:
        x_NPD = x_NPD - basis_PF @ ((1 - _LINEAR_PART) * (basis_PF.T @ x_NPD))
    return torch.where(finite_N11, _flattened(x_NPD), torch.nan)


def _flattened(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return centred representations with their singular values' roots, rotated; what is noise is 0."""
    x64_NPD = x_NPD.double()
    square_ND, rotation_NDD = torch.linalg.eigh(x64_NPD.transpose(1, 2) @ x64_NPD)
    largest_N = square_ND.amax(dim=1, keepdim=True)
    kept_ND = (square_ND > _NOISE**2 * largest_N) & (largest_N > _CONSTANT**2)
    power = (_FLATTENING - 1) / 2
    scale_ND = torch.where(kept_ND, square_ND.clamp_min(torch.finfo(torch.float64).tiny) ** power, 0.0)
    return x_NPD @ (rotation_NDD * scale_ND[:, None, :]).float()


def _centred(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return representations centred over the probes, their largest value 1 before; all 0 where not finite.

    The mean is taken away twice, as in single precision it leaves a rest of itself.
    """
    largest_N11 = _largest(x_NPD)[:, None, None]
    x_NPD = torch.where(torch.isfinite(largest_N11), x_NPD / largest_N11.clamp_min(_SMALLEST), 0.0).float()
    for _ in range(2):
        x_NPD = x_NPD - x_NPD.mean(dim=1, keepdim=True)
    return x_NPD


def _unit(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return representations centred over the probes and scaled to norm 1; all 0 where constant."""
    found = [x_NPD[:0].float()]
    for few_NPD in x_NPD.split(_FEW):
        few_NPD = _centred(few_NPD)
        norm_N11 = torch.linalg.vector_norm(few_NPD, dim=(1, 2), keepdim=True)
        found.append(few_NPD * torch.where(norm_N11 > _CONSTANT, 1 / norm_N11.clamp_min(_CONSTANT), 0.0))
    return torch.cat(found)


def _inverse_root(units: Units) -> torch.Tensor:
    """Return `[N]`: 1 over the root of the self-similarity; 0 where it is similar to nothing."""
    return torch.where(units.is_known, units.self_hsic.clamp_min(_STRUCTURELESS).rsqrt(), 0.0)


def _unit_distances(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, P(P - 1)/2]` distances between probes, centred and scaled to norm 1."""
    P = x_NPD.shape[1]
    x_NPD = _unit(x_NPD)
    row, column = torch.triu_indices(P, P, offset=1, device=x_NPD.device)
    distance_NPP = torch.cdist(x_NPD, x_NPD)
    distance_NQ = distance_NPP.flatten(1)[:, row * P + column]
    return _unit(distance_NQ[:, :, None])[:, :, 0]
