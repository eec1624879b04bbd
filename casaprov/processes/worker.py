"""Child processes that answer calls, and end with their parent.

A :class:`Worker` exchanges JSON lines with a child over pipes; the child runs
:func:`serve`. CASA and casacore stay out of the user's process in this way:
two copies of casacore in one process block each other's tables, and a crash
in C++ ends a child instead of a kernel.
"""

from __future__ import annotations

import io
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol, cast

from casaprov import errors
from casaprov.errors import CasaprovError, WorkerClosed, WorkerDied
from casaprov.untrusted.parsing.bounded_json import JsonLimits, parse_json

__all__ = ["Watch", "Worker", "WorkerPool", "serve"]

_STDERR_LINES = 20
_STDERR_BYTES = 20 * 2**10  # of the last output to stderr, which may have no line breaks
_END_S = 2.0  # seconds that a process has to end by itself
_READ_BYTES = 2**20
_ANSWERS = JsonLimits()


class Watch(Protocol):
    """Looks at a child process while a call runs."""

    @property
    def interval_s(self) -> float:
        """Seconds between two looks."""
        ...

    def begin(self, pid: int, name: str, arguments: Mapping[str, Any]) -> None:
        """Note the begin of a call."""
        ...

    def problem(self, pid: int) -> CasaprovError | None:
        """Return the error with which the call ends now; None if it may go on."""
        ...


