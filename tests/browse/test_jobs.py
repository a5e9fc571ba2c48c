"""Jobs: what they give is what the Crucible gives, and whatever hangs or dies, no process is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from job_processes import BAD, GOOD, USER_TASKS, group, until, workers

from blueprints import BlueprintError, parse
from crucible import Crucible, LatencyTable
from crucible.reward import reward
from curricula.suites import DEFAULT_SUITE, SUITES, TASKS, suite_named, task_named
from hall_of_fame.database import dump_json
from tamiyo import jobs_records
from tamiyo.intervals import interval
from tamiyo.jobs import JobRunner
from tamiyo.jobs_records import (
    EvaluationRequest,
    Job,
    JobSettings,
    JobsOffError,
    QueueFullError,
    RequestError,
    UnknownJobError,
)

ROOT = Path(__file__).resolve().parents[2]
MLP = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
GRU = ("GRU", "LAYERNORM")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> JobSettings:
    """Give settings with tasks that misbehave, and a latency table, so that workers measure none."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "tasks.py").write_text(USER_TASKS)
    LatencyTable.measure(repeats=1).save(folder / "latencies.json")
    return JobSettings(user_tasks=str(folder / "tasks.py"), latency_table=str(folder / "latencies.json"))


@pytest.fixture(scope="module")
def runner(settings: JobSettings) -> Iterator[JobRunner]:
    """Give a runner whose worker is warm from test to test."""
    with JobRunner(settings) as runner:
        yield runner


def asked(**changes) -> EvaluationRequest:
    return replace(EvaluationRequest(programs=(MLP,), suite="xor", seeds=(GOOD,)), **changes)


def hanging(max_seconds: float = 60.0) -> EvaluationRequest:
    return EvaluationRequest(programs=(MLP,), tasks=("hanging",), seeds=(GOOD, BAD), max_seconds=max_seconds)


def done(runner: JobRunner, request: EvaluationRequest) -> Job:
    job = runner.wait(runner.submit(request).id, 120)
    assert job.state == "done", job.error
    return job


def begun(runner: JobRunner, request: EvaluationRequest) -> Job:
    """Return a job whose first training ended, while it runs."""
    job = runner.submit(request)
    until(lambda: runner.job(job.id).trainings)
    return runner.job(job.id)


# What a job gives


#: What a job does not tell of a training.
UNTOLD = ("fingerprint", "loss_curve")


def test_results_are_those_that_the_crucible_gives_in_this_process(runner, settings):
    job = done(runner, asked(programs=(MLP, GRU), suite="classic", seeds=(3, 1, 4)))
    tasks = [task_named(name) for name in suite_named("classic")]
    table = LatencyTable.load(settings.latency_table)
    blueprints = [parse(MLP), parse(GRU)]
    with Crucible(num_workers=1, latency_table=table) as crucible:
        evaluations = crucible.evaluate(blueprints, tasks, [3, 1, 4])
    assert job.engine_id == evaluations[0].engine_id
    assert job.blueprint_ids == tuple(b.id for b in blueprints)
    trained = [
        {"blueprint_id": e.blueprint_id, **{k: v for k, v in asdict(r).items() if k not in UNTOLD}}
        for e in evaluations
        for r in e.results
    ]
    assert list(job.trainings) == json.loads(dump_json(trained))
    for row, evaluation, blueprint in zip(job.results, evaluations, blueprints, strict=True):
        earned = reward(evaluation, tasks, redundancy=0.0, task_weights=SUITES["classic"])
        assert earned.terms is not None
        assert row["tokens"] == list(blueprint.tokens)
        assert (row["status"], row["reward"], row["terms"]) == ("ok", earned.total, asdict(earned.terms))
        for name in ("blueprint_id", "num_parameters", "flops", "latency_us"):
            assert row[name] == getattr(evaluation, name)
        for task, told in zip(tasks, row["tasks"], strict=True):
            scores = [r.score for r in evaluation.results if r.task == task.name]
            mean = interval(scores)
            assert mean.low is not None
            assert mean.high is not None
            assert (told["task"], told["mean"], told["num_seeds"]) == (task.name, mean.mean, 3)
            assert (told["interval_low"], told["interval_high"]) == (max(0, mean.low), min(1, mean.high))
        assert row["measured"]["median_us"] > 0


