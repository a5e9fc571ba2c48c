"""Judges what an examination brought back, one function a check; each returns a detail, or what is wrong.

A judgement takes the `Evidence` and returns `Ruling(is_passed, detail)`. It trusts nothing that the candidate
could have claimed: shapes are those of the tensors that came back, equality and losses are worked out here.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamiyo.expansion.equality import LOOSE_TOLERANCE, TOLERANCE, block_difference, dead_parameters, gap
from tamiyo.expansion.probing import WATCHED, Probes
from tamiyo.expansion.small_problems import num_classes
from tamiyo.expansion.targets import Target

#: Share of the lower of start and chance that the loss on unseen examples must come down to.
FALL = 0.7
#: Least change of the logits, relative to the largest, when a noise as large as its output follows a block.
LEAST_EFFECT = 1e-6
#: Names of parameters that are listed in an error.
NUM_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one examination asked and what came back.

    Attributes:
        target: what the architecture is for.
        subject: `model` or a unit's name.
        probes: what went in.
        facts: of each stage, as the examiner inside says them.
        answers: the tensors that came back.
        num_blocks: blocks that the subject must hold.
        max_parameters: most parameters.
        width: D.
        blueprint: the compiled blueprint with the weights that went in, where blocks were looked at.
        test_labels: of the unseen examples, where there was a training.
    """

    target: Target
    subject: str
    probes: Probes
    facts: Mapping[str, Any]
    answers: Mapping[str, Tensor]
    num_blocks: int
    max_parameters: int
    width: int
    blueprint: nn.Module | None = None
    test_labels: Tensor | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a check held, and the figure or the error."""

    is_passed: bool
    detail: str


def _held(detail: str) -> Ruling:
    return Ruling(True, detail)


def _broken(detail: str) -> Ruling:
    return Ruling(False, detail)


def judge_import(evidence: Evidence) -> Ruling:
    """Nothing is left to judge once every module was imported and torch is whole."""
    return _held("imported; torch is as it was")


def judge_budget(evidence: Evidence) -> Ruling:
    """The parameters, counted before there is memory for them, are within the budget."""
    found = evidence.facts["budget"]["parameters"]
    return _held("counted once built") if found is None else _budgeted(evidence, found)


def judge_construction(evidence: Evidence) -> Ruling:
    """It is within the budget, all its parameters learn, and it holds its blocks."""
    facts = evidence.facts["construction"]
    budget = _budgeted(evidence, facts["parameters"])
    if not budget.is_passed:
        return budget
    if facts["complaint"]:
        return _broken(facts["complaint"])
    if facts["frozen"]:
        return _broken(
            f"parameters are frozen: {_named(facts['frozen'])}; expected requires_grad of every one"
        )
    if facts["unfinite"]:
        return _broken(f"parameters start as NaN or infinite: {_named(facts['unfinite'])}")
    if facts["not_float32"]:
        return _broken(f"parameters are not float32: {_named(facts['not_float32'])}")
    if len(facts["blocks"]) != evidence.num_blocks:
        held = _named(facts["blocks"]) if facts["blocks"] else "none"
        return _broken(
            f"holds {len(facts['blocks'])} blocks ({held}), expected {evidence.num_blocks}, one a layer"
        )
    return budget


def _budgeted(evidence: Evidence, found: list[tuple[str, int]]) -> Ruling:
    total = sum(num for _, num in found)
    if total <= evidence.max_parameters:
        return _held(f"{total:,} parameters of at most {evidence.max_parameters:,}")
    largest = sorted(found, key=lambda pair: -pair[1])[:3]
    named = ", ".join(f"{name} {num:,}" for name, num in largest)
    return _broken(
        f"{total:,} parameters, expected at most {evidence.max_parameters:,}; the largest are {named}"
    )


def judge_determinism(evidence: Evidence) -> Ruling:
    """Equal seeds build equal weights, other seeds others, and no seed is set within."""
    facts = evidence.facts["determinism"]
    if facts["names"][0] != facts["names"][1]:
        return _broken("two builds hold parameters of different names, expected the same ones")
    if facts["differing"]:
        return _broken(
            f"two builds from one seed differ in {_named(facts['differing'])}, expected equal weights"
        )
    if facts["is_seed_reset"]:
        return _broken("a build sets the seed of torch's random numbers; whoever builds it sets the seed")
    if facts["has_one_start"] and facts["num_random"]:
        return _broken("builds from two seeds have equal weights, expected weights drawn at random")
    return _held("equal seeds, equal weights")


def judge_shapes(evidence: Evidence) -> Ruling:
    """Outputs have the promised shape and type and are finite, and inputs are left alone."""
    for name, given in evidence.probes.tensors.items():
        if not name.startswith("shape."):
            continue
        came, expected = evidence.answers.get(name), _expected_shape(evidence, given)
        called = f"{evidence.subject} on {_kind(given)} {list(given.shape)}"
        if came is None:
            return _broken(f"{called}: nothing came back")
        if not _matches(list(came.shape), expected):
            return _broken(f"{called}: gave the shape {list(came.shape)}, expected {_axes(expected)}")
        if came.dtype != torch.float32:
            return _broken(f"{called}: gave {_kind(came)}, expected float32")
        if not bool(came.isfinite().all()):
            bad = int((~came.isfinite()).sum())
            return _broken(f"{called}: {bad} of {came.numel()} numbers are NaN or infinite")
    changed = evidence.facts["shapes"]["changed_inputs"]
    if changed:
        return _broken(f"changes its input of the shape {changed[0]} in place, expected it left alone")
    return _held(f"{len(evidence.probes.sizes())} batch sizes and lengths")


def _expected_shape(evidence: Evidence, given: Tensor) -> list[int]:
    """Return the shape of the output for an input; -1 where any number of steps will do."""
    target, batch = evidence.target, given.shape[0]
    length = given.shape[1] if given.dim() > 1 else 1
    if evidence.subject == "layer":
        return list(given.shape)
    if evidence.subject == "embedding":
        return [batch, -1 if target.name == "tabular" else length, evidence.width]
    return list(target.output_shape(batch, length))


def _matches(shape: list[int], expected: list[int]) -> bool:
    same = len(shape) == len(expected)
    return same and all(b in (a, -1) for a, b in zip(shape, expected, strict=True))


def _axes(shape: list[int]) -> str:
    return "[" + ", ".join("S" if extent == -1 else str(extent) for extent in shape) + "]"


def judge_modes(evidence: Evidence) -> Ruling:
    """Eval mode repeats itself and draws nothing; train mode without dropout gives the same."""
    first = evidence.answers["modes.first"]
    if evidence.facts["modes"]["is_drawing"]:
        return _broken(
            "forward draws random numbers in eval mode; dropout belongs in nn.Dropout(config.dropout)"
        )
    for name, when in (("modes.second", "a second time"), ("modes.third", "after a forward in train mode")):
        distance = gap(evidence.answers[name], first)
        if distance:
            return _broken(
                f"eval mode gives other outputs {when}, by {distance:.1e}; expected no memory of calls"
            )
    distance = gap(evidence.answers["modes.train"], first)
    if not distance <= LOOSE_TOLERANCE:
        return _broken(
            f"with config.dropout 0, train mode differs from eval mode by {distance:.1e}, expected equal "
            "outputs: no statistics of the batch, and no dropout but config.dropout"
        )
    return _held("eval mode repeats itself; train mode without dropout is the same")


def judge_independence(evidence: Evidence) -> Ruling:
    """An example's output is the same whatever stands beside it."""
    answers = evidence.answers
    together = answers["independence.together"]
    row = together[WATCHED] if together.dim() else together
    cases = {
        "the other examples are replaced": (answers["independence.others"][WATCHED], TOLERANCE),
        "the batch is turned round": (answers["independence.turned"].flip(0)[WATCHED], TOLERANCE),
        "it is alone in the batch": (answers["independence.alone"][0], LOOSE_TOLERANCE),
    }
    for case, (came, most) in cases.items():
        distance = gap(came, row)
        if not distance <= most:
            return _broken(
                f"an example's output changes by {distance:.1e} when {case}, expected at most {most:.0e}"
            )
    return _held("an example's output does not depend on the others")


