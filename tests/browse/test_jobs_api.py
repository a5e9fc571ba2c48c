"""Evaluations over HTTP: sent, watched, cancelled, refused; judged as a search would; nothing is written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest
import servers
from job_processes import BAD, GOOD, USER_TASKS, group, until, workers
from judged_libraries import MLP, NEAR, SEED

from curricula.suites import SUITES, TASKS, task_named
from tamiyo.api.app import create_app
from tamiyo.api.evaluations import job_settings
from tamiyo.api.settings import BrowseSettings
from tamiyo.api.tokens import create_token
from tamiyo.jobs import JobRunner
from tamiyo.jobs_records import EvaluationRequest, JobSettings
from tamiyo.judging import Judge

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(judged: tuple[Path, Judge]) -> Iterator[httpx.Client]:
    with servers.browsing(judged[0]) as client:
        yield client


def asked(*programs: object, **more: object) -> dict:
    return {"programs": list(programs), "suite": "xor", "seeds": [SEED], **more}


def over(client: httpx.Client, where: str) -> dict:
    """Return a job once it is over."""
    end = time.monotonic() + 120
    while (job := client.get(where).json())["state"] in ("queued", "running"):
        assert time.monotonic() < end, job
        time.sleep(0.1)
    return job


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def test_a_job_judges_as_a_search_would_against_the_library_and_writes_nothing(server, judged):
    folder, judge = judged
    counts, before = judge.store.counts(), contents(folder)
    answer = server.post("/api/v1/evaluations", json=asked(" ".join(MLP), list(NEAR)))
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/evaluations/{answer.json()['id']}"
    job = over(server, answer.headers["location"])
    assert (job["state"], job["num_done"], job["num_trainings"]) == ("done", 2, 2)
    verdicts = judge.judge([MLP, NEAR], [task_named("xor")]).verdicts
    for verdict, result in zip(verdicts, job["results"], strict=True):
        assert verdict.evaluation is not None
        assert verdict.reward.terms is not None
        assert result["blueprint_id"] == verdict.evaluation.blueprint_id
        assert result["reward"] == verdict.reward.total
        assert result["terms"] == asdict(verdict.reward.terms)
        assert result["latency_us"] == verdict.evaluation.latency_us
        assert result["tasks"][0]["mean"] == verdict.evaluation.results[0].score
    known, near = (result["terms"]["redundancy"] for result in job["results"])
    assert known == 1.0
    assert 0.0 < near < 1.0
    assert [row["mean"] for row in job["progress"]] == [row["score"] for row in job["trainings"]]
    assert judge.store.counts() == counts
    assert contents(folder) == before


def test_what_may_be_asked_for_is_told_with_the_jobs(server):
    server.post("/api/v1/evaluations", json=asked("TANH"))
    told = server.get("/api/v1/evaluations").json()
    assert told["is_on"]
    assert told["suites"] == {name: list(suite) for name, suite in SUITES.items()}
    assert told["tasks"] == list(TASKS)
    assert told["rows"][0]["programs"] == [["TANH"]]
    assert "trainings" not in told["rows"][0]


def test_a_job_is_cancelled_and_stays_so(server):
    heavy = asked("GRU", tasks=["temporal", "markov", "delayed_xor"], suite="classic", seeds=list(range(8)))
    where = server.post("/api/v1/evaluations", json=heavy).headers["location"]
    assert server.delete(where).status_code == 200
    assert over(server, where)["state"] == "cancelled"
    assert server.delete(where).json()["state"] == "cancelled"


def test_a_late_job_says_what_ended_and_what_to_do(server):
    heavy = asked(*("GRU", "LSTM"), tasks=["markov", "delayed_xor"], suite="classic", seeds=list(range(8)))
    where = server.post("/api/v1/evaluations", json={**heavy, "max_seconds": 0.05}).headers["location"]
    job = over(server, where)
    assert (job["state"], job["error"]["code"]) == ("timed_out", "deadline")
    assert "within 0.05 s" in job["error"]["message"]
    assert job["error"]["mend"]


def test_readers_watch_and_operators_alone_send_and_cancel(judged, tmp_path):
    path = tmp_path / "tokens.json"
    secrets = {role: create_token(path, role, role, 1) for role in ("reader", "operator")}
    with servers.browsing(judged[0], tokens=path) as client:

        def as_(role: str) -> dict:
            answer = client.post("/api/v1/token", json={"name": role, "secret": secrets[role]})
            return {"Authorization": f"Bearer {answer.json()['session']}"}

        where = "/api/v1/evaluations"
        reader, operator = as_("reader"), as_("operator")
        assert client.post(where, json=asked("TANH")).status_code == 401
        refused = client.post(where, json=asked("TANH"), headers=reader)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert client.post("/api/v1/check", json={"tokens": "TANH"}, headers=reader).status_code == 200
        job = client.post(where, json=asked("TANH"), headers=operator)
        assert job.status_code == 202
        assert client.get(job.headers["location"], headers=reader).status_code == 200
        assert client.delete(job.headers["location"], headers=reader).status_code == 403
        assert client.delete(job.headers["location"], headers=operator).status_code == 200


def test_jobs_are_counted_and_their_ends_are_logged(judged, caplog):
    with caplog.at_level("INFO", "tamiyo.browse"), servers.browsing(judged[0]) as client:
        job = client.post("/api/v1/evaluations", json=asked("TANH")).json()
        over(client, f"/api/v1/evaluations/{job['id']}")
        assert 'tamiyo_jobs{state="done"} 1.0' in client.get("/metrics").text
    ended = [record for record in caplog.records if record.getMessage() == "job ended"]
    assert [(vars(record)["job"], vars(record)["state"]) for record in ended] == [(job["id"], "done")]


REFUSED = {
    "invalid-request": (422, asked()),
    "not-a-blueprint": (422, asked("TANH", "LINEAR KERNEL_5")),
    "bad-request": (422, asked("TANH", stage="temporal")),
    "too-long": (422, asked("A " * 97)),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_taken_is_refused_in_the_envelope(server, code):
    status, body = REFUSED[code]
    answer = server.post("/api/v1/evaluations", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


def test_a_job_that_is_not_there_is_named(server):
    answer = server.get("/api/v1/evaluations/0123456789abcdef")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-job")
    assert server.delete("/api/v1/evaluations/0123456789abcdef").status_code == 404
    assert server.get("/api/v1/evaluations/..%2f..%2fetc").status_code in (404, 422)


def test_a_full_queue_says_when_to_come_back(judged):
    app = create_app(BrowseSettings(library=str(judged[0])))
    with servers.answering(app) as client:
        runner = JobRunner(replace(job_settings(app), max_queued=1))
        app.state.jobs, started = runner, app.state.jobs
        with runner:
            heavy = asked("GRU", tasks=["markov"], suite="classic", seeds=list(range(8)))
            answers = [client.post("/api/v1/evaluations", json=heavy) for _ in range(4)]
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.json()["error"]["code"] == "queue-full"
            assert int(refused.headers["retry-after"]) >= 1
        app.state.jobs = started


def test_a_server_without_jobs_refuses_them_and_says_how_to_allow_them(judged):
    with servers.browsing(judged[0], num_jobs=0) as client:
        refused = client.post("/api/v1/evaluations", json=asked("TANH"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "jobs-off")
        assert "--jobs 1" in refused.json()["error"]["mend"]
        assert not client.get("/api/v1/evaluations").json()["is_on"]


@pytest.mark.parametrize(
    ("table", "width"),
    [(None, 16), ("{", 16), ("[]", 16), ('{"width": "x"}', 16), ('{"width": 32, "rows": {"GRU": 1.5}}', 32)],
)
def test_a_latency_table_that_is_none_is_no_hindrance(tmp_path, table, width):
    servers.write_library(tmp_path / "library.db")
    if table is not None:
        (tmp_path / "latency_table.json").write_text(table)
    for named in (tmp_path, tmp_path / "library.db"):
        settings = job_settings(create_app(BrowseSettings(library=str(named))))
        assert settings.width == width
        assert (settings.latency_table == "") == (width == 16)


def test_a_latency_table_of_another_version_is_measured_anew(tmp_path):
    (tmp_path / "table.json").write_text('{"width": 16, "rows": {"GRU": 1.5}}')
    with JobRunner(JobSettings(latency_table=str(tmp_path / "table.json"))) as runner:
        request = EvaluationRequest(programs=(("GRU",),), suite="xor", seeds=(SEED,))
        job = runner.wait(runner.submit(request).id, 120)
    assert job.state == "done", job.error
    assert job.results[0]["latency_us"] > 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_ends_while_a_job_hangs_leaves_no_process(judged, tmp_path, ending):
    (tmp_path / "tasks.py").write_text(USER_TASKS)
    command = [sys.executable, "-c", "import sys; from tamiyo.cli import main; sys.exit(main())", "browse"]
    command += ["--library", str(judged[0]), "--port", "0", "--user-tasks", str(tmp_path / "tasks.py")]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    processes: list[int] = []
    try:
        assert started.stdout is not None
        with started.stdout, httpx.Client(timeout=servers.PATIENCE_S) as client:
            url = started.stdout.readline().split(" at ")[1].split()[0]
            body = {"programs": ["GRU"], "tasks": ["hanging"], "seeds": [GOOD, BAD]}
            job = client.post(f"{url}api/v1/evaluations", json=body).json()
            where = f"{url}api/v1/evaluations/{job['id']}"
            until(lambda: client.get(where).json()["num_done"] == 1)
            [worker] = workers(started.pid)
            until(lambda: len(group(worker)) == 2)
            processes = group(worker)
            started.send_signal(ending)
            started.wait(30)
        until(lambda: worker not in group(worker))
        if ending != signal.SIGKILL:
            until(lambda: not group(worker))
    finally:
        started.kill()
        started.wait()
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
