"""A head of every step sees no later step, in whole hosts and every engine; what would see one is refused."""

from dataclasses import dataclass, replace

import pytest
import torch
from engines_here import Contender, jobs_of
from toy_tasks import TOYS, Toy

from blueprints import Blueprint
from crucible import Crucible
from crucible.host import build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.heads import IGNORED
from curricula.task import Split, Splits

#: The engines that have heads of every step; the reference's outputs are the host's.
FAST_ENGINES = pytest.mark.parametrize("contender", ["batched", "native"], indirect=True)
#: The last step that later ones may not reach.
LAST_STEPS = (0, 2, 5)


@pytest.fixture(scope="session")
def causal(causal_blueprints: list[Blueprint], human_blueprints: list[Blueprint]) -> list[Blueprint]:
    """Random ones, and all of the human ones that a head of every step takes."""
    return [*causal_blueprints[:64], *(b for b in human_blueprints if b.graph.type.causal)]


def as_many_as_fit(causal: list[Blueprint], contender: Contender) -> list[Blueprint]:
    """Return all where that takes little time, and every eighth elsewhere."""
    return causal if contender.name == "native" else causal[::8]


def redrawn_after(inputs: torch.Tensor, step: int) -> torch.Tensor:
    """Return examples that have one another's later steps."""
    changed = inputs.clone()
    changed[:, step + 1 :] = inputs.roll(1, dims=0)[:, step + 1 :]
    return changed


@pytest.mark.parametrize("toy", ["step_likelihood-linear", "step_likelihood-embedding"])
def test_no_output_of_a_host_changes_when_later_inputs_do(toy: str, causal: list[Blueprint]) -> None:
    task = TOYS[toy]
    inputs = task.splits(0).test.inputs[:8]
    num_changed = 0
    for blueprint in causal:
        program = build_program(blueprint.graph, task, 16)
        module = build_host(program)
        load_parameters(module, initial_parameters(program, 0))
        with torch.no_grad():
            outputs_BTK = module(inputs)
            assert outputs_BTK.isfinite().all()
            for step in range(task.test_length - 1):
                changed_BTK = module(redrawn_after(inputs, step))
                assert torch.equal(outputs_BTK[:, : step + 1], changed_BTK[:, : step + 1]), str(blueprint)
                num_changed += not torch.equal(outputs_BTK[:, step + 1], changed_BTK[:, step + 1])
    assert num_changed > 0.9 * len(causal) * (task.test_length - 1)


@FAST_ENGINES
@pytest.mark.parametrize("toy", ["step_likelihood-embedding", "step_mse-linear"])
def test_no_loss_nor_gradient_changes_when_inputs_do_after_the_last_step_that_counts(
    toy: str, contender: Contender, causal: list[Blueprint]
) -> None:
    task, engine = TOYS[toy], contender.make()
    train = task.splits(0).train
    blueprints = as_many_as_fit(causal, contender)
    programs = [job.program for job in jobs_of(blueprints, task)]
    parameters = [initial_parameters(program, 0) for program in programs]
    for step in LAST_STEPS:
        changed = redrawn_after(train.inputs, step)[:16]
        for reaches, may_differ in ((step, False), (step + 1, True)):
            targets = torch.zeros_like(train.targets[:16])
            targets[:, reaches + 1 :] = float("nan") if targets.is_floating_point() else IGNORED
            before = engine.loss_and_gradients(programs, parameters, train.inputs[:16], targets)
            after = engine.loss_and_gradients(programs, parameters, changed, targets)
            same = [a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in zip(before, after, strict=True)]
            if may_differ:
                assert sum(same) < 0.1 * len(same)
            else:
                assert all(same), [str(blueprints[i]) for i, is_same in enumerate(same) if not is_same]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forked(Toy):
    """A toy whose test examples are those of validation up to a step, and count up to one.

    Attributes:
        forks_after: the last step that they share.
        counts_until: the last step that counts.
    """

    forks_after: int
    counts_until: int

    def draw(self, seed: int) -> Splits:
        """Draw the toy's, two of them alike."""
        splits = super(Forked, self).draw(seed)
        inputs, targets = splits.validation.inputs, splits.validation.targets.clone()
        targets[:, self.counts_until + 1 :] = float("nan") if targets.is_floating_point() else IGNORED
        changed = redrawn_after(inputs, self.forks_after)
        return replace(
            splits,
            validation=Split(inputs=inputs, targets=targets),
            test=Split(inputs=changed, targets=targets),
        )


@FAST_ENGINES
@pytest.mark.parametrize("head", ["step_cross_entropy", "step_likelihood", "step_mse"])
def test_no_exam_changes_when_inputs_do_after_the_last_step_that_counts(
    head, contender: Contender, causal: list[Blueprint]
) -> None:
    step, blueprints = 4, as_many_as_fit(causal, contender)
    alike, other = (
        Forked(asks=head, num_train=256, epochs=4, forks_after=step, counts_until=until)
        for until in (step, step + 1)
    )
    results = contender.make().train(jobs_of(blueprints, alike), alike)
    assert {result.status for result in results} == {"ok"}
    assert [result.validation_score for result in results] == [result.score for result in results]
    assert sum(result.score > 0 for result in results) > 0.3 * len(results)
    seen = contender.make().train(jobs_of(blueprints, other), other)
    assert sum(result.validation_score != result.score for result in seen) > 0.3 * len(seen)


def test_every_blueprint_that_is_not_causal_is_refused_by_that_rule(
    random_blueprints: list[Blueprint], human_blueprints: list[Blueprint]
) -> None:
    blueprints = [*human_blueprints, *random_blueprints[:128]]
    refused = [blueprint for blueprint in blueprints if not blueprint.graph.type.causal]
    assert len(refused) > 32
    for toy in ("step_cross_entropy-linear", "step_likelihood-embedding", "step_mse-linear"):
        with Crucible(engine="reference") as crucible:
            results = crucible.run_jobs([(blueprint, TOYS[toy], 0) for blueprint in refused])
        assert {result.status for result in results} == {"rejected"}
        assert all(result.reason.startswith("rule 'not-causal': %") for result in results)
