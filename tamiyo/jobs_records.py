"""What a job of training is asked for and what it says of itself, as plain data; trains and keeps nothing.

It is read by a server that answers its first page in a second, so nothing here imports torch: the names of
suites and tasks are written down again, and a test holds them against `curricula/suites.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal

from blueprints import LANGUAGE, Language, TamiyoError, parse

State = Literal["queued", "running", "done", "failed", "timed_out", "cancelled"]

#: Every suite with its tasks in order: those of `curricula.suites.SUITES`.
SUITES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "xor": ("xor",),
        "classic": ("xor", "temporal"),
        "predictive": ("xor", "markov_once"),
        "graft": ("xor", "graft"),
    }
)
#: The suite where none is named, as in `curricula.suites`.
DEFAULT_SUITE = "classic"
#: Every task by name: those of `curricula.suites.TASKS`.
TASKS: tuple[str, ...] = (
    "xor",
    "xor_distractors_4",
    "xor_distractors_8",
    "temporal",
    "markov",
    "markov_once",
    "spirals",
    "delayed_xor",
    "parity",
    "counting",
    "adding",
    "order",
    "copying",
    "graft",
    "recall",
    "recall_16",
    "selective_copy",
    "induction",
    "memorisation",
    "dyck",
)
#: D of the host where nothing says otherwise, as in `CrucibleConfig`.
HOST_WIDTH = 16
#: Training seeds are below this, as the Crucible asks.
MAX_SEED = 2**31 - 1
#: Most of what one job may ask for.
MAX_PROGRAMS, MAX_TASKS, MAX_SEEDS, MAX_TRAININGS = 16, 8, 8, 256


class JobError(TamiyoError):
    """A job that cannot be taken, found or carried out.

    Attributes:
        code: short name of what went wrong, so that programs can tell.
        came: what was found.
        expected: what would have been right.
        mend: what the caller can do about it.
    """

    code = "job"

    def __init__(self, came: str, *, expected: str, mend: str) -> None:
        self.came = came
        self.expected = expected
        self.mend = mend
        super().__init__(f"{came}; expected {expected}; {mend}")


class RequestError(JobError):
    """A request for something that there is not, or for too much."""

    code = "bad-request"


class QueueFullError(JobError):
    """As many jobs wait as may wait.

    Attributes:
        retry_after_s: seconds after which it is worth asking again.
    """

    code = "queue-full"

    def __init__(self, came: str, *, expected: str, mend: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(came, expected=expected, mend=mend)


class UnknownJobError(JobError):
    """An id that names no job, or one that is forgotten by now."""

    code = "unknown-job"


class JobsOffError(JobError):
    """A server that takes no jobs, or takes none any more."""

    code = "jobs-off"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are carried out.

    Attributes:
        num_workers: worker processes, each with one job at a time.
        num_cores: cores that each of them trains on.
        width: D of the host, a multiple of 16.
        engine: of the Crucible, as `Crucible` takes it.
        max_queued: jobs that may wait.
        max_kept: jobs that are remembered after their end, those that ended last.
        max_seconds: longest deadline that a job may ask for.
        start_seconds: what a worker process may take until it is ready.
        idle_seconds: how long a worker process is kept without a job.
        library: the ledger that redundancy is measured against, read only; none for no redundancy.
        hall_of_fame_size: its best entries that count there.
        latency_table: file with the op latencies of this device; where it is empty or holds those of another
            width or device, they are measured with the first job.
        user_tasks: a Python file with tasks of the user's own; empty for none.
    """

    num_workers: int = 1
    num_cores: int = 1
    width: int = HOST_WIDTH
    engine: Literal["auto", "batched", "native"] = "auto"
    max_queued: int = 8
    max_kept: int = 64
    max_seconds: float = 600.0
    start_seconds: float = 120.0
    idle_seconds: float = 900.0
    library: str = ""
    hall_of_fame_size: int = 64
    latency_table: str = ""
    user_tasks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Blueprints to train, on what, from which seeds, and for how long at most.

    Attributes:
        programs: the tokens of each blueprint.
        suite: name of the suite whose tasks and weights count.
        stage: a stage of the suite: its tasks up to that one; empty for all.
        tasks: names of tasks instead of a suite's, each of weight 1.
        seeds: seeds of training; each blueprint is trained from each of them on each task.
        max_seconds: deadline of the whole job, from when it starts to run.
    """

    programs: tuple[tuple[str, ...], ...]
    suite: str = DEFAULT_SUITE
    stage: str = ""
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    max_seconds: float = 120.0

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks that are trained on, in order."""
        if self.tasks:
            return self.tasks
        names = SUITES[self.suite]
        return names[: names.index(self.stage) + 1] if self.stage else names

    @property
    def num_trainings(self) -> int:
        """How often a blueprint is trained, in all."""
        return len(self.programs) * len(self.task_names) * len(self.seeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands at one moment.

    Attributes:
        id: by which it is asked for; cannot be guessed.
        request: what was asked for.
        blueprint_ids: the canonical id of each program, in order.
        state: `queued` and `running` go on; the others are ends. `failed` is a fault of request or worker, of
            which `error` tells; a blueprint that diverges is no failure but a status of its training.
        created: seconds since 1970 when it was taken.
        started: likewise when it began to run; absent before.
        ended: likewise at its end; absent before.
        place: how many jobs run before it does; absent unless it is queued.
        engine_id: engine, version and instruction set behind the numbers; empty until known.
        trainings: one row for each training that ended: `blueprint_id`, and what `crucible.TaskResult` has
            but the fingerprint; what is not finite is None.
        results: one row for each blueprint whose trainings all ended; see `examine`.
        error: what went wrong, in parts: code, message, expected, mend; empty while nothing has.
    """

    id: str
    request: EvaluationRequest
    blueprint_ids: tuple[str, ...]
    state: State = "queued"
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    place: int | None = None
    engine_id: str = ""
    trainings: tuple[Mapping[str, Any], ...] = ()
    results: tuple[Mapping[str, Any], ...] = ()
    error: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether nothing about it will change."""
        return self.state not in ("queued", "running")

    def seconds_left(self, now: float) -> float | None:
        """Return the expected seconds to its end, from how long the trainings so far took; None if unknown.

        No more than what is left to its deadline, at which it ends in any case.
        """
        if self.state != "running" or self.started is None:
            return None
        spent, done = now - self.started, len(self.trainings)
        to_deadline = max(0.0, self.request.max_seconds - spent)
        if not done:
            return None
        return min(to_deadline, spent / done * (self.request.num_trainings - done))


def checked(
    request: EvaluationRequest,
    settings: JobSettings,
    user_tasks: Sequence[str] = (),
    language: Language = LANGUAGE,
) -> tuple[str, ...]:
    """Return the canonical ids of a request's programs, or refuse it.

    Raises:
        RequestError: naming what is unknown or too much.
        BlueprintError: of the first program that is none, as `parse` raises it.
    """
    _check_size("programs", len(request.programs), MAX_PROGRAMS)
    _check_exam(request, (*TASKS, *user_tasks))
    _check_size("seeds", len(request.seeds), MAX_SEEDS)
    if not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in request.seeds):
        raise _refused(f"seeds {list(request.seeds)}", f"integers from 0 to {MAX_SEED}")
    if len(set(request.seeds)) < len(request.seeds):
        raise _refused(f"seeds {list(request.seeds)}", "no seed twice")
    if request.num_trainings > MAX_TRAININGS:
        raise _refused(
            f"{request.num_trainings} trainings ({len(request.programs)} programs x "
            f"{len(request.task_names)} tasks x {len(request.seeds)} seeds)",
            f"at most {MAX_TRAININGS}",
        )
    if not (isfinite(request.max_seconds) and 0 < request.max_seconds <= settings.max_seconds):
        raise _refused(
            f"max_seconds = {request.max_seconds}", f"more than 0, at most {settings.max_seconds:g}"
        )
    ids = tuple(parse(tokens, language).id for tokens in request.programs)
    for index, id_ in enumerate(ids):
        if (first := ids.index(id_)) < index:
            raise _refused(f"programs {first} and {index} spell one blueprint, {id_[:12]}", "each once")
    return ids


def _check_exam(request: EvaluationRequest, known: Sequence[str]) -> None:
    if not request.tasks:
        if request.suite not in SUITES:
            raise _refused(f"suite {request.suite!r}", f"one of {', '.join(SUITES)}")
        if request.stage and request.stage not in SUITES[request.suite]:
            stages = ", ".join(SUITES[request.suite])
            raise _refused(f"stage {request.stage!r} of the suite '{request.suite}'", f"one of {stages}")
        return
    if request.suite != DEFAULT_SUITE or request.stage:
        raise _refused("tasks beside a suite or stage", "one of them")
    _check_size("tasks", len(request.tasks), MAX_TASKS)
    for name in request.tasks:
        if name not in known:
            raise _refused(f"task {name!r}", f"one of {', '.join(known)}")
    if len(set(request.tasks)) < len(request.tasks):
        raise _refused(f"tasks {', '.join(request.tasks)}", "no task twice")


def _check_size(name: str, came: int, most: int) -> None:
    if not 1 <= came <= most:
        raise _refused(f"{came} {name}", f"1 to {most}")


def _refused(came: str, expected: str) -> RequestError:
    return RequestError(came, expected=expected, mend="change the request and send it again")
