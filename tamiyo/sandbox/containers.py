"""The sandbox of containers: a zygote in a container of Docker or Podman, whose image is empty and made here.

Everything that runs inside is bound from this machine, read-only, so that nothing is pulled; the
engine must therefore be one of this machine, with no virtual machine between.
"""

import hashlib
import io
import os
import select
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from tamiyo.sandbox import keeper, seccomp
from tamiyo.sandbox.contract import Job, Limits, Outcome, SandboxError

_PACKAGES, _CELLS, _EXCHANGE = "/inside", "/cells", "/exchange"
#: Memory for the zygote itself and for files, beside what a job may have.
_BESIDE_BYTES = 1024**3
_BESIDE_PROCESSES = 16
_RIGHTS = ("SETUID", "SETGID", "CHOWN", "KILL", "DAC_OVERRIDE", "SYS_PTRACE")
# Named, since the engine's own are refused where it may not raise those of this machine.
_MOST = {"nofile": 1024, "nproc": 4096, "core": 0}
_LABEL = "tamiyo.sandbox"
_START_S = 60.0
_KILLED = 137  # what a container's end says when the kernel ended it for want of memory


class ContainerSandbox:
    """A zygote as the first process of a container without network, rights or a disk that can be written to.

    Each job becomes a user of its own; the engine's limits on memory and processes stand behind those of the
    watch. Jobs with the same limits share a container, which is replaced when they change.

    Args:
        address: of the engine's socket, as `unix:///run/podman/podman.sock`; by default DOCKER_HOST or the
            first socket in the usual places.
    """

    name = "container"

    def __init__(self, address: str | None = None) -> None:
        self._engine = _engine(address)
        _try_out(self._engine)
        self._programs = seccomp.filters(signals_itself_alone=True)
        self._keeper: keeper.Keeper | None = None
        self._size = (0, 0, 0)

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how `job` ended.

        Raises:
            SandboxError: no container can be started, or a file's name leads out of its folder.
        """
        size = (limits.memory_bytes, limits.num_processes, limits.file_bytes)
        if self._keeper is None or size != self._size:
            self.close()
            self._size = size
            settings = {
                "namespaces": False,
                "base": _CELLS,
                "readable": keeper.readable_paths(),
                "user": keeper.unprivileged_user(),
                "keeps_reading": False,
            }
            self._keeper = keeper.Keeper(
                self.name, lambda: _ContainerZygote(self._engine, limits), settings, self._programs
            )
        return self._keeper.run(job, limits)

    def close(self) -> None:
        """End the container, if one runs."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None


class _ContainerZygote:
    """A zygote in a container, spoken to through two named pipes in a folder that it shares with us."""

    def __init__(self, engine: Any, limits: Limits) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tamiyo-container-")
        for name in ("jobs", "outcomes"):
            os.mkfifo(os.path.join(self._folder.name, name), 0o600)
        try:
            self._container = _container(engine, limits, self._folder.name)
        except SandboxError:
            self._folder.cleanup()
            raise
        self._jobs = -1
        self._outcomes = os.open(os.path.join(self._folder.name, "outcomes"), os.O_RDONLY | os.O_NONBLOCK)
        try:
            self._container.start()
            self._jobs = self._opened_jobs()
        except Exception as error:
            words = self.words()
            self.end()
            raise SandboxError(
                f"the container of the sandbox did not start: {error}; it said: {words}"
            ) from error

    @property
    def jobs(self) -> int:
        """The descriptor on which it takes jobs."""
        return self._jobs

    @property
    def outcomes(self) -> int:
        """The descriptor on which it tells how they ended."""
        return self._outcomes

    def is_alive(self) -> bool:
        """Whether the container still reads its jobs."""
        waiter = select.poll()
        waiter.register(self._jobs, 0)
        return not waiter.poll(0)

    def words(self) -> str:
        """The last that it said itself."""
        return self._container.logs(tail=20).decode(errors="replace").strip() or "nothing"

    def end(self) -> bool:
        """Remove the container; returns whether the kernel had ended it for want of memory."""
        self._container.reload()
        state = self._container.attrs["State"]
        was_short = not state["Running"] and (state.get("OOMKilled", False) or state["ExitCode"] == _KILLED)
        for descriptor in (self._jobs, self._outcomes):
            if descriptor >= 0:
                os.close(descriptor)
        self._container.remove(force=True)
        self._folder.cleanup()
        return was_short

    def _opened_jobs(self) -> int:
        """The pipe of jobs, once the container has opened its end."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                descriptor = os.open(os.path.join(self._folder.name, "jobs"), os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                self._container.reload()
                if time.monotonic() > deadline or self._container.status != "running":
                    raise
                time.sleep(0.02)
            else:
                os.set_blocking(descriptor, True)
                return descriptor


def _engine(address: str | None) -> Any:
    """A client of the engine that answers.

    Raises:
        SandboxError: the package or an engine is missing.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise SandboxError(
            f"the sandbox 'container' speaks to the engine through the package docker, but {error}; "
            'mend it with `pip install "tamiyo[expand]"`'
        ) from error
    address = address or os.environ.get("DOCKER_HOST") or next(iter(_sockets()), None)
    if address is None:
        raise SandboxError(
            "the sandbox 'container' needs Docker or Podman, and no socket of theirs is here; start Docker, "
            "or run `podman system service --time=0` and set DOCKER_HOST to its socket"
        )
    try:
        engine = docker.DockerClient(base_url=address, timeout=60)
        engine.ping()
        # what a killed owner left; nothing young, since others may be about to start theirs
        engine.containers.prune(filters={"label": [_LABEL], "until": "1h"})
    except DockerException as error:
        raise SandboxError(f"no engine of containers answers at {address}: {error}") from error
    return engine


