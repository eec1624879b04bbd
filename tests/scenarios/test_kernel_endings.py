"""Records that a kernel finishes after the cell has ended: told to the notebook, and not lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.records.model import Document
from reductions import write_notebook
from watched_kernel import SETTLE, Corner, Shown, WatchedKernel, corner

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

LOAD = "%load_ext casaprov\nfrom casatasks import *\nfrom pathlib import Path\nimport os, shutil"
# What a call left is read later by so many seconds: long enough to do something before. Setting 0 ends the delay.
SLOW = """
import time
from casaprov.digests.parallel import ParallelMeasurement
measure, takes_s = ParallelMeasurement.measure, 0
def slow(pending):
    began = time.monotonic()
    while time.monotonic() - began < takes_s:
        time.sleep(0.02)
    return measure(pending)
ParallelMeasurement.measure = slow
"""


def start(folder: Path, fits: Path) -> WatchedKernel:
    """Start a kernel of a named notebook that can be made slow to read what calls left."""
    write_notebook(folder / "n.ipynb", ["%load_ext casaprov"])
    kernel = WatchedKernel(folder)
    for cell in (LOAD, f"importuvfits({str(fits)!r}, 'n.ms')", SETTLE, SLOW):
        assert kernel.run(cell).error == ""
    return kernel


@pytest.fixture(scope="module")
def shared(
    casa_site_config: DataSource, tmp_path_factory: pytest.TempPathFactory, ngc5921_fits: Path
) -> Iterator[WatchedKernel]:
    kernel = start(tmp_path_factory.mktemp("endings"), ngc5921_fits)
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared: WatchedKernel) -> Iterator[Corner]:
    """A folder of its own, with n.ms, in the kernel that most tests share; it is slow by a second."""
    with corner(shared) as folder:
        folder.run("os.symlink('../n.ms', 'n.ms')\ntakes_s = 1")
        yield folder
        folder.run("takes_s = 0")


@pytest.fixture
def alone(casa_site_config: DataSource, tmp_path: Path, ngc5921_fits: Path) -> Iterator[Corner]:
    """A kernel for one test, slow by a second."""
    kernel = start(tmp_path, ngc5921_fits)
    kernel.run("takes_s = 1")
    yield Corner(kernel, "")
    kernel.close()


def digests(shown: Shown) -> dict[str, str | None]:
    """What the record in a cell's output says that its calls left."""
    (bundle,) = [data[BUNDLE_MIME] for data in shown.outputs if BUNDLE_MIME in data]
    return {state["path"]: state["digest"] for call in bundle["calls"] for state in call["generated"]}


def recorded(kernel: Corner) -> Document:
    return read_document(journal_folder(kernel.kernel.folder / "n.ipynb"), "n.ipynb")


def problems(kernel: Corner) -> list[str]:
    """What is missing in the records of the calls in this folder."""
    calls = [call for call in recorded(kernel).activities if call.cwd == kernel.name]
    assert calls
    return [problem for call in calls for problem in call.problems]


def left(kernel: Corner, path: str) -> list[str | None]:
    """Content digests of the states of a path that calls left, in order."""
    path = kernel.path(path)
    return [e.content_digest for e in recorded(kernel).entities if e.path == path and e.generated_by]


def test_a_cell_ends_before_its_record_and_its_output_is_completed(kernel: Corner) -> None:
    began = time.monotonic()
    shown = kernel.run("listobs('n.ms', listfile='l.txt');")
    assert time.monotonic() - began < 0.9
    assert digests(shown) == {}
    kernel.run(SETTLE)
    assert digests(shown) == {kernel.path("l.txt"): left(kernel, "l.txt")[0]}
    assert left(kernel, "l.txt") != [None]


def test_code_of_the_same_cell_and_of_the_next_comes_too_late_to_disturb(kernel: Corner) -> None:
    kernel.run("listobs('n.ms', listfile='l.txt')\nPath('l.txt').write_text('mine')")
    kernel.run("split('n.ms', 's.ms', datacolumn='data', scan='1');")
    kernel.run("shutil.rmtree('s.ms')")
    kernel.run("listobs('n.ms', listfile='m.txt');")
    kernel.run("!rm m.txt")
    kernel.run(SETTLE)
    assert not any((kernel.folder / name).exists() for name in ("s.ms", "m.txt"))
    for name in ("l.txt", "s.ms", "m.txt"):
        assert len(left(kernel, name)) == 1
        assert left(kernel, name) != [None]
    assert problems(kernel) == []


