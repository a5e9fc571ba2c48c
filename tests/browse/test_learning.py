"""Learning curves: what is drawn and said of trainings that end early, fail, or left none, by hand."""

import re
from collections.abc import Sequence

import httpx
import pytest
from servers import CURVE

from crucible.evaluation import LossCurve, TaskResult
from hall_of_fame.records import EvaluationRecord
from tamiyo.loss_curves import TaskCurves, by_task, loss_at, points
from tamiyo.web.curves import HEIGHT, LEFT, WIDTH
from tamiyo.web.learning import MOST_LINES, learning_of


def training(means: Sequence[float] | None, steps: int, seed: int = 0, planned: int = 32, **fields):
    """Return a training on xor whose first loss is 4; two steps are a span of its 32."""
    curve = None if means is None else LossCurve(planned_steps=planned, means=tuple(means))
    return TaskResult(task="xor", seed=seed, num_steps=steps, loss_first=4.0, loss_curve=curve, **fields)


def records(*results: TaskResult) -> list[EvaluationRecord]:
    of = {"blueprint_id": "b", "run_id": "r", "generation": 0, "engine_id": "e", "latency_us": None}
    return [
        EvaluationRecord(result=result, task_key="xor-a", num_parameters=1, flops=1, **of)
        for result in results
    ]


def curves_of(*results: TaskResult) -> TaskCurves:
    [found] = by_task(records(*results))
    return found


def test_a_mean_stands_amid_the_steps_that_it_is_of() -> None:
    assert points(training([3, 2, 1], 6)) == ((0, 4), (0.5, 3), (2.5, 2), (4.5, 1))
    assert points(training([3, 2, 1], 5)) == ((0, 4), (0.5, 3), (2.5, 2), (4, 1))
    assert points(training([4, 2, 1], 3, planned=3)) == ((0, 4), (1, 2), (2, 1))
    assert points(training(None, 6)) == ()


def test_the_mean_is_of_trainings_that_went_well_as_far_as_all_of_them_go() -> None:
    failed = training([9], 1, status="diverged")
    curves = curves_of(training([3, 2, 1], 6), training([1, 1], 4), failed, training(None, 6))
    assert curves.mean == ((0, 4), (0.5, 2), (2.5, 1.5))
    assert (len(curves.averaged), len(curves.results), curves.num_unrecorded) == (2, 3, 1)
    assert curves_of(failed).mean == ()
    assert curves_of(training(None, 0, status="timed_out")).num_failed == 1


def test_the_loss_at_a_share_of_the_steps_is_there_until_the_mean_ends() -> None:
    curves = curves_of(training([16 - i for i in range(16)], 32))
    assert [loss_at(curves, share) for share in (0, 0.25, 0.5, 0.75, 1)] == [4, 12, 8, 4, 1]
    short = curves_of(training([3, 2, 1], 6))
    assert [loss_at(short, share) for share in (0, 0.25, 0.5, 1)] == [4, None, None, None]
    assert loss_at(curves_of(training(None, 6)), 0) is None


def test_a_picture_has_a_line_a_training_and_one_for_the_mean() -> None:
    [learning] = learning_of(records(training([2, 1], 4, seed=1), training([4, 3], 4, seed=2)))
    found = re.findall(r'<path class="(\w+)" d="([^"]+)"', learning.svg)
    assert [kind for kind, _ in found] == ["one", "one", "mean"]
    first, *_, last = found[2][1].removeprefix("M").split("L")
    assert first == f"{LEFT:.1f} 6.0", "the greatest loss is at the upper edge"
    x, y = map(float, last.split())
    assert x == pytest.approx(LEFT + 2.5 / 32 * (WIDTH - LEFT - 6), abs=0.1)
    assert 6 < y < HEIGHT / 2 + 6
    assert "<title>ok, seed 2</title>" in learning.svg
    assert "step 32</text>" in learning.svg
    assert 'aria-label="Training loss on xor over 32 steps: from 4 to 2 on the average"' in learning.svg
    assert learning.note == (
        "Thick, the mean of 2 trainings, as far as all of them go. "
        "2 trainings went well and ended before the last step."
    )
    assert [(row.steps, row.mean, row.low, row.high) for row in learning.rows] == [
        (0, 4, 4, 4),
        (0.5, 3, 2, 4),
        (2.5, 2, 1, 3),
    ]


def test_a_training_that_failed_is_dashed_and_cut_at_the_upper_edge() -> None:
    failed = training([1e9], 1, status="diverged")
    [learning] = learning_of(records(training([2] * 16, 32), failed))
    assert 'class="one failed"' in learning.svg
    assert ">4</text>" in learning.svg, "the scale is of the training that went well"
    assert "Dashed, 1 training that failed on the way." in learning.note
    assert "Lines along the upper edge are above it." in learning.note
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", learning.svg)]
    assert min(heights) == 6.0
    [alone] = learning_of(records(failed))
    assert 'class="mean"' not in alone.svg
    assert alone.rows == ()


def test_what_has_no_curve_is_said_and_not_drawn() -> None:
    late = training(None, 0, seed=1, status="timed_out")
    [learning] = learning_of(records(training(None, 32), late))
    assert learning.svg == ""
    assert learning.note == (
        "1 training went well and left no curve on record, as before curves were kept or in an engine that "
        "reports none. 1 training failed before there was one."
    )


def test_many_trainings_are_averaged_and_the_first_of_them_drawn() -> None:
    own = [training([2] * 16, 32, seed=seed) for seed in range(MOST_LINES + 8)]
    [learning] = learning_of(records(*own))
    assert learning.svg.count('class="one"') == MOST_LINES
    assert f"the mean of {MOST_LINES + 8} trainings" in learning.note
    assert f"The first {MOST_LINES} are drawn thin." in learning.note


def test_the_page_draws_what_is_on_record_and_says_what_is_not(client: httpx.Client) -> None:
    first = client.get("/api/v1/blueprints").json()["rows"][0]["id"]
    page = client.get(f"/blueprints/{first}").text
    _, _, section = page.partition('<h2 id="learning">Learning curves</h2>')
    section = section.partition("</section>")[0]
    assert section.count('<svg class="curve"') == 1
    assert "Thick, the mean of 2 trainings" in section
    assert "temporal: 2 trainings went well and left no curve on record" in section
    assert '<td class="number">0.250</td>' in section


def test_the_json_twin_has_the_curves(client: httpx.Client) -> None:
    first = client.get("/api/v1/blueprints").json()["rows"][0]["id"]
    rows = client.get(f"/api/v1/blueprints/{first}/evaluations").json()["rows"]
    curves = {row["task"]: row["loss_curve"] for row in rows}
    assert curves["temporal"] is None
    assert curves["xor"] == {
        "planned_steps": 100,
        "bounds": list(CURVE.bounds),
        "means": list(CURVE.means),
    }
