"""A notebook whose last call is still being digested, until a test opens the gate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from casaprov.digests.measurement import Measurement, measure
from casaprov.files.stamps import Stamps
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Tier
from recorded_files import HereDigester, Notebook, no_reader

LONG_S = 20
"""Longer than any of this takes."""


class GatedDigester(HereDigester):
    """Measures in other threads after the gate is opened, and some files at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.at_once: set[str] = set()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="casaprov-test")

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        return super().submit(path) if path.name in self.at_once else self._threads.submit(self._measure, path)

    def _measure(self, path: Path) -> Measurement:
        assert self.gate.wait(LONG_S)
        return measure(path, no_reader, no_reader)


class Waiting(Notebook):
    """A notebook whose last call left out.txt, which is not digested before the gate is opened."""

    def __init__(self, folder: Path, *, patience: Patience | None = None, at_once: Iterable[str] = ()) -> None:
        self.finish_queue = FinishQueue()
        self.gated = GatedDigester()
        self.gated.at_once.update(at_once)
        super().__init__(folder, digester=self.gated, finish_queue=self.finish_queue, patience=patience)
        guard_writes(self.finish_queue)
        self.recorded = self.call_soon(
            "copy", lambda: (folder / "out.txt").write_text("made") and None, source="in.txt", target="out.txt"
        )

    def open(self) -> None:
        self.gated.gate.set()

    def digest_of(self, name: str) -> str | None:
        return {e.path: e.content_digest for e in self.document().entities}[name]


def in_thread(action: Callable[[], Any]) -> Future[Any]:
    """Run code of the user in a thread of its own."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(action())
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def held(action: Callable[[], Any], waiting: Waiting) -> None:
    """Run `action`, which must wait for the gate, and open it."""
    done = in_thread(action)
    time.sleep(0.1)
    assert not done.done(), "it did not wait"
    assert waiting.recorded == []
    waiting.open()
    done.result(LONG_S)


def digest_of(content: bytes) -> str:
    """Content digest of a file with this content."""
    with TemporaryDirectory() as name:
        path = Path(name, "f.txt")
        path.write_bytes(content)
        return measure(path, no_reader, no_reader).content_digest
