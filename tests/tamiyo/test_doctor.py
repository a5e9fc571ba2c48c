"""What `tamiyo doctor` says of this machine, and of one without a compiler."""

import json

import pytest
import torch

from crucible import Crucible
from crucible.crucible import find_engine
from crucible.engines.native import library
from crucible.engines.native.engine import NativeEngine
from tamiyo.cli import main

NATIVE = pytest.mark.skipif(library.find_library() is None, reason="the native engine was not built here")


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(library, "find_library", lambda: None)
    monkeypatch.setattr("tamiyo.doctor.find_library", lambda: None)
    library.load_library.cache_clear()
    yield
    library.load_library.cache_clear()


@NATIVE
def test_the_engine_that_was_built_serves_and_works(capsys) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["engine"].startswith("native: it was built")
    assert found["engine id"].startswith(f"native-{NativeEngine.version}/{library.load_library().variant}-")
    assert found["ops left to the batched engine"] == "none"
    assert found["a ReLU on XOR"].startswith("ok, ")


def test_without_a_compiler_the_batched_engine_serves_and_the_doctor_says_why(
    without_library, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "batched: the native engine was not built: no C++ compiler was found" in out
    assert "native engine                   not built" in out
    assert "c++ compiler                    none found" in out
    assert "a ReLU on XOR                   ok, " in out
    with Crucible(num_workers=1) as crucible:
        assert crucible.engine_id.startswith("batched-")
        assert crucible.fallback_ops == ()


def test_on_another_device_the_batched_engine_serves() -> None:
    engine, why = find_engine("auto", torch.device("cuda"))
    assert engine == "batched"
    assert "the device is 'cuda'" in why


def test_a_device_that_is_not_there_is_one_line(capsys) -> None:
    assert main(["doctor", "--device", "abacus"]) == 1
    assert "device 'abacus'" in capsys.readouterr().err


def test_a_missing_package_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr("tamiyo.doctor.PACKAGES", ("a-package-that-nobody-has",))
    assert main(["doctor"]) == 0
    assert "missing: install tamiyo[train]" in capsys.readouterr().out
