"""Modules read back from their exports == the modules, and what cannot be exported says so.

Every export compares the file with the module before it returns, on another number of examples than it was
traced with; most of these tests do once more. Weights take every human blueprint. Programs take every op,
loops, scans and a sample of the human blueprints (0.4 s each); ONNX (a second each) takes every op, loops and
scans in a few long programs, and a smaller sample.
"""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import programs

from blueprints import (
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Language,
    TamiyoError,
    compile_blueprint,
    exporting,
    human,
    parse,
)
from blueprints.compiler import BlueprintModule
from blueprints.exporting import (
    ExportError,
    export_onnx,
    export_program,
    load_onnx,
    load_program,
    load_weights,
    save_weights,
)
from blueprints.ops import OPS, SourceTemplate
from blueprints.ops.row import Op

TIME = 5
HUMANS = [entry.name for entry in HUMAN_BLUEPRINTS]

#: For each op, loop and scan a short program with it.
PROGRAMS = {
    "LINEAR": "LINEAR OUT_DIM_IN",
    "CONV1D": "CONV1D KERNEL_3 CHANNELS_IN DILATION_4",
    "DWCONV1D": "DWCONV1D KERNEL_7 DILATION_2",
    "ATTENTION": "ATTENTION HEADS_2 ATTENTION HEADS_4 FULL",
    "DIAGONAL_SCAN": "DIAGONAL_SCAN GATE_UNIT DIAGONAL_SCAN GATE_SIGNED",
    "MOE": "MOE EXPERTS_2",
    "KWINNERS": "KWINNERS KEEP_QUARTER",
    "ADD": "RES_START POOL_MEAN RES_END",
    "MUL": "GATE_START POOL_MEAN GATE_END",
    "CONCAT": "BRANCH_START POOL_MAX BRANCH_SEP TANH MERGE_CONCAT LINEAR OUT_DIM_IN",
    "BLEND": "BRANCH_START SIGMOID BRANCH_SEP TANH BRANCH_SEP POOL_MEAN MERGE_BLEND",
    "LOOP": "LOOP_START REPEAT_3 LINEAR OUT_DIM_HALF TANH LINEAR OUT_DIM_IN LOOP_END",
    "SCAN": "SCAN_START OUT_DIM_IN ADD STATE_0 TANH SAVE STATE_1 LINEAR OUT_DIM_IN MUL STATE_1 SCAN_END",
    **{op: op for op in ("GRU", "LSTM", "SHIFT", "HEBBIAN", "POOL_MEAN", "POOL_MAX", "POOL_LAST")},
    **{op: op for op in ("LAYERNORM", "RMSNORM", "SCALE", "RELU", "GELU", "SILU", "TANH", "SIGMOID")},
    **{op: op for op in ("ABS", "ELU", "HARD_SWISH", "LEAKY_RELU", "MISH", "SIN", "SOFTPLUS", "SQUARE_RELU")},
}
#: A language in which many of them make one program, and how many such programs they make.
LONG = Language(max_length=500, max_flops=10**8)
NUM_GROUPS = 4


def trained(
    program: str | tuple[str, ...], width: int = 16, language: Language = LANGUAGE
) -> BlueprintModule:
    """A compiled module with no parameter as it starts."""
    tokens = program.split() if isinstance(program, str) else program
    module = compile_blueprint(parse(tokens, language), width, language)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


