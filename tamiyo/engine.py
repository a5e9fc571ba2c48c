"""The loop, generation by generation: ask, judge, tell, record; read this file first.

    Strategy.ask -> Judge.judge -> Strategy.tell -> Curriculum.observe -> checkpoint -> commit_generation

Between telling and observing, entrants of the hall of fame are timed, and after some generations the best are
proved with fresh seeds; no reward depends on either.
A generation exists once its transaction is committed: the checkpoint is written just before, the line of
metrics just after, and a resumed run starts from the last committed generation whatever stopped the process.
`record_s` is the checkpoint's time: the commit itself cannot be part of the metrics that it commits, so
`commit_s` is what the generation before took for it.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from architect.strategy import Program, Strategy
from architect.token_space import TokenSpace, names
from crucible.evaluation import MeasuredLatency
from curricula.curriculum import Curriculum, StageState
from curricula.task import Task
from hall_of_fame.records import CandidateRecord, Entry
from hall_of_fame.store import Store
from tamiyo.entrants import SHARE, Entrants
from tamiyo.judging import Judge, Judgement, Verdict
from tamiyo.metrics import generation_metrics, num_solved, task_score
from tamiyo.reproving import Reprover
from tamiyo.runs import RunFolder

#: Distinct programs whose mean score is logged as the search's best so far.
BEST = 50


class Observer(Protocol):
    """Whoever watches the loop: the terminal, Weights & Biases."""

    def phase(self, generation: int, name: str, total: int = 0) -> None:
        """Hear that a phase begins, with the number of trainings in it."""
        ...

    def advance(self, done: int) -> None:
        """Hear that `done` more trainings ended."""
        ...

    def generation(self, metrics: dict[str, Any], best: Sequence[Entry]) -> None:
        """Hear that a generation is committed; `best` is the hall of fame, best first."""
        ...


@dataclass(kw_only=True)
class LoopState:
    """What the loop itself carries from one generation to the next, besides the strategy's own state.

    Attributes:
        generation: number of the next generation.
        stage: where the curriculum stands.
        evaluations: trainings so far.
        best_reward: highest reward so far.
        best_scores: for each task, the mean scores of the best distinct programs, when first trained on it.
    """

    generation: int = 0
    stage: StageState = field(default_factory=StageState)
    evaluations: int = 0
    best_reward: float = float("-inf")
    best_scores: dict[str, list[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; `from_dict` is its inverse."""
        return {**asdict(self), "stage": self.stage.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "LoopState":
        """Return the state that `to_dict` wrote."""
        return cls(**{**data, "stage": StageState.from_dict(data["stage"])})


@dataclass(kw_only=True)
class Engine:
    """Composes the floors into a run.

    Attributes:
        strategy: who proposes.
        space: what its programs are written in.
        judge: who judges.
        entrants: who measures the latency of what the hall of fame holds.
        curriculum: on what.
        store: where every generation is committed.
        folder: the run's files.
        run_id: the run's name in the store.
        batch_size: candidates a generation.
        hall_of_fame_size: entries of the view shown to observers.
        observer: who watches.
        reprover: who proves the best.
        prove_every: generations between provings; there is one at the end too.
        prove_share: trainings that proofs may take, as a share of the search's.
        state: where the loop stands.
        should_stop: set from outside (by Ctrl-C) to end after the generation in flight.
    """

    strategy: Strategy
    space: TokenSpace
    judge: Judge
    entrants: Entrants
    curriculum: Curriculum
    store: Store
    folder: RunFolder
    run_id: str
    batch_size: int
    hall_of_fame_size: int
    observer: Observer
    reprover: Reprover
    prove_every: int
    prove_share: float
    state: LoopState = field(default_factory=LoopState)
    should_stop: bool = False
    _commit_s: float = field(default=0.0, init=False)

    def run(self, generations: int) -> None:
        """Run generations until `generations` are committed in all, or until asked to stop."""
        self._prove(generations)
        while self.state.generation < generations and not self.should_stop:
            self.step()
            self._prove(generations)

    def step(self) -> dict[str, Any]:
        """Run, record and return the metrics of one generation."""
        start = time.perf_counter()
        state = self.state
        tasks = self.curriculum.tasks(state.stage.stage)
        self.observer.phase(state.generation, "sample")
        programs = self.strategy.ask(self.batch_size)
        parents = self._parents(len(programs))
        sampled = time.perf_counter()
        judgement = self._judge(programs, tasks)
        judged = time.perf_counter()
        self.observer.phase(state.generation, "update")
        learned = self.strategy.tell(programs, [v.reward.total for v in judgement.verdicts])
        updated = time.perf_counter()
        self.observer.phase(state.generation, "measure")
        latencies = self.entrants.measure(judgement.snapshot.entries, SHARE * (updated - start))
        seconds = {
            "sample_s": sampled - start,
            **{f"{name}_s": value for name, value in judgement.seconds.items()},
            "update_s": updated - judged,
            "measure_s": time.perf_counter() - updated,
        }
        metrics = self._metrics(judgement, tasks, learned, seconds)
        metrics |= self._observe(judgement, tasks)
        self._record(judgement, tasks, metrics, latencies, parents, start)
        return metrics

    def best(self, num: int) -> list[Entry]:
        """Return the best entries of the run so far, each with its measured latency on record."""
        entries = self.store.top(num, run_id=self.run_id)
        latencies = self.entrants.measure(entries)
        if not latencies:
            return entries
        self.store.add_latencies(self.run_id, self.state.generation - 1, latencies)
        return self.store.top(num, run_id=self.run_id)

    def _prove(self, generations: int) -> None:
        """Prove the best of the run on its last stage's tasks, when it is time and as far as its share goes.

        What is due follows from the ledger alone, so a run that was stopped meanwhile makes up for it.
        """
        done = self.state.generation
        last = self.store.last_generation(self.run_id)
        if last is None or (done != generations and done % self.prove_every):
            return
        stage = [stage.name for stage in self.curriculum.stages].index(last.stage)
        tasks = self.curriculum.tasks(stage)
        cost, most = self.reprover.cost(tasks), self.prove_share * self.state.evaluations
        for candidate in self.reprover.selected(tasks):
            if self.should_stop or self.reprover.book.num_trainings(self.run_id) + cost > most:
                return
            if not candidate.is_proved:
                self.observer.phase(last.generation, "prove", cost)
                self.reprover.prove(candidate, tasks, last.generation, self.observer.advance)

    def _parents(self, num: int) -> list[tuple[str, ...]]:
        """Return the ids of the blueprints that each of the `num` programs last asked for was made from."""
        made_from = self.strategy.parents or [()] * num
        tokens = {parent: names(self.space, parent) for parents in made_from for parent in parents}
        ids = self.judge.ids(tokens.values())
        return [tuple(ids[tokens[p]] for p in parents if tokens[p] in ids) for parents in made_from]

    def _judge(self, programs: Sequence[Program], tasks: Sequence[Task]) -> Judgement:
        return self.judge.judge(
            [names(self.space, program) for program in programs],
            tasks,
            begin=lambda num: self.observer.phase(self.state.generation, "evaluate", num),
            progress=self.observer.advance,
        )

    def _metrics(
        self,
        judgement: Judgement,
        tasks: Sequence[Task],
        learned: dict[str, float],
        seconds: dict[str, float],
    ) -> dict[str, Any]:
        state = self.state
        own, weights = generation_metrics(judgement, tasks), self.curriculum.weights
        state.evaluations += own["evaluations"]
        state.best_reward = max(state.best_reward, own["reward_best"])
        return {
            "generation": state.generation,
            "evaluations": own["evaluations"],
            "evaluations_total": state.evaluations,
            "stage": self.curriculum.stages[state.stage.stage].name,
            **own,
            "best_so_far": state.best_reward,
            **self._best_metrics(judgement, tasks),
            **{f"weight_{task.name}": weight for task in tasks if (weight := weights[task.name]) != 1},
            "hall_of_fame_size": len(judgement.snapshot.entries),
            "entropy": own["token_entropy"],
            **learned,
            **seconds,
            "blueprints_per_s": len(judgement.trained) / max(seconds["evaluate_s"], 1e-9),
        }

    def _best_metrics(self, judgement: Judgement, tasks: Sequence[Task]) -> dict[str, float]:
        """Return, for each task, the mean score of the best distinct programs so far, as first measured."""
        metrics = {}
        for task in tasks:
            new = [
                task_score(verdict.evaluation, task)
                for verdict in judgement.verdicts
                if task.name in verdict.novel_tasks and verdict.evaluation is not None
            ]
            best = sorted([*self.state.best_scores.get(task.name, []), *new], reverse=True)[:BEST]
            self.state.best_scores[task.name] = best
            if best:
                metrics[f"best{BEST}_{task.name}_mean"] = sum(best) / len(best)
        return metrics

    def _observe(self, judgement: Judgement, tasks: Sequence[Task]) -> dict[str, Any]:
        """Count the generation for the curriculum; return the numbers its criteria looked at."""
        num_valid, *solved = num_solved(judgement, *tasks)
        self.state.stage, report = self.curriculum.observe(
            self.state.stage, num_valid=num_valid, num_solved=solved
        )
        return {
            "stage_generation": report.stage_generation,
            "stage_solve_rate": report.solve_rate,
            "stage_window_rate": report.window_rate,
            "stage_promoted": report.promoted,
            **({"stage_earlier_rate": min(report.earlier_rates)} if report.earlier_rates else {}),
            "stage_demoted": report.demoted,
            "stage_forgotten": report.forgotten,
        }

    def _record(
        self,
        judgement: Judgement,
        tasks: Sequence[Task],
        metrics: dict[str, Any],
        latencies: dict[str, MeasuredLatency],
        parents: Sequence[tuple[str, ...]],
        start: float,
    ) -> None:
        """Write the checkpoint, commit the generation, then tell everyone else."""
        generation = self.state.generation
        self.observer.phase(generation, "record")
        self.state.generation += 1
        begun = time.perf_counter()
        checkpoint = self.folder.save_checkpoint(
            generation, {"loop": self.state.to_dict(), "strategy": self.strategy.state_dict()}
        )
        prepared = time.perf_counter()
        metrics["record_s"] = prepared - begun
        metrics["commit_s"] = self._commit_s
        metrics["generation_s"] = prepared - start
        valid = [v.blueprint for v in judgement.verdicts if v.blueprint is not None]
        self.store.commit_generation(
            self.run_id,
            generation,
            stage=metrics["stage"],
            metrics=metrics,
            candidates=[_candidate(i, verdict, parents[i]) for i, verdict in enumerate(judgement.verdicts)],
            blueprints=valid,
            evaluations=judgement.trained,
            tasks=self.judge.task_records(tasks),
            checkpoint=checkpoint,
            max_fingerprints=4 * self.hall_of_fame_size,
        )
        self.store.add_latencies(self.run_id, generation, latencies)
        self._commit_s = time.perf_counter() - prepared
        self.folder.append_metrics(metrics)
        self.observer.generation(metrics, judgement.snapshot.entries)


def _candidate(position: int, verdict: Verdict, parents: tuple[str, ...]) -> CandidateRecord:
    return CandidateRecord(
        position=position,
        tokens=verdict.tokens,
        blueprint_id=None if verdict.blueprint is None else verdict.blueprint.id,
        status="rejected" if verdict.blueprint is None else verdict.reward.status,
        rule=verdict.rule,
        reward=verdict.reward.total,
        terms={} if verdict.reward.terms is None else asdict(verdict.reward.terms),
        parents=parents,
    )
