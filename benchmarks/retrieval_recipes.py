"""Recipes around a block, what each is worth after a short training, and a library that remembers the best.

A recipe is a plan and one of two forms of each unit that has two. Three recipes a blueprint and target are
drawn, expanded and trained; the best is what the library tells of that blueprint. Leaves the language model
to retrieval_model.py and the comparison to retrieval.py.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from blueprints import Blueprint
from blueprints.emitter import emit
from blueprints.human import human
from crucible.evaluation import Evaluation, TaskResult
from hall_of_fame.records import CandidateRecord, RunRecord, TaskRecord
from hall_of_fame.store import Store
from tamiyo.expansion.assembly import assemble
from tamiyo.expansion.examination import check_plan, check_unit
from tamiyo.expansion.knowledge import Passage, neighbour_passages
from tamiyo.expansion.plan import CHOICES
from tamiyo.expansion.records import TARGETS, UNITS, Brief, Designer, Plan, TargetName, UnitName, Verdict
from tamiyo.expansion.template import TemplateDesigner, unit_file
from tamiyo.providers.contract import ProviderError
from tamiyo.sandbox.contract import Job, Limits, Sandbox

#: Blueprints of which the library knows what did well around them.
KNOWN = tuple(
    "mlp rmsnorm_mlp squared_relu_mlp leaky_mlp bottleneck_adapter swiglu highway glu residual_conv "
    "tcn_block depthwise_separable convnext_like gated_conv wavenet_residual mini_attention parallel_block "
    "postnorm_decoder_block gru prenorm_lstm min_gru signed_scan_block hgrn_block fast_weights "
    "k_winners_mlp".split()
)
#: Blueprints that are expanded; nothing is known of them but what they are.
HELD_OUT = tuple(
    "residual_mlp prenorm_mlp geglu gated_tanh residual_depthwise_separable inverted_residual conv_glu_block "
    "transformer_block linear_attention residual_gru lstm s4d_like".split()
)
MAX_PARAMETERS = 60_000
NUM_RECIPES = 3
#: The short training: batches, and examples in each.
STEPS, BATCH = 80, 16
TRAINING_LIMITS = Limits(wall_s=120.0, cpu_s=120.0)
#: Forms of the units that have two: name of the form to the template's file.
FORMS: Mapping[str, Mapping[str, str]] = {
    "layer": {"plain": "layer.py", "carrying": "carrying_layer.py"},
    "columns": {"row": "embedding.py", "steps": "columns_embedding.py"},
}
_RUNNER = """\
from itertools import islice

import torch
from config import read_config
from data import load
from model import build
from train import Settings, loss_of, train


def run(payload):
    torch.manual_seed(payload["seed"])
    config = read_config()
    data = load(None, config, payload["seed"])
    model = build(config)
    settings = Settings(steps=payload["steps"], seed=payload["seed"], batch_size=payload["batch"])
    train(model, data, settings)
    model.eval()
    with torch.no_grad():
        batches = islice(data.batches("validation", 64), 8)
        losses = [loss_of(model(inputs), targets).item() for inputs, targets in batches]
    return sum(losses) / len(losses)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What stands around a block.

    Attributes:
        plan: depth, width and choices.
        layer: form of the layer, a key of `FORMS`.
        columns: how a table is read, a key of `FORMS`; says nothing for other targets.
    """

    plan: Plan
    layer: str
    columns: str

    @property
    def text(self) -> str:
        """What the library tells of it: JSON, the plan first."""
        return plan_line(self.plan) + f" layer {self.layer} columns {self.columns}"

    def units(self, target: TargetName) -> dict[UnitName, str]:
        """Return the source of every unit."""
        paths: dict[UnitName, str] = {name: f"{name}.py" for name in UNITS}
        paths["layer"] = FORMS["layer"][self.layer]
        if target == "tabular":
            paths["embedding"] = FORMS["columns"][self.columns]
        return {name: unit_file(target, path) for name, path in paths.items()}


def plan_line(plan: Plan) -> str:
    """Return a plan as one line of JSON, in the order of its schema."""
    return json.dumps({**asdict(plan), "dropout": 0})


def recipe_from(data: Mapping) -> Recipe:
    """Return the recipe that `asdict` told."""
    return Recipe(**{**data, "plan": Plan(**data["plan"])})


def random_recipe(rng: random.Random, target: TargetName) -> Recipe:
    """Return a recipe with every choice drawn alike."""
    chosen = {name: rng.choice(values) for name, values in CHOICES.items()}
    plan = Plan(
        depth=rng.choice((1, 2, 3)),
        width=rng.choice((32, 48, 64)),
        positions="none" if target == "tabular" else chosen["positions"],
        normalisation=chosen["normalisation"],
        head=chosen["head"],
        initialisation=chosen["initialisation"],
    )
    return Recipe(plan=plan, layer=rng.choice(("plain", "carrying")), columns=rng.choice(("row", "steps")))


def brief_of(name: str, target: TargetName, knowledge: Sequence[str] = ()) -> Brief:
    """Return the brief of a human blueprint."""
    blueprint = human(name)
    return Brief(
        blueprint_id=blueprint.id,
        tokens=blueprint.tokens,
        target=target,
        block_source=emit(blueprint.graph),
        knowledge=tuple(knowledge),
        max_parameters=MAX_PARAMETERS,
    )


def short_training(
    sandbox: Sandbox, brief: Brief, plan: Plan, units: Mapping[UnitName, str], seed: int
) -> float | None:
    """Return the validation loss in nats after a short training; None where the code does not get there."""
    files = {**assemble(brief, plan, units, {}), "short_training.py": _RUNNER.encode()}
    payload = {"steps": STEPS, "batch": BATCH, "seed": seed}
    job = Job(files=files, function="short_training:run", payload=payload)
    outcome = sandbox.run(job, TRAINING_LIMITS)
    return float(outcome.result) if outcome.status == "ok" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A held-out blueprint, expanded for a target by a designer that was told something.

    Attributes:
        name: the blueprint.
        target: what for.
        told: what the designer was told, or `template`.
        valid: for the plan and each unit, whether the first answer passed its checks.
        faults: why not, for those that did not.
        loss: after the short training, the template's parts in place of those that failed; None where it did
            not train.
    """

    name: str
    target: TargetName
    told: str
    valid: dict[str, bool]
    faults: dict[str, str]
    loss: float | None