def judge_causality(evidence: Evidence) -> Ruling:
    """What comes later changes no earlier output; neither does the length."""
    for name, came in evidence.answers.items():
        kind, _, case = name.partition(".")
        if kind not in ("causality", "faint") or case == "past":
            continue
        past, is_cut = evidence.answers[f"{kind}.past"], case == "cut"
        steps = came.shape[1] if is_cut else int(case) + 1
        most = LOOSE_TOLERANCE if is_cut else TOLERANCE
        distance = gap(came[:, :steps], past[:, :steps])
        if not distance <= most:
            how = f"the sequence ends after step {steps - 1}" if is_cut else f"steps after {steps - 1} change"
            return _broken(
                f"outputs of steps 0 to {steps - 1} change by {distance:.1e} when {how}, expected at most "
                f"{most:.0e}: no step may see a later one (nor norm, pool or attend over all of them)"
            )
    return _held("no step sees a later one")


def judge_block(evidence: Evidence) -> Ruling:
    """The blocks compute what the compiled blueprint computes, each is called, and each matters."""
    facts, answers = evidence.facts["block"], evidence.answers
    assert evidence.blueprint is not None
    for name, calls in zip(facts["blocks"], facts["calls"], strict=True):
        if calls != 1:
            return _broken(f"{name} was called {calls} times in a forward, expected once: self.block(x)")
    difference = block_difference(evidence.blueprint, answers, evidence.probes.tensors)
    if difference:
        return _broken(difference)
    for index, name in enumerate(facts["blocks"]):
        effect = gap(answers[f"noisy.{index}"], answers["quiet"])
        if not effect >= LEAST_EFFECT:
            return _broken(
                f"the output changes by {effect:.1e} when a noise is added to what {name} returns, expected "
                f"at least {LEAST_EFFECT:.0e}: the architecture must use its blocks"
            )
    return _held(
        f"{len(facts['blocks'])} blocks equal the compiled blueprint within {TOLERANCE:.0e}; each matters"
    )


