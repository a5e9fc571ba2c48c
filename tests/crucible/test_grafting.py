"""A graft in every engine: the host is trained before and stays as it is, the blueprint alone learns.

Gains, rises and refusals are worked out from the host; what tasks make of them stands in tests/curricula.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from engine_agreement import OP_PROGRAMS, assert_gradients_agree, assert_trainings_agree
from engines_here import REFERENCE, Contender, bits, jobs_of
from toy_tasks import GRAFT_TOYS, TOYS, GraftToy, Toy

from blueprints import IDENTITY, Blueprint, num_parameters, parse
from crucible import Crucible, TaskResult
from crucible.engines.reference import ReferenceEngine
from crucible.errors import CrucibleError
from crucible.grading import MAX_RISE, grades
from crucible.grafting import trained_host
from crucible.heads import LOSSES
from crucible.host import build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.program import Program, build_program
from crucible.rivals import RIVALS, rival_of
from curricula.task import Split, Splits

ENGINES = pytest.mark.parametrize("any_engine", ["reference", "batched", "native"], indirect=True)
FAST_ENGINES = pytest.mark.parametrize("contender", ["batched", "native"], indirect=True)
STEP_GRAFT = GRAFT_TOYS["step_mse-linear"]
#: Streams of one step, at which SHIFT gives zero whatever comes in, and no blueprint makes any difference.
SINGLE = replace(GRAFT_TOYS["pooled_mse-linear"], name="single", length=1, test_length=1)
NOTHING = ["SHIFT", "LINEAR OUT_DIM_IN SHIFT", "CONV1D KERNEL_3 CHANNELS_IN LINEAR OUT_DIM_IN SHIFT"]


def programs_of(blueprint: Blueprint, graft: GraftToy) -> tuple[Program, Program]:
    """Return a blueprint's graft, and the identity in a host that learns along with it."""
    whole = Toy(name="whole", asks=graft.asks, takes=graft.takes)
    return build_program(blueprint.graph, graft, 16), build_program(IDENTITY.graph, whole, 16)


@pytest.mark.parametrize("graft", GRAFT_TOYS.values(), ids=GRAFT_TOYS)
def test_every_op_has_the_gradients_of_its_module_behind_a_gate(
    graft: GraftToy, contender: Contender
) -> None:
    blueprints = [parse(program.split()) for program in OP_PROGRAMS.values()]
    assert_gradients_agree(contender.make(), [IDENTITY, *blueprints], graft)


@FAST_ENGINES
@pytest.mark.parametrize("graft", GRAFT_TOYS.values(), ids=GRAFT_TOYS)
def test_short_trainings_of_grafts_agree_in_losses_gains_and_representations(
    graft: GraftToy, contender: Contender, causal_blueprints: list[Blueprint]
) -> None:
    task = replace(graft, learning_rate=1e-3)
    jobs = jobs_of(causal_blueprints[:12], task, seeds=[1])
    expected = REFERENCE.make().train(jobs, task, fingerprints=True)
    found = contender.make().train(jobs, task, fingerprints=True)
    assert_trainings_agree(expected, found)
    for a, b in zip(expected, found, strict=True):
        assert a.gain == pytest.approx(b.gain, abs=2e-3)
        assert a.retention_rise == pytest.approx(b.retention_rise, abs=2e-3)


@ENGINES
def test_a_graft_has_the_same_bits_alone_and_in_company(
    any_engine: Contender, causal_blueprints: list[Blueprint]
) -> None:
    jobs = jobs_of(causal_blueprints[:12], STEP_GRAFT, seeds=[0, 1, 2])
    together = [bits(r) for r in any_engine.make().train(jobs, STEP_GRAFT, fingerprints=True)]
    for i in range(0, len(jobs), 5):
        (alone,) = any_engine.make().train([jobs[i]], STEP_GRAFT, fingerprints=True)
        assert bits(alone) == together[i]


