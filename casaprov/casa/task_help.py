"""Descriptions of tasks from CASA's task XML: parameters, types, defaults, allowed values, sub-parameters.

Each package of tasks ships one file per task in its folder ``__xml__``, from which CASA generates the tasks themselves.
The files are found and read without importing CASA.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from casaprov.casa.absent_tasks import GUI_PACKAGES, why_absent
from casaprov.casa.task_module import TaskModule, read_task_module
from casaprov.errors import CasaMissing, UsageError

__all__ = ["Condition", "Parameter", "TaskHelp", "TaskSummary", "read_task_help", "task_files", "tasks_by_category"]

PACKAGES = ("casatasks",)
"""Packages that ship task XML."""

_TYPES: Mapping[str, str] = {
    "string": "str", "double": "float", "stringVec": "list of str", "stringArray": "list of str",
    "doubleVec": "list of float", "doubleArray": "list of float", "intVec": "list of int", "intArray": "list of int",
    "boolVec": "list of bool", "boolArray": "list of bool", "pathVec": "list of paths", "record": "dict",
    "floatVec": "list of float", "variant": "any",
}  # fmt: skip
_ESCAPED = re.compile(r"\\([^\w\s\\])")  # the texts are written for a markup in which \* is an asterisk
_LISTS = ("vector", "Vec", "Array")
_OTHERS = "other tasks"


@dataclass(frozen=True)
class Condition:
    """Condition under which a sub-parameter counts: its parent has this value, or has another one.

    Attributes
    ----------
    parent
        The parameter that it depends on.
    value
        The parent's value, as one would write it in Python.
    equal
        True if the parent must have the value, False if it must have another one.
    default
        The sub-parameter's default under this condition.
    """

    parent: str
    value: str
    equal: bool
    default: str

    def __str__(self) -> str:
        return f"{self.parent} {'=' if self.equal else '≠'} {self.value}"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a task.

    Attributes
    ----------
    name, types, default
        As in Python; for a sub-parameter the default unless a condition has another one. The default is empty if the
        parameter must be given.
    allowed
        The only values it can have; empty if there is no such list.
    short, long
        Its meaning, in a line and in full.
    conditions
        Conditions under which it counts; empty for a parameter that always counts.
    """

    name: str
    types: tuple[str, ...]
    default: str
    allowed: tuple[str, ...]
    short: str
    long: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class TaskSummary:
    """A task in a line.

    Attributes
    ----------
    categories
        Kinds of tasks that it belongs to.
    short
        Its purpose.
    """

    name: str
    categories: tuple[str, ...]
    short: str


@dataclass(frozen=True)
class TaskHelp(TaskSummary):
    """A task in full, each sub-parameter below the first parameter that it depends on."""

    long: str
    parameters: tuple[Parameter, ...]

    def depth(self, parameter: Parameter) -> int:
        """Return the depth of a parameter below one that always counts."""
        known = {one.name: one for one in self.parameters}
        deep = 0
        while parameter.conditions and parameter.conditions[0].parent in known and deep < len(known):
            parameter = known[parameter.conditions[0].parent]
            deep += 1
        return deep


