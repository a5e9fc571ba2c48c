"""How much of a training is done where less of it would tell as much; leaves the saving to the engines.

Rungs are successive halving (Jamieson & Talwalkar 2016): jobs compete in cohorts, and at each rung the share
that does worse ends where it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crucible.errors import CrucibleError

#: Engines that can do less than the full work.
SAVING_ENGINES = ("native",)
#: Shares are whole multiples of one of these: they stand in cache keys, whose length is limited.
THOUSAND = 1000
MAX_RUNGS = 4
#: Most jobs of a cohort, and most bytes of state that its jobs may leave at a rung.
COHORT_JOBS = 1024
COHORT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A moment at which the jobs of a cohort are ranked.

    Attributes:
        steps: share of the task's steps after which, between 0 and 1.
        kept: share of the jobs, rounded up, that go on from there, between 0 and 1.
    """

    steps: float
    kept: float

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("kept", self.kept)):
            if not 0 < value < 1 or not _is_in_thousandths(value):
                raise CrucibleError(
                    f"a rung's {name} = {value}; expected more than 0, less than 1, at most three decimals"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a job may be spared. The default is the full work: every job takes all of its task's steps.

    Attributes:
        stop_at: a job ends, and sits its exams, once its smoothed training loss is below this share of the
            task's solved loss, in [0, 1]; 0 for never. It depends on the job alone.
        rungs: when the jobs of a cohort are ranked, and how many go on; the others end and sit their exams.
            This depends on the company: which jobs share a call, and in which order.
    """

    stop_at: float = 0.0
    rungs: tuple[Rung, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.stop_at <= 1 or not _is_in_thousandths(self.stop_at):
            raise CrucibleError(
                f"stop_at = {self.stop_at}; expected a number from 0 to 1 with at most three decimals"
            )
        steps = [rung.steps for rung in self.rungs]
        if len(steps) > MAX_RUNGS or steps != sorted(set(steps)):
            raise CrucibleError(
                f"rungs after {steps} of the steps; expected at most {MAX_RUNGS}, each later than the last"
            )

    @property
    def id(self) -> str:
        """The effort in an engine's id: nothing for the full work."""
        stop = f"/stop-{self.stop_at:g}" if self.stop_at else ""
        rungs = ",".join(f"{rung.steps:g}:{rung.kept:g}" for rung in self.rungs)
        return stop + (f"/rungs-{rungs}" if rungs else "")

    def check(self, engine: str) -> None:
        """Raise a CrucibleError unless `engine` can do so little."""
        if self != FULL and engine not in SAVING_ENGINES:
            raise CrucibleError(
                f"engine '{engine}' always does the full work, and {self} was asked for; use the engine "
                f"'{SAVING_ENGINES[0]}', or leave the effort at its default"
            )

    def pauses(self, num_steps: int) -> list[tuple[int, Rung]]:
        """Return the steps after which jobs pause, each with its rung; those that coincide pause once."""
        found: dict[int, Rung] = {}
        for rung in self.rungs:
            found.setdefault(max(1, round(rung.steps * num_steps)), rung)
        return [(steps, rung) for steps, rung in found.items() if steps < num_steps]


def cohorts(state_bytes: Sequence[int]) -> list[range]:
    """Return ranges of neighbouring jobs that compete, as long as their number and states' bytes allow."""
    starts, filled = [0], 0
    for index, size in enumerate(state_bytes):
        if index - starts[-1] == COHORT_JOBS or (index > starts[-1] and filled + size > COHORT_BYTES):
            starts.append(index)
            filled = 0
        filled += size
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(state_bytes)], strict=True)]


def best(kept: float, scores_J: np.ndarray, losses_J: np.ndarray) -> np.ndarray:
    """Return the places of the share `kept`, rounded up, in their order.

    The higher score is better, then the lower loss, then the earlier place; NaN is worse than any number.
    """
    worst_first = np.nan_to_num(-scores_J, nan=np.inf), np.nan_to_num(losses_J, nan=np.inf)
    order = np.lexsort((worst_first[1], worst_first[0]))
    num = -(-round(kept * THOUSAND) * len(order) // THOUSAND)
    return np.sort(order[:num])


def _is_in_thousandths(value: float) -> bool:
    return round(value, 3) == value


#: All of the work.
FULL = Effort()
#: A run ends as soon as it counts as solved; benchmarks/less_work.py measures what that saves and costs.
STOP = Effort(stop_at=1.0)
#: Late rungs that drop many: for the same work they keep more of the best than early ones that halve.
RUNGS = Effort(rungs=(Rung(steps=0.36, kept=0.5), Rung(steps=0.5, kept=0.25)))