def judge_gradients(evidence: Evidence) -> Ruling:
    """Every parameter gets a gradient, which is finite."""
    facts = evidence.facts["gradients"]
    if facts["unfinite"]:
        return _broken(f"gradients are NaN or infinite: {_named(facts['unfinite'])}")
    if facts["is_input_unfinite"]:
        return _broken("the input's gradient is NaN or infinite (a root or a norm at zero?)")
    if facts["is_input_dead"]:
        return _broken("no gradient reaches the input, so that what comes before could not learn")
    excused = _excused(evidence)
    dead = [name for name in facts["dead"] if name not in excused]
    if dead:
        return _broken(
            f"parameters get no gradient: {_named(dead)}; every one must take part in the output (use it, or "
            "do not make it; nothing detached, nothing under no_grad in forward)"
        )
    note = f"; {len(excused)} of the block's own have none by the blueprint" if excused else ""
    return _held(f"every parameter has a finite gradient{note}")


def _excused(evidence: Evidence) -> set[str]:
    """Return the blocks' parameters that get no gradient in the compiled blueprint either."""
    if evidence.blueprint is None:
        return set()
    names = evidence.facts["construction"]["parameters"]
    excused = set()
    for index, block in enumerate(evidence.facts["construction"]["blocks"]):
        own = [name for name, _ in names if name.startswith(f"{block}.")]
        prefix = f"gradient_input.{index}."
        inputs = [value for name, value in evidence.answers.items() if name.startswith(prefix)]
        dead = dead_parameters(evidence.blueprint, inputs, torch.Generator().manual_seed(0))
        excused |= {name for number, name in enumerate(own) if number in dead}
    return excused & set(evidence.facts["gradients"]["dead"])


def judge_training(evidence: Evidence) -> Ruling:
    """A short training on a small problem lowers the loss on examples whose labels never went in."""
    assert evidence.test_labels is not None
    labels = evidence.test_labels.flatten()
    first = evidence.answers["training.start"]  # what no rate made better, as where every loss is no number
    start, end = _loss(first, labels), _loss(evidence.answers.get("training.end", first), labels)
    chance = math.log(num_classes(evidence.target))
    bound = FALL * min(start, chance)
    losses = evidence.facts["training"]["losses"]
    told = f"from {start:.3f} to {end:.3f} nats on unseen examples"
    if not end <= bound:
        trained = "; ".join(f"rate {rate}: {_nats(c[0])} to {_nats(c[-1])}" for rate, c in losses.items())
        return _broken(
            f"a short training on inputs that each carry the mark of one of {num_classes(evidence.target)} "
            f"classes took the loss {told}, expected at most {bound:.3f} (a model that ignores its input "
            f"stays above {chance:.3f}); training loss by {trained}"
        )
    return _held(f"loss {told}, at most {bound:.3f} expected")


def _nats(loss: float | None) -> str:
    return "no number" if loss is None else f"{loss:.3f}"


def _loss(logits: Tensor, labels: Tensor) -> float:
    """Return the mean cross-entropy in nats; inf where the logits are no numbers."""
    flat = logits.double().flatten(0, -2)
    if flat.shape[0] != labels.shape[0] or not bool(flat.isfinite().all()):
        return float("inf")
    return float(F.cross_entropy(flat, labels))


#: The judgement of each stage.
JUDGEMENTS: Mapping[str, Callable[[Evidence], Ruling]] = {
    "import": judge_import,
    "budget": judge_budget,
    "construction": judge_construction,
    "determinism": judge_determinism,
    "shapes": judge_shapes,
    "modes": judge_modes,
    "independence": judge_independence,
    "causality": judge_causality,
    "block": judge_block,
    "gradients": judge_gradients,
    "training": judge_training,
}


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _named(names: list[str]) -> str:
    more = len(names) - NUM_NAMED
    return ", ".join(names[:NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
