"""A plan as a plain CASA script: the calls that make a product again, and nothing else.

The script names files as the calls did, so it runs beside its inputs, in a
folder without the products. What tasks alone cannot do is listed: a script
that lacks something is written all the same, with a comment in its place.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity
from casaprov.records.values import from_json
from casaprov.replays.plan import Plan, PlanStep

__all__ = ["Script", "to_script"]

_WIDTH = 100
_FILES = ("FITS", "File")


@dataclass(frozen=True)
class Script:
    """A CASA script.

    Attributes
    ----------
    text
        Python source; what it needs is casatasks.
    missing
        Sentences about what the script does not do, and the product may owe to it.
    """

    text: str
    missing: tuple[str, ...]


def to_script(lineage: Lineage, plan: Plan, title: str) -> Script:
    """Write the calls of a plan as a script.

    Parameters
    ----------
    title
        First comment of the script, one line.
    """
    writer = _Writer(lineage)
    body = [line for step in plan.steps for line in writer.step(step)]
    inputs = [entity.path for entity in plan.inputs]
    head = [f"# {_one_line(title)}"]
    if inputs:
        head += textwrap.wrap(
            f"Inputs: {_one_line(', '.join(inputs))}", _WIDTH, initial_indent="# ", subsequent_indent="#   "
        )
    head += [*writer.imports(), ""]
    return Script("\n".join([*head, *body, ""]), tuple(writer.missing))


class _Writer:
    """Source lines of steps, in their order, and the imports that they need."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._tasks: dict[str, set[str]] = {}
        self._modules: set[str] = set()
        self._cwd = PurePosixPath()
        self._at: dict[str, str] = {}  # by path: id of the state there
        self.missing: list[str] = []

    def imports(self) -> list[str]:
        """Return the import lines for the steps that were written."""
        lines = [f"import {name}" for name in sorted(self._modules)]
        lines += [f"from {package} import {', '.join(sorted(tasks))}" for package, tasks in sorted(self._tasks.items())]
        return ["", *lines] if lines else []

    def step(self, step: PlanStep) -> Iterator[str]:
        """Yield the lines of one step; none if nothing depends on it."""
        activity = step.activity
        if step.action == "leave-out":
            return
        if step.action != "run":
            self.missing.append(f"Call {activity.task}: {step.reason}.")
            yield from textwrap.wrap(
                f"{_one_line(activity.task)} is missing here: {_one_line(step.reason)}.",
                _WIDTH,
                initial_indent="# ",
                subsequent_indent="#   ",
            )
            return
        for path in step.clears:
            yield self._removal(path)
        for state, path in step.restores:
            if self._at.get(state.path) != state.id:
                self.missing.append(f"{path} was copied from {state.path}, which had another content later.")
                yield f"# {_one_line(path)} is missing here: it was copied from an earlier {_one_line(state.path)}."
                continue
            self._modules.add("shutil")
            copy = "copy2" if state.kind in _FILES else "copytree"
            yield f"shutil.{copy}({state.path!r}, {path!r})"
        if PurePosixPath(activity.cwd) != self._cwd:
            self._modules.add("os")
            yield f"os.chdir({_way(self._cwd, PurePosixPath(activity.cwd))!r})"
            self._cwd = PurePosixPath(activity.cwd)
        self._tasks.setdefault(activity.package, set()).add(activity.task)
        yield from self._call(activity)
        for usage in (*activity.used, *activity.generated):
            entity = self._lineage.entities[usage.entity]
            self._at[entity.path] = entity.id

    def _removal(self, path: str) -> str:
        state = self._lineage.entities.get(self._at.pop(path, ""))
        if state is not None and state.kind in _FILES:
            self._modules.add("os")
            return f"os.remove({path!r})"
        self._modules.add("shutil")
        return f"shutil.rmtree({path!r})"

    def _call(self, activity: Activity) -> Iterator[str]:
        given = [f"{name}={self._source(from_json(activity.parameters[name]))}" for name in activity.given]
        line = f"{activity.task}({', '.join(given)})"
        if len(line) <= _WIDTH and "\n" not in line:
            yield line
            return
        yield f"{activity.task}("
        yield from (f"    {argument}," for argument in given)
        yield ")"

    def _source(self, value: Any) -> str:
        """Return the Python expression of a recorded value."""
        if isinstance(value, np.ndarray):
            self._modules.add("numpy")
            return f"numpy.array({self._source(value.tolist())}, dtype={str(value.dtype)!r})"
        if isinstance(value, np.generic):
            self._modules.add("numpy")
            return f"numpy.{value.dtype.name}({self._source(value.item())})"
        if isinstance(value, float) and not math.isfinite(value):  # they have no literal
            return f"float({str(value)!r})"
        if isinstance(value, complex):
            return f"complex({self._source(value.real)}, {self._source(value.imag)})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._source(k)}: {self._source(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._source, value)) + "]"
        return repr(value)


def _way(here: PurePosixPath, there: PurePosixPath) -> str:
    """Return the way from one folder to another, both relative to the session's folder, or an absolute one."""
    if there.is_absolute() or here.is_absolute():
        return str(there)
    return str(PurePosixPath(*[".."] * len(here.parts), there))


def _one_line(text: str) -> str:
    """Replace the characters that would end a comment."""
    return "".join(character if character.isprintable() else " " for character in text)
