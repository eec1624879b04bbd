"""The extension of Jupyter Server: on every save, the index of the calls goes into the notebook.

JupyterLab, Notebook 7 and jupyter-collaboration save through the server's contents manager, which calls
:class:`SaveHook` with the notebook in memory, before it is written. Journals are read in a thread of its own, for which
a save waits no longer than :data:`WAIT_S`; an index that is late goes into the next save.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillBusy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.services.contents.fileio import FileManagerMixin
from jupyter_server.utils import ApiPath, to_os_path

from casaprov.notebook.journals import Journals
from casaprov.notebook.saving import Outline, lift
from casaprov.version import __version__

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["WAIT_S", "SaveHook", "__version__"]

WAIT_S = 0.3
"""Longest time that a save waits for journals, in seconds."""

_log = logging.getLogger(__name__)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "casaprov.notebook.server"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Add the hook, beside a ``pre_save_hook`` that the user may have configured."""
    hook, first = SaveHook(), server.contents_manager
    first.register_pre_save_hook(hook)

    def register_again() -> None:
        if server.contents_manager is not first:
            server.contents_manager.register_pre_save_hook(hook)

    # Extensions that load later may put another contents manager in its place, as that of jupytext does.
    server.io_loop.add_callback(register_again)


class SaveHook:
    """A hook for notebooks that are about to be saved; it never raises."""

    __name__ = "casaprov"  # jupyter_server names its hooks when it logs

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._journals = Journals()
        self._requests: queue.SimpleQueue[tuple[Outline, Path, Future[dict[str, Any] | None]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._late: Future[dict[str, Any] | None] | None = None
        self._lifted: dict[Path, dict[str, Any]] = {}

    def __call__(self, model: dict[str, Any], path: str, contents_manager: Any, **_facts: Any) -> None:
        """Write ``metadata.casaprov`` into a notebook in memory, if it has calls."""
        try:
            content = model.get("content")
            if model.get("type") != "notebook" or not isinstance(content, dict):
                return
            if not isinstance(contents_manager, FileManagerMixin):
                return  # a notebook that is no file has no journal beside it
            outline = Outline.of(content)
            if outline.foreign:
                return
            index = self._index(outline, Path(to_os_path(ApiPath(path), contents_manager.root_dir)))
            if index is not None:
                content.setdefault("metadata", {})["casaprov"] = index
        except Exception as error:  # noqa: BLE001 - a notebook must be saved under all circumstances
            _log.warning("casaprov: %s is saved without its index (%s: %s).", path, type(error).__name__, error)
            _log.debug("", exc_info=True)

    def _index(self, outline: Outline, notebook: Path) -> dict[str, Any] | None:
        # While an answer is late, later saves do not wait: on a file system that hangs, saves go on.
        if self._late is not None and not self._late.done():
            return self._lifted.get(notebook)
        answer: Future[dict[str, Any] | None] = Future()
        self._ask(outline, notebook, answer)
        try:
            index = answer.result(self._wait_s)
        except StillBusy:
            self._late = answer
            _log.info("The journal of %s is still being read; its index is in the next save.", notebook)
            return self._lifted.get(notebook)
        if index is not None:
            self._lifted[notebook] = index
        return index

    def _ask(self, outline: Outline, notebook: Path, answer: Future[dict[str, Any] | None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="casaprov-index", daemon=True)
            self._thread.start()
        self._requests.put((outline, notebook, answer))

    def _work(self) -> None:
        while True:
            outline, notebook, answer = self._requests.get()
            try:
                answer.set_result(lift(outline, notebook, self._journals))
            except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
                answer.set_exception(error)
