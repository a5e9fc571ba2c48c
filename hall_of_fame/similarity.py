"""How alike trained representations are: debiased linear CKA and RSA, batched; leaves novelty out.

Centred kernel alignment (Kornblith et al. 2019) compares two sets of representations of the same examples and
ignores rotation and scale. Its plain estimate is biased upwards when features are not few against examples
(Murphy et al. 2024), so the dependence is measured by the unbiased HSIC estimator of Song et al. 2012: two
independent representations then average 0. Representational similarity analysis (Kriegeskorte et al. 2008)
correlates the distances between examples instead.

A fingerprint is a mean over time, and most of it is what any slot hands on: the mean of what came in.
`emphasised` turns that part down, so that what a blueprint makes of its input decides.

Axes: N candidates, M archive entries, P probes, D width (E in the archive).
"""

from collections.abc import Collection, Sequence

import torch

#: Spread over the probes, relative to the largest value, under which a representation counts as constant.
_CONSTANT = 1e-4
#: Self-similarity (of a representation of norm 1) under which nothing but a lone probe stands out.
_STRUCTURELESS = 1e-6
#: Candidates compared at once; bounds the memory.
_CHUNK = 128
#: What is left of the part of a fingerprint that is linear in the mean input. Not 0: a blueprint that is
#: linear throughout has nothing else to be known by.
_LINEAR_PART = 0.05
#: Singular values are raised to this power, so that the first few directions are not all that counts.
_FLATTENING = 0.5
#: Singular value, relative to the largest, under which a direction is rounding.
_NOISE = 1e-3


def cka(candidates: torch.Tensor, archive: torch.Tensor) -> torch.Tensor:
    """Return `[N, M]` debiased linear CKA of `[N, P, D]` against `[M, P, E]`, clipped to [0, 1].

    A representation that is constant over the probes, or not finite, is similar to nothing: 0.
    """
    archive_x = _unit(archive)
    archive_self = _self_hsic(archive_x)
    rows = [candidates.new_zeros(0, len(archive))]
    for chunk in candidates.split(_CHUNK):
        x = _unit(chunk)
        self_hsic = _self_hsic(x)
        known = (self_hsic > _STRUCTURELESS)[:, None] & (archive_self > _STRUCTURELESS)[None]
        scale = (self_hsic[:, None] * archive_self[None]).clamp_min(_STRUCTURELESS**2).sqrt()
        rows.append(torch.where(known, (_hsic(x, archive_x) / scale).clamp(0, 1), 0.0))
    return torch.cat(rows)


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
    x_NPD = fingerprints.double()
    finite_N = _is_finite(x_NPD)[:, None, None]
    x_NPD = torch.where(finite_N, x_NPD, 0.0)
    x_NPD = x_NPD / x_NPD.abs().amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    x_NPD = x_NPD - x_NPD.mean(dim=1, keepdim=True)
    if probe.shape[1] > 1:
        basis_PF = _span(_mean_input(probe, input_width))
        x_NPD = x_NPD - (1 - _LINEAR_PART) * (basis_PF @ (basis_PF.T @ x_NPD))
    return torch.where(finite_N, _flattened(x_NPD), torch.nan).float()


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


def redundancy(
    blueprint_ids: Sequence[str],
    fingerprints: Sequence[torch.Tensor],
    *,
    known_ids: Collection[str],
    snapshot: Sequence[torch.Tensor],
) -> list[float]:
    """Return how little each blueprint of a batch adds, in [0, 1].

    1 for a blueprint that is isomorphic to a known one or to an earlier one of the batch; for any other how
    alike the nearest of the snapshot is in function, 0 when that is empty. How alike it is in structure
    (structure.py) does not count: it foretells function too little (docs/novelty.md).

    Args:
        blueprint_ids: canonical ids of the batch, in order.
        fingerprints: `[N, P, D]` a task, `emphasised` trained representations of the batch; NaN where there
            is none.
        known_ids: canonical ids of the hall of fame.
        snapshot: `[M, P, E]` a task, those of the hall of fame as it stood for this generation; likewise.
    """
    counts = {len(of_task) for of_task in fingerprints}
    assert counts == {len(blueprint_ids)}, f"{len(blueprint_ids)} ids, {counts} fingerprints"
    seen = set(known_ids)
    similarity_NM = alike(fingerprints, snapshot)
    highest = similarity_NM.amax(dim=1).tolist() if len(snapshot[0]) else [0.0] * len(blueprint_ids)
    values = []
    for blueprint_id, similarity in zip(blueprint_ids, highest, strict=True):
        values.append(1.0 if blueprint_id in seen else similarity)
        seen.add(blueprint_id)
    return values


