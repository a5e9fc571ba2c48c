"""Takes away what candidates leave on a disk, however deep and however closed; knows no job."""

import subprocess

_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def remove_folder(path: str) -> bool:
    """Remove a folder, those in it that their owner may not enter among them; return whether all is gone."""
    if _does("rm", "-rf", "--", path):
        return True
    _does("chmod", "-R", "u+rwX", "--", path)
    return _does("rm", "-rf", "--", path)


def _does(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True, env=_ENVIRONMENT).returncode == 0
