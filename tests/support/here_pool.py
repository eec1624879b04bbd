"""A pool of workers for tests that works in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from casaprov.errors import DigestError
from casaprov.readers.digest_worker import FUNCTIONS

Called = list[tuple[str, dict[str, Any]]]


class HerePool:
    """Answers in this process, and notes what it was asked."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self.calls: Called = []
        self.before_answer: Callable[[], Any] = lambda: None

    def submit(self, name: str, /, **arguments: Any) -> Future[Any]:
        self.calls.append((name, arguments))
        future: Future[Any] = Future()
        try:
            answer = FUNCTIONS[name](**arguments)
            self.before_answer()
            future.set_result(answer)
        except DigestError as error:
            future.set_exception(error)
        return future

    def rest(self) -> None:
        """No process is running."""

    def close(self) -> None:
        """There is nothing to close."""

    def columns_read(self) -> set[str]:
        """Names of the columns that were read since the last time this was asked."""
        read = {name for call, arguments in self.calls if call == "leaves" for name in arguments["columns"]}
        read |= {arguments["column"] for call, arguments in self.calls if call == "part"}
        self.calls.clear()
        return read
