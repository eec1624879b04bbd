"""The digester: the same digests by parts, only what changed is read, and nothing wrong is ever remembered."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casaprov import hashing
from casaprov.digests import digester, linear_sketch, parallel, table_parts
from casaprov.digests.digester import Digester
from casaprov.digests.disk_cache import DigestCache
from casaprov.digests.measurement import Measurement, measure
from casaprov.digests.table import table_node
from casaprov.errors import DigestError, WorkerDied
from casaprov.files.stamps import stamp
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader, open_digester, table_reader
from here_pool import HerePool


@pytest.fixture
def pool() -> HerePool:
    return HerePool()


@pytest.fixture
def tested(pool: HerePool) -> Iterator[Digester]:
    """A digester that works in this process and remembers in memory only."""
    with closing(Digester(pool, DigestCache(None, max_bytes=10**8))) as made:
        yield made


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every table apart, and every column of numbers into parts."""
    monkeypatch.setattr(parallel, "_SMALL_BYTES", -1)
    monkeypatch.setattr(parallel, "_LARGE_BYTES", 1)


def _here(path: Path) -> Measurement:
    return measure(path, CasacoreReader, fits_reader)


def _make(path: Path, rows: int = 40, **changed: Any) -> Path:
    """A table with columns in storage managers of their own, and two that share one."""
    columns = [
        casacore.makearrcoldesc("DATA", 0j, ndim=2, valuetype="complex"),
        casacore.makearrcoldesc("FLAG", False, ndim=2),
        casacore.makescacoldesc("TIME", 0.0),
        casacore.makescacoldesc("EXPOSURE", 0.0),
        casacore.makescacoldesc("NAME", ""),
    ]
    managers = [("TiledShapeStMan", ["DATA"]), ("TiledShapeStMan", ["FLAG"]), ("StandardStMan", ["TIME", "EXPOSURE"])]
    dminfo = {
        f"*{n}": {"NAME": f"M{n}", "TYPE": kind, "COLUMNS": names, "SPEC": {}, "SEQNR": n}
        for n, (kind, names) in enumerate(managers)
    }
    rng = np.random.default_rng(3)
    with casacore.table(str(path), casacore.maketabdesc(columns), nrow=rows, dminfo=dminfo, ack=False) as table:
        table.putcol("DATA", (rng.normal(size=(rows, 8, 2)) + 1j).astype("complex64"))
        table.putcol("FLAG", rng.normal(size=(rows, 8, 2)) > 1)
        table.putcol("TIME", np.arange(float(rows)))
        table.putcol("EXPOSURE", np.full(rows, 30.0))
        table.putcol("NAME", ["3C286"] * rows)
        for name, value in changed.items():
            table.putcell(name, 0, value)
    return path


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    with casacore.table(str(path), readonly=False, ack=False) as table:
        change(table)


def _refer(path: Path, keyword: str, other: Path) -> None:
    """Make a table refer to another one."""
    with casacore.table(str(other), ack=False) as sub:
        _edit(path, lambda table: table.putkeyword(keyword, sub, makesubrecord=False))


def _add_corrected(table: Any) -> None:
    column = casacore.makearrcoldesc("CORRECTED_DATA", 0j, ndim=2, valuetype="complex")
    table.addcols(column, {"TYPE": "TiledShapeStMan", "NAME": "TiledCorrected", "SPEC": {}})
    table.putcol("CORRECTED_DATA", table.getcol("DATA"))


def _without_statistics(measured: Measurement | dict[str, Any]) -> Any:
    """Leave out what depends in its last digits on how a column was cut."""
    values = asdict(measured) if isinstance(measured, Measurement) else measured
    rounded = ("mean", "rms", "mean_re", "mean_im", "sketch_digest")
    return {
        name: _without_statistics(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in rounded
    }


# -- parts --------------------------------------------------------------------------------


@pytest.mark.usefixtures("everything_is_large")
def test_a_table_read_in_parts_has_the_digest_of_one_that_is_read_whole(
    tested: Digester, pool: HerePool, reduction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hashing, table_parts, parallel):
        monkeypatch.setattr(module, "BLOCK_BYTES", 2**19)
    # Blocks of 16 MiB are whole multiples of what a linear sketch adds up at once; smaller ones must be so too.
    monkeypatch.setattr(linear_sketch, "_UNITS_AT_ONCE", 1)
    for name in ("n.ms", "n.gcal", "n.image"):
        paths = [path for path in reduction.folder.iterdir() if path.name.endswith(name.partition("n")[2])]
        for path in paths:
            assert _without_statistics(tested.measure(path)) == _without_statistics(_here(path))
    assert sum(name == "part" for name, _ in pool.calls) > 50


SHAPES = st.lists(
    st.tuples(st.integers(1, 6), st.none() | st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple)), max_size=8
)


