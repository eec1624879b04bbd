"""Signals that end a command: one clean end, one sentence, the exit code of the signal."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from casaprov.processes.signals import interrupted_by
from terminal_signals import hear_signals, in_a_terminal

SCRIPT = """
import sys, time
from casaprov.cli import commands
from casaprov.cli.console import leaving

@commands.cli.command()
def wait():
    with leaving("It is here."):
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            time.sleep(0.5)
            print("cleaned up", flush=True)

sys.exit(commands.main(["wait"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_command_ends_as_at_an_interrupt(number: signal.Signals, terminal: bool) -> None:
    command = in_a_terminal("-c", SCRIPT)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "ready\n"
        if not terminal:
            running.stderr.close()
        running.send_signal(number)
        if number != signal.SIGINT:
            os.kill(running.pid, number)
        assert running.stdout.read() == "cleaned up\n"
        if terminal:
            by = "" if number == signal.SIGINT else f" by {number.name}"
            assert running.stderr.read() == f"Interrupted{by}. It is here.\n"
    assert running.returncode == 128 + number


@pytest.fixture
def heard() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    hear_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
def test_an_impatient_user_is_heard_again() -> None:
    with interrupted_by() as came:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)
    assert came == [signal.SIGHUP, signal.SIGINT, signal.SIGINT, signal.SIGTERM]
