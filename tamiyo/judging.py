"""From programs to rewards: parses, looks up what is known, trains the rest, weighs; updates no policy.

The best of a batch are partly the lucky ones (the winner's curse). A share of them is therefore trained again
on fresh seeds before the strategy hears a reward, which then rests on the mean of all seeds.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import torch

from blueprints import Blueprint, BlueprintError, Language, parse
from crucible import Crucible
from crucible.crucible import Run
from crucible.engines.base import Progress
from crucible.evaluation import Evaluation, TaskResult
from crucible.reward import INVALID, RewardBounds, RewardBreakdown, RewardWeights, reward
from crucible.statistics import CLIP_NORM
from curricula.task import Task
from curricula.user_tasks import source_hash
from curricula.weights import counted_weights
from hall_of_fame.records import Snapshot, TaskRecord
from hall_of_fame.redundancy import redundancy
from hall_of_fame.similarity import emphasised
from hall_of_fame.store import Store
from hall_of_fame.structure import features, similarity

Tokens = tuple[str, ...]
#: How the reason of a rejected training begins where a rule was broken.
_RULE = re.compile(r"rule '([^']+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One candidate, judged.

    Attributes:
        tokens: the program as the strategy wrote it.
        blueprint: what it parses to; absent when it is not one.
        error: why it is not one.
        evaluation: all evidence on the stage's tasks, earlier generations included.
        reward: what the strategy is told, and its terms.
        is_novel: whether nothing was on record for it, and no earlier candidate of the batch is isomorphic.
        novel_tasks: the stage's tasks on which nothing was on record for it, likewise.
    """

    tokens: Tokens
    blueprint: Blueprint | None
    error: BlueprintError | None
    evaluation: Evaluation | None
    reward: RewardBreakdown
    is_novel: bool = False
    novel_tasks: frozenset[str] = frozenset()

    @property
    def rule(self) -> str:
        """Name of the rule that was broken, of the language or of a task's head; empty where none was."""
        if self.error is not None:
            return self.error.rule
        results = () if self.evaluation is None else self.evaluation.results
        reasons = (result.reason for result in results if result.status == "rejected")
        return next((found[1] for reason in reasons if (found := _RULE.match(reason))), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One generation, judged.

    Attributes:
        verdicts: one a candidate, in order.
        trained: the trainings that were done for it, fresh seeds of the best included.
        snapshot: the hall of fame that redundancy was measured against.
        seconds: time of each phase: `parse`, `evaluate`, `reward`.
        reseeded: the reward before its fresh seeds, for the id of each of the best that got some.
        likenesses: how alike in structure the nearest entry of that hall of fame is, by blueprint id; none
            while it is empty.
    """

    verdicts: tuple[Verdict, ...]
    trained: tuple[Evaluation, ...]
    snapshot: Snapshot
    seconds: dict[str, float]
    reseeded: Mapping[str, float] = field(default_factory=dict)
    likenesses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges batches of programs against what one run has on record.

    Attributes:
        language: what programs are read with.
        crucible: where they are trained.
        store: the ledger that is asked for what is known.
        run_id: the run whose records count, so that a run does not depend on its neighbours.
        seeds: seeds of trainings, in the order in which a blueprint uses them up.
        weights: of the reward's terms.
        bounds: of the reward's scales.
        hall_of_fame_size: entries that redundancy is measured against.
        num_seeds: fresh seeds that a blueprint gets on every task whenever it is proposed, as far as it has
            any left.
        reseed_share: share of a batch's distinct blueprints, those of the highest rewards, that get fresh
            seeds before the strategy hears its reward.
        reseed_seeds: fresh seeds that each of them gets, likewise.
        task_weights: weight of tasks in reward and hall of fame, by name: 1 where there is none, 0 of a gate.
    """

    language: Language
    crucible: Crucible
    store: Store
    run_id: str
    seeds: tuple[int, ...]
    weights: RewardWeights
    bounds: RewardBounds
    hall_of_fame_size: int
    num_seeds: int = 1
    reseed_share: float = 0.0
    reseed_seeds: int = 1
    task_weights: Mapping[str, float] = field(default_factory=dict)

    def task_records(self, tasks: Sequence[Task]) -> tuple[TaskRecord, ...]:
        """Return the tasks as the ledger knows them, with whatever else decides scores.

        That is the settings of host and engine, and the text of a user's own task.
        """
        return task_records(tasks, self.crucible.width)

    def key_weights(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Return what each task counts for the hall of fame, by the key of its record."""
        counted = counted_weights([task.name for task in tasks], self.task_weights)
        return {record.key: counted[record.name] for record in self.task_records(tasks)}

    def judge(
        self,
        programs: Sequence[Tokens],
        tasks: Sequence[Task],
        begin: Callable[[int], None] = lambda num: None,
        progress: Progress | None = None,
    ) -> Judgement:
        """Judge `programs` on `tasks`, the newest last.

        A blueprint without evidence is trained from the first `num_seeds` seeds on each task, one with
        evidence from as many fresh ones, until its seeds are spent; a (blueprint, task, seed) is never
        repeated. The best of them are then trained from `reseed_seeds` fresh seeds more.
        `begin` hears, each time, how many trainings there will be, `progress` how many ended since its last
        call.
        """
        clock = _Clock()
        parsed = [self._parse(tokens) for tokens in programs]
        blueprints = {b.id: b for b in parsed if isinstance(b, Blueprint)}
        clock.lap("parse")
        weights = self.key_weights(tasks)
        keys = list(weights)
        engine_id = self.crucible.engine_id
        known = self.store.known_results(
            blueprints, engine_id, keys, run_id=self.run_id, with_fingerprints=True
        )
        jobs = self._jobs(blueprints.values(), tasks, known, self.num_seeds)
        trained = self._train(jobs, begin, progress, competing=True)
        clock.lap("evaluate")
        snapshot = self.store.snapshot(
            self.hall_of_fame_size, keys, run_id=self.run_id, engine_id=engine_id, weights=weights
        )
        evidence = self._evidence(blueprints, tasks, known, trained)
        # One whose seeds are all spent brings no evidence at all any more, so it is redundant too.
        spent = blueprints.keys() - trained.keys()
        told, width = list(evidence.values()), self.crucible.width
        redundancy_of = redundancies(told, tasks, snapshot, width=width, known=spent)
        verdicts = self._verdicts(programs, parsed, evidence, redundancy_of, tasks, known)
        clock.lap("reward")
        before = self._best_rewards(verdicts)
        results = {id_: evidence[id_].results for id_ in before}
        jobs = self._jobs([blueprints[id_] for id_ in before], tasks, results, self.reseed_seeds)
        fresh = self._train(jobs, begin, progress, competing=False) if jobs else {}
        clock.lap("evaluate")
        if fresh:
            trained |= {id_: [*trained.get(id_, ()), *new] for id_, new in fresh.items()}
            evidence = self._evidence(blueprints, tasks, known, trained)
            verdicts = self._verdicts(programs, parsed, evidence, redundancy_of, tasks, known)
        clock.lap("reward")
        return Judgement(
            verdicts=tuple(verdicts),
            trained=tuple(self.crucible.describe(blueprints[i], tasks, new) for i, new in trained.items()),
            snapshot=snapshot,
            seconds=clock.seconds,
            reseeded={id_: before[id_] for id_ in fresh},
            likenesses=self._likenesses(blueprints, snapshot),
        )

    def ids(self, programs: Iterable[Tokens]) -> dict[Tokens, str]:
        """Return the id of each program that is a blueprint."""
        parsed = {tokens: self._parse(tokens) for tokens in programs}
        return {tokens: found.id for tokens, found in parsed.items() if isinstance(found, Blueprint)}

    def _parse(self, tokens: Tokens) -> Blueprint | BlueprintError:
        try:
            return parse(tokens, self.language)
        except BlueprintError as error:
            return error

    def _jobs(
        self,
        blueprints: Iterable[Blueprint],
        tasks: Sequence[Task],
        known: Mapping[str, Sequence[TaskResult]],
        num_seeds: int,
    ) -> list[Run]:
        """Return the trainings of each blueprint on each task from its next `num_seeds` seeds."""
        jobs = []
        for blueprint in blueprints:
            for task in tasks:
                used = {r.seed for r in known.get(blueprint.id, ()) if r.task == task.name}
                fresh = [seed for seed in self.seeds if seed not in used]
                jobs += [Run(blueprint, task, seed) for seed in fresh[:num_seeds]]
        return jobs

    def _train(
        self, jobs: Sequence[Run], begin: Callable[[int], None], progress: Progress | None, *, competing: bool
    ) -> dict[str, list[TaskResult]]:
        """Return the results of the blueprints that have jobs, by id; without competing none is cut short."""
        begin(len(jobs))
        results: dict[str, list[TaskResult]] = {}
        trained = self.crucible.run_jobs(jobs, fingerprints=True, competing=competing, progress=progress)
        for job, result in zip(jobs, trained, strict=True):
            results.setdefault(job.blueprint.id, []).append(result)
        return results

    def _evidence(
        self,
        blueprints: Mapping[str, Blueprint],
        tasks: Sequence[Task],
        known: Mapping[str, Sequence[TaskResult]],
        trained: Mapping[str, Sequence[TaskResult]],
    ) -> dict[str, Evaluation]:
        """Return all that is known of each blueprint, what was on record first."""
        return {
            id_: self.crucible.describe(blueprint, tasks, [*known.get(id_, ()), *trained.get(id_, ())])
            for id_, blueprint in blueprints.items()
        }

    def _best_rewards(self, verdicts: Sequence[Verdict]) -> dict[str, float]:
        """Return the rewards of the distinct blueprints to reseed, by id; of equals the earlier one wins."""
        first: dict[str, float] = {}
        for verdict in verdicts:
            if verdict.blueprint is not None and verdict.reward.terms is not None:
                first.setdefault(verdict.blueprint.id, verdict.reward.total)
        ranked = sorted(first, key=lambda id_: -first[id_])
        return {id_: first[id_] for id_ in ranked[: round(self.reseed_share * len(ranked))]}

    def _likenesses(self, blueprints: Mapping[str, Blueprint], snapshot: Snapshot) -> dict[str, float]:
        """Return how alike in structure the nearest entry of the hall of fame is, by id; none without one."""
        if not blueprints or not snapshot.entries:
            return {}
        hall = features([parse(e.tokens, self.language).graph for e in snapshot.entries], self.language)
        own = features([blueprint.graph for blueprint in blueprints.values()], self.language)
        return dict(zip(blueprints, similarity(own, hall).max(axis=1).tolist(), strict=True))

    def _verdicts(
        self,
        programs: Sequence[Tokens],
        parsed: Sequence[Blueprint | BlueprintError],
        evidence: dict[str, Evaluation],
        redundancy_of: dict[str, float],
        tasks: Sequence[Task],
        known: dict[str, list[TaskResult]],
    ) -> list[Verdict]:
        seen: set[str] = set()
        return [
            self._verdict(tokens, result, evidence, redundancy_of, tasks, known, seen)
            for tokens, result in zip(programs, parsed, strict=True)
        ]

    def _verdict(
        self,
        tokens: Tokens,
        parsed: Blueprint | BlueprintError,
        evidence: dict[str, Evaluation],
        redundancy_of: dict[str, float],
        tasks: Sequence[Task],
        known: dict[str, list[TaskResult]],
        seen: set[str],
    ) -> Verdict:
        if isinstance(parsed, BlueprintError):
            return Verdict(tokens=tokens, blueprint=None, error=parsed, evaluation=None, reward=INVALID)
        is_first = parsed.id not in seen
        seen.add(parsed.id)
        evaluation = evidence[parsed.id]
        breakdown = reward(
            evaluation,
            tasks,
            redundancy=redundancy_of[parsed.id] if is_first else 1.0,
            weights=self.weights,
            bounds=self.bounds,
            task_weights=self.task_weights,
        )
        return Verdict(
            tokens=tokens,
            blueprint=parsed,
            error=None,
            evaluation=evaluation,
            reward=breakdown,
            is_novel=is_first and parsed.id not in known,
            novel_tasks=frozenset(
                task.name
                for task in tasks
                if is_first and all(result.task != task.name for result in known.get(parsed.id, ()))
            ),
        )


def task_records(tasks: Sequence[Task], width: int) -> tuple[TaskRecord, ...]:
    """Return the tasks as the ledger knows them, with what else decides scores in a host of `width`."""
    settings = {"host_width": width, "clip_norm": CLIP_NORM}
    return tuple(
        TaskRecord.of(task, **settings, **({"source": source} if (source := source_hash(task)) else {}))
        for task in tasks
    )


def redundancies(
    evaluations: Sequence[Evaluation],
    tasks: Sequence[Task],
    snapshot: Snapshot,
    *,
    width: int,
    known: Set[str] = frozenset(),
) -> dict[str, float]:
    """Return, for each distinct blueprint, 1 if the hall of fame holds it, else its nearest in function.

    Evaluations come with fingerprints in a host of `width`; what is `known` besides counts as held too.
    """
    if not evaluations:
        return {}
    candidates, hall = [], []
    for task in tasks:
        nothing = np.full((len(task.probe()), width), np.nan, np.float32)
        recorded = snapshot.fingerprints.get(task.name, {})
        prints = [_fingerprint(evaluation, task, nothing) for evaluation in evaluations]
        prints += [recorded.get(entry.id, nothing) for entry in snapshot.entries]
        seen = emphasised(torch.from_numpy(np.stack(prints)), task.probe(), task.input_width)
        candidates.append(seen[: len(evaluations)])
        hall.append(seen[len(evaluations) :])
    values = redundancy(
        [evaluation.blueprint_id for evaluation in evaluations],
        candidates,
        known_ids=snapshot.ids | known,
        snapshot=hall,
    )
    return {e.blueprint_id: value for e, value in zip(evaluations, values, strict=True)}


def _fingerprint(evaluation: Evaluation, task: Task, nothing: np.ndarray) -> np.ndarray:
    """Return the first fingerprint on `task`, `nothing` where there is none."""
    for result in evaluation.results:
        if result.task == task.name and result.fingerprint is not None:
            return result.fingerprint.astype(np.float32)
    return nothing


class _Clock:
    """Seconds between laps, summed by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
