"""What CASA's tools read, make and change is in their records, as the kernel saw it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.child import run_module
from audit.trace import Accesses, command, read_trace
from casaprov.casa.installed.data import DataSource

pytestmark = [pytest.mark.casa, pytest.mark.slow]

# Files that casacore writes into although their content stays: the imager adds to the history of a MeasurementSet, and an
# image that a model is taken from is opened for writing.
TOUCHED = {("imager_makes_an_image", "m.ms"), ("simulator_predicts_an_image", "mod.im")}


@dataclass(frozen=True)
class Session:
    """What the hook recorded in a session, and the products with other bytes after it."""

    records: list[dict[str, Any]]
    altered: set[str]

    def of(self, role: str) -> set[str]:
        """Products that any record names in a role."""
        return {path.partition("/")[0] for record in self.records for path in record[role]}


def run(folder: Path, prefix: list[str] | None = None) -> dict[str, Session]:
    """Run all sessions in an empty folder."""
    out = folder.parent / "sessions.json"
    run_module(folder, "audit.tools", out, tracer=prefix or ())
    found = json.loads(out.read_text())
    return {one["name"]: Session(one["records"], set(one["altered"])) for one in found}


@pytest.fixture(scope="module")
def sessions(casa_site_config: DataSource, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Session]:
    return run(tmp_path_factory.mktemp("tools") / "work")


def test_what_changed_was_recorded_as_made_or_changed(sessions: dict[str, Session]) -> None:
    missed = {
        (name, product)
        for name, session in sessions.items()
        for product in session.altered - session.of("made") - session.of("changed")
    }
    assert missed <= TOUCHED
    assert len(sessions) >= 20


def test_an_ms_that_the_simulator_opens_is_made_and_no_input(sessions: dict[str, Session]) -> None:
    (record,) = sessions["simulator_makes_an_ms"].records
    assert (record["task"], record["made"], record["used"], record["changed"]) == ("simulator.open", ["new.ms"], [], [])
    assert record["calls"] == {"open()": 1, "observe()": 1}


def test_a_list_that_is_predicted_is_read(sessions: dict[str, Session]) -> None:
    (record,) = sessions["simulator_predicts_a_list"].records
    assert (record["used"], record["changed"]) == (["pre.cl"], ["m.ms"])


@pytest.mark.parametrize(("name", "made"), [("table_selection_is_copied", "m3.ms"), ("table_is_queried", "taql.ms")])
def test_a_part_of_a_table_is_read_from_the_table(sessions: dict[str, Session], name: str, made: str) -> None:
    (record,) = sessions[name].records
    assert (record["used"], record["changed"], record["made"]) == (["m.ms"], [], [made])


def test_a_change_of_a_part_is_a_change_of_the_table(sessions: dict[str, Session]) -> None:
    (record,) = sessions["table_part_is_changed"].records
    assert record["changed"] == ["m.ms"]


def test_a_call_that_failed_fails_alone(sessions: dict[str, Session]) -> None:
    first, second = sessions["table_is_changed"].records
    assert (first["task"], first["calls"], first["error"]) == ("table.putcol", {"putcol(DATA)": 1}, "")
    assert (second["task"], second["calls"]) == ("table.removerows", {"removerows()": 1})
    assert "Rows cannot be removed" in second["error"]


def test_what_a_method_names_for_another_is_read_by_that(sessions: dict[str, Session]) -> None:
    opened, corrected = sessions["calibrater_corrects"].records
    assert (opened["task"], opened["used"]) == ("calibrater.open", [])
    assert (corrected["task"], corrected["used"]) == ("calibrater.correct", ["g.cal"])


def test_every_method_of_the_table_is_one_of_the_tool_with_these_parameters(casa_site_config: DataSource) -> None:
    code = (
        "import inspect, json\nfrom casaprov.casa.installed.data import prepare\nprepare()\nimport casatools\n"
        "from casaprov.casa.hooks.tool_table import load_tools\n"
        "for name, tool in load_tools().items():\n"
        "    kind = getattr(casatools, name)\n"
        "    for method in tool.methods - {'put'}:\n"
        "        names = inspect.signature(getattr(kind, method)).parameters\n"
        "        named = {*tool.reads.get(method, ()), *tool.makes.get(method, ())}\n"
        "        if method in tool.later:\n"
        "            named |= {*tool.later[method].reads, *tool.later[method].makes}\n"
        "        assert named <= set(names), (name, method, named - set(names))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
def test_what_the_kernel_saw_is_what_the_records_say(casa_site_config: DataSource, tmp_path: Path) -> None:
    folder = (tmp_path / "work").resolve()
    tried = subprocess.run([*command(tmp_path / "t"), "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here")
    sessions = run(folder, command(tmp_path / "trace"))
    accesses = read_trace(tmp_path / "trace", folder)
    unread = {}
    for number, (name, session) in enumerate(sessions.items(), start=1):
        did, here = accesses.get(number, Accesses()), folder / name
        opened = {path.relative_to(here).parts[0] for path in did.read | did.written if path.is_relative_to(here)}
        stock = {"m.ms", "mod.im", "pre.cl", "g.cal"} & opened
        named = session.of("used") | session.of("changed") | session.of("made")
        if session.records and (missed := stock - named):
            unread[name] = missed
        assert named <= opened | {path.relative_to(here).parts[0] for path in did.held if path.is_relative_to(here)}, (
            name
        )
    assert unread == {}
