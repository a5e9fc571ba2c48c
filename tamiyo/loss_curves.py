"""The loss curves of a blueprint's trainings, task by task, with their mean; draws nothing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from crucible.evaluation import NUM_POINTS, TaskResult
from hall_of_fame.records import EvaluationRecord

#: Steps taken before, and the training loss there.
Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCurves:
    """The curves of trainings on one task and its settings.

    Attributes:
        task: the task's name.
        task_key: the name and a hash of its knobs.
        results: of the trainings that have a curve, in their order.
        num_unrecorded: trainings that went well and have none on record.
        num_failed: trainings that failed before they had one.
    """

    task: str
    task_key: str
    results: tuple[TaskResult, ...]
    num_unrecorded: int
    num_failed: int

    @property
    def planned_steps(self) -> int:
        """Steps of the longest of these trainings, had it taken them all; 0 where there is no curve."""
        return max((r.loss_curve.planned_steps for r in self.results if r.loss_curve), default=0)

    @property
    def averaged(self) -> tuple[TaskResult, ...]:
        """The trainings behind the mean: those that went well."""
        return tuple(result for result in self.results if result.status == "ok")

    @property
    def mean(self) -> tuple[Point, ...]:
        """The mean curve of the trainings that went well, as far as every one of them goes."""
        together = zip(*map(points, self.averaged), strict=False)
        return tuple(
            (_mean([step for step, _ in places]), _mean([loss for _, loss in places])) for places in together
        )


def points(result: TaskResult) -> tuple[Point, ...]:
    """Return the loss of a training's first step, then each mean of its curve amid its steps."""
    curve = result.loss_curve
    if curve is None:
        return ()
    ends = [min(bound, result.num_steps or bound) for bound in curve.bounds]
    middles = [(start + end - 1) / 2 for start, end in pairwise(ends)]
    found = list(zip(middles, curve.means, strict=True))
    # A mean of the first step alone is its loss.
    return tuple(found if middles[0] == 0 else [(0.0, result.loss_first), *found])


def loss_at(curves: TaskCurves, share: float) -> float | None:
    """Return the mean curve's loss nearest a share of the planned steps; None where it ends before that.

    A mean stands for the steps around it, so the curve ends half a sixteenth after its last point.
    """
    mean, step = curves.mean, share * curves.planned_steps
    if not mean or step > mean[-1][0] + curves.planned_steps / (2 * NUM_POINTS) + 1:
        return None
    return min(mean, key=lambda point: abs(point[0] - step))[1]


def by_task(evaluations: Sequence[EvaluationRecord]) -> list[TaskCurves]:
    """Return the curves of each task that was trained on, by task key."""
    results: dict[str, list[TaskResult]] = defaultdict(list)
    for record in evaluations:
        results[record.task_key].append(record.result)
    found = []
    for key, own in sorted(results.items()):
        without = [result.status == "ok" for result in own if result.loss_curve is None]
        found.append(
            TaskCurves(
                task=own[0].task,
                task_key=key,
                results=tuple(result for result in own if result.loss_curve is not None),
                num_unrecorded=sum(without),
                num_failed=len(without) - sum(without),
            )
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
