"""What kind of function a representation shows, and how likely two are one blueprint's; leaves outputs alone.

One blueprint trained from two seeds seldom gives the same outputs, which is what CKA and RSA compare; but of
what kind they are stays: over how many directions they spread, how much of them is linear in the input, where
they lie about zero. Neither the order of channels nor scale moves these traits. How far each moves with
the seed, against how far with the blueprint, was measured (`benchmarks/novelty_fit.py` wrote traits.json):
the log likelihood ratio of a linear Gaussian model with both kinds of scatter (Ioffe 2006) says whether two
are of one blueprint, and a logistic curve turns it into a probability, for even odds beforehand.

Axes: N candidates, M archive entries, P probes, D width, F traits, K tasks.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from hall_of_fame.similarity import input_basis

#: Where the scatter of traits is written.
PLACE = Path(__file__).with_name("traits.json")
#: Directions after which it is asked how much is left.
_COUNTS = (1, 2, 3, 4, 6, 9)
#: Ranks among a representation's channels, from the lowest to the highest.
_RANKS = (0.0, 0.25, 0.5, 0.75, 1.0)
NAMES = (
    *(f"log_left_after_{count}" for count in _COUNTS),
    "log_directions",
    *(f"log_offset_at_{rank}" for rank in _RANKS),
    "mean_sign",
    "never_negative",
    "never_positive",
    "log_not_linear",
    "linear",
)
#: Spread over the probes, relative to the largest value, under which a representation counts as constant.
_CONSTANT = 1e-4
#: Standard deviations at which a trait is cut off.
_MOST = 5.0
_TENSORS = ("mean", "scale", "projection", "between")


def traits(fingerprints: torch.Tensor, probe: torch.Tensor, input_width: int) -> torch.Tensor:
    """Return `[N, F]` in the order of `NAMES`, float64; NaN of what is not finite.

    What is constant over the probes has traits too: it spreads over no direction.

    Args:
        fingerprints: `[N, P, D]`, means over time of a slot's output.
        probe: the task's probe set, `[P, T, F]`, or `[P, T]` symbols.
        input_width: F, or how many symbols there are.
    """
    x_NPD = fingerprints.double()
    x_NPD = x_NPD / x_NPD.abs().amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    is_finite_N = torch.isfinite(x_NPD).flatten(1).all(dim=1)
    x_NPD = torch.where(is_finite_N[:, None, None], x_NPD, 0.0)
    mean_ND = x_NPD.mean(dim=1)
    own_NPD = x_NPD - mean_ND[:, None]
    is_constant_N = own_NPD.square().sum(dim=(1, 2)) <= _CONSTANT**2
    own_NPD = torch.where(is_constant_N[:, None, None], 0.0, own_NPD)
    energy_N = own_NPD.square().sum(dim=(1, 2)).clamp_min(_CONSTANT**2)
    share_ND = (
        torch.linalg.eigvalsh(own_NPD.transpose(1, 2) @ own_NPD).flip(1).clamp_min(0) / energy_N[:, None]
    )
    linear_NF = torch.einsum("pf,npd->nfd", input_basis(probe, input_width), own_NPD)
    linear_N1 = (linear_NF.square().sum(dim=(1, 2)) / energy_N)[:, None]
    found = (
        *((share_ND[:, count:].sum(dim=1, keepdim=True) + 1e-4).log10() for count in _COUNTS),
        -share_ND.square().sum(dim=1, keepdim=True).clamp_min(1e-3).log(),
        _offsets(mean_ND, own_NPD),
        mean_ND.sign().mean(dim=1, keepdim=True),
        (x_NPD >= 0).all(dim=1).double().mean(dim=1, keepdim=True),
        (x_NPD <= 0).all(dim=1).double().mean(dim=1, keepdim=True),
        (1 - linear_N1 + 1e-3).log10(),
        linear_N1,
    )
    return torch.where(is_finite_N[:, None], torch.cat(found, dim=1), torch.nan)


def likeness(candidates: Sequence[torch.Tensor], archive: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return `[N, M]`: how likely two are of one blueprint, were it as likely as not beforehand, in [0, 1].

    Of several tasks the mean log odds count, of those on which both have traits; 0 where there is none.

    Args:
        candidates: `[N, F]` a task, from `traits`.
        archive: `[M, F]` a task, in the same order of tasks.
    """
    scatter = measured()
    ratios = [scatter.log_ratios(x_NF, y_MF) for x_NF, y_MF in zip(candidates, archive, strict=True)]
    odds_KNM = scatter.slope * torch.stack(ratios) + scatter.intercept
    is_known_NM = torch.isfinite(odds_KNM).any(dim=0)
    return torch.where(is_known_NM, torch.sigmoid(odds_KNM.nanmean(dim=0)), 0.0)


@dataclass(frozen=True, slots=True)
class Scatter:
    """How traits scatter over seeds and over blueprints.

    Attributes:
        mean: `[F]`, of each trait over blueprints.
        scale: `[F]`, its standard deviation.
        projection: `[F, F]`, of scaled traits onto what is uncorrelated, and of variance 1 over seeds.
        between: `[F]`, variances of these over blueprints.
        slope: of the log odds in the log likelihood ratio.
        intercept: of the log odds.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    projection: torch.Tensor
    between: torch.Tensor
    slope: float
    intercept: float

    def log_ratios(self, x_NF: torch.Tensor, y_MF: torch.Tensor) -> torch.Tensor:
        """Return `[N, M]`: log likelihood of one blueprint less that of two; NaN where traits are missing."""
        x_NF, y_MF = (
            ((z - self.mean) / self.scale).clamp(-_MOST, _MOST) @ self.projection for z in (x_NF, y_MF)
        )
        total_F = self.between + 1
        determinant_F = total_F.square() - self.between.square()
        own_F = total_F / determinant_F - 1 / total_F
        squares_NM = (x_NF.square() @ own_F)[:, None] + y_MF.square() @ own_F
        product_NM = (x_NF * (self.between / determinant_F)) @ y_MF.T
        return product_NM - squares_NM / 2 - (determinant_F.log() - 2 * total_F.log()).sum() / 2

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers."""
        tensors = {name: getattr(self, name).tolist() for name in _TENSORS}
        return {"names": list(NAMES), **tensors, "slope": self.slope, "intercept": self.intercept}


@lru_cache(maxsize=1)
def measured() -> Scatter:
    """Return the scatter on file."""
    values = json.loads(PLACE.read_text())
    assert values["names"] == list(NAMES), f"{PLACE} is of other traits; run benchmarks/novelty_fit.py"
    tensors = {name: torch.tensor(values[name], dtype=torch.float64) for name in _TENSORS}
    return Scatter(**tensors, slope=values["slope"], intercept=values["intercept"])


def _offsets(mean_ND: torch.Tensor, own_NPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, ranks]`: how far channels lie from zero, in their standard deviations, as decimal logs."""
    deviation_ND = own_NPD.square().mean(dim=1).sqrt()
    floor_N1 = 1e-6 * deviation_ND.square().mean(dim=1, keepdim=True).sqrt().clamp_min(_CONSTANT)
    offset_ND = (mean_ND.abs() / torch.maximum(deviation_ND, floor_N1)).clamp(1e-2, 1e3).log10()
    return torch.quantile(offset_ND, offset_ND.new_tensor(_RANKS), dim=1).T
