"""File names in the parameters of a task.

Some parameters of CASA name a file, others may name one: a mask is an image,
a region file or the text of a region; a model is an image here or the name of
one in CASA's own data. The :data:`Naming` of a parameter says how it names
files. Only this module decides whether a string is a path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = ["NAMINGS", "Naming", "Piece", "absolute", "map_value", "named_inside", "on_disk", "pieces", "strings"]

Naming = Literal["path", "maybe", "list", "expression", "glob"]
"""Way in which a string names files.

=============  ================================================================
`path`         the string is a path
`maybe`        it is a path if such a file exists (also ``image:mask``), otherwise
               a region, a catalogue name, or a keyword such as ``get``
`list`         names separated by commas, each a `maybe`
`expression`   a `maybe`, or a lattice expression (LEL) that names images
`glob`         the string is a path with ``*``, ``?`` and ``[]``
=============  ================================================================
"""

NAMINGS: tuple[str, ...] = get_args(Naming)

Exists = Callable[[Path], bool]

on_disk: Exists = os.path.exists
"""Existence of a file. Never raises, unlike :meth:`Path.exists`: a region's text may be too long for a file name."""

# LEL ends an unquoted name at the first character that could be an operator.
_EXPRESSION_NAME = re.compile(r"""(?P<quote>['"])(?P<quoted>[^'"]+)(?P=quote)|(?P<bare>[A-Za-z_.~$][\w.~$]*)""")
_QUOTED = re.compile(r"""(['"])(.*?)\1""")


@dataclass(frozen=True)
class Piece:
    """The part ``text[start:end]`` of a string that names the file `path`."""

    start: int
    end: int
    path: Path
    bare: bool = False  # unquoted in an expression, where a slash means division


def absolute(text: str, cwd: Path) -> Path:
    """Return the path that CASA opens for `text` in `cwd`: absolute, normalised, links kept."""
    # Not Path.expanduser, which raises for an unknown user; CASA takes such a name literally.
    expanded = os.path.expandvars(os.path.expanduser(text))  # noqa: PTH111
    # normpath keeps a leading double slash, which has a meaning in POSIX and none here.
    return Path(re.sub(r"^//+", "/", os.path.normpath(cwd / expanded)))


def pieces(text: str, cwd: Path, naming: Naming, exists: Exists = on_disk) -> tuple[Piece, ...]:
    """Return the parts of `text` that name files; `exists` decides where the naming leaves it open."""
    if not text.strip() or "\0" in text:
        return ()
    whole = Piece(0, len(text), absolute(text, cwd))
    if naming in ("path", "glob"):
        return (whole,)
    if naming == "list":
        return _listed(text, cwd, exists)
    if _names_data(text, whole.path, cwd) and exists(whole.path):
        return (whole,)
    head = text.rpartition(":")[0]
    if _names_data(head, path := absolute(head, cwd), cwd) and exists(path):
        return (Piece(0, len(head), path),)
    return _in_expression(text, cwd, exists) if naming == "expression" else ()


def _names_data(text: str, path: Path, cwd: Path) -> bool:
    """Return False for ``..``, ``~`` and other names of folders around `cwd`: these hold data, and are none."""
    return any(map(str.isalnum, text)) and not cwd.is_relative_to(path)


def _listed(text: str, cwd: Path, exists: Exists) -> tuple[Piece, ...]:
    found: list[Piece] = []
    for part in re.finditer(r"[^,\s][^,]*", text):
        found += (
            Piece(part.start() + piece.start, part.start() + piece.end, piece.path)
            for piece in pieces(part.group().rstrip(), cwd, "maybe", exists)
        )
    return tuple(found)


def _in_expression(text: str, cwd: Path, exists: Exists) -> tuple[Piece, ...]:
    found: list[Piece] = []
    for name in _EXPRESSION_NAME.finditer(text):
        kind = "quoted" if name["quoted"] else "bare"
        for piece in pieces(name[kind], cwd, "maybe", exists):
            start = name.start(kind)
            found.append(Piece(start + piece.start, start + piece.end, piece.path, kind == "bare"))
    return tuple(found)


def strings(value: Any, *, everywhere: bool = False) -> Iterator[str]:
    """Yield the strings of a parameter's value that could name files, also in lists and at the key ``file`` of a dict.

    Each list is searched once, even if it contains itself. Values that cannot be read are skipped.

    Parameters
    ----------
    everywhere
        Whether to search all values of dicts, and sets.
    """
    waiting = [value]
    met: dict[int, Any] = {}
    while waiting:
        value = waiting.pop()
        try:
            if isinstance(value, str | os.PathLike):
                text = os.fspath(value)
                if isinstance(text, str) and text.strip():
                    yield str.__str__(text)
            elif id(value) not in met:
                met[id(value)] = value
                waiting += reversed(_members(value, everywhere=everywhere))
        except Exception:  # noqa: BLE001, S112 - foreign objects may raise anything from any method
            continue


def _members(value: Any, *, everywhere: bool) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values()) if everywhere else [value.get("file")]
    if isinstance(value, list | tuple) or (everywhere and isinstance(value, set | frozenset)):
        return list(value)
    is_array = hasattr(value, "dtype") and getattr(value.dtype, "kind", "") in "UO"
    return [value.tolist()] if is_array else []


def map_value(value: Any, cwd: Path, naming: Naming, new_path: Callable[[Path], str], exists: Exists = on_disk) -> Any:
    """Return `value` with every file it names replaced by ``new_path(absolute path)``."""
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        return _map_text(text, cwd, naming, new_path, exists) if isinstance(text, str) else value
    if isinstance(value, dict) and "file" in value:
        return {**value, "file": map_value(value["file"], cwd, naming, new_path, exists)}
    if isinstance(value, list | tuple):
        return type(value)([map_value(member, cwd, naming, new_path, exists) for member in value])
    if hasattr(value, "dtype") and getattr(value.dtype, "kind", "") in "UO":
        return map_value(value.tolist(), cwd, naming, new_path, exists)
    return value


def _map_text(text: str, cwd: Path, naming: Naming, new_path: Callable[[Path], str], exists: Exists) -> str:
    mapped, end = "", 0
    for piece in pieces(text, cwd, naming, exists):
        name = new_path(piece.path)
        mapped += text[end : piece.start] + (f"'{name}'" if piece.bare else name)
        end = piece.end
    return mapped + text[end:]


def named_inside(text: str, keys: tuple[str, ...]) -> Iterator[str]:
    """Yield the values of `keys` in a text of ``key=value`` pairs.

    Cal libraries (``caltable='x' calwt=True``), lists of flag commands
    (``mode='shadow' addantenna='x.txt'``) and tclean's outlier files
    (``mask=x.crtf``, one pair a line) are such texts.
    """
    for key in keys:
        pair = re.compile(
            rf"""(?:^|[\s,])({re.escape(key)})\s*=\s*('[^']*'|"[^"]*"|\[[^\]\n]*\]|[^\s,]+)""", re.MULTILINE
        )
        # In all three formats a line that starts with '#' is a comment.
        for found in pair.finditer(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)):
            value = found[2]
            quoted = [match[2] for match in _QUOTED.finditer(value)]
            yield from quoted or [value]