def test_a_warm_worker_gives_the_same_numbers_again(runner):
    first, before = done(runner, asked()), workers()
    again = done(runner, asked())
    assert workers() == before
    assert again.trainings == first.trainings
    assert again.id != first.id


def test_a_stage_asks_for_the_tasks_up_to_it_and_own_tasks_weigh_alike(runner):
    of_stage = done(runner, asked(suite="classic", stage="xor"))
    own = done(runner, EvaluationRequest(programs=(MLP,), tasks=("xor",), seeds=(GOOD,)))
    assert of_stage.trainings == own.trainings
    assert of_stage.results[0]["reward"] == own.results[0]["reward"]
    assert [row["task"] for row in of_stage.results[0]["tasks"]] == ["xor"]
    assert of_stage.results[0]["tasks"][0]["interval_low"] is None


def test_a_blueprint_that_a_task_refuses_is_a_status_and_no_failure(runner):
    pool = (("POOL_MEAN",),)
    assert done(runner, asked(programs=pool)).results[0]["status"] == "ok"
    job = done(runner, EvaluationRequest(programs=(*pool, MLP), tasks=("copying",), seeds=(GOOD,)))
    refused, trained = job.results
    assert (refused["status"], refused["reward"], refused["terms"]) == ("rejected", -1.0, None)
    assert "not-causal" in job.trainings[0]["reason"]
    assert trained["status"] == "ok"


# What hangs, dies or is not wanted any more


def test_a_job_that_hangs_ends_at_its_deadline_with_all_that_it_started(runner):
    job = begun(runner, hanging(max_seconds=8.0))
    [worker] = workers()
    until(lambda: len(group(worker)) == 2)
    job = runner.wait(job.id, 60)
    assert job.state == "timed_out"
    assert job.error["code"] == "deadline"
    assert "1 of 2 trainings ended within 8 s" in job.error["message"]
    assert [row["status"] for row in job.trainings] == ["ok"]
    until(lambda: not group(worker))
    assert done(runner, asked()).state == "done"


def test_a_worker_that_is_stopped_is_late_like_one_that_hangs(runner):
    job = begun(runner, hanging(max_seconds=8.0))
    [worker] = workers()
    os.killpg(worker, signal.SIGSTOP)
    assert runner.wait(job.id, 60).state == "timed_out"
    until(lambda: not group(worker))
    assert done(runner, asked()).state == "done"


def test_a_running_job_is_cancelled_within_moments_with_all_that_it_started(runner):
    job = begun(runner, hanging())
    [worker] = workers()
    until(lambda: len(group(worker)) == 2)
    runner.cancel(job.id)
    assert runner.wait(job.id, 30).state == "cancelled"
    until(lambda: not group(worker))
    assert runner.cancel(job.id) == runner.job(job.id)
    assert done(runner, asked()).state == "done"


def test_a_killed_worker_fails_its_job_and_the_next_gets_another(runner):
    job = begun(runner, hanging())
    os.kill(workers()[0], signal.SIGKILL)
    job = runner.wait(job.id, 60)
    assert (job.state, job.error["code"]) == ("failed", "worker-gone")
    assert "SIGKILL" in job.error["message"]
    assert done(runner, asked()).state == "done"


def test_a_worker_that_dies_while_it_waits_costs_no_job(runner):
    done(runner, asked())
    [worker] = workers()
    os.kill(worker, signal.SIGKILL)
    threads = Path(f"/proc/{worker}/task")
    until(lambda: not group(worker) and len(list(threads.iterdir())) == 1)
    assert done(runner, asked()).state == "done"


def test_a_task_that_raises_fails_its_job_alone(runner):
    request = EvaluationRequest(programs=(MLP,), tasks=("raising",), seeds=(GOOD, BAD))
    job = runner.wait(runner.submit(request).id, 60)
    assert (job.state, job.error["code"]) == ("failed", "worker-crashed")
    assert job.error["message"] == "ZeroDivisionError: nothing to divide by"
    assert job.error["mend"]
    refused = runner.wait(runner.submit(replace(request, seeds=(BAD, GOOD))).id, 60)
    assert (refused.state, refused.error["code"]) == ("failed", "evaluation-failed")
    assert "task 'raising' cannot draw the splits of seed 7" in refused.error["message"]
    assert done(runner, asked()).state == "done"


