"""Every head and input in every engine == the reference in float64; masks, causality and scores are as said.

The reference's loss is torch's own; here it is also worked out by hand.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from engine_agreement import OP_PROGRAMS, assert_gradients_agree, assert_scores_agree, assert_trainings_agree
from engines_here import REFERENCE, Contender, bits, jobs_of
from toy_tasks import TOYS, Toy

from blueprints import IDENTITY, Blueprint, parse
from crucible import Crucible
from crucible.errors import CrucibleError
from crucible.heads import LOSSES, check_split, inputs_as_floats
from crucible.host import build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.program import HOST_SPREAD, build_program
from curricula.heads import HEADS, IGNORED
from curricula.task import Split, Splits
from curricula.xor import Xor

#: The engines that have every head; the persistent one leaves most to the batched one.
ENGINES = pytest.mark.parametrize("any_engine", ["reference", "batched", "native"], indirect=True)
#: Those of them that must do as the reference does.
FAST_ENGINES = pytest.mark.parametrize("contender", ["batched", "native"], indirect=True)
STEP_TOYS = {name: task for name, task in TOYS.items() if HEADS[task.head].is_per_step}


def parsed(*programs: str) -> list[Blueprint]:
    return [parse(program.split()) for program in programs]


@pytest.mark.parametrize("task", TOYS.values(), ids=TOYS)
def test_every_op_has_the_gradients_of_its_module_under_every_head_and_input(
    task: Toy, contender: Contender
) -> None:
    assert_gradients_agree(contender.make(), parsed(*OP_PROGRAMS.values()), task)


@pytest.mark.parametrize("head", ["step_cross_entropy", "pooled_cross_entropy"])
@pytest.mark.parametrize("vocabulary", [12, 64])
def test_vocabularies_of_the_sizes_in_use_have_the_right_gradients(
    vocabulary: int, head, contender: Contender
) -> None:
    task = Toy(symbols=vocabulary, length=16, asks=head)
    assert_gradients_agree(contender.make(), parsed("GRU", "SHIFT LINEAR OUT_DIM_IN"), task)


@FAST_ENGINES
@pytest.mark.parametrize("toy", TOYS)
def test_short_trainings_agree_in_losses_scores_and_representations(
    toy: str, contender: Contender, causal_blueprints: list[Blueprint]
) -> None:
    task = replace(TOYS[toy], learning_rate=1e-4, num_test=256)
    jobs = jobs_of(causal_blueprints[:12], task, seeds=[1])
    expected = REFERENCE.make().train(jobs, task, fingerprints=True)
    found = contender.make().train(jobs, task, fingerprints=True)
    assert_trainings_agree(expected, found)
    for a, b in zip(expected, found, strict=True):
        assert a.score == pytest.approx(b.score, abs=0.02)


@FAST_ENGINES
@pytest.mark.parametrize(
    "toy",
    [
        "pooled_cross_entropy-embedding",
        "step_cross_entropy-linear",
        "pooled_likelihood-linear",
        "step_likelihood-embedding",
        "pooled_mse-linear",
        "step_mse-embedding",
    ],
)
def test_full_trainings_agree_in_their_mean_score(toy: str, contender: Contender) -> None:
    task = replace(TOYS[toy], epochs=15)
    jobs = jobs_of(["SHIFT", "TANH", "LINEAR OUT_DIM_IN GELU", "CONV1D KERNEL_3 CHANNELS_IN"], task)
    assert_scores_agree(REFERENCE.make().train(jobs, task), contender.make().train(jobs, task))


@FAST_ENGINES
@pytest.mark.parametrize("toy", ["pooled_likelihood-embedding", "step_likelihood-linear"])
def test_explained_entropies_agree_job_by_job(toy: str, contender: Contender) -> None:
    """Accuracies may differ by an example here and there; a likelihood has no such steps."""
    task = replace(TOYS[toy], num_train=256)
    read = "" if HEADS[task.head].is_per_step else " POOL_LAST"
    programs = [f"{memory}{read}" for memory in ("SHIFT", "SHIFT LINEAR OUT_DIM_IN", "SHIFT SCALE")]
    jobs = jobs_of(programs, task, seeds=[0, 1])
    expected = REFERENCE.make().train(jobs, task)
    for a, b in zip(expected, contender.make().train(jobs, task), strict=True):
        assert 0.2 < a.score < 0.98
        assert a.score == pytest.approx(b.score, abs=1e-4)
        assert a.validation_score == pytest.approx(b.validation_score, abs=1e-4)


@ENGINES
@pytest.mark.parametrize("reads", ["pooled", "step"])
def test_a_likelihood_is_trained_with_the_bits_of_cross_entropy_and_scored_apart(
    reads: str, any_engine: Contender, causal_blueprints: list[Blueprint]
) -> None:
    found = []
    for loss in ("cross_entropy", "likelihood"):
        task = replace(TOYS[f"{reads}_{loss}-embedding"], name="either")
        jobs = jobs_of(causal_blueprints[:8], task, seeds=[0, 1])
        found.append(any_engine.make().train(jobs, task, fingerprints=True))
    for one, other in zip(*found, strict=True):
        assert one.score != other.score
        blank = {"score": 0.0, "validation_score": 0.0}
        assert bits(replace(one, **blank)) == bits(replace(other, **blank))


@ENGINES
@pytest.mark.parametrize("toy", STEP_TOYS)
def test_memory_solves_what_the_identity_cannot(toy: str, any_engine: Contender) -> None:
    task = replace(STEP_TOYS[toy], num_train=256, epochs=30)
    identity, shift = any_engine.make().train(jobs_of([IDENTITY, "SHIFT"], task), task)
    assert task.normalised(identity.score) < 0.15
    # Of numbers near zero the sign stays unsure: their labels are right, and not certain.
    assert shift.score > (0.95 if toy == "step_likelihood-linear" else 0.98)
    if task.takes == "embedding":
        assert shift.solved_step is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class XorOfEveryStep(Xor):
    """Xor, whose one step is read as every step."""

    head = "step_cross_entropy"

    def draw(self, seed: int) -> Splits:
        splits = super(XorOfEveryStep, self).draw(seed)
        parts = {name: getattr(splits, name) for name in ("train", "validation", "test")}
        return Splits(
            **{name: Split(inputs=p.inputs, targets=p.targets[:, None]) for name, p in parts.items()}
        )


@ENGINES
@pytest.mark.parametrize("batch_size", [16, 64])
def test_reading_every_step_of_one_has_the_bits_of_reading_the_mean(
    batch_size: int, any_engine: Contender, causal_blueprints: list[Blueprint]
) -> None:
    results = []
    for task in (Xor(epochs=4, batch_size=batch_size), XorOfEveryStep(epochs=4, batch_size=batch_size)):
        jobs = jobs_of(causal_blueprints[:16], task, seeds=[0, 1])
        results.append([bits(r) for r in any_engine.make().train(jobs, task, fingerprints=True)])
    assert results[0] == results[1]


@FAST_ENGINES
@pytest.mark.parametrize("toy", TOYS)
def test_bits_are_equal_alone_and_in_company(
    toy: str, contender: Contender, causal_blueprints: list[Blueprint]
) -> None:
    task = TOYS[toy]
    jobs = jobs_of(causal_blueprints[:24], task, seeds=[0, 1, 2])
    together = [bits(r) for r in contender.make().train(jobs, task, fingerprints=True)]
    for i in range(0, len(jobs), 6):
        (alone,) = contender.make().train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i], jobs[i].program.graph


@ENGINES
def test_an_embedding_is_a_linear_map_of_one_hot_inputs(any_engine: Contender) -> None:
    task = TOYS["step_cross_entropy-embedding"]
    (job,) = jobs_of(["GRU TANH"], task)
    flat_P = initial_parameters(job.program, 0).double()
    size = task.symbols * 16
    table_VD, rest = flat_P[:size].view(task.symbols, 16), flat_P[size:]
    split = task.splits(0).train
    ((loss, gradient),) = any_engine.make().loss_and_gradients(
        [job.program], [flat_P], split.inputs, split.targets, torch.float64
    )
    one_hot = replace(task, takes="linear")
    linear = replace_input_width(one_hot, task.symbols)
    program = build_program(job.program.graph, linear, 16)
    one_hot_BTV = torch.nn.functional.one_hot(split.inputs, task.symbols).float()
    ((same, d_linear),) = any_engine.make().loss_and_gradients(
        [program],
        [torch.cat([table_VD.T.flatten(), torch.zeros(16, dtype=torch.float64), rest])],
        one_hot_BTV,
        split.targets,
        torch.float64,
    )
    assert loss == pytest.approx(same, abs=1e-12)
    assert torch.allclose(
        gradient[:size].view(task.symbols, 16), d_linear[:size].view(16, -1).T, atol=1e-12, rtol=0
    )
    assert torch.allclose(gradient[size:], d_linear[size + 16 :], atol=1e-12, rtol=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide(Toy):
    """A toy whose linear inputs have as many features as it has symbols."""

    @property
    def input_width(self) -> int:
        return self.symbols


def replace_input_width(task: Toy, width: int) -> Toy:
    return Wide(name="wide", asks=task.asks, takes="linear", symbols=width)


@ENGINES
@pytest.mark.parametrize("toy", STEP_TOYS)
def test_positions_that_do_not_count_carry_no_gradient(
    toy: str, any_engine: Contender, causal_blueprints: list[Blueprint]
) -> None:
    """The last steps, and all of example 3, are ignored: other inputs there change nothing."""
    task = STEP_TOYS[toy]
    split = task.splits(0).train
    nothing = float("nan") if HEADS[task.head].loss == "mse" else IGNORED
    inputs, targets = split.inputs[:16].clone(), split.targets[:16].clone()
    targets[3] = nothing
    targets[:, -2:] = nothing
    programs = [job.program for job in jobs_of(causal_blueprints[:6], task)]
    parameters = [initial_parameters(program, 2) for program in programs]
    engine = any_engine.make()
    before = engine.loss_and_gradients(programs, parameters, inputs, targets, torch.float64)
    inputs[3] = split.inputs[20]
    inputs[:, -2:] = split.inputs[16:32, -2:]
    after = engine.loss_and_gradients(programs, parameters, inputs, targets, torch.float64)
    for (loss, gradient), (same_loss, same_gradient) in zip(before, after, strict=True):
        assert loss > 0
        assert loss == pytest.approx(same_loss, rel=1e-13)
        assert torch.allclose(gradient, same_gradient, rtol=0, atol=1e-13)


@ENGINES
def test_a_batch_of_which_little_counts_has_the_loss_worked_out_by_hand(any_engine: Contender) -> None:
    """With a readout of zeros all four classes are alike: log 4. With a bias alone, two numbers by hand."""
    for toy, value in (
        ("step_cross_entropy-linear", math.log(4)),
        ("step_likelihood-linear", math.log(4)),
        ("step_mse-linear", (0.25 + 1.0) / 2),
    ):
        task = TOYS[toy]
        (job,) = jobs_of([IDENTITY], task)
        flat_P = torch.zeros(job.program.num_parameters)
        inputs, targets = torch.ones(2, 3, 2), torch.full((2, 3), IGNORED)
        if HEADS[task.head].loss == "mse":
            flat_P[-2:] = torch.tensor([0.5, -1.0])
            targets = torch.full((2, 3, 2), float("nan"))
            targets[1, 2] = 0.0
            bias_slopes = [0.5, -1.0]  # 2 * 0.5 / 2 and 2 * -1 / 2
        else:
            targets[1, 2] = 3
            bias_slopes = [0.25, 0.25, 0.25, -0.75]
        ((loss, gradient),) = any_engine.make().loss_and_gradients([job.program], [flat_P], inputs, targets)
        assert loss == pytest.approx(value, rel=1e-6)
        assert gradient[-len(bias_slopes) :].tolist() == pytest.approx(bias_slopes, rel=1e-6)


@pytest.mark.parametrize("toy", TOYS)
def test_with_the_identity_in_its_slot_the_host_is_affine(toy: str) -> None:
    task = TOYS[toy]
    program = build_program(IDENTITY.graph, task, 16)
    module = build_host(program).double()
    load_parameters(module, initial_parameters(program, 5).double())
    split = task.splits(0).train

    def outputs(x: torch.Tensor) -> torch.Tensor:
        if task.takes == "linear":
            return module(x)
        module_input, module.input = module.input, torch.nn.Identity()
        try:
            return module(x @ module_input.weight)
        finally:
            module.input = module_input

    x = inputs_as_floats(split.inputs, torch.float64)
    if task.takes == "embedding":
        x = torch.nn.functional.one_hot(split.inputs, task.symbols).double()
        assert torch.allclose(outputs(x), module(split.inputs), atol=1e-12)
    a, b = x[:16], x[16:32]
    assert torch.allclose(outputs(a + b) + outputs(0 * a), outputs(a) + outputs(b), atol=1e-12)


@ENGINES
@pytest.mark.parametrize("toy", TOYS)
def test_heads_of_every_step_refuse_blueprints_that_see_later_steps(toy: str, any_engine: Contender) -> None:
    task = TOYS[toy]
    late = parsed("TANH POOL_MEAN", "ATTENTION HEADS_1 FULL", "GATE_START POOL_MAX GATE_END")
    with Crucible(engine=any_engine.make()) as crucible:
        *refused, fine = crucible.run_jobs([(b, task, 0) for b in [*late, *parsed("SHIFT")]])
    assert fine.status == "ok"
    if not HEADS[task.head].is_per_step:
        assert {result.status for result in refused} == {"ok"}
        return
    assert {result.status for result in refused} == {"rejected"}
    assert refused[0].reason.startswith("rule 'not-causal': %2 POOL_MEAN sees later steps; 'step_")
    assert "%1 ATTENTION" in refused[1].reason


def test_a_slot_that_ends_in_a_single_step_is_spread_over_all() -> None:
    task = TOYS["step_mse-linear"]
    (job,) = jobs_of(["POOL_LAST"], task)
    assert job.program.nodes[-2].signature.op == HOST_SPREAD
    assert job.program.nodes[-1].signature.sequence
    module = build_host(job.program)
    outputs_BTK = module(task.splits(0).test.inputs)
    assert outputs_BTK.shape == (task.num_test, task.test_length, 2)
    assert torch.equal(outputs_BTK, outputs_BTK[:, :1].expand_as(outputs_BTK))


def test_chance_follows_from_the_head() -> None:
    assert TOYS["step_cross_entropy-linear"].chance == TOYS["pooled_cross_entropy-linear"].chance == 0.25
    assert TOYS["step_likelihood-linear"].chance == TOYS["pooled_likelihood-embedding"].chance == 0.0
    assert TOYS["step_mse-linear"].chance == TOYS["pooled_mse-embedding"].chance == 0.0
    assert Xor().chance == 0.5


def test_scores_are_worked_out_by_hand() -> None:
    labels = torch.tensor([[1, IGNORED, 0], [2, 2, IGNORED]])
    logits = torch.eye(3)[torch.tensor([[1, 1, 1], [2, 2, 0]])]
    accuracy = LOSSES["cross_entropy"]
    assert accuracy.score(accuracy.measure(logits, labels), labels) == 0.75

    nan = float("nan")
    numbers = torch.tensor([[[1.0], [nan]], [[3.0], [5.0]]])  # mean 3, variance 8/3
    outputs = torch.tensor([[[2.0], [9.0]], [[3.0], [4.0]]])  # off by 1, 0 and 1
    mse = LOSSES["mse"]
    assert mse.measure(outputs, numbers) == pytest.approx(2 / 3)
    assert mse.score(2 / 3, numbers) == pytest.approx(0.75)
    assert mse.score(8 / 3, numbers) == pytest.approx(0.0)
    assert mse.score(5.0, numbers) == 0.0
    assert math.isnan(mse.score(nan, numbers))
    assert math.isnan(mse.measure(outputs * float("inf"), numbers))
    with pytest.raises(CrucibleError, match="do not vary"):
        mse.score(0.0, torch.ones(4, 1))


def test_a_likelihood_scores_the_share_of_the_labels_entropy_that_it_explains() -> None:
    """Labels 0, 0, 1 and 2 have an entropy of 1.5 bits; a step that does not count has whatever logits."""
    labels = torch.tensor([[0, IGNORED, 0], [1, 2, IGNORED]])
    likelihood = LOSSES["likelihood"]

    def score(p_BTK: torch.Tensor) -> float:
        logits = p_BTK.expand(2, 3, 3).log() + 7.0
        return likelihood.score(likelihood.measure(logits, labels), labels)

    in_bits = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]]] * 2)
    in_bits[1, :2] = torch.tensor([[0.125, 0.5, 0.375], [0.25, 0.25, 0.5]])
    in_bits = in_bits.clamp(min=1e-30)
    assert score(in_bits) == pytest.approx(1 - (1 + 0 + 1 + 1) / 4 / 1.5, abs=1e-6)

    shares = torch.tensor([0.5, 0.25, 0.25])
    assert score(shares) == pytest.approx(0.0, abs=1e-6)
    assert all(score(shares.roll(i)) == 0.0 for i in (1, 2))
    assert score(torch.ones(3)) == 0.0
    certain = torch.nn.functional.one_hot(labels.clamp(min=0), 3).float().clamp(min=1e-30)
    assert score(certain) == 1.0
    assert score(certain.roll(1, -1)) == 0.0
    assert math.isnan(score(torch.zeros(3)))
    with pytest.raises(CrucibleError, match="all of one class"):
        likelihood.score(0.0, torch.tensor([[3, IGNORED], [3, 3]]))


def test_chance_to_perfect_is_the_share_of_the_chance_loss_that_is_saved() -> None:
    """Of each loss: what is saved of the loss of the best constant answer."""
    labels = torch.tensor([0, 1, 2, 3])
    half_right = torch.eye(4)[[0, 1, 0, 0]].mul(math.log(5))  # 5 to 1 to 1 to 1
    numbers = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    nats = (2 * math.log(8 / 5) + 2 * math.log(8)) / 4
    for toy, outputs, targets, loss, chance_loss in (
        ("pooled_cross_entropy-linear", half_right, labels, 2 / 4, 3 / 4),
        ("pooled_likelihood-linear", half_right, labels, nats, math.log(4)),
        ("pooled_mse-linear", numbers / 2, numbers, 0.5 / 4, 2 / 4),
    ):
        task = TOYS[toy]
        row = LOSSES[HEADS[task.head].loss]
        found = task.normalised(row.score(row.measure(outputs, targets), targets))
        assert found == pytest.approx(max(0.0, (chance_loss - loss) / chance_loss), abs=1e-6), toy


@pytest.mark.parametrize(
    ("toy", "part", "change", "message"),
    [
        (
            "step_cross_entropy-embedding",
            "inputs",
            lambda x: x + 5,
            "reach from 5 to 16; expected 0 to 11",
        ),
        ("step_cross_entropy-embedding", "inputs", lambda x: x.float(), "inputs are torch.float32"),
        ("step_cross_entropy-linear", "inputs", lambda x: x[..., :1], r"expected torch.float32 \[64, 7, 2\]"),
        (
            "step_cross_entropy-linear",
            "targets",
            lambda t: t * 2,
            "reach from -2 to 6; expected -1 to 3",
        ),
        ("step_cross_entropy-linear", "targets", lambda t: t[:, 0], r"expected torch.int64 \[64, 7\]"),
        ("step_cross_entropy-linear", "targets", lambda t: t * 0 - 1, "no target counts"),
        ("pooled_cross_entropy-linear", "targets", lambda t: t - 1, "reach from -1 to 2; expected 0 to 3"),
        ("step_mse-linear", "targets", lambda t: t.double(), "targets are torch.float64"),
        ("step_mse-linear", "targets", lambda t: t[..., :1], r"expected torch.float32 \[64, 7, 2\]"),
        ("step_mse-linear", "targets", lambda t: t * torch.tensor([1, float("nan")]), "a target is NaN"),
        ("pooled_mse-linear", "targets", lambda t: t * float("nan"), "a target is NaN"),
    ],
)
def test_examples_that_the_head_cannot_take_are_refused_by_name(toy, part, change, message) -> None:
    task = TOYS[toy]
    (job,) = jobs_of([IDENTITY], task)
    good = task.splits(0).train
    check_split(job.program, good, "train split")
    bad = replace(good, **{part: change(getattr(good, part))})
    with pytest.raises(CrucibleError, match=message) as caught:
        check_split(job.program, bad, "train split")
    assert str(caught.value).startswith("train split")
