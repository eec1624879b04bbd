"""Confinement, tried by real processes that gave up their rights."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casaprov.casa.sandbox.confine import confine, landlock_version
from casaprov.casa.sandbox.confined_server import passed_on
from casaprov.errors import ConfinementMissing

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)")

# What to try, in the folder that may be written; {out} is one that may not be read either,
# {inputs} one that may only be read, {pid} a process of the same user.
DENIED = {
    "write outside": "open('{inputs}/new', 'w')",
    "change an input": "open('{inputs}/a.txt', 'a')",
    "truncate an input": "os.truncate('{inputs}/a.txt', 0)",
    "remove an input": "os.unlink('{inputs}/a.txt')",
    "rename an input": "os.rename('{inputs}/a.txt', '{inputs}/b.txt')",
    "move a file out": "os.rename('own.txt', '{inputs}/own.txt')",
    "move an input in": "os.rename('{inputs}/a.txt', 'a.txt')",
    "make a folder outside": "os.mkdir('{inputs}/folder')",
    "make a link outside": "os.symlink('/etc', '{inputs}/link')",
    "link an input to itself": "(os.link('{inputs}/a.txt', 'linked'), open('linked', 'a'))",
    "write through a link": "(os.symlink('{inputs}', 'in'), open('in/new', 'w'))",
    "read a secret": "open('{out}/secret').read()",
    "read a secret through a link": "(os.symlink('{out}', 'out'), open('out/secret').read())",
    "list a secret folder": "os.listdir('{out}')",
    "watch a secret folder": "libc('inotify_add_watch', libc('inotify_init1', 0), b'{out}', 0xFFF)",
    "read a secret with a program": "subprocess.run(['cat', '{out}/secret'], check=True)",
    "read another's memory": "open('/proc/{pid}/mem', 'rb').read(1)",
    "read another's environment": "open('/proc/{pid}/environ', 'rb').read(1)",
    "reach another's folder": "os.listdir('/proc/{pid}/root{out}')",
    "signal another": "os.kill({pid}, 0)",
    "leave the process group": "os.setsid()",
    "reach the network": "socket.socket(socket.AF_INET)",
    "reach a local service": "socket.socket(socket.AF_UNIX)",
    "reach the kernel's messages": "socket.socket(socket.AF_NETLINK)",
    "send to a service by a pair of sockets": "datagram().sendto(b'forged', '{socket}')",
    "send a message by a pair of sockets": "datagram().sendmsg([b'forged'], [], 0, '{socket}')",
    "connect a pair of sockets to a service": "(pair := datagram(), pair.connect('{socket}'), pair.send(b'forged'))",
    "make a pair of sequential sockets": "socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
    "make a pair with flags in its type": "socket.socketpair(socket.AF_UNIX, 0x80802)",
    "make a pair of another family": "socket.socketpair(30, socket.SOCK_STREAM)",
    "connect a stream to a service": "socket.socketpair()[0].connect('{socket}')",
    "delay whoever opens a file": "fcntl.fcntl(open('{inputs}/a.txt'), 1024, fcntl.F_RDLCK)",
    "use files in memory": "os.memfd_create('x')",
    "limit another": "resource.prlimit({pid}, resource.RLIMIT_CPU, (600, 600))",
    "limit another by a number with more bits": "limits(1 << 32 | {pid})",
    "read another's limits": "resource.prlimit({pid}, resource.RLIMIT_CPU)",
    "share memory": "libc('shmctl', libc('shmget', 0, 4096, 0o600), 0, None)",
    "share semaphores": "libc('semctl', libc('semget', 0, 1, 0o600), 0, 0)",
    "share a queue": "libc('msgctl', libc('msgget', 0, 0o600), 0, None)",
    "share a queue with a name": "(libc('mq_open', b'/casaprov', 0o102, 0o600, None), libc('mq_unlink', b'/casaprov'))",
    "enter a namespace": "libc('unshare', 0x10000000)",
    "start a process in a namespace of users": "clone(0x10000000)",
    "start a process in namespaces": "clone(0x20000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000)",
    "start a process in a namespace the new way": "libc('syscall', 435, struct.pack('11Q', 1 << 28, *[0] * 10), 88)",
    "mount": "libc('mount', b'none', b'.', b'tmpfs', 0, None)",
    "change the root": "os.chroot('.')",
    "make a device": "os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))",
    "gain rights by a program": "subprocess.run(['su', '-c', 'true'], check=True, capture_output=True, stdin=-3)",
}
# These must not fail, for copying a file does them; they must not do anything either.
WITHOUT_EFFECT = {
    "modes": "os.chmod('{inputs}/a.txt', 0o777)",
    "modes of an open file": "os.fchmod(os.open('{inputs}/a.txt', os.O_RDONLY), 0o777)",
    "times": "os.utime('{inputs}/a.txt', (0, 0))",
    "owners": "os.chown('{inputs}/a.txt', 1, 1)",
    "attributes": "os.setxattr('{inputs}/a.txt', 'user.x', b'1')",
    "a lock of an input": "fcntl.flock(open('{inputs}/a.txt'), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "another's priority": "os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "another's processors": "os.sched_setaffinity({pid}, [min(os.sched_getaffinity(0))])",
    "another's scheduling": "os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
}
ALLOWED = {
    "read an input": "open('{inputs}/a.txt').read()",
    "write, copy and remove": "(shutil.copytree('.', '{work}/sub'), shutil.rmtree('sub'))",
    "rename within": "os.rename('own.txt', 'other.txt')",
    "rename between folders": "(os.mkdir('d'), os.rename('own.txt', 'd/own.txt'))",
    "run a program": "subprocess.run('ls | cat', shell=True, check=True, capture_output=True)",
    "start a process and stop it": "multi()",
    "start a process directly": "os.waitpid(os.posix_spawnp('true', ['true'], os.environ), 0)",
    "start a process by the system call": "clone(0)",
    "use threads": "(t := threading.Thread(target=os.getpid), t.start(), t.join())",
    "limit itself": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "limit its children": "subprocess.run('ulimit -n 100; test $(ulimit -n) = 100', shell=True, check=True)",
    "set flags of a file": "fcntl.fcntl(1, fcntl.F_SETFD, 0)",
    "use a pair of sockets": "(pair := socket.socketpair(), pair[0].send(b'x'), pair[1].recv(1))",
    "map memory": "mmap.mmap(-1, 4096)",
    "null": "open('/dev/null', 'w').write('x')",
    "import": "__import__('numpy')",
}

CHILD = """
import ctypes, fcntl, json, mmap, os, platform, resource, shutil, socket, stat, struct, subprocess, sys, threading
from pathlib import Path
from casaprov.casa.sandbox.confine import confine, enter_own_network, readable_places

