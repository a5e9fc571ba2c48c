"""Blueprints, toy tasks and hostile kernels that several tests of the Crucible share."""

import random

import pytest

from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse, random_program
from curricula.temporal import Temporal
from curricula.xor import Xor


def sample(num: int, seed: int = 0) -> list[Blueprint]:
    rng = random.Random(seed)
    return [parse(random_program(rng)) for _ in range(num)]


@pytest.fixture(scope="session")
def random_blueprints() -> list[Blueprint]:
    return sample(512)


@pytest.fixture(scope="session")
def human_blueprints() -> list[Blueprint]:
    return [parse(entry.tokens) for entry in HUMAN_BLUEPRINTS]


@pytest.fixture(scope="session")
def short_xor() -> Xor:
    return Xor(epochs=4)


@pytest.fixture(scope="session")
def short_temporal() -> Temporal:
    return Temporal(epochs=1)
