"""The digest of any table: what never changes it, and what always does.

The tables are drawn by hypothesis and written by python-casacore. Measured is
the product, through nothing but the public function.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from casaprov.digests.measurement import measure
from casaprov.hashing import BLOCK_BYTES
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from sample_tables import NUMBERS, TYPES, ColumnSpec, Layout, TableSpec, cells_of, layouts, tables, written

FEW, SOME = settings(max_examples=12), settings(max_examples=40)
MANAGERS = ("StandardStMan", "IncrementalStMan", "StManAipsIO", "TiledColumnStMan", "TiledShapeStMan", "TiledCellStMan")


def _node(path: Path) -> dict[str, Any]:
    tree = measure(path, CasacoreReader, fits_reader).tree
    assert tree is not None
    node: dict[str, Any] = tree["table"]
    return node


def _digest(spec: TableSpec, layout: Layout | None = None) -> str:
    with written(spec, layout) as path:
        return str(_node(path)["digest"])


def _changed(one: TableSpec, other: TableSpec) -> list[str]:
    """Names of the columns whose digests differ; those of the tables differ if there are any, and else not."""
    with written(one) as first, written(other) as second:
        before, after = _node(first), _node(second)
    found = [name for name, column in before["columns"].items() if column["digest"] != after["columns"][name]["digest"]]
    assert (before["digest"] != after["digest"]) == bool(found)
    return found


# -- what never changes a digest ---------------------------------------------------


@SOME
@given(st.data())
def test_a_table_has_one_digest_however_it_is_stored(data: st.DataObject) -> None:
    spec = data.draw(tables())
    assert _digest(spec, data.draw(layouts(spec))) == _digest(spec)


@pytest.mark.parametrize("holes", [(), (0,), (2,), (0, 2)])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1)])
def test_cells_of_one_shape_have_one_digest_whether_or_not_their_manager_tells_it(
    shape: tuple[int, ...], holes: tuple[int, ...]
) -> None:
    cells = tuple(None if row in holes else np.full(shape, 1.5 * row) for row in range(3))
    spec = TableSpec(3, (ColumnSpec("A", "double", "variable", cells),))
    others = [Layout(managers=(manager,)) for manager in ("TiledShapeStMan", "TiledCellStMan", "StManAipsIO")]
    assert {_digest(spec, layout) for layout in others} == {_digest(spec)}


def _one_column(kind: str, layout: str) -> TableSpec:
    rng = np.random.default_rng(7)
    shape = () if layout == "scalar" else (4, 3)
    if kind == "string":
        cells = [np.array(rng.choice(["x", "", "é"], shape), dtype=object).reshape(shape) for _ in range(40)]
    elif kind == "boolean":
        cells = [np.array(rng.random(shape) > 0.5) for _ in range(40)]
    else:
        size = int(np.prod(shape)) * np.dtype(NUMBERS[kind]).itemsize
        cells = [np.frombuffer(rng.bytes(size), NUMBERS[kind]).reshape(shape) for _ in range(40)]
    return TableSpec(40, (ColumnSpec("A", kind, layout, tuple(cells)),))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("layout", ["scalar", "fixed", "variable"])
def test_each_storage_manager_that_holds_a_type_gives_the_same_digest(kind: str, layout: str) -> None:
    spec = _one_column(kind, layout)
    stored = [
        Layout(managers=(manager,), endian=endian, tile=tile, bucket=bucket)
        for manager in spec.columns[0].managers
        for endian in ("big", "little")
        for tile, bucket in ((1, 512), (4, 0))
    ]
    assert len({_digest(spec, layout) for layout in stored}) == 1


def test_the_storage_managers_of_these_tests_are_those_of_casacore() -> None:
    reached = {
        m
        for kind in TYPES
        for layout in ("scalar", "fixed", "variable")
        for m in _one_column(kind, layout).columns[0].managers
    }
    assert reached == set(MANAGERS)


@FEW
@given(tables(min_rows=1), st.text(max_size=50), st.binary(max_size=50))
def test_what_lies_beside_the_data_does_not_count(spec: TableSpec, text: str, data: bytes) -> None:
    with written(spec) as path:
        before = _node(path)
        with casacore.table(str(path), readonly=False, ack=False) as table:
            table.putinfo({"type": "Measurement Set", "subType": "", "readme": text.replace("\0", "")})
            for name in ("HISTORY", "logtable"):
                described = casacore.maketabdesc([casacore.makescacoldesc("MESSAGE", "")])
                with casacore.table(str(path / name), described, nrow=1, ack=False) as history:
                    history.putcell("MESSAGE", 0, text.replace("\0", ""))
                table.putkeyword(name, f"Table: {path / name}")
        for name in ("table.lock", ".DS_Store", "._table.dat"):
            (path / name).write_bytes(data)
        assert _node(path) == before


# -- what always does ---------------------------------------------------------------


@SOME
@given(st.data())
def test_rows_in_another_order_are_another_table(data: st.DataObject) -> None:
    spec = data.draw(tables(min_rows=2))
    other = spec.with_rows(data.draw(st.permutations(range(spec.rows))))
    moved = [a.name for a, b in zip(spec.columns, other.columns, strict=True) if not _alike(a, b)]
    assert _changed(spec, other) == moved


def _alike(one: ColumnSpec, other: ColumnSpec) -> bool:
    return [_bits(cell) for cell in one.cells] == [_bits(cell) for cell in other.cells]


def _bits(cell: np.ndarray[Any, Any] | None) -> Any:
    if cell is None or cell.dtype == object:
        return cell if cell is None else (cell.shape, cell.ravel().tolist())
    return cell.shape, cell.tobytes()


@pytest.mark.parametrize("kind", TYPES)
@FEW
@given(data=st.data())
def test_one_bit_of_one_value_of_any_type_counts(kind: str, data: st.DataObject) -> None:
    spec = data.draw(tables(min_rows=1, types=(kind,)))
    place, row = data.draw(st.integers(0, len(spec.columns) - 1)), data.draw(st.integers(0, spec.rows - 1))
    cell = spec.columns[place].cells[row]
    assume(cell is not None and cell.size)
    assert cell is not None
    changed = _flipped(cell, data)
    assert _changed(spec, spec.with_cell(place, row, changed)) == [spec.columns[place].name]


def _flipped(cell: np.ndarray[Any, Any], data: st.DataObject) -> np.ndarray[Any, Any]:
    """Return a cell with one bit turned over, or another character in one of its strings."""
    changed = cell.copy()
    flat = changed.reshape(-1)
    index = data.draw(st.integers(0, flat.size - 1))
    if cell.dtype == object:
        flat[index] += "'"
    elif cell.dtype == bool:
        flat[index] ^= True
    else:
        words = flat.view(np.uint8)
        words[index * cell.itemsize + data.draw(st.integers(0, cell.itemsize - 1))] ^= 1 << data.draw(st.integers(0, 7))
    return flat.reshape(cell.shape)


PAIRS = {
    # What is compared as 32 and as 64 bits.
    "minus zero": ((1 << 31, 0), (1 << 63, 0)),
    "the smallest number": ((1, 0), (1, 0)),
    "payload of a NaN": ((0x7FC00001, 0x7FC00000), (0x7FF8 << 48 | 1, 0x7FF8 << 48)),
    "sign of a NaN": ((0xFFC00000, 0x7FC00000), (0xFFF8 << 48, 0x7FF8 << 48)),
    "a signalling NaN": ((0x7F800001, 0x7FC00001), (0x7FF0 << 48 | 1, 0x7FF8 << 48 | 1)),
}
# An incremental manager stores what differs from the row before: it keeps no minus zero after a zero.
BITS = [(what, manager) for what in PAIRS for manager in MANAGERS if (what, manager) != ("minus zero", MANAGERS[1])]


@pytest.mark.parametrize("kind", ["float", "double", "complex", "dcomplex"])
@pytest.mark.parametrize(("what", "manager"), BITS)
def test_numbers_that_compare_equal_or_as_nothing_are_told_apart(what: str, manager: str, kind: str) -> None:
    layout = {"TiledColumnStMan": "fixed", "TiledShapeStMan": "variable", "TiledCellStMan": "variable"}.get(
        manager, "scalar"
    )
    wide = kind in ("double", "dcomplex")
    digests = set()
    for bits in PAIRS[what][wide]:
        parts = np.array([bits, bits], np.uint64 if wide else np.uint32)
        cell = parts.view(NUMBERS[kind])[:1].reshape(() if layout == "scalar" else (1, 1))
        spec = TableSpec(3, (ColumnSpec("A", kind, layout, (cell,) * 3),))
        digests.add(_digest(spec, Layout(managers=(manager,))))
    assert len(digests) == 2


@SOME
@given(st.data())
def test_whether_a_cell_is_defined_and_its_shape_count(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(TYPES))
    shapes = (
        st.none()
        | st.just((0,))
        | st.just((0, 2))
        | st.just((2, 0))
        | st.just((1, 2))
        | st.just((2, 1))
        | st.just((2,))
    )
    one, other = data.draw(shapes), data.draw(shapes)
    values = data.draw(cells_of(kind, (2,)))

    def table(shape: tuple[int, ...] | None) -> TableSpec:
        cell = None if shape is None else values[: int(np.prod(shape))].reshape(shape)
        first = values[:1].reshape(1, 1, 1)  # axes of any number
        return TableSpec(3, (ColumnSpec("A", kind, "variable", (first, cell, first)),))

    assert (_digest(table(one)) == _digest(table(other))) == (one == other)


@pytest.mark.parametrize("kind", TYPES)
def test_tables_without_rows_differ_by_the_types_and_names_of_their_columns(kind: str) -> None:
    empty = [TableSpec(0, (ColumnSpec(name, kind, "variable", ()),)) for name in ("A", "B")]
    others = [TableSpec(0, (ColumnSpec("A", other, "variable", ()),)) for other in TYPES if other != kind]
    assert len({_digest(spec) for spec in (*empty, *others)}) == 1 + len(TYPES)
    # Neither has values: how a cell would look is not content.
    assert _digest(TableSpec(0, (ColumnSpec("A", kind, "scalar", ()),))) == _digest(empty[0])


def test_a_table_without_columns_has_a_digest_by_its_rows() -> None:
    assert len({_digest(TableSpec(rows, ())) for rows in (0, 1, 2)}) == 3


@pytest.mark.parametrize(
    ("one", "other"), [("ab", "a"), ("", " "), ("é", "e\u0301"), ("x" * 70_000, "x" * 70_001), ("𝄞", "𝄢")]
)
def test_texts_that_differ_are_told_apart(one: str, other: str) -> None:
    def digest(text: str) -> str:
        cell = np.array([text, "b"], dtype=object)
        return _digest(TableSpec(1, (ColumnSpec("A", "string", "variable", (cell,)),)))

    assert digest(one) != digest(other)


def test_the_end_of_one_text_is_not_the_start_of_the_next() -> None:
    cells = [np.array(texts, dtype=object) for texts in (["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"])]
    assert len({_digest(TableSpec(1, (ColumnSpec("A", "string", "variable", (cell,)),))) for cell in cells}) == 4


def test_a_text_ends_at_its_first_nul() -> None:
    def digest(text: str) -> str:
        cell = np.array(text, dtype=object)
        return _digest(TableSpec(2, (ColumnSpec("A", "string", "scalar", (cell, cell)),)))

    assert digest("a\0b") == digest("a\0\0") == digest("a") != digest("")


# -- blocks ----------------------------------------------------------------------------


def _long(rows: int, cell: tuple[int, ...], change: Callable[[np.ndarray[Any, Any]], None]) -> TableSpec:
    values = np.arange(rows * np.prod(cell), dtype="float32").reshape(rows, *cell)
    change(values)
    return TableSpec(rows, (ColumnSpec("A", "float", "variable", tuple(values)),))


def _nothing(values: np.ndarray[Any, Any]) -> None:
    """Change nothing."""


def _last(values: np.ndarray[Any, Any]) -> None:
    values.reshape(-1)[-1] = -1


def _at_the_edge(values: np.ndarray[Any, Any]) -> None:
    values.reshape(-1)[BLOCK_BYTES // 4] = -1


@pytest.mark.parametrize("cell", [(5, 100, 1000), (3, 7)], ids=["large cells", "small cells"])
def test_values_longer_than_a_block_are_one_stream(cell: tuple[int, ...]) -> None:
    rows = int((BLOCK_BYTES + 2**20) // 4 // np.prod(cell)) + 1
    tiled = Layout(managers=("TiledShapeStMan",), tile=40, endian="big")
    whole = _long(rows, cell, _nothing)
    digests = {_digest(whole), _digest(whole, tiled)}
    assert len(digests) == 1
    digests |= {_digest(_long(rows, cell, change), tiled) for change in (_last, _at_the_edge)}
    assert len(digests) == 3
