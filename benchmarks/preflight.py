"""Asked before a benchmark starts: is the device there, can OUT be written? Leaves the rest to them."""

import sys
from pathlib import Path

from crucible.devices import find_device
from crucible.errors import CrucibleError


def check(device: str, out: str | Path | None) -> None:
    """Exit with one line and code 1 when `device` is not there or a file at `out` cannot be written."""
    try:
        find_device(device)
        if out is not None:
            path = Path(out)
            new = not path.exists()
            path.open("a").close()
            if new:
                path.unlink()
    except CrucibleError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {out} cannot be written: {error.strerror}; name a file in a folder that is there")
