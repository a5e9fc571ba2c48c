"""Loads tasks from a user's own file and tries them before a run; leaves the package's own to `suites.py`.

A file names its tasks in `TASKS`, a tuple. It is loaded from its text, as a module named by the text's hash:
two versions of a file never pass for each other, and a task is pickled with the text, so that a worker
process, here or on another machine, needs no file. What the file imports is no part of the hash.
"""

import copyreg
import hashlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.abc import ExecutionLoader
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

import torch

from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: What a file calls its tasks.
TABLE = "TASKS"
_MODULE = "tamiyo_user_tasks_"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def load_user_tasks(path: str | Path) -> Mapping[str, Task]:
    """Return the tasks of a file by name.

    Raises:
        TaskError: naming the file, what is wrong with it, and where.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TaskError(f"{path} cannot be read ({reason}); expected a Python file with tasks") from error
    tasks = getattr(_module(text, str(path)), TABLE, None)
    if not isinstance(tasks, tuple) or not tasks or not all(isinstance(task, Task) for task in tasks):
        raise TaskError(f"{path} has {TABLE} = {tasks!r}; expected a tuple of tasks, such as (MyTask(),)")
    names = [task.name for task in tasks]
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise TaskError(f"{path} names a task {name!r}; expected at most 64 letters, digits and _")
    if len(set(names)) < len(names):
        raise TaskError(f"{path} has tasks named {', '.join(names)}; expected no name twice")
    return MappingProxyType(dict(zip(names, tasks, strict=True)))


def source_hash(task: Task) -> str:
    """Return the hash of the file that says what `task` does; empty where the package does."""
    for kind in type(task).__mro__:
        loader = _loader(kind)
        if loader is not None:
            return loader.digest
    return ""


def try_task(task: Task, seed: int) -> None:
    """Draw the splits of `seed` twice and refuse a task that breaks its contract where one can see it.

    That is: equal seeds give equal splits, no example is in two of them, sizes are as stated, the probe set
    is fixed. What a head asks of inputs and targets is checked by whoever trains.

    Raises:
        TaskError: naming the task and what it did.
    """
    Task.__post_init__(task)  # which a subclass that has its own may have left out
    for keeper, drawer in (("splits", "draw"), ("probe", "draw_probe")):
        if getattr(type(task), keeper) is not getattr(Task, keeper):
            raise TaskError(
                f"task '{task.name}' has a method {keeper} of its own; name it {drawer}, and {keeper} keeps "
                "what it draws"
            )
    try:
        splits, probe = task.splits(seed), task.probe()
        anew = replace(task, name=f"{task.name}_anew")  # else a cache could hide that a draw is not repeated
        again, probe_again = anew.draw(seed), anew.draw_probe()
    except Exception as error:
        raise TaskError(
            f"task '{task.name}' cannot draw the splits of seed {seed}: {_told(error)}"
        ) from error
    if not isinstance(splits, Splits) or not isinstance(again, Splits):
        raise TaskError(f"task '{task.name}': draw({seed}) is {splits!r}; expected curricula.task.Splits")
    if not isinstance(probe, torch.Tensor) or len(probe) != NUM_PROBES:
        raise TaskError(f"task '{task.name}': the probe set is no tensor of {NUM_PROBES} examples")
    if not torch.equal(probe, probe_again):
        raise TaskError(f"task '{task.name}': the probe set differs from call to call; expected a fixed one")
    seen: dict[bytes, str] = {}
    for name in ("train", "validation", "test"):
        split, size = getattr(splits, name), getattr(task, f"num_{name}")
        _try_split(f"task '{task.name}', {name} split of seed {seed}", split, getattr(again, name), size)
        rows = {row.numpy().tobytes() for row in split.inputs}
        other = next((seen[row] for row in rows if row in seen), None)
        if other is not None:
            raise TaskError(f"task '{task.name}': an example of the {name} split is in the {other} split too")
        seen |= dict.fromkeys(rows, name)


def _try_split(where: str, split: Split, again: Split, size: int) -> None:
    for name in ("inputs", "targets"):
        came, repeated = getattr(split, name), getattr(again, name)
        if not isinstance(came, torch.Tensor) or len(came) != size:
            raise TaskError(f"{where}: the {name} are no tensor of {size} examples")
        if not torch.equal(came.nan_to_num(), repeated.nan_to_num()):
            raise TaskError(
                f"{where}: the {name} differ from call to call; draw them from a generator seeded by the seed"
            )


class _TextLoader(ExecutionLoader):
    """Loads a module from its text, wherever the file is by now."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_source(self, fullname: str) -> str:
        return self.text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.text, self.path)


def _module(text: str, path: str) -> ModuleType:
    """Return the module with that text, loaded once a process."""
    loader = _TextLoader(text, path)
    name = _MODULE + loader.digest
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, loader, origin=path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look their own module up
    try:
        loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise TaskError(f"{path} cannot be loaded: {_told(error, path)}") from error
    for kind in vars(module).values():
        if isinstance(kind, type) and issubclass(kind, Task) and kind.__module__ == name:
            copyreg.pickle(kind, _reduce)  # pyright: ignore[reportArgumentType]
    return module


def _loader(kind: type) -> _TextLoader | None:
    loader = getattr(sys.modules.get(kind.__module__), "__loader__", None)
    return loader if isinstance(loader, _TextLoader) else None


def _reduce(task: Task) -> tuple[Any, ...]:
    kind = type(task)
    loader = _loader(kind)
    assert loader is not None, "a user's module stays loaded"
    values = {field.name: getattr(task, field.name) for field in fields(task) if field.init}
    return _rebuild, (loader.text, loader.path, kind.__name__, values)


def _rebuild(text: str, path: str, kind: str, values: dict[str, Any]) -> Task:
    return getattr(_module(text, path), kind)(**values)


def _told(error: Exception, path: str = "") -> str:
    """Return an error in one line, with the line of the file where it was raised last."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    lines, trace = [], error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if filename == path or (not path and _MODULE in trace.tb_frame.f_globals.get("__name__", "")):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
