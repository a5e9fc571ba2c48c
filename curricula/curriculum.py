"""The order of stages, what opens the next one and what leads back; leaves evaluating to the Crucible."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from statistics import fmean
from typing import Any

from curricula.task import Task, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a curriculum: the task that it adds.

    Attributes:
        name: what curves and ledger call it.
        task: the stage's newest task, by which promotion is decided.
        weight: of the task in the reward's mean over tasks; 0 for a gate, which adds nothing to the mean but
            is a factor of it: 1 for who solves the task, 0 for who is at chance.
    """

    name: str
    task: Task
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """Where a run stands; plain numbers, so that a checkpoint can hold it.

    Attributes:
        stage: index of the current stage.
        num_generations: generations judged in this stage so far.
        solve_rates: on the newest task, of each of the stage's last `window` generations, oldest first.
        earlier_rates: likewise on each earlier task, a row a generation; fewer rows in a checkpoint of before
            they were kept.
    """

    stage: int = 0
    num_generations: int = 0
    solve_rates: tuple[float, ...] = ()
    earlier_rates: tuple[tuple[float, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StageState":
        """Return the state that `to_dict` wrote, today or before earlier tasks were watched."""
        rows = tuple(tuple(row) for row in data.get("earlier_rates", ()))
        return cls(**{**data, "solve_rates": tuple(data["solve_rates"]), "earlier_rates": rows})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one generation meant for the curriculum: every number that its criteria looked at.

    Attributes:
        stage: index of the stage in which the generation was judged.
        stage_name: its name.
        stage_generation: how many generations the stage has now had.
        num_valid: valid programs of the generation.
        num_solved: those of them that solved the stage's newest task.
        solve_rate: `num_solved / num_valid`; 0 when none was valid.
        window_rate: mean solve rate over the window, which the criterion of promotion compares.
        reliable: whether that is met: enough generations, a full window and a high enough rate.
        promoted: whether the next stage opens; false in the last stage, however reliable, and where an
            earlier one is forgotten.
        earlier_rates: mean solve rate over the window of each earlier task, which that of demotion compares.
        forgotten: name of the first earlier stage whose rate is too low, to which the run goes back; else
            empty.
    """

    stage: int
    stage_name: str
    stage_generation: int
    num_valid: int
    num_solved: int
    solve_rate: float
    window_rate: float
    reliable: bool
    promoted: bool
    earlier_rates: tuple[float, ...] = ()
    forgotten: str = ""

    @property
    def demoted(self) -> bool:
        """Whether the run goes back to an earlier stage."""
        return bool(self.forgotten)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """Stages in order. Stage k is judged on the tasks of stages 0 to k: earlier ones stay in the reward.

    A stage is passed once it has had `min_generations` generations and, on average over its last `window`
    generations, at least `promotion_rate` of the valid programs solved its newest task.

    An earlier stage is forgotten when, after as many generations and over the same window, fewer than
    `demotion_rate` of them solve its task. The run then goes back to it, to the first where there are
    several, and climbs again from there. A stage that was entered counts its generations anew, and the rate
    that leads back lies below the one that leads on, so that a run does not swing between two stages.

    Attributes:
        stages: at least one, each with a task of its own name.
        min_generations: least number of generations in a stage.
        promotion_rate: least share of valid programs that solve the newest task.
        window: generations over which shares are averaged.
        demotion_share: of the promotion rate, the share that each earlier task must keep; below 1, and 0 for
            never going back.
    """

    stages: tuple[Stage, ...]
    min_generations: int = 3
    promotion_rate: float = 0.6
    window: int = 2
    demotion_share: float = 0.5

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        tasks = [stage.task.name for stage in self.stages]
        if not names or len(set(names)) < len(names) or len(set(tasks)) < len(tasks):
            raise TaskError(f"stages {names} with tasks {tasks}; expected at least one, no name twice")
        if self.min_generations < 1 or self.window < 1:
            raise TaskError("min_generations and window; expected at least 1 each")
        if not 0 < self.promotion_rate <= 1:
            raise TaskError(f"promotion_rate = {self.promotion_rate}; expected above 0 and at most 1")
        if not 0 <= self.demotion_share < 1:
            raise TaskError(f"demotion_share = {self.demotion_share}; expected at least 0 and below 1")
        for stage in self.stages:
            if not 0 <= stage.weight < inf:
                raise TaskError(f"weight of {stage.name} = {stage.weight}; expected a number of at least 0")

    @property
    def demotion_rate(self) -> float:
        """Share of valid programs solving an earlier task under which it counts as forgotten."""
        return self.demotion_share * self.promotion_rate

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every task by its name."""
        return {stage.task.name: stage.weight for stage in self.stages}

    def tasks(self, stage: int) -> tuple[Task, ...]:
        """Return the tasks on which candidates are judged in `stage`, the newest last."""
        return tuple(entry.task for entry in self.stages[: stage + 1])

    def is_last(self, stage: int) -> bool:
        """Say whether no stage follows."""
        return stage == len(self.stages) - 1

    def observe(
        self, state: StageState, *, num_valid: int, num_solved: Sequence[int]
    ) -> tuple[StageState, StageReport]:
        """Count one generation and return the state for the next one, with the record to log.

        `num_solved` counts, for each task of the stage, the newest last, the valid programs whose score
        reached its solved threshold.
        """
        assert len(num_solved) == state.stage + 1, f"{num_solved} solved in stage {state.stage}"
        assert all(0 <= num <= num_valid for num in num_solved), f"{num_solved} solved of {num_valid} valid"
        *earlier, solve_rate = (num / num_valid if num_valid else 0.0 for num in num_solved)
        after = replace(
            state,
            num_generations=state.num_generations + 1,
            solve_rates=(*state.solve_rates, solve_rate)[-self.window :],
            earlier_rates=(*state.earlier_rates, tuple(earlier))[-self.window :],
        )
        window_rate = sum(after.solve_rates) / len(after.solve_rates)
        reliable = self._is_settled(after, after.solve_rates) and window_rate >= self.promotion_rate
        earlier_rates = tuple(fmean(rates) for rates in zip(*after.earlier_rates, strict=True))
        forgotten = self._forgotten(earlier_rates) if self._is_settled(after, after.earlier_rates) else None
        promoted = reliable and forgotten is None and not self.is_last(state.stage)
        report = StageReport(
            stage=state.stage,
            stage_name=self.stages[state.stage].name,
            stage_generation=after.num_generations,
            num_valid=num_valid,
            num_solved=num_solved[-1],
            solve_rate=solve_rate,
            window_rate=window_rate,
            reliable=reliable,
            promoted=promoted,
            earlier_rates=earlier_rates,
            forgotten="" if forgotten is None else self.stages[forgotten].name,
        )
        if forgotten is not None:
            return StageState(stage=forgotten), report
        return (StageState(stage=state.stage + 1) if promoted else after), report

    def _is_settled(self, state: StageState, window: Sequence[Any]) -> bool:
        """Say whether the stage had enough generations, and the window as many as it averages."""
        return state.num_generations >= self.min_generations and len(window) == self.window

    def _forgotten(self, rates: Sequence[float]) -> int | None:
        """Return the first earlier stage whose rate is too low."""
        return next((i for i, rate in enumerate(rates) if rate < self.demotion_rate), None)
