"""Tables of tasks that only print: from their return value, their list file, or their log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from casaprov.kernel.display.captured_output import HEADING
from casaprov.kernel.display.task_tables import page_of
from casaprov.kernel.page import Line, Part, Preformatted, Table, bundle_of
from casaprov.tasks.calls import TaskCall, TaskResult

SCAN = {
    "BeginTime": 49820.38802083069,
    "EndTime": 49820.39218751854,
    "FieldId": 0,
    "FieldName": "1331+30500002_0",
    "IntegrationTime": 30.0,
    "SpwIds": np.array([0, 1]),
    "StateId": -1,
    "nRow": np.int64(4509),
    "scanId": 1,
}


def page(task: str, returned: Any = None, log: str = "", cwd: Path = Path("/"), **parameters: Any) -> list[Part]:
    call = TaskCall(task=task, package="casatasks", parameters=parameters, given=(), cwd=cwd)
    return page_of(call, TaskResult(returned=returned, log=log))


def table(parts: list[Part]) -> Table:
    assert isinstance(parts[0], Table)
    return parts[0]


def logged(*lines: str) -> str:
    return "".join(f"2026-01-01 10:00:00\tINFO\tx::y\t{line}\n" for line in lines)


def test_listobs_shows_the_scans_in_their_order() -> None:
    returned = {
        "BeginTime": SCAN["BeginTime"],
        "EndTime": SCAN["EndTime"],
        "nfields": 1,
        "numrecords": 9018,
        "scan_10": {"0": {**SCAN, "scanId": 10}},
        "scan_9": {"0": {**SCAN, "scanId": 9}},
    }
    parts = page("listobs", returned, logged("Antennas: 27"), vis="/data/n.ms")
    assert [row[0] for row in table(parts).rows] == ["9", "10"]
    assert table(parts).rows[0][1:] == (
        "0 1331+30500002_0",
        "1995-04-13 09:18:45",
        "09:24:45",
        "0,1",
        "4509",
        "30",
    )
    assert table(parts).title == "n.ms: 9018 rows, 1 fields, 1995-04-13 09:18:45 to 1995-04-13 09:24:45"
    assert parts[1] == Preformatted("Antennas: 27", "As listobs prints it", folded=True)


def test_a_list_file_is_shown_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "obs.txt").write_text("  MeasurementSet Name: n.ms\n")
    (part,) = page("listfits", None, logged("other"), tmp_path, fitsfile="n.fits", listfile="obs.txt")
    assert part == Preformatted("  MeasurementSet Name: n.ms", "obs.txt")
    assert page("listcal", None, "", tmp_path, vis="n.ms", listfile="not there.txt") == []


def test_listcal_shows_what_it_printed_and_nothing_if_the_cell_has_it_already() -> None:
    text = "SpwID = 0\nType Q to quit, A to toggle long/short list, or RETURN to continue [continue]: next page\n"
    (part,) = page("listcal", None, f"{logged('Opening MS')}{HEADING}\n{text}", vis="n.ms", listfile="")
    assert part == Preformatted("SpwID = 0\nnext page", "listcal: 2 lines")
    assert page("listcal", None, logged("Opening MS"), vis="n.ms", listfile="") == []


def test_long_texts_are_folded_and_cut() -> None:
    (part,) = page("listfits", None, logged(*(f"KEY{n} = {n}" for n in range(3000))), fitsfile="n.fits")
    assert isinstance(part, Preformatted)
    assert part.folded
    assert part.text.endswith("... 3000 lines in all")
    assert part.plain() == "listfits: 3000 lines"


def test_flagged_fractions_come_with_the_worst_first() -> None:
    antennas = {f"ea{n:02d}": {"flagged": float(n), "total": 100.0} for n in range(27)}
    returned = {
        "flagged": 351.0,
        "total": 2700.0,
        "antenna": antennas,
        "field": {"3C391": {"flagged": 351.0, "total": 2700.0}},
        "type": "summary",
    }
    found = table(page("flagdata", returned, vis="n.ms", mode="summary"))
    assert found.title == "n.ms: 13.00 % of 2700 flagged"
    assert found.rows[0] == ("field 3C391", "13.00", "351", "2700")
    assert found.rows[1] == ("antenna ea26", "26.00", "26", "100")
    assert found.rows[-1] == ("17 more, less flagged (antenna)", "8.00", "136", "1700")
    assert page("flagdata", {}, vis="n.ms", mode="manual") == []


def test_times_are_dates() -> None:
    key = "DATA_DESC_ID=0,TIME=4304481524.999771"
    (row,) = table(page("visstat", {key: {"npts": 3.0}}, vis="n.ms")).rows
    assert row[:2] == ("DATA_DESC_ID=0,TIME=1995-04-13 09:18:45", "3")


def test_statistics_of_an_image_are_one_table_or_one_row_for_each_plane() -> None:
    one = {"npts": np.array([4096.0]), "max": np.array([0.16179493]), "maxposf": "13:31", "min": np.array([-0.05])}
    assert table(page("imstat", one, imagename="n.image")).rows == (
        ("npts", "4096", ""),
        ("max", "0.161795", "13:31"),
        ("min", "-0.05", ""),
    )
    cube = {"npts": np.full(60, 4096.0), "max": np.arange(60.0), "rms": np.arange(60.0) / 7}
    found = table(page("imstat", cube, imagename="n.cube"))
    assert found.head == ("plane", "npts", "max", "rms")
    assert found.rows[1] == ("1", "4096", "1", "0.142857")
    assert found.notes == ("... 20 more planes",)
    assert page("imstat", {"npts": np.array([])}, imagename="n.image") == []


def test_headers_are_read_as_people_write_them() -> None:
    header = {"beammajor": {"unit": "arcsec", "value": 58.077}, "shape": np.array([64, 64]), "object": "N5921"}
    found = table(page("imhead", header, imagename="n.image", mode="list"))
    assert found.rows == (("beammajor", "58.077 arcsec"), ("shape", "64, 64"), ("object", "N5921"))
    vishead: dict[str, Any] = {
        "field": (np.array(["A", "B"]), {}),
        "schedule": ({"r1": False}, {}),
        "release_date": (np.array([4.30448154e9]), {"QuantumUnits": np.array(["s"])}),
    }
    found = table(page("vishead", vishead, vis="n.ms", mode="list"))
    assert found.rows == (("field", "A, B"), ("schedule", ""), ("release_date", "1995-04-13 09:19:00"))
    assert page("vishead", (np.array(["VLA"]), {}), vis="n.ms", mode="get", hdkey="telescope") == []


def test_most_calls_show_nothing() -> None:
    assert page("tclean", {}, logged("much")) == []
    failed = TaskResult(error=RuntimeError("no"), log=logged("much"))
    call = TaskCall(task="listobs", package="casatasks", parameters={}, given=(), cwd=Path("/"))
    assert page_of(call, failed) == []


@pytest.mark.parametrize("part", [Line("<b>", "<i>"), Preformatted("<b>", "<i>"), Table("<i>", ("<h>",), (("<b>",),))])
def test_nothing_that_is_told_becomes_html(part: Part) -> None:
    shown = bundle_of([part])
    assert "&lt;b&gt;" in shown["text/html"]
    assert "&lt;i&gt;" in shown["text/html"]
    assert "<b>" in shown["text/plain"]


def test_a_plain_table_is_aligned_and_short() -> None:
    found = Table("t", ("name", "value"), (("a", "1"), ("b" * 70, "200")), ("a note",))
    assert found.plain().splitlines() == [
        "t",
        f"name{' ' * 56}  value",
        f"a{' ' * 59}      1",
        f"{'b' * 57}...    200",
        "a note",
    ]