def libc(name, *arguments):
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result

def datagram():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]

def ended(pid):
    if not pid:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

def multi():
    ended(os.fork())

def clone(flags):
    number = 56 if platform.machine() == "x86_64" else 220
    ended(libc("syscall", number, ctypes.c_ulong(flags | 17), None, None, None, None))

def limits(pid):
    number = 302 if platform.machine() == "x86_64" else 261
    libc("syscall", number, ctypes.c_ulong(pid), resource.RLIMIT_CPU, None, ctypes.create_string_buffer(16))

work, inputs, draws = Path(sys.argv[1]), Path(sys.argv[2]), len(sys.argv) > 3
if draws:
    enter_own_network()
confine(write=[work], read=[*readable_places(), inputs], own_network=draws)
for line in sys.stdin:
    folder, statement = json.loads(line)
    outcome, told = os.pipe()
    child = os.fork()
    if not child:
        os.chdir(folder)
        try:
            eval(statement)
            answer = "done"
        except (OSError, subprocess.CalledProcessError) as error:
            answer = str(error)
        except BaseException as error:
            answer = f"broken: {error!r}"
        os.write(told, json.dumps(answer).encode())
        os._exit(0)
    os.close(told)
    with open(outcome, "rb") as file:
        print(file.read().decode(), flush=True)
    os.waitpid(child, 0)
"""


class World:
    """Folders, a process and a service of the user's, and a confined process that tries statements.

    Each statement is tried by a child of the confined process, in a folder of its own.

    Attributes
    ----------
    inputs, out
        A folder that may be read, and one that may not.
    """

    def __init__(self, folder: Path, *more: str) -> None:
        self.work, self.inputs, self.out = (folder / name for name in ("work", "inputs", "out"))
        for made in (self.work, self.inputs, self.out):
            made.mkdir()
        (self.inputs / "a.txt").write_text("input")
        (self.out / "secret").write_text("secret")
        self._tried = 0
        self._short = tempfile.TemporaryDirectory()  # the name of a socket has at most 107 bytes
        self._service = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._service.bind(f"{self._short.name}/log")
        self._service.setblocking(False)
        self._other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        command = [sys.executable, "-c", CHILD, str(self.work), str(self.inputs), *more]
        self._confined = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def attempt(self, statement: str) -> str:
        """Try a statement; return ``done``, or how it failed."""
        self._tried += 1
        work = self.work / str(self._tried)
        work.mkdir()
        (work / "own.txt").write_text("own")
        pid = self._other.pid
        folders = {"work": work, "inputs": self.inputs, "out": self.out}
        filled = statement.format(**folders, pid=pid, socket=self._service.getsockname())
        before = standing(pid)
        assert self._confined.stdin is not None
        assert self._confined.stdout is not None
        self._confined.stdin.write(json.dumps([str(work), filled]) + "\n")
        self._confined.stdin.flush()
        told: str = json.loads(self._confined.stdout.readline())
        assert not told.startswith("broken"), told
        assert self._other.poll() is None
        assert standing(pid) == before
        with pytest.raises(BlockingIOError):
            self._service.recv(100)
        return told

    def close(self) -> None:
        for process in (self._confined, self._other):
            with process:  # closes its pipes, which ends it
                pass
        self._service.close()
        self._short.cleanup()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with closing(World(tmp_path_factory.mktemp("world"))) as made:
        yield made


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A confined process with a network of its own."""
    code = "from casaprov.casa.sandbox.confine import enter_own_network; enter_own_network()"
    if subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode:
        pytest.skip("this system gives a process no network of its own: it needs root or user namespaces")
    with closing(World(tmp_path_factory.mktemp("drawing"), "draws")) as made:
        yield made


