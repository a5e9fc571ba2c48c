"""The stages of an examination: a candidate is imported, built and run in set ways; nothing is judged."""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tamiyo.expansion.inside.building import built, complaint
from tamiyo.expansion.inside.training import train
from tamiyo.expansion.inside.watching import Likeness, difference, likeness

SEED = 20_011


class StageError(Exception):
    """What the examiner itself has to say against a candidate."""


@dataclass
class Exam:
    """What is examined and what is known of it so far.

    Attributes:
        subject: `model`, `embedding`, `layer`, `head` or `initialisation`.
        settings: of the stages, as JSON said them.
        probes: inputs by name.
        answers: outputs by name.
        doing: what is being tried, for the error.
        modules: the folder's modules by name.
        before: torch as it was before the folder was imported.
        given: what the subject was built with and does not own.
    """

    subject: str
    settings: dict[str, Any]
    probes: dict[str, Tensor]
    answers: dict[str, Tensor] = field(default_factory=dict)
    doing: str = ""
    modules: dict[str, Any] = field(default_factory=dict)
    before: Likeness = field(default_factory=dict)
    given: nn.Module | None = None

    def named(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        """Yield the probes whose name begins with `prefix.`."""
        return ((name, probe) for name, probe in self.probes.items() if name.startswith(f"{prefix}."))


def imports(exam: Exam) -> dict[str, Any]:
    """Import every module of the folder; torch must stay what it was."""
    exam.before = likeness()
    for name in exam.settings["modules"]:
        exam.doing = f"import {name}"
        exam.modules[name] = importlib.import_module(name)
        _watch(exam)
    return {}


def budget(exam: Exam) -> dict[str, Any]:
    """Count the parameters without memory for them, where the code can be built so."""
    exam.doing = "build on the meta device, to count its parameters"
    try:
        with torch.device("meta"), _seeded(SEED):
            subject = _built(exam)
    except (
        Exception
    ):  # code that looks at its values cannot be built so; the true build says what else is wrong
        return {"parameters": None}
    return {"parameters": _parameters(subject)}


def construction(exam: Exam) -> dict[str, Any]:
    """Build it for real and list what it holds."""
    exam.doing = f"build {exam.subject}"
    with _seeded(SEED):
        subject = _built(exam)
    _watch(exam)
    return {
        "parameters": _parameters(subject),
        "frozen": [name for name, p in subject.named_parameters() if not p.requires_grad],
        "unfinite": [name for name, p in subject.named_parameters() if not bool(p.isfinite().all())],
        "not_float32": [name for name, p in subject.named_parameters() if p.dtype != torch.float32],
        "blocks": [name for name, _ in _blocks(exam, subject)],
        "complaint": complaint(exam.subject, exam.modules, subject),
    }


def determinism(exam: Exam) -> dict[str, Any]:
    """Build twice from one seed and once from another."""
    states, draws = [], []
    for seed in (SEED, SEED, SEED + 1):
        exam.doing = f"build {exam.subject} from a seed"
        with _seeded(seed):
            states.append(_built(exam).state_dict())
            draws.append(float(torch.rand(())))
    return {
        "names": [sorted(state) for state in states],
        "differing": [name for name in states[0] if not _equal(states[0][name], states[1].get(name))],
        "has_one_start": all(_equal(states[0][name], states[2].get(name)) for name in states[0]),
        "is_seed_reset": draws[0] == draws[2],
        "num_random": sum(value.is_floating_point() for value in states[0].values()),
    }


def shapes(exam: Exam) -> dict[str, Any]:
    """Run it on every batch size and length, in eval mode."""
    subject = _fresh(exam)
    changed = []
    with torch.no_grad():
        for name, probe in exam.named("shape"):
            given = probe.clone()
            exam.answers[name] = _run(exam, subject, given, "in eval mode")
            if not torch.equal(given, probe):
                changed.append(list(probe.shape))
    _watch(exam)
    return {"changed_inputs": changed}


def modes(exam: Exam) -> dict[str, Any]:
    """Run it twice in eval mode, and once in train mode without dropout."""
    subject, probe = _fresh(exam, dropout=0.0), exam.probes["modes"]
    generator = torch.get_rng_state()
    with torch.no_grad():
        exam.answers["modes.first"] = _run(exam, subject, probe, "in eval mode")
        is_drawing = not torch.equal(generator, torch.get_rng_state())
        exam.answers["modes.second"] = _run(exam, subject, probe, "in eval mode, again")
        subject.train()
        exam.answers["modes.train"] = _run(exam, subject, probe, "in train mode with the dropout 0")
        subject.eval()
        exam.answers["modes.third"] = _run(exam, subject, probe, "in eval mode, after train mode")
    return {"is_drawing": is_drawing}


def independence(exam: Exam) -> dict[str, Any]:
    """Run, in float64, examples beside others, in another order and alone."""
    return _answered(exam, "independence")


def causality(exam: Exam) -> dict[str, Any]:
    """Run, in float64, sequences with other futures, loud ones and faint ones."""
    return _answered(exam, "causality") | _answered(exam, "faint")


def block(exam: Exam) -> dict[str, Any]:
    """Run, in float64, the blocks with given weights: alone, in place, and in place with a noise added."""
    alone = exam.modules["block"].Block(exam.settings["width"]).double()
    exam.doing = "run Block alone"
    _give_weights(exam, alone)
    with torch.no_grad():
        for name, probe in exam.named("alone"):
            exam.answers[name] = alone(probe)
        subject = _fresh(exam, dropout=0.0).double()
        blocks = _blocks(exam, subject)
        for _, part in blocks:
            _give_weights(exam, part)
        calls = _captured(exam, subject, blocks)
        for index, (name, part) in enumerate(blocks):
            noise = part.register_forward_hook(_noisy)
            exam.answers[f"noisy.{index}"] = _run(
                exam, subject, exam.probes["block"], f"with a noise after {name}"
            )
            noise.remove()
    return {"blocks": [name for name, _ in blocks], "calls": calls}


def gradients(exam: Exam) -> dict[str, Any]:
    """Run backward: in float32 as it is, then in float64 past the blocks too, so that a dead unit shows."""
    subject = _fresh(exam, dropout=0.0).train()
    own = _own_parameters(exam, subject)
    inputs = _backward(exam, subject, torch.float32)
    unfinite = [name for name, p in own if p.grad is not None and not bool(p.grad.isfinite().all())]
    subject = _fresh(exam, dropout=0.0).train().double()
    own = _own_parameters(exam, subject)
    for index, (_, part) in enumerate(_blocks(exam, subject)):
        _give_weights(exam, part)
        part.register_forward_hook(_remembered(exam, f"gradient_input.{index}"))
        part.register_forward_hook(_bypassed)
    passed = _backward(exam, subject, torch.float64)
    dead = [name for name, p in own if p.grad is None or not bool(p.grad.any())]
    _watch(exam)
    return {
        "unfinite": unfinite,
        "dead": dead,
        "is_input_unfinite": not all(bool(gradient.isfinite().all()) for gradient in inputs),
        "is_input_dead": not all(bool(gradient.any()) for gradient in passed),
    }


def training(exam: Exam) -> dict[str, Any]:
    """Train afresh on a small problem at each rate until one is learned; answer its unseen examples."""
    settings = exam.settings["training"]
    losses: dict[str, list[float | None]] = {}
    lowest = math.inf
    for index, (rate, max_steps) in enumerate(settings["rates"]):
        exam.doing = f"train with Adam at the rate {rate}"
        subject = _fresh(exam, seed=SEED + index)
        if index == 0:
            exam.answers["training.start"] = _run(
                exam, subject, exam.probes["test_inputs"], "before training"
            )
        curve = train(
            subject,
            exam.probes["train_inputs"],
            exam.probes["train_labels"],
            rate=rate,
            batch_size=settings["batch_size"],
            max_steps=max_steps,
            enough=settings["enough"],
        )
        if curve[-1] < lowest:
            lowest, probe = curve[-1], exam.probes["test_inputs"]
            exam.answers["training.end"] = _run(exam, subject.eval(), probe, "after training")
        losses[str(rate)] = [loss if math.isfinite(loss) else None for loss in curve]
        if curve[-1] <= settings["enough"]:
            break
    _watch(exam)
    return {"losses": losses}


STAGES: Mapping[str, Callable[[Exam], dict[str, Any]]] = {
    "import": imports,
    "budget": budget,
    "construction": construction,
    "determinism": determinism,
    "shapes": shapes,
    "modes": modes,
    "independence": independence,
    "causality": causality,
    "block": block,
    "gradients": gradients,
    "training": training,
}


def _built(exam: Exam, dropout: float | None = None) -> nn.Module:
    subject, exam.given = built(exam.subject, exam.modules, dropout)
    return subject


def _fresh(exam: Exam, dropout: float | None = None, seed: int = SEED) -> nn.Module:
    exam.doing = f"build {exam.subject}"
    with _seeded(seed):
        return _built(exam, dropout).eval()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _parameters(subject: nn.Module) -> list[tuple[str, int]]:
    return [(name, parameter.numel()) for name, parameter in subject.named_parameters()]


def _blocks(exam: Exam, subject: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the blocks of a subject, each once, with their names."""
    kind = exam.modules["block"].Block
    return [(name, part) for name, part in subject.named_modules() if type(part) is kind]


def _own_parameters(exam: Exam, subject: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that a subject must use; a head's are not those of the embedding it was given."""
    given = {id(parameter) for parameter in exam.given.parameters()} if exam.given is not None else set()
    return [(name, p) for name, p in subject.named_parameters() if id(p) not in given]


def _run(exam: Exam, subject: nn.Module, probe: Tensor, how: str) -> Tensor:
    """Return what the subject makes of a probe, which must be a tensor."""
    exam.doing = f"{exam.subject} on {str(probe.dtype).removeprefix('torch.')} {list(probe.shape)} {how}"
    output = subject(probe)
    if not isinstance(output, Tensor):
        raise StageError(f"forward returned {type(output).__name__}, expected a tensor")
    return output.detach().clone()


def _answered(exam: Exam, prefix: str) -> dict[str, Any]:
    subject = _fresh(exam, dropout=0.0).double()
    with torch.no_grad():
        for name, probe in exam.named(prefix):
            exam.answers[name] = _run(exam, subject, probe, "in eval mode, all weights in float64")
    return {}


def _give_weights(exam: Exam, part: nn.Module) -> None:
    weights = [weight for _, weight in exam.named("weight")]
    own = list(part.parameters())
    if [list(p.shape) for p in own] != [list(weight.shape) for weight in weights]:
        raise StageError(
            f"the block's parameters are {[list(p.shape) for p in own]}, "
            f"expected those of the blueprint, {[list(w.shape) for w in weights]}"
        )
    with torch.no_grad():
        for parameter, weight in zip(own, weights, strict=True):
            parameter.copy_(weight)


def _captured(exam: Exam, subject: nn.Module, blocks: list[tuple[str, nn.Module]]) -> list[int]:
    """Keep what goes into each block and comes out in one run; return how often each was called."""
    calls = [0] * len(blocks)

    def keep(index: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            exam.answers[f"in.{index}.{calls[index]}"] = inputs[0].detach().clone()
            exam.answers[f"out.{index}.{calls[index]}"] = output.detach().clone()
            calls[index] += 1

        return hook

    handles = [part.register_forward_hook(keep(index)) for index, (_, part) in enumerate(blocks)]
    exam.answers["quiet"] = _run(exam, subject, exam.probes["block"], "with given weights in its blocks")
    for handle in handles:
        handle.remove()
    return calls


def _noisy(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Add a noise as large as a block's output, and at least of deviation one."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
    return output + noise * output.square().mean().sqrt().clamp_min(1.0)


def _remembered(exam: Exam, prefix: str) -> Callable[..., None]:
    calls = 0

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal calls
        exam.answers[f"{prefix}.{calls}"] = inputs[0].detach().clone()
        calls += 1

    return hook


def _bypassed(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Add to a block's output a smooth function of its input: gradients pass whatever the block does."""
    bypass = inputs[0].sin()
    return output + (bypass if output.shape[1] == bypass.shape[1] else bypass.mean(dim=1, keepdim=True))


def _backward(exam: Exam, subject: nn.Module, dtype: torch.dtype) -> list[Tensor]:
    """Add up the gradients of random sums of the outputs; return those of inputs that are floats."""
    gradients = []
    for _, probe in exam.named("gradient"):
        is_float = probe.is_floating_point()
        given = probe.to(dtype).requires_grad_() if is_float else probe
        shown = str(given.dtype).removeprefix("torch.")
        exam.doing = f"{exam.subject} on {shown} {list(given.shape)} in train mode, forward and backward"
        output = subject(given * 1 if is_float else given)
        if not output.requires_grad:
            raise StageError("the output carries no gradient, expected nothing under no_grad in forward")
        generator = torch.Generator().manual_seed(SEED)
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        (output * weights.to(output.dtype)).sum().backward()
        if is_float:
            gradients.append(torch.zeros_like(given) if given.grad is None else given.grad)
    return gradients


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape and torch.allclose(one, other, 0, 0, equal_nan=True)


def _watch(exam: Exam) -> None:
    changed = difference(exam.before)
    if changed:
        raise StageError(f"{changed}; a unit must leave torch as it is")