@ENGINES
def test_what_is_frozen_keeps_its_bits_however_long_a_blueprint_trains(any_engine: Contender) -> None:
    for batch_size in (16, 64):
        brief = replace(SINGLE, batch_size=batch_size, epochs=1)
        long = replace(SINGLE, batch_size=batch_size, epochs=40, learning_rate=0.1)
        for seed in (0, 1):
            after = [
                any_engine.make().train(jobs_of(NOTHING, task, [seed]), task, fingerprints=True)
                for task in (brief, long)
            ]
            for one, other in zip(*after, strict=True):
                assert (one.gain, one.retention_rise) == (other.gain, other.retention_rise)
                assert one.fingerprint is not None
                assert other.fingerprint is not None
                assert one.fingerprint.tobytes() == other.fingerprint.tobytes()
                assert other.gradient_norm_max == 0.0  # nothing that learns has a gradient


def test_in_a_host_that_learns_the_same_trainings_change_every_bit() -> None:
    task = Toy(name="single", asks="pooled_mse", takes="linear", length=1, test_length=1)
    prints = []
    for epochs in (1, 40):
        long = replace(task, epochs=epochs)
        (result,) = REFERENCE.make().train(
            jobs_of(["RES_START SHIFT RES_END"], long), long, fingerprints=True
        )
        assert result.fingerprint is not None
        prints.append(result.fingerprint)
        assert result.gradient_norm_max > 0
    assert not np.array_equal(*prints)


@pytest.mark.parametrize("graft", GRAFT_TOYS.values(), ids=GRAFT_TOYS)
def test_with_its_gate_at_zero_a_grafted_host_computes_what_the_host_did(
    graft: GraftToy, causal_blueprints: list[Blueprint]
) -> None:
    x = graft.splits(0).test.inputs
    for blueprint in causal_blueprints[:32]:
        program, plain = programs_of(blueprint, graft)
        flat_P = initial_parameters(program, 0)
        first, last = program.num_frozen
        grafted, host = build_host(program), build_host(plain)
        load_parameters(grafted, flat_P)
        load_parameters(host, torch.cat([flat_P[:first], flat_P[-last:]]))
        assert torch.equal(grafted(x), host(x))


@ENGINES
def test_before_its_gate_opens_a_blueprint_gains_and_spoils_nothing(
    any_engine: Contender, causal_blueprints: list[Blueprint]
) -> None:
    for graft in GRAFT_TOYS.values():
        task = replace(graft, epochs=1, learning_rate=1e-12)
        for result in any_engine.make().train(jobs_of(causal_blueprints[:12], task), task):
            assert result.status == "ok"
            assert result.gain == pytest.approx(0, abs=1e-5)
            assert result.retention_rise == pytest.approx(0, abs=1e-5)
            assert result.reason == ""


@ENGINES
def test_a_blueprint_that_learns_what_its_host_cannot_gains(any_engine: Contender) -> None:
    task = replace(STEP_GRAFT, num_train=256, epochs=60)
    identity, shift = any_engine.make().train(jobs_of([IDENTITY, "SHIFT LINEAR OUT_DIM_IN"], task), task)
    assert identity.score == pytest.approx(0, abs=0.02)
    assert shift.score == shift.gain
    assert shift.score > 0.95
    assert shift.retention_rise is not None
    assert shift.retention_rise < -0.95  # the toy's old question is the new one
    assert shift.validation_score > 0.95


