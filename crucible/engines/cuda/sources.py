"""The persistent kernels' sources as one text for a compiler without files, and the names of their ops."""

import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "src"
#: What the standard header of integers would declare, which a compiler at run time lacks.
INTEGERS = "typedef int int32_t;\ntypedef long int64_t;\n"

_INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
_STANDARD = re.compile(r"^#include <cstdint>$", re.MULTILINE)
_OPS = re.compile(r"#define PERSISTENT_OPS\(ROW\)(.*?)\n\n", re.DOTALL)


@cache
def kernel_source() -> str:
    """Return src/kernels.cu with all that it includes, each file once, for NVRTC."""
    seen: set[Path] = set()
    return INTEGERS + _STANDARD.sub("", _flat(FOLDER / "kernels.cu", seen))


def _flat(path: Path, seen: set[Path]) -> str:
    if path in seen:
        return ""
    seen.add(path)
    text = path.read_text().replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda found: _flat((path.parent / found[1]).resolve(), seen), text)


@cache
def rows() -> dict[str, int]:
    """Return the row of each op in src/ops.h."""
    table = _OPS.search((FOLDER / "ops.h").read_text())
    assert table is not None, "ops.h declares its table"
    return {name: row for row, name in enumerate(re.findall(r"ROW\((\w+),", table[1]))}