@functools.cache
def task_files() -> Mapping[str, Path]:
    """Return the file that describes each installed task, by the task's name: its XML, else its module."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for folder in _folders(package):
            # Files are named after tasks. casatasks has a table of them, but it is wrong for three tasks.
            found |= {file.stem: file for file in sorted((folder / "__xml__").glob("*.xml"))}
    for name, package in GUI_PACKAGES.items():
        for folder in _folders(package):
            if name not in found and (folder / f"{name}.py").is_file():
                found[name] = folder / f"{name}.py"
    return found


@functools.cache
def read_task_help(name: str) -> TaskHelp:
    """Read the description of a task.

    Raises
    ------
    UsageError
        If there is no such task; the message names those with a similar name.
    CasaMissing
        If there is no task at all.
    """
    files = _present()
    if name not in files:
        raise _no_such_task(name, files)
    file = files[name]
    if file.suffix == ".py":
        module = read_task_module(file, name)
        parameters = [_without_xml(one, default, module) for one, default in module.defaults.items()]
        return TaskHelp(name, module.categories or (_OTHERS,), module.short, "", tuple(parameters))
    task = _task(file)
    inputs = _child(task, "input")
    conditions = _conditions(inputs)
    module = read_task_module(file.parent.parent / f"{name}.py", name)
    return TaskHelp(
        name=name,
        categories=_categories(task),
        short=_line(task),
        long=_text(task.find("description")),
        parameters=_in_order([_parameter(one, conditions, module) for one in inputs.findall("param")]),
    )


@functools.cache
def tasks_by_category() -> Mapping[str, tuple[TaskSummary, ...]]:
    """Return all tasks by category, in alphabetical order; a task may be in several.

    Raises
    ------
    CasaMissing
        If there is no task at all.
    """
    found: dict[str, list[TaskSummary]] = {}
    for name, file in sorted(_present().items()):
        if file.suffix == ".py":
            module = read_task_module(file, name)
            summary = TaskSummary(name, module.categories or (_OTHERS,), module.short)
        else:
            task = _task(file)
            summary = TaskSummary(name, _categories(task), _line(task))
        for category in summary.categories:
            found.setdefault(category, []).append(summary)
    return {category: tuple(found[category]) for category in sorted(found, key=lambda key: (key == _OTHERS, key))}


def _present() -> Mapping[str, Path]:
    if importlib.util.find_spec("casatasks") is None or not (files := task_files()):
        raise CasaMissing("casatasks is not installed in this Python.", hint="'casaprov doctor' shows the remedy.")
    return files


def _folders(package: str) -> tuple[Path, ...]:
    spec = importlib.util.find_spec(package)
    return tuple(map(Path, spec.submodule_search_locations or ())) if spec is not None else ()


def _task(file: Path) -> ET.Element:
    try:
        root = ET.parse(file).getroot()  # noqa: S314 - CASA's own files
    except (OSError, ET.ParseError) as error:
        raise CasaMissing(f"{file} cannot be read: {error}.", hint="Install casatasks anew.") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return _child(root, "task")


def _no_such_task(name: str, files: Mapping[str, Path]) -> UsageError:
    if reason := why_absent(name):
        return UsageError(reason)
    near = [known for known in sorted(files) if len(name) > 2 and name.lower() in known]
    near += [known for known in difflib.get_close_matches(name.lower(), sorted(files)) if known not in near]
    hint = f"Did you mean {' or '.join(near[:4])}?" if near else "'%casahelp' lists all tasks."
    return UsageError(f"CASA has no task {name!r}.", hint=hint)


def _child(element: ET.Element, name: str) -> ET.Element:
    found = element.find(name)
    return found if found is not None else ET.Element(name)


def _categories(task: ET.Element) -> tuple[str, ...]:
    named = tuple(part.strip() for part in task.get("category", "").split(",") if part.strip())
    return named or (_OTHERS,)


def _text(element: ET.Element | None) -> str:
    text = inspect.cleandoc("".join(element.itertext())).strip() if element is not None else ""
    return _ESCAPED.sub(r"\1", text)


def _line(element: ET.Element) -> str:
    short = " ".join(_text(element.find("shortdescription")).split())
    return short or _text(element.find("description")).partition("\n")[0]


def _without_xml(name: str, default: str, module: TaskModule) -> Parameter:
    meaning = module.meanings.get(name, "")
    return Parameter(name, (), default, (), meaning, "")


def _parameter(element: ET.Element, conditions: Mapping[str, list[Condition]], module: TaskModule) -> Parameter:
    name = element.get("name", "")
    types = [kind for one in element.findall("type") for kind in [(one.text or "").strip()] if kind]
    types = types or element.get("type", "any").split()
    limited = element.find("any")
    if types == ["any"] and limited is not None and limited.get("limittype"):
        types = limited.get("limittype", "").split()
    return Parameter(
        name=name,
        types=tuple(dict.fromkeys(_TYPES.get(kind, kind) for kind in types)),
        # The default in the XML can be that of a sub-parameter, or of a wrong type: the task's own comes first.
        default=module.defaults[name] if name in module.defaults else _value(element.find("value")),
        allowed=_allowed(element.find("allowed"), element.get("type", "")),
        short=_line(element),
        long=_text(element.find("description")),
        conditions=tuple(conditions.get(name, ())),
    )


def _value(element: ET.Element | None) -> str:
    """Return a value as one would write it in Python."""
    if element is None:
        return "''"
    parts = [_written((part.text or "").strip()) for part in element.findall("value")]
    text, kind = (element.text or "").strip(), element.get("type", "")
    if parts or (not text and kind.endswith(_LISTS)):
        return f"[{', '.join(parts)}]"
    return "{}" if kind == "record" and not text else _written(text)


def _written(text: str) -> str:
    try:
        return repr(ast.literal_eval(text))
    except (ValueError, SyntaxError):  # a word: text without its quotes
        return repr(text)


def _allowed(element: ET.Element | None, kind: str) -> tuple[str, ...]:
    if element is None:
        return ()
    values = element.findall("value")
    if element.get("kind") == "range":
        return tuple(f"{'≥' if value.get('range') == 'min' else '≤'} {(value.text or '').strip()}" for value in values)
    numeric = kind.startswith(("int", "double"))
    texts = [(value.text or "").strip() for value in values]
    return tuple(dict.fromkeys(text if numeric else repr(text.strip("\"'")) for text in texts))


def _conditions(inputs: ET.Element) -> dict[str, list[Condition]]:
    found: dict[str, list[Condition]] = {}
    for when in inputs.iterfind("constraints/when"):
        parent = when.get("param", "")
        for case in when:
            value = case.get("value", "")
            kind = case.get("type", "string")
            shown = value if kind != "string" else repr(value)
            for default in case.findall("default"):
                condition = Condition(parent, shown, case.tag == "equals", _value(default.find("value")))
                known = found.setdefault(default.get("param", ""), [])
                if condition not in known:
                    known.append(condition)
    return found


def _in_order(parameters: list[Parameter]) -> tuple[Parameter, ...]:
    """Put each sub-parameter below the first parameter that it depends on."""
    names = {parameter.name for parameter in parameters}
    below: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        parents = [c.parent for c in parameter.conditions if c.parent in names and c.parent != parameter.name]
        below.setdefault(parents[0] if parents else "", []).append(parameter)
    ordered: list[Parameter] = []

    def add(parent: str) -> None:
        for parameter in below.pop(parent, ()):
            ordered.append(parameter)
            add(parameter.name)

    add("")
    ordered.extend(parameter for rest in below.values() for parameter in rest)  # those that depend on each other
    return tuple(ordered)
