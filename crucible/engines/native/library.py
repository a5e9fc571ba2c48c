"""Finds and loads the compiled interpreter; its records, as src/request.h declares them, for ctypes."""

import ctypes
from collections.abc import Mapping
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np

from crucible.errors import CrucibleError
from curricula.heads import LossName

#: Bytes at whose multiples the interpreter's arrays start.
ALIGNMENT = 64

#: What request.h calls ABI_VERSION; a library of another version is refused.
ABI_VERSION = 10

#: The rows of the interpreter's table of losses, which src/heads.h holds, in its order.
LOSS_IDS: Mapping[LossName, int] = {"cross_entropy": 0, "mse": 1, "likelihood": 2}

OK, TIMED_OUT, OUT_OF_MEMORY, STOPPED, PAUSED, DROPPED = range(6)

_POINTER, _INT32, _INT64, _DOUBLE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_double


class Examples(ctypes.Structure):
    """Splits of all seeds: inputs `[S, N, T, F]`, targets `[S, N, P, L]`, both float32."""

    _fields_ = [("inputs", _POINTER), ("targets", _POINTER), ("count", _INT32), ("steps", _INT32)]


#: Integers in what requests side by side share, as request.h lists them.
NUM_TURNS = 4
#: What exams come to, in the order of a request's measures.
EXAMS = ("validation", "test", "retention")


class Request(ctypes.Structure):
    """Jobs of one task, and where their results go."""

    _fields_ = [
        ("num_jobs", _INT64),
        *((name, _POINTER) for name in ("records", "record_starts", "pooled")),
        *((name, _POINTER) for name in ("parameters", "means", "squares", "parameter_starts")),
        *((name, _POINTER) for name in ("seeds", "order")),
        *((name, Examples) for name in ("train", "validation", "test", "retention", "probe")),
        *((name, _INT32) for name in ("input_width", "loss", "batch", "num_steps")),
        *((name, _INT32) for name in ("num_threads", "is_fingerprinting")),
        *((name, _DOUBLE) for name in ("learning_rate", "clip_norm", "clip_epsilon", "seconds")),
        ("stop_loss", _DOUBLE),
        *((name, _INT32) for name in ("stop_window", "until")),
        *((name, _POINTER) for name in ("num_taken", "seconds_taken")),
        *((name, _POINTER) for name in ("losses", "norms", "measures", "fingerprints")),
        ("width", _INT32),
        *((name, _POINTER) for name in ("statuses", "num_done", "is_cancelled")),
        ("num_places", _INT32),
        ("turns", _POINTER),
        *((name, _INT32) for name in ("num_frozen_first", "num_frozen_last")),
    ]


class Question(ctypes.Structure):
    """One program on one batch, and its loss and gradients."""

    _fields_ = [
        ("records", _POINTER),
        ("num_records", _INT64),
        ("parameters", _POINTER),
        ("num_parameters", _INT64),
        ("inputs", _POINTER),
        ("targets", _POINTER),
        *((name, _INT32) for name in ("batch", "steps", "input_width", "loss")),
        ("value", _DOUBLE),
        ("gradients", _POINTER),
    ]


class Library:
    """The loaded interpreter.

    Attributes:
        variant: the instruction set that it chose.
        compiler: who compiled it, such as `gcc12`; another may round sums in another order.
        rows: op to row of its table.
    """

    def __init__(self, path: Path) -> None:
        self._handle = ctypes.CDLL(str(path))
        if (version := self._handle.native_abi_version()) != ABI_VERSION:
            raise CrucibleError(
                f"{path} has records of version {version}; expected {ABI_VERSION}: build the package anew"
            )
        self._handle.native_variant.restype = ctypes.c_char_p
        self._handle.native_compiler.restype = ctypes.c_char_p
        self._handle.native_op_name.restype = ctypes.c_char_p
        self.variant: str = self._handle.native_variant().decode()
        self.compiler: str = self._handle.native_compiler().decode()
        self.rows: dict[str, int] = {}
        while name := self._handle.native_op_name(len(self.rows)):
            self.rows[name.decode()] = len(self.rows)

    def train(self, request: Request, variant: str) -> None:
        """Train all jobs of `request`; returns when they have ended or were cancelled."""
        if self._handle.native_train(ctypes.byref(request), variant.encode()):
            raise CrucibleError(f"native variant '{variant}' is unknown, or not for this processor")

    def differentiate(self, question: Question, variant: str) -> None:
        """Fill in the loss and gradients of `question`."""
        status = self._handle.native_differentiate(ctypes.byref(question), variant.encode())
        if status == OUT_OF_MEMORY:
            raise MemoryError("the native engine was refused memory for one program")
        if status:
            raise CrucibleError(f"native variant '{variant}' is unknown, or not for this processor")

    def activate(self, op: str, x: np.ndarray, variant: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the values and slopes of an activation at float32 `x`, of a length that 16 divides."""
        values, slopes, places = (_aligned(x.size) for _ in range(3))
        places[:] = x
        addresses = [ctypes.c_void_p(array.ctypes.data) for array in (places, values, slopes)]
        place, value, slope = addresses
        size = ctypes.c_int64(x.size)
        if self._handle.native_activate(self.rows[op], place, size, value, slope, variant.encode()):
            raise CrucibleError(f"{op} is no activation, or {x.size} no multiple of 16")
        return values, slopes


def _aligned(size: int) -> np.ndarray:
    """Return float32 zeros that start at a multiple of 64 bytes, as the interpreter's vectors must."""
    spacious = np.zeros(size + ALIGNMENT // 4, np.float32)
    first = -spacious.ctypes.data % ALIGNMENT // 4
    return spacious[first : first + size]


def find_library() -> Path | None:
    """Return the file of the compiled interpreter, or None where the package was built without it."""
    folder = Path(__file__).parent
    candidates = (folder / f"_interpreter{suffix}" for suffix in EXTENSION_SUFFIXES)
    return next((path for path in candidates if path.exists()), None)


@cache
def load_library() -> Library:
    """Return the interpreter; a CrucibleError says why there is none."""
    path = find_library()
    if path is None:
        raise CrucibleError(
            "the native engine was not built: no C++ compiler was found when the package was installed; "
            "install g++ or clang and build again (python setup.py build_ext --inplace), or use 'batched'"
        )
    try:
        return Library(path)
    except OSError as error:
        raise CrucibleError(f"the native engine does not load: {error}; build the package anew") from error