@given(SHAPES, st.sampled_from(["bool", "float32", "complex128"]), st.integers(1, 200))
def test_the_parts_of_a_column_cover_it_once(shapes: Any, dtype: str, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_parts, "BLOCK_BYTES", 64)
        parts = list(table_parts.parts_of(shapes, np.dtype(dtype), most))
    cells = [shape for count, shape in shapes for _ in range(count)]
    sizes = [0 if shape is None else int(np.prod(shape)) for shape in cells]
    assert sum(part.count for part in parts) == sum(sizes)
    place = 0
    for part in parts:
        assert part.place == place
        assert place * np.dtype(dtype).itemsize % 64 == 0
        assert part.first + sum(sizes[: part.first_row]) == place
        touched = [shape for count, shape in part.runs for _ in range(count)]
        assert touched == cells[part.first_row : part.first_row + len(touched)]
        assert part.first + part.count <= sum(sizes[part.first_row : part.first_row + len(touched)])
        place += part.count


CELLS = st.lists(st.none() | st.lists(st.integers(0, 7), min_size=1, max_size=3).map(tuple), min_size=1, max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CELLS, st.sampled_from(["float", "complex", "boolean"]), st.sampled_from([16, 64, 128]))
def test_cells_of_any_shape_have_one_digest_however_they_are_cut(
    tmp_path: Path, cells: list[tuple[int, ...] | None], kind: str, block: int
) -> None:
    path = tmp_path / "cells.tab"
    shutil.rmtree(path, ignore_errors=True)
    rng = np.random.default_rng(1)
    description = casacore.maketabdesc([casacore.makearrcoldesc("A", 0, ndim=-1, valuetype=kind)])
    with casacore.table(str(path), description, nrow=len(cells), ack=False) as table:
        for row, shape in enumerate(cells):
            if shape is not None:
                table.putcell("A", row, rng.normal(size=shape) > 0 if kind == "boolean" else rng.normal(size=shape))
    with pytest.MonkeyPatch.context() as patch:
        for module in (hashing, table_parts, parallel):
            patch.setattr(module, "BLOCK_BYTES", block)
        patch.setattr(parallel, "_SMALL_BYTES", -1)
        patch.setattr(parallel, "_LARGE_BYTES", 1)
        whole = table_node(path, CasacoreReader()).to_json()
        with closing(Digester(HerePool(), DigestCache(None, max_bytes=10**7))) as parted:
            tree = parted.measure(path).tree
    assert tree is not None
    assert _without_statistics(tree["table"]) == _without_statistics(whole)


def test_workers_measure_as_this_process_does(tmp_path: Path) -> None:
    paths = [_make(tmp_path / "a.tab"), tmp_path / "plain", tmp_path / "folder"]
    paths[1].write_text("x")
    paths[2].mkdir()
    (paths[2] / "member").write_text("y")
    with closing(open_digester()) as real:
        futures = [real.submit(path) for path in paths]
        assert [future.result() for future in futures] == [_here(path) for path in paths]
        with pytest.raises(DigestError, match="There is no file or table"):
            real.measure(tmp_path / "nothing")
    with pytest.raises(WorkerDied, match="were closed"):
        real.measure(tmp_path)


