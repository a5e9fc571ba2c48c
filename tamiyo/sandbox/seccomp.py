"""The system calls that a candidate may make, as two filters of bytes that a child loads without any library.

The first allows what computing in Python and torch needs and tells of every other call that there is none.
The second refuses, by name or by arguments, what would reach other processes, the network or more memory than
is watched. The kernel takes the stricter of the two.
"""

import errno
import os
import tempfile

from tamiyo.sandbox.confinement import OWN_PROCESS
from tamiyo.sandbox.contract import SandboxError

_ALLOWED = """
    access brk chdir clock_getres clock_gettime clock_nanosleep clone close close_range copy_file_range
    creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd2
    exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fcntl fdatasync flock fork fstat
    fstatfs fsync ftruncate futex get_robust_list getcpu getcwd getdents getdents64 getegid geteuid
    getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
    getrlimit getrusage getsid gettid gettimeofday getuid ioctl kill lseek lstat madvise membarrier
    mincore mkdir mkdirat mmap mprotect mremap msync munmap nanosleep newfstatat open openat pause pipe
    pipe2 poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv rename renameat renameat2 restart_syscall rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler
    sched_setaffinity sched_yield select sendfile set_robust_list set_tid_address setitimer setpgid
    setsid sigaltstack stat statfs statx symlink symlinkat sysinfo tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    umask uname unlink unlinkat vfork wait4 waitid write writev arch_prctl
""".split()

# Calls that candidates try: they are told that it is not permitted, rather than that there is no such call.
_REFUSED = """
    accept accept4 bind connect listen recvfrom recvmsg sendmsg sendto setsockopt shutdown socket socketpair
    execve execveat ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd
    pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo tkill kcmp setpriority ioprio_set
    mount umount2 pivot_root chroot unshare setns open_tree move_mount fsopen bpf perf_event_open userfaultfd
    io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key
    memfd_create memfd_secret shmget shmat mq_open msgget semget splice vmsplice tee mlock mlock2 mlockall
    link linkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr truncate mknod mknodat
    setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset personality
    open_by_handle_at name_to_handle_at fanotify_init inotify_init inotify_init1 setrlimit
""".split()

_NEW_NAMESPACES = (0x02000000, 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_OWNER_AND_SIGNAL_OF_DESCRIPTORS = (8, 10, 15, 1024, 1026, 1031)  # F_SETOWN, F_SETSIG, ... F_SETPIPE_SZ
_OWNER_OF_DEVICES = (0x5412, 0x5452, 0x8901, 0x8902)  # TIOCSTI, FIOASYNC, FIOSETOWN, SIOCSPGRP
_HIDING_FROM_THE_WATCH = (4, 36)  # PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER
_SHARED_ANONYMOUS = 0x21  # memory that no resident size tells of once it is unmapped


def filters(signals_itself_alone: bool) -> tuple[bytes, bytes]:
    """Return the two filters, to be loaded in this order.

    Args:
        signals_itself_alone: whether signals may go to the process that loads them alone; needless where the
            candidate cannot name any process but its own.

    Raises:
        SandboxError: pyseccomp or libseccomp is missing.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise SandboxError(
            f"generated code runs only behind a filter of system calls, but {error}; "
            'mend it with `pip install "tamiyo[expand]"` and the package libseccomp2 of the system'
        ) from error
    allowing = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
    for name in _ALLOWED:
        _add(allowing, pyseccomp.ALLOW, name)
    return _exported(allowing), _exported(_refusing(pyseccomp, signals_itself_alone))


def _refusing(pyseccomp, signals_itself_alone: bool):  # pyseccomp has no types
    """The second filter: everything but what is named here."""
    refusing = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for name in _REFUSED:
        _add(refusing, refuse, name)

    def masked(name: str, argument: int, mask: int, value: int) -> None:
        _add(refusing, refuse, name, pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, mask, value))

    def unless(name: str, argument: int, value: int) -> None:
        _add(refusing, refuse, name, pyseccomp.Arg(argument, pyseccomp.NE, value))

    for flag in _NEW_NAMESPACES:
        masked("clone", 0, flag, flag)
    for command in _OWNER_AND_SIGNAL_OF_DESCRIPTORS:
        masked("fcntl", 1, 0xFFFFFFFF, command)
    for command in _OWNER_OF_DEVICES:
        masked("ioctl", 1, 0xFFFFFFFF, command)
    for command in _HIDING_FROM_THE_WATCH:
        masked("prctl", 0, 0xFFFFFFFF, command)
    masked("mmap", 3, _SHARED_ANONYMOUS, _SHARED_ANONYMOUS)
    masked("open", 1, os.O_TRUNC | os.O_ACCMODE, os.O_TRUNC)  # reading that empties a file
    masked("openat", 2, os.O_TRUNC | os.O_ACCMODE, os.O_TRUNC)
    unless("prlimit64", 0, 0)
    unless("sched_setaffinity", 0, 0)
    if signals_itself_alone:
        unless("kill", 0, OWN_PROCESS)
        unless("tgkill", 0, OWN_PROCESS)
    return refusing


def _add(filter_, action: int, name: str, *arguments) -> None:
    """Add a rule, unless this machine's kind of processor has no such call."""
    import pyseccomp

    try:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    except ValueError:
        return
    if number >= 0:
        filter_.add_rule(action, number, *arguments)


def _exported(filter_) -> bytes:
    """The program of the filter, as the kernel reads it."""
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()
