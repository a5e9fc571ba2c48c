"""The folder of one run and its files; leaves what is written to the loop and evidence to the database."""

import fcntl
import importlib.metadata
import json
import math
import os
import pickle
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blueprints import TamiyoError
from tamiyo.config import Config, config_yaml, is_setting, read_config

#: Packages whose versions can change a run's numbers.
PACKAGES = ("torch", "numpy", "networkx", "sqlalchemy", "lightning", "hydra-core", "wandb")
_ROOT = Path(__file__).resolve().parent.parent


class RunError(TamiyoError):
    """A run folder that cannot be used: which, why, and how to mend it."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run.

    `config.yaml`, `environment.json`, `metrics.jsonl` (a line a generation), `summary.json`, `library.db`,
    `latency_table.json`, `report.html`, `curves.png`, `checkpoints/`, with a tracker `ledger.jsonl.gz` and
    `wandb/`, and with tasks of the user's own `user_tasks.py`, the file as it was when the run was started.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, config: Config) -> "RunFolder":
        """Make the folder of a new run; it must not exist or be empty."""
        folder = cls(path)
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RunError(
                    f"{path} exists and is not empty; choose another run.dir, or go on with run.resume={path}"
                )
            folder.checkpoints.mkdir(parents=True)
            run_id = f"{path.resolve().name}-{secrets.token_hex(4)}"
            write_atomically(path / "environment.json", _json({"run_id": run_id, **environment()}))
            if config.curriculum.user_tasks:
                write_atomically(folder.user_tasks, Path(config.curriculum.user_tasks).read_bytes())
            write_atomically(folder.config_file, config_yaml(config).encode())
        except OSError as error:
            raise RunError(f"{path} cannot be written ({error.strerror}); choose another run.dir") from error
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of an earlier run."""
        folder = cls(path)
        try:
            is_run = folder.config_file.is_file()
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error.strerror})") from error
        if not is_run:
            raise RunError(
                f"{path} holds no complete run (no config.yaml); start a new one in another folder"
            )
        return folder

    @property
    def run_id(self) -> str:
        """The run's name in databases and trackers."""
        try:
            return self.environment()["run_id"]
        except KeyError as error:
            raise RunError(
                f"{self.path / 'environment.json'} names no run_id; the run cannot go on"
            ) from error

    def environment(self) -> dict[str, Any]:
        """Return versions, code revision and machine as they were when the run was started."""
        path = self.path / "environment.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read ({error}); the run cannot go on without it") from error

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def database(self) -> Path:
        """The run's own database."""
        return self.path / "library.db"

    @property
    def ledger(self) -> Path:
        """What the run put on record, as trackers get it."""
        return self.path / "ledger.jsonl.gz"

    @property
    def latency_table(self) -> Path:
        """The op latencies that the run's rewards were computed with."""
        return self.path / "latency_table.json"

    @property
    def user_tasks(self) -> Path:
        """The run's copy of the user's tasks."""
        return self.path / "user_tasks.py"

    @property
    def metrics_file(self) -> Path:
        """A line of metrics a generation."""
        return self.path / "metrics.jsonl"

    def discard_if_nothing_ran(self) -> None:
        """Delete the folder when no generation was ever recorded, so that its name is free again."""
        if not self.metrics_file.exists() or not self.metrics_file.read_text():
            shutil.rmtree(self.path, ignore_errors=True)

    def note_resume(self, generation: int) -> list[str]:
        """Record under what a run goes on from `generation`; return what is not as it was at the start."""
        start, now = self.environment(), environment()
        changed = [
            f"{name} {start.get(name)} -> {now[name]}"
            for name in ("python", "packages", "code_version", "instruction_set", "cuda")
            if start.get(name) != now[name]
        ]
        start.setdefault("resumed", []).append({"generation": generation, **now})
        with self.writing(self.path / "environment.json"):
            write_atomically(self.path / "environment.json", _json(start))
        return changed

    def config(self) -> Config:
        """Return the configuration that the run was started with, on its own copy of the user's tasks."""
        return read_config(self.config_file, self.user_tasks if self.user_tasks.exists() else None)

    def save_checkpoint(self, generation: int, state: Mapping[str, Any]) -> str:
        """Write a checkpoint, drop those older than the previous one, and return its file name."""
        name = f"generation_{generation:05d}.pt"
        self.save_state(self.checkpoints / name, state)
        for old in sorted(self.checkpoints.glob("generation_*.pt")):
            if old.name < f"generation_{generation - 1:05d}.pt":
                old.unlink()
        return name

    def save_state(self, path: Path, state: Mapping[str, Any]) -> None:
        """Write torch-saveable data so that the file is there whole or not at all."""
        temporary = path.with_suffix(".tmp")
        with self.writing(path):
            try:
                with temporary.open("wb") as file:
                    torch.save(dict(state), file)
                    file.flush()
                    os.fsync(file.fileno())
            except RuntimeError as error:  # torch's own writer reports a full disk so
                raise OSError(str(error)) from error
            temporary.replace(path)

    def load_state(self, path: Path) -> dict[str, Any]:
        """Return what `save_state` wrote."""
        if not path.is_file():
            raise RunError(f"{path} is missing; the run cannot go on without it")
        try:
            # A checkpoint is a zip file; torch does not compare its checksums, so a flipped bit would load.
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is None:
                return torch.load(path, weights_only=True)
            reason = f"its record {damaged} has a wrong checksum"
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is corrupt ({reason}); restore it, or start a new run")

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one generation's line."""
        with self.writing(self.metrics_file), self.metrics_file.open("a") as file:
            file.write(json_line(row))

    def rewrite_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace all lines by those of the database, which is the truth after a crash."""
        with self.writing(self.metrics_file):
            write_atomically(self.metrics_file, "".join(map(json_line, rows)).encode())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        path = self.path / "summary.json"
        with self.writing(path):
            write_atomically(path, _json(summary))

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Turn the operating system's refusal to write into one clear line."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{path} cannot be written ({error}); free some space and resume the run"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone; the lock ends with the process, however it ends."""
        path = self.path / ".lock"
        with self.writing(path):
            file = path.open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"{self.path} is in use by another process; wait for it or stop it") from error
            yield


def json_line(row: Mapping[str, Any]) -> str:
    """Return one line of JSON; a number that is not finite becomes null, as in the database."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def environment() -> dict[str, Any]:
    """Return versions, code revision and machine: what a reader needs to repeat a run."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "code_version": code_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "command": command(),
    }


def command() -> str:
    """Return the command line of this process, with the settings of its environment."""
    settings = {name: value for name, value in os.environ.items() if is_setting(name)}
    given = [f"{name}={shlex.quote(value)}" for name, value in sorted(settings.items())]
    return " ".join([*given, "python", shlex.join(sys.argv)])


def code_version() -> str:
    """Return the distribution's version, with the git revision when run from a checkout."""
    return "+".join(part for part in (_version("tamiyo") or "0", _git_revision()) if part)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_revision() -> str:
    try:
        shown = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return shown.stdout.strip()


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, default=str) + "\n").encode()