def _try_out(engine: Any) -> None:
    """Make a container and remove it; an engine may answer and still be allowed to make none."""
    with tempfile.TemporaryDirectory(prefix="tamiyo-container-") as exchange:
        _container(engine, Limits(), exchange).remove(force=True)


def _sockets() -> list[str]:
    """The sockets of engines that are here: of this user first."""
    own = os.environ.get("XDG_RUNTIME_DIR", "/nowhere")
    places = (
        f"{own}/podman/podman.sock",
        f"{own}/docker.sock",
        "/run/docker.sock",
        "/run/podman/podman.sock",
    )
    return [f"unix://{place}" for place in places if os.access(place, os.W_OK)]


def _container(engine: Any, limits: Limits, exchange: str) -> Any:
    """A container for jobs of `limits`, not yet started.

    Raises:
        SandboxError: the engine makes none.
    """
    try:
        return _created(engine, limits, exchange)
    except Exception as error:
        raise SandboxError(
            f"the engine of containers answers, and makes no container: {error}; expected one without rights "
            "or a network; look at the engine's settings, or name another --sandbox"
        ) from error


def _created(engine: Any, limits: Limits, exchange: str) -> Any:
    from docker.types import Ulimit

    shown = [path for path in keeper.readable_paths() if not os.path.islink(path)]
    bound = {path: {"bind": path, "mode": "ro"} for path in shown if not path.startswith(("/dev/", "/sys/"))}
    bound[str(Path(__file__).parent)] = {"bind": f"{_PACKAGES}/tamiyo/sandbox", "mode": "ro"}
    bound[exchange] = {"bind": _EXCHANGE, "mode": "rw"}
    speaks = f'exec "$@" <{_EXCHANGE}/jobs >{_EXCHANGE}/outcomes'
    memory = limits.memory_bytes + _BESIDE_BYTES
    return engine.containers.create(
        _image(engine),
        command=["/usr/bin/sh", "-c", speaks, "sh", *keeper.zygote_command(sys.executable, _PACKAGES)],
        environment=keeper.ENVIRONMENT,
        working_dir="/",
        volumes=bound,
        tmpfs={_CELLS: f"size={2 * limits.file_bytes + 64 * 1024**2},mode=0711"},
        read_only=True,
        network_mode="none",
        ipc_mode="none",
        cap_drop=["ALL"],
        cap_add=list(_RIGHTS),
        security_opt=["no-new-privileges"],
        mem_limit=memory,
        memswap_limit=memory,
        pids_limit=limits.num_processes + _BESIDE_PROCESSES,
        ulimits=[Ulimit(name=name, soft=most, hard=most) for name, most in _MOST.items()],
        labels=[_LABEL],
    )


def _image(engine: Any) -> str:
    """The name of an image that holds empty folders alone; it is made where it is not yet."""
    from docker.errors import ImageNotFound

    layer = _layer()
    repository = f"tamiyo-empty-{hashlib.sha256(layer).hexdigest()[:12]}"
    try:
        engine.images.get(f"{repository}:latest")
    except ImageNotFound:
        engine.api.import_image_from_data(layer, repository=repository, tag="latest")
    return f"{repository}:latest"


def _layer() -> bytes:
    """The folders on which everything else is mounted, and the links of this system, as a tar archive."""
    links = {path: os.readlink(path) for path in keeper.readable_paths() if os.path.islink(path)}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in ("/usr", "/proc", "/dev", "/sys", "/etc", _CELLS, _EXCHANGE, _PACKAGES):
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, target in links.items():
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return stream.getvalue()
