"""Tables drawn by hypothesis, and written by python-casacore in any layout that can hold them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from casacore import tables as casacore
from hypothesis import strategies as st

NUMBERS = {
    "uchar": "uint8", "short": "int16", "int": "int32", "uint": "uint32", "int64": "int64",
    "float": "float32", "double": "float64", "complex": "complex64", "dcomplex": "complex128",
}  # fmt: skip
"""Types of numbers that tables hold, and numpy's names of them."""

TYPES = (*NUMBERS, "boolean", "string")
TEXTS = ("", "a", "3C286", "é", "日本", "𝄞", " spaces ", "two\nlines", "x" * 300)

Cell = np.ndarray[Any, Any] | None
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ColumnSpec:
    """A column: its cells in numpy's axis order, undefined ones None.

    Attributes
    ----------
    layout
        ``scalar``, ``fixed`` (one shape for all cells) or ``variable``.
    """

    name: str
    type: str
    layout: str
    cells: tuple[Cell, ...]

    @property
    def managers(self) -> tuple[str, ...]:
        """Storage managers that can hold the column."""
        found = ["StandardStMan"]
        whole = all(cell is not None for cell in self.cells)
        if self.type != "int64":
            found.append("StManAipsIO")
        # It stores what differs from the row before: no undefined cell after a value, no minus zero after a zero.
        if whole and self.layout == "scalar" and not any(_minus_zero(cell) for cell in self.cells):
            found.append("IncrementalStMan")
        if self.layout == "scalar" or self.type in ("string", "int64"):
            return tuple(found)
        if any(cell is not None and cell.size == 0 for cell in self.cells):
            return tuple(found)
        dimensions = {cell.ndim for cell in self.cells if cell is not None}
        if self.layout == "fixed":
            return (*found, "TiledColumnStMan")
        return (*found, "TiledShapeStMan", "TiledCellStMan") if len(dimensions) == 1 else tuple(found)

    @property
    def ndim(self) -> int:
        """Axes of a cell, -1 for any."""
        dimensions = {cell.ndim for cell in self.cells if cell is not None}
        return dimensions.pop() if len(dimensions) == 1 else -1


@dataclass(frozen=True)
class TableSpec:
    """What a table holds."""

    rows: int
    columns: tuple[ColumnSpec, ...]
    keywords: dict[str, Any] = field(default_factory=dict)

    def with_rows(self, order: list[int]) -> TableSpec:
        """Return the table with its rows in another order."""
        columns = tuple(replace(c, cells=tuple(c.cells[row] for row in order)) for c in self.columns)
        return replace(self, columns=columns)

    def with_cell(self, place: int, row: int, cell: Cell) -> TableSpec:
        """Return the table with another cell."""
        column = self.columns[place]
        changed = replace(column, cells=(*column.cells[:row], cell, *column.cells[row + 1 :]))
        return replace(self, columns=(*self.columns[:place], changed, *self.columns[place + 1 :]))


@dataclass(frozen=True)
class Layout:
    """How a table is stored; by default as simply as can be."""

    name: str = "a.tab"
    order: tuple[int, ...] = ()
    managers: tuple[str, ...] = ()
    tile: int = 3
    endian: str = "local"
    readme: str = ""
    bucket: int = 0