class Worker:
    """A child process that answers calls, one at a time.

    The first call starts it, and the first call after its death starts it again.

    Parameters
    ----------
    module
        The module that the child runs, ``python -m module``, and arguments after it; it calls :func:`serve`.
    python
        The interpreter.
    cwd
        Folder in which the child starts; by default that of this process.
    environment
        Variables that the child has beside those of this process.
    inherits
        Tells by the name of a variable whether the child inherits it; by
        default it inherits all.
    watch
        Ends a call that uses too much.
    """

    def __init__(
        self,
        module: str,
        *,
        python: str = sys.executable,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        inherits: Callable[[str], bool] = lambda _: True,
        watch: Watch | None = None,
    ) -> None:
        # -P keeps the working folder out of the child's search path: a user's file called
        # numpy.py or string.py there would be imported otherwise.
        self._command = [python, "-P", "-m", *module.split()]
        self._cwd = cwd
        self._environment = dict(environment or {})
        self._inherits = inherits
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = watch
        self._stderr = _LastOutput()
        self._drain: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the child; None if none runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the child now, so that the first call need not wait for its imports."""
        with self._lock:
            self._running()

    def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a function that the child serves; arguments and result are JSON values.

        Raises
        ------
        CasaprovError
            The error that the function raised, of the same class if that is
            in :mod:`casaprov.errors`.
        WorkerDied
            If the child ended before it answered.
        casaprov.errors.LimitReached
            If the child used more than its `watch` allows.
        """
        request = json.dumps({"call": name, "arguments": arguments}).encode() + b"\n"
        with self._lock:
            process = self._running()
            if self._watch is not None:
                self._watch.begin(process.pid, name, arguments)
            try:
                answer = self._exchange(process, request)
            except BaseException:
                # The answer to this call must not be taken for the answer to the next one.
                self._end(process, wait_s=0)
                raise
            if len(answer) > _ANSWERS.bytes:
                self._end(process, wait_s=0)
                raise WorkerDied(
                    f"The child process {self._command[-1]} answered {name!r} with more than {_ANSWERS.bytes} bytes."
                )
            if not answer.endswith(b"\n"):
                raise self._was_closed() if self._closed else self._died(process, name)
        try:
            members = parse_json(answer, _ANSWERS, strict=False)
            if "error" not in members:
                return members["value"]
            error = _error(members["error"])
        except (ValueError, TypeError, LookupError) as nonsense:
            # A child that runs a stranger's calls may answer anything.
            self._end(process, wait_s=0)
            raise WorkerDied(f"The child process {self._command[-1]} answered {name!r} with nonsense.") from nonsense
        raise error

    def rest(self) -> None:
        """End the child after its call; the next call starts it again."""
        with self._lock:
            if self._process is not None:
                self._end(self._process, wait_s=_END_S)
                self._process = None

    def close(self) -> None:
        """End the child for good; a running call raises :class:`WorkerClosed`."""
        self._closed = True
        process = self._process
        if process is not None:
            self._end(process, wait_s=_END_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise self._was_closed()
        if self._process is None or self._process.poll() is not None:
            if self._process is not None:
                self._end(self._process, wait_s=0)
            self._process = self._spawn()
        return self._process

    def _spawn(self) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if self._inherits(name)}
        # The child inherits the mask: a Ctrl-C that arrives before the child ignores
        # interrupts waits until then.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._cwd,
                env={**inherited, **self._environment},
                # A group of its own: a Ctrl-C does not reach the child, and a Jupyter kernel that
                # shuts down waits for every process of its group before it lets Python exit.
                process_group=0,
            )
        except OSError as error:
            raise WorkerDied(f"{self._command[0]} could not be started: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
        self._stderr = _LastOutput()
        self._drain = threading.Thread(target=self._stderr.drain, args=(process.stderr,), daemon=True)
        self._drain.start()
        return process

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            stdin.write(request)
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return b""
        try:
            return self._answer_of(process.pid, stdout)
        except (OSError, ValueError):  # closed by another thread
            return b""

    def _answer_of(self, pid: int, stdout: IO[bytes]) -> bytes:
        """Wait for a line, and end the call if the watch says so or the line is too long."""
        waiting = select.poll()
        waiting.register(stdout.fileno(), select.POLLIN)
        answer = bytearray()  # not a list of pieces: a child may write byte by byte
        while True:
            if waiting.poll(None if self._watch is None else self._watch.interval_s * 1000):
                piece = cast("io.BufferedReader", stdout).read1(_READ_BYTES)
                answer += piece
                if not piece or piece.endswith(b"\n") or len(answer) > _ANSWERS.bytes:
                    return bytes(answer)
            # An answer that is there counts: the time limit passes also while this process is stopped.
            if self._watch is not None and (problem := self._watch.problem(pid)):
                raise problem

    def _was_closed(self) -> WorkerClosed:
        return WorkerClosed(f"The child process {self._command[-1]} was closed.")

    def _died(self, process: subprocess.Popen[bytes], name: str) -> WorkerDied:
        self._end(process, wait_s=_END_S)
        status = process.returncode
        how = f"was ended by signal {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        last = "\n".join(self._stderr.lines())
        return WorkerDied(
            f"The child process {self._command[-1]} {how} before it answered {name!r}."
            + (f" Its last lines were:\n{last}" if last else "")
        )

    def _end(self, process: subprocess.Popen[bytes], *, wait_s: float) -> None:
        """Ask the child to end by closing its input, then kill it."""
        with suppress(OSError):
            cast("IO[bytes]", process.stdin).close()
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError, PermissionError):  # processes that it started and left behind
            os.killpg(process.pid, signal.SIGKILL)
        cast("IO[bytes]", process.stdout).close()
        if self._drain is not None and self._drain is not threading.current_thread():
            self._drain.join(_END_S)


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:  # real-time signals have no names
        return str(number)


class _LastOutput:
    """The last part of the stderr of a process: a process of a stranger's may write without an end."""

    def __init__(self) -> None:
        self._end = b""

    def drain(self, stream: IO[bytes]) -> None:
        """Read the stream until it ends."""
        with stream:
            while piece := cast("io.BufferedReader", stream).read1(_READ_BYTES):
                self._end = (self._end + piece)[-_STDERR_BYTES:]

    def lines(self) -> list[str]:
        """Return the last lines."""
        return [line.rstrip() for line in self._end.decode(errors="replace").splitlines()[-_STDERR_LINES:]]


def _error(description: Mapping[str, Any]) -> CasaprovError:
    """Return the error that a child described (:func:`_answer`)."""
    known = getattr(errors, description["type"], None)
    if isinstance(known, type) and issubclass(known, CasaprovError):
        error = known.__new__(known)
        # Made text here: a child that ran a stranger's calls may send any value.
        CasaprovError.__init__(error, str(description["message"]), hint=str(description["hint"]))
        if "issues" in description:
            error.__dict__["issues"] = tuple(errors.Issue(**issue) for issue in description["issues"])
        return error
    unexpected = CasaprovError(f"{description['type']}: {description['message']}")
    unexpected.add_note(description["traceback"])
    return unexpected


