"""The plain records that the ledger takes and returns; leaves SQL to the store and ranking to its query."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hall_of_fame.html_form import entry_html

if TYPE_CHECKING:
    from crucible.evaluation import MeasuredLatency, TaskResult
    from curricula.task import Task

Status = Literal["entrant", "candidate", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One search, as it was started.

    Attributes:
        id: unique name of the run.
        created: ISO 8601 time of its start, in UTC.
        seed: the run's seed.
        config: the resolved configuration.
        command: the command line that starts the same run again.
        code_version: version and git revision of the code.
        language_version: version hash of the language.
        environment: versions of packages, machine, devices.
    """

    id: str
    created: str
    seed: int
    config: Mapping[str, Any]
    command: str = ""
    code_version: str = ""
    language_version: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One exam with its knobs; scores are comparable only under equal keys.

    Attributes:
        key: the name and a hash of everything that decides a score beside blueprint, seed and engine.
        name: the task's name.
        knobs: its fields, and the settings of host and training that the caller adds.
        chance: score of always guessing.
        solved: score from which the task counts as solved.
    """

    key: str
    name: str
    knobs: Mapping[str, Any]
    chance: float
    solved: float

    @classmethod
    def of(cls, task: "Task", **settings: Any) -> "TaskRecord":
        """Return the record of `task`; `settings` (host width, gradient clip, ...) are part of its key."""
        knobs = {**task.knobs, **settings}
        text = json.dumps([task.name, knobs, task.chance, task.solved], sort_keys=True, default=str)
        key = f"{task.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return cls(key=key, name=task.name, knobs=knobs, chance=task.chance, solved=task.solved)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueprintRecord:
    """One blueprint, as it was first written.

    Attributes:
        id: its canonical hash; isomorphic programs share it.
        tokens: the program that brought it.
        language_version: version hash of the language that parsed it.
        run_id: the run that brought it.
        generation: the generation of that run.
    """

    id: str
    tokens: tuple[str, ...]
    language_version: str
    run_id: str
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """One program of one generation's batch, legal or not, with what it earned.

    Attributes:
        position: its place in the batch, from 0.
        tokens: the program as the strategy wrote it.
        blueprint_id: id of the blueprint it parses to; absent when it is not one.
        status: the evaluation's status; `rejected` when it is not a blueprint.
        rule: name of the rule that it broke; empty when it is a blueprint.
        reward: what the strategy was told.
        terms: every term of the reward by name.
        parents: ids of the blueprints that the strategy made it from; none where it samples, or where the
            parent was not a blueprint.
    """

    position: int
    tokens: tuple[str, ...]
    blueprint_id: str | None = None
    status: str = "ok"
    rule: str = ""
    reward: float
    terms: Mapping[str, float] = field(default_factory=dict)
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRecord:
    """The row that commits a generation: while it is absent, nothing of that generation exists.

    Attributes:
        run_id: the run.
        generation: number of the generation, from 0.
        stage: the curriculum's stage.
        metrics: its line of metrics; a number that is not finite comes back as None.
        checkpoint: file name of the checkpoint written just before the commit; empty when there is none.
        task_keys: keys of the stage's tasks.
    """

    run_id: str
    generation: int
    stage: str
    metrics: Mapping[str, Any]
    checkpoint: str = ""
    task_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRecord:
    """One training of one blueprint, with its provenance.

    Attributes:
        blueprint_id: canonical hash of the blueprint.
        run_id: the run that paid for it.
        generation: the generation of that run.
        task_key: key of the task record.
        engine_id: engine, version and instruction set.
        result: task, seed, status, score and statistics; without the fingerprint.
        num_parameters: trainable scalars of the blueprint in that run's host.
        flops: forward FLOPs of one example.
        latency_us: predicted forward latency in microseconds.
    """

    blueprint_id: str
    run_id: str
    generation: int
    task_key: str
    engine_id: str
    result: "TaskResult"
    num_parameters: int
    flops: int
    latency_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """Evidence of one blueprint on one task.

    Attributes:
        task: the task's name.
        task_key: key of the task record.
        mean: mean test score over the recorded trainings; a training that failed counts as 0.
        std: their population standard deviation; 0 for a single one.
        low: the lowest score.
        high: the highest score.
        num_seeds: trainings recorded.
        num_ok: those whose status is `ok`.
    """

    task: str
    task_key: str
    mean: float
    std: float
    low: float
    high: float
    num_seeds: int
    num_ok: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProof:
    """A re-proved blueprint on one task, at the learning rate that did best on validation data.

    Attributes:
        task: the task's name.
        held_out: whether the search did not see it.
        factor: the learning rate, in multiples of the task's own.
        mean: mean normalised test score over fresh seeds: 0 at chance, 1 when perfect or for a failure 0.
        low: lower end of its 95 % interval (Student's t over the seeds), not below 0.
        high: upper end, not above 1.
        num_seeds: seeds at each learning rate.
        num_ok: trainings at this rate whose status is `ok`.
        reason: why the task refuses the blueprint; empty where it was trained.
        traits: of its representations, the mean over these seeds (hall_of_fame/traits.py); none where no
            representation is finite, and in proofs of before traits were taken.
    """

    task: str
    held_out: bool
    factor: float = 1.0
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    num_seeds: int = 0
    num_ok: int = 0
    reason: str = ""
    traits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A candidate trained again from seeds that no search uses, and whether it entered.

    Scores are the task term of the reward on the tasks of the search's stage, 0 at chance and 1 when perfect.

    Attributes:
        blueprint_id: the candidate.
        protocol: short hash of `settings`; numbers compare under equal ones.
        settings: everything that decides the trainings and the verdict beside the blueprint.
        run_id: the run that it was selected from.
        generation: the last generation of that run when it was selected.
        created: ISO 8601 time of the proof, in UTC.
        rank: its place by reward in that run and stage, from 1, when it was selected.
        search_score: its score in the search then.
        search_trainings: trainings behind that.
        mean: mean over the fresh seeds at the best learning rate of each task.
        low: lower end of its 95 % interval (Student's t over the seeds), not below 0.
        high: upper end, not above 1.
        mean_as_searched: the mean at the learning rates of the search, which shows selection alone.
        floor: score of the identity under the same protocol.
        verdict: `entered` or `refused`.
        reason: why it was refused, or what else there is to say.
        nearest: the entrant whose representations were most alike; absent where there was none to compare.
        similarity: likeness with it; in proofs of version 1 debiased CKA.
        supersedes: entrants that left for it.
        tasks: evidence by task, those of the search first, then the held-out ones, which only entrants sit.
    """

    blueprint_id: str
    protocol: str
    settings: Mapping[str, Any]
    run_id: str
    generation: int
    created: str
    rank: int
    search_score: float
    search_trainings: int
    mean: float
    low: float
    high: float
    mean_as_searched: float
    floor: float
    verdict: Literal["entered", "refused"]
    reason: str = ""
    nearest: str | None = None
    similarity: float | None = None
    supersedes: tuple[str, ...] = ()
    tasks: tuple[TaskProof, ...] = ()

    @property
    def shrinkage(self) -> float:
        """What of the search's score did not come back; below 0 where more did."""
        return self.search_score - self.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a blueprint stands in the library.

    Attributes:
        status: `entrant` once proved and admitted, `refused` once proved and not, or superseded; else
            `candidate`.
        reason: why it is refused.
        proof: the proof that decided, the newest; absent for a candidate.
    """

    status: Status = "candidate"
    reason: str = ""
    proof: Proof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a blueprint came from, beside the run and generation of its entry.

    Attributes:
        strategy: the strategy of the run that first brought it; empty where the run does not say.
        parents: ids that it was made from; see `CandidateRecord`.
    """

    strategy: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One of the best of a run and stage by reward.

    Attributes:
        blueprint_id: its id.
        rank: its place by reward, from 1.
        reward: its best reward in the stage.
        is_proved: whether it has a proof under the protocol asked about.
    """

    blueprint_id: str
    rank: int
    reward: float
    is_proved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One blueprint of the hall of fame.

    Attributes:
        rank: its place in the view, from 1; 0 outside of one.
        id: canonical hash.
        tokens: the program that first brought it.
        language_version: version hash of the language that parsed it.
        performance: mean over the view's tasks, by their weights, of the mean over trainings of the score,
            scaled so that chance and below is 0 and perfect 1, times the least share of a gate, as in the
            reward; a task without evidence counts as 0. The view is ordered by it; ties go to fewer
            parameters.
        reward: the best reward that a candidate of this id was given; a repeated one is given less.
        num_parameters: trainable scalars.
        flops: forward FLOPs of one example of the longest task seen.
        latency_us: mean predicted forward latency in microseconds; absent when never predicted.
        measured: measured forward latencies, by device and width; none before it was measured.
        tasks: evidence for each task, in the order of the task keys.
        num_evaluations: trainings recorded on the view's tasks.
        run_id: the run that brought it.
        generation: the generation of that run.
        standing: whether it has entered, and its proof; known to the library, and a candidate's elsewhere.
        lineage: how it came about; known to the library alone likewise.
    """

    rank: int = 0
    id: str
    tokens: tuple[str, ...]
    language_version: str
    performance: float
    reward: float | None
    num_parameters: int | None
    flops: int | None
    latency_us: float | None
    tasks: tuple[TaskScore, ...]
    num_evaluations: int
    run_id: str
    generation: int
    measured: tuple["MeasuredLatency", ...] = ()
    standing: Standing = field(default_factory=Standing)
    lineage: Lineage = field(default_factory=Lineage)

    @property
    def score(self) -> float:
        """The proof's mean where there is one, else the performance in the search."""
        proof = self.standing.proof
        return self.performance if proof is None else proof.mean

    @property
    def scores(self) -> dict[str, float]:
        """The mean score by task name; by task key where one name has several settings."""
        names = [score.task for score in self.tasks]
        return {s.task if names.count(s.task) == 1 else s.task_key: s.mean for s in self.tasks}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the drawing with the evidence."""
        return entry_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The hall of fame at one moment, fixed for a generation.

    Attributes:
        entries: best first, unique by isomorphism.
        fingerprints: by task name, then blueprint id: `[probes, D]` float32, where one is recorded.
    """

    entries: tuple[Entry, ...] = ()
    fingerprints: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the entries."""
        return frozenset(entry.id for entry in self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows the ledger holds.

    Attributes:
        runs: runs started.
        generations: generations committed.
        candidates: programs proposed.
        blueprints: distinct blueprints.
        evaluations: trainings.
        ok: trainings whose status is `ok`.
    """

    runs: int
    generations: int
    candidates: int
    blueprints: int
    evaluations: int
    ok: int
