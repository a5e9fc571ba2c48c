"""Rewritten records == raw records, in float64; each rewrite happens where it should.

That rewritten records, the default, have the gradients of their modules stands in test_engine_contract.py;
here they are compared with raw ones of the same kernels.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from engine_agreement import BOUNDS, Bound, assert_agrees, assert_scores_agree, assert_trainings_agree
from engines_here import bits, jobs_of
from hypothesis import given
from hypothesis import strategies as st

from blueprints import CORE_LANGUAGE, Blueprint, parse, random_program
from crucible.engines.native import library
from crucible.engines.native.algebra import Workload, map_work, simplify
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.records import Records, build_records
from crucible.initialisation import initial_parameters
from crucible.program import Program, build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

if library.find_library() is None:
    pytest.skip("the package was built without a C++ compiler", allow_module_level=True)

TEMPORAL = Workload(batch=32, steps=16, is_single=False)
XOR = Workload(batch=64, steps=1, is_single=True)
#: How near rewritten records must be to raw ones.
BOUND = Bound(loss=1e-10, gradient=1e-10, gradient_floor=1e-3, bit=BOUNDS[torch.float64].bit)
#: Programs that one draw of the random law tries.
PROGRAMS_A_DRAW = 10


def program_of(tokens: str, task: Task) -> Program:
    return build_program(parse(tokens.split()).graph, task, 16)


def rewritten(tokens: str, workload: Workload) -> tuple[Counter[str], Records, Records]:
    """Return how often each op occurs after the rewriting, and the records before and after."""
    rows = library.load_library().rows
    before = build_records(program_of(tokens, Xor() if workload.is_single else Temporal()), rows)
    after = simplify(before, rows, workload)
    names = list(rows)
    return Counter(names[row] for row in after.table[:, 0]), before, after


def assert_same_gradients(program: Program, task: Task, *, batch: int, steps: int | None = None) -> None:
    """Compare both kinds of records in float64; the truth is that of raw ones."""
    train = task.splits(0).train
    flat_P = initial_parameters(program, 0).double()

    def values(flat_P: torch.Tensor, *, algebra: bool = False) -> tuple[float, torch.Tensor]:
        data = train.inputs[:batch, :steps], train.targets[:batch], torch.float64
        return NativeEngine(algebra=algebra).loss_and_gradients([program], [flat_P], *data)[0]

    truth = values(flat_P)
    assert_agrees(values(flat_P, algebra=True), truth, truth, BOUND, values, flat_P, str(program.graph))


@given(seed=st.integers(0, 2**31), batch=st.integers(1, 33), core=st.booleans())
def test_random_programs_keep_their_losses_and_gradients(seed: int, batch: int, core: bool) -> None:
    rng = random.Random(seed)
    for i in range(PROGRAMS_A_DRAW):
        tokens = random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12) if core else random_program(rng)
        task = Temporal() if i % 2 else Xor()
        steps = rng.randint(1, 16) if i % 2 else None
        program = build_program(parse(tokens).graph, task, 16)
        assert_same_gradients(program, task, batch=batch, steps=steps)


@pytest.mark.parametrize(
    "tokens",
    [
        "LINEAR OUT_DIM_IN",
        "TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN TANH",
        "TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_QUARTER LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_5 CHANNELS_QUAD TANH LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_5 CHANNELS_IN DILATION_4 GELU",
        "TANH LINEAR OUT_DIM_QUAD CONV1D KERNEL_3 CHANNELS_IN LINEAR OUT_DIM_HALF TANH LINEAR OUT_DIM_IN",
        "TANH CONV1D KERNEL_3 CHANNELS_QUAD DILATION_8 LINEAR OUT_DIM_IN TANH",
        "CONV1D KERNEL_3 CHANNELS_IN CONV1D KERNEL_5 CHANNELS_IN CONV1D KERNEL_7 CHANNELS_IN",
        "LOOP_START REPEAT_4 LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN LOOP_END TANH",
        "LOOP_START REPEAT_4 LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN TANH LOOP_END",
        "RES_START TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN RES_END SCALE",
        "BRANCH_START POOL_MEAN BRANCH_SEP POOL_LAST BRANCH_SEP TANH MERGE_BLEND",
        "BRANCH_START POOL_LAST SIGMOID BRANCH_SEP TANH LAYERNORM MERGE_MUL LINEAR OUT_DIM_IN",
        "BRANCH_START GELU POOL_LAST BRANCH_SEP TANH MERGE_CONCAT LINEAR OUT_DIM_IN",
        "GRU POOL_LAST LINEAR OUT_DIM_IN LINEAR OUT_DIM_IN",
        "TANH MOE EXPERTS_2 KWINNERS KEEP_HALF RMSNORM POOL_LAST",
        "SCAN_START OUT_DIM_IN TANH LOAD STATE_0 MOE EXPERTS_2 SCAN_END LINEAR OUT_DIM_IN",
        "SCAN_START OUT_DIM_HALF CONCAT STATE_0 LINEAR OUT_DIM_HALF LINEAR OUT_DIM_IN LINEAR OUT_DIM_HALF "
        "SCAN_END LINEAR OUT_DIM_IN LINEAR OUT_DIM_IN",
    ],
)
def test_programs_that_are_rewritten_keep_their_losses_and_gradients(tokens: str) -> None:
    for task in (Xor(), Temporal()):
        program = program_of(tokens, task)
        for steps in (1, 2, 5, 16) if task.name == "temporal" else (1,):
            for batch in (7, 64):
                assert_same_gradients(program, task, batch=batch, steps=steps)


SPLIT = "CONV1D KERNEL_3 CHANNELS_QUAD LINEAR OUT_DIM_IN"


@pytest.mark.parametrize(
    ("tokens", "workload", "expected"),
    [
        # Neither of the host's two maps follows a map.
        ("TANH", XOR, "INPUT LINEAR TANH POOL_MEAN LINEAR"),
        ("TANH", TEMPORAL, "INPUT LINEAR TANH POOL_MEAN LINEAR"),
        ("TANH LAYERNORM POOL_LAST", TEMPORAL, "INPUT POOL_LAST LINEAR TANH LAYERNORM LINEAR"),
        ("TANH POOL_MAX", TEMPORAL, "INPUT LINEAR TANH POOL_MAX LINEAR"),
        ("TANH POOL_MAX LINEAR OUT_DIM_IN", XOR, "INPUT LINEAR TANH LINEAR CHAIN_2"),
        ("TANH SCALE", TEMPORAL, "INPUT LINEAR TANH POOL_MEAN SCALE LINEAR"),
        ("TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN TANH", XOR, "INPUT LINEAR TANH CHAIN_2 TANH LINEAR"),
        (f"TANH {SPLIT} TANH", XOR, "INPUT LINEAR TANH CHAIN_2 TANH LINEAR"),
        (f"TANH {SPLIT} TANH", TEMPORAL, "INPUT LINEAR TANH CHAIN_2 TANH POOL_MEAN LINEAR"),
        ("CONV1D KERNEL_5 CHANNELS_IN GELU", TEMPORAL, "INPUT CHAIN_2 GELU POOL_MEAN LINEAR"),
        # Where little is saved, or the product of narrow maps is a wide one, maps stay apart.
        (
            "TANH LINEAR OUT_DIM_QUARTER LINEAR OUT_DIM_IN TANH",
            XOR,
            "INPUT LINEAR TANH LINEAR LINEAR TANH LINEAR",
        ),
        # A loop's repetitions are links of one chain, with the same parameters.
        (
            "TANH LOOP_START REPEAT_2 LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN LOOP_END TANH",
            TEMPORAL,
            "INPUT LINEAR TANH CHAIN_4 TANH POOL_MEAN LINEAR",
        ),
        # Of two convolutions with taps in the past no product is made; on one step they have one tap each.
        (
            "TANH CONV1D KERNEL_3 CHANNELS_QUAD CONV1D KERNEL_3 CHANNELS_IN TANH",
            TEMPORAL,
            "INPUT LINEAR TANH CONV1D CONV1D TANH POOL_MEAN LINEAR",
        ),
        (
            "TANH CONV1D KERNEL_3 CHANNELS_QUAD CONV1D KERNEL_3 CHANNELS_IN TANH",
            XOR,
            "INPUT LINEAR TANH CHAIN_2 TANH LINEAR",
        ),
        # A residual sum is pooled branch by branch, and the host's map with its input.
        (
            "RES_START TANH LINEAR OUT_DIM_IN RES_END",
            TEMPORAL,
            "INPUT POOL_MEAN LINEAR LINEAR TANH POOL_MEAN LINEAR ADD LINEAR",
        ),
        # What is not used is not computed; the input stays.
        (
            "SCAN_START OUT_DIM_IN TANH LOAD STATE_0 GELU SCAN_END",
            TEMPORAL,
            "INPUT STATE GELU POOL_MEAN LINEAR",
        ),
        # A gate of one step is a factor; a gate at every step is none.
        (
            "BRANCH_START POOL_LAST SIGMOID BRANCH_SEP TANH MERGE_MUL",
            TEMPORAL,
            "INPUT POOL_LAST LINEAR LINEAR TANH POOL_MEAN SIGMOID MUL LINEAR",
        ),
        (
            "BRANCH_START SIGMOID BRANCH_SEP TANH MERGE_MUL",
            TEMPORAL,
            "INPUT LINEAR SIGMOID TANH MUL POOL_MEAN LINEAR",
        ),
    ],
)
def test_records_become_what_is_expected(tokens: str, workload: Workload, expected: str) -> None:
    ops, before, after = rewritten(tokens, workload)
    counts = Counter(expected.split())
    for links in (2, 4):
        chains = counts.pop(f"CHAIN_{links}", 0)
        counts += Counter({"weights": chains, "product": chains * (links - 1), "merged": chains})
    assert ops == counts
    if "CHAIN" in expected:
        rows = library.load_library().rows
        assert map_work(after, rows, workload) < map_work(before, rows, workload)


def test_records_come_out_in_one_order() -> None:
    """Two pools of one value once stood in the order of their addresses."""
    tokens = "GELU BRANCH_START POOL_MEAN BRANCH_SEP POOL_LAST BRANCH_SEP LINEAR OUT_DIM_IN MERGE_BLEND"
    tables = {rewritten(tokens, TEMPORAL)[2].table.tobytes() for _ in range(64)}
    assert len(tables) == 1


def test_a_chain_around_the_slots_output_leaves_that_output_to_exams() -> None:
    """Readout and last LINEAR are one chain in training; the slot's output has records beside it."""
    ops, before, after = rewritten("TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN", TEMPORAL)
    assert ops["merged"] == 2
    assert after.pooled < len(after.table) - 1
    assert after.table[after.pooled, 4] == before.table[before.pooled, 4] == 16


