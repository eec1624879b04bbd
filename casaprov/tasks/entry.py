"""Lines of a task table: each names files, the effect of a call on them, and conditions.

``docs/reference/taskspecs.md`` describes how a line is written.
"""

from __future__ import annotations

import fnmatch
import glob
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Literal, cast

from casaprov.tasks.pathnames import NAMINGS, Naming, absolute, named_inside, on_disk, pieces, strings
from casaprov.tasks.searches import Listings, search

__all__ = ["VERBS", "Condition", "Entry", "Verb", "condition_from", "entry_from"]

Verb = Literal["used", "changed", "updated", "generated", "deleted"]
"""Effect on the files; `updated` means changed if they exist and generated if they do not."""

VERBS: tuple[Verb, ...] = ("used", "changed", "updated", "generated", "deleted")

_HOLE = re.compile(r"\{(\w*)(?::(name|stem|root))?\}")
_MAX_LISTING_BYTES = 2**20


@dataclass(frozen=True)
class Condition:
    """Condition on a call: each of these parameters has one of its values."""

    values: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if a call with these parameters fulfils the condition."""
        return all(self._each(parameters))

    def holds_in_part(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if one of the parameters fulfils its part of the condition."""
        return any(self._each(parameters))

    def _each(self, parameters: Mapping[str, Any]) -> Iterator[bool]:
        for name, values in self.values:
            yield name in parameters and any(_is(parameters[name], value) for value in values)


@dataclass(frozen=True)
class Entry:
    """One line of a table.

    Attributes
    ----------
    parameter
        The parameter that names the files; None if only `patterns` do.
    patterns
        File names made from parameters; ``{}`` stands for the value of `parameter`.
    inside
        Keys of the file names inside the text file that `parameter` names, if they are there.
    """

    verb: Verb
    parameter: str | None
    naming: Naming
    patterns: tuple[str, ...]
    inside: tuple[str, ...]
    when: Condition
    unless: Condition

    def active(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if the line applies to a call with these parameters."""
        return self.when.holds(parameters) and not self.unless.holds_in_part(parameters)

    def paths(self, parameters: Mapping[str, Any], cwd: Path, listings: Listings) -> Iterator[Path]:
        """Yield the existing files that this line names; patterns are looked up in `listings`."""
        names = [
            (name, searched)
            for text, pattern in itertools.product(self._named(parameters, cwd), self.patterns)
            for searched in (self.naming == "glob" or glob.has_magic(pattern),)
            for name in _filled(pattern, text, parameters, escape=searched and self.naming != "glob")
        ]
        escaped = Path(glob.escape(str(cwd)))
        places = {name: str(absolute(name, escaped)) for name, searched in names if searched}
        found = search(places.values(), listings)
        for name, searched in names:
            if searched:
                yield from map(Path, found[places[name]])
            else:
                yield from (piece.path for piece in pieces(name, cwd, self.naming) if on_disk(piece.path))

    def _named(self, parameters: Mapping[str, Any], cwd: Path) -> Iterable[str]:
        if self.parameter is None:
            return ("",)
        named = [_with_project(text, parameters) for text in strings(parameters.get(self.parameter))]
        if not self.inside:
            return named
        return [name for text in named for name in named_inside(_listing(text, cwd), self.inside)]


def entry_from(task: str, verb: Verb, line: Any, families: Mapping[str, list[str]]) -> Entry:
    """Read a line of the table: the name of a parameter, or a TOML table with more details."""
    members: dict[str, Any] = {"parameter": line} if isinstance(line, str) else dict(line)
    first, _, second = str(members.pop("parameter", "")).partition(" ")  # "maybe mask", or "mask" alone
    parameter, naming = second or first or None, first if second else members.pop("naming", "path")
    if naming not in NAMINGS:
        raise ValueError(f"{task}: {naming!r} is no naming; there are {', '.join(NAMINGS)}")
    family = members.pop("family", None)
    patterns = families[family] if family else members.pop("path", ["{}"])
    if parameter is None and patterns == ["{}"]:
        raise ValueError(f"{task}: a line under {verb!r} has neither a parameter nor a path")
    entry = Entry(
        verb=verb,
        parameter=parameter,
        naming=cast("Naming", naming),
        patterns=(patterns,) if isinstance(patterns, str) else tuple(patterns),
        inside=tuple(members.pop("inside", ())),
        when=condition_from(members.pop("when", {})),
        unless=condition_from(members.pop("unless", {})),
    )
    if members:
        raise ValueError(f"{task}: {', '.join(members)} is no word of the format")
    return entry


def condition_from(members: Mapping[str, list[Any]]) -> Condition:
    """Read ``{parameter = [values]}``."""
    return Condition(tuple((name, tuple(values)) for name, values in members.items()))


def _is(given: Any, value: Any) -> bool:
    """Compare a parameter with a value as CASA does.

    '' equals [] and [''], a list equals each of its members, and '*' in the value matches any text.
    """
    if isinstance(given, list | tuple):
        members = [member for member in given if not isinstance(member, list | tuple)]
        return any(_is(member, value) for member in members) if given else value == ""
    if isinstance(given, str) and isinstance(value, str):
        return fnmatch.fnmatchcase(given.strip().casefold(), value.casefold())
    return type(given) is type(value) and bool(given == value)


def _filled(pattern: str, text: str, parameters: Mapping[str, Any], *, escape: bool) -> Iterator[str]:
    """Yield `pattern` with its holes filled, once for each combination of file names."""
    holes = list(_HOLE.finditer(pattern))
    choices = [
        [_trimmed(value, hole[2]) for value in ([text] if not hole[1] else strings(parameters.get(hole[1])))]
        for hole in holes
    ]
    for values in itertools.product(*choices):
        filled, end = "", 0
        for hole, value in zip(holes, values, strict=True):
            filled += pattern[end : hole.start()] + (glob.escape(value) if escape else value)
            end = hole.end()
        yield filled + pattern[end:]


def _trimmed(value: str, part: str | None) -> str:
    value = value.rstrip("/") or value
    if part == "name":
        return PurePath(value).name
    if part == "stem":
        return value.removesuffix(".ms")
    return value.removesuffix(PurePath(value).suffix) if part == "root" else value


def _with_project(text: str, parameters: Mapping[str, Any]) -> str:
    """Replace ``$project`` by the project's name, as the simulation tasks do."""
    project = parameters.get("project")
    return text.replace("$project", project) if isinstance(project, str) else text


def _listing(text: str, cwd: Path) -> str:
    """Return the content of the file that `text` names, or `text` itself: flag commands may be given either way."""
    for piece in pieces(text, cwd, "maybe"):
        if piece.path.is_file():
            with piece.path.open(encoding="utf-8", errors="replace") as listing:
                return listing.read(_MAX_LISTING_BYTES)
    return text