def _is_finite(x_NPD: torch.Tensor) -> torch.Tensor:
    return torch.isfinite(x_NPD).all(dim=2).all(dim=1)


def _mean_input(probe: torch.Tensor, input_width: int) -> torch.Tensor:
    """Return `[P, F]`: each example's mean input over time; of symbols, how often each occurs."""
    if not probe.is_floating_point():
        probe = torch.nn.functional.one_hot(probe.long(), input_width)
    return probe.double().mean(dim=1)


def _span(x_PF: torch.Tensor) -> torch.Tensor:
    """Return an orthonormal basis of what the centred columns span."""
    u, s, _ = torch.linalg.svd(x_PF - x_PF.mean(dim=0), full_matrices=False)
    return u[:, s > _NOISE * s.max()]


def _flattened(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return centred representations with their singular values' roots, rotated; what is noise is 0."""
    square_ND, rotation_NDD = torch.linalg.eigh(x_NPD.transpose(1, 2) @ x_NPD)
    largest_N = square_ND.amax(dim=1, keepdim=True)
    kept_ND = (square_ND > _NOISE**2 * largest_N) & (largest_N > _CONSTANT**2)
    power = (_FLATTENING - 1) / 2
    scale_ND = torch.where(kept_ND, square_ND.clamp_min(torch.finfo(torch.float64).tiny) ** power, 0.0)
    return (x_NPD @ rotation_NDD) * scale_ND[:, None, :]


def _unit(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return representations centred over the probes and scaled to norm 1; all 0 where constant."""
    x_NPD = torch.where(_is_finite(x_NPD)[:, None, None], x_NPD, 0.0).double()
    x_NPD = x_NPD / x_NPD.abs().amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    x_NPD = x_NPD - x_NPD.mean(dim=1, keepdim=True)
    norm_N = x_NPD.square().sum(dim=(1, 2)).sqrt()[:, None, None]
    return torch.where(norm_N > _CONSTANT, x_NPD / norm_N.clamp_min(_CONSTANT), 0.0).float()


def _hsic(x_NPD: torch.Tensor, y_MPE: torch.Tensor) -> torch.Tensor:
    """Return `[N, M]` unbiased HSIC of linear kernels, times P(P - 3), of centred representations of norm 1.

    With K = X Xᵀ without its diagonal k and likewise L, Song et al. estimate
    tr(KL) + 1ᵀK1 1ᵀL1 / ((P - 1)(P - 2)) - 2 1ᵀKL1 / (P - 2). Here the rows of X Xᵀ sum to 0 and k sums to 1,
    so K1 = -k, and the whole is |XᵀY|² + 1 / ((P - 1)(P - 2)) - P / (P - 2) k·l: no P x P matrix is needed.
    """
    (N, P, D), (M, _, E) = x_NPD.shape, y_MPE.shape
    cross = x_NPD.transpose(1, 2).reshape(N * D, P) @ y_MPE.transpose(0, 1).reshape(P, M * E)
    energy_NM = cross.square_().view(N, D, M, E).sum(dim=(1, 3))
    return _debias(energy_NM, _diagonal(x_NPD) @ _diagonal(y_MPE).T, P)


def _self_hsic(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return `[N]`: `_hsic` of each representation with itself; 0 for one that is all 0."""
    energy_N = torch.bmm(x_NPD.transpose(1, 2), x_NPD).square().sum(dim=(1, 2))
    value_N = _debias(energy_N, _diagonal(x_NPD).square().sum(dim=1), x_NPD.shape[1])
    return torch.where(energy_N > 0, value_N, 0.0)


def _debias(energy: torch.Tensor, diagonal: torch.Tensor, P: int) -> torch.Tensor:
    assert P > 3, f"{P} probes; the unbiased estimator needs at least 4"
    return energy + 1 / ((P - 1) * (P - 2)) - P / (P - 2) * diagonal


def _diagonal(x_NPD: torch.Tensor) -> torch.Tensor:
    return x_NPD.square().sum(dim=2)


def _unit_distances(x_NPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, P(P - 1)/2]` distances between probes, centred and scaled to norm 1."""
    P = x_NPD.shape[1]
    x_NPD = _unit(x_NPD)
    row, column = torch.triu_indices(P, P, offset=1, device=x_NPD.device)
    distance_NPP = torch.cdist(x_NPD, x_NPD)
    distance_NQ = distance_NPP.flatten(1)[:, row * P + column]
    return _unit(distance_NQ[:, :, None])[:, :, 0]