def standing(pid: int) -> tuple[Any, ...]:
    """Rights of a process."""
    limits = [resource.prlimit(pid, which) for which in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE)]
    return limits, os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid), os.sched_getaffinity(pid)


def state(folder: Path) -> dict[str, Any]:
    """All that others can see of a folder."""
    seen = {}
    for path in (folder, *folder.rglob("*")):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else sorted(p.name for p in path.iterdir())
        seen[path.name] = (content, status.st_mode, status.st_uid, status.st_mtime_ns)
    return seen


@pytest.mark.parametrize("what", DENIED)
def test_it_cannot(what: str, world: World) -> None:
    before = state(world.inputs), state(world.out)
    assert world.attempt(DENIED[what]) != "done"
    assert (state(world.inputs), state(world.out)) == before


@pytest.mark.parametrize("what", [what for what in DENIED if what != "reach the network"])
def test_what_draws_can_do_no_more(what: str, drawing: World) -> None:
    before = state(drawing.inputs), state(drawing.out)
    assert drawing.attempt(DENIED[what]) != "done"
    assert (state(drawing.inputs), state(drawing.out)) == before


def test_what_draws_reaches_itself_and_nobody_else(drawing: World) -> None:
    own = "(s := socket.create_server(('127.0.0.1', 0)), socket.create_connection(s.getsockname(), 5))"
    assert drawing.attempt(own) == "done"
    with socket.create_server(("127.0.0.1", 0)) as local:
        told = drawing.attempt(f"socket.create_connection({local.getsockname()}, 5)")
    assert "refused" in told
    assert "unreachable" in drawing.attempt("socket.create_connection(('192.0.2.1', 80), 5)")


@pytest.mark.parametrize("what", WITHOUT_EFFECT)
def test_it_has_no_effect_on(what: str, world: World) -> None:
    before = state(world.inputs)
    with (world.inputs / "a.txt").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # so that a lock of another process would fail
        assert world.attempt(WITHOUT_EFFECT[what]) == "done"
    assert state(world.inputs) == before


@pytest.mark.parametrize("what", ALLOWED)
def test_it_can(what: str, world: World) -> None:
    assert world.attempt(ALLOWED[what]) == "done"


@pytest.mark.parametrize("way", ["fcntl.fcntl(0, fcntl.F_SETOWN, 1)", "fcntl.ioctl(0, 0x8901, struct.pack('i', 1))"])
def test_no_file_signals_others_where_landlock_does_not_prevent_it(way: str) -> None:
    code = (
        "import ctypes, fcntl, platform, struct\nfrom casaprov.confinement.kernel_rules import _restrict_calls\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n_restrict_calls(5, platform.machine(), own_network=False)\n"
    )
    own, other = socket.socketpair()
    with own, other:
        done = subprocess.run(
            [sys.executable, "-c", code + way], check=False, capture_output=True, text=True, stdin=own.fileno()
        )
    assert "Operation not permitted" in done.stderr


def test_it_gets_what_casa_needs_of_the_environment_and_no_secrets() -> None:
    needed = ("PATH", "HOME", "LD_LIBRARY_PATH", "LC_ALL", "TZ", "PYTHONPATH", "OMP_NUM_THREADS", "CASASITECONFIG")
    assert all(map(passed_on, needed))
    assert not any(map(passed_on, ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "https_proxy", "DISPLAY")))


def test_a_process_with_threads_is_not_confined_by_halves(tmp_path: Path) -> None:
    code = (
        "import threading, time\nfrom pathlib import Path\nfrom casaprov.casa.sandbox.confine import confine\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        f"confine(write=[Path({str(tmp_path)!r})], read=[])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "a thread runs already" in done.stderr


def test_an_unknown_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(ConfinementMissing, match="cannot confine") as caught:
        confine(write=[], read=[])
    assert "--unconfined" in caught.value.hint
