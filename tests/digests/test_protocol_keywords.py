"""Keywords in digests: what carries science counts, what the run left behind does not."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from casaprov.digests.measurement import measure
from casaprov.digests.tree import Tree
from casaprov.errors import DigestError
from casaprov.formats.keywords import decode, encode
from casaprov.hashing import canonical_json
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from sample_tables import TEXTS, ColumnSpec, Layout, TableSpec, write

NAMES = st.sampled_from(("UNIT", "restfreq", "MEASINFO", "a", "é"))
VALUES: st.SearchStrategy[Any] = (
    st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False)
    | st.sampled_from(TEXTS)
    | st.lists(st.floats(allow_nan=False), min_size=1, max_size=3).map(np.array)
    | st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3)
)
RECORDS = st.recursive(
    st.dictionaries(NAMES, VALUES, min_size=1, max_size=3),
    lambda inner: st.dictionaries(NAMES, VALUES | inner, min_size=1, max_size=3),
    max_leaves=3,
)


def _digest(path: Path) -> str:
    return measure(path, CasacoreReader, fits_reader).content_digest


def _table(folder: Path, keywords: dict[str, Any], kind: str = "", of_column: dict[str, Any] | None = None) -> str:
    spec = TableSpec(1, (ColumnSpec("A", "double", "scalar", (np.array(1.0),)),))
    path = write(folder, spec, Layout(f"{len(list(folder.iterdir()))}.tab"))
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putkeywords(keywords)
        table.putcolkeywords("A", of_column or {})
        table.putinfo({"type": kind, "subType": "", "readme": ""})
    return _digest(path)


@settings(max_examples=20)
@given(RECORDS, RECORDS)
def test_other_keywords_are_another_table_and_their_order_is_nothing(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        assert _table(folder, one) == _table(folder, _reversed(one))
        assert (_table(folder, one) == _table(folder, other)) == _same(one, other)
        assert (_table(folder, {}, of_column=one) == _table(folder, {}, of_column=other)) == _same(one, other)


@given(RECORDS)
def test_the_encoding_of_keywords_can_be_read_again(record: dict[str, Any]) -> None:
    encoded = encode(record)
    assert canonical_json(encode(decode(json.loads(canonical_json(encoded))))) == canonical_json(encoded)


@pytest.mark.parametrize(
    "bad", [None, [], ["record", 5], ["array", "float", [2], [1.0]], ["str", 5], ["float", "x"], ["a"]]
)
def test_what_is_no_encoding_of_keywords_is_refused(bad: Any) -> None:
    with pytest.raises(DigestError, match="form that casaprov does not write"):
        decode(bad)


def test_keywords_in_a_tree_that_do_not_have_their_digest_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TableSpec(1, (ColumnSpec("A", "double", "scalar", (np.array(1.0),)),)), Layout("x.tab"))
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putcolkeywords("A", {"MEASINFO": {"type": "uvw", "Ref": "J2000"}})
    data = measure(path, CasacoreReader, fits_reader).tree
    assert data is not None
    Tree.from_json(data).check_sketches()
    forged = json.loads(json.dumps(data).replace("J2000", "ICRS"))
    with pytest.raises(DigestError, match="not those of their digest"):
        Tree.from_json(forged).check_sketches()


def _reversed(record: dict[str, Any]) -> dict[str, Any]:
    return {k: _reversed(v) if isinstance(v, dict) else v for k, v in reversed(record.items())}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return type(one) is type(other) and repr(one) == repr(other)


@settings(max_examples=30)
@given(RECORDS, st.data())
def test_each_keyword_counts_however_deep_it_lies(record: dict[str, Any], data: st.DataObject) -> None:
    way = data.draw(st.sampled_from(list(_ways(record))))
    changed = data.draw(VALUES)
    other = _with(record, way, changed)
    assume(not _same(record, other))
    with TemporaryDirectory() as name:
        assert _table(Path(name), record) != _table(Path(name), other)


def _ways(record: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in record.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *rest) for rest in _ways(value))


def _with(record: dict[str, Any], way: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {**record, way[0]: _with(record[way[0]], way[1:], value) if len(way) > 1 else value}


FOLDERS = st.lists(st.sampled_from(("home", "data", "a b", "é", "x.y")), min_size=1, max_size=4)


@settings(max_examples=15)
@given(FOLDERS, FOLDERS, st.sampled_from(("x.ms", "model.im", "é")), st.booleans())
def test_the_folder_of_an_absolute_path_does_not_count(one: list[str], other: list[str], last: str, end: bool) -> None:
    paths = ["/" + "/".join([*folders, last]) + "/" * end for folders in (one, other)]
    with TemporaryDirectory() as name:
        digests = {
            _table(Path(name), {"path": path, "paths": [path, "b"], "record": {"path": path}}, of_column={"path": path})
            for path in paths
        }
        assert len(digests) == 1
        assert _table(Path(name), {"path": paths[0] + "x"}) != _table(Path(name), {"path": paths[0]})


@pytest.mark.parametrize("text", ["/beam", "a/b", "./a/b", "km/s", "//", "/a\n/b", "/"])
def test_what_is_no_absolute_path_counts_as_it_is(tmp_path: Path, text: str) -> None:
    last = text.rstrip("/").rpartition("/")[2]
    assert _table(tmp_path, {"text": text}) != _table(tmp_path, {"text": last})


# -- what is left out, and only there --------------------------------------------------------

TRACES: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "CASA_Version": ("Calibration", lambda run: {"CASA_Version": f"6.{run}"}),
    "folder of the MS": ("Calibration", lambda run: {"MSName": f"run{run}/x.ms"}),
    "memavail": ("Image", lambda run: {"miscinfo": {"INSTRUME": "VLA", "memavail": float(run)}}),
    "memreq": ("Image", lambda run: {"miscinfo": {"memreq": float(run)}}),
    "chnchnks": ("Image", lambda run: {"miscinfo": {"chnchnks": run}}),
    "mpiprocs": ("Image", lambda run: {"miscinfo": {"mpiprocs": run}}),
}


@pytest.mark.parametrize("what", TRACES)
@pytest.mark.parametrize("kind", ["Calibration", "Image", "Measurement Set", ""])
def test_traces_of_a_run_do_not_count_in_tables_of_their_type_and_do_in_others(
    tmp_path: Path, what: str, kind: str
) -> None:
    where, keywords = TRACES[what]
    digests = {_table(tmp_path, keywords(run), kind) for run in (1, 2)}
    assert len(digests) == (1 if kind == where else 2)


@pytest.mark.parametrize("name", ["memavail", "CASA_Version", "HISTORY", "logtable"])
@pytest.mark.parametrize("kind", ["Calibration", "Image", "Measurement Set"])
def test_a_name_alone_leaves_nothing_out(tmp_path: Path, name: str, kind: str) -> None:
    """memavail beside the miscinfo, CASA_Version in a record, HISTORY as a text."""
    for nested in (False, True):
        values = [{"note": {name: text}} if nested else {name: text} for text in ("one", "other")]
        alike = (name, kind, nested) == ("CASA_Version", "Calibration", False)
        assert len({_table(tmp_path, keywords, kind) for keywords in values}) == (1 if alike else 2)


# -- real ones --------------------------------------------------------------------------------


def _changed(path: Path, way: tuple[str, ...], value: Any) -> str:
    """Digest of a table after one of its keywords got another value."""
    with casacore.table(str(path), readonly=False, ack=False) as table:
        record = table.getkeywords()
        assert way[0] in record
        table.putkeyword(way[0], _with(record, way, value)[way[0]])
    return _digest(path)


IMAGE = {
    "unit": (("units",), "K"),
    "reference direction": (("coords", "direction0", "crval"), np.array([1.0, 2.0])),
    "frame": (("coords", "direction0", "system"), "GALACTIC"),
    "projection": (("coords", "direction0", "projection"), "TAN"),
    "Stokes": (("coords", "stokes1", "stokes"), ["V"]),
    "rest frequency": (("coords", "spectral2", "restfreq"), 1.0),
    "frame of frequencies": (("coords", "spectral2", "system"), "BARY"),
    "telescope": (("coords", "telescope"), "ALMA"),
    "date": (("coords", "obsdate", "m0", "value"), 1.0),
    "beam": (("imageinfo", "restoringbeam"), {"major": {"unit": "arcsec", "value": 9.0}}),
    "object": (("imageinfo", "objectname"), "Virgo A"),
    "note of the observer": (("miscinfo",), {"OBSERVER": "somebody"}),
    "default mask": (("Image_defaultmask",), "another"),
}


@pytest.mark.parametrize("what", IMAGE)
def test_what_an_image_says_of_its_coordinates_counts(casadata_path: Path, tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.im"
    shutil.copytree(casadata_path / "nrao" / "VLA" / "CalModels" / "3C286_X.im", path)
    before = _digest(path)
    with casacore.table(str(path), readonly=False, ack=False) as table:
        for name in ("miscinfo", "Image_defaultmask"):
            if name not in table.keywordnames():
                table.putkeyword(name, {} if name == "miscinfo" else "")
    unchanged = _digest(path)
    assert _changed(path, *IMAGE[what]) not in (before, unchanged)


CALIBRATION = {
    "type of the parameters": (("ParType",), "Float"),
    "basis of polarisation": (("PolBasis",), "circ"),
    "name of the MS": (("MSName",), "other.ms"),
    "kind of calibration": (("VisCal",), "T Jones"),
}


@pytest.mark.observations
@pytest.mark.parametrize("what", CALIBRATION)
def test_what_a_calibration_table_says_of_its_solutions_counts(observations: Path, tmp_path: Path, what: str) -> None:
    with tarfile.open(observations / "sma_caltables" / "sma.ms.bcal.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    path = tmp_path / "sma.ms.bcal"
    before = _digest(path)
    assert _changed(path, ("CASA_Version",), "1.0") == before
    assert _changed(path, *CALIBRATION[what]) != before
