"""What changes data without any task: tools are recorded, everything else is a gap that says what and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Document, Entity
from made_once import made_once
from reductions import Reduction, reduce, reduction_in

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long]

OTHER_PROCESS = """
import subprocess, sys
subprocess.run([sys.executable, "-c", '''
from casacore.tables import table
with table("n.ms", readonly=False, ack=False) as t:
    t.putcell("FLAG", 7, ~t.getcell("FLAG", 7))
with table("n.ms/FIELD", readonly=False, ack=False) as t:
    t.putcell("NAME", 0, "other")
'''], check=True)
"""

CELLS = (
    "%load_ext casaprov\nfrom casatasks import *\nimport casatools, os\nimportuvfits('NGC5921.fits', 'n.ms')",
    # 1: many writes, one record
    """
tb = casatools.table()
tb.open('n.ms', nomodify=False)
for row in range(300):
    tb.putcell('DATA', row, 2 * tb.getcell('DATA', row))
tb.putkeyword('NOTE', 'scaled')
tb.close()
v = visstat('n.ms', datacolumn='data')
""",
    # 2: a sub-table is part of its table, and nobody closed it
    "tb.open('n.ms/FIELD', nomodify=False)\ntb.putcell('CODE', 0, 'X')",
    "listobs('n.ms', listfile='l.txt')\ntb.close()",
    # 4: an image out of nothing
    """
ia = casatools.image()
ia.fromshape('made.im', [16, 16])
ia.putchunk(ia.getchunk() + 3)
ia.close()
s = imstat('made.im')
""",
    # 5: reading changes nothing
    "tb.open('n.ms')\nx = tb.getcol('TIME')\ntb.close()\nh = vishead('n.ms', mode='summary')",
    # 6: another process, between two calls
    OTHER_PROCESS,
    "os.makedirs('sub')\nos.chdir('sub')\nl = listobs('../n.ms')\nos.chdir('..')",
    # 8: a new generation under the same name
    "split('n.ms', 's.ms', datacolumn='data', field='0')",
    "os.system('rm -rf s.ms')\nsplit('n.ms', 's.ms', datacolumn='data', field='1')\nv = visstat('s.ms', datacolumn='data')",
    # 10: touched is not changed
    "os.system('touch s.ms/table.dat n.ms/table.f1')\nl = listobs('s.ms')",
    # 11: plain Python, on a listing
    "open('l.txt', 'a').write('mine')\nimport shutil\nshutil.copy('l.txt', 'k.txt')\nl = listobs('n.ms', listfile='l.txt', overwrite=True)",
    # 12: TaQL and rows
    """
