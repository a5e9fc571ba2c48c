"""Text for a language model of characters: Python's standard library, or a file of one's own."""

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from config import Config

#: Characters of the alphabet; id 0 stands for every other.
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
#: Characters of the standard library that are read.
NUM_CHARACTERS = 1_000_000
#: Text is dealt out in pieces of so many characters; of every ten, one validates and one tests.
PIECE = 10_000


@dataclass(frozen=True)
class Data:
    """Character ids of each split, `[N]`, and the shapes of what a model reads and writes."""

    splits: dict[str, torch.Tensor]
    input_size: int
    output_size: int
    max_length: int

    def batch(self, split: str, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return random windows, `[size, T]`, and the characters that follow each of theirs, `[size, T]`."""
        ids = self.splits[split]
        starts = torch.randint(len(ids) - self.max_length, (size, 1), generator=generator)
        windows = ids[starts + torch.arange(self.max_length + 1)]
        return windows[:, :-1], windows[:, 1:]

    def batches(self, split: str, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the split's windows in order, each character predicted once."""
        ids = self.splits[split]
        num = (len(ids) - 1) // self.max_length
        inputs = ids[: num * self.max_length].view(num, self.max_length)
        targets = ids[1 : num * self.max_length + 1].view(num, self.max_length)
        yield from zip(inputs.split(size), targets.split(size), strict=True)


def load(path: Path | None, config: Config, seed: int = 0) -> Data:
    """Return the text of a file, or of the standard library, in three splits that share no piece.

    Raises:
        ValueError: the text is too short to be split.
    """
    ids = encode(path.read_text(encoding="utf-8", errors="replace") if path else standard_library())
    pieces = ids.split(PIECE if len(ids) >= 100 * PIECE else max(1, len(ids) // 20))
    dealt = {"train": range(8), "validation": (8,), "test": (9,)}
    splits = {
        name: torch.cat([piece for i, piece in enumerate(pieces) if i % 10 in places] or [ids[:0]])
        for name, places in dealt.items()
    }
    shortest = min(map(len, splits.values()))
    if shortest <= config.max_length:
        raise ValueError(
            f"{len(ids)} characters leave a split of {shortest}; a window has {config.max_length + 1}: "
            "give more text, or lower max_length in config.json"
        )
    size = len(ALPHABET) + 1
    return Data(splits, input_size=size, output_size=size, max_length=config.max_length)


def standard_library() -> str:
    """Return the source of the standard library's modules, by name, as far as it is read."""
    text = ""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text += path.read_text(encoding="utf-8", errors="replace")
        if len(text) >= NUM_CHARACTERS:
            return text[:NUM_CHARACTERS]
    return text


def encode(text: str) -> torch.Tensor:
    """Return the ids of a text's characters."""
    table = bytearray(256)
    for i, character in enumerate(ALPHABET, start=1):
        table[ord(character)] = i
    plain = text.encode("latin-1", errors="replace")
    return torch.frombuffer(bytearray(plain.translate(table)), dtype=torch.uint8).long()


def decode(ids: torch.Tensor) -> str:
    """Return the text of ids; a character outside the alphabet is a question mark."""
    return "".join(("?" + ALPHABET)[i] for i in ids.tolist())
