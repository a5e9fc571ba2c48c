"""From trainings on disk to scores by blueprint and seed: definitions of the quick score, and the long one.

Axes: N blueprints, S seeds, C choices of some of the seeds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.fidelity_plan import DEFAULT, LONG, QUICK, SAMPLES, Setting
from curricula.suites import task_named

#: The curriculum of the default run, whose mean normalised score is the reward's first term.
CURRICULUM = ("xor", "temporal")
#: Choices of seeds over which a figure about one seed, or the mean of several, is averaged.
NUM_CHOICES = 12
#: Standard errors of an accuracy on the test split under which a score counts as the floor.
NOISE = 2.0
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
        """Return an accuracy `[N]` between 0 at chance and 1, as the reward has it; 0 where it failed."""
        return _normalised(self.column(setting, seed, field))

    @cached_property
    def long_by_rate(self) -> tuple[np.ndarray, np.ndarray]:
        """Normalised validation and test accuracies `[rates, S, N]` of the long trainings."""
        fields = ("validation_score", "score")
        validation, test = (
            np.array([[self.normalised(setting, s, field) for s in setting.seeds] for setting in LONG])
            for field in fields
        )
        return validation, test

    def long(self, seeds: slice = slice(None)) -> np.ndarray:
        """Return the long score `[N]`: each blueprint's test accuracy at its best rate on validation."""
        validation, test = (values[:, seeds].mean(1) for values in self.long_by_rate)
        return test[validation.argmax(0), np.arange(len(self.ids))]

    @property
    def best_rates(self) -> np.ndarray:
        """Index `[N]` of the learning rate that each blueprint's long score was measured at."""
        return self.long_by_rate[0].mean(1).argmax(0)


def _normalised(accuracy_N: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(2 * accuracy_N - 1), 0.0, 1.0)


#: A score `[N]` of every blueprint from one seed.
Definition = Callable[[View, Setting, int], np.ndarray]


def accuracy(view: View, setting: Setting, seed: int) -> np.ndarray:
    """The default: normalised accuracy on the test split."""
    return view.normalised(setting, seed)


def both_splits(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Accuracy over all examples of the test and the validation split."""
    task = task_named(view.task)
    test, validation = (view.column(setting, seed, name) for name in ("score", "validation_score"))
    share = task.num_test / (task.num_test + task.num_validation)
    return _normalised(share * test + (1 - share) * validation)


def above_noise(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Accuracy on the test split; what guessing could reach by luck counts as the floor."""
    score = view.normalised(setting, seed)
    return np.where(score > NOISE / task_named(view.task).num_test ** 0.5, score, 0.0)


def probability(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean probability of the right class on the test split, normalised like an accuracy."""
    return view.normalised(setting, seed, "probability")


def cross_entropy(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean cross entropy on the test split, in nats under that of guessing, at most twice as bad."""
    loss_N = view.column(setting, seed, "test_loss") / np.log(2)
    return 1 - np.where(np.isfinite(loss_N), np.minimum(loss_N, 3.0), 3.0)


def training_loss(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Training loss of the last tenth of the steps, in nats under that of guessing."""
    return _below_guessing(view.column(setting, seed, "loss_last"))


def loss_area(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Area under the training loss, by trapezoids through the start, a quarter, a half and the end."""
    start = view.column(setting, seed, "loss_first")
    points = [view.column(Setting(steps=s), seed, "loss_last") for s in (0.25, 0.5, 1.0)]
    quarter, half, end = points
    return _below_guessing((start + quarter) / 8 + (quarter + half) / 8 + (half + end) / 4)


def solved_first(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Accuracy; among equals the one whose training loss was solved earlier is better."""
    num_steps = view.column(setting, seed, "num_steps")
    solved = np.nan_to_num(view.column(setting, seed, "solved_step"), nan=np.inf)
    earliness = 1 - np.minimum(solved / np.where(num_steps > 0, num_steps, 1), 1.0)
    return view.normalised(setting, seed) + np.nan_to_num(earliness) / task_named(view.task).num_test


def along_the_way(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Mean accuracy of the examinations at a quarter, a half and the end of one training."""
    return np.mean([view.normalised(Setting(steps=s), seed) for s in (0.25, 0.5, 1.0)], axis=0)


def _below_guessing(loss_N: np.ndarray) -> np.ndarray:
    return 1 - np.where(np.isfinite(loss_N), np.minimum(loss_N / np.log(2), 3.0), 3.0)


DEFINITIONS: Mapping[str, Definition] = {
    "test accuracy": accuracy,
    "test + validation accuracy": both_splits,
    "test accuracy above noise": above_noise,
    "right-class probability": probability,
    "held-out cross entropy": cross_entropy,
    "training loss": training_loss,
    "area under training loss": loss_area,
    "accuracy, then solved step": solved_first,
    "accuracy along the way": along_the_way,
}


@dataclass(frozen=True, slots=True)
class Exam:
    """One task, or the mean over the tasks of a curriculum, for the same N blueprints."""

    name: str
    views: tuple[View, ...]

    def quick(self, setting: Setting = DEFAULT, definition: Definition = accuracy) -> np.ndarray:
        """Return the score `[N, S]` from each seed of a setting."""
        return np.mean(
            [[definition(view, setting, seed) for seed in setting.seeds] for view in self.views], axis=0
        ).T

    def long(self, seeds: slice = slice(None)) -> np.ndarray:
        """Return the long score `[N]`."""
        return np.mean([view.long(seeds) for view in self.views], axis=0)


def exams(rows: Iterable[Mapping], samples: Sequence[str], tasks: Sequence[str]) -> list[Exam]:
    """Return an exam of each task, and the curriculum's, for the blueprints that are complete on it."""
    by_task: dict[str, dict[tuple[str, str, int, str], Mapping]] = {task: {} for task in tasks}
    for row in rows:
        if row["task"] in by_task and row["sample"] in samples:
            key = row["sample"], row["setting"], row["seed"], row["blueprint"]
            by_task[row["task"]][key] = row
    complete = {task: _complete(found) for task, found in by_task.items()}
    result = [Exam(task, (View(task, complete[task], by_task[task]),)) for task in tasks if complete[task]]
    if set(CURRICULUM) <= set(tasks):
        shared = tuple(i for i in complete[CURRICULUM[0]] if set(complete[CURRICULUM[1]]) & {i})
        if shared:
            views = tuple(View(task, shared, by_task[task]) for task in CURRICULUM)
            result.append(Exam("+".join(CURRICULUM), views))
    return result


def _complete(found: Mapping[tuple[str, str, int, str], Mapping]) -> tuple[tuple[str, str], ...]:
    """Return the blueprints with every quick and every long training, in the order of the lines."""
    needed = sum(len(setting.seeds) for setting in (*QUICK, *LONG))
    counts: dict[tuple[str, str], int] = {}
    names = {(setting.name, seed) for setting in (*QUICK, *LONG) for seed in setting.seeds}
    for sample, setting, seed, id_ in found:
        counts[sample, id_] = counts.get((sample, id_), 0) + ((setting, seed) in names)
    order = {sample: i for i, sample in enumerate(SAMPLES)}
    whole = [key for key, count in counts.items() if count == needed]
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
