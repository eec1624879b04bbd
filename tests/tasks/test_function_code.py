"""Code of functions: what changes the digest, what does not, and what is never kept."""

from __future__ import annotations

import functools
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from casaprov.tasks.function_code import FunctionCode, code_of


def defined(source: str, **variables: Any) -> Callable[..., Any]:
    """Define ``f`` as a cell of a notebook does."""
    names: dict[str, Any] = {"__name__": "__main__", "np": np, "math": math, **variables}
    exec(source, names)
    function: Callable[..., Any] = names["f"]
    return function


def code(source: str, arguments: dict[str, Any] | None = None, **variables: Any) -> FunctionCode:
    return code_of(defined(source, **variables), arguments or {}, [])


def test_comments_layout_and_place_do_not_count() -> None:
    first = code("def f(x):\n    return x + 1\n")
    assert first.digest is not None
    assert first.digest == code("# new\n\n\ndef f(x):\n    # one more\n    return (x +\n        1)\n").digest


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return x + 2",
        "def f(x):\n    return x + 1.0",
        "def f(x):\n    return x - 1",
        "def f(x, y=1):\n    return x + 1",
        "def f(x):\n    return [x + 1 for x in (x,)][0]",
    ],
)
def test_another_code_has_another_digest(other: str) -> None:
    assert code("def f(x):\n    return x + 1").digest != code(other).digest


def test_functions_and_variables_of_the_notebook_count() -> None:
    source = "def g(x):\n    return x * SCALE\ndef f(x):\n    return g(x)"
    first = code(source, SCALE=2.0)
    assert first.digest == code(source, SCALE=2.0).digest
    assert first.digest != code(source, SCALE=3.0).digest
    assert first.digest != code(source.replace("x * SCALE", "x / SCALE"), SCALE=2.0).digest
    assert first.digest != code(source, SCALE=2).digest


def test_defaults_and_closures_count() -> None:
    source = "def make(n):\n    def f(x):\n        return x + n\n    return f\nf = make({})"
    assert code(source.format(1)).digest != code(source.format(2)).digest
    called = "def g(x, n={}):\n    return x + n\ndef f(x):\n    return g(x)"
    assert code(called.format(1)).digest != code(called.format(2)).digest


def test_functions_that_call_each_other_end() -> None:
    assert code("def g(x):\n    return f(x)\ndef f(x):\n    return g(x) if x else 0").digest is not None


def test_a_function_below_a_decorator_of_a_library_counts() -> None:
    source = "@functools.lru_cache\ndef g(x):\n    return x + {}\ndef f(x):\n    return g(x)"
    one, two = (code(source.format(n), functools=functools) for n in (1, 2))
    assert one.digest is None or one.digest != two.digest


def test_names_of_installed_modules_count_by_version() -> None:
    assert code("def f(x):\n    return np.mean(x) + mean(x) + math.pi", mean=np.mean).digest is not None


@pytest.mark.parametrize(
    ("source", "variables"),
    [
        ("def f():\n    return np.random.normal()", {}),
        ("def f():\n    return clock()", {"clock": time.time}),
        ("def f():\n    return random.random()", {"random": random}),
        ("def f():\n    import random\n    return random.choice([1])", {}),
        ("def f():\n    return eval('1')", {}),
        ("def f():\n    global n\n    n = 1", {}),
        ("def make():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    return f\nf = make()", {}),
        ("def f():\n    return thing.value", {"thing": object()}),
        ("def f():\n    import here\n    return here.value", {}),
        ("class A:\n    pass\ndef f():\n    return A()", {}),
        ("def f():\n    return add(1)", {"add": [].append}),
    ],
)
def test_what_a_key_cannot_hold_is_a_reason(
    source: str, variables: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.py").write_text("value = 1")  # a module of the user, beside the notebook
    monkeypatch.syspath_prepend(tmp_path)
    found = code(source, **variables)
    assert found.digest is None
    assert found.problem


def test_arguments_that_the_call_changes_are_seen() -> None:
    values = [1, 2]
    found = code("def f(x):\n    x.append(3)", {"x": values})
    assert not found.changed_arguments()
    values.append(3)
    assert found.changed_arguments()


def test_an_argument_without_exact_json_is_a_reason() -> None:
    assert "argument" in code("def f(x):\n    return x", {"x": object()}).problem
