"""The default sandbox: a zygote inside bubblewrap, each job in namespaces and a scratch of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tamiyo.sandbox import keeper, seccomp
from tamiyo.sandbox.contract import Job, Limits, Outcome, SandboxError

_PACKAGES, _CELLS = "/inside", "/cells"
# What the zygote needs to give each job its own processes, mounts and user; the jobs have none of these.
_RIGHTS_OF_ANYBODY = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
_RIGHTS_OF_ROOT = ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_KILL", "CAP_DAC_READ_SEARCH")


class BubblewrapSandbox:
    """A zygote that sees Python and the system's libraries, read-only, and no network, home or secret.

    Each job is the first process of its own process namespace: it can name neither the zygote nor another
    job, and whatever it starts ends with it. Its scratch is memory of a fixed size.
    """

    name = "bubblewrap"

    def __init__(self) -> None:
        program = shutil.which("bwrap")
        if program is None:
            raise SandboxError(
                "the sandbox 'bubblewrap' needs the program bwrap; mend it with `apt install bubblewrap`"
            )
        is_root = os.getuid() == 0
        command = [program, *_arguments(is_root)]
        _try_out(command)
        settings = {
            "namespaces": True,
            "base": _CELLS,
            "readable": keeper.readable_paths(),
            "user": keeper.unprivileged_user() if is_root else None,
            "keeps_reading": False,
        }
        programs = seccomp.filters(signals_itself_alone=False)
        command += keeper.zygote_command(sys.executable, _PACKAGES)
        self._keeper = keeper.Keeper(self.name, lambda: keeper.ProcessZygote(command), settings, programs)

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how `job` ended.

        Raises:
            SandboxError: the zygote cannot be started, or a file's name leads out of its folder.
        """
        return self._keeper.run(job, limits)

    def close(self) -> None:
        """End the zygote and all below it."""
        self._keeper.close()


def _arguments(is_root: bool) -> list[str]:
    """What bubblewrap is told: its namespaces, then the files in the order in which they are mounted."""
    user = str(keeper.unprivileged_user())
    paths = keeper.readable_paths()
    parents = sorted({str(parent) for path in paths for parent in Path(path).parents[:-1]})
    rights = (*_RIGHTS_OF_ANYBODY, *_RIGHTS_OF_ROOT) if is_root else _RIGHTS_OF_ANYBODY
    return [
        *([] if is_root else ["--unshare-user", "--uid", user, "--gid", user]),
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--hostname", "sandbox", "--new-session", "--die-with-parent"),
        *("--cap-drop", "ALL"),
        *(word for right in rights for word in ("--cap-add", right)),
        *(
            word for parent in parents for word in ("--dir", parent)
        ),  # or none but the superuser may enter them
        *(word for path in paths for word in _shown(path)),
        *("--ro-bind", str(Path(__file__).parent), f"{_PACKAGES}/tamiyo/sandbox"),
        *("--proc", "/proc", "--tmpfs", _CELLS, "--remount-ro", "/", "--chdir", "/", "--"),
    ]


def _shown(path: str) -> tuple[str, str, str]:
    """The arguments that show `path` inside, where it is outside."""
    if os.path.islink(path):
        return "--symlink", os.readlink(path), path
    return "--dev-bind" if path.startswith("/dev/") else "--ro-bind", path, path


def _try_out(command: list[str]) -> None:
    """Run a program that does nothing inside; where user namespaces are forbidden, that fails."""
    tried = subprocess.run([*command, "/usr/bin/true"], capture_output=True, env={}, check=False)
    if tried.returncode:
        words = tried.stderr.decode(errors="replace").strip()
        raise SandboxError(
            f"the sandbox 'bubblewrap' cannot run: {words}; user namespaces may be forbidden here"
        )
