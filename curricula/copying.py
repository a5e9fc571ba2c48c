"""Which symbols were shown, in order, before a long pause? Leaves choosing what to keep to selective copy."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.families import dealt, num_families, shuffled
from curricula.heads import IGNORED
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x434F50
#: Families are numbered by 64 bits.
_MAX_FAMILIES = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying(Task):
    """Which `num_items` symbols came first?

    Copy memory, of Hochreiter & Schmidhuber (1997), in the form of Arjovsky et al. (2016). A stream is the
    items, `gap` steps that are blank but for a sign at the last that recall begins, and as many blanks as
    items: T = gap + 2 * num_items. The blanks after the sign have the items for labels, first to last, and no
    other step counts. The paper has 8 symbols, 10 items and gaps of 100 to 500; here the gap is small by
    default, and one of 1,500 asks for a memory that few cells have.

    Streams come in families of `num_symbols`: the same sequence with every symbol moved on by 0, 1, 2, ... So
    at each recall step of a split each label is met equally often, and whoever knows the step alone scores
    exactly chance. No sequence is met twice.

    What remains open to a shortcut: whoever knows how often each item came, and not where, scores 0.47 by
    always answering the most frequent one.

    Example, `num_symbols=4, num_items=3, gap=4`::

        inputs  2 0 3 - - - ! - - -    target  . . . . . . . 2 0 3

    Attributes:
        num_symbols: symbols, and classes.
        num_items: symbols to keep.
        gap: G, steps between the last item and the first recall.
    """

    name: str = "copying"
    num_train: int = 512
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 30
    num_symbols: int = 4
    num_items: int = 6
    gap: int = 4

    head = "step_cross_entropy"
    needs = frozenset({"past"})
    input = "embedding"
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        knobs = (self.num_symbols, self.num_items, self.gap)
        if self.num_symbols < 2 or self.num_items < 2 or self.gap < 1:
            raise TaskError(
                f"{self.name}: num_symbols, num_items, gap = {knobs}; expected at least 2, 2 and 1"
            )
        num_I = num_families(self, self.sizes, self.num_symbols)
        least = max(sum(num_I), -(-NUM_PROBES // self.num_symbols))
        exist = _num_existing(self)
        if not least <= exist <= _MAX_FAMILIES:
            raise TaskError(
                f"{self.name}: {exist} families of {self.num_items} items exist; expected {least} to "
                f"{_MAX_FAMILIES}"
            )

    @property
    def input_width(self) -> int:
        """The symbols, the blank and the sign."""
        return self.num_symbols + 2

    @property
    def output_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two sequences are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        rank_IN = dealt(self, self.num_symbols, lambda num: _ranks(self, rng, num))
        train, validation, test = (_split(self, rng, rank_N) for rank_N in rank_IN)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams."""
        rng = np.random.default_rng((_STREAM, 1))
        rank_N = _ranks(self, rng, -(-NUM_PROBES // self.num_symbols))
        return _split(self, rng, rank_N).inputs[:NUM_PROBES].contiguous()


def _num_existing(task: Copying) -> int:
    """Return the number of families: of sequences that begin with the first symbol."""
    return task.num_symbols ** (task.num_items - 1)


def _ranks(task: Copying, rng: np.random.Generator, num: int) -> np.ndarray:
    """Return `[N]` numbers of different families."""
    return rng.choice(_num_existing(task), size=num, replace=False)


def _split(task: Copying, rng: np.random.Generator, rank_N: np.ndarray) -> Split:
    """Return the families of those ranks in random order."""
    symbols, items = task.num_symbols, task.num_items
    first_NI = rank_N[:, None] // symbols ** np.arange(items - 1, -1, -1) % symbols
    item_NMI = (first_NI[:, None] + np.arange(symbols)[:, None]) % symbols
    blank, sign = symbols, symbols + 1
    input_NMT = np.full((len(rank_N), symbols, task.gap + 2 * items), blank)
    label_NMT = np.full_like(input_NMT, IGNORED)
    input_NMT[..., :items] = item_NMI
    input_NMT[..., items + task.gap - 1] = sign
    label_NMT[..., -items:] = item_NMI
    input_BT, label_BT = shuffled(rng, input_NMT, label_NMT)
    return Split(inputs=torch.from_numpy(input_BT), targets=torch.from_numpy(label_BT))
