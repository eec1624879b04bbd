"""What CASA's own source says about its tasks."""

from __future__ import annotations

import ast
import inspect
import warnings
from types import ModuleType


def call_of_function(module: ModuleType, task: str) -> ast.Call:
    """The one call of the task function ``_<task>_t`` in a task's module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # backslashes in CASA's docstrings
        tree = ast.parse(inspect.getsource(module))
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == f"_{task}_t"
    ]
    return call


def handed_over(call: ast.Call) -> list[str]:
    """Names of the parameters whose values the call hands over by position, in order."""
    return [ast.literal_eval(argument.slice) for argument in call.args if isinstance(argument, ast.Subscript)]
