"""Tables in FITS files: what a string is, and which columns differ by how much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from casaprov.comparison.products import Comparison, Tolerance, compare_paths, compare_trees
from casaprov.digests.fits import unit_node
from casaprov.digests.measurement import Measurement, measure
from casaprov.digests.tree import content_digest
from casaprov.errors import UsageError
from casaprov.formats.fits import Hdu
from casaprov.formats.fits_tables import Pieces, fits_table
from casaprov.formats.tables import TableReader
from casaprov.hashing import BlockHasher
from casaprov.readers.installed import fits_reader


def no_tables() -> TableReader:
    raise UsageError("There are no tables here.")


def measured(path: Path) -> Measurement:
    return measure(path, no_tables, fits_reader)


def compared(left: Path, right: Path, tolerance: Tolerance | None = None) -> Comparison:
    return compare_paths(left, right, reader=no_tables, fits=fits_reader, tolerance=tolerance or Tolerance())


def with_record(left: Path, right: Path) -> Comparison:
    before = measured(left)
    return compare_trees(before.tree, before.content_digest, before.byte_digest, measured(right), Tolerance())


def write(path: Path, *columns: fits.Column, rows: int | None = None) -> Path:
    table = fits.BinTableHDU.from_columns(list(columns), nrows=rows or 0, name="AIPS AN")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    return path


def antennas(path: Path, names: tuple[bytes, ...] = (b"VA01", b"VA02"), first: float = 1.0, form: str = "8A") -> Path:
    """Write an antenna table whose names are stored byte by byte as given."""
    size = int(form.partition("A")[0])
    blank = ["x" * size] * len(names)
    write(
        path,
        fits.Column("ANNAME", form, array=blank),
        fits.Column("STABXYZ", "3D", array=[[first, 2.0, 3.0]] * len(names)),
        fits.Column("NOSTA", "1J", array=range(len(names))),
    )
    stored = path.read_bytes()
    for name in names:
        stored = stored.replace(b"x" * size, name.ljust(size, b"\0"), 1)
    path.write_bytes(stored)
    return path


def test_what_follows_the_first_nul_of_a_string_does_not_count(tmp_path: Path) -> None:
    clean = antennas(tmp_path / "a.fits")
    rubbish = antennas(tmp_path / "b.fits", (b"VA01\0\x7fEL", b"VA02\0\0x\0"))
    assert measured(clean).byte_digest != measured(rubbish).byte_digest
    assert measured(clean).content_digest == measured(rubbish).content_digest
    assert compared(clean, rubbish) == Comparison("same-content")


def test_what_comes_before_it_counts_and_spaces_do(tmp_path: Path) -> None:
    digests = {
        measured(antennas(tmp_path / f"{number}.fits", names)).content_digest
        for number, names in enumerate([(b"VA01", b"VA02"), (b"VA01", b"VA03"), (b"VA01", b"VA02 "), (b"", b"VA02")])
    }
    assert len(digests) == 4


def test_each_string_of_an_array_ends_for_itself(tmp_path: Path) -> None:
    def stored(number: int, *texts: bytes) -> Path:
        path = tmp_path / f"{number}.fits"
        write(path, fits.Column("POLTY", "8A", dim="(4,2)", array=np.array([["xxxx", "yyyy"]])))
        path.write_bytes(path.read_bytes().replace(b"xxxxyyyy", b"".join(texts)))
        return path

    first, rubbish, other = (
        stored(0, b"R\0\0\0", b"L\0\0\0"),
        stored(1, b"R\0ab", b"L\0\0c"),
        stored(2, b"R\0ab", b"X\0\0c"),
    )
    assert measured(first).content_digest == measured(rubbish).content_digest
    assert measured(first).content_digest != measured(other).content_digest
    (difference,) = compared(rubbish, other).differences
    assert difference.what == "1 of 2 values differs; first in row 1, element 2: 'X' instead of 'L'."


def cards(form: str, **more: Any) -> list[tuple[str, Any]]:
    sizes = {"NAXIS1": 8, "NAXIS2": 1, "TFIELDS": 1, "TTYPE1": "T", "TFORM1": form}
    return [("XTENSION", "BINTABLE"), *sizes.items(), *more.items()]


@pytest.mark.parametrize(
    ("form", "more", "expected"),
    [
        ("8A", {}, b"R\0\0\0\0\0\0\0"),
        ("8A", {"TDIM1": "(4,2)"}, b"R\0\0\0L\0\0\0"),
        ("8A4", {}, b"R\0\0\0L\0\0\0"),
        ("8A:SSTR4", {}, b"R\0\0\0L\0\0\0"),
        ("8A:SSTR4/000", {}, b"R\0abL\0\0c"),
        ("8B", {}, b"R\0abL\0\0c"),
        ("8L", {}, b"R\0abL\0\0c"),
        ("2J", {}, b"R\0abL\0\0c"),
    ],
)
def test_strings_are_as_long_as_the_header_says(form: str, more: dict[str, str], expected: bytes) -> None:
    table = fits_table(cards(form, **more))
    assert table is not None
    (rows,) = table.pieces(Pieces(iter([b"R\0abL\0\0c"])))
    assert rows.tobytes() == expected


@pytest.mark.parametrize(
    ("form", "more"),
    [("8Z", {}), ("9A", {}), ("", {}), ("8A", {"NAXIS1": "8"}), ("8A", {"TFIELDS": 2}), ("999999999999A", {})],
)
def test_a_header_that_does_not_add_up_describes_no_table(form: str, more: dict[str, Any]) -> None:
    header = cards(form, **more)
    assert fits_table(header) is None
    stored = b"R\0abL\0\0c"
    hasher = BlockHasher()
    hasher.update(stored)
    assert unit_node(Hdu(name="T", cards=tuple(header), data=lambda: iter([stored]))).data == hasher.digest()


def test_a_table_without_strings_is_digested_as_its_bytes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.fits",
        fits.Column("FLUX", "3E", array=np.arange(30.0).reshape(10, 3)),
        fits.Column("WHO", "PJ()", array=np.array([np.arange(n) for n in range(10)], object)),
    )
    (_, hdu) = fits_reader().hdus(path)
    hasher = BlockHasher()
    for piece in hdu.data():
        hasher.update(piece)
    assert unit_node(hdu).data == hasher.digest()


def test_a_digest_does_not_depend_on_how_a_file_is_read(tmp_path: Path) -> None:
    path = antennas(tmp_path / "a.fits", tuple(b"VA%02d\0x" % n for n in range(50)))
    (_, hdu) = fits_reader().hdus(path)
    stored = b"".join(hdu.data())

    def in_sevens() -> Iterator[bytes]:
        return (stored[start : start + 7] for start in range(0, len(stored), 7))

    assert unit_node(Hdu(name=hdu.name, cards=hdu.cards, data=in_sevens)) == unit_node(hdu)


def test_the_columns_that_differ_are_named_with_how_far(tmp_path: Path) -> None:
    left = antennas(tmp_path / "a.fits")
    right = antennas(tmp_path / "b.fits", (b"VA01", b"VA99"), first=1.5)
    found = {item.path: item for item in compared(left, right).differences}
    assert found.keys() == {"hdu 1 data/ANNAME", "hdu 1 data/STABXYZ"}
    names, places = found.values()
    assert names.what == "1 of 2 values differs; first in row 2: 'VA99' instead of 'VA02'."
    assert (places.cells, places.of, places.max_abs) == (2, 6, 0.5)
    assert "first in row 1, element 1: 1.5 instead of 1.0" in places.what
    assert compared(left, antennas(tmp_path / "c.fits", first=1.5), Tolerance(atol=0.5)).verdict == "within-tolerance"


def test_a_record_names_the_columns_that_differ(tmp_path: Path) -> None:
    left = antennas(tmp_path / "a.fits")
    right = antennas(tmp_path / "b.fits", (b"VA01", b"VA99"), first=1.5)
    found = {item.path: item for item in with_record(left, right).differences}
    assert found.keys() == {"hdu 1 data/ANNAME", "hdu 1 data/STABXYZ"}
    assert found["hdu 1 data/STABXYZ"].max_abs == 0.5
    tree = measured(left).tree
    assert tree is not None
    assert content_digest(tree) == measured(left).content_digest


def test_a_record_without_columns_can_still_be_compared(tmp_path: Path) -> None:
    before, now = measured(antennas(tmp_path / "a.fits")), measured(antennas(tmp_path / "b.fits", first=2.0))
    assert before.tree is not None
    old = {**before.tree, "hdus": [{k: v for k, v in hdu.items() if k != "columns"} for hdu in before.tree["hdus"]]}
    (difference,) = compare_trees(old, before.content_digest, None, now, Tolerance()).differences
    assert difference.path == "hdu 1 data"


def test_other_columns_rows_and_heaps_are_told(tmp_path: Path) -> None:
    def table(name: str, rows: int, last: int, *more: fits.Column) -> Path:
        heap = np.array([np.array([1, last])] * rows, object)
        return write(
            tmp_path / name,
            fits.Column("WHO", "PJ(2)", array=heap),
            fits.Column("N", "1J", array=[1] * rows),
            *more,
        )

    left = table("a.fits", 3, 2)
    (difference,) = [d for d in compared(left, table("b.fits", 3, 9)).differences if "data" in d.path]
    assert difference.path == "hdu 1 data/heap"
    (recorded,) = [d for d in with_record(left, tmp_path / "b.fits").differences if "data" in d.path]
    assert recorded.path == "hdu 1 data/heap"
    longer = table("c.fits", 5, 2, fits.Column("NEW", "1E", array=[0.0] * 5))
    found = {d.path: d.what for d in compared(left, longer).differences if "data" in d.path}
    assert found["hdu 1 data/NEW"] == "The column NEW is new."
    assert found["hdu 1 data/rows"] == "The table has 5 rows instead of 3."
    assert {d.path for d in compared(longer, left).differences} >= {"hdu 1 data/NEW", "hdu 1 data/rows"}


def test_tables_of_text_are_compared_by_column(tmp_path: Path) -> None:
    for name, value in (("a", 1.5), ("b", 2.5)):
        columns = [fits.Column("NAME", "A4", array=["one", "two"]), fits.Column("X", "F6.2", array=[value, 3.0])]
        fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(tmp_path / f"{name}.fits")
    (difference,) = compared(tmp_path / "a.fits", tmp_path / "b.fits").differences
    assert (difference.path, difference.cells) == ("hdu 1 data/X", 1)
