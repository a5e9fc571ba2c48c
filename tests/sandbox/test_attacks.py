"""What hostile code tries in every sandbox that runs here: it is contained, and the next job works."""

import os
import socket
import stat
import textwrap
import time
from pathlib import Path

import pytest
from small_limits import SECRET, SMALL, limits

from tamiyo.sandbox.keeper import ENVIRONMENT

pytestmark = pytest.mark.usefixtures("next_job_works_and_nothing_is_left")

# Whatever an attack does inside, it tells the test what came of it: the names of the tries that got through.
TRY = """
done = []
def attempt(name, action):
    try:
        value = action()
    except BaseException:
        return None
    done.append(name)
    return value
"""

_KNOWN_VARIABLES = {*ENVIRONMENT, "HOME", "TMPDIR", "PWD", "HOSTNAME", "container", "TERM"}


def attack(source: str) -> str:
    return TRY + textwrap.dedent(source) + "\nreturn done\n"


@pytest.fixture
def open_folder(tmp_path_factory):
    """A folder outside that every user of the machine may read and write, with a secret in it."""
    folder = Path(tmp_path_factory.mktemp("outside"))
    for part in (folder, *folder.parents[:2]):
        part.chmod(0o777)
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o666)
    return folder


# Endless loops


def test_an_endless_loop_ends_at_its_deadline(call):
    started = time.monotonic()
    outcome = call("while True: pass", limits(wall_s=0.5))
    assert outcome.status == "timed_out"
    assert outcome.detail.startswith("wall_s")
    assert 0.5 <= outcome.usage.wall_s <= time.monotonic() - started


def test_computing_is_counted_over_all_processes(call):
    outcome = call(
        """
        import os
        for _ in range(3):
            if os.fork() == 0:
                break
        while True: pass
        """,
        limits(cpu_s=0.6),
    )
    assert outcome.status == "timed_out"
    assert outcome.detail.startswith("cpu_s")
    assert outcome.usage.cpu_s >= 0.6


def test_sleeping_is_no_computing_but_ends_at_the_deadline(call):
    outcome = call("import time; time.sleep(100)", limits(wall_s=0.4))
    assert (outcome.status, outcome.result) == ("timed_out", None)
    assert outcome.usage.cpu_s < 0.3


@pytest.mark.parametrize("ignored", ["signal.SIG_IGN", "lambda *_: None"])
def test_code_that_ignores_signals_ends_all_the_same(call, ignored):
    outcome = call(
        f"""
        import signal
        for number in signal.valid_signals():
            try:
                signal.signal(number, {ignored})
            except (OSError, ValueError):
                pass
        while True:
            try:
                while True: pass
            except BaseException:
                pass
        """,
        limits(wall_s=0.5),
    )
    assert outcome.status == "timed_out"


# Processes


def test_a_fork_bomb_stays_within_the_number_of_processes(call):
    outcome = call(
        """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass
        """,
        limits(wall_s=1.0, num_processes=6),
    )
    assert outcome.status in ("timed_out", "crashed")
    assert outcome.detail.startswith(("wall_s", "num_processes"))


def test_threads_count_as_processes_do(call):
    outcome = call(
        """
        import threading, time
        for _ in range(40):
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return "all started"
        """,
        limits(num_processes=6),
    )
    assert outcome.status == "crashed"
    assert "start new thread" in outcome.detail or outcome.detail.startswith("num_processes")


def test_background_processes_end_with_the_job(call, open_folder):
    outcome = call(
        """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                time.sleep(60)
            os._exit(0)
        time.sleep(0.1)
        return "left"
        """
    )
    assert (outcome.status, outcome.result) == ("ok", "left")  # the fixture sees that none is left


def test_a_new_program_cannot_be_started(call):
    outcome = call(
        attack(
            """
            import os, subprocess, sys
            attempt("subprocess", lambda: subprocess.run([sys.executable, "-c", "1"], check=True))
            attempt("shell", lambda: subprocess.run("true", shell=True, check=True))
            attempt("exec", lambda: os.execv("/bin/true", ["true"]))
            """
        )
    )
    assert outcome.result == []


# Memory


@pytest.mark.parametrize(
    "bomb",
    [
        "held = []\nwhile True: held.append(bytearray(b'x' * (8 * 1024 ** 2)))",
        "import torch\nheld = []\nwhile True: held.append(torch.ones(1024 ** 2))",
        "held = bytearray(10 * 1024 ** 3)",
        "import torch\nheld = torch.ones(10 * 1024 ** 3)",
    ],
)
def test_a_memory_bomb_is_out_of_memory(call, bomb):
    outcome = call(bomb)
    assert outcome.status == "out_of_memory"
    assert outcome.usage.peak_bytes < 2 * SMALL.memory_bytes


def test_memory_is_counted_over_all_processes(call):
    outcome = call(
        """
        import os, time
        for _ in range(5):
            if os.fork() == 0:
                held = bytearray(b'x' * (64 * 1024 ** 2))
                time.sleep(60)
        time.sleep(60)
        """
    )
    assert outcome.status == "out_of_memory"
    assert outcome.detail.startswith("memory_bytes")


