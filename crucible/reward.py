"""Reward: a pure function of five named terms, each in [0, 1]; leaves measuring the terms to others.

    total = task * T + stability * S - parameters * P - latency * L - redundancy * R

with the weights of `RewardWeights` and, as terms:

    T  mean over tasks of the mean over seeds of the normalised score (0 at chance, 1 when perfect), each task
       with its weight; times the least of the gates' shares. A gate is a task of weight 0 beside others that
       weigh something; its share is its mean over seeds in parts of what solves it, at most 1
    S  mean over results of (1 - clipped share) * (1 - late loss deviation / its bound), not below 0; of the
       steps that were taken, so a run that was stopped while its loss still fell is a little less calm. A
       gate asks whether, not how, so its results do not count here
    P  parameters, logarithmic between two bounds: 0 at or under the lower, 1 at or over the upper
    L  predicted latency, likewise; 0 where no latency table was given
    R  redundancy as handed in: 1 for a known blueprint, else similarity of representations

How a status is handled:

    invalid (no blueprint, no evaluation)        total = -1, no terms
    rejected (over a bound, or not for the head) total = -1, no terms, whatever the other results
    diverged, timed_out, out_of_memory, crashed  that result gives 0 to its task's mean and to S; all else
                                                 counts as ever, so half a success is worth half
    ok                                           as measured

Costs weigh less than 1 together, so every evaluated blueprint is worth more than an invalid program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from math import inf, isfinite, log
from types import MappingProxyType

from blueprints.errors import TamiyoError
from crucible.evaluation import Evaluation, Status, TaskResult
from curricula.task import Task
from curricula.weights import counted_weights, gates

#: Total of whatever is not a legal blueprint.
INVALID_REWARD = -1.0


class RewardError(TamiyoError):
    """Weights, bounds or an evaluation from which no reward can be computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardWeights:
    """What each term is worth.

    Attributes:
        task: of the exams. Everything else together is worth a quarter of it, so that no
            saving pays for an exam failed.
        parameters: of the parameter term, a cost.
        latency: of the latency term, a cost.
        stability: of the stability term.
        redundancy: of the redundancy term, a cost.
    """

    task: float = 1.0
    parameters: float = 0.05
    latency: float = 0.05
    stability: float = 0.05
    redundancy: float = 0.1

    def __post_init__(self) -> None:
        if not all(isfinite(weight) and weight >= 0 for weight in astuple(self)):
            raise RewardError(
                f"a reward weight is negative or not finite: {asdict(self)}; expected at least 0 each"
            )
        if self.parameters + self.latency + self.redundancy >= -INVALID_REWARD:
            raise RewardError(
                "the weights of parameters, latency and redundancy sum to 1 or more: a blueprint could then "
                "be worth no more than an invalid program; lower them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBounds:
    """Where the scales of the terms begin and end.

    Attributes:
        parameters: numbers of parameters with term 0 and term 1.
        latency_us: latencies with term 0 and term 1.
        loss_late_std: deviation of the late training loss, in nats, at which a run counts as restless.
    """

    parameters: tuple[float, float] = (100.0, 100_000.0)
    latency_us: tuple[float, float] = (10.0, 10_000.0)
    loss_late_std: float = 0.2

    def __post_init__(self) -> None:
        for name, (low, high) in (("parameters", self.parameters), ("latency_us", self.latency_us)):
            if not 0 < low < high < inf:
                raise RewardError(f"bounds of {name} are {low} and {high}; expected finite 0 < lower < upper")
        if not 0 < self.loss_late_std < inf:
            raise RewardError(
                f"bound of loss_late_std is {self.loss_late_std}; expected a finite number above 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTerms:
    """The five terms of one blueprint, each in [0, 1], before weighing; see the file's docstring."""

    task: float
    parameters: float
    latency: float
    stability: float
    redundancy: float

    def __post_init__(self) -> None:
        assert all(0.0 <= term <= 1.0 for term in astuple(self)), f"a term left [0, 1]: {self}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardBreakdown:
    """A reward and where it comes from.

    Attributes:
        total: what the strategy is told.
        terms: the five terms; absent where nothing was trained.
        status: status of the evaluation, or `invalid`.
    """

    total: float
    terms: RewardTerms | None = field(default=None)
    status: Status | str = "ok"


#: The reward of a program that is not a blueprint.
INVALID = RewardBreakdown(total=INVALID_REWARD, status="invalid")


def reward(
    evaluation: Evaluation,
    tasks: Sequence[Task],
    *,
    redundancy: float,
    weights: RewardWeights = RewardWeights(),
    bounds: RewardBounds = RewardBounds(),
    task_weights: Mapping[str, float] = MappingProxyType({}),
) -> RewardBreakdown:
    """Return the reward of one evaluated blueprint on `tasks`; its results on other tasks are ignored.

    `task_weights` are by name, 1 where there is none; among tasks that all weigh 0 each counts alike.
    """
    names = [task.name for task in tasks]
    if any(result.status == "rejected" and result.task in names for result in evaluation.results):
        return RewardBreakdown(total=INVALID_REWARD, status="rejected")
    results = {task: _results_on(task, evaluation) for task in tasks}
    means = {task: _mean([_normalised(task, result) for result in of]) for task, of in results.items()}
    gated = gates(names, task_weights)
    ranked = [result for task, of in results.items() if task.name not in gated for result in of]
    terms = RewardTerms(
        task=task_term(means, task_weights),
        parameters=log_scale(evaluation.num_parameters, bounds.parameters),
        latency=0.0 if evaluation.latency_us is None else log_scale(evaluation.latency_us, bounds.latency_us),
        stability=_mean([stability(result, bounds) for result in ranked]),
        redundancy=redundancy,
    )
    return RewardBreakdown(total=weigh(terms, weights), terms=terms, status=evaluation.status)


def task_term(means: Mapping[Task, float], task_weights: Mapping[str, float]) -> float:
    """Return the term T of a blueprint from its mean normalised score on each task; weights are by name.

    That is the weighted mean over the tasks that weigh something, times the least share of a gate.
    """
    names = [task.name for task in means]
    weights, gated = counted_weights(names, task_weights), gates(names, task_weights)
    total = sum(mean * weights[task.name] for task, mean in means.items())
    mean = min(1.0, total / sum(weights.values()))  # by rounding alone it could be more
    return mean * min((task.share_passed(means[task]) for task in means if task.name in gated), default=1.0)


def weigh(terms: RewardTerms, weights: RewardWeights) -> float:
    """Return the weighted total of the terms."""
    gain = weights.task * terms.task + weights.stability * terms.stability
    cost = (
        weights.parameters * terms.parameters
        + weights.latency * terms.latency
        + weights.redundancy * terms.redundancy
    )
    return gain - cost


def log_scale(value: float, bounds: tuple[float, float]) -> float:
    """Return where `value` lies between the bounds on a logarithmic scale, clipped to [0, 1]."""
    low, high = bounds
    return log(min(max(value, low), high) / low) / log(high / low)


def stability(result: TaskResult, bounds: RewardBounds) -> float:
    """Return how calmly a run trained: 1 for never clipped and a still late loss, 0 for one that failed."""
    if result.status != "ok" or result.nonfinite_step is not None:
        return 0.0
    restlessness = result.loss_late_std / bounds.loss_late_std
    calm = 1.0 - restlessness if restlessness < 1.0 else 0.0  # a missing deviation (NaN) is not calm
    return (1.0 - result.clipped_share) * calm


def _results_on(task: Task, evaluation: Evaluation) -> list[TaskResult]:
    results = [result for result in evaluation.results if result.task == task.name]
    if not results:
        raise RewardError(f"blueprint {evaluation.blueprint_id} has no result on task '{task.name}'")
    return results


def _normalised(task: Task, result: TaskResult) -> float:
    return task.normalised(result.score) if result.status == "ok" else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
