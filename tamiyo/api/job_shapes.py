"""The shapes of jobs, as they are asked for and told of; computes nothing."""

from typing import Annotated

from pydantic import Field

from tamiyo.api.errors import ErrorBody
from tamiyo.api.programs import Program
from tamiyo.api.shapes import Shape
from tamiyo.jobs_records import (
    DEFAULT_SUITE,
    MAX_PROGRAMS,
    MAX_SEED,
    MAX_SEEDS,
    MAX_TASKS,
    SUITES,
    TASKS,
    State,
)


class EvaluationAsk(Shape):
    """Blueprints to train, on what, from which seeds, and for how long at most."""

    programs: Annotated[list[Program], Field(min_length=1, max_length=MAX_PROGRAMS)] = Field(
        description="each a text with tokens, or a list of tokens"
    )
    suite: str = Field(default=DEFAULT_SUITE, max_length=64, description=f"one of {', '.join(SUITES)}")
    stage: str = Field(
        default="", max_length=64, description="the suite's tasks up to this one; empty for all of them"
    )
    tasks: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MAX_TASKS)] = Field(
        default=[], description=f"instead of a suite: some of {', '.join(TASKS)}; each weighs 1"
    )
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_SEED)]], Field(min_length=1, max_length=MAX_SEEDS)
    ] = Field(default=[0, 1, 2], description="each blueprint is trained from each of them on each task")
    max_seconds: float = Field(
        default=120.0,
        gt=0,
        le=600,
        allow_inf_nan=False,
        description="deadline of the whole job once it runs",
    )


class TrainingShape(Shape):
    """One blueprint trained once: on one task, from one seed."""

    blueprint_id: str = Field(description="the blueprint")
    task: str = Field(description="the task")
    seed: int = Field(description="seed of data, initial parameters and batch order")
    status: str = Field(description="ok, rejected, diverged, timed_out, out_of_memory or crashed")
    reason: str = Field(description="one line more about a status that is not ok")
    score: float = Field(description="on the held-out test split, in [0, 1]; 0 when the status is not ok")
    validation_score: float = Field(description="the same on the validation split")
    num_steps: int | None = Field(description="optimiser steps that were taken")
    loss_first: float | None = Field(description="training loss of the first step, in nats")
    loss_last: float | None = Field(description="mean training loss of the last tenth of the steps")
    loss_late_std: float | None = Field(
        description="deviation of the loss over the last quarter of the steps"
    )
    solved_step: int | None = Field(
        description="first step after which the loss stays under the task's bound"
    )
    gradient_norm_mean: float | None = Field(description="mean global gradient norm, before clipping")
    gradient_norm_max: float | None = Field(description="its maximum")
    clipped_share: float | None = Field(description="share of steps whose gradient norm exceeded the clip")
    nonfinite_step: int | None = Field(description="step at which loss or gradient stopped being finite")
    gain: float | None = Field(description="of a graft: share of the host's loss that is gone")
    retention_rise: float | None = Field(description="of a graft: rise of the loss on the old question")
    rival_gain: float | None = Field(description="of a graft: gain of a perceptron of its size")


class ProgressShape(Shape):
    """How far one blueprint is on one task."""

    blueprint_id: str = Field(description="the blueprint")
    task: str = Field(description="the task")
    num_done: int = Field(description="trainings that ended")
    num_seeds: int = Field(description="trainings in all")
    mean: float | None = Field(description="mean score of those that ended; null before the first")


class ScoreShape(Shape):
    """Evidence of one blueprint on one task, over the seeds of the job."""

    task: str = Field(description="the task")
    mean: float = Field(description="mean test score; a training that failed counts as 0")
    std: float = Field(description="population standard deviation")
    low: float = Field(description="the lowest score")
    high: float = Field(description="the highest score")
    interval_low: float | None = Field(
        description="95 % interval of the mean (Student's t); null for one seed"
    )
    interval_high: float | None = Field(description="its upper end")
    num_seeds: int = Field(description="trainings")
    num_ok: int = Field(description="trainings that went well")
    chance: float = Field(description="score of always guessing")
    solved: float = Field(description="score from which the task counts as solved")


