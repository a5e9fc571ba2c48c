"""A trained module as a file that others run: weights, a torch.export program or ONNX; trains none.

Weights fill the same module built anew; a program needs torch alone, ONNX a runtime. Programs and ONNX models
are read back and compared with the module before the function returns.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from os import PathLike
from typing import Any

import torch
from torch import nn

from blueprints.compiler import BlueprintModule
from blueprints.errors import TamiyoError

#: Largest difference between the outputs of a module and of its export, relative to outputs beyond 1.
TOLERANCE = 1e-5
#: Examples that an export is traced with, and compared with.
TRACED, COMPARED = 3, 5
#: Loggers on which torch speaks to its own developers.
TORCH_LOGGERS = ("torch.onnx", "torch.fx.experimental.symbolic_shapes")

Path = str | PathLike[str]
TensorFunction = Callable[[torch.Tensor], torch.Tensor]


class ExportError(TamiyoError):
    """A module that cannot be exported, or a file that does not hold what was expected."""


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's `state_dict`; it names parameters and says nothing about the blueprint."""
    torch.save(module.state_dict(), path)


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module, compiled from the same blueprint at the same width, from a file of `save_weights`.

    Nothing but tensors is read, so the file may come from anyone.

    Raises:
        ExportError: when names or shapes are not those of the module.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    wanted = {name: list(value.shape) for name, value in module.state_dict().items()}
    came = {name: list(value.shape) for name, value in state.items()}
    for name in (*wanted, *came):
        if came.get(name) != wanted.get(name):
            raise ExportError(
                f"{name} is {came.get(name, 'missing')} in {path} and {wanted.get(name, 'missing')} in the "
                "module: compile the blueprint that was saved, at the width that it had"
            )
    module.load_state_dict(state)


def export_program(module: BlueprintModule, path: Path, time: int) -> None:
    """Write a module as a `torch.export` program for any number of examples of `time` steps, a `.pt2` file.

    Loops, scans and recurrences over time are unrolled, so `time` is fixed. To run it without this package:
    `torch.export.load(path).module()`.

    Args:
        module: what is exported, with its weights, as it evaluates.
        path: where to.
        time: T of the inputs `[B, T, D]`.

    Raises:
        ExportError: naming the op that `torch.export` cannot trace (every op of the language can be), or when
            the program read back computes something else.
    """
    program = _traced(module, time)
    with _without_torch_notices():
        torch.export.save(program, path)
    _compare(module, load_program(path), time, path)


def load_program(path: Path) -> nn.Module:
    """Return the module that a file of `export_program` holds; load files that you trust alone."""
    with _without_torch_notices():
        return torch.export.load(path).module()


def export_onnx(module: BlueprintModule, path: Path, time: int) -> None:
    """Write a module as an ONNX model for any number of examples of `time` steps: input `x`, output `y`.

    Every op of the language has an ONNX form; GRU and LSTM keep their own, other recurrences are unrolled.

    Args:
        module: what is exported, with its weights, as it evaluates.
        path: where to.
        time: T of the inputs `[B, T, D]`.

    Raises:
        ExportError: naming the op that has no ONNX form (a user's own may have none), when a package of the
            extra is missing, or when the model read back computes something else.
    """
    _onnx_packages()
    program = _traced(module, time)
    try:
        with _without_torch_notices():
            _to_onnx(program, path)
    except torch.onnx.OnnxExporterError as error:
        raise _failure(module, time, "ONNX", lambda part: _to_onnx(part, None), error) from error
    _compare(module, load_onnx(path), time, path)


def load_onnx(path: Path) -> TensorFunction:
    """Return a function from `[B, T, D]` to the output of an ONNX model, run by onnxruntime on the CPU.

    Raises:
        ExportError: when onnxruntime is not installed.
    """
    session = _onnx_packages().InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(x: torch.Tensor) -> torch.Tensor:
        (y,) = session.run(None, {"x": x.numpy(force=True)})
        return torch.from_numpy(y)

    return run


def _traced(module: BlueprintModule, time: int) -> torch.export.ExportedProgram:
    evaluated = deepcopy(module).eval()
    try:
        return _trace(evaluated, (_inputs(module, TRACED, time),))
    except RuntimeError as error:
        raise _failure(module, time, "torch.export", lambda part: part, error) from error


def _trace(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    with _without_torch_notices():
        return torch.export.export(module, inputs, dynamic_shapes=tuple({0: batch} for _ in inputs))


def _to_onnx(program: torch.export.ExportedProgram, path: Path | None) -> None:
    torch.onnx.export(
        program,
        (),
        path,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["x"],
        output_names=["y"],
    )


def _failure(
    module: BlueprintModule,
    time: int,
    form: str,
    convert: Callable[[torch.export.ExportedProgram], Any],
    error: Exception,
) -> ExportError:
    """Return the error that names the first node whose op fails by itself."""
    evaluated = deepcopy(module).eval()
    values = evaluated.values(_inputs(module, TRACED, time))
    label = "the module"
    for node, op in zip(module.graph.nodes[1:], evaluated.ops, strict=True):
        try:
            with _without_torch_notices():
                convert(_trace(op, tuple(values[i].detach() for i in node.inputs)))
        except RuntimeError as own:
            label, error = node.label, own
            break
    reason = str(error.__cause__ or error).strip().splitlines()[0]
    return ExportError(f"{form} cannot express {label}: {reason}; export its weights with save_weights")


def _inputs(module: BlueprintModule, num_examples: int, time: int) -> torch.Tensor:
    """Return normal inputs `[B, T, D]` of the kind that the module computes with; the same at each call."""
    like = next(module.parameters(), torch.empty(0))
    x = torch.randn(num_examples, time, module.width, generator=torch.Generator().manual_seed(0))
    return x.to(like)


def _compare(module: BlueprintModule, exported: TensorFunction, time: int, path: Path) -> None:
    """Raise unless a module and its export agree on another number of examples than it was traced with."""
    x = _inputs(module, COMPARED, time)
    with torch.no_grad():
        expected, came = deepcopy(module).eval()(x).cpu(), exported(x).cpu()
    error = float((came - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    if not error <= TOLERANCE:
        raise ExportError(
            f"the outputs of {path} differ from the module's by {error:.1g}, expected at most {TOLERANCE:g}: "
            "do not use it"
        )


def _onnx_packages() -> Any:
    """Return onnxruntime, when all that ONNX needs is installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ExportError(
            f"ONNX needs {error.name}, which is not installed: pip install 'tamiyo[interop]'"
        ) from error
    return onnxruntime


@contextmanager
def _without_torch_notices() -> Iterator[None]:
    """Leave out what torch says of its own code while it traces and converts: errors hold the reason."""
    levels = {name: logging.getLogger(name).level for name in TORCH_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
