"""TaskSpecs: for each task, the files that it reads, writes, changes and deletes.

CASA's task XML says which parameters are paths, but not whether they are read
or written. ``taskspecs.toml`` says so, reviewed task by task. Other packages
add tables of their own through the entry point group ``casaprov.taskspecs``.
``docs/reference/taskspecs.md`` describes the format.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata, resources
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from casaprov.errors import RecordError
from casaprov.files.kinds import is_table
from casaprov.hashing import Digest, digest_record
from casaprov.tasks.entry import VERBS, Condition, Entry, Verb, condition_from, entry_from
from casaprov.tasks.pathnames import Naming, map_value, on_disk, pieces, strings
from casaprov.tasks.reuse import NO_TERMS, ReuseTerms, reuse_from
from casaprov.tasks.searches import Listings

__all__ = ["ENTRY_POINT_GROUP", "FileUse", "Role", "TaskSpec", "guess_inputs", "load_specs", "read_specs", "spec_of"]

ENTRY_POINT_GROUP = "casaprov.taskspecs"

Role = Literal["used", "changed", "generated", "deleted"]

# Roles of a file before and after a call. The first verb that applies decides: a changed file is not listed as used.
_BEFORE: dict[Verb, Role] = {"deleted": "deleted", "changed": "changed", "updated": "changed", "used": "used"}
_AFTER: dict[Verb, Role] = {"generated": "generated", "updated": "generated"}


@dataclass(frozen=True)
class FileUse:
    """The use of a file by a call.

    Attributes
    ----------
    role
        Effect of the call on the file.
    parameter
        The parameter that names it; None for a side effect.
    path
        Absolute and normalised; symbolic links are kept.
    """

    role: Role
    parameter: str | None
    path: Path


@dataclass(frozen=True)
class TaskSpec:
    """The effects of one task on files.

    Attributes
    ----------
    task, package
        Name of the task and of the Python package it comes from.
    category
        CASA's categories of the task, separated by commas.
    entries
        Lines of the table.
    not_files
        Parameters that name no file, although their name suggests it.
    conditional_effects
        Other effects, each with its condition.
    reuse
        What must be known before the results of an earlier call may stand for those of a new one.
    definition
        The entry of the table, and all else that it means something by.
    """

    task: str
    package: str
    category: str = ""
    entries: tuple[Entry, ...] = ()
    not_files: tuple[str, ...] = ()
    conditional_effects: tuple[tuple[str, Condition], ...] = ()
    reuse: ReuseTerms = NO_TERMS
    definition: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def version(self) -> Digest:
        """Digest of the entry of the table, which changes with every word of it."""
        return digest_record("casaprov/task-spec/1", self.definition)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that name files."""
        return frozenset(entry.parameter for entry in self.entries if entry.parameter)

    def inputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call will read, change in place or delete.

        Call this before the task runs. A file that is changed or deleted is
        not listed as used as well.
        """
        return self._uses(_BEFORE, parameters, cwd)

    def outputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call can have generated, side effects included.

        Call this after the task ran. A name such as tclean's ``imagename``
        stands for all its images on disk, even if the call did not touch them.
        """
        return self._uses(_AFTER, parameters, cwd)

    def effects(self, parameters: Mapping[str, Any]) -> frozenset[str]:
        """Return the other dependences of the call: ``interactive``, ``network``."""
        return frozenset(name for name, condition in self.conditional_effects if condition.holds(parameters))

    def map_paths(
        self,
        parameters: Mapping[str, Any],
        cwd: Path,
        new_path: Callable[[Path], str],
        *,
        exists: Callable[[Path], bool] = on_disk,
    ) -> dict[str, Any]:
        """Return the parameters with every file name replaced by ``new_path(absolute path)``.

        Parameters
        ----------
        new_path
            Called with the absolute path of a file, or of a prefix of file names.
        exists
            Decides whether a string that need not be a path is one. A replay
            asks whether the record knows a file of this name.
        """
        mapped = dict(parameters)
        for name in self.parameters & parameters.keys():
            mapped[name] = map_value(parameters[name], cwd, self._naming(name, parameters), new_path, exists)
        return mapped

    def _naming(self, name: str, parameters: Mapping[str, Any]) -> Naming:
        entries = [entry for entry in self.entries if entry.parameter == name]
        return min(entries, key=lambda entry: (bool(entry.inside), not entry.active(parameters))).naming

    def _uses(self, roles: Mapping[Verb, Role], parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        found: dict[Path, FileUse] = {}
        listings = Listings()
        for verb, role in roles.items():
            for entry in self.entries:
                if entry.verb == verb and entry.active(parameters):
                    for path in entry.paths(parameters, cwd, listings):
                        found.setdefault(path, FileUse(role, entry.parameter, path))
        return tuple(found.values())


def guess_inputs(parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
    """Return the existing files and tables that parameters name: a call without a TaskSpec may change each of them."""
    found: dict[Path, FileUse] = {}
    for name, value in parameters.items():
        for text in strings(value):
            for piece in pieces(text, cwd, "path"):
                if on_disk(piece.path) and (piece.path.is_file() or is_table(piece.path)):
                    found.setdefault(piece.path, FileUse("changed", name, piece.path))
    return tuple(found.values())


@cache
def load_specs() -> Mapping[str, TaskSpec]:
    """Return the TaskSpec of every known task by its name.

    A spec is read when it is asked for, and the tables of other packages only for a task that is not in casaprov's own:
    to read them all would take longer than to record a call.

    Raises
    ------
    RecordError
        When a task is asked for, if a table is malformed; the message names the entry point it came from.
    """
    return _LateSpecs()


def spec_of(specs: Mapping[str, TaskSpec], package: str, task: str) -> TaskSpec | None:
    """Return the TaskSpec of a task; None if no package has a task of this name, or only another one has."""
    spec = specs.get(task)
    return spec if spec is not None and spec.package == package else None


class _LateSpecs(Mapping[str, TaskSpec]):
    """The TaskSpecs of casaprov's own table and of other packages, each read when it is first needed."""

    def __init__(self) -> None:
        text = (resources.files("casaprov.tasks") / "taskspecs.toml").read_text(encoding="utf-8")
        head, *sections = re.split(r"^\[tasks\.(\w+)", text, flags=re.MULTILINE)
        self._common = tomllib.loads(head)
        self._sections: dict[str, str] = {}
        for task, rest in zip(sections[::2], sections[1::2], strict=True):
            self._sections[task] = f"{self._sections.get(task, '')}[tasks.{task}{rest}"
        self._read: dict[str, TaskSpec] = {}

    def __getitem__(self, task: str) -> TaskSpec:
        if task not in self._sections:
            return self._others[task]
        if task not in self._read:
            self._read |= _specs({**self._common, **tomllib.loads(self._sections[task])})
        return self._read[task]

    def __iter__(self) -> Iterator[str]:
        return chain(self._sections, self._others)

    def __len__(self) -> int:
        return len(self._sections) + len(self._others)

    @cached_property
    def _others(self) -> Mapping[str, TaskSpec]:
        specs: dict[str, TaskSpec] = {}
        for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
            origin = f"the entry point {point.name!r} ({point.value})"
            added = read_specs(_text_of(point, origin), origin)
            if twice := sorted((self._sections.keys() | specs.keys()) & added.keys()):
                raise RecordError(
                    f"The task table of {origin} describes {', '.join(twice)}, which is described already."
                )
            specs |= added
        return specs


def read_specs(text: str, origin: str) -> dict[str, TaskSpec]:
    """Read a table of tasks; `origin` names its source in error messages.

    Raises
    ------
    RecordError
        If `text` is no TOML or says something the format does not know.
    """
    try:
        return _specs(tomllib.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else error
        raise RecordError(
            f"The task table of {origin} cannot be read: {problem}.",
            hint="See docs/reference/taskspecs.md for the format.",
        ) from error


def _specs(table: Mapping[str, Any]) -> dict[str, TaskSpec]:
    package, families = str(table["package"]), table.get("families", {})
    return {task: _spec(task, dict(members), package, families) for task, members in table["tasks"].items()}


def _text_of(point: metadata.EntryPoint, origin: str) -> str:
    try:
        loaded = point.load()
        if isinstance(loaded, str) and "\n" in loaded:
            return loaded
        return str((Path(loaded) if isinstance(loaded, str) else loaded).read_text(encoding="utf-8"))
    except Exception as error:  # another package's code can fail in any way
        raise RecordError(
            f"The task table of {origin} cannot be loaded: {error}.", hint="Update or uninstall that package."
        ) from error


def _spec(task: str, members: dict[str, Any], package: str, families: Mapping[str, list[str]]) -> TaskSpec:
    definition = {"task": task, "package": package, "families": families, **members}
    entries = [entry_from(task, verb, line, families) for verb in VERBS for line in members.pop(verb, ())]
    effects = members.pop("effects", {})
    spec = TaskSpec(
        task=task,
        package=members.pop("package", package),
        category=members.pop("category", ""),
        entries=tuple(entries),
        not_files=tuple(members.pop("not_files", ())),
        conditional_effects=tuple((name, condition_from(values)) for name, values in effects.items()),
        reuse=reuse_from(task, members),
        definition=definition,
    )
    if members:
        raise ValueError(f"{task}: {', '.join(members)} is no word of the format")
    return spec
