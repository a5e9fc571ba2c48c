"""What a row of the op table holds; leaves the rows themselves to the other files of this folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import prod
from typing import Any, Literal

from blueprints.graph import AttributeValue
from blueprints.types import ValueType, merge_types

#: Attributes with widths resolved to channels, as the callables of a row receive them.
Attributes = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of an op: its name and the tokens that give its value.

    Attributes:
        name: `width` sets the output width; any other name is the op's own.
        tokens: token to value; a width is a rational of D.
        default: the value without a token; absent when one of the tokens is required. Optional attributes
            come last and change neither width, time nor FLOPs.
    """

    name: str
    tokens: Mapping[str, AttributeValue]
    default: AttributeValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One trainable tensor of an op: its name in the torch module, shape and initial distribution.

    Attributes:
        name: attribute path inside the op's module, such as `weight`.
        shape: as torch.nn stores it.
        init: `uniform` draws from (-bound, bound) as torch.nn does; `zeros`; `ones`.
        bound: half-width of the uniform distribution.
        size: number of scalars.
    """

    name: str
    shape: tuple[int, ...]
    init: Literal["uniform", "zeros", "ones"] = "uniform"
    bound: float = 0.0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", prod(self.shape))

    def renamed(self, name: str) -> "Parameter":
        """Return the same tensor under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTemplate:
    """How an op is written in emitted PyTorch source.

    Both strings are `str.format` templates. `init` is the right-hand side of `self.NAME = ...` and sees
    `w_in`, `w_out` (expressions in the host's `width`) and the op's own attributes; it is empty for an op
    without a submodule. `forward` is an expression that sees `x` (and `y`, `z` for a merge) and `name`.

    Attributes:
        forward: what is computed.
        init: what makes the submodule.
        classes: the classes that `init` names, written out before the block: the name of one in
            blueprints/modules/, or a class of a user's own. Their source may use `torch`, `nn` and `F` alone.
    """

    forward: str
    init: str = ""
    classes: tuple[str | type, ...] = ()


def _no_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One row of the op table: everything torch-free that the house knows about an op.

    Attributes:
        name: its token, and `Node.op`.
        family: `mixing`, `recurrent`, `pool`, `norm`, `activation` or `merge`; used for colours and docs.
        summary: one sentence.
        formula: what it computes, in plain mathematics.
        paper: where it comes from.
        source: how it is emitted.
        attributes: in the order in which their tokens follow the op's token.
        arity: number of inputs; two or three for merges.
        widths: of a merge: `equal` inputs of one width, or `sum`, the inputs side by side.
        commutative: whether the order of the inputs is without meaning.
        needs_sequence: whether it is refused on a single step, where it would do nothing or little.
        pools: whether it turns a sequence into a single step.
        causal: whether its output at step t ignores inputs after t.
        no_op_after: ops directly after which this one would change nothing.
        module: (w_in, w_out, attributes) to an nn.Module on `[B, T, W]`; the built-in ops, whose rows are
            free of torch, have theirs in blueprints/modules/.
        parameters: (w_in, w_out, attributes) to its trainable tensors, in module order.
        flops: (w_in, w_out, attributes) to forward FLOPs for one time step of one example.
    """

    name: str
    family: str
    summary: str
    formula: str
    paper: str
    source: SourceTemplate
    flops: Callable[[int, int, Attributes], int]
    attributes: tuple[Attribute, ...] = ()
    arity: int = 1
    widths: Literal["equal", "sum"] = "equal"
    commutative: bool = False
    needs_sequence: bool = False
    pools: bool = False
    causal: bool = True
    no_op_after: frozenset[str] = frozenset()
    parameters: Callable[[int, int, Attributes], tuple[Parameter, ...]] = _no_parameters
    module: Callable[[int, int, Attributes], Any] | None = None

    @property
    def required(self) -> tuple[Attribute, ...]:
        """The attributes whose tokens must follow the op's token."""
        return tuple(a for a in self.attributes if a.default is None)

    def infer(self, inputs: tuple[ValueType, ...], attributes: Mapping[str, AttributeValue]) -> ValueType:
        """Return the type of the output for inputs of the given types."""
        if self.arity > 1:
            return merge_types(*inputs, widths=self.widths)
        (x,) = inputs
        return ValueType(
            time="single" if self.pools else x.time,
            width=Fraction(attributes.get("width", x.width)),
            causal=x.causal and self.causal and not attributes.get("full"),
        )
