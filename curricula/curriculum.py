"""The order of stages and the criterion that opens the next one; leaves evaluating to the Crucible."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from curricula.task import Task, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a curriculum: the task that it adds.

    Attributes:
        name: what curves and ledger call it.
        task: the stage's newest task, by which promotion is decided.
    """

    name: str
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """Where a run stands; plain numbers, so that a checkpoint can hold it.

    Attributes:
        stage: index of the current stage.
        num_generations: generations judged in this stage so far.
        solve_rates: of each of the stage's last `window` generations, oldest first.
    """

    stage: int = 0
    num_generations: int = 0
    solve_rates: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StageState":
        """Return the state that `to_dict` wrote."""
        return cls(**{**data, "solve_rates": tuple(data["solve_rates"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one generation meant for the curriculum: every number the promotion criterion looked at.

    Attributes:
        stage: index of the stage in which the generation was judged.
        stage_name: its name.
        stage_generation: how many generations the stage has now had.
        num_valid: valid programs of the generation.
        num_solved: those of them that solved the stage's newest task.
        solve_rate: `num_solved / num_valid`; 0 when none was valid.
        window_rate: mean solve rate over the window, which the criterion compares.
        reliable: whether the criterion is met: enough generations, a full window and a high enough rate.
        promoted: whether the next stage opens; false in the last stage, however reliable.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """Stages in order. Stage k is judged on the tasks of stages 0 to k: earlier ones stay in the reward.

    A stage is passed once it has had `min_generations` generations and, on average over its last `window`
    generations, at least `promotion_rate` of the valid programs solved its newest task.

    Attributes:
        stages: at least one, each with a task of its own name.
        min_generations: least number of generations in a stage.
        promotion_rate: least share of valid programs that solve the newest task.
        window: generations over which that share is averaged.
    """

    stages: tuple[Stage, ...]
    min_generations: int = 3
    promotion_rate: float = 0.6
    window: int = 2

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        tasks = [stage.task.name for stage in self.stages]
        if not names or len(set(names)) < len(names) or len(set(tasks)) < len(tasks):
            raise TaskError(f"stages {names} with tasks {tasks}; expected at least one, no name twice")
        if self.min_generations < 1 or self.window < 1:
            raise TaskError("min_generations and window; expected at least 1 each")
        if not 0 < self.promotion_rate <= 1:
            raise TaskError(f"promotion_rate = {self.promotion_rate}; expected above 0 and at most 1")

    def tasks(self, stage: int) -> tuple[Task, ...]:
        """Return the tasks on which candidates are judged in `stage`, the newest last."""
        return tuple(entry.task for entry in self.stages[: stage + 1])

    def is_last(self, stage: int) -> bool:
        """Say whether no stage follows."""
        return stage == len(self.stages) - 1

    def observe(
        self, state: StageState, *, num_valid: int, num_solved: int
    ) -> tuple[StageState, StageReport]:
        """Count one generation and return the state for the next one, with the record to log.

        `num_solved` counts the valid programs whose score on the newest task reached its solved threshold.
        """
        assert 0 <= num_solved <= num_valid, f"{num_solved} solved of {num_valid} valid"
        solve_rate = num_solved / num_valid if num_valid else 0.0
        after = replace(
            state,
            num_generations=state.num_generations + 1,
            solve_rates=(*state.solve_rates, solve_rate)[-self.window :],
        )
        window_rate = sum(after.solve_rates) / len(after.solve_rates)
        reliable = (
            after.num_generations >= self.min_generations
            and len(after.solve_rates) == self.window
            and window_rate >= self.promotion_rate
        )
        promoted = reliable and not self.is_last(state.stage)
        report = StageReport(
            stage=state.stage,
            stage_name=self.stages[state.stage].name,
            stage_generation=after.num_generations,
            num_valid=num_valid,
            num_solved=num_solved,
            solve_rate=solve_rate,
            window_rate=window_rate,
            reliable=reliable,
            promoted=promoted,
        )
        return (StageState(stage=state.stage + 1) if promoted else after), report