def assert_equal(module: BlueprintModule, exported, num_examples: int = 2) -> None:
    """Compare on inputs that the export has not seen."""
    x = torch.randn(num_examples, TIME, module.width, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected, came = module(x), exported(x)
    scale = max(1.0, float(expected.abs().max()))
    assert came.shape == expected.shape
    assert float((came - expected).abs().max()) <= 1e-5 * scale


def test_the_programs_have_every_op():
    for op, program in PROGRAMS.items():
        assert any(node.op == op for node in parse(program.split()).graph.all_nodes()), op
    assert set(PROGRAMS) == {*LANGUAGE.table, "LOOP", "SCAN"}


# -- weights -------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(programs(), st.sampled_from([16, 32]))
def test_weights_fill_the_same_module_built_anew(tmp_path_factory, tokens, width):
    path = tmp_path_factory.mktemp("weights") / "module.pt"
    module = trained(tokens, width)
    save_weights(module, path)
    again = compile_blueprint(parse(tokens), width)
    load_weights(again, path)
    x = torch.randn(2, TIME, width)
    # Squares in loops overflow, in both alike.
    torch.testing.assert_close(again(x), module(x), rtol=0, atol=0, equal_nan=True)


def test_weights_of_every_human_blueprint_read_back(tmp_path):
    for name in HUMANS:
        module, again = trained(human(name).tokens), compile_blueprint(human(name), 16)
        save_weights(module, tmp_path / "module.pt")
        load_weights(again, tmp_path / "module.pt")
        x = torch.randn(2, TIME, 16)
        assert torch.equal(again(x), module(x)), name


@pytest.mark.parametrize(
    ("program", "width", "message"),
    [
        ("LINEAR OUT_DIM_IN", 32, "ops.0.weight is [16, 16] in {path} and [32, 32] in the module"),
        ("TANH", 16, "ops.0.weight is [16, 16] in {path} and missing in the module"),
        ("LINEAR OUT_DIM_IN SCALE", 16, "ops.1.weight is missing in {path} and [16] in the module"),
    ],
)
def test_weights_of_another_module_are_refused_by_parameter(tmp_path, program, width, message):
    path = tmp_path / "module.pt"
    save_weights(trained("LINEAR OUT_DIM_IN"), path)
    module = trained(program, width)
    before = [parameter.clone() for parameter in module.parameters()]
    with pytest.raises(ExportError) as caught:
        load_weights(module, path)
    assert isinstance(caught.value, TamiyoError)
    assert str(caught.value) == message.format(path=path) + (
        ": compile the blueprint that was saved, at the width that it had"
    )
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


# -- torch.export --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", PROGRAMS)
def test_a_program_of_every_op_reads_back(tmp_path, op):
    module = trained(PROGRAMS[op])
    export_program(module, tmp_path / "module.pt2", TIME)
    for num_examples in (1, 4):
        assert_equal(module, load_program(tmp_path / "module.pt2"), num_examples)


@pytest.mark.parametrize("name", HUMANS[::40])
def test_a_program_of_a_human_blueprint_reads_back(tmp_path, name):
    module = trained(human(name).tokens)
    export_program(module, tmp_path / "module.pt2", TIME)
    assert_equal(module, load_program(tmp_path / "module.pt2"))


@pytest.mark.slow
def test_programs_of_a_sample_of_human_blueprints_equal_their_modules(tmp_path):
    for name in HUMANS[::8]:
        export_program(trained(human(name).tokens), tmp_path / "module.pt2", time=2)


@pytest.mark.slow
def test_a_program_runs_without_this_package(tmp_path):
    module = trained("RES_START GRU LINEAR OUT_DIM_IN RES_END")
    export_program(module, tmp_path / "module.pt2", TIME)
    x = torch.randn(2, TIME, 16)
    torch.save((x, module(x).detach()), tmp_path / "pair.pt")
    source = (
        "import sys, torch; sys.modules['blueprints'] = None\n"
        "x, y = torch.load('pair.pt')\n"
        "assert torch.equal(torch.export.load('module.pt2').module()(x), y)\n"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_keeps_double_precision(tmp_path):
    module = trained("LINEAR OUT_DIM_IN GELU").double()
    export_program(module, tmp_path / "module.pt2", TIME)
    x = torch.randn(2, TIME, 16, dtype=torch.float64)
    assert torch.allclose(load_program(tmp_path / "module.pt2")(x), module(x), rtol=0, atol=1e-12)


def test_exporting_leaves_the_module_warnings_and_logs_as_they_were(tmp_path):
    module = trained("GRU").train()
    logger = logging.getLogger("torch.onnx")
    before = (str(module.state_dict()), module.training, list(warnings.filters), logger.level)
    export_program(module, tmp_path / "module.pt2", TIME)
    assert (str(module.state_dict()), module.training, list(warnings.filters), logger.level) == before


# -- ONNX ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _onnx():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)


def assert_onnx_reads_back(module: BlueprintModule, path: Path) -> None:
    export_onnx(module, path, TIME)
    for num_examples in (1, 4):
        assert_equal(module, load_onnx(path), num_examples)


@pytest.mark.usefixtures("_onnx")
@pytest.mark.parametrize("start", range(NUM_GROUPS))
def test_an_onnx_model_of_a_group_of_ops_reads_back(tmp_path, start):
    group = list(PROGRAMS.values())[start::NUM_GROUPS]
    program = " ".join(f"RES_START {program} RES_END" for program in group)
    assert_onnx_reads_back(trained(program, language=LONG), tmp_path / "module.onnx")


@pytest.mark.usefixtures("_onnx")
@pytest.mark.parametrize("name", ["squeeze_excitation", "residual_gru"])
def test_an_onnx_model_of_a_human_blueprint_reads_back(tmp_path, name):
    assert_onnx_reads_back(trained(human(name).tokens), tmp_path / "module.onnx")


@pytest.mark.slow
@pytest.mark.usefixtures("_onnx")
@pytest.mark.parametrize("name", HUMANS[5::40])
def test_an_onnx_model_of_a_sample_of_human_blueprints_reads_back(tmp_path, name):
    assert_onnx_reads_back(trained(human(name).tokens), tmp_path / "module.onnx")


# -- what cannot be exported ---------------------------------------------------------------------------------


class Fork(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Bessel(torch.nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


def own_module(name: str, module: type[torch.nn.Module]) -> BlueprintModule:
    """A module of a language with one op more."""
    row = Op(
        name=name,
        family="activation",
        summary="An op of a user.",
        formula="f(x)",
        paper="",
        source=SourceTemplate(forward="{x}"),
        flops=lambda w_in, w_out, attributes: w_in,
        module=lambda w_in, w_out, attributes: module(),
    )
    language = Language((*OPS, row))
    return compile_blueprint(parse((name, "TANH"), language), 16, language)


def test_an_op_that_cannot_be_traced_is_named(tmp_path, capfd):
    with pytest.raises(ExportError) as caught:
        export_program(own_module("FORK", Fork), tmp_path / "module.pt2", TIME)
    assert capfd.readouterr().err == ""
    assert str(caught.value).startswith("torch.export cannot express FORK: ")
    assert str(caught.value).endswith("; export its weights with save_weights")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_onnx")
def test_an_op_without_an_onnx_form_is_named(tmp_path):
    with pytest.raises(ExportError) as caught:
        export_onnx(own_module("BESSEL", Bessel), tmp_path / "module.onnx", TIME)
    assert str(caught.value).startswith("ONNX cannot express BESSEL: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "module.onnx").exists()


def test_an_export_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    module, path = trained("TANH"), tmp_path / "module.pt2"
    monkeypatch.setattr(exporting, "load_program", lambda path: lambda x: module(x) + 0.5)
    with pytest.raises(ExportError) as caught:
        export_program(module, path, TIME)
    assert str(caught.value) == (
        f"the outputs of {path} differ from the module's by 0.5, expected at most 1e-05: do not use it"
    )


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch, name):
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, name, None)
    for use in (lambda path: export_onnx(trained("TANH"), path, TIME), load_onnx):
        with pytest.raises(ExportError) as caught:
            use(tmp_path / "module.onnx")
        assert str(caught.value) == (
            f"ONNX needs {name}, which is not installed: pip install 'tamiyo[interop]'"
        )
