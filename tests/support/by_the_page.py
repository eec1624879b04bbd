"""The digest protocol written a second time, from docs/explanation/digests.md alone.

Nothing of casaprov is used: hashlib and json hash, python-casacore and astropy read.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from casacore.tables import table as open_table

TYPES = {
    "boolean": "bool", "uchar": "uint8", "short": "int16", "int": "int32", "uint": "uint32", "int64": "int64",
    "float": "float32", "double": "float64", "complex": "complex64", "dcomplex": "complex128",
    "string": "string", "record": "record",
}  # fmt: skip
NOTES = {"memavail", "memreq", "chnchnks", "mpiprocs"}
CARDS = {"DATE", "DATE-MAP", "ORIGIN", "HISTORY", "COMMENT", "", "CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM"}
SAVED = re.compile(rb" on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[ \t]*$", re.MULTILINE)


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def H(*members: Any) -> str:  # noqa: N802 - as the page writes it
    return "sha256:" + hashlib.sha256(canonical(members)).hexdigest()


def B(stream: bytes) -> str:  # noqa: N802 - likewise
    blocks = [stream[start : start + 16_777_216] for start in range(0, len(stream), 16_777_216)]
    return H("casaprov/values/1", len(stream), [hashlib.sha256(block).hexdigest() for block in blocks])


def product(path: Path) -> str:
    """Digest of anything."""
    if (path / "table.dat").is_file():
        return table(path)
    if path.is_dir():
        return H("casaprov/directory/1", dict(members(path, path)))
    data = path.read_bytes()
    return fits_file(path, data) if data.startswith(b"SIMPLE  =") else "sha256:" + hashlib.sha256(data).hexdigest()


def members(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        if path.name in (".DS_Store", "table.lock") or path.name.startswith("._"):
            continue
        if path.is_symlink() and (path.is_dir() or not path.exists()):
            yield name, H("casaprov/link/1", path.readlink().name)
        elif path.name == "FLAG_VERSION_LIST":
            yield name, "sha256:" + hashlib.sha256(SAVED.sub(b"", path.read_bytes())).hexdigest()
        elif path.is_dir() and not (path / "table.dat").is_file():
            yield from members(path, root)
        else:
            yield name, product(path)


def table(path: Path, above: tuple[Path, ...] = ()) -> str:
    opened = open_table(str(path), ack=False)
    kind, subtype, rows = opened.info()["type"], opened.info()["subType"], opened.nrows()
    keywords = {k: v for k, v in opened.getkeywords().items() if not (k in ("HISTORY", "logtable") and is_reference(v))}
    if kind == "Calibration":
        keywords.pop("CASA_Version", None)
        if isinstance(keywords.get("MSName"), str):
            keywords["MSName"] = last_name(keywords["MSName"])
    if kind == "Image" and isinstance(keywords.get("miscinfo"), dict):
        keywords["miscinfo"] = {k: v for k, v in keywords["miscinfo"].items() if k not in NOTES}
    columns = {name: column(opened, name) for name in opened.colnames()}
    images = [(name, path / image) for name, image in images_of(keywords)]
    for name in opened.colnames():
        if opened.getcoldesc(name)["valueType"] == "record":
            for row in range(rows):
                images += [(f"{name}/{row}/{at}", path / image) for at, image in images_of(opened.getcell(name, row))]
    opened.close()
    line = (*above, path.resolve())
    tables = {
        name: table(sub, line) if (sub / "table.dat").is_file() and sub.resolve() not in line else None
        for name, sub in (*references(keywords), *images)
    }
    if images_of(keywords):
        digest = H("casaprov/keywords/2", model(keywords))
    else:
        digest = H("casaprov/keywords/1", encoded(keywords))
    return H("casaprov/table/1", kind, subtype, rows, digest, columns, tables)


def images_of(record: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Places of ``diskimage`` in a record, and last names of what they name."""
    inner = [images_of(value, f"{prefix}{name}/") for name, value in record.items() if isinstance(value, dict)]
    named = record.get("diskimage")
    own = [(f"{prefix}diskimage", last_name(named))] if isinstance(named, str) and named else []
    return [*own, *(found for several in inner for found in several)]


NOISE = {"diskimage", "nantenna", "cachesize"}
OF_TERMS = {"name", "nterms", "reffreq", "subftm", "subftname", "thisterm"}


def model(record: dict[str, Any]) -> list[Any]:
    """A record with virtual models, encoded."""

    def names(value: Any) -> bool:
        return isinstance(value, dict) and isinstance(value.get("diskimage"), str) and value["diskimage"] != ""

    members: dict[str, Any] = {}
    for name, value in record.items():
        if name not in OF_TERMS if names(record.get("subftm")) else name in NOISE and names(record):
            continue
        if isinstance(value, dict) and set(value) != {"shape", "array"}:
            members[name] = model(value)
        elif isinstance(value, np.ndarray) and value.size:
            tag = encoded(value)[1]
            wide = value.astype({"bool": "u1", "int": "<i8", "float": "<f8", "complex": "<c16"}[tag])
            members[name] = ["array", tag, list(value.shape[::-1]), B(wide.tobytes())]
        else:
            members[name] = encoded(value)
    return ["record", members]