@pytest.mark.parametrize(
    "cell", ["!ls -ld s.ms", "%ls", "found = !du -s *.ms | cat", "# what is there?\n!ls\n!date && pwd"]
)
def test_a_cell_that_only_looks_does_not_wait(kernel: Corner, cell: str) -> None:
    kernel.run("split('n.ms', 's.ms', datacolumn='data', scan='1');")
    began = time.monotonic()
    shown = kernel.run(cell)
    assert time.monotonic() - began < 0.9
    assert left(kernel, "s.ms") == [None]
    assert "s.ms" in shown.streams.get("stdout", "") or "s.ms" not in cell
    kernel.run("!mv s.ms elsewhere.ms")  # the next one waits
    assert len(left(kernel, "s.ms")) == 1
    assert left(kernel, "s.ms") != [None]


def test_a_tool_that_writes_comes_too_late_to_disturb(kernel: Corner) -> None:
    kernel.run("import casatools\ntb = casatools.table()")
    kernel.run("split('n.ms', 's.ms', datacolumn='data', scan='1');")
    kernel.run("tb.open('s.ms', nomodify=False)\ntb.putcell('SIGMA', 0, [3.0, 4.0])\ntb.close()")
    kernel.run(SETTLE)
    first, second = left(kernel, "s.ms")
    assert first is not None
    assert second not in {None, first}


def test_a_tool_that_writes_over_something_else_comes_too_late_to_disturb(kernel: Corner) -> None:
    kernel.run("import casatools\nia = casatools.image()\nia.fromshape('i.im', [4, 4])\nia.done()")
    kernel.run("ia.fromshape('out.im', [4, 4])\nia.done()")
    kernel.run("ia.open('i.im')\nia.rename('out.im', overwrite=True)\nia.done()")
    kernel.run(SETTLE)
    assert None not in left(kernel, "out.im")
    assert problems(kernel) == []


def test_an_input_stays_in_its_tier_while_it_is_read(kernel: Corner) -> None:
    kernel.run("import casaprov\nwith open('large.bin', 'wb') as file:\n    file.truncate(10**8)")
    kernel.run("takes_s = 4\nwith casaprov.activity('look', used=['large.bin']): pass")
    try:
        kernel.run("%casaprov config digest fast\n%casaprov config fast_above 1 MB")
        kernel.run("takes_s = 0\nwith casaprov.activity('look', used=['large.bin']): pass")
    finally:
        kernel.run("%casaprov config digest full\n%casaprov config fast_above 10 GB")
    kernel.run(SETTLE)
    (entity,) = [e for e in recorded(kernel).entities if e.path == kernel.path("large.bin")]
    assert (entity.tier, entity.gap) == ("full", False)


@pytest.mark.long
def test_a_kernel_that_is_shut_down_finishes_its_records(alone: Corner) -> None:
    alone.run("listobs('n.ms', listfile='l.txt');")
    alone.kernel.shut_down()
    assert recorded(alone).sessions[0].closed
    assert left(alone, "l.txt") != [None]


@pytest.mark.long
def test_a_cell_that_runs_again_does_not_wait_and_what_is_stale_is_told_below_it_later(alone: Corner) -> None:
    made = "split('n.ms', 's.ms', datacolumn='data', scan={!r});"
    used = "listobs('t.ms', listfile='l.txt', overwrite=True);"
    alone.run(made.format("1"), cell="one")
    alone.run("split('s.ms', 't.ms', datacolumn='data');", cell="two")
    alone.run(used, cell="three")
    alone.run(f"{SETTLE}\nrmtables('s.ms')")
    alone.run(made.format("2"), cell="one")
    alone.run(SETTLE)
    began = time.monotonic()
    shown = alone.run(used, cell="three")
    assert time.monotonic() - began < 0.9
    assert "Stale" not in shown.plain
    alone.run("%%capture\ntime.sleep(2)")  # it does not take what belongs to the cell before
    alone.run(SETTLE)
    assert "Stale: listobs used t.ms, which is stale" in shown.plain
    assert digests(shown)["l.txt"] is not None


