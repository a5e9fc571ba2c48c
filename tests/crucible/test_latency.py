"""The latency table: complete, additive, the same after a round trip through its file."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from blueprints import parse
from blueprints.graph import INPUT, Graph, Node
from blueprints.types import ValueType
from crucible import Crucible, LatencyTable
from crucible.errors import CrucibleError
from crucible.latency import SCAN_CALLS
from crucible.stopwatch import Pairs, Stopwatch
from curricula.xor import Xor

_XOR = Xor()


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    return LatencyTable.measure(repeats=3)


def test_every_random_program_has_a_prediction(table, random_blueprints, human_blueprints) -> None:
    for blueprint in [*random_blueprints, *human_blueprints]:
        assert table.predict(blueprint.graph) > 0


def test_a_prediction_is_the_sum_of_its_ops(table) -> None:
    relu, both = parse(["RELU"]), parse(["RELU", "TANH"])
    tanh = parse(["TANH"])
    assert table.predict(both.graph) == pytest.approx(table.predict(relu.graph) + table.predict(tanh.graph))


def test_optional_attributes_cost_what_their_defaults_cost(table) -> None:
    plain, dilated = parse(["DWCONV1D", "KERNEL_3"]), parse(["DWCONV1D", "KERNEL_3", "DILATION_4"])
    assert table.predict(plain.graph) == table.predict(dilated.graph)


def test_between_two_widths_a_prediction_is_linear_and_beyond_them_constant() -> None:
    table = LatencyTable(
        device="cpu", width=16, time=16, batch_size=32, rows={"RELU (sequence)": ((0.5, 10.0), (1.0, 20.0))}
    )
    for width, expected in ((Fraction(3, 4), 15.0), (Fraction(1, 4), 10.0), (Fraction(2), 20.0)):
        value = ValueType(width=width)
        graph = Graph((Node(INPUT, (), (), value), Node("RELU", (), (0,), value)))
        assert table.predict(graph) == pytest.approx(expected)


def test_a_loop_takes_its_body_for_each_repetition_and_a_scan_for_each_step(table) -> None:
    tanh, loop = parse(["TANH"]), parse("LOOP_START REPEAT_3 TANH LOOP_END".split())
    assert table.predict(loop.graph) == pytest.approx(3 * table.predict(tanh.graph))
    scan = parse("SCAN_START OUT_DIM_IN LINEAR OUT_DIM_IN ADD STATE_0 TANH SCAN_END".split())
    single = ("LINEAR width=1 (single)", "ADD (single, single)", "TANH (single)")
    step = sum(dict(table.rows[row])[2.0 if row.startswith("ADD") else 1.0] for row in single)
    ((_, turn),) = table.rows["SCAN (sequence)"]
    assert turn > 0
    assert table.predict(scan.graph) == pytest.approx(table.time * (turn + step))


def test_an_op_in_a_scan_and_one_that_runs_once_have_a_row_each() -> None:
    rows = {"TANH (single)": ((1.0, 2.0),), "TANH (single), once": ((1.0, 7.0),)}
    pool, scan = {"POOL_LAST (sequence)": ((1.0, 5.0),)}, {"SCAN (sequence)": ((1.0, 3.0),)}
    table = LatencyTable(device="cpu", width=16, time=16, batch_size=32, rows={**rows, **pool, **scan})
    looped = "LOOP_START REPEAT_2 TANH LOOP_END"
    scanned = "SCAN_START OUT_DIM_IN {} SCAN_END"
    assert table.predict(parse(["POOL_LAST", "TANH"]).graph) == pytest.approx(5.0 + 7.0)
    assert table.predict(parse(f"POOL_LAST {looped}".split()).graph) == pytest.approx(5.0 + 2 * 7.0)
    assert table.predict(parse(scanned.format("TANH").split()).graph) == pytest.approx(16 * (3.0 + 2.0))
    assert table.predict(parse(scanned.format(looped).split()).graph) == pytest.approx(16 * (3.0 + 4.0))
    one_row = replace(table, rows={"TANH (single)": ((1.0, 2.0),), **pool})
    assert one_row.predict(parse(["POOL_LAST", "TANH"]).graph) == pytest.approx(5.0 + 2.0)
    assert one_row.predict(parse(scanned.format("TANH").split()).graph) == pytest.approx(16 * 2.0)


def test_a_row_is_the_ratio_to_the_reference_at_the_reference_s_median(monkeypatch) -> None:
    turns = itertools.count()

    def pairs(self, run, inputs, repeats):
        slow = 10.0 ** (next(turns) % 2)  # every other measurement falls on a machine ten times as slow
        return Pairs(np.full(repeats, 30.0 * slow), np.full(repeats, 20.0 * slow))

    monkeypatch.setattr(Stopwatch, "pairs", pairs)
    table = LatencyTable.measure(repeats=6)
    assert table.reference_us in (20.0, 110.0, 200.0)
    per_call = 1.5 * table.reference_us
    rows = {"GRU (sequence)": 1, "TANH (single), once": 1, "TANH (single)": SCAN_CALLS}
    for row, calls in {**rows, "SCAN (sequence)": SCAN_CALLS}.items():
        for _, us in table.rows[row]:
            assert us == pytest.approx(per_call / calls)


def test_a_recurrence_costs_more_than_an_activation() -> None:
    table = LatencyTable.measure(repeats=15)  # of three, a busy machine may disturb the median
    assert table.predict(parse(["GRU"]).graph) > 3 * table.predict(parse(["RELU"]).graph)


def test_a_table_survives_its_file(table, tmp_path, random_blueprints) -> None:
    path = tmp_path / "latency.json"
    table.save(path)
    loaded = LatencyTable.load(path)
    assert loaded == table
    with Crucible(num_workers=1, latency_table=loaded) as crucible:
        evaluation = crucible.describe(random_blueprints[0], [_XOR], [])
    assert evaluation.latency_us == table.predict(random_blueprints[0].graph)


def test_a_kill_while_saving_leaves_the_table_that_was_there(table, tmp_path) -> None:
    path = tmp_path / "latency.json"
    table.save(path)
    code = """
        import os, signal, sys
        from pathlib import Path
        from crucible.latency import LatencyTable

        def die(descriptor):
            os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = die
        Path.write_text = lambda self, text: (self.open("w").write(text[:9]), die(0))
        LatencyTable(device="cpu", width=32, time=16, batch_size=32, rows={}).save(sys.argv[1])
    """
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        env=dict(os.environ, PYTHONPATH=str(root)),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert LatencyTable.load(path) == table


def test_a_table_that_cannot_be_saved_is_one_clear_line(table, tmp_path, monkeypatch) -> None:
    with pytest.raises(CrucibleError, match=r"absent/latency.json cannot be written: No such file") as caught:
        table.save(tmp_path / "absent" / "latency.json")
    assert "\n" not in str(caught.value)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CrucibleError, match="No space left"):
        table.save(tmp_path / "latency.json")
    assert not list(tmp_path.iterdir()), "nothing half written stays behind"


def test_measuring_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    LatencyTable.measure(repeats=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_table_of_another_width_or_device_is_refused(table) -> None:
    table.check(16, "cpu")
    replace(table, device="cuda:1").check(16, "cuda")
    table.check(16, torch.device("cpu"))
    for width, device in ((32, "cpu"), (16, "cuda"), (16, "cuda:0")):
        with pytest.raises(
            CrucibleError, match=r"measured at width 16 on cpu; expected width \d+ on c"
        ) as caught:
            table.check(width, device)
        assert f"expected width {width} on {device.partition(':')[0]}" in str(caught.value)


def test_measuring_takes_seconds() -> None:
    start = time.process_time()  # the time of this process, whatever else the machine does
    LatencyTable.measure(repeats=5)
    assert time.process_time() - start < 15


def test_files_that_are_no_table_are_named(tmp_path) -> None:
    with pytest.raises(CrucibleError, match="cannot be read"):
        LatencyTable.load(tmp_path / "absent.json")
    for text in ("{", "[]", "{}", json.dumps({"rows": {}, "colour": 1})):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(CrucibleError, match="no latency table"):
            LatencyTable.load(tmp_path / "bad.json")


def test_an_op_that_was_not_measured_is_named(table) -> None:
    empty = LatencyTable(device="cpu", width=16, time=16, batch_size=32, rows={})
    with pytest.raises(CrucibleError, match="no row 'RELU"):
        empty.predict(parse(["RELU"]).graph)
