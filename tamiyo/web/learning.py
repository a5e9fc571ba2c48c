"""The learning curves of a blueprint, a picture and a table a task, as SVG; gathers no trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from crucible.evaluation import TaskResult
from hall_of_fame.records import EvaluationRecord
from tamiyo.loss_curves import Point, TaskCurves, by_task, points
from tamiyo.web.curves import BLUE, BOTTOM, HEIGHT, LEFT, RED, WIDTH, axis_ends, grid_line

#: Thin lines of a picture at most; the mean is of all trainings.
MOST_LINES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a task's table.

    Attributes:
        steps: taken before, on the average.
        mean: training loss.
        low: the least of the trainings.
        high: the greatest.
    """

    steps: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What a page shows of one task.

    Attributes:
        curves: what is drawn.
        svg: the picture; empty where there is no curve.
        note: what is to be said of it.
        rows: the mean curve as a table.
    """

    curves: TaskCurves
    svg: Markup
    note: str
    rows: tuple[Row, ...]


def learning_of(evaluations: Sequence[EvaluationRecord]) -> list[Learning]:
    """Return what there is to show of each task that was trained on."""
    return [
        Learning(
            curves=curves,
            svg=curves_svg(curves),
            note=" ".join(_sentences(curves)),
            rows=tuple(_rows(curves)),
        )
        for curves in by_task(evaluations)
    ]


def curves_svg(curves: TaskCurves) -> Markup:
    """Return all curves of a task, thin, and their mean over them; nothing where there is none."""
    if not curves.results:
        return Markup("")
    last, high, mean = curves.planned_steps, _ceiling(curves), curves.mean

    def path(found: Sequence[Point]) -> str:
        places = [
            (LEFT + step / last * (WIDTH - LEFT - 6), 6 + (1 - min(loss / high, 1.0)) * (HEIGHT - BOTTOM - 6))
            for step, loss in found
        ]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)

    parts = [grid_line(share * high, 6 + (1 - share) * (HEIGHT - BOTTOM - 6)) for share in (0, 0.5, 1)]
    for result in curves.results[:MOST_LINES]:
        of = Markup("{}, seed {}").format(result.status, result.seed)
        kind, colour = ("one", BLUE) if result.status == "ok" else ("one failed", RED)
        parts.append(
            Markup('<path class="{}" d="{}" stroke="{}"><title>{}</title></path>').format(
                kind, path(points(result)), colour, of
            )
        )
    if mean:
        parts.append(Markup('<path class="mean" d="{}" stroke="{}"/>').format(path(mean), BLUE))
    parts.append(axis_ends(0, last, "step"))
    return Markup(
        '<svg class="curve" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}">{}</svg>'
    ).format(_told(curves), WIDTH, HEIGHT, Markup("").join(parts))


def _ceiling(curves: TaskCurves) -> float:
    """Return the greatest loss of the trainings that went well, or of all: one that failed may reach far."""
    own: Sequence[TaskResult] = curves.averaged or curves.results
    return max(loss for result in own for _, loss in points(result)) or 1.0


def _told(curves: TaskCurves) -> str:
    mean = curves.mean
    told = f"Training loss on {curves.task} over {curves.planned_steps} steps"
    return f"{told}: from {mean[0][1]:.3g} to {mean[-1][1]:.3g} on the average" if mean else told


def _sentences(curves: TaskCurves) -> list[str]:
    """Return what a reader should know of a picture, or of why there is none."""
    found = []
    averaged, num = len(curves.averaged), len(curves.results)
    if averaged:
        found.append(f"Thick, the mean of {_counted(averaged)}, as far as all of them go.")
    if num_short := sum((r.num_steps or 0) < curves.planned_steps for r in curves.averaged):
        found.append(f"{_counted(num_short).capitalize()} went well and ended before the last step.")
    if num > averaged:
        found.append(f"Dashed, {_counted(num - averaged)} that failed on the way.")
    ceiling = _ceiling(curves) if num else 0.0
    if any(loss > ceiling for result in curves.results for _, loss in points(result)):
        found.append("Lines along the upper edge are above it.")
    if num > MOST_LINES:
        found.append(f"The first {MOST_LINES} are drawn thin.")
    if curves.num_unrecorded:
        found.append(
            f"{_counted(curves.num_unrecorded).capitalize()} went well and left no curve on record, as "
            "before curves were kept or in an engine that reports none."
        )
    if curves.num_failed:
        found.append(f"{_counted(curves.num_failed).capitalize()} failed before there was one.")
    return found


def _counted(num: int) -> str:
    return f"{num} training{'' if num == 1 else 's'}"


def _rows(curves: TaskCurves) -> list[Row]:
    """Return the mean curve with what the trainings behind it reach from and to."""
    together = zip(*map(points, curves.averaged), strict=False)
    return [
        Row(steps=step, mean=mean, low=min(loss for _, loss in own), high=max(loss for _, loss in own))
        for (step, mean), own in zip(curves.mean, together, strict=True)
    ]