def cells_of(kind: str, shape: Shape) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Cells of one shape and type, with any bits."""
    size = math.prod(shape)
    if kind == "string":
        texts = st.lists(st.sampled_from(TEXTS), min_size=size, max_size=size)
        return texts.map(lambda t: np.array(t, dtype=object).reshape(shape))
    if kind == "boolean":
        return st.lists(st.booleans(), min_size=size, max_size=size).map(lambda b: np.array(b, bool).reshape(shape))
    dtype = np.dtype(NUMBERS[kind])
    length = size * dtype.itemsize
    return st.binary(min_size=length, max_size=length).map(lambda b: np.frombuffer(b, dtype).reshape(shape))


def _minus_zero(cell: Cell) -> bool:
    if cell is None or cell.dtype.kind not in "fc":
        return False
    parts = cell.reshape(-1).view(cell.real.dtype)
    return bool(((parts == 0) & np.signbit(parts)).any())


SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=5).map(tuple)


@st.composite
def columns(draw: st.DrawFn, name: str, rows: int, types: tuple[str, ...] = TYPES) -> ColumnSpec:
    """A column of any type and layout."""
    kind = draw(st.sampled_from(types))
    layout = draw(st.sampled_from(("scalar", "fixed", "variable")))
    if layout == "variable":
        shapes = draw(st.lists(st.none() | SHAPES | st.just((0, 2)), min_size=rows, max_size=rows))
    else:
        shapes = [() if layout == "scalar" else draw(SHAPES)] * rows
    cells = tuple(None if shape is None else draw(cells_of(kind, shape)) for shape in shapes)
    return ColumnSpec(name, kind, layout, cells)


@st.composite
def tables(draw: st.DrawFn, *, min_rows: int = 0, types: tuple[str, ...] = TYPES) -> TableSpec:
    """A small table of one to four columns."""
    rows = draw(st.integers(min_rows, 5))
    count = draw(st.integers(1, 4))
    return TableSpec(rows, tuple(draw(columns(f"C{place}", rows, types)) for place in range(count)))


@st.composite
def layouts(draw: st.DrawFn, spec: TableSpec) -> Layout:
    """Any way in which a table can be stored."""
    return Layout(
        name=draw(st.sampled_from(("b.tab", "elsewhere/deep/x.ms", "Müller.image"))),
        order=tuple(draw(st.permutations(range(len(spec.columns))))),
        managers=tuple(draw(st.sampled_from(column.managers)) for column in spec.columns),
        tile=draw(st.integers(1, 4)),
        endian=draw(st.sampled_from(("big", "little", "local"))),
        readme=draw(st.sampled_from(("", "written at night"))),
        bucket=draw(st.sampled_from((0, 512, 4096))),
    )


@contextmanager
def written(spec: TableSpec, layout: Layout | None = None) -> Iterator[Path]:
    """Write a table into a folder that is removed afterwards."""
    with TemporaryDirectory() as folder:
        yield write(Path(folder), spec, layout or Layout())


def write(folder: Path, spec: TableSpec, layout: Layout) -> Path:
    """Write a table; return its path."""
    path = folder / layout.name
    path.parent.mkdir(parents=True, exist_ok=True)
    order = layout.order or range(len(spec.columns))
    managers = layout.managers or ["StandardStMan"] * len(spec.columns)
    described = casacore.maketabdesc([_description(spec.columns[place]) for place in order])
    held = {f"*{place}": _manager(spec.columns[place], managers[place], layout) for place in order}
    with casacore.table(str(path), described, nrow=spec.rows, ack=False, dminfo=held, endian=layout.endian) as table:
        for column in spec.columns:
            _fill(table, column)
        table.putinfo({"type": "Measurement Set", "subType": "", "readme": layout.readme})
        table.putkeywords(spec.keywords)
    return path


def _description(column: ColumnSpec) -> Any:
    start: Any = {"string": "", "boolean": False}.get(column.type, 0)
    if column.layout == "scalar":
        return casacore.makescacoldesc(column.name, start, valuetype=column.type)
    if column.layout == "fixed":
        shape = list(column.cells[0].shape) if column.cells and column.cells[0] is not None else [2]
        return casacore.makearrcoldesc(column.name, start, shape=shape, valuetype=column.type)
    return casacore.makearrcoldesc(column.name, start, ndim=column.ndim, valuetype=column.type)


def _manager(column: ColumnSpec, kind: str, layout: Layout) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if kind.startswith("Tiled"):
        axes = (column.ndim if column.ndim > 0 else 1) + (kind != "TiledCellStMan")
        spec["DEFAULTTILESHAPE"] = [layout.tile] * axes
    elif kind in ("StandardStMan", "IncrementalStMan") and layout.bucket:
        spec["BUCKETSIZE"] = layout.bucket
    return {"NAME": f"M{column.name}", "TYPE": kind, "COLUMNS": [column.name], "SPEC": spec}


def _fill(table: Any, column: ColumnSpec) -> None:
    if column.layout == "scalar" and column.cells:
        values = np.stack([cell for cell in column.cells if cell is not None])
        table.putcol(column.name, values.tolist() if column.type == "string" else values)
        return
    if len(column.cells) > 1000:  # much faster than cell by cell
        table.putcol(column.name, np.stack([cell for cell in column.cells if cell is not None]))
        return
    for row, cell in enumerate(column.cells):
        if cell is not None:
            table.putcell(column.name, row, _given(cell))


def _given(cell: np.ndarray[Any, Any]) -> Any:
    """Return a cell as python-casacore takes it: arrays of strings in their own way."""
    if cell.dtype != object:
        return cell
    return cell.tolist() if cell.ndim == 1 else {"shape": list(cell.shape), "array": cell.ravel().tolist()}


def model_table(folder: Path, name: str = "FT_MODEL5099_41", *, noise: int = 277, flux: float = 2.5) -> Path:
    """A table with a virtual model in a column of records and one of two terms in its keywords; all name images in its folder."""

    def machine(image: str) -> dict[str, Any]:
        arrays = {"flags": np.array([True]), "planes": np.array([[1, 2, 3]]), "cf": np.array([0.5 + 1j, np.nan])}
        inner = {"diskimage": f"/data/a.ms/SOURCE/{image}", "nantenna": noise, "cachesize": noise, "name": "GridFT"}
        return {**inner, **arrays, "freqs": np.array([1.4e9]), "none": np.zeros((0, 2)), "units": ["Hz"]}

    terms = {
        "name": "MultiTermFT",
        "nx": noise,
        "douvwrotation": noise > 64,
        "nterms": 2,
        "subftm": machine(f"{name}_7"),
    }
    path = write(folder, TableSpec(2, (), {"model_0": {"ft_0": {"container": terms}, "numft": 1}}), Layout("SOURCE"))
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.addcols(casacore.maketabdesc([casacore.makescacoldesc("SOURCE_MODEL", {}, valuetype="record")]))
        table.putcell("SOURCE_MODEL", 1, {"ft_0": {"container": machine(name), "type": "ftmachine"}, "numft": 1})
    for image, value in ((name, flux), (f"{name}_7", 1.0)):
        write(path, TableSpec(1, (ColumnSpec("map", "double", "scalar", (np.array(value),)),)), Layout(image))
    return path