def test_memory_shared_between_processes_is_counted_once(call):
    outcome = call(
        """
        import os, time
        held = bytearray(96 * 1024 ** 2)
        held[::4096] = b'x' * len(held[::4096])
        for _ in range(4):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep(0.5)
        return len(held)
        """
    )
    assert outcome.status == "ok", outcome.detail


def test_memory_that_no_process_shows_cannot_be_had(call):
    outcome = call(
        attack(
            """
            import ctypes, fcntl, mmap, os
            libc = ctypes.CDLL(None, use_errno=True)
            def refuse_below_zero(number):
                if number < 0:
                    raise OSError(number)
            attempt("memfd", lambda: os.memfd_create("held"))
            attempt("shared", lambda: mmap.mmap(-1, 4096))
            attempt("zero", lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096))
            attempt("shm", lambda: open("/dev/shm/held", "wb").write(b"x" * 4096))
            attempt("shmget", lambda: refuse_below_zero(libc.shmget(0, 4096, 0o1600)))
            attempt("pipe", lambda: fcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 1024 ** 2))
            """
        )
    )
    assert outcome.result == []


# Network and secrets


def test_the_network_cannot_be_reached(call):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        outcome = call(
            attack(
                """
                import socket, urllib.request
                here = "127.0.0.1", payload["port"]
                attempt("tcp", lambda: socket.create_connection(here, 1))
                attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", here))
                attempt("unix", lambda: socket.socket(socket.AF_UNIX))
                attempt("raw", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
                attempt("name", lambda: socket.getaddrinfo("localhost.localdomain", 80))
                attempt("page", lambda: urllib.request.urlopen("http://%s:%d" % here, timeout=1))
                """
            ),
            payload={"port": server.getsockname()[1]},
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.result == []


def test_secrets_of_files_cannot_be_read(call, open_folder):
    outcome = call(
        attack(
            """
            import os
            for path in payload["paths"]:
                attempt(path, lambda: open(path).read())
                attempt("list " + path, lambda: os.listdir(os.path.dirname(path)))
            """
        ),
        payload={
            "paths": [str(open_folder / "secret"), __file__, "/etc/shadow", str(Path.home() / ".profile")]
        },
    )
    assert [name for name in outcome.result if not name.startswith("list /etc")] == []


def test_the_environment_has_no_secrets(call):
    outcome = call("import os; return dict(os.environ)")
    assert {name for name in outcome.result if not name.startswith("TORCH")} <= _KNOWN_VARIABLES
    assert SECRET not in str(outcome.result)


def test_other_processes_cannot_be_read(call):
    outcome = call(
        attack(
            """
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            for process in [1, 2, os.getppid(), payload["outside"]]:
                for name in ("environ", "mem", "maps", "cmdline", "fd/0", "root/etc/passwd", "cwd/secret"):
                    attempt(f"{process}/{name}", lambda: open(f"/proc/{process}/{name}", "rb").read(1))
                attempt(f"{process} memory", lambda: 1 / (libc.syscall(310, process, 0, 0, 0, 0, 0) + 1))
                attempt(f"{process} ptrace", lambda: 1 / (libc.ptrace(16, process, 0, 0) + 1))
            """
        ),
        payload={"outside": os.getpid()},
    )
    assert outcome.result == []


def test_no_descriptor_of_the_sandbox_is_open(call):
    outcome = call(
        """
        import os
        found = []
        for number in range(4096):
            try:
                os.fstat(number)
            except OSError:
                continue
            found.append(number)
        return found
        """
    )
    assert outcome.result == [0, 1, 2, 3]


# Files


def test_nothing_outside_the_scratch_folder_can_be_changed(call, open_folder):
    victim = open_folder / "secret"
    before = victim.stat()
    outcome = call(
        attack(
            """
            import os, sys, torch
            victim, folder = payload["victim"], payload["folder"]
            attempt("write", lambda: open(victim, "w"))
            attempt("append", lambda: open(victim, "a"))
            attempt("empty", lambda: os.open(victim, os.O_RDONLY | os.O_TRUNC))
            attempt("truncate", lambda: os.truncate(victim, 0))
            attempt("chmod", lambda: os.chmod(victim, 0))
            attempt("chown", lambda: os.chown(victim, os.getuid(), os.getgid()))
            attempt("utime", lambda: os.utime(victim))
            attempt("rename", lambda: os.rename(victim, victim + "2"))
            attempt("take", lambda: os.rename(victim, "taken"))
            attempt("remove", lambda: os.remove(victim))
            attempt("link", lambda: os.link(victim, "linked"))
            attempt("xattr", lambda: os.setxattr(victim, "user.a", b"b"))
            attempt("make", lambda: open(folder + "/new", "w"))
            attempt("mkdir", lambda: os.mkdir(folder + "/new"))
            attempt("symlink", lambda: os.symlink("/", folder + "/new"))
            for place in ("/tmp", "/", "/dev", "/usr/lib", "/var/tmp", sys.prefix, torch.__path__[0]):
                attempt(place, lambda: open(place + "/of_the_candidate", "w"))
            attempt("own code", lambda: open(__file__, "a"))
            attempt("own folder", lambda: open(os.path.dirname(__file__) + "/new.py", "w"))
            attempt("mode of own code", lambda: os.chmod(__file__, 0o777))
            attempt("remove own code", lambda: os.remove(__file__))
            """
        ),
        payload={"victim": str(victim), "folder": str(open_folder)},
    )
    assert outcome.result == []
    assert victim.read_text() == SECRET
    assert (victim.stat().st_mode, victim.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert [path.name for path in open_folder.iterdir()] == ["secret"]


def test_links_lead_nowhere(call, open_folder):
    outcome = call(
        attack(
            """
            import os
            os.symlink(payload["folder"], "folder")
            os.symlink(payload["folder"] + "/secret", "secret")
            attempt("read", lambda: open("secret").read())
            attempt("read through a folder", lambda: open("folder/secret").read())
            attempt("write", lambda: open("secret", "w"))
            attempt("write through a folder", lambda: open("folder/new", "w"))
            """
        ),
        payload={"folder": str(open_folder)},
        returned=("secret", "folder"),
    )
    assert outcome.result == []
    assert outcome.files == {}
    assert [path.name for path in open_folder.iterdir()] == ["secret"]
    assert (open_folder / "secret").read_text() == SECRET


def test_only_plain_files_come_back(call):
    outcome = call(
        """
        import os
        os.mkdir("folder")
        open("plain", "w").write("a")
        for make in (lambda: os.mkfifo("pipe"), lambda: os.link("plain", "linked")):
            try:
                make()
            except OSError:
                pass
        """,
        returned=("folder", "pipe", "linked", "plain"),
    )
    assert outcome.files == {"plain": b"a"}


# The parent


def test_the_parent_cannot_be_killed(call):
    outcome = call(
        attack(
            """
            import ctypes, fcntl, os, resource, signal
            libc = ctypes.CDLL(None, use_errno=True)
            def refuse_below_zero(number):
                if number < 0:
                    raise OSError(number)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            parent = os.getppid()
            others = {2, 3, parent, payload["outside"]} - {0, os.getpid()}
            for number in others:
                for name in ("SIGKILL", "SIGTERM", "SIGSTOP"):
                    attempt(f"{name} to {number}", lambda: os.kill(number, getattr(signal, name)))
                attempt(f"tgkill {number}", lambda: refuse_below_zero(libc.syscall(234, number, number, 9)))
                attempt(f"tkill {number}", lambda: refuse_below_zero(libc.syscall(200, number, 9)))
                attempt(f"queue {number}", lambda: refuse_below_zero(libc.sigqueue(number, 9, 0)))
                attempt(f"limit {number}", lambda: resource.prlimit(number, resource.RLIMIT_CPU, (1, 1)))
                attempt(f"nice {number}", lambda: os.setpriority(os.PRIO_PROCESS, number, 19))
                attempt(f"owner {number}", lambda: fcntl.fcntl(0, fcntl.F_SETOWN, number))
                attempt(f"handle {number}", lambda: os.pidfd_open(number))
            attempt("all", lambda: os.kill(-1, signal.SIGTERM))
            """
        ),
        payload={"outside": os.getpid()},
    )
    assert outcome.status == "ok", outcome.detail
    assert [
        name for name in outcome.result if name != "all"
    ] == []  # "all" reaches those that it started alone


def test_a_child_cannot_stop_the_zygote_by_stopping_itself(call):
    outcome = call("import os, signal; os.kill(os.getpid(), signal.SIGSTOP); return 1", limits(wall_s=0.5))
    assert outcome.status in (
        "ok",
        "timed_out",
    )  # the first process of a namespace cannot be stopped by itself


def test_rights_cannot_be_had_back(call):
    outcome = call(
        attack(
            """
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            def refuse_below_zero(number):
                if number < 0:
                    raise OSError(number)
            attempt("user", lambda: os.setuid(0))
            attempt("group", lambda: os.setgid(0))
            attempt("mount", lambda: refuse_below_zero(libc.mount(b"none", b"/usr", b"tmpfs", 0, None)))
            attempt("unshare", lambda: refuse_below_zero(libc.unshare(0x10000000)))
            attempt("unmount", lambda: refuse_below_zero(libc.umount2(b"/proc", 2)))
            attempt("chroot", lambda: os.chroot("."))
            attempt("ring", lambda: refuse_below_zero(libc.syscall(425, 1, 0)))
            attempt("bpf", lambda: refuse_below_zero(libc.syscall(321, 0, 0, 0)))
            attempt("root", lambda: 1 / os.getuid())
            done.remove("root")
            """
        )
    )
    assert outcome.result == []


def test_folders_of_candidates_belong_to_nobody_else(open_folder):
    assert stat.S_IMODE(open_folder.stat().st_mode) == 0o777  # or the attacks on it would prove nothing
