"""Proves the best of a run: trains them again from seeds that no search uses, and says which enter.

What a search found best is partly what was luckiest (the winner's curse). A candidate is therefore trained
from fresh seeds at several learning rates; on each task the rate that does best on validation data counts,
and its test scores are the proof. It enters when the interval of its mean begins above the identity's score,
and when the traits of its representations are unlike any entrant's, or it is better than those it resembles.
Only then does it sit the held-out tasks. No reward depends on a proof.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np
import torch

from blueprints import IDENTITY, Blueprint, Language, parse
from crucible import Crucible
from crucible.crucible import Run
from crucible.engines.base import Progress
from crucible.evaluation import Evaluation, TaskResult
from crucible.reward import reward
from curricula.curriculum import Curriculum
from curricula.suites import task_named
from curricula.task import Task
from hall_of_fame.proofs import ProofBook, standings
from hall_of_fame.records import EvaluationRecord, Proof, Selected, TaskProof
from hall_of_fame.store import Store
from hall_of_fame.traits import likeness, traits
from tamiyo.config import FIRST_PROOF_SEED, Config
from tamiyo.intervals import student_t
from tamiyo.judging import task_records

#: Counts changes of the protocol that its settings do not show.
VERSION = 2

#: Results of one blueprint by task, then by multiple of the learning rate, in the order of the seeds.
_Results = Mapping[Task, Mapping[float, Sequence[TaskResult]]]
#: Traits of one blueprint by the key of a task; none where no representation is finite.
_Traits = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A mean of scores over seeds with its 95 % interval (Student's t), inside [0, 1]."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a proved candidate enters; see `Proof` for the fields."""

    verdict: Literal["entered", "refused"]
    reason: str = ""
    nearest: str | None = None
    similarity: float | None = None
    supersedes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprover:
    """Proves candidates of one run.

    Attributes:
        language: what programs are read with.
        crucible: where they are trained, with full work.
        store: the ledger.
        run_id: whose candidates.
        task_weights: weight of the search's tasks, by name.
        held_out: tasks that the search does not see.
        seeds: fresh seeds; the same for every candidate, so that they compare.
        rates: multiples of each task's learning rate.
        max_similarity: see `LibraryConfig`.
    """

    language: Language
    crucible: Crucible
    store: Store
    run_id: str
    task_weights: Mapping[str, float]
    held_out: tuple[Task, ...]
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    max_similarity: float
    _floors: dict[tuple[Task, ...], float] = field(default_factory=dict, init=False)

    @property
    def book(self) -> ProofBook:
        """The proofs of the ledger."""
        return ProofBook(self.store)

    def settings(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """Return everything that decides a proof on these tasks of the search, beside the candidate."""
        keys = self.keys(tasks)
        weights = [self.task_weights.get(task.name, 1.0) for task in tasks]
        return {
            "version": VERSION,
            "tasks": [list(pair) for pair in zip(keys, weights, strict=True)],
            "held_out": self.keys(self.held_out),
            "rates": list(self.rates),
            "seeds": list(self.seeds),
            "engine": self.crucible.engine_id,
            "max_similarity": self.max_similarity,
        }

    def protocol(self, tasks: Sequence[Task]) -> str:
        """Return the short hash of the settings."""
        text = json.dumps(self.settings(tasks), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cost(self, tasks: Sequence[Task]) -> int:
        """Return how many trainings a proof takes at most."""
        return (len(tasks) + len(self.held_out)) * len(self.rates) * len(self.seeds)

    def keys(self, tasks: Sequence[Task]) -> list[str]:
        """Return the keys under which the ledger knows tasks, each at its own learning rate."""
        return [record.key for record in task_records(tasks, self.crucible.width)]

    def selected(self, tasks: Sequence[Task]) -> list[Selected]:
        """Return the run's candidates on these tasks, best reward first."""
        return self.book.selected(self.run_id, self.keys(tasks), self.protocol(tasks))

    def prove(
        self, candidate: Selected, tasks: Sequence[Task], generation: int, progress: Progress | None = None
    ) -> Proof | None:
        """Train a candidate again, write its proof and return it; None where another process was faster.

        Args:
            candidate: one of `selected(tasks)`.
            tasks: those of the search's stage.
            generation: the last generation of the run.
            progress: hears how many trainings ended since its last call.
        """
        written = self.store.blueprint(candidate.blueprint_id)
        assert written is not None, "a candidate on record has its blueprint on record"
        blueprint = parse(written.tokens, self.language)
        results = self._train(blueprint, tasks, progress)
        best = {task: _best_rate(by_rate) for task, by_rate in results.items()}
        chosen = {task: by_rate[best[task]] for task, by_rate in results.items()}
        score = self._score(blueprint, chosen)
        searched = self._searched(blueprint, tasks)
        fingerprint = _fingerprint(chosen[tasks[-1]])
        marked = {
            key: mean_traits(task, chosen[task]) for key, task in zip(self.keys(tasks), tasks, strict=True)
        }
        while True:
            found = self.book.proofs()
            verdict = self._verdict(blueprint.id, score, marked, tasks, found)
            if verdict.verdict == "entered" and not results.keys() >= set(self.held_out):
                results = {**results, **self._train(blueprint, self.held_out, progress)}
            proof = Proof(
                blueprint_id=blueprint.id,
                protocol=self.protocol(tasks),
                settings=self.settings(tasks),
                run_id=self.run_id,
                generation=generation,
                created=datetime.now(UTC).isoformat(timespec="microseconds"),
                rank=candidate.rank,
                search_score=self.term(blueprint, searched),
                search_trainings=sum(map(len, searched.values())),
                mean=score.mean,
                low=score.low,
                high=score.high,
                mean_as_searched=self.term(
                    blueprint, {task: of[1.0] for task, of in results.items() if task in tasks}
                ),
                floor=self._floor(tasks),
                tasks=tuple(_task_proof(task, of, task not in tasks) for task, of in results.items()),
                **{name: getattr(verdict, name) for name in Verdict.__slots__},
            )
            if self._write(proof, results, fingerprint, len(found)):
                return proof
            if any(
                (old.blueprint_id, old.protocol) == (proof.blueprint_id, proof.protocol)
                for old in self.book.proofs()
            ):
                return None

    def _train(
        self, blueprint: Blueprint, tasks: Sequence[Task], progress: Progress | None
    ) -> dict[Task, dict[float, list[TaskResult]]]:
        """Return the results of every task, rate and seed; none is ended for doing worse than its company."""
        asked = [(task, rate) for task in tasks for rate in self.rates]
        jobs = [Run(blueprint, _at_rate(task, rate), seed) for task, rate in asked for seed in self.seeds]
        done = iter(self.crucible.run_jobs(jobs, fingerprints=True, competing=False, progress=progress))
        found: dict[Task, dict[float, list[TaskResult]]] = {task: {} for task in tasks}
        for task, rate in asked:
            found[task][rate] = [next(done) for _ in self.seeds]
        return found

    def _searched(self, blueprint: Blueprint, tasks: Sequence[Task]) -> dict[Task, list[TaskResult]]:
        """Return the search's own results on these tasks, from whichever engine."""
        own = [record for record in self.store.evaluations(blueprint.id) if record.run_id == self.run_id]
        return {task: _of_key(own, key) for task, key in zip(tasks, self.keys(tasks), strict=True)}

    def term(self, blueprint: Blueprint, results: Mapping[Task, Sequence[TaskResult]]) -> float:
        """Return the task term of the reward for these results; 0 where a task refuses the blueprint."""
        evaluation = Evaluation(
            blueprint_id=blueprint.id,
            engine_id=self.crucible.engine_id,
            results=tuple(result for of_task in results.values() for result in of_task),
            num_parameters=0,
            flops=0,
        )
        terms = reward(evaluation, list(results), redundancy=0.0, task_weights=self.task_weights).terms
        return 0.0 if terms is None else terms.task

    def _score(self, blueprint: Blueprint, results: Mapping[Task, Sequence[TaskResult]]) -> Bounded:
        """Return the task term of all seeds, with the interval from the terms of single ones."""
        single = [
            self.term(blueprint, {task: [of_task[i]] for task, of_task in results.items()})
            for i in range(len(self.seeds))
        ]
        return bounded(single, self.term(blueprint, results))

    def _floor(self, tasks: Sequence[Task]) -> float:
        """Return the identity's score, proved likewise once a process."""
        key = tuple(tasks)
        if key not in self._floors:
            results = self._train(IDENTITY, tasks, None)
            chosen = {task: by_rate[_best_rate(by_rate)] for task, by_rate in results.items()}
            self._floors[key] = self.term(IDENTITY, chosen)
        return self._floors[key]

    def _verdict(
        self,
        blueprint_id: str,
        score: Bounded,
        marked: _Traits,
        tasks: Sequence[Task],
        found: Iterable[Proof],
    ) -> Verdict:
        """Say whether a candidate enters beside the entrants that `found` makes.

        Entrants compare by the traits of their representations on the tasks that both were searched on, the
        last of this search among them; and by their scores where all tasks and weights are the same.
        """
        floor = self._floor(tasks)
        if score.low <= floor:
            return Verdict(
                verdict="refused",
                reason=f"its interval begins at {score.low:.3f}, not above the identity's {floor:.3f}",
            )
        if not any(marked.values()):
            return Verdict(verdict="refused", reason="its representation is not finite")
        exam = self.settings(tasks)["tasks"]
        probe = exam[-1][0]
        entrants = {
            id_: standing.proof
            for id_, standing in standings(found).items()
            if standing.status == "entrant" and standing.proof is not None and id_ != blueprint_id
        }
        entrants = {id_: proof for id_, proof in entrants.items() if proof.settings["tasks"][-1][0] == probe}
        known = self._traits(entrants, tasks[-1])
        alike = {id_: _likeness(marked, of_entrant) for id_, of_entrant in known.items()}
        if not alike:
            return Verdict(verdict="entered")
        nearest = max(alike, key=lambda id_: (alike[id_], id_))
        told = {"nearest": nearest, "similarity": alike[nearest]}
        resembled = [id_ for id_, value in alike.items() if value >= self.max_similarity]
        for id_ in resembled:
            other = entrants[id_]
            if other.settings["tasks"] != exam or score.mean <= other.mean:
                reason = f"it does what {id_[:12]} does (likeness {alike[id_]:.3f}), and no better"
                return Verdict(verdict="refused", reason=reason, **told)
        return Verdict(verdict="entered", supersedes=tuple(sorted(resembled)), **told)

    def _traits(self, entrants: Mapping[str, Proof], last: Task) -> dict[str, _Traits]:
        """Return the traits of each entrant by the keys of its search's tasks.

        A proof of before they were on record has those of its one representation, on the `last` task.
        """
        found: dict[str, _Traits] = {}
        for id_, proof in entrants.items():
            searched = [task.traits for task in proof.tasks if not task.held_out]
            found[id_] = {key: of for (key, _), of in zip(proof.settings["tasks"], searched, strict=False)}
        older = [proof for id_, proof in entrants.items() if not any(found[id_].values())]
        for id_, values in self.book.fingerprints(older).items():
            of_probe = traits(torch.from_numpy(values)[None], last.probe(), last.input_width)[0]
            found[id_] = {entrants[id_].settings["tasks"][-1][0]: tuple(of_probe.tolist())}
        return found

    def _write(self, proof: Proof, results: _Results, fingerprint: np.ndarray | None, seen: int) -> bool:
        """Write a proof with all that it rests on; say whether its verdict was still fresh."""
        trainings, records = {}, []
        for task, by_rate in results.items():
            for rate, of_rate in by_rate.items():
                [record] = task_records([_at_rate(task, rate)], self.crucible.width)
                records.append(record)
                trainings[record.key] = of_rate
        return self.book.add(proof, trainings, records, fingerprint, seen=seen)


def build_reprover(
    config: Config, curriculum: Curriculum, crucible: Crucible, store: Store, run_id: str, language: Language
) -> Reprover:
    """Return who proves a run's candidates, as its configuration says."""
    settings = config.library
    own = {stage.task.name for stage in curriculum.stages}
    return Reprover(
        language=language,
        crucible=crucible,
        store=store,
        run_id=run_id,
        task_weights=curriculum.weights,
        held_out=tuple(task_named(name) for name in settings.held_out if name not in own),
        seeds=tuple(range(FIRST_PROOF_SEED, FIRST_PROOF_SEED + settings.seeds)),
        rates=settings.rates,
        max_similarity=settings.max_similarity,
    )


def bounded(values: Sequence[float], mean: float | None = None) -> Bounded:
    """Return the mean of two values or more, or the one given, with its 95 % interval in [0, 1]."""
    mean = fmean(values) if mean is None else mean
    half = student_t(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Bounded(mean=mean, low=max(0.0, mean - half), high=min(1.0, mean + half))


def _at_rate(task: Task, rate: float) -> Task:
    return task if rate == 1 else replace(task, learning_rate=rate * task.learning_rate)


def _best_rate(by_rate: Mapping[float, Sequence[TaskResult]]) -> float:
    """Return the rate whose mean validation score is highest; ties go to the one nearest the task's own."""
    return max(
        by_rate,
        key=lambda rate: (fmean(r.validation_score for r in by_rate[rate]), -abs(math.log(rate)), -rate),
    )


def _task_proof(task: Task, by_rate: Mapping[float, Sequence[TaskResult]], held_out: bool) -> TaskProof:
    rate = _best_rate(by_rate)
    results = by_rate[rate]
    refused = next((result.reason for result in results if result.status == "rejected"), "")
    if refused:
        return TaskProof(task=task.name, held_out=held_out, reason=refused)
    scores = [task.normalised(result.score) if result.status == "ok" else 0.0 for result in results]
    found = bounded(scores)
    return TaskProof(
        task=task.name,
        held_out=held_out,
        factor=rate,
        mean=found.mean,
        low=found.low,
        high=found.high,
        num_seeds=len(results),
        num_ok=sum(result.status == "ok" for result in results),
        traits=mean_traits(task, results),
    )


def mean_traits(task: Task, results: Iterable[TaskResult]) -> tuple[float, ...]:
    """Return the traits of the representations on `task`, as a mean over seeds; none where none is finite."""
    prints = [result.fingerprint for result in results if result.fingerprint is not None]
    if not prints:
        return ()
    found_SF = traits(torch.from_numpy(np.stack(prints)), task.probe(), task.input_width)
    found_SF = found_SF[torch.isfinite(found_SF).all(dim=1)]
    return tuple(found_SF.mean(dim=0).tolist()) if len(found_SF) else ()


def _likeness(one: _Traits, other: _Traits) -> float:
    """Return how likely two are the same, by the tasks on which both have traits; 0 without one."""
    keys = [key for key, found in one.items() if found and other.get(key)]
    if not keys:
        return 0.0
    sides = ([torch.tensor([of[key]], dtype=torch.float64) for key in keys] for of in (one, other))
    return likeness(*sides).item()


def _of_key(records: Iterable[EvaluationRecord], key: str) -> list[TaskResult]:
    return [record.result for record in records if record.task_key == key]


def _fingerprint(results: Iterable[TaskResult]) -> np.ndarray | None:
    """Return the first finite fingerprint `[probes, D]`."""
    prints = (result.fingerprint for result in results)
    return next((found for found in prints if found is not None and np.isfinite(found).all()), None)
