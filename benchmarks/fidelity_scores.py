"""From trainings on disk to scores by blueprint and seed: definitions of the quick score, and the long one.

Axes: N blueprints, S seeds, C choices of some of the seeds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType

import numpy as np
import torch

from benchmarks.fidelity_plan import DEFAULT, LONG, QUICK, SAMPLES, Setting, counted, is_once, tasks_of
from curricula.heads import HEADS, IGNORED
from curricula.suites import task_named
from curricula.task import Task

#: Choices of seeds over which a figure about one seed, or the mean of several, is averaged.
NUM_CHOICES = 12
#: Standard errors of an accuracy on the test split under which a score counts as the floor.
NOISE = 2.0
#: Most that a loss counts, as a multiple of that of the best constant answer.
WORST = 3.0
_SEED = 0x5345


@dataclass(frozen=True)
class View:
    """The trainings of some blueprints on one task.

    Attributes:
        task: its name.
        ids: (sample, blueprint id) of N blueprints.
        rows: line by (sample, setting, seed, blueprint id).
    """

    task: str
    ids: tuple[tuple[str, str], ...]
    rows: Mapping[tuple[str, str, int, str], Mapping]

    def has(self, setting: Setting) -> bool:
        """Say whether every blueprint has all trainings of a setting."""
        pairs = ((pair, seed) for pair in self.ids for seed in setting.seeds)
        return all((sample, setting.name, seed, id_) in self.rows for (sample, id_), seed in pairs)

    def column(self, setting: Setting, seed: int, field: str) -> np.ndarray:
        """Return one field `[N]`; NaN where it holds no number or the training failed."""
        values = []
        for sample, id_ in self.ids:
            row = self.rows[sample, setting.name, seed, id_]
            values.append(row[field] if row["status"] == "ok" and row[field] is not None else np.nan)
        return np.array(values, np.float64)

    def normalised(self, setting: Setting, seed: int, field: str = "score") -> np.ndarray:
        """Return a score `[N]` between 0 at chance and 1, as the reward has it; 0 where it failed."""
        return normalised(task_named(self.task), self.column(setting, seed, field))

    @cached_property
    def long_by_rate(self) -> tuple[np.ndarray, np.ndarray]:
        """Normalised validation and test scores `[rates, S, N]` of the long trainings."""
        fields = ("validation_score", "score")
        validation, test = (
            np.array([[self.normalised(setting, s, field) for s in setting.seeds] for setting in LONG])
            for field in fields
        )
        return validation, test

    def long(self, seeds: slice = slice(None)) -> np.ndarray:
        """Return the long score `[N]`: each blueprint's test score at its best rate on validation."""
        validation, test = (values[:, seeds].mean(1) for values in self.long_by_rate)
        return test[validation.argmax(0), np.arange(len(self.ids))]

    @property
    def best_rates(self) -> np.ndarray:
        """Index `[N]` of the learning rate that each blueprint's long score was measured at."""
        return self.long_by_rate[0].mean(1).argmax(0)


def normalised(task: Task, score_N: np.ndarray) -> np.ndarray:
    """Return scores `[N]` as `task.normalised` maps them; what is no number is worth nothing."""
    return np.array([0.0 if np.isnan(score) else task.normalised(score) for score in score_N.tolist()])


@cache
def chance_loss(task: Task, seed: int) -> float:
    """Return the training loss of the best constant answer: labels' entropy, or the targets' variance."""
    targets = task.splits(seed).train.targets
    if HEADS[task.head].loss == "mse":
        flat = targets.flatten(0, -2).double()
        return float((flat - flat.nanmean(0)).square().nanmean())
    share_K = targets[targets != IGNORED].bincount().double()
    return float(torch.special.entr(share_K / share_K.sum()).sum())


def tells_classes(task: Task) -> bool:
    """Say whether the logits of a whole example are read out, so that they can be kept."""
    return task.head == "pooled_cross_entropy"


@dataclass(frozen=True, slots=True)
class Definition:
    """A way to score.

    Attributes:
        of: from a view, a setting and a seed to a score `[N]` of every blueprint.
        misfit: why it makes no sense of a task, or nothing.
    """

    of: Callable[[View, Setting, int], np.ndarray]
    misfit: Callable[[Task], str] = lambda task: ""


def _without_classes(task: Task) -> str:
    if tells_classes(task):
        return ""
    is_accuracy = HEADS[task.head].loss == "cross_entropy"
    return "readouts of every step are not kept" if is_accuracy else "the score is a held-out loss already"