def _workers() -> list[int]:
    """Process ids of the workers of this process."""
    children: list[int] = []
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ended meanwhile
            children += map(int, (task / "children").read_text().split())
    return [pid for pid in children if "digest_worker" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_a_worker_that_dies_costs_nothing_but_time(tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab", rows=200_000)
    with closing(open_digester()) as real:
        real.measure(_make(tmp_path / "b.tab"))
        before = set(_workers())
        future = real.submit(path)
        time.sleep(0.05)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        assert _without_statistics(future.result()) == _without_statistics(_here(path))
        after = set(_workers())
    assert after
    assert not after & before
    assert not set(_workers()) & after


def test_workers_stay_below_500_mb_whatever_the_size_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "large.tab"
    rows, cell = 20_000, (256, 4)  # 164 MB in one column: more than the limit of the tile cache and all buffers
    description = casacore.maketabdesc([casacore.makearrcoldesc("DATA", 0j, ndim=2, valuetype="complex")])
    tiles = {"TYPE": "TiledShapeStMan", "NAME": "T", "SPEC": {"DEFAULTTILESHAPE": [4, 64, 512]}, "COLUMNS": ["DATA"]}
    with casacore.table(str(path), description, nrow=rows, dminfo={"*1": tiles}, ack=False) as table:
        values = np.random.default_rng(6).normal(size=(1000, *cell)).astype("complex64")
        for first in range(0, rows, 1000):
            table.putcol("DATA", values, first, 1000)
    with closing(open_digester()) as real:
        real.start()
        real.measure(path)
        peaks = [_peak_bytes(pid) for pid in _workers()]
    assert len(peaks) >= 2
    assert sum(peaks) < 500 * 10**6


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# -- what has not changed ------------------------------------------------------------------


def test_what_has_not_changed_is_not_measured_again(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab")
    first = tested.measure(path)
    pool.calls.clear()
    lock = (path / "table.lock").read_bytes()
    (path / "table.lock").write_bytes(b"opened for writing".ljust(260) + lock[260:])
    assert tested.submit(path).done()
    assert tested.measure(path) is first
    assert not pool.calls
    _edit(path, lambda table: table.putcell("TIME", 0, 9.0))
    assert tested.measure(path).content_digest != first.content_digest
    assert pool.calls


@pytest.mark.parametrize("large", [False, True])
def test_rows_that_stand_in_the_lock_alone_are_lost_with_it(
    tested: Digester, tmp_path: Path, large: bool, request: pytest.FixtureRequest
) -> None:
    if large:
        request.getfixturevalue("everything_is_large")
    path = tmp_path / "a.tab"
    casacore.table(str(path), casacore.maketabdesc([casacore.makescacoldesc("A", 0)]), nrow=40, ack=False).close()
    whole = tested.measure(path)
    description = bytearray((path / "table.dat").read_bytes())
    at = description.index(b"Table") + 9
    assert description[at : at + 4] == (40).to_bytes(4)
    description[at : at + 4] = bytes(4)
    (path / "table.dat").write_bytes(description)
    assert tested.measure(path).content_digest == whole.content_digest  # as casacore reads it
    (path / "table.lock").unlink()
    assert tested.measure(path).content_digest != whole.content_digest


@pytest.mark.usefixtures("everything_is_large")
def test_a_link_that_leads_to_itself_is_in_no_tables_way(tested: Digester, tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab")
    before = tested.measure(path)
    (path / "itself").symlink_to("itself")
    assert tested.measure(path).content_digest == before.content_digest


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize(
    ("change", "read"),
    [
        (lambda table: table.putcell("FLAG", 3, np.ones((8, 2), bool)), {"FLAG"}),
        (lambda table: table.putcell("TIME", 3, -1.0), {"TIME", "EXPOSURE"}),
        (lambda table: table.putkeyword("VERSION", 3.0), set()),
        (lambda table: table.putcolkeyword("TIME", "UNIT", "s"), {"TIME", "EXPOSURE"}),
        (lambda table: table.addcols(casacore.makescacoldesc("NEW", 0)), {"NEW", "TIME", "EXPOSURE"}),
        (_add_corrected, {"CORRECTED_DATA"}),
        (lambda table: table.addrows(1), {"DATA", "FLAG", "TIME", "EXPOSURE", "NAME"}),
        (lambda table: table.removecols("FLAG"), set()),
        (lambda table: table.renamecol("DATA", "CORRECTED_DATA"), {"CORRECTED_DATA"}),
    ],
    ids=[
        "flags",
        "shared manager",
        "keyword",
        "column keyword",
        "new column beside others",
        "new tiled column",
        "new row",
        "removed",
        "renamed",
    ],
)
def test_only_the_columns_that_changed_are_read(
    tested: Digester, pool: HerePool, tmp_path: Path, change: Callable[[Any], Any], read: set[str]
) -> None:
    path = _make(tmp_path / "a.tab")
    before = tested.measure(path)
    assert pool.columns_read() == {"DATA", "FLAG", "TIME", "EXPOSURE", "NAME"}
    _edit(path, change)
    after = tested.measure(path)
    assert pool.columns_read() == read
    assert after == _here(path)
    assert after.content_digest != before.content_digest


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("pair", [("TIME", "EXPOSURE"), ("DATA", "FLAG")])
def test_columns_that_changed_names_are_told_apart(tested: Digester, tmp_path: Path, pair: tuple[str, str]) -> None:
    path = _make(tmp_path / "a.tab")
    before = tested.measure(path)

    def swap(table: Any) -> None:
        table.renamecol(pair[0], "BETWEEN")
        table.renamecol(pair[1], pair[0])
        table.renamecol("BETWEEN", pair[1])

    _edit(path, swap)
    after = tested.measure(path)
    assert after == _here(path)
    assert after.content_digest != before.content_digest


@pytest.mark.usefixtures("everything_is_large")
def test_only_the_sub_tables_that_changed_are_read(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    path = _make(tmp_path / "a.ms")
    for name in ("ANTENNA", "FIELD", "HISTORY"):
        _make(path / name, rows=2)
        _refer(path, name, path / name)
    tested.measure(path)
    pool.calls.clear()
    _edit(path / "FIELD", lambda table: table.putcell("NAME", 0, "3C48"))
    _edit(path / "HISTORY", lambda table: table.putcell("NAME", 0, "another run"))
    assert tested.measure(path) == _here(path)
    assert {arguments["path"] for name, arguments in pool.calls} == {str(path), str(path / "FIELD")}


def test_what_changed_while_it_was_measured_is_measured_again(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab")
    pool.before_answer = (path / "table.f0").touch
    tested.measure(path)
    pool.before_answer = lambda: None
    pool.calls.clear()
    tested.measure(path)
    assert pool.calls


def test_a_selection_is_measured_again_each_time(tested: Digester, tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab")
    with casacore.table(str(path), ack=False) as table:
        table.query("TIME>2", name=str(tmp_path / "selected.tab")).close()
    first = tested.measure(tmp_path / "selected.tab")
    _edit(path, lambda table: table.putcell("NAME", 4, "changed"))
    assert stamp(tmp_path / "selected.tab")
    assert tested.measure(tmp_path / "selected.tab").content_digest != first.content_digest


@pytest.mark.parametrize("large", [True, False])
def test_a_table_that_refers_to_one_elsewhere_is_measured_again_each_time(
    tested: Digester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr(parallel, "_SMALL_BYTES", -1)
    path, other = _make(tmp_path / "a.ms"), _make(tmp_path / "elsewhere" if large else tmp_path / "SOURCE")
    _refer(path, "SOURCE", other)
    first = tested.measure(path)
    _edit(other, lambda table: table.putcell("NAME", 4, "changed"))
    again = tested.measure(path)
    assert again.content_digest != first.content_digest
    assert again == _here(path)


def test_small_sub_tables_are_asked_for_before_columns(
    tested: Digester, pool: HerePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sub = _make(tmp_path / "a.ms", rows=4000), _make(tmp_path / "a.ms" / "SOURCE", rows=1)
    _refer(path, "SOURCE", sub)
    monkeypatch.setattr(parallel, "_SMALL_BYTES", stamp(sub).size_bytes)
    assert tested.measure(path) == _here(path)
    asked = [name for name, _ in pool.calls]
    assert asked[:2] == ["outline", "nodes"]
    assert "leaves" in asked[2:]


def test_of_a_folder_only_members_that_changed_are_read(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    folder = tmp_path / "n.ms.flagversions"
    (folder / "sub").mkdir(parents=True)
    tables = [_make(folder / name) for name in ("a", "b", "sub/c")]
    (folder / "list.txt").write_text("a b c")
    assert tested.measure(folder).content_digest == measure(folder, table_reader, fits_reader).content_digest
    _edit(tables[2], lambda table: table.putcell("TIME", 0, 9.0))
    (folder / "list.txt").write_text("a b c d")
    pool.calls.clear()
    assert tested.measure(folder).content_digest == measure(folder, table_reader, fits_reader).content_digest
    read = [Path(path) for name, arguments in pool.calls if name == "members" for path in arguments["paths"]]
    assert sorted(read) == [folder / "list.txt", tables[2]]


def test_a_folder_with_a_table_that_refers_elsewhere_is_measured_again_each_time(
    tested: Digester, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    path, other = _make(tmp_path / "folder" / "a.ms"), _make(tmp_path / "elsewhere")
    _refer(path, "SOURCE", other)
    first = tested.measure(tmp_path / "folder")
    _edit(other, lambda table: table.putcell("NAME", 4, "changed"))
    assert tested.measure(tmp_path / "folder").content_digest != first.content_digest


def test_errors_are_raised_and_not_remembered(tested: Digester, tmp_path: Path) -> None:
    with pytest.raises(DigestError):
        tested.measure(tmp_path / "a")
    (tmp_path / "a").write_text("x")
    assert tested.measure(tmp_path / "a").kind == "File"


def test_a_file_written_twice_within_a_tick_of_the_clock_is_read_twice(
    tested: Digester, pool: HerePool, tmp_path: Path
) -> None:
    """The classic race: written, read and written again before the file system's clock went on."""
    path = tmp_path / "a"
    for _ in range(30):
        path.write_text("one")
        first = tested.submit(path)
        path.write_text("two")
        found = tested.measure(path)
        assert found.content_digest == hashing.digest_bytes(b"two")
        assert first.result().content_digest in {hashing.digest_bytes(text) for text in (b"one", b"two", b"")}


def test_a_stamp_that_never_settles_is_not_trusted(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    real = time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        # The files' times lie in the future of this clock, as on a file server that is ahead.
        patch.setattr(time, "time_ns", lambda: real() - 10**10)
        patch.setattr(digester, "settle", lambda _path, _step_ns: None)
        tested.measure(path)
        pool.calls.clear()
        tested.measure(path)
    assert pool.calls


@pytest.mark.usefixtures("everything_is_large")
def test_selections_and_concatenations_are_read_in_parts_too(tested: Digester, pool: HerePool, tmp_path: Path) -> None:
    paths = [_make(tmp_path / name) for name in ("a.tab", "b.tab")]
    with casacore.table([str(path) for path in paths], ack=False) as both:
        both.rename(str(tmp_path / "both.tab"))
        both.query("TIME>2", name=str(tmp_path / "selected.tab")).close()
    for name in ("both.tab", "selected.tab"):
        pool.calls.clear()
        assert tested.measure(tmp_path / name) == _here(tmp_path / name)
        assert {arguments["column"] for call, arguments in pool.calls if call == "part"} >= {"DATA", "FLAG"}


def test_groups_hold_every_column_once() -> None:
    sizes = {"A": 0, "B": 0, "C": 5 * 10**6, "D": 4 * 10**6, "E": 10}
    for some in ({}, {"A": 0}, {"A": 0, "B": 0}, sizes):
        groups = parallel._groups(some, 2)
        assert sorted(name for group in groups for name in group) == sorted(some)
    assert [name for name in parallel._groups(sizes, 2)[0] if sizes[name] > 10**6] == ["C"]


def test_two_that_ask_at_once_get_one_measurement(tmp_path: Path) -> None:
    path = _make(tmp_path / "a.tab", rows=5000)
    time.sleep(0.05)
    with closing(open_digester()) as real:
        futures = [real.submit(path) for _ in range(5)]
        assert len({id(future.result()) for future in futures}) == 1


# -- for the next session --------------------------------------------------------------------


@pytest.mark.usefixtures("everything_is_large")
def test_the_next_session_reads_nothing_that_has_not_changed(tmp_path: Path) -> None:
    path, file = _make(tmp_path / "a.tab"), tmp_path / "cache" / "digests.sqlite"
    with closing(Digester(HerePool(), DigestCache(file, max_bytes=10**8))) as first:
        measured = first.measure(path)
    pool = HerePool()
    with closing(Digester(pool, DigestCache(file, max_bytes=10**8))) as second:
        assert second.measure(path) == measured
        assert not pool.calls
        _edit(path, lambda table: table.putcell("FLAG", 0, np.ones((8, 2), bool)))
        assert second.measure(path) == _here(path)
        assert pool.columns_read() == {"FLAG"}


def test_sessions_at_the_same_time_share_the_cache(tmp_path: Path) -> None:
    paths = [_make(tmp_path / f"{n}.tab") for n in range(6)]
    expected = [_here(path) for path in paths]
    file = tmp_path / "digests.sqlite"
    found: list[list[Measurement]] = []

    def session() -> None:
        with closing(Digester(HerePool(), DigestCache(file, max_bytes=10**8))) as one:
            found.append([one.measure(path) for path in paths for _ in range(3)][::3])

    threads = [threading.Thread(target=session) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
