"""The queue of captured results: nobody waits for it but a look-up of the same key, and the end."""

from __future__ import annotations

import threading

from casaprov.recompute.keep_queue import KeepQueue
from stored_results import a_key


def test_results_are_kept_in_order_and_a_failure_stops_none_of_them() -> None:
    queue = KeepQueue()
    kept: list[int] = []

    def fails() -> None:
        raise OSError("no space")

    queue.add(a_key("one"), lambda: kept.append(1))
    queue.add(a_key("two"), fails)
    queue.add(a_key("three"), lambda: kept.append(3))
    queue.close()
    assert kept == [1, 3]


def test_a_key_is_awaited_and_others_are_not() -> None:
    queue, gate = KeepQueue(), threading.Event()
    kept: list[int] = []

    def keep() -> None:
        gate.wait(60)
        kept.append(1)

    queue.add(a_key("one"), keep)
    queue.wait_for(a_key("other"))
    assert kept == []
    threading.Thread(target=gate.set).start()
    queue.wait_for(a_key("one"))
    assert kept == [1]
    queue.close()


def test_what_comes_after_the_end_is_kept_at_once() -> None:
    queue = KeepQueue()
    kept: list[int] = []
    queue.close()
    queue.add(a_key("late"), lambda: kept.append(1))
    assert kept == [1]
