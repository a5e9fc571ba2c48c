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
        channels = self.width * width
        assert channels.denominator == 1, f"width {self.width} of {width} is not whole"
        return int(channels)

    def steps(self, time: int) -> int:
        """Return the number of time steps of this value when the input has `time` steps."""
        return time if self.time == "sequence" else 1

    def __str__(self) -> str:
        steps = "T" if self.time == "sequence" else "1"
        width = "D" if self.width == 1 else f"{self.width}D"
        return f"[B, {steps}, {width}]"


INPUT_TYPE = ValueType()


def merge_types(a: ValueType, b: ValueType) -> ValueType:
    """Return the type of an elementwise merge; a single step is broadcast along a sequence."""
    assert a.width == b.width, f"a merge needs equal widths, got {a.width} and {b.width}"
    time: Time = "sequence" if "sequence" in (a.time, b.time) else "single"
    return ValueType(time=time, width=a.width, causal=a.causal and b.causal)