tb.open('s.ms')
t = tb.taql("update 's.ms' set SCAN_NUMBER=SCAN_NUMBER+1 where rownumber()<10")
t.close()
tb.close()
tb.open('s.ms', nomodify=False)
row = tb.row(columnnames=['SCAN_NUMBER'])
value = row.get(20)
value['SCAN_NUMBER'] += 1
row.put(20, value)
row.done()
tb.close()
""",
    # 13: the calibration tool
    "cb = casatools.calibrater()\ncb.open('s.ms')\ncb.initweights(wtmode='ones')\ncb.close()",
)


@pytest.fixture(scope="module")
def changed(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource) -> Reduction:
    return reduction_in(made_once(tmp_path_factory, "changes", lambda folder: reduce(folder, ngc5921_fits, CELLS)))


@pytest.fixture(scope="module")
def document(changed: Reduction) -> Document:
    return read_document(journal_folder(changed.notebook), "n.ipynb")


def call(document: Document, task: str) -> Activity:
    (found,) = (activity for activity in document.activities if activity.task == task)
    return found


def left(document: Document, activity: Activity) -> list[Entity]:
    return [Lineage(document).entities[usage.entity] for usage in activity.generated]


def test_every_writing_is_one_record_in_its_place(document: Document) -> None:
    assert [activity.task for activity in document.activities] == [
        "importuvfits",
        "table.putcell",
        "visstat",
        "table.putcell",
        "listobs",
        "image.fromshape",
        "imstat",
        "vishead",
        "listobs",
        "split",
        "split",
        "visstat",
        "listobs",
        "listobs",
        "table.taql",
        "table.put",
        "calibrater.open",
    ]
    assert all(activity.outcome == "completed" and activity.problems == () for activity in document.activities)


def test_a_table_that_a_tool_changed_is_the_tools(document: Document) -> None:
    scaled, coded = (activity for activity in document.activities if activity.task == "table.putcell")
    assert scaled.package == "casatools"
    assert scaled.parameters["calls"] == {"putcell(DATA)": 300, "putkeyword(NOTE)": 1}
    for activity in (scaled, coded):
        (entity,) = left(document, activity)
        assert (entity.path, entity.kind) == ("n.ms", "MeasurementSet")
        assert entity.revision_of == activity.used[0].entity
    visstat = next(activity for activity in document.activities if activity.task == "visstat")
    assert visstat.used[0].entity == scaled.generated[0].entity


def test_an_image_that_a_tool_made_is_the_tools(document: Document) -> None:
    made = call(document, "image.fromshape")
    (entity,) = left(document, made)
    assert (entity.path, entity.kind, entity.revision_of) == ("made.im", "Image", None)
    assert made.parameters["calls"] == {"fromshape(made.im)": 1, "putchunk()": 1}
    assert call(document, "imstat").used[0].entity == entity.id


def test_columns_that_opening_adds_are_the_tools(document: Document) -> None:
    opened = call(document, "calibrater.open")
    assert [entity.path for entity in left(document, opened)] == ["s.ms"]
    assert list(opened.parameters["calls"]) == ["open()", "initweights()"]


def test_the_only_gap_says_which_parts_and_between_which_calls(document: Document) -> None:
    (gap,) = Lineage(document).gaps()
    assert gap.path == "n.ms"
    assert "FLAG" in gap.note
    assert "FIELD/NAME" in gap.note
    assert "DATA" not in gap.note
    assert "between call 0008 (vishead) and call 0009 (listobs)" in gap.note


def test_the_same_name_after_rm_is_a_new_generation(document: Document) -> None:
    first, second = (activity for activity in document.activities if activity.task == "split")
    states = [next(e for e in left(document, activity) if e.path == "s.ms") for activity in (first, second)]
    assert [state.revision_of for state in states] == [None, None]
    assert states[0].content_digest != states[1].content_digest


def test_inspect_shows_the_gap(changed: Reduction, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(changed.notebook)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "no recorded call changed" in told
    assert "call 0008 (vishead)" in told


READING = (
    "%load_ext casaprov\nfrom casatasks import *\nimport casatools\nimportuvfits('NGC5921.fits', 'n.ms')",
    "tclean('n.ms', imagename='i', field='0', imsize=32, cell='30arcsec');",
    # What a method returns has open what it made, also when the tool that made it is closed.
    "ia = casatools.image()\nia.open('i.image')\nsub = ia.subimage('a.im')\nia.close()",
    "sub.putchunk(2 * sub.getchunk())\nsub.done()",
    "calculated = ia.imagecalc('b.im', '\"i.image\" + \\'i.pb\\'')\nia.close()\ncalculated.done()",
    "ia.fromimage('c.im', 'b.im')\nia.calc('\"c.im\" + \"a.im\"')\nia.fromshape('d.im', [8, 8])\nia.close()",
    "tb = casatools.table()\ntb.open('n.ms')\ntb.copy('e.ms', deep=True).close()\ntb.close()",
    "ms = casatools.ms()\nms.open('e.ms')\nms.split('f.ms', whichcol='DATA')\nms.close()",
)


@pytest.mark.long
def test_what_tools_read_is_in_the_record(ngc5921_fits: Path, tmp_path: Path) -> None:
    reduction = reduce(tmp_path / "n", ngc5921_fits, READING)
    document = read_document(journal_folder(reduction.notebook), "n.ipynb")
    calls = [a for a in document.activities if a.package == "casatools"]
    assert [problem for activity in document.activities for problem in activity.problems] == []
    assert Lineage(document).gaps() == ()
    read_and_left = [
        (
            activity.task,
            sorted({Lineage(document).entities[usage.entity].path for usage in activity.used}),
            sorted({Lineage(document).entities[usage.entity].path for usage in activity.generated}),
        )
        for activity in calls
    ]
    assert read_and_left == [
        ("image.subimage", ["i.image"], ["a.im"]),
        ("image.putchunk", ["a.im"], ["a.im"]),
        ("image.imagecalc", ["i.image", "i.pb"], ["b.im"]),
        ("image.fromimage", ["b.im"], ["c.im"]),
        ("image.calc", ["a.im", "c.im"], ["c.im"]),
        ("image.fromshape", [], ["d.im"]),
        ("table.copy", ["n.ms"], ["e.ms"]),
        ("ms.split", ["e.ms"], ["f.ms"]),
    ]
