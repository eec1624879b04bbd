"""The end of a call and interrupts before it, as another thread learns of them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from casaprov.kernel.display.call_end import CallEnd

_LONG_S = 60.0


@pytest.fixture(autouse=True)
def _ignored_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_noticed_at_once_and_the_end_is_another_thing() -> None:
    with closing(CallEnd()) as end, ThreadPoolExecutor(1) as thread:
        assert not end.wait(0.0)
        waiting = thread.submit(end.wait, _LONG_S)
        os.kill(os.getpid(), signal.SIGINT)
        assert waiting.result() is False
        assert end.interrupted
        waiting = thread.submit(end.wait, _LONG_S)
        end.note()
        assert waiting.result() is True
    assert signal.set_wakeup_fd(-1) == -1


def test_who_waited_for_signals_before_still_gets_them() -> None:
    read, write = socket.socketpair()
    with read, write:
        write.setblocking(False)
        before = signal.set_wakeup_fd(write.fileno())
        with closing(CallEnd()) as end:
            os.kill(os.getpid(), signal.SIGINT)
            assert not end.wait(_LONG_S)
            end.note()
            assert end.wait(_LONG_S)
        assert read.recv(8) == bytes([signal.SIGINT])
        assert signal.set_wakeup_fd(before) == write.fileno()


def test_a_call_in_another_thread_is_not_interrupted() -> None:
    with ThreadPoolExecutor(1) as thread, closing(thread.submit(CallEnd).result()) as end:
        os.kill(os.getpid(), signal.SIGINT)
        thread.submit(end.note).result()
        assert end.wait(_LONG_S)
        assert not end.interrupted
