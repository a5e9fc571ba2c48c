"""The native engine: jobs as records to the C++ interpreter; leaves foreign ops to the batched engine.

Axes: J jobs, S seeds, K steps, T time, B examples, F input features, P positions that are read, L numbers of
a target, D width of the host.
"""

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from crucible.effort import FULL, Effort, Rung, best, cohorts
from crucible.engines.base import MAX_SECONDS, Job, Progress, timed_out
from crucible.engines.batched import BatchedEngine
from crucible.engines.interpreter import InterpreterEngine
from crucible.engines.kernels import Kernel
from crucible.engines.native import library
from crucible.engines.native.algebra import Workload, simplify
from crucible.engines.native.library import LOSS_IDS, Library, Question, Request, load_library
from crucible.engines.native.records import Records, build_records
from crucible.engines.native.task_arrays import TaskArrays
from crucible.errors import CrucibleError
from crucible.evaluation import TaskResult
from crucible.grading import score_on
from crucible.heads import check_split, inputs_as_floats, targets_as_floats
from crucible.initialisation import initial_parameters
from crucible.program import Program
from crucible.statistics import CLIP_EPSILON, CLIP_NORM, SMOOTHING, curve_statistics, judged
from curricula.task import Split, Task

#: How often progress is reported and an interruption is noticed.
POLL_S = 0.05
#: Jobs of one call while others are prepared.
COHORT = 256
#: Sets of a task's examples that an engine keeps at hand.
NUM_KEPT = 2
#: The variant that computes in float64.
PRECISE = "precise"


