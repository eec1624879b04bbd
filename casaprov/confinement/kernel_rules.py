"""Confinement of this process before it runs the calls of a stranger's crate.

CASA evaluates some of its parameters as Python (flagdata's list mode) and hands others to a shell, so a recorded call
can be any program. A replay therefore runs CASA in a process that the Linux kernel confines, without the help of root
and without a way back, its children included:

- Landlock lets it write below given folders only, and read only these, the inputs, and the folders of the system, of
  Python and of CASA;
- seccomp covers the rest: it refuses sockets, memory and queues shared with other processes, signals to them, their
  limits and priorities, changes of modes, owners and times, new namespaces, and administration.

plotms and imview talk to their programs over TCP. A process that runs these first gets a network of its own
(:func:`enter_own_network`), with nothing in it but the process and its children, and with no way out; sockets of the
internet's families are then allowed.

See https://docs.kernel.org/userspace-api/landlock.html, seccomp(2) and namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from casaprov.errors import ConfinementMissing

__all__ = ["confine", "enter_own_network", "landlock_version", "require_confinement"]

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

# Landlock: https://docs.kernel.org/userspace-api/landlock.html#filesystem-flags
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_RIGHTS_SINCE_5 = (1 << 16) - 1
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11

# seccomp: the system calls that are refused, by machine (x86-64, arm64; None: there is none)
_SHARED: dict[str, tuple[int | None, int | None]] = {
    "mq_getsetattr": (245, 185), "mq_notify": (244, 184), "mq_open": (240, 180), "mq_timedreceive": (243, 183),
    "mq_timedsend": (242, 182), "mq_unlink": (241, 181), "msgctl": (71, 187), "msgget": (68, 186),
    "msgrcv": (70, 188), "msgsnd": (69, 189), "semctl": (66, 191), "semget": (64, 190), "semop": (65, 193),
    "semtimedop": (220, 192), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197), "shmget": (29, 194),
}  # fmt: skip
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clock_settime": (227, 112), "delete_module": (176, 106),
    "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "init_module": (175, 105), "inotify_add_watch": (254, 27),
    "io_uring_setup": (425, 425), "ioperm": (173, None),
    "iopl": (172, None), "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "perf_event_open": (298, 241), "pivot_root": (155, 41),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "reboot": (169, 142), "request_key": (249, 218), "setdomainname": (171, 162), "sethostname": (170, 161),
    "setns": (308, 268), "setpgid": (109, 154), "setsid": (112, 157), "settimeofday": (164, 170),
    "socket": (41, 198), "swapoff": (168, 225), "swapon": (167, 224), "syslog": (103, 116),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}  # fmt: skip
_SIGNALS: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129), "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "tgkill": (234, 131), "tkill": (200, 130),
}  # fmt: skip
_TRUNCATE_BY_NAME: dict[str, tuple[int | None, int | None]] = {"truncate": (76, 45)}
# The arguments of clone3 are in memory, where a filter cannot see them. Without clone3 the C library uses clone. Files
# in memory (memfd_create, memfd_secret) have no place, so that nothing counts their size.
_ABSENT: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435), "memfd_create": (319, 279), "memfd_secret": (447, 447),
}  # fmt: skip
# These report success and do nothing: a copy of a file must not fail because its times cannot be set, nor a thread
# because it cannot be bound to a processor. A lock (flock) needs no right to write: on a file that may only be read, it
# would make the user's own programs wait. casacore locks its tables in another way, which does need that right.
_IGNORED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "chown": (92, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "fchown": (93, 55), "fchownat": (260, 54), "file_setattr": (469, 469), "flock": (73, 32), "fremovexattr": (199, 16),
    "fsetxattr": (190, 7), "futimesat": (261, None), "ioprio_set": (251, 30), "lchown": (94, None),
    "lremovexattr": (198, 15), "lsetxattr": (189, 6), "removexattr": (197, 14), "removexattrat": (466, 466),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "setpriority": (141, 140), "setxattr": (188, 5), "setxattrat": (463, 463),
    "utime": (132, None), "utimensat": (280, 88), "utimes": (235, None),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # offsets in the filter's view of a call, little-endian

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_ANY_NAMESPACE = 0x7E020000  # clone(2): CLONE_NEWNS and all other CLONE_NEW...

# Calls that are refused if a test of an argument holds: (number on x86-64, on arm64, index of the argument, test,
# operand). The kernel itself uses only the lower 32 bits of these arguments.
_ARGUMENTS = (
    (302, 261, 0, _ANY_BIT, 0xFFFFFFFF),  # prlimit64 of any process but 0, the caller
    (56, 220, 0, _ANY_BIT, _ANY_NAMESPACE),  # clone
    (72, 25, 1, _EQUAL, 1024),  # fcntl: F_SETLEASE, which delays whoever opens the file
)
_SOCKET_PAIR = (53, 199)
_SOCKET_TYPE = 0xF  # the other bits of a socket's type are flags
_BY_ADDRESS: dict[str, tuple[int | None, int | None]] = {"bind": (49, 200), "connect": (42, 203)}
_SIGNALS_BY_FILE = (
    (72, 25, 1, _EQUAL, 8),  # fcntl: F_SETOWN
    (72, 25, 1, _EQUAL, 15),  # F_SETOWN_EX
    (16, 29, 1, _EQUAL, 0x8901),  # ioctl: FIOSETOWN
    (16, 29, 1, _EQUAL, 0x8902),  # SIOCSPGRP
)
_OWN_NETWORK = "a network of its own"
_SET_FLAGS, _UP = 0x8914, 1  # netdevice(7): SIOCSIFFLAGS, IFF_UP

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _DROP_BOUND = 38, 22, 24
_CAP_DAC_OVERRIDE, _CAP_LAST = 1, 63

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the version of Landlock in this kernel; 0 for none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))))


def require_confinement() -> None:
    """Raise :class:`ConfinementMissing` if the kernel or the machine cannot confine a process."""
    if not landlock_version() or platform.machine() not in _MACHINES:
        raise ConfinementMissing("This system cannot confine CASA: it needs Landlock (Linux 5.13) on x86-64 or arm64.")


def enter_own_network() -> None:
    """Move this process to an empty network with only a loopback device.

    Raises
    ------
    ConfinementMissing
        If the system does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEW_NETWORK) != 0:  # it needs root; a user may be root in a namespace of their own
        _do(_libc.unshare(_NEW_USER | _NEW_NETWORK), _OWN_NETWORK)
        with _as_missing(_OWN_NETWORK):
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    with _as_missing(_OWN_NETWORK), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))


