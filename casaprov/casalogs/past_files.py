"""The files of a past reduction, as far as the parameters of its calls tell.

The task tables say what a call reads and writes by looking at the disk. The disk of that time is gone, so empty folders
with the names that are known stand in for it, in a folder of their own: those that earlier calls made or read, and
after each call those that it can have made and that later calls name, or that are still there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.tasks.pathnames import absolute, pieces, strings
from casaprov.tasks.specs import FileUse, TaskSpec

__all__ = ["PastFiles", "PastUse", "past_files"]

_OUTPUTS = ("caltable", "fitsimage", "imagename", "listfile", "outfile", "outputvis")
"""Parameters that name products in tasks without a table, such as ``clean``."""

_IMAGE = re.compile(
    r"\.(?:flux|image|mask|model|pb|psf|residual|sumwt)(?:\.(?:pbcoverage|pbcor|tt\d|alpha|alpha\.error))?"
)

_ABSOLUTE = "_absolute"


@dataclass(frozen=True)
class PastUse:
    """The use of a path by a call; `path` is relative to the folder of the reduction where it lies below it."""

    role: str
    parameter: str | None
    path: str


@contextmanager
def past_files(folder: Path, named: Iterable[Mapping[str, Any]]) -> Iterator[PastFiles]:
    """Give the files of a reduction.

    Parameters
    ----------
    folder
        Where the reduction lies now, as far as it is still there.
    named
        Parameters of all its calls.
    """
    with tempfile.TemporaryDirectory(prefix="casaprov-") as stand_in:
        yield PastFiles(folder, Path(stand_in).resolve(), named)


class PastFiles:
    """See :func:`past_files`, which makes it."""

    def __init__(self, folder: Path, stand_in: Path, named: Iterable[Mapping[str, Any]]) -> None:
        self._folder = folder
        self._stand_in = stand_in
        self._known: set[Path] = set()  # files of the stand-in that exist at this moment of the past
        # What a call may have made: the names in all calls, and what is there today.
        texts = {text for parameters in named for text in strings(dict(parameters), everywhere=True)}
        self._possible = {self._place(text) for text in texts}
        parents = {path.parent for path in self._possible} | {stand_in}
        self._possible |= {
            parent / there.name
            for parent in parents
            if parent.is_relative_to(stand_in)
            for there in _members(self.here(self.key(parent)))
        }

    def before(self, spec: TaskSpec | None, parameters: Mapping[str, Any]) -> tuple[PastUse, ...]:
        """Return the files that a call reads, changes or deletes; those that no call made were there."""
        mapped = self._mapped(parameters)
        if spec is None:
            known = [(name, self._place(text)) for name, value in parameters.items() for text in strings(value)]
            found = [(name, path) for name, path in known if path in self._known or self._is_there(path)]
            self._add(path for _, path in found)
            return tuple(PastUse("used", name, self.key(path)) for name, path in dict.fromkeys(found))
        needed = [entry for entry in spec.entries if entry.verb in ("used", "changed") and entry.active(mapped)]
        for entry in needed:
            if entry.parameter is not None and not entry.inside and entry.patterns == ("{}",):
                for text in strings(mapped.get(entry.parameter)):
                    whole = entry.naming == "path"
                    found_pieces = pieces(text, self._stand_in, entry.naming, self._may_be_there)
                    self._add(piece.path for piece in found_pieces if whole or self._may_be_there(piece.path))
        return self._past(spec.inputs(mapped, self._stand_in))

    def after(self, spec: TaskSpec | None, parameters: Mapping[str, Any]) -> tuple[PastUse, ...]:
        """Return the files that a call made, besides those that it changed."""
        mapped = self._mapped(parameters)
        if spec is None:
            made = [
                (name, path)
                for name in _OUTPUTS
                for text in strings(parameters.get(name))
                for path in self._products(name, self._place(text))
                if path not in self._known
            ]
            self._add(path for _, path in made)
            return tuple(PastUse("generated", name, self.key(path)) for name, path in made)
        before = set(self._known)
        certain = {
            piece.path
            for entry in spec.entries
            if entry.verb in ("generated", "updated") and entry.active(mapped) and entry.patterns == ("{}",)
            if entry.parameter is not None and entry.naming == "path" and not entry.inside
            for text in strings(mapped.get(entry.parameter))
            for piece in pieces(text, self._stand_in, "path")
        }
        self._add(self._possible | certain)
        found = [use for use in spec.outputs(mapped, self._stand_in) if use.role == "generated"]
        made_now = {use.path for use in found}
        self._remove(self._known - before - made_now)
        return self._past(found)

    def delete(self, path: str) -> None:
        """Note the deletion of a path by a call."""
        self._remove({self._place(path)})

    def here(self, key: str) -> Path:
        """Return where a path is today, if it is still there."""
        return self._folder / key

    def key(self, path: Path) -> str:
        """Return the path that a file of the stand-in has in the record."""
        inside = path.relative_to(self._stand_in)
        return f"/{Path(*inside.parts[1:]).as_posix()}" if inside.parts[:1] == (_ABSOLUTE,) else inside.as_posix()

    # -- parts ---------------------------------------------------------------

    def _past(self, uses: Iterable[FileUse]) -> tuple[PastUse, ...]:
        inside = (use for use in uses if use.path != self._stand_in and use.path.is_relative_to(self._stand_in))
        return tuple(PastUse(use.role, use.parameter, self.key(use.path)) for use in inside)

    def _place(self, text: str) -> Path:
        """Return the file of the stand-in for a name of the reduction."""
        path = absolute(text, self._folder)
        if path.is_relative_to(self._folder):
            return self._stand_in / path.relative_to(self._folder)
        return self._stand_in / _ABSOLUTE / path.relative_to("/")

    def _mapped(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters with names of the stand-in in place of those that lead out of it."""
        return {name: _each_text(value, self._name) for name, value in parameters.items()}

    def _name(self, text: str) -> str:
        """Return a text that leads into the stand-in; only absolute names and those with ``..`` lead elsewhere."""
        if not text.startswith(("/", "~", "..")):
            return text
        return str(self._place(text)) + ("/" if text.endswith("/") else "")

    def _may_be_there(self, path: Path) -> bool:
        return path in self._known or self._is_there(path)

    def _is_there(self, path: Path) -> bool:
        return path.is_relative_to(self._stand_in) and path != self._stand_in and self.here(self.key(path)).exists()

    def _products(self, parameter: str, start: Path) -> Iterator[Path]:
        """Yield the products that a parameter of a task without a table names: ``clean`` makes ``n.image``, not ``n``."""
        if parameter != "imagename":
            yield start
            return
        for path in sorted(self._possible):
            ending = str(path).removeprefix(str(start))
            if ending != str(path) and _IMAGE.fullmatch(ending):
                yield path

    def _add(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if path not in self._known and path != self._stand_in and path.is_relative_to(self._stand_in):
                with suppress(OSError, ValueError):  # a text that is no name of a file
                    # A folder, since a name may turn out to be that of a folder with other names in it.
                    path.mkdir(parents=True, exist_ok=True)
                    self._known.add(path)

    def _remove(self, paths: set[Path]) -> None:
        for path in paths:
            with suppress(OSError, ValueError):  # others may lie in it
                path.rmdir()
        self._known -= paths


def _members(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    return []


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(member, change) for member in value]
    if isinstance(value, tuple):
        return tuple(_each_text(member, change) for member in value)
    return value
