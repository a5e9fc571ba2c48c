"""Named tensors as bytes that go into a sandbox and come back: a JSON head and raw numbers, no code."""

import json
import math
from collections.abc import Mapping

import torch

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64, "bool": torch.bool}


def pack(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return tensors as bytes, copied to the CPU; other dtypes than the four known become float64."""
    head, body = [], []
    for name, tensor in tensors.items():
        known = tensor if str(tensor.dtype).removeprefix("torch.") in _DTYPES else tensor.double()
        flat = known.detach().cpu().contiguous()
        head.append([name, str(flat.dtype).removeprefix("torch."), list(flat.shape)])
        body.append(bytes(flat.flatten().view(torch.uint8).numpy()) if flat.numel() else b"")
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(body)


def unpack(data: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors that `pack` wrote.

    Raises:
        ValueError: the bytes are not of that form, whoever wrote them.
    """
    try:
        return _unpacked(data)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no packed tensors in {len(data)} bytes: {error}") from None


def _unpacked(data: bytes) -> dict[str, torch.Tensor]:
    position = 8 + int.from_bytes(data[:8], "little")
    if position > len(data):
        raise ValueError(f"the head would end at byte {position}")
    tensors = {}
    for name, dtype, shape in json.loads(data[8:position]):
        kind, extents = _DTYPES[dtype], [int(extent) for extent in shape]
        num = math.prod(extents)
        end = position + num * kind.itemsize
        if min(extents, default=0) < 0 or end > len(data):
            raise ValueError(f"{name} {extents} would end at byte {end}")
        piece = bytearray(data[position:end])
        flat = torch.frombuffer(piece, dtype=kind) if num else torch.empty(0, dtype=kind)
        tensors[str(name)] = flat.reshape(extents)
        position = end
    return tensors