@contextmanager
def _as_missing(feature: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_confined(feature, str(error.strerror)) from error


def confine(*, write: Iterable[Path], read: Iterable[Path], own_network: bool = False) -> None:
    """Confine this process and all its future children, for good.

    Parameters
    ----------
    write
        Folders that may be read and written.
    read
        Files and folders that may be read and executed; absent ones are passed over.
    own_network
        True if :func:`enter_own_network` was called before: internet sockets are allowed then.

    Raises
    ------
    ConfinementMissing
        If the kernel or the machine cannot do it, or if another thread runs already, which would stay free.
    """
    require_confinement()
    version, machine = landlock_version(), platform.machine()
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - names only
        raise ConfinementMissing("CASA cannot be confined: a thread runs already.")
    _drop_capabilities()
    _do(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no new privileges")
    _restrict_files(version, write, read, network=0 if own_network else _ALL_TCP)
    _restrict_calls(version, machine, own_network=own_network)


def _restrict_files(version: int, write: Iterable[Path], read: Iterable[Path], *, network: int) -> None:
    rights = _RIGHTS.get(version, _RIGHTS_SINCE_5)
    attributes = struct.pack("=QQQ", rights, network, _ALL_SCOPES)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    _do(ruleset, "Landlock's rules")
    for path in read:
        _allow(ruleset, path, _READ & rights)
    for device in _DEVICES:
        _allow(ruleset, Path(device), (_READ_FILE | _WRITE_FILE) & rights)
    for path in write:
        _allow(ruleset, path, rights)
    _do(_libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)), "Landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # an absent path, or one that this user cannot reach anyway, needs no rule
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _OF_FILES, opened)
        _do(_libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)), str(path))
    finally:
        os.close(opened)


def _restrict_calls(version: int, machine: str, *, own_network: bool) -> None:
    program = b"".join(_program(version, machine, own_network=own_network))
    filled = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(filled))
    _do(_libc.prctl(_SET_SECCOMP, 2, header, 0, 0), "seccomp")


