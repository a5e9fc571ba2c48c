"""Messages over a pair of pipes: a header that JSON can say and blobs of bytes; nothing is ever unpickled."""

import json
import os
import select
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

#: Most bytes of one message, so that no length that comes in can fill the memory.
MESSAGE_BYTES = 512 * 1024**2
_LENGTH = struct.Struct(">Q")


def send(descriptor: int, header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message; blocks until the other side has taken it.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    text = json.dumps({"header": header, "blobs": [len(blob) for blob in blobs]}, allow_nan=False).encode()
    for part in (_LENGTH.pack(len(text)), text, *blobs):
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def receive(descriptor: int, deadline: float | None = None) -> tuple[dict[str, Any], list[bytes]]:
    """Return the header and the blobs of the next message.

    Args:
        descriptor: where to read.
        deadline: on `time.monotonic`; None waits for ever.

    Raises:
        EOFError: the other side is gone.
        TimeoutError: the deadline came first.
        ValueError: what came is no message.
    """
    (length,) = _LENGTH.unpack(_read(descriptor, _LENGTH.size, deadline))
    _refuse_giants(length)
    message = json.loads(_read(descriptor, length, deadline))
    lengths = [int(length) for length in message["blobs"]]
    _refuse_giants(sum(lengths))
    return message["header"], [_read(descriptor, length, deadline) for length in lengths]


def _read(descriptor: int, length: int, deadline: float | None) -> bytes:
    """`length` bytes, however many reads they take."""
    parts = bytearray()
    waiter = select.poll()
    waiter.register(descriptor, select.POLLIN)
    while len(parts) < length:
        left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not waiter.poll(left_ms):
            raise TimeoutError(f"no message within its time: {len(parts)} of {length} bytes came")
        part = os.read(descriptor, min(length - len(parts), 1024**2))
        if not part:
            raise EOFError(f"the other side is gone: {len(parts)} of {length} bytes came")
        parts += part
    return bytes(parts)


def _refuse_giants(length: int) -> None:
    if length > MESSAGE_BYTES:
        raise ValueError(f"a message of {length} bytes; at most {MESSAGE_BYTES} are taken")