class TestTrainedHost:
    @pytest.mark.parametrize("graft", GRAFT_TOYS.values(), ids=GRAFT_TOYS)
    def test_its_losses_are_what_the_reference_measures(self, graft: GraftToy) -> None:
        _, plain = programs_of(IDENTITY, graft)
        host, module = trained_host(graft, 3, 16), build_host(plain)
        load_parameters(module, torch.from_numpy(np.concatenate([host.input_map, host.readout])))
        assert host.losses.keys() == {"validation", "test", "retention"}
        for name, loss in host.losses.items():
            split = graft.splits(3).by_name[name]
            found = LOSSES["mse"].measure(module(split.inputs).detach(), split.targets)
            assert found == pytest.approx(loss, rel=1e-5)

    @pytest.mark.parametrize("graft", GRAFT_TOYS.values(), ids=GRAFT_TOYS)
    def test_no_other_readout_and_no_gate_before_it_answers_training_better(self, graft: GraftToy) -> None:
        program, _ = programs_of(IDENTITY, graft)
        module = build_host(program).double()
        load_parameters(module, initial_parameters(program, 0).double())
        train = graft.splits(0).train
        inputs = train.inputs if graft.takes == "embedding" else train.inputs.double()
        loss = LOSSES["mse"].loss(module(inputs), train.targets.double())
        slopes = torch.autograd.grad(loss, [*module.readout.parameters(), *module.slot.parameters()])
        assert max(float(slope.abs().max()) for slope in slopes) < 1e-6

    def test_of_all_affine_models_of_linear_inputs_it_is_the_best(self) -> None:
        train = STEP_GRAFT.splits(0).train
        counts = ~train.targets.isnan().any(-1)
        x, y = train.inputs[counts].double(), train.targets[counts].double()
        x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
        best = (x @ torch.linalg.lstsq(x, y).solution - y).square().mean()
        program, _ = programs_of(IDENTITY, STEP_GRAFT)
        module = build_host(program)
        load_parameters(module, initial_parameters(program, 0))
        found = LOSSES["mse"].loss(module(train.inputs).detach(), train.targets)
        assert float(found) == pytest.approx(float(best), rel=1e-5)

    def test_it_has_the_same_bits_with_any_number_of_threads(self) -> None:
        before, hosts = torch.get_num_threads(), []
        try:
            for num in (1, 2):
                torch.set_num_threads(num)
                trained_host.cache_clear()
                hosts.append(trained_host(STEP_GRAFT, 5, 32))
        finally:
            torch.set_num_threads(before)
        assert hosts[0].input_map.tobytes() == hosts[1].input_map.tobytes()
        assert hosts[0].readout.tobytes() == hosts[1].readout.tobytes()

    def test_all_blueprints_of_a_seed_enter_the_same_host(self, causal_blueprints: list[Blueprint]) -> None:
        for blueprint in (IDENTITY, *causal_blueprints[:8]):
            program, _ = programs_of(blueprint, STEP_GRAFT)
            flat_P, host = initial_parameters(program, 4).numpy(), trained_host(STEP_GRAFT, 4, 16)
            first, last = program.num_frozen
            assert flat_P[:first].tobytes() == host.input_map.tobytes()
            assert flat_P[-last:].tobytes() == host.readout.tobytes()
            assert not flat_P[-last - 16 : -last].any()
            assert program.num_slot_parameters == num_parameters(blueprint.graph, 16)