def _program(version: int, machine: str, *, own_network: bool) -> Iterator[bytes]:
    """Yield the instructions of the filter, which test a call's machine and number, and some arguments."""
    column, audit = _MACHINES[machine]
    yield struct.pack("=HBBI", _LOAD, 0, 0, _MACHINE_AT)
    yield struct.pack("=HBBI", _EQUAL, 1, 0, audit)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _KILL)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _NUMBER_AT)
    if machine == "x86_64":
        yield from _answer(_AT_LEAST, _X32, _FAIL | errno.ENOSYS)
    if own_network:
        yield from _internet_sockets(_REFUSED["socket"][column])
    yield from _only_stream_pairs(_SOCKET_PAIR[column])
    for *numbers, argument, test, operand in (*_ARGUMENTS, *(_SIGNALS_BY_FILE if version < 6 else ())):
        yield from _refused_argument(numbers[column], argument, test, operand)
    refused = _SHARED | _REFUSED | ({} if own_network else _BY_ADDRESS)
    refused |= (_SIGNALS if version < 6 else {}) | (_TRUNCATE_BY_NAME if version < 3 else {})
    for table, answer in ((refused, _FAIL | errno.EPERM), (_ABSENT, _FAIL | errno.ENOSYS), (_IGNORED, _FAIL)):
        for number in (numbers[column] for numbers in table.values()):
            if number is not None:
                yield from _answer(_EQUAL, number, answer)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)


def _internet_sockets(number: int | None) -> Iterator[bytes]:
    """Allow sockets of the internet's families, and leave the number loaded for all other calls."""
    assert number is not None
    yield struct.pack("=HBBI", _EQUAL, 0, 5, number)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    yield struct.pack("=HBBI", _EQUAL, 1, 0, socket.AF_INET)
    yield struct.pack("=HBBI", _EQUAL, 0, 1, socket.AF_INET6)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _FAIL | errno.EPERM)


def _only_stream_pairs(number: int) -> Iterator[bytes]:
    """Allow pairs of stream sockets of this system; one of datagram sockets reaches any other socket by its name."""
    yield struct.pack("=HBBI", _EQUAL, 0, 7, number)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    yield struct.pack("=HBBI", _EQUAL, 0, 3, socket.AF_UNIX)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _FIRST_ARGUMENT_AT + 8)
    yield struct.pack("=HBBI", _AND, 0, 0, _SOCKET_TYPE)
    yield struct.pack("=HBBI", _EQUAL, 1, 0, socket.SOCK_STREAM)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _FAIL | errno.EPERM)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)


def _refused_argument(number: int, argument: int, test: int, operand: int) -> Iterator[bytes]:
    """Refuse a call if the test holds for an argument, and leave the number loaded for all others."""
    yield struct.pack("=HBBI", _EQUAL, 0, 4, number)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _FIRST_ARGUMENT_AT + 8 * argument)
    yield struct.pack("=HBBI", test, 0, 1, operand)
    yield struct.pack("=HBBI", _RETURN, 0, 0, _FAIL | errno.EPERM)
    yield struct.pack("=HBBI", _LOAD, 0, 0, _NUMBER_AT)


def _answer(test: int, number: int, answer: int) -> Iterator[bytes]:
    yield struct.pack("=HBBI", test, 0, 1, number)
    yield struct.pack("=HBBI", _RETURN, 0, 0, answer)


def _drop_capabilities() -> None:
    """Drop all capabilities; root keeps that of reading and writing files of others, where Landlock allows it."""
    kept = 1 << _CAP_DAC_OVERRIDE if os.geteuid() == 0 else 0
    for capability in range(_CAP_LAST):
        if not kept >> capability & 1:
            _libc.prctl(_DROP_BOUND, capability, 0, 0, 0)  # refused without privileges, and then not needed
    header = struct.pack("=Ii", 0x20080522, 0)
    _do(_libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)), "capabilities")


def _do(result: int, feature: str) -> None:
    if result < 0:
        raise _not_confined(feature, os.strerror(ctypes.get_errno()))


def _not_confined(feature: str, reason: str) -> ConfinementMissing:
    return ConfinementMissing(f"This system cannot confine CASA ({feature}: {reason}).")
