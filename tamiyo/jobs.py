"""Takes blueprints to train, hands them to worker processes, remembers what came out; trains nothing itself.

    submit -> queue -> worker process (jobs_worker.py) -> rows of trainings and results -> job(id)

A worker is kept warm from job to job, while there are some. One that was cancelled, late, stopped or killed
is ended with all that it started, and replaced. Nothing is written anywhere: results live in memory, of the
newest jobs alone.
"""

import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from tamiyo.jobs_process import Answer, WorkerGoneError, WorkerProcess
from tamiyo.jobs_records import (
    EvaluationRequest,
    Job,
    JobError,
    JobSettings,
    JobsOffError,
    QueueFullError,
    RequestError,
    State,
    UnknownJobError,
    checked,
)

_LOG = logging.getLogger("tamiyo.browse.jobs")
#: Seconds after which who waits for a worker looks whether the job is still wanted.
POLL_S = 0.1
#: What to try when a worker process is gone.
_TRY_AGAIN = "send it again; if that repeats, the server's log says more"


class JobRunner:
    """Carries out jobs in worker processes, first come first served; used from any number of threads.

    Attributes:
        settings: how.
    """

    def __init__(self, settings: JobSettings | None = None) -> None:
        self.settings = settings or JobSettings()
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._queue: deque[str] = deque()
        self._unwanted: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._is_closing = False
        self._latency_table = _text(self.settings.latency_table)

    @property
    def is_on(self) -> bool:
        """Whether jobs are taken."""
        return self.settings.num_workers > 0 and not self._is_closing

    @cached_property
    def user_tasks(self) -> tuple[str, ...]:
        """Names of the user's own tasks, whose file is read when they are first asked for."""
        return names_of_tasks(self.settings.user_tasks) if self.settings.user_tasks else ()

    def warm(self) -> None:
        """Start the worker processes unless they are, so that the first job need not wait for them."""
        with self._changed:
            self._start_threads()

    def submit(self, request: EvaluationRequest) -> Job:
        """Take a job and return it at once.

        Raises:
            RequestError: for a request that names what there is not, or asks for too much.
            BlueprintError: for a program that is none.
            QueueFullError: when as many jobs wait as may.
            JobsOffError: when none are taken.
        """
        if not self.is_on:
            raise self._off()
        ids = checked(request, self.settings, self.user_tasks)
        job = Job(id=secrets.token_hex(8), request=request, blueprint_ids=ids, created=time.time())
        with self._changed:
            if self._is_closing:
                raise self._off()
            if len(self._queue) >= self.settings.max_queued:
                raise self._full()
            self._jobs[job.id] = job
            self._queue.append(job.id)
            self._start_threads()
            self._changed.notify_all()
            _LOG.info("job taken", extra={"job": job.id, "num_trainings": request.num_trainings})
            return self._placed(job)

    def job(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            UnknownJobError: when there is none of that id, or none any more.
        """
        with self._changed:
            return self._placed(self._known(job_id))

    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs that are remembered, the newest first."""
        with self._changed:
            return tuple(self._placed(job) for job in reversed(self._jobs.values()))

    def cancel(self, job_id: str) -> Job:
        """End a job and return it: at once if it waits, within moments if it runs; if it is over, as it is.

        Raises:
            UnknownJobError: when there is none of that id, or none any more.
        """
        with self._changed:
            job = self._known(job_id)
            if job_id in self._queue:
                self._queue.remove(job_id)
                self._end(job_id, "cancelled")
            elif not job.is_over:
                self._unwanted.add(job_id)
            self._changed.wait_for(lambda: self._known(job_id).is_over, timeout=20 * POLL_S)
            return self._placed(self._known(job_id))

    def wait(self, job_id: str, seconds: float) -> Job:
        """Return a job once it is over, or as it stands after so many seconds.

        Raises:
            UnknownJobError: when there is none of that id, or none any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._known(job_id).is_over, timeout=seconds)
            return self._placed(self._known(job_id))

    def close(self) -> None:
        """Cancel what waits or runs, and end every process."""
        with self._changed:
            self._is_closing = True
            for job_id in list(self._queue):
                self._end(job_id, "cancelled")
            self._queue.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The threads: each has a worker process of its own, or none yet

    def _start_threads(self) -> None:
        while len(self._threads) < self.settings.num_workers and not self._is_closing:
            thread = threading.Thread(target=self._carry_out_jobs, name="jobs", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _carry_out_jobs(self) -> None:
        worker: WorkerProcess | None = None
        try:
            with suppress(OSError, WorkerGoneError):  # the first job tries again, and says what is wrong
                worker = self._replaced(None)
            while (job := self._next()) is not None:
                is_free = False
                try:
                    if worker is None or not worker.is_alive:
                        worker = self._replaced(worker)
                    is_free = self._await_ready(job, worker) and self._carry_out(job, worker)
                except (OSError, WorkerGoneError) as error:
                    self._fail(job.id, str(error))
                    if worker is not None:
                        worker.end()
                if not is_free and worker is not None and worker.is_ready and not self._is_closing:
                    with suppress(OSError, WorkerGoneError):  # now, so that the next job need not wait
                        worker = self._replaced(worker)
        finally:
            if worker is not None:
                worker.end()

    def _next(self) -> Job | None:
        """Return the job that waited longest, once there is one; None when this thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closing, self.settings.idle_seconds)
            if self._queue:
                return self._known(self._queue.popleft())
            if not self._is_closing:
                self._threads.remove(threading.current_thread())  # the next job starts another
            return None

    def _replaced(self, old: WorkerProcess | None) -> WorkerProcess:
        if old is not None:
            old.end()
        return WorkerProcess(self.settings, self._latency_table)

    def _await_ready(self, job: Job, worker: WorkerProcess) -> bool:
        """Wait until the worker is ready, and say whether the job is still wanted then.

        A worker that only begins goes on while its job is cancelled; one that cannot begin is ended.
        """
        end = time.monotonic() + self.settings.start_seconds
        while not worker.is_ready:
            if self._is_unwanted(job.id):
                self._end(job.id, "cancelled")
                return False
            for answer in worker.answers(POLL_S):
                if answer["kind"] == "failed":
                    worker.end()
                    self._end(job.id, "failed", error=_error(answer))
                    return False
                if answer["kind"] == "ready":
                    worker.is_ready, worker.engine_id = True, answer["engine_id"]
                    self._latency_table = answer["latency_table"]
            if time.monotonic() > end:
                worker.end()
                raise WorkerGoneError(
                    f"the worker process was not ready in {self.settings.start_seconds:g} s"
                )
        return True

    def _carry_out(self, job: Job, worker: WorkerProcess) -> bool:
        """Let the worker do a job to its end, whatever that is; say whether the worker can do another."""
        deadline = time.monotonic() + job.request.max_seconds
        self._update(job.id, state="running", started=time.time(), engine_id=worker.engine_id)
        worker.send(job.request)
        while True:
            for answer in worker.answers(min(POLL_S, max(0.0, deadline - time.monotonic()))):
                if (is_free := self._take(job.id, answer)) is not None:
                    return is_free
            if self._is_unwanted(job.id):
                self._end(job.id, "cancelled")
                return False
            if time.monotonic() >= deadline:
                self._end_late(job.id)
                return False

    def _take(self, job_id: str, answer: Answer) -> bool | None:
        """Note an answer; at the job's end say whether the worker can do another."""
        row = {name: value for name, value in answer.items() if name != "kind"}
        with self._changed:
            job = self._known(job_id)
            if answer["kind"] == "training":
                self._update(job_id, trainings=(*job.trainings, row))
            elif answer["kind"] == "result":
                self._update(job_id, results=(*job.results, row))
            elif answer["kind"] == "done":
                self._end(job_id, "done")
                return True
            elif answer["kind"] == "failed":
                self._end(job_id, "failed", error=_error(answer))
                return not answer.get("is_over", True)
            else:
                raise WorkerGoneError(f"the worker process answers {str(answer)[:80]!r}")
        return None

    # What is remembered; `_changed` is held, or taken where it may not be

    def _known(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise UnknownJobError(
                f"no job {job_id[:40]!r}",
                expected=f"one of the newest {self.settings.max_kept}",
                mend="list the jobs, or send it again",
            )
        return self._jobs[job_id]

    def _placed(self, job: Job) -> Job:
        if job.state != "queued":
            return job
        if job.id not in self._queue:
            return replace(job, place=0)  # its worker process is about to be ready
        num_begun = sum(not other.is_over for other in self._jobs.values()) - len(self._queue)
        return replace(job, place=num_begun + self._queue.index(job.id))

    def _is_unwanted(self, job_id: str) -> bool:
        with self._changed:
            return self._is_closing or job_id in self._unwanted

    def _update(self, job_id: str, **changes: Any) -> None:
        with self._changed:
            self._jobs[job_id] = replace(self._jobs[job_id], **changes)

    def _end(self, job_id: str, state: State, error: Mapping[str, str] | None = None) -> None:
        """Note a job's end, and forget those that ended longest ago."""
        with self._changed:
            self._update(job_id, state=state, ended=time.time(), error=error or {})
            told = {"job": job_id, "state": state, **({"error": error["message"]} if error else {})}
            _LOG.log(logging.WARNING if state == "failed" else logging.INFO, "job ended", extra=told)
            self._unwanted.discard(job_id)
            over = sorted((job for job in self._jobs.values() if job.is_over), key=lambda job: job.ended or 0)
            for job in over[: max(0, len(over) - self.settings.max_kept)]:
                del self._jobs[job.id]
            self._changed.notify_all()

    def _fail(self, job_id: str, message: str) -> None:
        """Note that a job's worker is gone, unless the job was over by then."""
        job = self._jobs.get(job_id)
        if job is not None and not job.is_over:
            error = {"code": "worker-gone", "message": message, "expected": "results", "mend": _TRY_AGAIN}
            self._end(job_id, "failed", error=error)

    def _end_late(self, job_id: str) -> None:
        job = self.job(job_id)
        num, seconds = job.request.num_trainings, job.request.max_seconds
        error = {
            "code": "deadline",
            "message": f"{len(job.trainings)} of {num} trainings ended within {seconds:g} s",
            "expected": "all of them",
            "mend": "ask for fewer programs, tasks or seeds, or a later deadline; what ended is kept",
        }
        self._end(job_id, "timed_out", error=error)

    def _off(self) -> JobError:
        return JobsOffError(
            "this server takes no jobs", expected="a server that does", mend="start it with --jobs 1"
        )

    def _full(self) -> JobError:
        running = (job.seconds_left(time.time()) for job in self._jobs.values())
        soonest = min((left for left in running if left is not None), default=1.0)
        return QueueFullError(
            f"{len(self._queue)} jobs wait",
            expected=f"fewer than {self.settings.max_queued}",
            mend="send it again when one of them is done, or cancel one",
            retry_after_s=float(math.ceil(soonest)),
        )


def names_of_tasks(path: str) -> tuple[str, ...]:
    """Return the names of the tasks in a user's own file.

    Raises:
        RequestError: when it cannot be read, or holds none.
    """
    from curricula.task import TaskError
    from curricula.user_tasks import load_user_tasks

    try:
        return tuple(load_user_tasks(path))
    except TaskError as error:
        raise RequestError(
            str(error), expected="a file with tasks", mend="mend it, or name another"
        ) from error


def _error(answer: Answer) -> dict[str, str]:
    parts = {name: str(answer.get(name, "")) for name in ("code", "message", "expected", "mend")}
    return parts if parts["mend"] else {**parts, "mend": _TRY_AGAIN}


def _text(path: str) -> str:
    """Return a file's text; nothing where no file is named."""
    if not path:
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()