class TestGrades:
    def test_a_gain_is_the_share_of_the_hosts_loss_that_is_gone(self) -> None:
        found = self.grades(validation=0.5, test=0.25, retention=1.005)
        assert (found["validation_score"], found["score"], found["gain"]) == pytest.approx((0.5, 0.75, 0.75))
        assert found["retention_rise"] == pytest.approx(0.005)
        assert "reason" not in found

    def test_who_does_worse_than_the_identity_scores_nothing(self) -> None:
        found = self.grades(validation=1.5, test=9.0, retention=0.5)
        assert (found["validation_score"], found["score"], found["gain"]) == (0.0, 0.0, -1.0)
        assert found["retention_rise"] == pytest.approx(-0.5)

    def test_who_spoils_the_old_question_scores_nothing_and_is_told_why(self) -> None:
        found = self.grades(validation=0.5, test=0.25, retention=1 + 1.5 * MAX_RISE)
        assert (found["validation_score"], found["score"], found["gain"]) == pytest.approx((0.0, 0.0, 0.75))
        assert found["reason"] == "the old question's loss rose by 1.50%; at most 1% is allowed"

    @staticmethod
    def grades(**shares: float) -> dict:
        """Grade measures that are these shares of the host's losses."""
        program, _ = programs_of(IDENTITY, STEP_GRAFT)
        losses = trained_host(STEP_GRAFT, 0, 16).losses
        measures = {name: share * losses[name] for name, share in shares.items()}
        return grades(program, 0, STEP_GRAFT.splits(0), measures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(Toy):
    """A graft that lacks something, as `lacks` says."""

    is_graft = True
    lacks: str = "retention"

    def draw(self, seed: int) -> Splits:
        """Draw a toy's splits, spoilt."""
        splits = Toy.draw(self, seed)
        if self.lacks == "noise":
            exam = Split(inputs=splits.test.inputs, targets=torch.zeros_like(splits.test.targets))
            train = Split(inputs=splits.train.inputs, targets=torch.zeros_like(splits.train.targets))
            return Splits(train=train, validation=exam, test=exam, retention=exam)
        return splits if self.lacks == "retention" else replace(splits, retention=splits.test)


@ENGINES
@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("retention", "is_graft = True and no retention split; expected both, or neither"),
        ("numbers", "has the head 'step_cross_entropy'; expected a regression"),
        ("noise", "with a loss of 0.0; expected more than 0"),
    ],
)
def test_a_graft_that_breaks_its_word_is_refused(lacks: str, message: str, any_engine: Contender) -> None:
    head = "step_cross_entropy" if lacks == "numbers" else "step_mse"
    task = Broken(name=f"no {lacks}", lacks=lacks, takes="linear", asks=head)
    with pytest.raises(CrucibleError, match=message):
        any_engine.make().train(jobs_of([IDENTITY], task), task)


class TestRivals:
    @pytest.mark.parametrize("width", [16, 64])
    def test_a_rival_is_the_smallest_that_has_no_fewer_parameters(self, width: int) -> None:
        sizes = [num_parameters(rival.graph, width) for rival in RIVALS]
        assert sizes == sorted(set(sizes))
        for index, size in enumerate(sizes):
            assert rival_of(size, width) == index
            assert rival_of(size + 1, width) == min(index + 1, len(RIVALS) - 1)
        assert rival_of(0, width) == 0

    def test_a_rival_gains_nothing_over_itself_and_others_are_compared_with_it(self) -> None:
        progress: list[int] = []
        with Crucible(engine="batched", num_workers=1) as crucible:
            blueprints = [
                RIVALS[2],
                parse(["LINEAR", "OUT_DIM_IN", "TANH", "LINEAR", "OUT_DIM_IN"]),
                IDENTITY,
            ]
            evaluations = crucible.evaluate(blueprints, [STEP_GRAFT], [0, 1], progress=progress.append)
        assert sum(progress) == 6  # rivals are nobody's runs
        same, other, identity = (evaluation.results for evaluation in evaluations)
        assert [result.gain_over_rival for result in same] == [0.0, 0.0]
        assert [result.rival_gain for result in other] == [result.gain for result in same]
        assert [result.rival_gain for result in identity] != [result.gain for result in same]

    def test_rivals_are_trained_once(self) -> None:
        engine = Counting()
        with Crucible(engine=engine) as crucible:
            for _ in range(2):
                crucible.evaluate([IDENTITY], [STEP_GRAFT, TOYS["step_mse-linear"]], [0, 1])
        assert engine.num_trained == 2 * 4 + 2

    def test_what_is_no_graft_has_no_rival(self) -> None:
        with Crucible(engine="batched", num_workers=1) as crucible:
            (evaluation,) = crucible.evaluate([IDENTITY], [TOYS["step_mse-linear"]], [0])
        (result,) = evaluation.results
        assert (result.gain, result.retention_rise, result.rival_gain) == (None, None, None)


class Counting(ReferenceEngine):
    """Counts the jobs that it trains."""

    num_trained = 0

    def train(self, jobs, task, **keywords) -> list[TaskResult]:
        self.num_trained += len(jobs)
        return super().train(jobs, task, **keywords)
