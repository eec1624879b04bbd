"""The lines of the user's Python files that lead to a call, and the cell of a script that it belongs to.

Files of Python itself and of installed packages are not the user's. The text of a file is read when its first call is
made, but for the script itself, which is handed over as it runs.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import FrameType

from casaprov.errors import JournalError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import script_path, store_bytes
from casaprov.records.model import ScriptLine, Step
from casaprov.scripts.cells import ScriptCell

__all__ = ["CallSites", "RunningScript"]

_log = logging.getLogger(__name__)

_MOST_LINES = 20  # of one call
_MOST_BYTES = 2**20  # of a file; larger ones are data

_OWN = Path(__file__).parents[1]


@dataclass(frozen=True)
class RunningScript:
    """The script that this process runs: its absolute path, its bytes, and its cells."""

    path: Path
    data: bytes
    cells: tuple[ScriptCell, ...]

    def step(self, line: int) -> Step:
        """Return the code cell that holds a line."""
        code = [cell for cell in self.cells if cell.kind == "code"] or [*self.cells]
        number = max((n for n, cell in enumerate(code, start=1) if cell.line <= line), default=1)
        source = code[number - 1].source.encode("utf-8", "surrogatepass")
        return Step(source_digest=digest_bytes(source), execution_count=number)


class CallSites:
    """Finds the user's lines that lead to the present call.

    Parameters
    ----------
    folder
        The session's folder, from which paths of the record start.
    script
        The script that this process runs; None in a kernel.
    """

    def __init__(self, folder: Path, script: RunningScript | None = None) -> None:
        self._folder = folder
        self._script = script
        self._line = 1  # of the script, at its last call
        self._files: dict[str, tuple[Path, Digest] | None] = {}  # by the name in the code; None: not the user's
        self._texts: dict[Digest, bytes] = {}  # not stored yet
        if script is not None:
            self._files[str(script.path)] = (script.path, digest_bytes(script.data))
            self._texts[digest_bytes(script.data)] = script.data

    def step(self, cell: Step | None) -> Step | None:
        """Return the step of the call that is made now; `cell` is the cell of a notebook that runs."""
        found = list(islice(reversed(list(self._lines(inspect.currentframe()))), _MOST_LINES))
        if self._script is not None:
            # A call by another thread need not come from a line of the script.
            self._line = next((line for path, _, line in found if path == self._script.path), self._line)
            cell = self._script.step(self._line)
        if cell is None or not found:
            return cell
        lines = (ScriptLine(path=self._name(path), digest=digest, line=line) for path, digest, line in found)
        return replace(cell, scripts=tuple(lines))

    def store(self, folder: Path) -> None:
        """Store the texts of the files so far in a journal folder; a failure is logged."""
        while self._texts:
            digest, data = self._texts.popitem()
            try:
                store_bytes(script_path(folder, digest), data)
            except JournalError as error:
                _log.info("The text of a script is not kept: %s", error)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix() if path.is_relative_to(self._folder) else path.as_posix()

    def _lines(self, frame: FrameType | None) -> Iterator[tuple[Path, Digest, int]]:
        """Yield the user's files and lines, the innermost first."""
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self._files:
                self._files[name] = self._file(name)
            if (file := self._files[name]) is not None:
                yield (*file, frame.f_lineno)
            frame = frame.f_back

    def _file(self, name: str) -> tuple[Path, Digest] | None:
        path = Path(os.path.normpath(self._folder / name))
        if path.suffix != ".py" or any(path.is_relative_to(place) for place in _places()):
            return None
        with suppress(OSError):
            if path.stat().st_size <= _MOST_BYTES:
                data = path.read_bytes()
                self._texts[digest_bytes(data)] = data
                return path, digest_bytes(data)
        return None


def _places() -> Sequence[Path]:
    """Return the folders of Python, of installed packages and of casaprov."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    found = [Path(path) for name in names if (path := sysconfig.get_path(name))]
    return (*found, *(Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")), _OWN)
