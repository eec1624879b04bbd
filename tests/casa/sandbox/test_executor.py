"""Answers of a confined process are read with care: it ran a stranger's calls."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from casaprov.casa.sandbox.executor import CasaProcess, _result
from casaprov.cli.render import error_view
from casaprov.errors import CasaprovError, CrateError, Issue, WorkerDied, first_issues
from casaprov.processes.worker import _error
from casaprov.tasks.calls import TaskFailed
from records import Story


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "answer",
    [
        5,
        {},
        {"error": None, "log": ""},
        {"error": None, "log": 7, "returned": None},
        {"error": {"type": "A", "message": 5}, "log": ""},
        {"error": {"type": "A"}, "log": ""},
        {"error": "A", "log": "", "returned": None},
        {"error": None, "log": "", "returned": {"@array": [1], "dtype": "zz", "shape": [-3]}},
        {"error": None, "log": "", "returned": {"@bytes": 5}},
        {"error": None, "log": "", "returned": nested(3000)},
    ],
    ids=lambda answer: repr(answer)[:50] if not isinstance(answer, dict) or len(answer) < 3 else str(answer.keys()),
)
def test_an_answer_that_is_none_ends_the_replay_with_a_sentence(answer: Any) -> None:
    result = _result("tclean", answer)
    assert isinstance(result.error, WorkerDied)
    assert "tclean with nonsense" in str(result.error)


def test_answers_are_read() -> None:
    assert _result("tclean", {"error": None, "returned": {"@bytes": "00"}, "log": "x"}).returned == b"\0"
    failed = _result("tclean", {"error": {"type": "A", "message": "b"}, "returned": None, "log": "x"})
    assert isinstance(failed.error, TaskFailed)
    assert failed.log == "x"


@pytest.mark.parametrize("kind", ["NoSpace", "CrateError", "SchemaError", "DigestError"])
@pytest.mark.parametrize("more", [{}, {"issues": [{"path": 1, "message": 2}]}])
def test_an_error_whose_parts_are_no_texts_is_printed(kind: str, more: dict[str, Any]) -> None:
    error = _error({"type": kind, "message": 5, "hint": {"a": 1}, **more})
    assert isinstance(error, CasaprovError)
    told = error_view(error).splitlines()
    assert told[0].endswith(" 5")
    assert told[-1] == "{'a': 1}"


def test_the_issues_of_a_crate_are_told_once() -> None:
    issues = (Issue("a", "It was changed."), Issue("b", "It was added."))
    told = error_view(CrateError(f"x.zip is wrong: {first_issues(issues)}", issues))
    assert (told.count("It was changed"), told.count("It was added")) == (1, 1)


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.usefixtures("casa_site_config")
def test_what_a_casa_lacks_is_known_before_anything_runs(tmp_path: Path) -> None:
    story = Story()
    story.call("imstat", used=["a.image"], parameters={"imagename": "a.image"})
    story.call("sdimaging2", used=["a.ms"], parameters={"infiles": "a.ms"})
    story.call("imstat", used=["a.image"], parameters={"imagename": "a.image", "axis": 3})
    calls = story.activities
    with closing(CasaProcess(tmp_path, confined=False)) as process:
        unable = process.unable(calls)
    assert unable == {
        calls[1].id: "This CASA has no task casatasks.sdimaging2",
        calls[2].id: "This version of the task has no parameter 'axis'",
    }
    assert list(tmp_path.glob("*.image")) == []
