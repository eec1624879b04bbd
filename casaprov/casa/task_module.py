"""Descriptions of tasks from their Python modules, read without importing CASA.

CASA generates one module per task, with a class ``_<task>`` whose ``__call__`` has the parameters and their true
defaults. For packages without task XML, such as casaplotms, there is no other description.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["TaskModule", "read_task_module"]

_CASTS = {"int": int, "float": float, "bool": bool, "str": str}
# "imagename Name of the input image", in the section of the docstring that has this headline
_SECTION = re.compile(r"-+ parameter descriptions -+\n(.*?)(?:\n\S*RETURNS|\n-{5,}|\Z)", re.DOTALL)
_TITLE = re.compile(r"\A\s*\w+ -+ (.*)")


@dataclass(frozen=True)
class TaskModule:
    """A task as its module describes it.

    Attributes
    ----------
    short
        Its purpose, in a line.
    categories
        Kinds of tasks that it belongs to.
    defaults
        Defaults of the parameters, as one would write them, in the order of the signature; empty
        for one that must be given.
    meanings
        Meaning of each parameter.
    """

    short: str = ""
    categories: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)


def read_task_module(path: Path, name: str) -> TaskModule:
    """Read the module of a task; the description is empty if the module cannot be understood."""
    try:
        with warnings.catch_warnings():  # docstrings of CASA have escapes that Python does not know
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return TaskModule()
    kind = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == f"_{name}"), None)
    if kind is None:
        return TaskModule()
    text = inspect.cleandoc(ast.get_docstring(kind, clean=False) or "")
    title, section = _TITLE.match(text), _SECTION.search(text)
    call = next((node for node in kind.body if isinstance(node, ast.FunctionDef) and node.name == "__call__"), None)
    defaults = _defaults(call) if call is not None else {}
    return TaskModule(
        short=title.group(1).strip() if title else "",
        categories=_categories(kind),
        defaults=defaults,
        meanings=_meanings(section.group(1), defaults) if section else {},
    )


def _defaults(call: ast.FunctionDef) -> dict[str, str]:
    names = [argument.arg for argument in call.args.args][1:]  # without self
    given = call.args.defaults
    required = dict.fromkeys(names[: len(names) - len(given)], "")
    return required | dict(zip(names[len(required) :], map(_written, given), strict=True))


class _Casts(ast.NodeTransformer):
    """Turns ``int(1)``, as CASA's modules have it, into ``1``."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id in _CASTS:
            return ast.Constant(_CASTS[node.func.id](*map(ast.literal_eval, node.args)))
        return node


def _written(node: ast.expr) -> str:
    try:
        return repr(ast.literal_eval(_Casts().visit(node)))
    except (ValueError, TypeError):
        return ast.unparse(node)


def _categories(kind: ast.ClassDef) -> tuple[str, ...]:
    for node in kind.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_info_group_":
            text = ast.literal_eval(node.value)
            return tuple(part.strip() for part in str(text).split(",") if part.strip())
    return ()


def _meanings(section: str, names: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    last = ""
    for line in section.splitlines():
        word, _, rest = line.partition(" ")
        if word in names:
            found[last := word] = rest.strip()
        elif last:
            found[last] += f" {line.strip()}"
    return found
