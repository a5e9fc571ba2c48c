"""How little a blueprint adds to a hall of fame: its nearest entry in function, found by comparing few.

CKA rests on |XᵀY|, which is at most its part inside a few directions of the probes plus its part outside. The
part inside costs little for all pairs; the part outside is at most the root of |XᵀX| |YᵀY| there
(Cauchy-Schwarz). An entry whose bound is below a similarity already seen is not compared. Likeness in
structure (structure.py) is left out: it foretells function too little (docs/novelty.md).

Axes: N candidates, M archive entries, P probes, D width (E in the archive), K directions, Q pairs.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from hall_of_fame.similarity import Units, normalised, normalised_pairs

#: Directions of the probes in which all pairs are compared: those in which the archive varies most.
_DIRECTIONS = 64
#: Entries of the archive, about, that decide which these are.
_SAMPLE = 256
#: Entries, those of the highest bounds, that each candidate is compared with first.
_FIRST = 2
#: Representations looked at at once, so that they stay in the processor's cache.
_FEW = 64
#: What rounding may take from a bound.
_ROUNDING = 1e-5


def redundancy(
    blueprint_ids: Sequence[str],
    fingerprints: Sequence[torch.Tensor],
    *,
    known_ids: Collection[str],
    snapshot: Sequence[torch.Tensor],
) -> list[float]:
    """Return how little each blueprint of a batch adds, in [0, 1].

    1 for a blueprint that is isomorphic to a known one or to an earlier one of the batch; for any other how
    alike the nearest of the snapshot is in function, 0 when that is empty.

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
    values = []
    for blueprint_id, similarity in zip(
        blueprint_ids, nearest(fingerprints, snapshot)[0].tolist(), strict=True
    ):
        values.append(1.0 if blueprint_id in seen else similarity)
        seen.add(blueprint_id)
    return values


def nearest(
    candidates: Sequence[torch.Tensor], archive: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, float]:
    """Return `[N]`, the highest of `similarity.alike` of each candidate; and the share of pairs compared.

    The highest is exact to 1e-5, whatever was not compared; 0 where the archive is empty.

    Args:
        candidates: `[N, P, D]` a task.
        archive: `[M, P, E]` a task, in the same order of tasks; P may differ between them.
    """
    N, M = len(candidates[0]), len(archive[0])
    if not N * M:
        return candidates[0].new_zeros(N), 0.0
    tasks = [_Task.of(Units.of(x), Units.of(y)) for x, y in zip(candidates, archive, strict=True)]
    tasks.sort(key=lambda task: -task.looseness)
    both = [task.own.is_finite[:, None] & task.known.is_finite for task in tasks]
    num_tasks_NM = torch.stack(both).sum(dim=0).clamp_min(1)
    bound_NM = torch.stack([task.bounds for task in tasks]).sum(dim=0) / num_tasks_NM
    first_NF = bound_NM.topk(min(_FIRST, M), dim=1).indices
    rows, columns = torch.arange(N).repeat_interleave(first_NF.shape[1]), first_NF.flatten()
    of_tasks = [task.compared(rows, columns) for task in tasks]
    best_N = (torch.stack(of_tasks).sum(dim=0) / num_tasks_NM[rows, columns]).view(first_NF.shape).amax(dim=1)
    num_compared = len(rows)
    bar_N = (best_N - _ROUNDING).clamp_min(0)
    rows, columns = (bound_NM > bar_N[:, None]).scatter_(1, first_NF, False).nonzero(as_tuple=True)
    num_compared += len(rows)
    value_Q = bound_NM[rows, columns]
    for task in tasks:  # the value stays a bound until the last task has taken its own for what is true
        change_Q = task.compared(rows, columns) - task.bounds[rows, columns]
        value_Q = value_Q + change_Q / num_tasks_NM[rows, columns]
        is_open_Q = value_Q > bar_N[rows]
        rows, columns, value_Q = rows[is_open_Q], columns[is_open_Q], value_Q[is_open_Q]
    return best_N.scatter_reduce(0, rows, value_Q, "amax"), num_compared / (N * M)


@dataclass(frozen=True, slots=True)
class _Task:
    """Candidates beside an archive on one task.

    Attributes:
        own: the candidates.
        known: the archive.
        bounds: `[N, M]`: no CKA is above it, but for rounding.
        looseness: how much of the archive is outside the directions in which all are compared.
    """

    own: Units
    known: Units
    bounds: torch.Tensor
    looseness: float

    @classmethod
    def of(cls, own: Units, known: Units) -> "_Task":
        directions_PK = _directions(known.values)
        (inside_NQ, outside_N), (inside_MQ, outside_M) = (
            _parts(x.values, directions_PK) for x in (own, known)
        )
        root_NM = (inside_NQ @ inside_MQ.T).clamp_min_(0).sqrt_()
        energy_NM = root_NM.add_(outside_N[:, None] * outside_M).square_()
        return cls(own, known, normalised(energy_NM, own, known), outside_M.mean().item())

    def compared(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return `[Q]`: the CKA of candidates, `rows`, which ascend, with one entry each."""
        energies = [torch.zeros(0)]
        some, counts = rows.unique_consecutive(return_counts=True)
        for row, chosen in zip(some.tolist(), columns.split(counts.tolist()), strict=True):
            cross_QED = self.known.values[chosen].transpose(1, 2) @ self.own.values[row]
            energies.append(cross_QED.square_().sum(dim=(1, 2)))
        return normalised_pairs(torch.cat(energies), self.own, rows, self.known, columns)


def _directions(y_MPE: torch.Tensor) -> torch.Tensor:
    """Return `[P, K]`, orthonormal: the directions in which some of the archive vary most."""
    some_PQ = y_MPE[:: 1 + len(y_MPE) // _SAMPLE].transpose(0, 1).flatten(1)
    return torch.linalg.eigh((some_PQ @ some_PQ.T).double())[1][:, -_DIRECTIONS:].float()


def _parts(x_NPD: torch.Tensor, directions_PK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `[N, K(K + 1)/2]`, whose products are |XᵀY|² inside, and `[N]`: the root of |XᵀX| outside."""
    K = directions_PK.shape[1]
    row, column = torch.triu_indices(K, K)
    weight = torch.where(row == column, 1.0, 2.0**0.5)
    inside, outside = [], []
    for x in x_NPD.split(_FEW):
        inside_NKD = directions_PK.T @ x
        gram_NKK = inside_NKD @ inside_NKD.transpose(1, 2)
        inside.append(gram_NKK.flatten(1).index_select(1, row * K + column) * weight)
        rest = x - directions_PK @ inside_NKD
        outside.append(torch.linalg.matrix_norm(rest.transpose(1, 2) @ rest).sqrt())
    return torch.cat(inside), torch.cat(outside)
