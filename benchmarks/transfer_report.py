"""What the trainings of transfer.py say: choices by validation, paired intervals, Holm's correction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

#: Family-wise error of the comparisons together.
ALPHA = 0.05

Key = tuple[str, str, float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training: of which block, on which data, how, and what came of it.

    Attributes:
        data_set: its name.
        block: its name.
        rate: learning rate.
        seed: of initial weights and batches.
        depth: layers.
        width: D.
        num_parameters: of the whole architecture.
        cpu_s: processor seconds of the training alone.
        validation: loss in nats and accuracy; None where the training diverged.
        test: likewise; None where the test split was not looked at.
    """

    data_set: str
    block: str
    rate: float
    seed: int
    depth: int
    width: int
    num_parameters: int
    cpu_s: float
    validation: Mapping[str, float] | None
    test: Mapping[str, float] | None = None

    @property
    def key(self) -> Key:
        """What tells it from every other training."""
        return self.data_set, self.block, self.rate, self.seed

    def to_line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> "Training":
        """Return the training of a line."""
        return cls(**json.loads(line))


def validation_loss(training: Training) -> float:
    """Return the loss on the validation split, infinite where the training diverged."""
    return training.validation["loss"] if training.validation else inf


def chosen_rate(trainings: Sequence[Training]) -> float:
    """Return the learning rate of the training that validates best."""
    return min(trainings, key=validation_loss).rate


def compare(
    done: Mapping[Key, Training],
    pairs: Mapping[str, tuple[str, str]],
    rates: Mapping[str, Mapping[str, float]],
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Return for each data set how far the winner's test loss is below the human block's, seed by seed.

    The interval is Student's for paired differences, at Holm's level for the data set's place among the
    p-values; a data set is `is_ahead` where the interval excludes zero on the winner's side and every smaller
    p-value was significant too (Holm 1979).
    """
    rows = []
    for name, (winner, person) in pairs.items():
        tested = {
            block: [done[name, block, rates[name][block], seed].test for seed in seeds]
            for block in (winner, person)
        }
        differences = [
            (b["loss"] if b else inf) - (w["loss"] if w else inf)
            for w, b in zip(tested[winner], tested[person], strict=True)
        ]
        rows.append(
            {
                "data_set": name,
                "winner": winner,
                "human": person,
                "winner_test": tested[winner],
                "human_test": tested[person],
                "differences": differences,
                "mean": fmean(differences),
                "p": p_value(differences),
            }
        )
    return holm(rows)


def holm(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with Holm's adjusted p-value, the level of each interval, and its ends.

    The smallest p-value is held against a share of `ALPHA`, the next against a larger one, until one fails;
    those after it keep the level at which it failed.
    """
    level, is_open, adjusted = ALPHA, True, 0.0
    found = {}
    for place, row in enumerate(sorted(rows, key=lambda row: row["p"])):
        num_left = len(rows) - place
        level = ALPHA / num_left if is_open else level
        is_open = is_open and row["p"] <= level
        adjusted = max(adjusted, min(1.0, num_left * row["p"]))
        low, high = interval(row["differences"], level)
        figures = {"p_holm": adjusted, "confidence": 1 - level, "low": low, "high": high}
        found[row["data_set"]] = {**row, **figures, "is_ahead": is_open and low > 0}
    return [found[row["data_set"]] for row in rows]


def p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Student's t-test that the mean difference is zero."""
    spread = stdev(differences) / sqrt(len(differences))
    if spread == 0:
        return 0.0 if fmean(differences) else 1.0
    return float(2 * student.sf(abs(fmean(differences)) / spread, len(differences) - 1))


def interval(differences: Sequence[float], level: float) -> tuple[float, float]:
    """Return the ends of Student's interval of the mean that misses it with probability `level`."""
    half = student.isf(level / 2, len(differences) - 1) * stdev(differences) / sqrt(len(differences))
    return fmean(differences) - float(half), fmean(differences) + float(half)


def text_of(document: Mapping[str, Any]) -> str:
    """Return the comparisons and every tested block as lines."""
    lines = [_compared(row) for row in document["comparisons"]]
    for (data_set, block), tested in tested_blocks(document).items():
        first = tested[0]
        lines.append(
            f"{data_set:8} {block:18} depth {first['depth']} width {first['width']:3} "
            f"{first['num_parameters']:6,} parameters  rate {first['rate']:g}  "
            f"test loss {_mean([row['test'] for row in tested], 'loss'):.4f}  "
            f"cpu {fmean(row['cpu_s'] for row in tested):.1f} s"
        )
    return "\n".join(lines)


def _compared(row: Mapping[str, Any]) -> str:
    losses, accuracies = (
        [_mean(row[side], figure) for side in ("winner_test", "human_test")]
        for figure in ("loss", "accuracy")
    )
    return (
        f"{row['data_set']}: {row['winner']} against {row['human']}: test loss {losses[0]:.4f} against "
        f"{losses[1]:.4f} nats, ahead by {row['mean']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}] "
        f"({100 * row['confidence']:.1f} %), p {row['p']:.2g}, after Holm {row['p_holm']:.2g}; accuracy "
        f"{accuracies[0]:.4f} against {accuracies[1]:.4f}: {'AHEAD' if row['is_ahead'] else 'not ahead'}"
    )


def tested_blocks(document: Mapping[str, Any]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the trainings that were tested, by data set and block."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in document["trainings"]:
        if row["test"] is not None:
            found.setdefault((row["data_set"], row["block"]), []).append(row)
    return found


def _mean(tested: Sequence[Mapping[str, float] | None], figure: str) -> float:
    return fmean(figures[figure] if figures else inf for figures in tested)
