"""Blueprints, short tasks and the engines under test that several tests of the Crucible share."""

import random

import pytest
from engines_here import BATCHED, HAS_NATIVE, NATIVE, REFERENCE, Contender, persistent

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
def causal_blueprints() -> list[Blueprint]:
    """Random ones that a head of every step takes."""
    return [blueprint for blueprint in sample(256) if blueprint.graph.type.causal]


@pytest.fixture(scope="session")
def human_blueprints() -> list[Blueprint]:
    return [parse(entry.tokens) for entry in HUMAN_BLUEPRINTS]


@pytest.fixture(scope="session")
def short_xor() -> Xor:
    return Xor(epochs=4)


@pytest.fixture(scope="session")
def short_temporal() -> Temporal:
    return Temporal(epochs=1)


@pytest.fixture(scope="session")
def persistent_here(tmp_path_factory: pytest.TempPathFactory) -> Contender:
    return persistent(tmp_path_factory.mktemp("persistent"))


@pytest.fixture(params=["batched", "native", "persistent"])
def contender(request: pytest.FixtureRequest) -> Contender:
    """Every engine that must do as the reference does."""
    return contender_named(request.param, request)


@pytest.fixture(params=["reference", "batched", "native", "persistent"])
def any_engine(request: pytest.FixtureRequest) -> Contender:
    """Every engine."""
    return contender_named(request.param, request)


def contender_named(name: str, request: pytest.FixtureRequest) -> Contender:
    if name == "persistent":
        return request.getfixturevalue("persistent_here")
    if name == "native" and not HAS_NATIVE:
        pytest.skip("the package was built without a C++ compiler")
    return {"reference": REFERENCE, "batched": BATCHED, "native": NATIVE}[name]
