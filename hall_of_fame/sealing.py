"""Encrypts a stream with a passphrase and opens it again; knows nothing of what is in it.

AES-256-GCM over frames of 1 MiB, under a key that scrypt (Percival, 2009) makes of the passphrase and a fresh
salt. A frame's nonce is its number and whether it is the last, so frames cannot be left out, swapped or cut
off unnoticed (the STREAM construction: Hoang, Reyhanitabar, Rogaway and Vizár, 2015).

    file   head, frame, frame, ...
    head   MAGIC, log2 of scrypt's cost (1 byte), salt (16 bytes)
    frame  length of what follows (4 bytes, big endian), encrypted bytes with their tag
"""

import io
import os
from typing import IO

from hall_of_fame.errors import StoreError

MAGIC = b"tamiyo sealed 1\n"
FRAME_BYTES = 1 << 20

_COST_LOG2 = 17  # 128 MiB and a few tenths of a second a guess
_MAX_COST_LOG2 = 20
_SALT_BYTES = 16
_TAG_BYTES = 16


class SealedError(StoreError):
    """A sealed stream that cannot be opened: another passphrase, or bytes that were changed or lost."""


class Seal:
    """The key of one file, made of a passphrase and the file's head."""

    def __init__(self, passphrase: str, head: bytes) -> None:
        """Raise StoreError without the library that encrypts, for an empty passphrase or a damaged head."""
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
        except ImportError as error:
            raise StoreError(
                "a passphrase without the package 'cryptography'",
                expected="it installed",
                mend="install the extra 'backup' of this package: pip install 'tamiyo[backup]'",
            ) from error
        if not passphrase:
            raise StoreError("an empty passphrase", expected="at least one character", mend="give one")
        cost = head[len(MAGIC)]
        if cost > _MAX_COST_LOG2:
            raise SealedError("a damaged head", expected="the one that was written", mend="take another copy")
        salt = head[len(MAGIC) + 1 :]
        key = Scrypt(salt=salt, length=32, n=1 << cost, r=8, p=1).derive(passphrase.encode())
        self.head = head
        self._cipher = AESGCM(key)

    @classmethod
    def new(cls, passphrase: str) -> "Seal":
        """Return a seal for a file to be written."""
        return cls(passphrase, MAGIC + bytes([_COST_LOG2]) + os.urandom(_SALT_BYTES))

    @classmethod
    def of(cls, file: IO[bytes], passphrase: str) -> "Seal":
        """Return the seal of a file, its head read."""
        head = file.read(len(MAGIC) + 1 + _SALT_BYTES)
        if len(head) < len(MAGIC) + 1 + _SALT_BYTES:
            raise SealedError("a file cut off in its head", expected="a whole one", mend="take another copy")
        return cls(passphrase, head)

    def close(self, data: bytes, number: int, *, is_last: bool) -> bytes:
        """Return frame `number` with `data` in it."""
        sealed = self._cipher.encrypt(_nonce(number, is_last), data, self.head)
        return len(sealed).to_bytes(4, "big") + sealed

    def open(self, sealed: bytes, number: int, *, is_last: bool) -> bytes:
        """Return what was closed in frame `number`."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(_nonce(number, is_last), sealed, self.head)
        except InvalidTag as error:
            if number == 0:
                raise SealedError(
                    "a passphrase that does not open it, or a file whose beginning was changed",
                    expected="the passphrase that it was written with",
                    mend="check the passphrase",
                ) from error
            raise SealedError(
                f"frame {number} is not the one that was written: the file was changed or cut off",
                expected="an untouched file",
                mend="take another copy",
            ) from error


class SealingWriter:
    """Seals what is written to it into `file`, frame by frame; without `finish` the last frame is missing."""

    def __init__(self, file: IO[bytes], seal: Seal, *, first: int) -> None:
        self._file, self._seal, self._number = file, seal, first
        self._pending = bytearray()

    def write(self, data: bytes) -> int:
        """Take `data`; a whole frame goes to the file as soon as more follows it."""
        self._pending += data
        while len(self._pending) > FRAME_BYTES:
            self._emit(bytes(self._pending[:FRAME_BYTES]), is_last=False)
            del self._pending[:FRAME_BYTES]
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is pending becomes a frame when more comes, or at the end."""

    def finish(self) -> None:
        """Write what is pending as the last frame."""
        self._emit(bytes(self._pending), is_last=True)

    def _emit(self, data: bytes, *, is_last: bool) -> None:
        self._file.write(self._seal.close(data, self._number, is_last=is_last))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Gives what was sealed into `file`, which stands behind the head; at most one frame is held."""

    def __init__(self, file: IO[bytes], seal: Seal) -> None:
        self._file, self._seal, self._number = file, seal, 0
        self._data = memoryview(b"")
        self._length = file.read(4)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer) -> int:
        """Fill `buffer`, or the beginning of it, and return how far; 0 at the end."""
        while not self._data and self._length:
            self._data = memoryview(self._next())
        num = min(len(buffer), len(self._data))
        buffer[:num] = self._data[:num]
        self._data = self._data[num:]
        return num

    def _next(self) -> bytes:
        length = int.from_bytes(self._length, "big")
        sealed = self._file.read(min(length, FRAME_BYTES + _TAG_BYTES))
        self._length = self._file.read(4)
        data = self._seal.open(sealed, self._number, is_last=not self._length)
        self._number += 1
        return data


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
