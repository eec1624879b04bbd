"""Pages for tasks that report something: a table of their return value, or the text that they wrote.

The return value is left as it is; the page stands below the log of the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from casaprov.kernel.display.captured_output import HEADING
from casaprov.kernel.display.log_block import messages
from casaprov.kernel.page import Part, Preformatted, Table
from casaprov.tasks.calls import TaskCall, TaskResult

__all__ = ["page_of"]

_MAX_ROWS = 40
_MAX_TEXT = 6_000
_OPEN_LINES = 45  # longer texts are folded
_MJD_ZERO = datetime(1858, 11, 17)  # noqa: DTZ001 - time scales are CASA's, not ours
_DAY_S = 86400
_SECONDS = re.compile(r"\bTIME=(\d+(?:\.\d+)?)")  # of the modified Julian date
_PROMPT = re.compile(r"Type Q to quit[^\n]*?\[continue\]: ?")

Values = Mapping[str, Any]


def page_of(call: TaskCall, result: TaskResult) -> list[Part]:
    """Return the page of a call; empty for most tasks.

    Raises
    ------
    Exception
        Of any kind, if the return value of a task has another form than in the known versions of CASA.
    """
    if call.package != "casatasks" or result.error is not None or call.task not in _PAGES:
        return []
    return _PAGES[call.task](call, result)


# -- MeasurementSets ----------------------------------------------------------


def _listobs(call: TaskCall, result: TaskResult) -> list[Part]:
    found = result.returned
    if not isinstance(found, Mapping) or "nfields" not in found:
        return _text(call, result)
    scans = [
        part
        for key in sorted((key for key in found if key.startswith("scan_")), key=lambda key: int(key[5:]))
        for part in found[key].values()
    ]
    rows = [
        (
            str(scan["scanId"]),
            f"{scan['FieldId']} {scan['FieldName']}",
            _time(scan["BeginTime"]),
            _time(scan["EndTime"]).rpartition(" ")[2],
            ",".join(str(spw) for spw in scan["SpwIds"]),
            _number(scan["nRow"]),
            _number(scan["IntegrationTime"]),
        )
        for scan in scans
    ]
    span = f"{_time(found['BeginTime'])} to {_time(found['EndTime'])}" if "BeginTime" in found else ""
    title = f"{_name(call, 'vis')}: {_number(found.get('numrecords', 0))} rows, {found['nfields']} fields, {span}"
    head = ("scan", "field", "begin", "end", "spw", "rows", "integration (s)")
    return [_table(title, head, rows, "scans"), *_text(call, result, title="As listobs prints it", folded=True)]


def _flag_summary(call: TaskCall, result: TaskResult) -> list[Part]:
    found = result.returned
    if call.parameters.get("mode") != "summary" or not isinstance(found, Mapping) or "flagged" not in found:
        return []
    rows: list[tuple[str, ...]] = []
    for kind in ("field", "spw", "scan", "correlation", "antenna"):
        parts = sorted(found.get(kind, {}).items(), key=lambda item: (-_share(item[1]), item[0]))
        if not found["flagged"]:
            continue
        shown = 10 if kind == "antenna" else 6
        rows += [(f"{kind} {name}", *_flags(part)) for name, part in parts[:shown]]
        if len(parts) > shown:
            rest = _added(part for _, part in parts[shown:])
            rows.append((f"{len(parts) - shown} more, less flagged ({kind})", *_flags(rest)))
    title = f"{_name(call, 'vis')}: {100 * _share(found):.2f} % of {_number(found['total'])} flagged"
    return [Table(title, ("", "%", "flagged", "of"), tuple(rows))]


def _share(part: Values) -> float:
    return float(part["flagged"]) / float(part["total"]) if part["total"] else 0.0


def _added(parts: Iterable[Values]) -> Values:
    total = {"flagged": 0.0, "total": 0.0}
    for part in parts:
        total = {key: total[key] + float(part[key]) for key in total}
    return total


def _flags(part: Values) -> tuple[str, ...]:
    return f"{100 * _share(part):.2f}", _number(part["flagged"]), _number(part["total"])


def _statistics(call: TaskCall, result: TaskResult) -> list[Part]:
    found = result.returned
    if not isinstance(found, Mapping) or not all(isinstance(part, Mapping) for part in found.values()):
        return []
    names = ("npts", "min", "max", "mean", "median", "rms", "stddev")
    rows = [(_dated(str(key)), *(_number(part.get(name, "")) for name in names)) for key, part in found.items()]
    title = _name(call, "vis") or _name(call, "caltable")
    return [_table(title, ("", *names), rows, "rows")] if rows else []


def _vishead(call: TaskCall, result: TaskResult) -> list[Part]:
    mode = call.parameters.get("mode")
    if mode == "list" and isinstance(result.returned, Mapping):
        values = {name: value[0] for name, value in result.returned.items()}
        return [_pairs(_name(call, "vis"), {name: _header(name, value) for name, value in values.items()})]
    return _text(call, result) if mode == "summary" else []


def _header(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):  # a column whose cells differ in shape, by row; False is a cell without a value
        return [cell for cell in value.values() if cell is not False]
    return [_time(seconds / _DAY_S) for seconds in value] if name == "release_date" else value


# -- images --------------------------------------------------------------------


def _imstat(call: TaskCall, result: TaskResult) -> list[Part]:
    found = result.returned
    if not isinstance(found, Mapping) or "npts" not in found or not len(found["npts"]):
        return []
    names = [name for name in ("npts", "max", "min", "mean", "sigma", "rms", "median", "flux", "sum") if name in found]
    planes = len(found["npts"])
    if planes > 1:
        rows = [
            (str(plane), *(_number(found[name][plane]) if len(found[name]) > plane else "" for name in names))
            for plane in range(planes)
        ]
        return [_table(_name(call, "imagename"), ("plane", *names), rows, "planes")]
    at = {"max": found.get("maxposf", ""), "min": found.get("minposf", "")}
    rows = [(name, _number(found[name][0]), str(at.get(name, ""))) for name in names if len(found[name])]
    return [Table(_name(call, "imagename"), ("", "value", "at"), tuple(rows))]


def _imhead(call: TaskCall, result: TaskResult) -> list[Part]:
    found, mode = result.returned, call.parameters.get("mode")
    if not isinstance(found, Mapping):
        return []
    if mode == "list":
        return [_pairs(_name(call, "imagename"), found)]
    if mode != "summary" or "axisnames" not in found:
        return []
    rows = tuple(
        (str(name), str(size), _number(pixel), _number(value), _number(step), str(unit))
        for name, size, pixel, value, step, unit in zip(
            *(found[key] for key in ("axisnames", "shape", "refpix", "refval", "incr", "axisunits")), strict=False
        )
    )
    beam = found.get("restoringbeam", {})
    notes = [f"Unit {found['unit']}"] if found.get("unit") else []
    if "major" in beam:
        notes.append(f"beam {_value(beam['major'])} x {_value(beam['minor'])}, {_value(beam['positionangle'])}")
    elif beam:
        notes.append("one beam per plane")
    notes += [f"masks {', '.join(str(mask) for mask in found['masks'])}"] if len(found.get("masks", ())) else []
    head = ("axis", "size", "reference pixel", "value", "increment", "unit")
    return [Table(_name(call, "imagename"), head, rows, (", ".join(notes),) if notes else ())]


# -- texts ---------------------------------------------------------------------


def _text(call: TaskCall, result: TaskResult, *, title: str = "", folded: bool = False) -> list[Part]:
    """Return the text that a task wrote into its list file, printed, or logged."""
    listing = call.parameters.get("listfile")
    text = ""
    if isinstance(listing, str) and listing:
        path = call.cwd / Path(listing).expanduser()
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        title = title or listing
    elif HEADING in result.log:
        text = _PROMPT.sub("", result.log.partition(HEADING)[2])
    elif call.task not in {"listcal", "listvis"}:  # their text was not captured, so it is in the cell already
        text = "\n".join(messages(result.log))
    text = text.strip("\n")
    if not text.strip():
        return []
    lines = text.count("\n") + 1
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT].rpartition(chr(10))[0]}\n... {lines} lines in all"
    return [Preformatted(text, title or f"{call.task}: {lines} lines", folded=folded or lines > _OPEN_LINES)]


# -- parts ---------------------------------------------------------------------


def _table(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]], plural: str) -> Table:
    notes = (f"... {len(rows) - _MAX_ROWS} more {plural}",) if len(rows) > _MAX_ROWS else ()
    return Table(title, head, tuple(rows[:_MAX_ROWS]), notes)


def _pairs(title: str, values: Values) -> Table:
    return Table(title, (), tuple((str(name), _value(value)) for name, value in values.items()))


def _name(call: TaskCall, parameter: str) -> str:
    value = call.parameters.get(parameter)
    return Path(value).name if isinstance(value, str) else ""


def _value(value: Any) -> str:
    """Return a header's value for people: arrays without type, quantities with their unit."""
    if isinstance(value, Mapping):
        if set(value) >= {"value", "unit"}:
            return f"{_number(value['value'])} {value['unit']}".rstrip()
        return ", ".join(f"{key}: {_value(part)}" for key, part in value.items())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ", ".join(_value(part) for part in value)
    return _number(value)


def _number(value: Any) -> str:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e9 else f"{value:.6g}"
    return str(value)


def _dated(key: str) -> str:
    """Return a key of visstat, such as ``DATA_DESC_ID=0,TIME=4304481525.0``, with its seconds as a date."""
    return _SECONDS.sub(lambda found: f"TIME={_MJD_ZERO + timedelta(seconds=round(float(found[1]), 1))}", key)


def _time(days: float) -> str:
    # Rounding to days as float64 puts times a fraction of a millisecond beside their second.
    return f"{_MJD_ZERO + timedelta(seconds=round(float(days) * _DAY_S)):%Y-%m-%d %H:%M:%S}"


_PAGES: Mapping[str, Callable[[TaskCall, TaskResult], list[Part]]] = {
    "asdmsummary": _text,
    "calstat": _statistics,
    "flagdata": _flag_summary,
    "imhead": _imhead,
    "imhistory": _text,
    "imstat": _imstat,
    "listcal": _text,
    "listfits": _text,
    "listhistory": _text,
    "listobs": _listobs,
    "listpartition": _text,
    "listsdm": _text,
    "listvis": _text,
    "vishead": _vishead,
    "visstat": _statistics,
}
