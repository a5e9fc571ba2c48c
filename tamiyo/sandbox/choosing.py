"""Which sandbox runs generated code: the strongest that this machine has, or the one asked for by name."""

from collections.abc import Callable, Mapping

from tamiyo.sandbox.bubblewrap import BubblewrapSandbox
from tamiyo.sandbox.containers import ContainerSandbox
from tamiyo.sandbox.contract import Sandbox, SandboxError
from tamiyo.sandbox.rlimits import RlimitsSandbox

#: The sandboxes by name, the strongest first.
SANDBOXES: Mapping[str, Callable[[], Sandbox]] = {
    "bubblewrap": BubblewrapSandbox,
    "container": ContainerSandbox,
    "rlimits": RlimitsSandbox,
}


def open_sandbox(name: str = "auto") -> Sandbox:
    """Return the sandbox of `name`; `auto` takes the first of `SANDBOXES` that this machine has.

    Raises:
        SandboxError: there is no such sandbox, or it cannot run here; it says what is missing.
    """
    if name != "auto":
        if name not in SANDBOXES:
            raise SandboxError(f"there is no sandbox {name!r}; expected auto, {', '.join(SANDBOXES)}")
        return SANDBOXES[name]()
    missing = []
    for sandbox in SANDBOXES.values():
        try:
            return sandbox()
        except SandboxError as error:
            missing.append(str(error))
    raise SandboxError(
        "no sandbox can run here, and generated code runs in no other place: " + "; ".join(missing)
    )
