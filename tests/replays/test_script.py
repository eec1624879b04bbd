"""A plan as a plain script: what it runs, in which order, with which values."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from casaprov.lineage.graph import Lineage
from casaprov.records.values import to_json
from casaprov.replays.plan import make_plan
from casaprov.replays.script import Script, to_script
from records import Story

TASKS = {f"casatasks.{name}" for name in ("importuvfits", "split", "gaincal", "clip")}


def script_of(story: Story) -> Script:
    lineage = Lineage(story.document)
    return to_script(lineage, make_plan(lineage, TASKS), "a title\nof two lines")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls of a stand-in of casatasks, whose tasks make what they are asked for."""
    made: list[tuple[str, dict[str, Any]]] = []
    module = ModuleType("casatasks")

    def task(name: str) -> Any:
        def called(**parameters: Any) -> None:
            made.append((name, parameters))
            if "outputvis" in parameters:
                Path(parameters["outputvis"]).mkdir()

        return called

    for name in TASKS:
        task_name = name.partition(".")[2]
        setattr(module, task_name, task(task_name))
    monkeypatch.setitem(sys.modules, "casatasks", module)
    return made


def run(script: Script, folder: Path) -> None:
    path = folder / "script.py"
    path.write_text(script.text)
    runpy.run_path(str(path))


@pytest.mark.parametrize(
    "value",
    [5, "it's", [1, 2.5], {"a": [None, True]}, 1 + 2j, "a\nb", np.float32(0.1), np.arange(4), {"x": np.ones((2, 2))}],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value: Any, calls: list[Any], tmp_path: Path) -> None:
    story = Story()
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"], parameters={"spw": to_json(value)})
    run(script_of(story), tmp_path)
    ((name, parameters),) = calls
    assert name == "gaincal"
    assert type(parameters["spw"]) is type(value)
    np.testing.assert_equal(parameters["spw"], value)


def test_infinities_and_nan_come_back(calls: list[Any], tmp_path: Path) -> None:
    story = Story()
    values = [float("inf"), float("-inf"), float("nan"), complex(float("nan"), 1)]
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"], parameters={"spw": to_json(values)})
    run(script_of(story), tmp_path)
    np.testing.assert_equal(calls[0][1]["spw"], values)


def test_what_was_removed_and_copied_between_calls_is_so_in_the_script(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    story = Story()
    story.call("split", used=["raw.ms"], generated=["a.ms"], parameters={"outputvis": "a.ms"})
    story.copy("a.ms", "b.ms")
    story.call("gaincal", used=["b.ms"], generated=["b.gcal"], parameters={"vis": "b.ms"})
    script = script_of(story)
    assert not script.missing
    run(script, tmp_path)
    assert [name for name, _ in calls] == ["split", "gaincal"]
    assert (tmp_path / "b.ms").is_dir()


def test_what_no_task_made_is_missing_and_said_so() -> None:
    story = Story()
    story.call("split", used=["raw.ms"], generated=["a.ms"])
    story.call("putcol", changed=["a.ms"], package="table")
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    script = script_of(story)
    assert "# putcol is missing here" in script.text
    assert any("putcol" in sentence for sentence in script.missing)
    compile(script.text, "script", "exec")


def test_inputs_are_named_in_a_comment_that_nothing_ends() -> None:
    story = Story()
    story.call("split", used=["raw\nimport os.ms"], generated=["a.ms"])
    head = [line for line in script_of(story).text.splitlines() if line and not line.startswith(("#", "from", "split"))]
    assert head == []