class WorkerPool:
    """Workers that share the calls submitted to them.

    Parameters
    ----------
    size
        Number of child processes.
    module, environment
        As for :class:`Worker`.
    watch
        Returns what watches a worker.
    """

    def __init__(
        self,
        size: int,
        module: str,
        *,
        environment: Mapping[str, str] | None = None,
        watch: Callable[[], Watch | None] = lambda: None,
    ) -> None:
        self.size = size
        self._workers = [Worker(module, environment=environment, watch=watch()) for _ in range(size)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix="casaprov")
        self._closed = False

    def start(self) -> None:
        """Start the child processes now, without waiting for them to be ready."""
        for worker in self._workers:
            worker.start()

    def submit(self, name: str, /, **arguments: Any) -> Future[Any]:
        """Call a function in the next idle worker.

        The Future raises the errors of :meth:`Worker.call`, and is cancelled if
        the pool is closed before a worker takes the call.

        Raises
        ------
        WorkerClosed
            If the pool was closed.
        """
        try:
            return self._threads.submit(self._run, name, arguments)
        except RuntimeError as error:
            if self._closed:
                raise WorkerClosed("The worker processes were closed.") from error
        # Python is ending: it starts no work in other threads any more, but waits for this thread.
        answer: Future[Any] = Future()
        try:
            answer.set_result(self._run(name, arguments))
        except CasaprovError as failure:
            answer.set_exception(failure)
        return answer

    def rest(self) -> None:
        """End each child process after its call; the next calls start them again."""
        for worker in self._workers:
            worker.rest()

    def close(self) -> None:
        """End the child processes, and cancel the calls that wait."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True)

    def _run(self, name: str, arguments: dict[str, Any]) -> Any:
        worker = self._idle.get()
        try:
            return worker.call(name, **arguments)
        finally:
            self._idle.put(worker)


def serve(functions: Mapping[str, Callable[..., Any]], at_end: Callable[[], None] = lambda: None) -> None:
    """Answer calls from the parent until it is gone: the main loop of a child process.

    Parameters
    ----------
    functions
        The functions that the parent may call, by name.
    at_end
        Called when the parent is gone, in another thread; this process ends two seconds later at the latest.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with _take_over(0, os.devnull, "rb") as incoming, _take_over(1, None, "wb") as outgoing:
        threading.Thread(target=_listen, args=(incoming, requests, at_end), daemon=True).start()
        while True:
            request = json.loads(requests.get())
            answer = _answer(functions, request)
            outgoing.write(answer + b"\n")
            outgoing.flush()


def _take_over(descriptor: int, instead: str | None, mode: str) -> IO[bytes]:
    """Reserve a standard stream for the protocol; libraries get `instead`, or stderr.

    C++ libraries print to descriptor 1 and read from 0, past Python's own streams.
    """
    kept = os.dup(descriptor)
    other = os.open(instead, os.O_RDONLY) if instead else os.dup(2)
    os.dup2(other, descriptor)
    os.close(other)
    return cast("IO[bytes]", os.fdopen(kept, mode))


def _listen(incoming: IO[bytes], requests: queue.SimpleQueue[bytes], at_end: Callable[[], None]) -> None:
    for line in incoming:
        requests.put(line)
    # The parent closed the pipe, or was killed: nothing waits for a call that is still running.
    ending = threading.Thread(target=at_end, daemon=True)
    ending.start()
    ending.join(_END_S)
    if os.getpgrp() == os.getpid():  # ends processes that this one started; a living parent does so as well
        with suppress(OSError):  # a confined process may not be allowed to
            os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _answer(functions: Mapping[str, Callable[..., Any]], request: Mapping[str, Any]) -> bytes:
    try:
        value = functions[request["call"]](**request["arguments"])
        return json.dumps({"value": value}).encode()
    except BaseException as error:  # noqa: BLE001 - the parent decides what an error means, even SystemExit
        description: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "hint": ""}
        if isinstance(error, CasaprovError):
            description.update(message=error.message, hint=error.hint)
            if issues := getattr(error, "issues", None):
                description["issues"] = [vars(issue) for issue in issues]
        description["traceback"] = traceback.format_exc()
        return json.dumps({"error": description}).encode()