class NativeEngine(InterpreterEngine):
    """One blueprint a core from first to last step, in threads of this process.

    Attributes:
        num_workers: most jobs that train at once, in however many calls.
        max_seconds: after so long a job ends with the status `timed_out`.
        variant: the instruction set: `avx512`, `avx2` or `generic`; the processor's best when absent.
        effort: how much of the work is done; what is left to the batched engine is always trained in full,
            and competes with nobody.
        algebra: whether records are rewritten to less work for the same function.
        cohort: absent where a rung or a batched kernel wants all jobs together.
    """

    name = "native"
    version = 4

    def __init__(
        self,
        num_workers: int = 1,
        kernels: Mapping[str, Kernel] | None = None,
        *,
        max_seconds: float = MAX_SECONDS,
        variant: str | None = None,
        effort: Effort = FULL,
        algebra: bool = True,
    ) -> None:
        if num_workers < 1:
            raise CrucibleError(f"num_workers = {num_workers}; expected at least 1")
        self.device = torch.device("cpu")
        self.num_workers = num_workers
        self.max_seconds = max_seconds
        self.effort = effort
        self.algebra = algebra
        self._library = load_library()
        self.variant = variant or self._library.variant
        batched = BatchedEngine("cpu", num_workers, kernels, max_seconds=max_seconds)
        super().__init__(self._library.rows, batched, kernels)
        self._arrays: dict[Hashable, TaskArrays] = {}  # the latest comes last
        self._arranging = threading.Lock()
        self._turns = np.zeros(library.NUM_TURNS, np.int64)
        # Rungs compare jobs, and batches want all that they can get.
        self.cohort = None if effort.rungs or kernels else COHORT

    @property
    def engine_id(self) -> str:
        """Variant, compiler, whether records are raw, effort, and the batched engine's identity."""
        own = f"{self.name}-{self.version}/{self.variant}-{self._library.compiler}"
        return f"{own}{'' if self.algebra else '/raw'}{self.effort.id}+{self._batched.engine_id}"

    def _train(
        self, jobs: Sequence[Job], task: Task, *, fingerprints: bool, progress: Progress | None
    ) -> list[TaskResult]:
        pauses = self.effort.pauses(task.num_steps)
        competing = [i for i, job in enumerate(jobs) if job.competes]
        others = [i for i, job in enumerate(jobs) if not job.competes]
        results: dict[int, TaskResult] = {}
        for chosen, own_pauses in ((competing, pauses), (others, ())):
            if chosen:
                own = [jobs[i] for i in chosen]
                part = self._train_in_cohorts(own, task, fingerprints, progress, own_pauses)
                results.update(zip(chosen, part, strict=True))
        return [results[i] for i in range(len(jobs))]

    def _train_in_cohorts(
        self,
        jobs: Sequence[Job],
        task: Task,
        fingerprints: bool,
        progress: Progress | None,
        pauses: Sequence[tuple[int, Rung]],
    ) -> list[TaskResult]:
        arrays = self._arrays_of(jobs, task)
        records = self._records_of(jobs, arrays.workload)
        state_bytes = [3 * 4 * job.program.num_parameters for job in jobs]
        results = []
        for cohort in cohorts(state_bytes):  # which bound the memory, whether or not they are thinned
            own = [jobs[i] for i in cohort]
            batch = _Batch(own, task, arrays, [records[i] for i in cohort], fingerprints, pauses=bool(pauses))
            batch.request.num_threads = min(self.num_workers, len(cohort))
            batch.request.num_places = self.num_workers
            batch.share(self._turns)
            batch.request.seconds = self.max_seconds
            batch.request.stop_loss = self.effort.stop_at * task.solved_loss
            for steps, rung in pauses:
                batch.request.until = steps
                _run(self._library, batch, self.variant, progress)
                batch.drop_all_but(rung.kept)
            batch.request.until = task.num_steps
            _run(self._library, batch, self.variant, progress)
            results += batch.results()
        return results

    def _arrays_of(self, jobs: Sequence[Job], task: Task) -> TaskArrays:
        """Return what the jobs read; calls that follow one another often read the same."""
        program, seeds = jobs[0].program, tuple(sorted({job.seed for job in jobs}))
        key = (task, seeds, program.head, program.input_kind, program.input_width, program.output_width)
        with self._arranging:
            arrays = self._arrays.pop(key, None) or TaskArrays(program, task, seeds)
            self._arrays[key] = arrays
            for oldest in list(self._arrays)[:-NUM_KEPT]:
                del self._arrays[oldest]
        return arrays

    def _records_of(self, jobs: Sequence[Job], workload: Workload) -> list[Records]:
        """Return the records of each job; a program that several jobs share is translated once."""
        known: dict[int, Records] = {}
        for job in jobs:
            if id(job.program) not in known:
                known[id(job.program)] = self._records(job.program, workload)
        return [known[id(job.program)] for job in jobs]

    def _records(self, program: Program, workload: Workload) -> Records:
        records = build_records(program, self._rows)
        return simplify(records, self._rows, workload) if self.algebra else records

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Differentiate each program alone, in `dtype` (float32 or float64) throughout."""
        split = Split(inputs=inputs, targets=targets)
        check_split(programs[0], split, "the batch")
        results = []
        for program, flat_P in zip(programs, parameters, strict=True):
            if self._missing(program):
                results += self._batched.loss_and_gradients([program], [flat_P], inputs, targets, dtype)
            else:
                results.append(self._differentiate(program, flat_P, split, dtype))
        return results

    def _differentiate(
        self, program: Program, flat_P: torch.Tensor, split: Split, dtype: torch.dtype
    ) -> tuple[float, torch.Tensor]:
        kind = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
        batch, steps = split.inputs.shape[:2]
        workload = Workload(batch=batch, steps=steps, is_single=steps == 1)
        table = self._records(program, workload).table
        values = np.ascontiguousarray(flat_P.numpy(), kind)
        inputs = np.ascontiguousarray(inputs_as_floats(split.inputs, dtype).numpy())
        targets = np.ascontiguousarray(targets_as_floats(program.head, split.targets).numpy())
        gradients = np.zeros_like(values)
        question = Question(
            records=table.ctypes.data,
            num_records=len(table),
            parameters=values.ctypes.data,
            num_parameters=len(values),
            inputs=inputs.ctypes.data,
            targets=targets.ctypes.data,
            batch=inputs.shape[0],
            steps=inputs.shape[1],
            input_width=inputs.shape[2],
            loss=LOSS_IDS[program.head.loss],
            gradients=gradients.ctypes.data,
        )
        self._library.differentiate(question, PRECISE if dtype == torch.float64 else self.variant)
        return question.value, torch.from_numpy(gradients)


class _Batch:
    """The arrays of one request, which must outlive it; with `pauses`, room for the states of paused jobs."""

    def __init__(
        self,
        jobs: Sequence[Job],
        task: Task,
        arrays: TaskArrays,
        records: Sequence[Records],
        fingerprints: bool,
        *,
        pauses: bool,
    ) -> None:
        self._jobs, self._task, self._arrays = jobs, task, arrays
        self._kept: list[np.ndarray] = []
        num, num_steps = len(jobs), task.num_steps
        self._losses_JK = np.full((num, num_steps), np.nan, np.float32)
        self._norms_JK = np.full((num, num_steps), np.nan, np.float32)
        self._measures_JE = np.full((num, len(library.EXAMS)), np.nan, np.float32)
        self._statuses_J = np.full(num, library.STOPPED, np.int32)
        self._num_taken_J = np.zeros(num, np.int32)
        self._seconds_taken_J = np.zeros(num)
        self._competing = np.arange(num)
        self.num_done = np.zeros(1, np.int64)
        self.num_reported = 0
        self.is_cancelled = np.zeros(1, np.int32)
        width = jobs[0].program.width
        self._fingerprints_JBD = np.zeros((num if fingerprints else 0, arrays.num_probes, width), np.float32)
        parameters = [initial_parameters(job.program, job.seed).numpy() for job in jobs]
        num_frozen_first, num_frozen_last = jobs[0].program.num_frozen
        starts = _starts([len(p) for p in parameters])
        self.request = Request(
            num_jobs=num,
            records=self._keep(np.concatenate([r.table for r in records]), np.int32),
            record_starts=self._keep(_starts([len(r.table) for r in records]), np.int64),
            pooled=self._keep(np.array([r.pooled for r in records]), np.int32),
            parameters=self._keep(np.concatenate(parameters), np.float32),
            means=self._keep(np.zeros(starts[-1], np.float32), np.float32) if pauses else None,
            squares=self._keep(np.zeros(starts[-1], np.float32), np.float32) if pauses else None,
            parameter_starts=self._keep(starts, np.int64),
            seeds=self._keep(np.array([arrays.places[job.seed] for job in jobs]), np.int32),
            is_fingerprinting=int(fingerprints),
            clip_norm=CLIP_NORM,
            clip_epsilon=CLIP_EPSILON,
            stop_window=min(SMOOTHING, num_steps),
            num_taken=self._num_taken_J.ctypes.data,
            seconds_taken=self._seconds_taken_J.ctypes.data,
            losses=self._losses_JK.ctypes.data,
            norms=self._norms_JK.ctypes.data,
            measures=self._measures_JE.ctypes.data,
            fingerprints=self._fingerprints_JBD.ctypes.data if fingerprints else None,
            width=width,
            statuses=self._statuses_J.ctypes.data,
            num_done=self.num_done.ctypes.data,
            is_cancelled=self.is_cancelled.ctypes.data,
            num_frozen_first=num_frozen_first,
            num_frozen_last=num_frozen_last,
        )
        arrays.fill(self.request)

    def share(self, turns: np.ndarray) -> None:
        """Take turns with other batches."""
        self.request.turns = turns.ctypes.data
        self._kept.append(turns)

    def _keep(self, array: np.ndarray, kind: type) -> int:
        self._kept.append(np.ascontiguousarray(array, kind))
        return self._kept[-1].ctypes.data

    def drop_all_but(self, kept: float) -> None:
        """Let the best share `kept` of the jobs that compete go on; the others end where they stand.

        A job that ended before, solved, keeps its place among those that compete.
        """
        scores_J, losses_J = (np.full(len(self._competing), np.nan) for _ in range(2))
        for place, index in enumerate(self._competing):
            if self._statuses_J[index] in (library.OK, library.PAUSED):
                last = self._num_taken_J[index]
                scores_J[place] = self._validation_score(int(index))
                losses_J[place] = self._losses_JK[index, max(0, last - SMOOTHING) : last].mean(
                    dtype=np.float64
                )
        kept_places = best(kept, scores_J, losses_J)
        dropped = np.setdiff1d(self._competing, self._competing[kept_places])
        self._statuses_J[dropped[self._statuses_J[dropped] == library.PAUSED]] = library.DROPPED
        self._competing = self._competing[kept_places]

    def results(self) -> list[TaskResult]:
        """Return the result of each job."""
        statistics_J = curve_statistics(self._losses_JK, self._norms_JK, self._task, self._num_taken_J)
        return [self._result(index, statistics) for index, statistics in enumerate(statistics_J)]

    def _result(self, index: int, statistics: Mapping[str, Any]) -> TaskResult:
        task, job = self._task, self._jobs[index]
        status = int(self._statuses_J[index])
        if status == library.TIMED_OUT:
            return timed_out(job, task, self.request.seconds)
        if status == library.OUT_OF_MEMORY:
            reason = "the native engine was refused memory"
            return TaskResult(task=task.name, seed=job.seed, status="out_of_memory", reason=reason)
        assert status == library.OK, "a job that was not cancelled has an end"
        fingerprint = self._fingerprints_JBD[index].copy() if self.request.is_fingerprinting else None
        splits = self._arrays.splits[job.seed]
        return judged(job.program, task, job.seed, splits, statistics, self._measures(index), fingerprint)

    def _validation_score(self, index: int) -> float:
        """Return the score of one job where it stands; NaN where there is none."""
        job, measure = self._jobs[index], self._measures(index)["validation"]
        return score_on("validation", job.program, job.seed, self._arrays.splits[job.seed], measure)

    def _measures(self, index: int) -> dict[str, float]:
        """Return what the exams of one job came to; NaN where it had none, or an output was not finite."""
        names = self._arrays.splits[self._jobs[index].seed].by_name
        measures = zip(library.EXAMS, self._measures_JE[index].tolist(), strict=True)
        return {name: measure for name, measure in measures if name in names}


def _starts(sizes: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])


def _run(loaded: Library, batch: _Batch, variant: str, progress: Progress | None) -> None:
    """Run a request in a thread of its own, so that this one can report progress and be interrupted."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            loaded.train(batch.request, variant)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="native-engine")
    thread.start()
    try:
        for num_new in _new_jobs(thread, batch):
            if progress is not None:
                progress(num_new)
    finally:
        batch.is_cancelled[0] = int(thread.is_alive())
        thread.join()
    if errors:
        raise errors[0]


def _new_jobs(thread: threading.Thread, batch: _Batch) -> Iterator[int]:
    """Yield how many jobs have ended since, at once, from time to time, and when the request has."""
    yield 0
    while True:
        thread.join(POLL_S)
        is_over = not thread.is_alive()
        num_done = int(batch.num_done[0])
        yield num_done - batch.num_reported
        batch.num_reported = num_done
        if is_over:
            return