def _without_accuracy(reason: str) -> Callable[[Task], str]:
    return lambda task: "" if HEADS[task.head].loss == "cross_entropy" else reason


def _fresh(task: Task) -> str:
    return "a shorter training has other examples" if is_once(task) else ""


def _ungrafted(task: Task) -> str:
    return "" if task.is_graft else "nothing is grafted"


def default_score(view: View, setting: Setting, seed: int) -> np.ndarray:
    """The default: normalised score on the test split."""
    return view.normalised(setting, seed)


def both_splits(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Score over all examples of the test and the validation split."""
    task = task_named(view.task)
    test, validation = (view.column(setting, seed, name) for name in ("score", "validation_score"))
    share = task.num_test / (task.num_test + task.num_validation)
    return normalised(task, share * test + (1 - share) * validation)


def above_noise(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Accuracy on the test split; what guessing could reach by luck counts as the floor."""
    task, score_N = task_named(view.task), view.normalised(setting, seed)
    luck = (task.chance / (1 - task.chance) / num_answers(task, seed)) ** 0.5
    return np.where(score_N > NOISE * luck, score_N, 0.0)


def num_answers(task: Task, seed: int) -> int:
    """Return how many labels count on the test split."""
    return int((task.splits(seed).test.targets != IGNORED).sum())


def probability(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean probability of the right class on the test split, normalised like an accuracy."""
    return view.normalised(setting, seed, "probability")


def cross_entropy(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean cross entropy on the test split, under that of guessing as a share of it."""
    return _below_guessing(view, seed, view.column(setting, seed, "test_loss"))


def gain(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Gain of a graft over the identity, below 0 where it is none, whatever became of the old question."""
    return np.nan_to_num(view.column(setting, seed, "gain"), nan=-1.0)


def training_loss(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Training loss of the last tenth of the steps, under that of guessing as a share of it."""
    return _below_guessing(view, seed, view.column(setting, seed, "loss_last"))


def loss_area(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Area under the training loss, by trapezoids through the start, a quarter, a half and the end."""
    start = view.column(setting, seed, "loss_first")
    points = [view.column(Setting(steps=s), seed, "loss_last") for s in (0.25, 0.5, 1.0)]
    quarter, half, end = points
    return _below_guessing(view, seed, (start + quarter) / 8 + (quarter + half) / 8 + (half + end) / 4)


def solved_first(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Accuracy; among equals the one whose training loss was solved earlier is better."""
    num_steps = view.column(setting, seed, "num_steps")
    solved = np.nan_to_num(view.column(setting, seed, "solved_step"), nan=np.inf)
    earliness = 1 - np.minimum(solved / np.where(num_steps > 0, num_steps, 1), 1.0)
    return view.normalised(setting, seed) + np.nan_to_num(earliness) / num_answers(
        task_named(view.task), seed
    )


def along_the_way(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean score of the examinations at a quarter, a half and the end of one training."""
    return np.mean([view.normalised(Setting(steps=s), seed) for s in (0.25, 0.5, 1.0)], axis=0)


def _below_guessing(view: View, seed: int, loss_N: np.ndarray) -> np.ndarray:
    share_N = loss_N / chance_loss(task_named(view.task), seed)
    return 1 - np.where(np.isfinite(share_N), np.minimum(share_N, WORST), WORST)


TEST_SCORE, PROBABILITY = "test score", "right-class probability"
DEFINITIONS: Mapping[str, Definition] = MappingProxyType(
    {
        TEST_SCORE: Definition(default_score),
        "test + validation score": Definition(both_splits),
        "accuracy above noise": Definition(above_noise, _without_accuracy("luck has no known size")),
        PROBABILITY: Definition(probability, _without_classes),
        "held-out cross entropy": Definition(cross_entropy, _without_classes),
        "gain, harm forgiven": Definition(gain, _ungrafted),
        "training loss": Definition(training_loss),
        "area under training loss": Definition(loss_area, _fresh),
        "accuracy, then solved step": Definition(solved_first, _without_accuracy("scores hardly ever tie")),
        "score along the way": Definition(along_the_way, _fresh),
    }
)


@dataclass(frozen=True, slots=True)
class Exam:
    """One task, or the task term that a suite's reward has, for the same N blueprints.

    Attributes:
        name: what tables call it.
        views: of the tasks that are in the mean.
        weights: theirs.
        gates: of the tasks that the mean is multiplied by, as far as the least passed of them is passed. They
            are judged by their scores, whatever the definition of the others is.
    """

    name: str
    views: tuple[View, ...]
    weights: tuple[float, ...]
    gates: tuple[View, ...] = ()

    def misfit(self, name: str) -> str:
        """Return why the definition of that name makes no sense of one of the tasks, or nothing."""
        reasons = (DEFINITIONS[name].misfit(task_named(view.task)) for view in self.views)
        return next((reason for reason in reasons if reason), "")

    def quick(self, setting: Setting = DEFAULT, definition: str = TEST_SCORE) -> np.ndarray:
        """Return the score `[N, S]` from each seed of a setting."""
        of = DEFINITIONS[definition].of
        scores = [np.stack([of(view, setting, s) for s in setting.seeds], 1) for view in self.views]
        gates = [np.stack([view.normalised(setting, s) for s in setting.seeds], 1) for view in self.gates]
        return self.mean(scores) * self._share(gates)

    def long(self, seeds: slice = slice(None)) -> np.ndarray:
        """Return the long score `[N]`."""
        return self.mean([view.long(seeds) for view in self.views]) * self._share(
            [view.long(seeds) for view in self.gates]
        )

    def mean(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return the weighted mean of what there is of each task that is no gate."""
        return np.average(values, axis=0, weights=self.weights)

    def _share(self, normalised: Sequence[np.ndarray]) -> np.ndarray:
        """Return how far the least passed gate is, from the normalised scores on each; 1 without gates."""
        shares = [
            np.vectorize(task_named(view.task).share_passed, otypes=[np.float64])(scores)
            for view, scores in zip(self.gates, normalised, strict=True)
        ]
        return np.min(shares, axis=0) if shares else np.ones(1)


def exams(rows: Iterable[Mapping], samples: Sequence[str], suite: str) -> list[Exam]:
    """Return an exam of each task that counts in a suite, then the suite's where that is another.

    They are of the blueprints that are complete on all of its tasks.
    """
    weights = counted(suite)
    by_task: dict[str, dict[tuple[str, str, int, str], Mapping]] = {task: {} for task in tasks_of(suite)}
    for row in rows:
        if row["task"] in by_task and row["sample"] in samples:
            key = row["sample"], row["setting"], row["seed"], row["blueprint"]
            by_task[row["task"]][key] = row
    first, *others = (_complete(found) for found in by_task.values())
    shared = tuple(key for key in first if all(key in other for other in others))
    if not shared:
        return []
    views = {task: View(task, shared, found) for task, found in by_task.items()}
    ranked, gates = (tuple(v for task, v in views.items() if (task in weights) == is_in) for is_in in (1, 0))
    result = [Exam(view.task, (view,), (1.0,)) for view in ranked]
    if len(views) > 1:
        result.append(Exam("+".join(views), ranked, tuple(weights.values()), gates))
    return result


def _complete(found: Mapping[tuple[str, str, int, str], Mapping]) -> tuple[tuple[str, str], ...]:
    """Return the blueprints with every quick and every long training, in the order of the lines."""
    names = {(setting.name, seed) for setting in (*QUICK, *LONG) for seed in setting.seeds}
    counts: dict[tuple[str, str], int] = {}
    for sample, setting, seed, id_ in found:
        counts[sample, id_] = counts.get((sample, id_), 0) + ((setting, seed) in names)
    order = {sample: i for i, sample in enumerate(SAMPLES)}
    whole = [key for key, count in counts.items() if count == len(names)]
    return tuple(sorted(whole, key=lambda key: order[key[0]]))


def choices(score_NS: np.ndarray, num: int, *, median: bool = False) -> tuple[np.ndarray, list]:
    """Return scores `[N, C]` of `num` seeds together, and pairs of such scores that share no seed.

    Where there are fewer than twice as many seeds, there are no pairs.
    """
    combine = np.median if median else np.mean
    num_seeds = score_NS.shape[1]
    rng = np.random.default_rng((_SEED, num_seeds, num))
    orders = [rng.permutation(num_seeds) for _ in range(NUM_CHOICES)]
    columns = [combine(score_NS[:, order[:num]], axis=1) for order in orders]
    pairs = []
    if 2 * num <= num_seeds:
        others = [combine(score_NS[:, order[num : 2 * num]], axis=1) for order in orders]
        pairs = list(zip(columns, others, strict=True))
    return np.stack(columns, axis=1), pairs