def test_a_worker_that_cannot_begin_fails_its_job_and_says_why(settings, tmp_path):
    broken = tmp_path / "tasks.py"
    broken.write_text(USER_TASKS)
    with JobRunner(replace(settings, user_tasks=str(broken))) as runner:
        assert runner.user_tasks == ("hanging", "raising")
        broken.write_text("x = (")
        for _ in range(2):
            job = runner.wait(runner.submit(asked()).id, 60)
            assert (job.state, job.error["code"]) == ("failed", "worker-crashed")
            assert "cannot be loaded: SyntaxError" in job.error["message"]
        broken.write_text(USER_TASKS)
        done(runner, asked())


def test_a_worker_that_never_is_ready_fails_its_job(settings):
    with JobRunner(replace(settings, start_seconds=0.05)) as runner:
        job = runner.wait(runner.submit(asked()).id, 60)
        assert (job.state, job.error["code"]) == ("failed", "worker-gone")
        assert "was not ready in 0.05 s" in job.error["message"]


def test_a_process_that_cannot_be_started_fails_its_job_alone(settings, monkeypatch):
    with JobRunner(settings) as runner:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/nowhere/python")
            job = runner.wait(runner.submit(asked()).id, 60)
            assert (job.state, job.error["code"]) == ("failed", "worker-gone")
            assert "/nowhere/python" in job.error["message"]
        done(runner, asked())


def test_a_job_that_is_cancelled_before_its_worker_is_ready_leaves_the_worker_to_the_next(settings):
    with JobRunner(settings) as runner:
        others = set(workers())
        runner.warm()
        until(lambda: set(workers()) - others)
        [worker] = set(workers()) - others
        cancelled = runner.submit(asked())
        runner.cancel(cancelled.id)
        assert runner.wait(cancelled.id, 30).state == "cancelled"
        done(runner, asked())
        assert worker in workers()


def test_a_worker_that_has_nothing_to_do_ends_after_a_while(settings):
    others = set(workers())
    with JobRunner(replace(settings, idle_seconds=0.3)) as runner:
        first = done(runner, asked())
        [worker] = set(workers()) - others
        until(lambda: not group(worker))
        assert done(runner, asked()).trainings == first.trainings


