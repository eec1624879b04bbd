"""A failed call is told in one line, which names the parameter that CASA complains about."""

from __future__ import annotations

from typing import Any

import pytest

from casaprov.tasks.failures import FailedCall, failed_call, failure_line, note_failure

GAINCAL = {"vis": "n.ms", "caltable": "x", "field": "NOPE", "spw": "99", "gaintable": ["no.gcal"], "gaintype": "Q"}


# The messages are those of CASA 6.7.0.
@pytest.mark.parametrize(
    ("given", "error", "expected"),
    [
        (
            GAINCAL,
            RuntimeError(
                'Error in data selection specification: Field Expression: No match found for name "NOPE"\n'
                '(near char. 4 in string "NOPE")'
            ),
            (
                "gaincal(field='NOPE') failed: Error in data selection specification: Field Expression: No match found for "
                'name "NOPE" (near char. 4 in string "NOPE")'
            ),
        ),
        (
            GAINCAL,
            RuntimeError("Error in data selection specification: Spw Expression: No match found for 99, "),
            "gaincal(spw='99') failed: Error in data selection specification: Spw Expression: No match found for 99,",
        ),
        (
            GAINCAL,
            AssertionError("{'gaintype': ['unallowed value Q']}"),
            "gaincal(gaintype='Q') failed: unallowed value Q",
        ),
        (
            GAINCAL,
            AssertionError("{'minsnr': ['must be of cFloat type'], 'gaintype': ['unallowed value Q']}"),
            "gaincal(minsnr) failed: must be of cFloat type; gaincal(gaintype='Q') failed: unallowed value Q",
        ),
        (
            GAINCAL,
            RuntimeError("Table no.gcal does not exist."),
            "gaincal(gaintable=['no.gcal']) failed: Table no.gcal does not exist.",
        ),
        (
            {"vis": "nope.ms"},
            AssertionError(
                "all elements of the vis vector parameter must be a path that exists "
                '(at least one element of "nope.ms" does not exist)'
            ),
            (
                "gaincal(vis='nope.ms') failed: all elements of the vis vector parameter must be a path that exists "
                '(at least one element of "nope.ms" does not exist)'
            ),
        ),
        (
            {"bogus": 1},
            TypeError("_gaincal.__call__() got an unexpected keyword argument 'bogus'"),
            "gaincal(bogus=1) failed: _gaincal.__call__() got an unexpected keyword argument 'bogus'",
        ),
        (GAINCAL, RuntimeError("Something else"), "gaincal failed: Something else"),
        (GAINCAL, RuntimeError(), "gaincal failed: RuntimeError"),
        ({}, RuntimeError("x" * 1000), f"gaincal failed: {'x' * 400}…"),
        ({"vis": "n" * 100}, RuntimeError("n" * 100), f"gaincal(vis='{'n' * 59}…) failed: {'n' * 100}"),
        ({}, RuntimeError("[1, 2]"), "gaincal failed: [1, 2]"),
        ({}, RuntimeError("{1: 2}"), "gaincal failed: {1: 2}"),
    ],
)
def test_the_line_names_the_parameter_and_the_reason(given: dict[str, Any], error: Exception, expected: str) -> None:
    assert failure_line(FailedCall("gaincal", given), error) == expected


def test_the_outermost_call_counts() -> None:
    error = RuntimeError("no")
    assert failed_call(error) is None
    note_failure(error, "imregrid", {})
    note_failure(error, "sdintimaging", {"vis": "n.ms"})
    assert failed_call(error) == FailedCall("sdintimaging", {"vis": "n.ms"})
    assert failed_call(RuntimeError("no")) is None


class Closed(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    def __str__(self) -> str:
        raise ValueError


def test_an_exception_that_takes_no_note_is_left_alone() -> None:
    error = Closed()
    note_failure(error, "gaincal", {})
    assert failed_call(error) is None
    assert failure_line(FailedCall("gaincal"), error) == "gaincal failed: Closed"
