"""Settings: their values, and the source of each.

The value of a setting is the first of these: that of ``%casaprov config`` in the session, of the
environment variable ``CASAPROV_<NAME>``, of the table ``[tool.casaprov]`` in the nearest
``pyproject.toml`` of the working folder or above it, the default.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from casaprov.errors import UsageError

__all__ = ["CHOICES", "Config", "load_config", "size_of"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "digest": ("full", "fast"),
    "show_log": ("yes", "no"),
    "cache": ("off", "on"),
}
"""Possible values of the settings that are words."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([kMGT]?)B?")
_LIMIT = re.compile(r"[a-z-]+=[\w.]+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) *%?")
_ALWAYS = "always"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZES = ("fast_above", "cache_size", "store_size", "keep_up_to")
_COUNTS = {"workers": "a number such as 2", "store_days": "a number of days such as 90"}
_PREFIX = "CASAPROV_"
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of a session.

    Attributes
    ----------
    digest
        ``full``: digests cover everything. ``fast``: digests of external inputs
        of `fast_above` and more cover samples only, and the record says so.
    fast_above
        Size in bytes from which ``fast`` takes effect; users write ``10 GB``.
    show_log
        Whether the log of a task call is shown below its cell, folded.
    workers
        Child processes that compute digests.
    keep_up_to
        Size of the largest state that is copied because no task can make it again, in bytes; 0 for none.
    cache_size
        Largest size of the digest cache on disk, in bytes; 0 for no cache.
    store
        Folder of the store of results; empty for ``.casaprov/store`` beside the notebook.
    store_size
        Size that the store is kept in, in bytes; users write ``100 GB``.
    store_days
        Days without use after which a result is dropped.
    cache
        ``on``: the results of a call with the same inputs are restored instead of computed again.
    not_cached
        Tasks that always run.
    patience
        Largest part of the task time for which calls wait for digests of states that they are about to change, in
        percent; infinite if they always wait. Users write ``5 %`` or ``always``.
    reader_limits
        Limits of the processes that read files, as ``memory=16GB``; the others follow from the size of the files.
    sources
        Source of each setting, by its name.
    """

    digest: str = "full"
    fast_above: int = 10 * 10**9
    show_log: str = "yes"
    workers: int = 2
    keep_up_to: int = 100 * 10**6
    cache_size: int = 256 * 10**6
    store: str = ""
    store_size: int = 100 * 10**9
    store_days: int = 90
    cache: str = "off"
    not_cached: tuple[str, ...] = ()
    patience: float = 5.0
    reader_limits: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings."""
        return tuple(f.name for f in fields(cls) if f.default is not MISSING)

    def text(self, name: str) -> str:
        """Return the value of a setting as a user would write it."""
        value = getattr(self, name)
        if isinstance(value, tuple):
            return ", ".join(value) or "none"
        if name == "patience":
            return _ALWAYS if value == math.inf else f"{value:g} %"
        if name not in _SIZES or not value:
            return str(value)
        prefix, unit = next((prefix, unit) for prefix, unit in reversed(_UNITS.items()) if value >= unit)
        return f"{value / unit:g} {prefix}B"

    def changed(self, name: str, value: Any, source: str) -> Config:
        """Return these settings with one of them changed.

        Raises
        ------
        UsageError
            If there is no such setting, or it cannot have this value.
        """
        if name not in self.names():
            raise UsageError(
                f"{source}: there is no setting {name!r}.", hint=f"The settings are {', '.join(self.names())}."
            )
        values = {known: getattr(self, known) for known in self.names()}
        values[name] = _checked(name, value, source)
        return Config(**values, sources={**self.sources, name: source})


def load_config(
    folder: Path, environment: Mapping[str, str] = os.environ, chosen: Iterable[tuple[str, Any]] = ()
) -> Config:
    """Return the settings in force for work in `folder`.

    Parameters
    ----------
    chosen
        Names and values that the user chose in the session.

    Raises
    ------
    UsageError
        If a file or variable gives a setting a value that it cannot have; the
        message names the file or variable.
    """
    config = Config(sources=dict.fromkeys(Config.names(), _DEFAULT))
    for name, value, source in (*_from_file(folder), *_from_environment(environment)):
        config = config.changed(name, value, source)
    for name, value in chosen:
        config = config.changed(name, value, "%casaprov config")
    return config


def size_of(text: Any) -> int:
    """Return a size in bytes: ``10 GB``, ``500M``, ``4096``.

    Raises
    ------
    ValueError
        If it is no size.
    """
    found = _SIZE.fullmatch(str(text).strip())
    if found is None or isinstance(text, bool):
        raise ValueError(text)
    return int(float(found[1]) * _UNITS[found[2]])


def _from_file(folder: Path) -> Iterable[tuple[str, Any, str]]:
    for parent in (folder, *folder.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                table = tomllib.load(file).get("tool", {}).get("casaprov", {})
            return [(name.replace("-", "_"), value, str(path)) for name, value in table.items()]
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{path} cannot be read: {error}.", hint="Correct it, or remove [tool.casaprov]."
            ) from error
    return ()


def _from_environment(environment: Mapping[str, str]) -> Iterable[tuple[str, Any, str]]:
    variables = {name: f"{_PREFIX}{name.upper()}" for name in Config.names()}
    return [(name, environment[variable], variable) for name, variable in variables.items() if variable in environment]


def _checked(name: str, value: Any, source: str) -> Any:
    if name == "store":
        if not isinstance(value, str) or "\0" in value:
            raise UsageError(f"{source}: store cannot be {value!r}.", hint="It is the path of a folder.")
        return value
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UsageError(f"{source}: {name} cannot be {value!r}.", hint=f"It is {' or '.join(CHOICES[name])}.")
        return value
    if name == "patience":
        return _percent(name, value, source)
    if name == "not_cached":
        return _words(name, value, source, _NAME, "tasks such as tclean, split")
    if name == "reader_limits":
        return _words(name, value, source, _LIMIT, "limits such as memory=16GB, cpu=2h")
    try:
        number = int(str(value)) if name in _COUNTS else size_of(value)
    except ValueError:
        number = -1
    if number < (name in _COUNTS):
        example = _COUNTS.get(name, "a size such as 10 GB")
        raise UsageError(f"{source}: {name} cannot be {value!r}.", hint=f"It is {example}.")
    return number


def _percent(name: str, value: Any, source: str) -> float:
    if value in (_ALWAYS, math.inf):
        return math.inf
    found = None if isinstance(value, bool) else _PERCENT.fullmatch(str(value).strip())
    if found is None:
        raise UsageError(f"{source}: {name} cannot be {value!r}.", hint="It is a number such as 5 %, or always.")
    return float(found[1])


def _words(name: str, value: Any, source: str, form: re.Pattern[str], example: str) -> tuple[str, ...]:
    members = value if isinstance(value, list | tuple) else [word for word in re.split(r"[,\s]+", str(value)) if word]
    words = tuple(str(member) for member in members if member != "none")
    if not all(form.fullmatch(word) for word in words):
        raise UsageError(f"{source}: {name} cannot be {value!r}.", hint=f"It is a list of {example}.")
    return words
