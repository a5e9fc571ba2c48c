"""Jobs without their process: an examiner here judges as a search would, and answers are lines of JSON."""

import io
import json
import queue
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from job_processes import BAD, GOOD, USER_TASKS
from judged_libraries import MLP, NEAR, SEED

from curricula.suites import task_named
from curricula.task import TaskError
from hall_of_fame.errors import StoreError
from hall_of_fame.records import RunRecord
from tamiyo import jobs_worker
from tamiyo.jobs_examination import build_examiner
from tamiyo.jobs_records import EvaluationRequest, JobSettings
from tamiyo.judging import Judge

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def settings(judged: tuple[Path, Judge], tmp_path: Path) -> JobSettings:
    """Return settings with the judged library and tasks of one's own."""
    (tmp_path / "tasks.py").write_text(USER_TASKS)
    return JobSettings(library=str(judged[0]), user_tasks=str(tmp_path / "tasks.py"))


@pytest.fixture
def table(judged: tuple[Path, Judge]) -> str:
    """Return the judge's latency table."""
    return (judged[0] / "latency_table.json").read_text()


def asked(*programs: tuple[str, ...], **more: Any) -> EvaluationRequest:
    return EvaluationRequest(programs=programs, **{"suite": "xor", "seeds": (SEED,), **more})


def told(settings: JobSettings, table: str, request: EvaluationRequest) -> Told:
    """Return what an examiner reports of a request."""
    heard: Told = []
    build_examiner(settings, table).examine(request, lambda kind, row: heard.append((kind, dict(row))))
    return heard


def test_an_examiner_judges_as_a_search_would_against_the_library(settings, table, judged) -> None:
    verdicts = judged[1].judge([MLP, NEAR], [task_named("xor")]).verdicts
    heard = told(settings, table, asked(MLP, NEAR))
    assert [kind for kind, _ in heard] == ["training", "result"] * 2
    for verdict, (_, training), (_, result) in zip(verdicts, heard[::2], heard[1::2], strict=True):
        [trained] = verdict.evaluation.results
        assert (training["task"], training["seed"], training["score"]) == ("xor", SEED, trained.score)
        assert not {"fingerprint", "loss_curve"} & training.keys()
        assert (result["reward"], result["terms"]) == (verdict.reward.total, asdict(verdict.reward.terms))
        assert result["measured"]["width"] == settings.width
    assert heard[1][1]["terms"]["redundancy"] == 1.0, "the library holds it"


def test_the_library_can_be_read_alone(settings, table) -> None:
    store = build_examiner(settings, table).store
    assert store is not None
    with pytest.raises(StoreError, match=r"cannot record a run in .*read-?only"):
        store.add_run(RunRecord(id="another", created="2026-01-01T00:00:00+00:00", seed=0, config={}))


def test_without_a_library_nothing_is_redundant(settings, table) -> None:
    [_, (_, result)] = told(replace(settings, library=""), table, asked(MLP))
    assert result["terms"]["redundancy"] == 0.0


def test_seeds_have_an_interval_and_as_many_are_trained_together_as_there_are_cores(settings, table) -> None:
    heard = told(replace(settings, num_cores=2), table, asked(MLP, seeds=(1, 2, 3)))
    assert [row["seed"] for kind, row in heard if kind == "training"] == [1, 2, 3]
    [task] = heard[-1][1]["tasks"]
    assert task["num_seeds"] == task["num_ok"] == 3
    assert 0 <= task["interval_low"] <= task["mean"] <= task["interval_high"] <= 1


def test_a_latency_table_that_does_not_fit_is_measured_anew(settings, table) -> None:
    other = json.dumps({**json.loads(table), "width": 32})
    for text in ("", "no table", other):
        found = build_examiner(settings, text).crucible.latency_table
        assert found is not None
        assert found.width == settings.width
    kept = build_examiner(settings, table).crucible.latency_table
    assert kept is not None
    assert kept.to_text() == table


def test_a_task_that_breaks_its_contract_is_refused_before_anything_is_trained(settings, table) -> None:
    heard: Told = []
    examiner = build_examiner(settings, table)
    with pytest.raises(TaskError, match="task 'raising' cannot draw the splits of seed 7"):
        examiner.examine(
            asked(MLP, tasks=("raising",), seeds=(BAD, GOOD)),
            lambda *told: heard.append(told),  # type: ignore
        )
    assert heard == []


def test_answers_are_lines_and_a_refused_job_leaves_the_next_alone(settings, table) -> None:
    lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    lines.put({"settings": asdict(settings), "latency_table": table})
    lines.put(asdict(asked(MLP, tasks=("raising",), seeds=(BAD,))))
    lines.put(asdict(asked(MLP)))
    lines.put({"programs": []})  # no request: a fault of the server's, which ends its worker
    answers = io.StringIO()
    with pytest.raises(KeyError, match="tasks"):
        jobs_worker._work(lines, answers)
    ready, failed, *rest = (json.loads(line) for line in answers.getvalue().splitlines())
    assert ready["kind"] == "ready"
    assert ready["latency_table"] == table
    assert (failed["kind"], failed["code"], failed["is_over"]) == ("failed", "evaluation-failed", False)
    assert "cannot draw the splits of seed 7" in failed["message"]
    assert [line["kind"] for line in rest] == ["training", "result", "done"]
