"""What was changed in a real product is found, located and measured; what was not is left alone."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.comparison.products import Comparison, Difference, Tolerance, compare_trees
from casaprov.digests.measurement import Measurement
from casaprov.errors import UsageError
from casaprov.processes.worker import Worker
from checkout import ROOT, SUPPORT

pytestmark = pytest.mark.casa


class Products:
    """The worker that holds python-casacore, with typed answers."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def change_table(self, path: Path, code: str) -> None:
        self._worker.call("change_table", path=str(path), code=code)

    def change_fits(self, path: Path, code: str) -> None:
        self._worker.call("change_fits", path=str(path), code=code)

    def compare(self, left: Path, right: Path, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
        answer = self._worker.call("compare", left=str(left), right=str(right), rtol=rtol, atol=atol)
        return Comparison(
            answer["verdict"], tuple(Difference(**item) for item in answer["differences"]), answer["note"]
        )

    def measure(self, path: Path) -> Measurement:
        return Measurement(**self._worker.call("measured", path=str(path)))

    def compare_with_record(self, record: Path, now: Path, rtol: float = 0.0, atol: float = 0.0) -> Comparison:
        before = self.measure(record)
        tolerance = Tolerance(rtol, atol)
        return compare_trees(before.tree, before.content_digest, before.byte_digest, self.measure(now), tolerance)


@pytest.fixture(scope="module")
def products() -> Iterator[Products]:
    path = os.pathsep.join([str(SUPPORT), str(ROOT), os.environ.get("PYTHONPATH", "")])
    worker = Worker("product_worker", environment={"PYTHONPATH": path})
    yield Products(worker)
    worker.close()


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (name,) = (path for path in folder.iterdir() if not path.name.startswith("._"))
    return name


@pytest.fixture(scope="module")
def ms(observations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (archive,) = (observations / "alma_x5707_ms").glob("*.tar.gz")
    return unpack(archive, tmp_path_factory.mktemp("ms"))


@pytest.fixture(scope="module")
def caltable(observations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(observations / "sma_caltables" / "sma.ms.bcal.tar.gz", tmp_path_factory.mktemp("bcal"))


@pytest.fixture(scope="module")
def image(casadata_path: Path) -> Path:
    return next(iter(sorted((casadata_path / "nrao" / "VLA" / "CalModels").glob("3C286_X.im"))))


@pytest.fixture
def uvfits(observations: Path) -> Path:
    return observations / "vlba_m87_2006" / "mojave.uvfits"


def copy(product: Path, folder: Path) -> Path:
    target = folder / "again" / product.name
    if product.is_dir():
        shutil.copytree(product, target)
    else:
        target.parent.mkdir()
        shutil.copy(product, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # CASA's own data may be read-only
    return target


def only(comparison: Comparison) -> Difference:
    (difference,) = comparison.differences
    return difference


@pytest.mark.long
def test_copied_products_have_the_same_content(
    products: Products, ms: Path, caltable: Path, image: Path, tmp_path: Path
) -> None:
    for number, product in enumerate((ms, caltable, image)):
        folder = tmp_path / str(number)
        folder.mkdir()
        again = copy(product, folder)
        assert products.compare(product, again) == Comparison("same-content")
        assert products.compare_with_record(product, again) == Comparison("same-content")


def test_one_flipped_flag_is_found(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again, "f = t.getcell('FLAG', 7); f[3, 1] = ~f[3, 1]; t.putcell('FLAG', 7, f)")
    comparison = products.compare(ms, again, rtol=1, atol=1)
    difference = only(comparison)
    assert comparison.verdict == "differs"
    assert (difference.path, difference.cells, difference.within) == ("FLAG", 1, False)
    assert "in row 7 at [1, 3]" in difference.what
    assert re.search(r"1 set and 0 cleared|0 set and 1 cleared", difference.what)
    assert only(products.compare_with_record(ms, again, rtol=1)).path == "FLAG"


def test_one_visibility_changed_in_its_last_bit_is_found(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(
        again,
        "d = t.getcell('DATA', 21); d.real[5, 0] = np.nextafter(d.real[5, 0], np.float32(9)); t.putcell('DATA', 21, d)",
    )
    comparison = products.compare(ms, again)
    difference = only(comparison)
    assert comparison.verdict == "differs"
    assert (difference.path, difference.cells) == ("DATA", 1)
    assert "in row 21 at [0, 5]" in difference.what
    assert difference.max_abs is not None
    assert difference.max_rel is not None
    assert 0 < difference.max_rel < 2e-7
    assert products.compare(ms, again, rtol=difference.max_rel).verdict == "within-tolerance"
    assert products.compare(ms, again, rtol=difference.max_rel / 2).verdict == "differs"
    assert products.compare(ms, again, atol=difference.max_abs).verdict == "within-tolerance"
    recorded = products.compare_with_record(ms, again, rtol=1e-6)
    assert recorded.verdict == "within-tolerance"
    assert "1 of 880 values differs" in recorded.note
    assert products.compare_with_record(ms, again).verdict == "differs"


def test_changed_solutions_are_measured(products: Products, caltable: Path, tmp_path: Path) -> None:
    again = copy(caltable, tmp_path)
    products.change_table(again, "c = t.getcol('CPARAM'); t.putcol('CPARAM', c * np.complex64(1 + 1e-4))")
    difference = only(products.compare(caltable, again))
    assert difference.path == "CPARAM"
    assert difference.max_rel == pytest.approx(1e-4, rel=1e-2)
    sampled = only(products.compare_with_record(caltable, again))
    assert sampled.max_rel == pytest.approx(1e-4, rel=1e-2)
    assert products.compare(caltable, again, rtol=2e-4).verdict == "within-tolerance"
    undecided = products.compare_with_record(caltable, again, rtol=2e-4)
    assert undecided.verdict == "not-verifiable"
    assert "CPARAM: The values differ by an rms of" in undecided.note
    assert "the original itself would decide" in undecided.note
    # A single difference is seen from 0.0056 on; solutions have an amplitude of 0.98.
    assert products.compare_with_record(caltable, again, rtol=5.6e-3).verdict == "not-verifiable"
    assert products.compare_with_record(caltable, again, rtol=5.8e-3).verdict == "within-tolerance"
    assert products.compare_with_record(caltable, again, rtol=5e-5).verdict == "differs"


def test_one_pixel_is_found_and_placed(products: Products, image: Path, tmp_path: Path) -> None:
    again = copy(image, tmp_path)
    products.change_table(again, "m = t.getcell('map', 0); m[0, 0, 10, 20] += 0.5; t.putcell('map', 0, m)")
    difference = only(products.compare(image, again))
    assert (difference.path, difference.cells) == ("map", 1)
    assert "in row 0 at [20, 10, 0, 0]" in difference.what
    assert difference.max_abs == pytest.approx(0.5, rel=1e-5)


def test_changed_keywords_are_told_with_both_values(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again, "t.putkeyword('MS_VERSION', np.float32(3)); t.putkeyword('NOTE', 'hello')")
    products.change_table(again, "t.putcolkeyword('DATA', 'UNIT', 'K')")
    found = {item.path: item.what for item in products.compare(ms, again).differences}
    assert found.keys() == {"keywords/MS_VERSION", "keywords/NOTE", "DATA/keywords/UNIT"}
    assert found["keywords/MS_VERSION"] == "The keyword is 3.0 instead of 2.0."
    assert found["keywords/NOTE"] == "The keyword is new; it is 'hello'."
    recorded = {item.path: item.what for item in products.compare_with_record(ms, again).differences}
    assert recorded == found


def test_added_row_is_told(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again, "t.addrows(1)")
    comparison = products.compare(ms, again)
    assert comparison.differences == (
        Difference("rows", "The table has 41 rows instead of 40, 1 more."),
    )  # the rows that both have are the same
    assert products.compare_with_record(ms, again).differences[0] == comparison.differences[0]
    assert products.compare(again, ms).differences[0].what == "The table has 40 rows instead of 41, 1 fewer."


def test_sub_tables_are_compared(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again / "ANTENNA", "p = t.getcell('POSITION', 1); p[2] += 1.5; t.putcell('POSITION', 1, p)")
    difference = only(products.compare(ms, again))
    assert (difference.path, difference.cells) == ("ANTENNA/POSITION", 1)
    assert difference.max_abs == pytest.approx(1.5)
    recorded = only(products.compare_with_record(ms, again))
    assert recorded.path == "ANTENNA/POSITION"
    products.change_table(again, "t.removekeyword('ANTENNA')")
    assert "ANTENNA" in {item.path for item in products.compare(ms, again).differences}


def test_history_does_not_count(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again / "HISTORY", "t.addrows(1); t.putcell('MESSAGE', t.nrows() - 1, 'looked at it')")
    assert products.compare(ms, again).verdict == "same-content"
    assert products.compare_with_record(ms, again).verdict == "same-content"


def test_missing_and_new_columns_are_told(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again, "t.removecols('EXPOSURE')")
    products.change_table(again, "t.renamecol('ARRAY_ID', 'ARRAYS')")
    for comparison in (products.compare(ms, again), products.compare_with_record(ms, again)):
        assert {item.path: item.what for item in comparison.differences} == {
            "EXPOSURE": "The column EXPOSURE is missing.",
            "ARRAY_ID": "The column ARRAY_ID is missing.",
            "ARRAYS": "The column ARRAYS is new.",
        }


def test_changed_shapes_and_strings_are_told(products: Products, ms: Path, tmp_path: Path) -> None:
    again = copy(ms, tmp_path)
    products.change_table(again / "SPECTRAL_WINDOW", "t.putcell('CHAN_FREQ', 0, t.getcell('CHAN_FREQ', 0)[:-1])")
    products.change_table(again / "ANTENNA", "t.putcell('NAME', 0, 'XX99')")
    found = {item.path: item for item in products.compare(ms, again, rtol=1).differences}
    assert found.keys() == {"SPECTRAL_WINDOW/CHAN_FREQ", "ANTENNA/NAME"}
    assert "1 cell has another shape" in found["SPECTRAL_WINDOW/CHAN_FREQ"].what
    assert "'XX99' instead of" in found["ANTENNA/NAME"].what
    assert not any(item.within for item in found.values())
    assert {item.path for item in products.compare_with_record(ms, again, rtol=1).differences} == found.keys()


def test_fits_cards_and_values_are_told(products: Products, uvfits: Path, tmp_path: Path) -> None:
    again = copy(uvfits, tmp_path)
    products.change_fits(again, "hdus[0].header['OBJECT'] = 'M31'; hdus[0].header['DATE'] = '2026-01-01'")
    difference = only(products.compare(uvfits, again))
    assert difference.path == "hdu 0 header/OBJECT"
    assert difference.what.startswith("The card is 'M31' instead of ")
    assert only(products.compare_with_record(uvfits, again)).path == "hdu 0 header"


def test_fits_file_with_another_date_has_the_same_content(products: Products, uvfits: Path, tmp_path: Path) -> None:
    again = copy(uvfits, tmp_path)
    assert products.compare(uvfits, again) == Comparison("identical")
    assert products.compare_with_record(uvfits, again) == Comparison("identical")
    products.change_fits(again, "hdus[0].header['DATE'] = '2026-01-01'")
    assert products.compare(uvfits, again) == Comparison("same-content")
    assert products.compare_with_record(uvfits, again) == Comparison("same-content")


def test_one_fits_value_is_found(products: Products, uvfits: Path, tmp_path: Path) -> None:
    again = copy(uvfits, tmp_path)
    header = uvfits.read_bytes().index(b"END" + 77 * b" ")
    place = (header // 2880 + 1) * 2880 + 4 * 1000
    stored = bytearray(again.read_bytes())
    stored[place + 3] ^= 1  # the last bit of value 1000 of the primary array
    again.write_bytes(stored)
    difference = only(products.compare(uvfits, again))
    assert (difference.path, difference.cells) == ("hdu 0 data", 1)
    assert difference.max_rel is not None
    assert products.compare(uvfits, again, rtol=1e-6).verdict == "within-tolerance"
    assert only(products.compare_with_record(uvfits, again)).path == "hdu 0 data"


def test_directories_are_compared_by_member(products: Products, ms: Path, tmp_path: Path) -> None:
    left = tmp_path / "flagversions"
    left.mkdir()
    shutil.copytree(ms / "FIELD", left / "flags.one")
    (left / "FLAG_VERSION_LIST").write_text("one : flagdata autosave on 2026-01-01 10:00:00\n")
    (left / "notes.txt").write_text("first\nsecond\n")
    again = copy(left, tmp_path)
    (again / "FLAG_VERSION_LIST").write_text("one : flagdata autosave on 2026-02-02 11:11:11\n")
    (again / ".DS_Store").write_bytes(b"x")
    assert products.compare(left, again).verdict == "same-content"
    assert products.compare_with_record(left, again).verdict == "same-content"
    (again / "notes.txt").write_text("first\n2nd\n")
    (again / "new.txt").write_text("")
    products.change_table(again / "flags.one", "t.putcell('NAME', 0, 'nobody')")
    found = {item.path: item.what for item in products.compare(left, again).differences}
    assert found.keys() == {"notes.txt/line 2", "new.txt", "flags.one/NAME"}
    assert found["notes.txt/line 2"] == r"The line is '2nd\n' instead of 'second\n'."
    recorded = {item.path for item in products.compare_with_record(left, again).differences}
    assert recorded == {"notes.txt", "new.txt", "flags.one"}


def test_different_kinds_differ(products: Products, ms: Path, uvfits: Path) -> None:
    assert only(products.compare(ms, uvfits)).what == "This is a FITS file instead of a table."
    assert only(products.compare_with_record(ms, uvfits)).what == "This is a FITS instead of a MeasurementSet."


def test_what_is_not_there_or_damaged_ends_in_a_sentence(products: Products, ms: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing at .*nowhere\.ms"):
        products.compare(ms, tmp_path / "nowhere.ms")
    again = copy(ms, tmp_path)
    (again / "table.dat").write_bytes((again / "table.dat").read_bytes()[:100])
    with pytest.raises(UsageError, match="cannot be compared"):
        products.compare(ms, again)
