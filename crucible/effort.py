"""How much of a training is done where less of it would tell as much; leaves the saving to the engines."""

from dataclasses import dataclass

from crucible.errors import CrucibleError

#: Engines that can do less than the full work.
SAVING_ENGINES = ("native",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a job may be spared. The default is the full work: every job takes all of its task's steps.

    Attributes:
        stop_at: a job ends, and sits its exams, once its smoothed training loss is below this share of the
            task's solved loss, in [0, 1]; 0 for never. It depends on the job alone.
    """

    stop_at: float = 0.0

    def __post_init__(self) -> None:
        _check_share("stop_at", self.stop_at, 0, 1)

    @property
    def id(self) -> str:
        """The effort in an engine's id: nothing for the full work."""
        return f"/stop-{self.stop_at:g}" if self.stop_at else ""

    def check(self, engine: str) -> None:
        """Raise a CrucibleError unless `engine` can do so little."""
        if self != FULL and engine not in SAVING_ENGINES:
            raise CrucibleError(
                f"engine '{engine}' always does the full work, and {self} was asked for; use the engine "
                f"'{SAVING_ENGINES[0]}', or leave the effort at its default"
            )


def _check_share(name: str, value: float, low: float, high: float) -> None:
    """Accept thousandths alone, since shares stand in cache keys, whose length is limited."""
    if not low <= value <= high or round(value, 3) != value:
        raise CrucibleError(
            f"{name} = {value}; expected a number from {low} to {high} with at most three decimals"
        )


#: All of the work.
FULL = Effort()
#: A run ends as soon as it counts as solved; benchmarks/less_work.py measures what that saves and costs.
STOP = Effort(stop_at=1.0)
