"""The persistent kernels on the CPU: their sources compiled for the host, a block's threads as threads.

Tests import it; it leaves what the kernels must compute to them.
"""

import ctypes
import os
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from crucible.engines.cuda.launcher import Launcher, Running
from crucible.engines.cuda.request import Request

SOURCE = Path(__file__).parent / "persistent" / "host.cpp"
FLAGS = ("-std=c++17", "-fPIC", "-shared", "-pthread", "-Wall", "-Wextra", "-Werror")
#: Neither float nor double is rounded otherwise than written.
OPTIMISED = ("-O2", "-Wno-unused-parameter")


def compiler() -> str:
    """Return a C++ compiler; skip the test where there is none."""
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        pytest.skip("there is no g++, and CXX names no compiler")
    return found


def build(path: Path, *flags: str, scalar: str = "float", source: Path = SOURCE) -> Path:
    """Compile the kernels for the host into the library `path`."""
    command = [compiler(), *FLAGS, *flags, f"-DPERSISTENT_SCALAR={scalar}", str(source), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


class HostLauncher(Launcher):
    """Runs the kernels in threads of this process, block after block.

    Attributes:
        num_threads: of a block.
        is_backwards: whether the last block runs first.
        limit: bytes that the jobs of one launch may take.
    """

    def __init__(
        self,
        libraries: dict[torch.dtype, Path],
        num_threads: int = 1,
        *,
        is_backwards: bool = False,
        limit: int = 1 << 30,
    ) -> None:
        self.device = torch.device("cpu")
        self.num_threads, self.is_backwards, self.limit = num_threads, is_backwards, limit
        self._libraries = {scalar: _loaded(path) for scalar, path in libraries.items()}

    def memory(self) -> int:
        return self.limit

    def mailbox(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.int32)

    def launch(self, kernel: str, num_blocks: int, request: Request, scalar: torch.dtype) -> Running:
        function = getattr(self._libraries[scalar], f"persistent_{kernel}")
        asked = Request.from_buffer_copy(request)  # as a launch copies it
        return _HostRunning(
            lambda: function(ctypes.byref(asked), num_blocks, self.num_threads, int(self.is_backwards))
        )


class _HostRunning(Running):
    def __init__(self, run) -> None:
        self._thread = threading.Thread(target=run)
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    assert library.persistent_request_size() == ctypes.sizeof(Request)
    return library
