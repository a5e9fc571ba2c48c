"""Plain records of an expansion: what is asked, planned, written, checked and kept. No torch, no work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from blueprints.errors import TamiyoError

TargetName = Literal["char_lm", "sequence_classifier", "tabular"]
TARGETS: tuple[TargetName, ...] = ("char_lm", "sequence_classifier", "tabular")

#: The units around the block in the order in which they are written and checked.
UnitName = Literal["embedding", "layer", "head", "initialisation"]
UNITS: tuple[UnitName, ...] = ("embedding", "layer", "head", "initialisation")


class ExpansionError(TamiyoError):
    """An expansion that cannot be made, with the rule where one refuses it (`not-causal`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decisions around the block; `tamiyo/expansion/plan.py` has the schema that JSON of it must meet.

    Attributes:
        depth: number of layers, each with a block of its own.
        width: D, a multiple of 16.
        positions: how a step's place is told: `none`, `learned` or `sinusoidal`.
        normalisation: before each block: `none`, `layernorm` or `rmsnorm`.
        head: what reads the result: `linear`, `norm_linear` or `mlp`.
        initialisation: `default`, `small_normal` or `depth_scaled`.
        dropout: after each block.
    """

    depth: int
    width: int
    positions: str
    normalisation: str
    head: str
    initialisation: str
    dropout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """All that a designer is told.

    Attributes:
        blueprint_id: the winner.
        tokens: its program.
        target: what the architecture is for.
        block_source: the block as emitted; never rewritten.
        facts: what is known of the blueprint: metrics with intervals, sizes, run (what JSON can say).
        knowledge: cards and neighbours that retrieval found, as text, the nearest first.
        max_parameters: most parameters of the whole architecture.
    """

    blueprint_id: str
    tokens: tuple[str, ...]
    target: TargetName
    block_source: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    knowledge: tuple[str, ...] = ()
    max_parameters: int = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, whether it held, the exact error or figure, and its seconds."""

    name: str
    is_passed: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The checks of a unit or of a whole architecture in their order, which ends with the first failure."""

    subject: str
    checks: tuple[Check, ...]

    @property
    def is_passed(self) -> bool:
        """Whether there were checks and every one held."""
        return bool(self.checks) and all(check.is_passed for check in self.checks)

    @property
    def failure(self) -> Check | None:
        """The check that failed, if one did."""
        return next((check for check in self.checks if not check.is_passed), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a designer at the plan or a unit, and what came of it.

    Attributes:
        subject: `plan` or the unit's name.
        text: what it gave; empty when nothing came.
        verdict: of the checks; None when nothing came.
        error: why nothing came; empty otherwise.
    """

    subject: str
    text: str = ""
    verdict: Verdict | None = None
    error: str = ""


class Designer(Protocol):
    """Decides and writes what stands around the block: the template, or a language model."""

    @property
    def name(self) -> str:
        """Who designs, as provenance tells it."""
        ...

    def plan(self, brief: Brief, failed: tuple[Attempt, ...]) -> Plan:
        """Return a plan; `failed` are earlier tries with their exact errors.

        Raises:
            ProviderError: the model gave nothing that can be used.
        """
        ...

    def unit(self, brief: Brief, plan: Plan, name: UnitName, failed: tuple[Attempt, ...]) -> str:
        """Return the Python source of one unit; `failed` are earlier tries with their exact errors.

        Raises:
            ProviderError: the model gave nothing that can be used.
        """
        ...
