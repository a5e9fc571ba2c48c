"""Trains the blueprints of a job and says what they are worth, as a search would; writes nothing anywhere.

The floors are composed as in `judging.py`, but for what is on record: whoever asks for seeds wants to see
them trained. A blueprint is trained to its end before the next, a few seeds at once, so that there is
something to read soon; a score depends on nothing else that is trained, so that makes no number different.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import fmean, pstdev
from types import MappingProxyType
from typing import Any

from blueprints import Blueprint, parse
from crucible import Crucible, LatencyTable
from crucible.crucible import Run
from crucible.errors import CrucibleError
from crucible.evaluation import Evaluation, TaskResult
from crucible.heads import checked_splits
from crucible.program import build_program
from crucible.reward import reward
from crucible.stopwatch import Stopwatch
from curricula.curriculum import Curriculum
from curricula.suites import curriculum, suite_named
from curricula.task import Task
from curricula.user_tasks import load_user_tasks, source_hash, try_task
from curricula.weights import counted_weights
from hall_of_fame.library import Library
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.records import Snapshot
from hall_of_fame.store import Store
from tamiyo.intervals import interval
from tamiyo.jobs_records import EvaluationRequest, JobSettings
from tamiyo.judging import redundancies, task_records

#: Hears the row of a training, or of a blueprint whose trainings all ended, with what it is.
Report = Callable[[str, Mapping[str, Any]], None]
#: Seconds that measuring the latency of one blueprint may take.
STOPWATCH_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Examines the blueprints of one job after the other.

    Attributes:
        crucible: where they are trained; its latency table predicts what a forward pass takes.
        stopwatch: measures what it takes.
        store: the ledger whose best entries redundancy is measured against; none for no redundancy.
        hall_of_fame_size: how many of them count.
        num_at_once: seeds that are trained together.
        user_tasks: tasks of the user's own, by name.
    """

    crucible: Crucible
    stopwatch: Stopwatch
    store: Store | None = None
    hall_of_fame_size: int = 64
    num_at_once: int = 1
    user_tasks: Mapping[str, Task] = field(default_factory=dict)

    def examine(self, request: EvaluationRequest, report: Report) -> None:
        """Train what is asked for and report `training` by `training`, and each blueprint's `result`.

        Raises:
            TaskError: for a task of the user's own that breaks its contract.
        """
        plan = curriculum_of(request, self.user_tasks)
        tasks = plan.tasks(len(plan.stages) - 1)
        for task in tasks:
            self._try(task, request.seeds[0])
        hall = self._hall(plan, tasks)
        for tokens in request.programs:
            blueprint = parse(tokens)
            results = self._train(blueprint, tasks, request.seeds, report)
            evaluation = self.crucible.describe(blueprint, tasks, results)
            report("result", self._result(blueprint, evaluation, plan, tasks, hall))

    def _train(
        self, blueprint: Blueprint, tasks: Sequence[Task], seeds: Sequence[int], report: Report
    ) -> list[TaskResult]:
        results: list[TaskResult] = []
        for task in tasks:
            for first in range(0, len(seeds), self.num_at_once):
                runs = [Run(blueprint, task, seed) for seed in seeds[first : first + self.num_at_once]]
                new = self.crucible.run_jobs(runs, fingerprints=True)
                for result in new:
                    report("training", {"blueprint_id": blueprint.id, **training_row(result)})
                results += new
        return results

    def _result(
        self,
        blueprint: Blueprint,
        evaluation: Evaluation,
        plan: Curriculum,
        tasks: Sequence[Task],
        hall: Snapshot,
    ) -> dict[str, Any]:
        """Return all that an entry of a library says of a blueprint, as far as one job can know it."""
        redundancy = redundancies([evaluation], tasks, hall, width=self.crucible.width)[blueprint.id]
        earned = reward(evaluation, tasks, redundancy=redundancy, task_weights=plan.weights)
        return {
            "blueprint_id": blueprint.id,
            "tokens": blueprint.tokens,
            "status": earned.status,
            "reward": earned.total,
            "terms": None if earned.terms is None else asdict(earned.terms),
            "tasks": [score_row(task, evaluation) for task in tasks],
            "num_parameters": evaluation.num_parameters,
            "flops": evaluation.flops,
            "latency_us": evaluation.latency_us,
            "measured": asdict(self._measured(blueprint)),
        }

    def _measured(self, blueprint: Blueprint) -> Any:
        table = self.crucible.latency_table
        assert table is not None, "an examiner's Crucible has a latency table"
        return self.stopwatch.measure(
            blueprint.graph, width=self.crucible.width, time=table.time, batch_size=table.batch_size
        )

    def _hall(self, plan: Curriculum, tasks: Sequence[Task]) -> Snapshot:
        """Return the library's best on these tasks, weighed alike; nothing where there is no library."""
        if self.store is None:
            return Snapshot()
        counted = counted_weights([task.name for task in tasks], plan.weights)
        keys = {record.key: counted[record.name] for record in task_records(tasks, self.crucible.width)}
        return self.store.snapshot(
            self.hall_of_fame_size, keys, engine_id=self.crucible.engine_id, weights=keys
        )

    def _try(self, task: Task, seed: int) -> None:
        """Refuse a task of the user's own that breaks its contract."""
        if source_hash(task):
            try_task(task, seed)
            checked_splits(build_program(parse(("RELU",)).graph, task, self.crucible.width), task, seed)


