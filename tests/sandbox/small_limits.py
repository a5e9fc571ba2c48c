"""Limits that keep an attack that gets through from harming the machine of the tests."""

import dataclasses

from tamiyo.sandbox.contract import Limits

SMALL = Limits(
    wall_s=20.0,
    cpu_s=10.0,
    memory_bytes=192 * 1024**2,
    num_processes=8,
    num_files=32,
    file_bytes=4 * 1024**2,
    output_bytes=16 * 1024,
)

#: What no candidate may ever see; it is in the environment of the tests when a sandbox starts.
SECRET = "the-secret-of-the-tests"


def limits(**changes: float) -> Limits:
    """Return `SMALL` with other values."""
    return dataclasses.replace(SMALL, **changes)
