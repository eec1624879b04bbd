"""Exemption from waiting: threads of casaprov, and holders of its locks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from casaprov.processes.exempt import THREAD_PREFIX, ExemptLock, is_exempt


def _in_thread(name: str) -> bool:
    with ThreadPoolExecutor(1, thread_name_prefix=name) as pool:
        return pool.submit(is_exempt).result()


def test_a_holder_is_exempt_until_it_gives_the_last_lock_back() -> None:
    one, other = ExemptLock(), ExemptLock()
    assert not is_exempt()
    with one:
        with one, other:
            assert is_exempt()
        assert is_exempt()
        assert not _in_thread("user")
    assert not is_exempt()


def test_threads_of_casaprov_are_exempt() -> None:
    assert _in_thread(f"{THREAD_PREFIX}-anything")
    assert not _in_thread("anything")


def test_an_interrupt_while_a_thread_waits_for_the_lock_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def acquire(self) -> None:
            raise KeyboardInterrupt

    lock = ExemptLock()
    monkeypatch.setattr(lock, "_lock", Interrupted())
    with pytest.raises(KeyboardInterrupt), lock:
        pytest.fail("it has the lock")
    assert not is_exempt()


def test_one_thread_at_a_time_holds_the_lock() -> None:
    lock, entered = ExemptLock(), threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    with lock:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    thread.join()
    assert entered.is_set()
