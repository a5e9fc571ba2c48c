"""Types of the values that flow along a blueprint's edges; leaves inference itself to the op table."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Time = Literal["sequence", "single"]

#: Width ratios a token can name, as rationals of the host's width D.
WIDTHS: dict[str, Fraction] = {
    "QUARTER": Fraction(1, 4),
    "HALF": Fraction(1, 2),
    "IN": Fraction(1),
    "DOUBLE": Fraction(2),
    "QUAD": Fraction(4),
}

#: The widest value of the built-in language.
MAX_WIDTH = Fraction(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """Type of a feature sequence `[B, T, W]`.

    Attributes:
        time: `sequence` (T steps) or `single` (one step, `[B, 1, W]`).
        width: W as a rational of the host's width D.
        causal: whether step t depends on no input after step t.
    """

    time: Time = "sequence"
    width: Fraction = Fraction(1)
    causal: bool = True

    def channels(self, width: int) -> int:
        """Return W in a host of width D = `width` (a multiple of 16)."""
        channels, rest = divmod(self.width.numerator * width, self.width.denominator)
        assert not rest, f"width {self.width} of {width} is not whole"
        return channels

    def steps(self, time: int) -> int:
        """Return the number of time steps of this value when the input has `time` steps."""
        return time if self.time == "sequence" else 1

    def __str__(self) -> str:
        steps = "T" if self.time == "sequence" else "1"
        width = "D" if self.width == 1 else f"{self.width}D"
        return f"[B, {steps}, {width}]"


INPUT_TYPE = ValueType()


def merge_types(*inputs: ValueType, widths: Literal["equal", "sum"] = "equal") -> ValueType:
    """Return the type of a merge: of one width, or side by side; a single step is broadcast."""
    width = inputs[0].width
    if widths == "sum":
        width = sum((x.width for x in inputs), Fraction(0))
    else:
        assert all(x.width == width for x in inputs), f"a merge needs equal widths, got {inputs}"
    time: Time = "sequence" if any(x.time == "sequence" for x in inputs) else "single"
    return ValueType(time=time, width=width, causal=all(x.causal for x in inputs))
