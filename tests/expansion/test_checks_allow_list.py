"""The allow-list: its names exist, the template keeps to it, errors say line, what came and what fits."""

import importlib

import pytest
from checking import DESIGNER, brief_for, template_units

from tamiyo.expansion.allow_list import MAX_CHARACTERS, described, faults
from tamiyo.expansion.allowed_names import BUILTINS, MODULES
from tamiyo.expansion.examination import OWN_MODULES
from tamiyo.expansion.records import TARGETS, UNITS, TargetName, UnitName


@pytest.mark.parametrize("module", MODULES)
def test_every_allowed_name_exists(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in MODULES[module] if not hasattr(found, name)] == []


def test_no_allowed_name_is_a_module_but_those_of_the_table() -> None:
    kind = type(importlib)
    for module, names in MODULES.items():
        held = importlib.import_module(module)
        inner = {f"{module}.{name}" for name in names if isinstance(getattr(held, name), kind)}
        assert inner <= set(MODULES)


def test_no_builtin_runs_text_or_reaches_the_interpreter() -> None:
    assert not BUILTINS & {
        *(
            "eval",
            "exec",
            "compile",
            "open",
            "input",
            "getattr",
            "setattr",
            "delattr",
            "vars",
            "globals",
            "locals",
        ),
        *("__import__", "type", "dir", "id", "breakpoint", "memoryview", "print", "exit", "quit", "hasattr"),
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_templates_units_have_no_faults(target: TargetName) -> None:
    brief = brief_for(target)
    for name, source in template_units(brief, DESIGNER.plan(brief)).items():
        assert faults(source, OWN_MODULES) == (), name


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\n", "head.py, line 1: imports `os`, expected one of torch, torch.nn, "),
        ("import torch.utils.cpp_extension\n", "line 1: imports `torch.utils.cpp_extension`"),
        (
            "from torch import *\n",
            "uses `torch.*`, which is not among the names of torch that a unit may use",
        ),
        ("from . import config\n", "imports `.`"),
        ("import torch as t\nX = 1\n\n\ndef f():\n    return t.load('a')\n", "line 6: uses `torch.load`"),
        ("from torch import nn\n\n\ndef f():\n    return nn.Linaer(1, 2)\n", "near it: Linear"),
        ("def f(x):\n    return y\n", "line 2: uses `y`, which is neither defined here nor among"),
        ("import torch\n\n\ndef f(torch):\n    return 1\n", "line 4: binds `torch` again, which is imported"),
        ("import torch\n\n\ndef f():\n    return [torch]\n", "uses the module `torch` as a value"),
        ("def f():\n    global x\n", "writes a global; keep state on self"),
        ("async def f():\n    pass\n", "is asynchronous"),
        ("def f(x=list()):\n    return x\n", "has the default `list()`, expected a constant or a name"),
        ("X = 9**9**9\n", "does something when it is imported"),
        ("class A(object, metaclass=B):\n    pass\n", "has `metaclass=B`, expected base classes alone"),
        (
            "from torch import nn\n\n\nclass A(nn.Linear):\n    pass\n",
            "extends `nn.Linear`, expected nn.Module",
        ),
        (
            "def f(x):\n    match x:\n        case object(__class__=c):\n            return c\n",
            "matches patterns",
        ),
        ("@property.setter\ndef f(x):\n    return x\n", "stands under `@property.setter`"),
        ("def f(x):\n    return x._version\n", "no private attribute but one's own on self"),
        ("def f(x):\n    del x.y\n", "sets `x.y`, expected attributes of self alone"),
        ("def f(x):\n    return (y := x)\n", "assigns inside an expression"),
        ("x = 1\0\n", "no Python"),
        ("x = " + "(" * 300 + ")" * 300 + "\n", "no Python"),
        ("#" * (MAX_CHARACTERS + 1), f"expected at most {MAX_CHARACTERS:,}"),
    ],
)
def test_a_fault_is_named_with_its_line(source: str, expected: str) -> None:
    assert expected in described("head.py", faults(source, OWN_MODULES))


def test_many_faults_are_told_in_the_order_of_lines_and_cut_short() -> None:
    source = "".join(f"import system{number}\n" for number in range(9))
    lines = described("layer.py", faults(source, OWN_MODULES)).splitlines()
    assert [line.split(":")[0] for line in lines[:6]] == [
        f"layer.py, line {number}" for number in range(1, 7)
    ]
    assert lines[6:] == ["and 3 more"]


def test_a_unit_may_use_what_units_commonly_need() -> None:
    source = '''
"""A unit with much of what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Optional

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn import init

from config import Config

SCALE = 0.02
KINDS = {"layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


@dataclass(frozen=True)
class Sizes:
    width: int = 16
    steps: list[int] = field(default_factory=list)


class Inner(nn.Module):
    """A part."""

    def __init__(self, width: int, bias: bool = True) -> None:
        super().__init__()
        self._width = width
        self.linear = nn.Linear(width, width, bias=bias)
        init.normal_(self.linear.weight, std=SCALE / math.sqrt(width))
        self.register_buffer("mask", torch.ones(3, 3).tril())

    def forward(self, x: Tensor) -> Tensor:
        scores = F.softmax(x @ x.transpose(-2, -1), dim=-1)
        return self.linear(scores @ x) if self.training else self.linear(x)


class Head(Inner):
    @staticmethod
    def halved(x: Tensor) -> Tensor:
        return x / 2

    def reset(self, std: Optional[float] = None) -> None:
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(std=std or SCALE)
        self.linear.bias = None
        if self._width < 1:
            raise ValueError(f"width is {self._width}")
'''
    assert faults(source, OWN_MODULES) == ()


def test_units_of_every_name_may_import_the_configuration_alone() -> None:
    names: tuple[UnitName, ...] = UNITS
    for name in names:
        assert faults(f"from {name} import X\n", OWN_MODULES)
    assert faults("from config import Config\n", OWN_MODULES) == ()
    assert "uses `config.read_config`" in described(
        "head.py", faults("from config import read_config\n", OWN_MODULES)
    )