def tried(sandbox: Sandbox, designer: Designer, brief: Brief, name: str, told: str) -> Case:
    """Return what comes of one expansion, each answer asked for once."""
    template = TemplateDesigner()
    faults: dict[str, str] = {}
    try:
        plan = designer.plan(brief, ())
        faults |= _fault(check_plan(sandbox, brief, plan))
    except ProviderError as error:
        faults["plan"] = str(error)
    if "plan" in faults:
        plan = template.plan(brief)
    done: dict[UnitName, str] = {}
    for unit in UNITS:
        try:
            source = designer.unit(brief, plan, unit, ())
            faults |= _fault(check_unit(sandbox, brief, plan, unit, source, done))
        except ProviderError as error:
            faults[unit] = str(error)
        done[unit] = template.unit(brief, plan, unit) if unit in faults else source
    valid = {subject: subject not in faults for subject in ("plan", *UNITS)}
    loss = short_training(sandbox, brief, plan, done, 0)
    return Case(name=name, target=brief.target, told=told, valid=valid, faults=faults, loss=loss)


def _fault(verdict: Verdict) -> dict[str, str]:
    failure = verdict.failure
    return {} if failure is None else {verdict.subject: f"{failure.name}: {failure.detail}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A recipe around a known blueprint and the loss that it led to; None where it did not train."""

    name: str
    target: TargetName
    recipe: Recipe
    loss: float | None


def trials_to_make(seed: int) -> list[tuple[str, TargetName, Recipe]]:
    """Return every trial of the library in a fixed order."""
    return [
        (name, target, random_recipe(random.Random(f"{seed} {name} {target} {i}"), target))
        for i in range(NUM_RECIPES)
        for name in KNOWN
        for target in TARGETS
    ]


def best_recipes(trials: Sequence[Trial]) -> dict[tuple[str, TargetName], Recipe]:
    """Return the recipe of the lowest loss for each blueprint and target."""
    found: dict[tuple[str, TargetName], Trial] = {}
    for trial in trials:
        key = trial.name, trial.target
        if trial.loss is not None and (key not in found or trial.loss < (found[key].loss or 0.0)):
            found[key] = trial
    return {key: trial.recipe for key, trial in found.items()}


class RememberingLibrary:
    """A real library of all blueprints of this benchmark, with what did well around those that are known.

    Attributes:
        store: the library.
        best: the recipe that did best, by blueprint and target.
    """

    def __init__(self, path: Path, best: Mapping[tuple[str, TargetName], Recipe]) -> None:
        self.store = Store.open(path, create=True)
        self._names = {human(name).id: name for name in (*KNOWN, *HELD_OUT)}
        self.best = best
        _fill(self.store, [human(name) for name in self._names.values()])

    def near(self, name: str, target: TargetName) -> Passage:
        """Return what is told of the likest blueprint of which a recipe is known."""
        remarks = {
            id_: f"Around it did best {self.best[known, target].text}"
            for id_, known in self._names.items()
            if (known, target) in self.best and known != name
        }
        found = neighbour_passages(self.store, human(name).id, 64, remarks)
        return next(passage for passage in found if passage.name in remarks)

    def known(self, passage: Passage) -> str:
        """Return the name of the blueprint that a passage tells of."""
        return self._names[passage.name]


def told(tokens: Sequence[str], recipe: Recipe) -> str:
    """Return what a tiny model is told of a neighbour: its tokens, and what did best around it."""
    return f"Tokens: {' '.join(tokens)}\nAround it did best {recipe.text}"


def _fill(store: Store, blueprints: Sequence[Blueprint]) -> None:
    task = TaskRecord(key="none", name="none", knobs={}, chance=0.0, solved=1.0)
    store.add_run(RunRecord(id="run", created="2026-01-01T00:00:00+00:00", seed=0, config={}))
    store.commit_generation(
        run_id="run",
        generation=0,
        stage="none",
        metrics={},
        candidates=[
            CandidateRecord(position=i, tokens=one.tokens, blueprint_id=one.id, reward=0.0)
            for i, one in enumerate(blueprints)
        ],
        blueprints=blueprints,
        evaluations=[
            Evaluation(
                blueprint_id=one.id,
                results=(TaskResult(task="none", seed=0, score=0.0),),
                num_parameters=0,
                flops=0,
                latency_us=None,
                engine_id="none",
            )
            for one in blueprints
        ],
        tasks=[task],
    )
