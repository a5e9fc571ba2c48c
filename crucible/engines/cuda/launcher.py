"""Compiling the persistent kernels with NVRTC and launching them; leaves what they are asked to request.py.

Both libraries come with torch's CUDA builds and the driver: nothing else has to be installed.
"""

import ctypes
import time
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crucible.engines.cuda.request import Request
from crucible.engines.cuda.sources import kernel_source
from crucible.errors import CrucibleError

#: Threads of a block, what src/kernels.cu calls PERSISTENT_THREADS.
NUM_THREADS = 256
#: Share of the free memory that jobs of one launch may take.
MEMORY_SHARE = 0.8
#: How often a running kernel is asked whether it has ended.
POLL_S = 0.001

_SCALARS = {torch.float32: "float", torch.float64: "double"}


class Running(ABC):
    """A launch under way."""

    @abstractmethod
    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return whether the launch has ended. Raises what the launch raised."""


class Launcher(ABC):
    """Runs the kernels `measure`, `train` and `differentiate`. Attributes: `device` of all tensors."""

    device: torch.device

    @abstractmethod
    def memory(self) -> int:
        """Return the bytes that the jobs of one launch may take together."""

    @abstractmethod
    def mailbox(self, size: int) -> Tensor:
        """Return `[size]` int32 zeros that a running kernel and this process both see."""

    @abstractmethod
    def launch(self, kernel: str, num_blocks: int, request: Request, scalar: torch.dtype) -> Running:
        """Start a kernel, compiled for one dtype of scalars, on the current stream."""


class CudaLauncher(Launcher):
    """Launches on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device(
            "cuda", torch.cuda.current_device() if device.index is None else device.index
        )

    def memory(self) -> int:
        """Return most of what is free; what torch keeps without using it is given back first."""
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(MEMORY_SHARE * free)

    def mailbox(self, size: int) -> Tensor:
        """Return pinned memory, which the device reads and writes where it is."""
        return torch.zeros(size, dtype=torch.int32, pin_memory=True)

    def launch(self, kernel: str, num_blocks: int, request: Request, scalar: torch.dtype) -> Running:
        """Start a kernel; the first of a dtype waits for the compiler."""
        with torch.cuda.device(self.device):
            torch.cuda.current_stream().synchronize()  # a context, and all that was brought for the request
            function = _function(self.device.index, scalar, f"persistent_{kernel}")
            parameter = (ctypes.c_void_p * 1)(ctypes.addressof(request))
            stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
            grid, block = (num_blocks, 1, 1), (NUM_THREADS, 1, 1)
            _checked(_driver().cuLaunchKernel(function, *grid, *block, 0, stream, parameter, None))
            event = torch.cuda.Event()
            event.record()
        return _CudaRunning(event)


class _CudaRunning(Running):
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self._event.query():
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True


@cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")


def _checked(status: int) -> None:
    if status:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(status, ctypes.byref(text))
        raise RuntimeError(f"CUDA driver: {(text.value or b'error').decode()} ({status})")


@cache
def _function(index: int, scalar: torch.dtype, name: str) -> ctypes.c_void_p:
    function = ctypes.c_void_p()
    _checked(_driver().cuModuleGetFunction(ctypes.byref(function), _module(index, scalar), name.encode()))
    return function


@cache
def _module(index: int, scalar: torch.dtype) -> ctypes.c_void_p:
    """Return the kernels, compiled for a device and loaded there."""
    major, minor = torch.cuda.get_device_capability(index)
    binary = _compile((f"--gpu-architecture=sm_{major}{minor}", f"-DPERSISTENT_SCALAR={_SCALARS[scalar]}"))
    module = ctypes.c_void_p()
    _checked(_driver().cuModuleLoadData(ctypes.byref(module), binary))
    return module


def _compile(options: tuple[str, ...]) -> bytes:
    nvrtc = _nvrtc()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = kernel_source().encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"persistent.cu", 0, None, None)
    try:
        flags = [option.encode() for option in ("--std=c++17", *options)]
        status = nvrtc.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
        if status:
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            raise CrucibleError(
                f"the persistent kernels were not compiled ({status}); use the engine 'batched'. "
                f"NVRTC says:\n{log.value.decode(errors='replace')}"
            )
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        binary = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, binary)
        return binary.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@cache
def _nvrtc() -> Any:
    """Return NVRTC, as the loader knows it or beside torch."""
    major = (torch.version.cuda or "").partition(".")[0]
    names = [f"libnvrtc.so.{major}", "libnvrtc.so"]
    packages = Path(torch.__file__).parents[1] / "nvidia"
    for name in [*names, *sorted(str(path) for path in packages.glob(f"*/lib/libnvrtc.so.{major}*"))]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CrucibleError(
        f"the persistent engine needs NVRTC, and neither {' nor '.join(names)} is found, nor one under "
        f"{packages}; use the engine 'batched'"
    )