def build_examiner(settings: JobSettings, latency_table: str) -> Examiner:
    """Return who examines as `settings` say, with the latency table that a text holds.

    One of another width, device or version of the package, or none, is measured anew.
    """
    table = _table(latency_table, settings.width) or LatencyTable.measure(width=settings.width)
    return Examiner(
        crucible=Crucible(
            width=settings.width,
            engine=settings.engine,
            num_workers=settings.num_cores,
            latency_table=table,
        ),
        stopwatch=Stopwatch(budget_s=STOPWATCH_S),
        store=_opened(settings).store if settings.library else None,
        hall_of_fame_size=settings.hall_of_fame_size,
        num_at_once=settings.num_cores,
        user_tasks=load_user_tasks(settings.user_tasks) if settings.user_tasks else {},
    )


def _opened(settings: JobSettings) -> Library:
    """Return the library, which can be read alone."""
    return Library.open(settings.library, onlooker=Onlooker(query_s=settings.max_seconds))


def _table(text: str, width: int) -> LatencyTable | None:
    try:
        table = LatencyTable.from_text(text)
        table.check(width, "cpu")
    except (CrucibleError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return table


def curriculum_of(
    request: EvaluationRequest, user_tasks: Mapping[str, Task] = MappingProxyType({})
) -> Curriculum:
    """Return the tasks of a request with their weights: those of its suite, or 1 each."""
    suite = {} if request.tasks else suite_named(request.suite)
    names = request.task_names
    return curriculum(names, [suite.get(name, 1.0) for name in names], user_tasks=user_tasks)


def training_row(result: TaskResult) -> dict[str, Any]:
    """Return a training without its fingerprint and its loss curve."""
    return {
        entry.name: getattr(result, entry.name)
        for entry in fields(result)
        if entry.name not in ("fingerprint", "loss_curve")
    }


def score_row(task: Task, evaluation: Evaluation) -> dict[str, Any]:
    """Return the evidence on one task, as `TaskScore` has it, and the interval of the mean inside [0, 1].

    A single seed has no interval: it says nothing of the spread.
    """
    of_task = [result for result in evaluation.results if result.task == task.name]
    scores = [result.score for result in of_task]
    over_seeds = interval(scores)
    return {
        "task": task.name,
        "mean": fmean(scores),
        "std": pstdev(scores),
        "low": min(scores),
        "high": max(scores),
        "interval_low": None if over_seeds.low is None else max(0.0, over_seeds.low),
        "interval_high": None if over_seeds.high is None else min(1.0, over_seeds.high),
        "num_seeds": len(scores),
        "num_ok": sum(result.status == "ok" for result in of_task),
        "chance": task.chance,
        "solved": task.solved,
    }