@pytest.mark.long
def test_no_size_makes_a_cell_wait(alone: Corner) -> None:
    alone.run("with open('large.bin', 'wb') as file:\n    file.truncate(2**32)")
    began = time.monotonic()
    alone.run("import casaprov\nwith casaprov.activity('look', used=['large.bin']): pass")
    assert time.monotonic() - began < 0.9


@pytest.mark.long
def test_a_kernel_that_knows_no_notebook_waits_at_the_end_of_the_cell(
    casa_site_config: DataSource, tmp_path: Path, ngc5921_fits: Path
) -> None:
    kernel = WatchedKernel(tmp_path, notebook="absent.ipynb")
    try:
        kernel.run(LOAD)
        shown = kernel.run(f"importuvfits({str(ngc5921_fits)!r}, 'n.ms')")
        assert digests(shown)["n.ms"] is not None
    finally:
        kernel.close()


@pytest.mark.parametrize(
    "line", ["status", "log", "log 2", "show 2", "config", "config show_log no", "resume", "statsu"]
)
def test_questions_wait_for_a_moment_at_most(kernel: Corner, line: str) -> None:
    kernel.run("takes_s = 4\nsplit('n.ms', 's.ms', datacolumn='data', scan='1');")
    began = time.monotonic()
    shown = kernel.run(f"%casaprov {line}")
    assert time.monotonic() - began < 2
    assert left(kernel, "s.ms") == [None]
    assert shown.plain.strip()


def test_what_is_digested_in_a_moment_is_waited_for(kernel: Corner) -> None:
    kernel.run(SETTLE)  # of what the tests before left, which is read first
    kernel.run(
        "from casaprov.kernel.magics import casaprov_magic\ncasaprov_magic._PATIENCE_S = 60  # of a busy machine"
    )
    kernel.run("takes_s = 0.1\nlistobs('n.ms', listfile='l.txt')\n%casaprov")
    assert len(left(kernel, "l.txt")) == 1
    assert left(kernel, "l.txt") != [None]
    kernel.run("casaprov_magic._PATIENCE_S = 0.3")


@pytest.mark.long
def test_what_is_still_digested_is_told_and_not_taken_for_odd(alone: Corner) -> None:
    made = "split('n.ms', 's.ms', datacolumn='data', scan='1', field='');"
    alone.run(made, cell="one")
    alone.run("listobs('s.ms', listfile='l.txt');", cell="two")
    alone.run(f"{SETTLE}\nrmtables('s.ms')\ntakes_s = 4")
    alone.run(made, cell="one")
    plain = alone.run("%casaprov").plain
    assert "Still being digested: call 5, split (s.ms). The lines below leave these out." in plain
    assert "5 in this session" in plain
    assert "Nothing is stale" in plain
    assert "Incomplete" not in plain
    alone.run("listobs('s.ms', listfile='l.txt', overwrite=True);", cell="two")
    assert "Nothing is stale" in alone.run("%casaprov").plain  # it was run again as well
    alone.run(SETTLE)
    plain = alone.run("%casaprov").plain
    assert "Still" not in plain
    assert "Nothing is stale" in plain


@pytest.mark.parametrize("line", ["graph", "export", "pause"])
def test_what_needs_whole_records_waits_for_them(kernel: Corner, line: str) -> None:
    kernel.run("split('n.ms', 's.ms', datacolumn='data', scan='1');")
    kernel.run(f"%casaprov {line}")
    assert len(left(kernel, "s.ms")) == 1
    assert left(kernel, "s.ms") != [None]
    kernel.run("%casaprov resume")


@pytest.mark.long
def test_pausing_and_unloading_lose_nothing(alone: Corner) -> None:
    alone.run("listobs('n.ms', listfile='l.txt')\n%casaprov pause")
    alone.run("Path('l.txt').unlink()\n%casaprov resume")
    alone.run("listobs('n.ms', listfile='m.txt');")
    alone.run("%unload_ext casaprov\nPath('m.txt').unlink()")
    assert left(alone, "l.txt") != [None]
    assert left(alone, "m.txt") != [None]
    assert recorded(alone).sessions[0].closed
    shutil.rmtree(alone.folder / "n.ms")
