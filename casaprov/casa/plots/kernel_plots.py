"""plotms and imview in a notebook: their pictures are recorded and shown below the cell.

A child process keeps the programs that draw (:mod:`casaprov.casa.plots.server`). It starts with the first plot and ends
with the kernel.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from casaprov.casa.installed.data import data_folders
from casaprov.casa.plots.headless import arguments, draw, headless
from casaprov.casa.plots.old_protobuf import accept_old_messages
from casaprov.errors import CasaprovError
from casaprov.files.stamps import Stamps, stamp
from casaprov.processes.worker import Worker
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import load_specs

__all__ = ["KernelPlots"]

_log = logging.getLogger(__name__)


class KernelPlots:
    """Runs the tasks that draw, for one kernel (:class:`casaprov.casa.hooks.tasks.Headless`).

    Parameters
    ----------
    folder
        Returns the folder for pictures for which the user names no file; it is made when needed.
    show
        Shows files, page by page, below the cell.
    """

    def __init__(self, folder: Callable[[], Path], show: Callable[[tuple[Path, ...]], None]) -> None:
        self._folder = folder
        self._show = show
        self._session = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        self._count = 0
        self._worker: Worker | None = None
        self._starting = threading.Lock()
        accept_old_messages()

    def prepare(
        self, call: TaskCall, function: Callable[[Mapping[str, Any]], Any]
    ) -> tuple[TaskCall, Callable[[], Any], Callable[[], None]]:
        """Return `call` without its window, a function that runs it, and one that shows the pages that it drew."""
        prepared = headless(call, lambda: self._picture(call))
        before = {path: stamp(path) for path in _outputs(prepared)}

        def work() -> Any:
            data = next((str(path) for path in data_folders() if (path / "geodetic").is_dir()), "")
            try:
                returned = draw(prepared, lambda: function(arguments(prepared)), self, data)
            except CasaprovError as error:  # a notebook shows the text of an exception only, without the hint
                raise RuntimeError(f"{error.message} {error.hint}".strip()) from None
            if not self._drawn(prepared, before):
                raise RuntimeError(f"{call.task} made no picture and gave no reason; the log may say more.")
            return returned

        def show() -> None:
            try:
                self._show(self._drawn(prepared, before))
            except Exception:  # noqa: BLE001 - a picture that cannot be shown breaks no cell
                _log.info("the pictures of %s are not shown", call.task, exc_info=True)

        return prepared, work, show

    def ready(self, package: str, log: str, data: str) -> Mapping[str, str]:
        """Start the program of a package unless it runs; return its ``address`` and ``display``."""
        program: dict[str, str] = self._server().call("ready", package=package, log=log, data=data)
        return program

    def stop(self, package: str) -> None:
        """End the program of a package."""
        self._server().call("stop", package=package)

    def close(self) -> None:
        """End the programs, their X server, and the process that keeps them."""
        with self._starting:
            worker, self._worker = self._worker, None
        if worker is not None:
            with suppress(CasaprovError):
                if worker.pid is not None:
                    worker.call("close")
            worker.close()

    # -- parts ---------------------------------------------------------------

    def _server(self) -> Worker:
        with self._starting:
            if self._worker is None:
                self._worker = Worker("casaprov.casa.plots.server", cwd=Path(tempfile.gettempdir()))
            return self._worker

    def _picture(self, call: TaskCall) -> str:
        self._count += 1
        folder = self._folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # a folder that may only be read, as examples often are
            folder = Path(tempfile.mkdtemp(prefix="casaprov-pictures-"))
        # Relative to the working directory, as paths of the record are.
        return os.path.relpath(folder / f"{self._session}-{self._count:03d}-{call.task}.png", call.cwd)

    @staticmethod
    def _drawn(call: TaskCall, before: Mapping[Path, Stamps]) -> tuple[Path, ...]:
        made = [path for path in _outputs(call) if before.get(path) != stamp(path)]
        return tuple(sorted(made, key=lambda path: (path.stat().st_mtime_ns, len(path.name), path.name)))


def _outputs(call: TaskCall) -> list[Path]:
    spec = load_specs().get(call.task)
    # A version of a task that no table describes still writes the one file that its parameters name.
    uses = spec.outputs(call.parameters, call.cwd) if spec is not None else ()
    return [use.path for use in uses]
