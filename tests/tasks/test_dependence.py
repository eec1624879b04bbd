"""Parts of a table that make a difference to a call, and those that make none."""

from __future__ import annotations

from typing import Any

import pytest

from casaprov.records.model import Activity, Usage
from casaprov.tasks.dependence import only_adds, parts_that_matter

COLUMNS = frozenset({"DATA", "CORRECTED_DATA", "MODEL_DATA", "FLAG", "WEIGHT", "UVW", "SOURCE"})


def a_call(task: str, **parameters: Any) -> Activity:
    return Activity(
        id="s/0001", session="s", task=task, package="casatasks", started_at="", outcome="completed", cwd=".",
        parameters=parameters,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("call", "matters"),
    [
        (a_call("bandpass"), ("DATA", "FLAG", "MODEL_DATA", "SOURCE", "UVW")),
        (a_call("applycal", calwt=[True]), ("DATA", "FLAG", "SOURCE", "UVW")),
        (a_call("applycal", calwt=[False]), ("DATA", "FLAG", "SOURCE", "UVW", "WEIGHT")),
        (a_call("setjy"), ("SOURCE", "UVW")),
        (a_call("flagdata", mode="manual"), ("FLAG", "SOURCE", "UVW")),
        (a_call("flagdata", mode="rflag"), tuple(sorted(COLUMNS))),
        (a_call("flagmanager", mode="restore"), ("SOURCE", "UVW")),
        (a_call("tclean", datacolumn="corrected"), ("CORRECTED_DATA", "FLAG", "SOURCE", "UVW", "WEIGHT")),
        (a_call("no task"), tuple(sorted(COLUMNS))),
    ],
)
def test_columns_that_a_call_makes_anew_or_does_not_read_do_not_matter(
    call: Activity, matters: tuple[str, ...]
) -> None:
    found = parts_that_matter(call, Usage(entity="e", parameter="vis"), COLUMNS, COLUMNS)
    assert found == matters


def test_flags_that_are_saved_beside_others_do_not_depend_on_these() -> None:
    beside, named = Usage(entity="e"), Usage(entity="e", parameter="vis")
    assert only_adds(a_call("flagdata", mode="manual", action="apply", flagbackup=True), beside, "n.ms.flagversions")
    assert only_adds(a_call("flagmanager", mode="save"), beside, "n.ms.flagversions")
    assert not only_adds(a_call("flagmanager", mode="restore"), beside, "n.ms.flagversions")
    assert not only_adds(a_call("tclean", restart=True), Usage(entity="e", parameter="imagename"), "x.model")
    assert not only_adds(a_call("applycal", flagbackup=True), named, "n.ms")
