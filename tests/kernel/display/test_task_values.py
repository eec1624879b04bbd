"""Long return values of tasks are folded; all other values look as always."""

from __future__ import annotations

from typing import Any

import pytest

from captured_shell import CapturedShell
from casaprov.kernel.display.task_values import TaskValues

SOLVED = {"solvestats": {"expected": [30, 30], "above_minsnr": [30, 22], **{f"ant{n}": [n] * 40 for n in range(30)}}}
FLAGGED = {"flagged": 25.0, "total": 1000.0, "antenna": {str(n): [n] * 40 for n in range(30)}}
NAMED = {f"name{n}": [n] * 40 for n in range(30)}


def _html(shell: CapturedShell, value: object) -> str | None:
    formatter: Any = shell.display_formatter
    data, _ = formatter.format(value)
    assert data["text/plain"]
    html: str | None = data.get("text/html")
    return html


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (SOLVED, "gaincal returned a dictionary: 52 of 60 solutions are above the minimum of signal to noise"),
        (FLAGGED, "gaincal returned a dictionary: 2.5% of the data is flagged"),
        (NAMED, "gaincal returned a dictionary with name0, name1, name2, name3, name4, name5 and 24 more"),
    ],
)
def test_a_long_value_is_a_line_that_says_what_matters(value: dict[str, Any], summary: str) -> None:
    shell = CapturedShell()
    values = TaskValues(shell)
    values.install()
    values.note("gaincal", value)
    html = _html(shell, value)
    assert html is not None
    assert html.startswith(f"<details><summary>{summary}</summary>")
    assert "more lines; print the value to see them" in html
    assert len(html) < 5000
    values.forget()
    assert _html(shell, value) is None


def test_short_values_and_those_of_the_user_look_as_always() -> None:
    shell = CapturedShell()
    values = TaskValues(shell)
    values.install()
    short = {"flagged": 1, "total": 2}
    for value in (short, None, NAMED):
        values.note("flagdata", value)
    assert _html(shell, short) is None
    assert _html(shell, dict(NAMED)) is None
    values.note("flagdata", NAMED)
    values.remove()
    assert _html(shell, NAMED) is None


def test_a_terminal_shows_the_whole_value() -> None:
    shell = CapturedShell(in_kernel=False)
    values = TaskValues(shell)
    values.install()
    values.note("gaincal", SOLVED)
    assert _html(shell, SOLVED) is None
