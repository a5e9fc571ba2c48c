"""The sandbox of rlimits, filters of system calls and Landlock; it needs no bubblewrap, container or root."""

import os
import sys
import tempfile

from tamiyo.sandbox import confinement, keeper, seccomp
from tamiyo.sandbox.clearing import remove_folder
from tamiyo.sandbox.contract import Job, Limits, Outcome, SandboxError


class RlimitsSandbox:
    """A zygote beside this process, whose children read system and Python and write in their scratch alone.

    As the superuser it gives each child to another user; as an ordinary user the child stays that user, and
    Landlock keeps it from the user's files.
    """

    name = "rlimits"

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise SandboxError(f"the sandbox 'rlimits' needs Linux; this is {sys.platform}")
        if not confinement.landlock_version():
            raise SandboxError(
                "the sandbox 'rlimits' needs Landlock (Linux 5.13, and `landlock` among the kernel's `lsm`); "
                "without it generated code could read every file of yours"
            )
        programs = seccomp.filters(signals_itself_alone=True)
        self._base = tempfile.mkdtemp(prefix="tamiyo-sandbox-")
        os.chmod(self._base, 0o711)
        is_root = os.getuid() == 0
        settings = {
            "namespaces": False,
            "base": self._base,
            "readable": keeper.readable_paths(),
            "user": keeper.unprivileged_user() if is_root else None,
            "keeps_reading": is_root,
        }
        command = keeper.zygote_command(sys.executable, keeper.own_packages())
        self._keeper = keeper.Keeper(self.name, lambda: keeper.ProcessZygote(command), settings, programs)

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how `job` ended.

        Raises:
            SandboxError: the zygote cannot be started, or a file's name leads out of its folder.
        """
        return self._keeper.run(job, limits)

    def close(self) -> None:
        """End the zygote and remove its folder."""
        self._keeper.close()
        remove_folder(self._base)