SERVER = """\
import sys, time
from tamiyo.jobs import JobRunner
from tamiyo.jobs_records import EvaluationRequest, JobSettings
runner = JobRunner(JobSettings(user_tasks=sys.argv[1], latency_table=sys.argv[2]))
job = runner.submit(EvaluationRequest(programs=(("GRU",),), tasks=("hanging",), seeds=(0, 7)))
while not runner.job(job.id).trainings:
    time.sleep(0.05)
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_worker_does_not_outlive_a_killed_server(settings, is_stopped):
    command = [sys.executable, "-c", SERVER, settings.user_tasks, settings.latency_table]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        with server.stdout:
            assert server.stdout.readline() == "begun\n"
            [worker] = workers(server.pid)
            if is_stopped:
                os.kill(worker, signal.SIGSTOP)
            server.kill()
            until(lambda: worker not in group(worker))
    finally:
        server.kill()
        server.wait()
        for pid in group(worker):
            os.kill(pid, signal.SIGKILL)


def test_closing_cancels_what_waits_or_runs_and_leaves_no_process(settings):
    others = set(workers())
    runner = JobRunner(settings)
    running = begun(runner, hanging())
    waiting = runner.submit(asked())
    [worker] = set(workers()) - others
    runner.close()
    assert group(worker) == []
    assert {runner.job(running.id).state, runner.job(waiting.id).state} == {"cancelled"}
    with pytest.raises(JobsOffError):
        runner.submit(asked())


# What is taken and kept


def test_the_queue_is_bounded_and_a_waiting_job_is_cancelled_at_once(settings):
    with JobRunner(replace(settings, max_queued=2, max_kept=2)) as runner:
        running = begun(runner, hanging())
        first, second = runner.submit(asked()), runner.submit(asked(seeds=(1,)))
        assert (first.place, second.place) == (1, 2)
        with pytest.raises(QueueFullError, match="2 jobs wait; expected fewer than 2") as caught:
            runner.submit(asked())
        assert caught.value.retry_after_s >= 1
        assert runner.cancel(first.id).state == "cancelled"
        assert runner.job(second.id).place == 1
        assert [job.id for job in runner.jobs()] == [second.id, first.id, running.id]
        runner.cancel(second.id)
        runner.cancel(running.id)
        assert runner.wait(running.id, 30).state == "cancelled"
        assert [job.id for job in runner.jobs()] == [second.id, running.id]
        with pytest.raises(UnknownJobError, match="expected one of the newest 2"):
            runner.job(first.id)  # of three the one that ended first is forgotten


def test_as_many_jobs_as_are_to_be_kept_are_kept(settings):
    with JobRunner(replace(settings, max_queued=6, max_kept=4)) as runner:
        begun(runner, hanging())
        waiting = [runner.submit(asked(seeds=(seed,))) for seed in range(6)]
        for num, job in enumerate(waiting, start=1):
            runner.cancel(job.id)
            assert sum(other.is_over for other in runner.jobs()) == min(num, 4)


def test_a_runner_without_workers_takes_nothing():
    with JobRunner(JobSettings(num_workers=0)) as runner:
        assert not runner.is_on
        with pytest.raises(JobsOffError, match="this server takes no jobs"):
            runner.submit(asked())


REFUSED = {
    "0 programs": {"programs": ()},
    "17 programs": {"programs": (MLP,) * 17},
    "programs 0 and 1 spell one blueprint": {"programs": (MLP, MLP)},
    "suite 'Classic'": {"suite": "Classic"},
    "stage 'graft' of the suite 'classic'": {"suite": "classic", "stage": "graft"},
    "tasks beside a suite or stage": {"tasks": ("xor",)},
    "task '../xor'": {"suite": DEFAULT_SUITE, "tasks": ("../xor",)},
    "tasks xor, xor": {"suite": DEFAULT_SUITE, "tasks": ("xor", "xor")},
    "0 seeds": {"seeds": ()},
    "seeds [0, 0]": {"seeds": (0, 0)},
    "seeds [-1]": {"seeds": (-1,)},
    "seeds [True]": {"seeds": (True,)},
    "seeds [2147483648]": {"seeds": (2**31,)},
    "max_seconds = 0": {"max_seconds": 0},
    "max_seconds = nan": {"max_seconds": float("nan")},
    "max_seconds = 601.0": {"max_seconds": 601.0},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_there_is_not_and_what_is_too_much_is_refused(message):
    with pytest.raises(RequestError) as caught:
        JobRunner().submit(asked(**REFUSED[message]))
    assert message in str(caught.value)
    assert caught.value.mend


def test_too_many_trainings_are_refused_before_a_process_is_started():
    programs = tuple(
        ("LINEAR", f"OUT_DIM_{width}", *("GELU", "TANH") * n, "LINEAR", "OUT_DIM_IN")
        for width in ("HALF", "QUAD", "IN")
        for n in range(1, 6)
    )
    before = workers()
    with pytest.raises(RequestError, match=r"360 trainings \(15 programs x 3 tasks x 8 seeds\)"):
        JobRunner().submit(
            EvaluationRequest(programs=programs, tasks=("xor", "temporal", "parity"), seeds=tuple(range(8)))
        )
    assert workers() == before


def test_a_program_that_is_none_is_refused_as_parse_refuses_it():
    with pytest.raises(BlueprintError, match="rule 'attribute-fits-op'"):
        JobRunner().submit(asked(programs=(MLP, ("LINEAR", "KERNEL_5"))))


def test_the_names_that_a_server_knows_without_torch_are_those_of_the_curricula():
    assert jobs_records.DEFAULT_SUITE == DEFAULT_SUITE
    assert list(jobs_records.TASKS) == list(TASKS)
    assert {name: tuple(suite) for name, suite in SUITES.items()} == dict(jobs_records.SUITES)


def test_a_server_that_takes_jobs_does_not_load_torch():
    code = "import sys, tamiyo.jobs; sys.exit('torch' in sys.modules or 'sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
