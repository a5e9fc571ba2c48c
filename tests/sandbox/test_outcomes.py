"""How jobs end in every sandbox that runs here: results, errors, files, output, use of resources."""

import dataclasses
import sys

import pytest
from small_limits import SMALL

from tamiyo.sandbox.choosing import open_sandbox
from tamiyo.sandbox.contract import Job, SandboxError


def test_a_function_returns_what_json_can_say_and_its_prints_are_kept_apart(call, sandbox):
    outcome = call("print('hello'); return {'twice': 2 * payload['number']}", payload={"number": 21})
    assert (outcome.status, outcome.result, outcome.detail) == ("ok", {"twice": 42}, "")
    assert outcome.output == "hello\n"
    assert outcome.backend == sandbox.name


def test_torch_computes_and_differentiates(call):
    outcome = call(
        """
        import torch
        x = torch.ones(3, requires_grad=True)
        (x ** 2).sum().backward()
        return x.grad.tolist()
        """
    )
    assert outcome.result == [2.0, 2.0, 2.0]


def test_modules_of_the_folder_import_each_other(call):
    files = {"parts/__init__.py": b"", "parts/one.py": b"VALUE = 1"}
    assert call("from parts.one import VALUE\nreturn VALUE", files=files).result == 1


def test_the_exact_error_and_its_lines_come_back(call):
    outcome = call("raise ValueError('width 3 is odd')")
    assert (outcome.status, outcome.result) == ("crashed", None)
    assert outcome.detail == "ValueError: width 3 is odd"
    assert "candidate.py" in outcome.output


def test_files_of_the_scratch_folder_come_back_and_others_do_not(call):
    outcome = call(
        "open('kept', 'w').write('a'); open('left', 'w').write('b')", returned=("kept", "never_written")
    )
    assert outcome.files == {"kept": b"a"}


def test_nothing_of_a_job_is_left_for_the_next(call):
    call(
        """
        import sys, torch
        open('trace', 'w').write('a')
        sys.modules['trace'] = sys
        torch.set_default_dtype(torch.float64)
        """
    )
    outcome = call(
        """
        import os, sys, torch
        return [os.listdir('.'), 'trace' in sys.modules, str(torch.get_default_dtype())]
        """
    )
    assert outcome.result == [[], False, "torch.float32"]


@pytest.mark.parametrize(
    "source", ["return float('nan')", "return {1, 2}", "return b'bytes'", "return object()"]
)
def test_what_json_cannot_say_is_no_result(call, source):
    outcome = call(source)
    assert (outcome.status, outcome.result) == ("crashed", None)
    assert outcome.detail.startswith(("ValueError", "TypeError"))


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(3)", "it ended without a result: exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "it ended without a result: signal 11"),
    ],
)
def test_an_end_of_its_own_making_is_a_crash_that_tells_how(call, source, detail):
    outcome = call(source)
    assert (outcome.status, outcome.detail) == ("crashed", detail)


def test_use_is_recorded_as_it_was(call):
    outcome = call(
        """
        import time
        block = bytearray(b'x' * (64 * 1024 ** 2))
        started = time.process_time()
        while time.process_time() - started < 0.4:
            pass
        time.sleep(0.3)
        return len(block)
        """
    )
    assert outcome.status == "ok"
    assert outcome.usage.wall_s >= 0.7
    assert 0.4 <= outcome.usage.cpu_s <= outcome.usage.wall_s - 0.25
    assert 64 * 1024**2 <= outcome.usage.peak_bytes < 160 * 1024**2


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside.py", "a/../../b.py", ""])
def test_a_file_is_named_below_its_folder(sandbox, name):
    with pytest.raises(SandboxError, match="named below its folder"):
        sandbox.run(Job(files={name: b""}, function="candidate:call"), SMALL)


def test_limits_of_one_job_are_not_those_of_the_next(call):
    assert call("import time; time.sleep(60)", dataclasses.replace(SMALL, wall_s=0.3)).status == "timed_out"
    assert call("return 1").result == 1


def test_a_sandbox_that_nobody_knows_is_named_with_those_that_are():
    with pytest.raises(SandboxError, match=r"there is no sandbox 'chroot'; expected auto, .*rlimits"):
        open_sandbox("chroot")


def test_without_pyseccomp_the_sandbox_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(SandboxError, match=r"filter of system calls.*pip install \"tamiyo\[expand\]\""):
        open_sandbox("rlimits")