def test_work_by_hand() -> None:
    """XOR has 64 columns; the host's map of 2 inputs knows no gradient of them, its readout of 16 does."""
    _, before, after = rewritten("LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN", XOR)
    rows = library.load_library().rows
    assert map_work(before, rows, XOR) == 64 * (2 * 32 + 2 * 3 * 16 * 64 + 3 * 32)
    # The host's map as it was, one of 16 inputs to 2 logits, and two products of 16 columns each.
    assert map_work(after, rows, XOR) == 64 * (2 * 32 + 3 * 32) + 3 * 16 * (16 * 64 + 2 * 16)


def test_short_trainings_agree_in_losses_and_representations(random_blueprints: list[Blueprint]) -> None:
    for task in (Temporal(epochs=1, learning_rate=1e-4), Xor(epochs=4, learning_rate=1e-4)):
        jobs = jobs_of(random_blueprints[:48], task, seeds=[1])
        plain = NativeEngine(algebra=False).train(jobs, task, fingerprints=True)
        assert_trainings_agree(plain, NativeEngine(algebra=True).train(jobs, task, fingerprints=True))


def test_full_trainings_agree_in_their_mean_score(human_blueprints: list[Blueprint]) -> None:
    jobs = jobs_of(human_blueprints[:24], Xor())
    plain = NativeEngine(algebra=False).train(jobs, Xor())
    assert_scores_agree(plain, NativeEngine(algebra=True).train(jobs, Xor()))


def test_fingerprints_change_no_bit_of_the_rest() -> None:
    task = Temporal(epochs=2)
    jobs = jobs_of(["TANH LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN"], task)
    (with_one,) = NativeEngine().train(jobs, task, fingerprints=True)
    (without,) = NativeEngine().train(jobs, task)
    assert with_one.fingerprint is not None
    assert bits(replace(with_one, fingerprint=None)) == bits(without)


def test_the_identity_says_whether_records_are_rewritten() -> None:
    on, off = NativeEngine(algebra=True), NativeEngine(algebra=False)
    assert off.engine_id.replace("/raw", "") == on.engine_id != off.engine_id
    assert NativeEngine().engine_id == on.engine_id
