"""What every engine owes: the gradients of the modules, the reference's trainings, one job one result.

The engines that must do so are the batched one, the native one and, its kernels compiled for this host, the
persistent one. How near is near stands in engine_agreement.py, what becomes of runs that fail in
test_engine_failures.py, and what one engine alone promises in a file of its own.
"""

import random
from dataclasses import replace

import pytest
from engine_agreement import (
    ONCE_WRONG,
    OP_PROGRAMS,
    OPS,
    assert_gradients_agree,
    assert_scores_agree,
    assert_trainings_agree,
)
from engines_here import REFERENCE, Contender, Doubled, bits, jobs_of
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_tasks import TOYS

from blueprints import CORE_LANGUAGE, Blueprint, parse, random_program
from crucible.engines.batched import BatchedEngine
from crucible.engines.native.records import ops_of
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


def name_of(task: Task) -> str:
    return task.name


def for_random_programs(law, contender: Contender, **strategies) -> None:
    """Try a law as Hypothesis does, with as many examples as the engine has time for."""
    usual = settings.default.max_examples  # pyright: ignore[reportOptionalMemberAccess]
    settings(max_examples=min(usual, contender.max_examples or usual))(given(**strategies)(law))()


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_the_gradients_of_its_module(op: str, contender: Contender) -> None:
    engine, blueprint = contender.make(), parse(OP_PROGRAMS[op].split())
    assert any(node.op == op for node in blueprint.graph.nodes)
    assert not engine.missing_ops(ops_of(build_program(blueprint.graph, Xor(), 16)))
    assert_gradients_agree(engine, [blueprint], Xor())
    for steps in (2, 5, 16):
        assert_gradients_agree(engine, [blueprint], Temporal(), steps=steps)


def test_random_programs_have_the_gradients_of_their_modules(contender: Contender) -> None:
    engine = contender.make()

    def law(seed: int, batch: int, sequence: bool, are_core: list[bool]) -> None:
        rng = random.Random(seed)
        blueprints = [
            parse(random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12) if core else random_program(rng))
            for core in are_core
        ]
        task = Temporal() if sequence else Xor()
        assert_gradients_agree(engine, blueprints, task, seed=seed % 1000, batch=batch)

    for_random_programs(
        law,
        contender,
        seed=st.integers(0, 2**31),
        batch=st.integers(1, 33),
        sequence=st.booleans(),
        are_core=st.lists(st.booleans(), min_size=1, max_size=2),
    )


def test_random_programs_have_the_right_gradients_under_every_head_and_input(contender: Contender) -> None:
    engine = contender.make()

    def law(seed: int, toy: str) -> None:
        blueprints = [parse(random_program(random.Random(seed)))]
        assert_gradients_agree(engine, blueprints, TOYS[toy], seed=seed % 1000)

    for_random_programs(law, contender, seed=st.integers(0, 2**31), toy=st.sampled_from(sorted(TOYS)))


def test_human_blueprints_have_the_gradients_of_their_modules(
    contender: Contender, human_blueprints: list[Blueprint]
) -> None:
    assert_gradients_agree(contender.make(), human_blueprints, Temporal())


@pytest.mark.parametrize("program", ONCE_WRONG.values(), ids=ONCE_WRONG)
def test_programs_that_once_went_wrong_have_the_gradients_of_their_modules(
    program: str, contender: Contender
) -> None:
    assert_gradients_agree(contender.make(), [parse(program.split())], Temporal())


def test_a_wider_host_has_the_gradients_of_its_module(contender: Contender) -> None:
    program = "CONV1D KERNEL_5 CHANNELS_QUAD GELU LINEAR OUT_DIM_HALF GRU LINEAR OUT_DIM_IN"
    assert_gradients_agree(contender.make(), [parse(program.split())], Temporal(), width=48, batch=128)


@pytest.mark.parametrize("task", [Temporal(epochs=1), TOYS["pooled_cross_entropy-embedding"]], ids=name_of)
def test_short_trainings_agree_in_losses_and_representations(
    task: Task, contender: Contender, random_blueprints: list[Blueprint]
) -> None:
    task = replace(task, learning_rate=1e-4)
    jobs = jobs_of(random_blueprints[:24], task, seeds=[1])
    expected = REFERENCE.make().train(jobs, task, fingerprints=True)
    assert_trainings_agree(expected, contender.make().train(jobs, task, fingerprints=True))


def test_full_trainings_agree_in_their_mean_score(
    contender: Contender, human_blueprints: list[Blueprint]
) -> None:
    jobs = jobs_of(human_blueprints[:12], Xor())
    assert_scores_agree(REFERENCE.make().train(jobs, Xor()), contender.make().train(jobs, Xor()))


@pytest.mark.parametrize(
    "task",
    [
        Xor(epochs=4),
        Temporal(epochs=1),
        Xor(name="small batches", epochs=2, batch_size=8),
        TOYS["pooled_cross_entropy-embedding"],
    ],
    ids=name_of,
)
def test_bits_are_equal_alone_in_company_and_in_any_order_and_arrangement(
    task: Task, contender: Contender, random_blueprints: list[Blueprint]
) -> None:
    jobs = jobs_of(random_blueprints[: contender.num_jobs], task, seeds=[0, 1, 2])
    together = [bits(r) for r in contender.make().train(jobs, task, fingerprints=True)]
    for keywords in contender.arrangements:
        arranged = contender.make(**keywords).train(jobs[::-1], task, fingerprints=True)
        assert [bits(r) for r in arranged] == together[::-1], keywords
    for i in range(0, len(jobs), 8):
        (alone,) = contender.make(**contender.alone).train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i], jobs[i].program.graph


def test_programs_with_a_callers_own_kernel_train_in_the_batched_engine(
    contender: Contender, short_xor: Xor, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = jobs_of(["TANH", "LINEAR OUT_DIM_IN SIGMOID", "GELU"], short_xor)
    finished: list[int] = []
    own = contender.make(kernels={"SIGMOID": Doubled()})
    with caplog.at_level("INFO"):
        results = own.train(jobs, short_xor, progress=finished.append)
    batched = BatchedEngine(kernels={"SIGMOID": Doubled()}).train(jobs, short_xor)
    plain = contender.make().train(jobs, short_xor)
    assert bits(results[1]) == bits(batched[1]) != bits(plain[1])
    assert [bits(results[0]), bits(results[2])] == [bits(plain[0]), bits(plain[2])]
    assert sum(finished) == 3
    said = f"no {contender.name} kernel for ['SIGMOID']" in caplog.text
    assert said == (contender.name != "batched")
