"""In which order did symbols come, where nothing else tells? Leaves patterns of neighbours to temporal."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import distinct
from curricula.families import num_families, shuffled
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x4F5244
#: The two symbols, X and Y, that matter.
_X, _Y = 0, 1
#: Class, one of its two arrangements, and the four symbols: the first two tell the class.
_ARRANGEMENTS = np.array(
    [
        [[_X, _X, _Y, _Y], [_X, _X, _Y, _Y]],
        [[_X, _Y, _X, _Y], [_X, _Y, _Y, _X]],
        [[_Y, _X, _Y, _X], [_Y, _X, _X, _Y]],
        [[_Y, _Y, _X, _X], [_Y, _Y, _X, _X]],
    ]
)
_NUM_CLASSES, _, _NUM_PLACES = _ARRANGEMENTS.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Task):
    """Which of X and Y came first, and which second: XX, XY, YX or YY?

    Temporal order, of Hochreiter & Schmidhuber (1997), with counts matched. A stream holds X and Y at four
    places among distractors. The first two tell the class; the other two complete them to two X and two Y, so
    that no count tells anything. Places are drawn from the first two thirds of the stream, whatever the
    class.

    Streams come in families of four, one of each class, with the same distractors and the same four places.
    So all classes have the same multisets of inputs in every split, which is all that a memoryless blueprint
    under a mean over time can see: it is provably at chance. So is whoever knows where the four places are.
    No family is met twice, and test streams are longer than any trained on.

    The last third holds distractors alone: the taps of a causal filter miss the last steps, and by what they
    miss it could tell what stands there. So a linear filter of up to T / 3 taps is at chance as well.

    What remains open to a shortcut: the last of the four symbols alone tells the class half of the time, and
    so does the first. So a score up to 0.5 does not show that two symbols were put in order.

    Example, streams of 8 for short and distractors a and b::

        inputs  a X Y X Y b b a    target  1    # XY, completed by X Y
        inputs  Y Y X b X a a b    target  3    # YY, completed by X X

    Attributes:
        num_distractors: symbols beside X and Y.
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "order"
    num_train: int = 512
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 10
    num_distractors: int = 4
    train_length: int = 24
    test_length: int = 27

    input = "embedding"
    output_width = _NUM_CLASSES
    needs = frozenset({"past", "order"})
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.num_distractors < 1:
            raise TaskError(f"{self.name}: num_distractors = {self.num_distractors}; expected at least 1")
        if not _NUM_PLACES < _num_possible(self.train_length) <= _num_possible(self.test_length):
            raise TaskError(
                f"{self.name}: train_length, test_length = {self.train_length}, {self.test_length}; "
                f"expected at least {3 * _NUM_PLACES // 2 + 2}, and as much"
            )

    @property
    def input_width(self) -> int:
        """X, Y, and the distractors."""
        return 2 + self.num_distractors

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        lengths = (self.train_length, self.train_length, self.test_length)
        num_I = num_families(self, self.sizes, _NUM_CLASSES)
        found: dict[int, list[np.ndarray]] = {}
        for length in set(lengths):
            shares = [num for num, own in zip(num_I, lengths, strict=True) if own == length]
            stream_NT = distinct(
                self, lambda size, T=length: _around(self, rng, size, T), sum(shares), length
            )
            found[length] = np.split(stream_NT, np.cumsum(shares)[:-1])
        train, validation, test = (_split(rng, found[length].pop(0)) for length in lengths)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams of the training length, 64 of each class."""
        rng = np.random.default_rng((_STREAM, 1))
        return _split(rng, _around(self, rng, NUM_PROBES // _NUM_CLASSES, self.train_length)).inputs


def _around(task: Order, rng: np.random.Generator, size: int, length: int) -> np.ndarray:
    """Return `[N, T]` distractors, with -1 at the four places that a family's streams fill."""
    stream_NT = rng.integers(2, task.input_width, size=(size, length))
    place_N4 = rng.random((size, _num_possible(length))).argsort(axis=1)[:, :_NUM_PLACES]
    np.put_along_axis(stream_NT, place_N4, -1, axis=1)
    return stream_NT


def _num_possible(length: int) -> int:
    """Return how many steps, from the first on, can hold one of the four symbols."""
    return 2 * length // 3


def _split(rng: np.random.Generator, stream_NT: np.ndarray) -> Split:
    """Return a stream of each class around the same distractors, in random order."""
    class_M = np.arange(_NUM_CLASSES)
    stream_NMT = np.repeat(stream_NT[:, None], _NUM_CLASSES, axis=1)
    arrangement_NM = rng.integers(_ARRANGEMENTS.shape[1], size=stream_NMT.shape[:2])
    stream_NMT[stream_NMT < 0] = _ARRANGEMENTS[class_M, arrangement_NM].ravel()
    stream_BT, target_B = shuffled(rng, stream_NMT, np.tile(class_M, (len(stream_NT), 1)))
    return Split(inputs=torch.from_numpy(stream_BT), targets=torch.from_numpy(target_B))
