"""Calls that are never looked up, and values that can be read back exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from casaprov.recompute.action_key import KeyedCall
from casaprov.recompute.served import exact_json, nocache, not_served
from casaprov.records.values import from_json
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import FileUse, load_specs


def keyed(task: str, uses: tuple[FileUse, ...] = (), **parameters: Any) -> KeyedCall:
    spec = load_specs()[task]
    call = TaskCall(task=task, package=spec.package, parameters=parameters, given=(), cwd=Path("/w"))
    return KeyedCall(call=call, spec=spec, base=Path("/w"), uses=uses, outputs=())


@pytest.mark.parametrize(
    ("task", "parameters", "reason"),
    [
        ("tclean", {"interactive": True}, "asks its user"),
        ("plotms", {"showgui": False}, "another program"),
        ("listhistory", {}, "HISTORY"),
        ("imhistory", {"mode": "list"}, "log of an image"),
        ("imhead", {"mode": "summary"}, "digests leave out"),
        ("flagmanager", {"mode": "list"}, "times of flag versions"),
        ("getantposalma", {}, "other computers"),
        ("gencal", {"caltype": "antpos", "infile": "", "antenna": ""}, "other computers"),
        ("setjy", {"listmodels": True}, "working folder"),
        ("rmtables", {}, "deletes"),
    ],
)
def test_a_call_that_is_not_served_has_a_reason(task: str, parameters: Mapping[str, Any], reason: str) -> None:
    assert reason in not_served(keyed(task, **parameters), {})


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("tclean", {"interactive": False}),
        ("flagmanager", {"mode": "save"}),
        ("gencal", {"caltype": "antpos", "infile": "", "antenna": "1"}),
        ("setjy", {"listmodels": False}),
    ],
)
def test_other_calls_of_the_same_tasks_are_served(task: str, parameters: Mapping[str, Any]) -> None:
    assert not_served(keyed(task, **parameters), {}) == ""


def test_several_processes_and_links_are_not_served(tmp_path: Path) -> None:
    assert "MPI" in not_served(keyed("tclean"), {"OMPI_COMM_WORLD_SIZE": "4"})
    (tmp_path / "link.ms").symlink_to(tmp_path)
    changed = FileUse("changed", "vis", tmp_path / "link.ms")
    assert "is a link" in not_served(keyed("flagdata", (changed,)), {})
    assert "deletes files" in not_served(keyed("virtualconcat", (FileUse("deleted", "vis", tmp_path),)), {})


def test_a_block_without_cache_is_left_at_its_end() -> None:
    with nocache():
        assert "nocache()" in not_served(keyed("tclean"), {})
        with nocache():
            pass
        assert "nocache()" in not_served(keyed("tclean"), {})
    assert not_served(keyed("tclean"), {}) == ""


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"b": [1, 2.5, True, None, "x"], "a": {}},
        {5: "a key that is no text", "@x": 1},
        float("nan"),
        -0.0,
        complex(1, float("inf")),
        np.float64(0.1),
        np.int32(7),
        np.array([[1.0, np.nan], [-0.0, 3.0]]),
        np.array(["a", "bc"]),
        np.zeros((0, 3), dtype=np.complex128),
        b"bytes",
    ],
    ids=repr,
)
def test_an_exact_value_is_read_back_as_it_was(value: Any) -> None:
    read = from_json(exact_json(value))
    assert type(read) is type(value)
    assert repr(read) == repr(value)


@pytest.mark.parametrize("value", [(1, 2), {"a": (1,)}, {1, 2}, Ellipsis, [np.datetime64("2026-01-01")]], ids=repr)
def test_a_value_that_would_change_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        exact_json(value)
