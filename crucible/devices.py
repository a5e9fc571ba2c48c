"""Which devices torch can compute on here, and what they are called; leaves their use to the engines."""

import platform
import re
from pathlib import Path

import torch

from crucible.errors import CrucibleError

_CPUINFO = Path("/proc/cpuinfo")


def find_device(name: str) -> torch.device:
    """Return the device `cpu`, `cuda` or `cuda:i`; a CrucibleError says why it cannot be used."""
    found = re.fullmatch(r"cpu|cuda(?::(0|[1-9][0-9]{0,3}))?", name)
    if found is None:
        raise CrucibleError(f"device {name!r} is none that the Crucible uses; expected cpu, cuda or cuda:0")
    if name != "cpu" and not torch.cuda.is_available():
        raise CrucibleError(f"device '{name}' was asked for, but torch finds no CUDA device here; use 'cpu'")
    if found[1] is not None and int(found[1]) >= (num := torch.cuda.device_count()):
        raise CrucibleError(f"device '{name}' is not there; expected cuda:i with i from 0 to {num - 1}")
    return torch.device(name)


def device_model(device: torch.device) -> str:
    """Return kind and model of a device, such as `cuda/NVIDIA H200`: what a measured time belongs to."""
    if device.type == "cuda":
        return f"cuda/{torch.cuda.get_device_name(device)}"
    return f"{device.type}/{_processor()}"


def _processor() -> str:
    """Return the processor's model, or its architecture where the system names no model."""
    if _CPUINFO.exists():
        found = re.search(r"^model name\s*:\s*(.+)", _CPUINFO.read_text(), re.MULTILINE)
        if found is not None:
            return found[1].strip()
    return platform.processor() or platform.machine()
