"""A tiny Llama, built and taught once for all tests of providers."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_llama import build  # transformers takes seconds to load

    return build(tmp_path_factory.mktemp("models") / "tiny")
