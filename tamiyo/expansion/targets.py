"""What each target is for, what its model reads and writes, and which blueprints it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from blueprints.graph import Graph
from tamiyo.expansion.records import ExpansionError, TargetName


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of architecture.

    Attributes:
        name: as it is asked for.
        summary: what the architecture does, in one sentence.
        inputs: what a model reads, with its axes.
        outputs: what it returns, with its axes.
        loss: what training lowers.
        chance: what a model that learned nothing reaches.
        data: what it is trained on where the user names no file.
        is_integer: whether inputs are ids below `input_size`; otherwise they are floats.
        is_per_step: whether there is an answer at every step, which must then see no later one.
        input_size: characters, features of a step, or columns of a row of the data at hand.
        output_size: characters or classes of the data at hand.
        max_length: steps of the data at hand; of a table its columns.
    """

    name: TargetName
    summary: str
    inputs: str
    outputs: str
    loss: str
    chance: str
    data: str
    is_integer: bool
    is_per_step: bool
    input_size: int
    output_size: int
    max_length: int

    def input_shape(self, batch: int, length: int) -> tuple[int, ...]:
        """Return the shape of a batch of inputs; rows of a table have no length but their columns."""
        if self.name == "tabular":
            return batch, self.input_size
        return (batch, length) if self.is_integer else (batch, length, self.input_size)

    def output_shape(self, batch: int, length: int) -> tuple[int, ...]:
        """Return the shape of the logits of such a batch."""
        return (batch, length, self.output_size) if self.is_per_step else (batch, self.output_size)

    def refusal(self, graph: Graph) -> str:
        """Return why a blueprint cannot serve the target, with the rule's name first, or nothing."""
        if not self.is_per_step or graph.type.causal:
            return ""
        index, node = next((i, node) for i, node in enumerate(graph.nodes) if not node.type.causal)
        return (
            f"rule 'not-causal': %{index} {node.label} sees later steps, and {self.name} predicts each step "
            f"from those before it; expand the blueprint for a classifier, or choose a causal one"
        )


#: Every target by name.
TARGET_FACTS: Mapping[TargetName, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target(
                name="char_lm",
                summary="A language model that predicts the next character of a text.",
                inputs="character ids, integers [B, T]",
                outputs="logits of the next character at every step, [B, T, output_size]",
                loss="mean cross-entropy of the next character, in nats",
                chance="log(output_size) nats",
                data="Python's standard library, as the interpreter at hand has it",
                is_integer=True,
                is_per_step=True,
                input_size=97,
                output_size=97,
                max_length=64,
            ),
            Target(
                name="sequence_classifier",
                summary="A classifier of sequences of measurements.",
                inputs="features of every step, floats [B, T, input_size]",
                outputs="logits of the classes, [B, output_size]",
                loss="mean cross-entropy of the class, in nats",
                chance="log(output_size) nats; the share of the commonest class",
                data="a generated set: two pulses in noise, whose order and lift are the class",
                is_integer=False,
                is_per_step=False,
                input_size=4,
                output_size=4,
                max_length=32,
            ),
            Target(
                name="tabular",
                summary="A classifier of the rows of a table.",
                inputs="rows, floats [B, input_size]",
                outputs="logits of the classes, [B, output_size]",
                loss="mean cross-entropy of the class, in nats",
                chance="log(output_size) nats; the share of the commonest class",
                data="a generated set: the signs of a sum and of a product are the class",
                is_integer=False,
                is_per_step=False,
                input_size=8,
                output_size=4,
                max_length=8,
            ),
        )
    }
)


def target_named(name: str) -> Target:
    """Return the target of that name.

    Raises:
        ExpansionError: there is none.
    """
    found = next((target for target in TARGET_FACTS.values() if target.name == name), None)
    if found is None:
        raise ExpansionError(f"no target is named '{name}'; expected one of {', '.join(TARGET_FACTS)}")
    return found


def require_fit(graph: Graph, target: Target) -> None:
    """Pass a blueprint that can serve a target.

    Raises:
        ExpansionError: it cannot; the message names the rule.
    """
    if reason := target.refusal(graph):
        raise ExpansionError(reason)