class TermsShape(Shape):
    """The terms of the reward, each in [0, 1], before weighing."""

    task: float = Field(description="weighted mean of normalised scores, times its gates")
    parameters: float = Field(description="a cost: parameters on a logarithmic scale")
    latency: float = Field(description="a cost: predicted latency, likewise")
    stability: float = Field(description="how calmly it trained")
    redundancy: float = Field(
        description="a cost: 1 where the library's best hold it, else likeness to the nearest of them"
    )


class LatencyShape(Shape):
    """A forward pass, measured beside one of a reference module."""

    device: str = Field(description="kind and model of the device")
    width: int = Field(description="D of the host")
    time: int = Field(description="steps")
    batch_size: int = Field(description="examples a pass")
    median_us: float = Field(description="median, in microseconds")
    spread_us: float = Field(description="interquartile range")
    reference_us: float = Field(description="median of the reference")
    ratio: float = Field(description="median ratio to the reference")
    repeats: int = Field(description="how many passes there were")


class ResultShape(Shape):
    """What a search would say of one blueprint, from the seeds of the job."""

    blueprint_id: str = Field(description="the blueprint")
    tokens: tuple[str, ...] = Field(description="as it was sent")
    status: str = Field(description="ok, or the first status that is not")
    reward: float = Field(description="the reward; -1 where a task refuses the blueprint")
    terms: TermsShape | None = Field(description="its terms; null where a task refuses the blueprint")
    tasks: tuple[ScoreShape, ...] = Field(description="evidence by task")
    num_parameters: int = Field(description="trainable scalars, host excluded")
    flops: int = Field(description="forward FLOPs of one example of the longest task")
    latency_us: float | None = Field(description="predicted forward latency in microseconds")
    measured: LatencyShape = Field(description="measured forward latency")


class JobRow(Shape):
    """A job in a list."""

    id: str = Field(description="its id")
    state: State = Field(description="queued and running go on; the others are ends")
    programs: tuple[tuple[str, ...], ...] = Field(description="the tokens of each blueprint")
    blueprint_ids: tuple[str, ...] = Field(description="their ids, in order")
    suite: str = Field(description="the suite; empty where tasks were named")
    tasks: tuple[str, ...] = Field(description="what is trained on, in order")
    seeds: tuple[int, ...] = Field(description="from which seeds")
    max_seconds: float = Field(description="deadline, from when it began to run")
    created: str = Field(description="ISO 8601 time when it was taken")
    started: str | None = Field(description="when it began to run")
    ended: str | None = Field(description="when it ended")
    place: int | None = Field(description="jobs before it in the queue; null unless it waits")
    num_trainings: int = Field(description="trainings in all")
    num_done: int = Field(description="trainings that ended")
    seconds_left: float | None = Field(description="expected time to its end; null while unknown")
    error: ErrorBody | None = Field(description="why it failed or was late")


class JobShape(JobRow):
    """A job with what came out so far."""

    engine_id: str = Field(description="engine, version and instruction set behind the numbers")
    progress: tuple[ProgressShape, ...] = Field(description="by blueprint and task, in order")
    trainings: tuple[TrainingShape, ...] = Field(description="in the order in which they ended")
    results: tuple[ResultShape, ...] = Field(description="of the blueprints whose trainings all ended")


class JobPage(Shape):
    """The jobs that are remembered, and what may be asked for."""

    rows: tuple[JobRow, ...] = Field(description="the newest first")
    is_on: bool = Field(description="whether this server takes jobs")
    suites: dict[str, tuple[str, ...]] = Field(description="every suite with its tasks in order")
    tasks: tuple[str, ...] = Field(description="every task")
    max_programs: int = Field(description="most programs of a job")
    max_seeds: int = Field(description="most seeds of a job")
    max_trainings: int = Field(description="most trainings of a job")
    max_seconds: float = Field(description="longest deadline")
    max_queued: int = Field(description="jobs that may wait")