def column(opened: Any, name: str) -> list[str | None]:
    described = opened.getcoldesc(name)
    kind = TYPES[described["valueType"]]
    cells = [cell(opened, name, row, kind, "ndim" in described) for row in range(opened.nrows())]
    runs = [[len(list(run)), shape] for shape, run in groupby(shape for shape, _ in cells)]
    has_image = kind == "record" and any(images_of(opened.getcell(name, row)) for row in range(opened.nrows()))
    digest = H(f"casaprov/column/{1 + has_image}", kind, runs, B(b"".join(values for _, values in cells)))
    keywords = described["keywords"]
    return [digest, H("casaprov/keywords/1", encoded(keywords)) if keywords else None]


def cell(opened: Any, name: str, row: int, kind: str, is_array: bool) -> tuple[list[int] | None, bytes]:
    """Shape of a cell in casacore's axis order, and its part of the stream."""
    if kind == "record":
        record = opened.getcell(name, row)
        return [], text(canonical(model(record) if images_of(record) else encoded(record)))
    if not opened.iscelldefined(name, row):
        return None, b""
    if not is_array:
        value = opened.getcol(name, row, 1)[0]
        return [], strings([value]) if kind == "string" else little(value, kind)
    shape = [int(n) for n in re.findall(r"\d+", opened.getcolshapestring(name, row, 1)[0])][::-1]
    if math.prod(shape) == 0 or not shape:
        return shape or [0], b""
    value = opened.getcell(name, row)
    if kind == "string":
        return shape, strings(value["array"] if isinstance(value, dict) else value)
    return shape, little(value, kind)


def little(value: Any, kind: str) -> bytes:
    return np.asarray(value, np.dtype(kind).newbyteorder("<")).tobytes()


def strings(values: list[str]) -> bytes:
    return b"".join(text(value.partition("\0")[0].encode()) for value in values)


def text(encoded_text: bytes) -> bytes:
    return struct.pack("<I", len(encoded_text)) + encoded_text


def is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("Table: ")


def references(keywords: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Path]]:
    for name, value in keywords.items():
        if is_reference(value):
            yield prefix + name, Path(value.removeprefix("Table: "))
        elif isinstance(value, dict):
            yield from references(value, f"{prefix}{name}/")


def last_name(path: str) -> str:
    return path.rstrip("/").split("/")[-1]


def encoded(value: Any) -> list[Any]:
    if is_reference(value):
        return ["table", last_name(value.removeprefix("Table: "))]
    if isinstance(value, dict) and set(value) == {"shape", "array"}:  # python-casacore's array of strings
        return array(np.array(value["array"], object).reshape(value["shape"]))
    if isinstance(value, dict):
        return ["record", {name: encoded(member) for name, member in value.items()}]
    if isinstance(value, list | np.ndarray):
        return array(np.array(value, object) if isinstance(value, list) else value)
    return ["undefined"] if value is None or isinstance(value, fits.card.Undefined) else [*scalar(value)]


def array(values: Any) -> list[Any]:
    if values.size == 0:
        return ["empty"]
    told = [scalar(value) for value in values.ravel().tolist()]
    return ["array", told[0][0], list(values.shape[::-1]), [member for _, member in told]]


def scalar(value: Any) -> tuple[str, Any]:
    if isinstance(value, bool | np.bool_):
        return "bool", bool(value)
    if isinstance(value, int | np.integer):
        return "int", int(value)
    if isinstance(value, float | np.floating):
        return "float", real(float(value))
    if isinstance(value, complex):
        return "complex", [real(value.real), real(value.imag)]
    told = str(value).partition("\0")[0]
    is_path = "\n" not in told and told.startswith("/") and told.rstrip("/").count("/") > 1
    return "str", last_name(told) if is_path else told


def real(value: float) -> Any:
    return value if math.isfinite(value) else {"nan": "nan", "inf": "inf", "-inf": "-inf"}[str(value)]


def returned(value: Any) -> str:
    return H("casaprov/value/1", written(value))


def written(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"@array": written(value.tolist()), "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return {"@scalar": written(value.item()), "dtype": str(value.dtype)}
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return {"@items": [[written(key), written(member)] for key, member in value.items()]}
    if isinstance(value, dict):
        return {key: written(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [written(member) for member in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"@float": repr(value)}
    if isinstance(value, complex):
        return {"@complex": [written(value.real), written(value.imag)]}
    return {"@bytes": value.hex()} if isinstance(value, bytes) else value


def fits_file(path: Path, stored: bytes) -> str:
    units = []
    with fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        for hdu in hdus:
            cards: dict[str, list[Any]] = {}
            for card in hdu.header.cards:
                if card.keyword not in CARDS and card.keyword.lower() not in NOTES:
                    cards.setdefault(card.keyword, []).append(encoded(card.value))
            start = hdu.fileinfo()["datLoc"]
            data = bytearray(stored[start : start + hdu.size])
            if isinstance(hdu, fits.BinTableHDU):
                end_strings(data, hdu)
            units.append([hdu.name, H("casaprov/fits-header/1", cards), B(bytes(data))])
    return H("casaprov/fits/1", units)


def end_strings(data: bytearray, hdu: Any) -> None:
    """Set to NUL what follows the first NUL in plain strings (fields ``rA`` without ``TDIM``)."""
    fields, width = hdu.columns.dtype.fields, hdu.header["NAXIS1"]
    for column in hdu.columns:
        if re.fullmatch(r"\d*A", column.format) and not column.dim:
            offset, size = fields[column.name][1], fields[column.name][0].itemsize
            for row in range(hdu.header["NAXIS2"]):
                place = row * width + offset
                told = data[place : place + size].partition(b"\0")[0]
                data[place : place + size] = told.ljust(size, b"\0")
