"""Observations of a MeasurementSet. Source: MeasurementSet definition version 2.0 (casacore note 229); ALMA's extensions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.errors import DigestError
from casaprov.formats.tables import Table, TableReader
from casaprov.observations.rows import Field, Headers, Scans, Setup, visibilities
from casaprov.observations.words import MS_STOKES, header_text, telescope, utc_offset_s
from casaprov.records.observation import Observation

__all__ = ["measurement_set"]

_BLOCK_BYTES = 16 * 2**20
_ROWS_AT_ONCE = 2**20
_DAY_S = 86400.0
_UID = re.compile(r"uid://[A-Za-z0-9_./-]+")


def measurement_set(path: Path, reader: TableReader, *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observations of a MeasurementSet.

    Raises
    ------
    DigestError
        If a column that each MeasurementSet must have cannot be read.
    """
    with closing(reader.open(path)) as main:
        subs = {name: sub for name, sub in main.keywords.items() if isinstance(sub, Path)}
        corrected = "CORRECTED_DATA" in main.columns
        scans = _scans(main)

    def table(name: str) -> Mapping[str, list[Any]]:
        return _read(subs[name], reader) if name in subs else {}

    fields = _fields(subs["FIELD"], reader) if "FIELD" in subs else {}
    return visibilities(
        scans.spans,
        headers=_headers(table),
        fields=fields,
        setups=_setups(table("DATA_DESCRIPTION"), table("SPECTRAL_WINDOW"), table("POLARIZATION")),
        # OBSERVATION.TIME_RANGE is one instant after importuvfits.
        sources={
            "t": "MAIN.TIME ± INTERVAL/2",
            "em": "SPECTRAL_WINDOW.CHAN_FREQ ± CHAN_WIDTH/2",
            "pol_states": "POLARIZATION.CORR_TYPE",
        },
        calib_level=None if corrected else 1,
        with_observer=with_observer,
    )


def _scans(main: Table) -> Scans:
    """Gather when each field was observed, from the rows of the main table."""
    scans = Scans()
    scale = str(main.columns["TIME"].keywords.get("MEASINFO", {}).get("Ref", "")) if "TIME" in main.columns else ""
    names = ("OBSERVATION_ID", "FIELD_ID", "DATA_DESC_ID", "TIME", "INTERVAL")
    for first in range(0, main.rows, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, main.rows - first)
        observation, target, setup, time, interval = (_numbers(main, name, first, count) for name in names)
        # importuvfits keeps the atomic time of AIPS.
        ahead = utc_offset_s(scale, float(time[0]) / _DAY_S)
        start, end = (time - ahead - interval / 2) / _DAY_S, (time - ahead + interval / 2) / _DAY_S
        scans.add(observation, target, setup, start, end)
    return scans


def _numbers(table: Table, column: str, first: int, count: int) -> np.ndarray[Any, Any]:
    """Return the values of some rows of a column of scalars."""
    parts = table.stretch(column, [(table.rows, ())], 0, first, count, max_bytes=_BLOCK_BYTES)
    # An array is valid until the next one is asked for.
    return np.concatenate([part.copy() for part in parts])


def _headers(table: Any) -> dict[int, Headers]:
    observations, blocks, summaries = table("OBSERVATION"), table("ASDM_EXECBLOCK"), table("ASDM_SBSUMMARY")
    uids, names = _asdm(blocks, summaries)
    found = {}
    for row, stated_name in enumerate(observations.get("TELESCOPE_NAME", ())):
        own, stated = _scheduled(_cell(observations, "SCHEDULE", row))
        single = len(observations["TELESCOPE_NAME"]) == 1  # ASDM tables do not say which observation they belong to
        found[row] = Headers(
            project=header_text(_cell(observations, "PROJECT", row)),
            telescope=telescope(stated_name),
            observer=header_text(_cell(observations, "OBSERVER", row)),
            names={
                "project": "OBSERVATION.PROJECT",
                "telescope": "OBSERVATION.TELESCOPE_NAME",
                "observer": "OBSERVATION.OBSERVER",
                **(names if single else {}),
                **stated,
            },
            identifiers={**(uids if single else {}), **own},
        )
    return found


def _scheduled(schedule: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return the uids of ALMA in ``OBSERVATION.SCHEDULE``, and the name of the header for each."""
    found = {}
    for text in np.ravel(schedule) if schedule is not None else ():
        for words, name in (("ExecBlock", "asdm_uid"), ("SchedulingBlock", "sb_uid")):
            if str(text).startswith(words) and (uid := _UID.search(str(text))):
                found[name] = uid[0]
    return found, dict.fromkeys(found, "OBSERVATION.SCHEDULE")


def _asdm(blocks: Mapping[str, list[Any]], summaries: Mapping[str, list[Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the uids of the ASDM tables that importasdm copies, if each has one row, and the names of their headers."""
    wanted = (
        ("asdm_uid", blocks, "execBlockUID", "ASDM_EXECBLOCK", ""),
        ("sb_uid", summaries, "sbSummaryUID", "ASDM_SBSUMMARY", ""),
        ("project_uid", blocks, "projectUID", "ASDM_EXECBLOCK", ""),
        # Old data have the project there.
        ("member_ous_uid", summaries, "obsUnitSetUID", "ASDM_SBSUMMARY", "ObsUnitSet"),
    )
    uids, names = {}, {}
    for name, rows, column, table, must_be in wanted:
        cells = rows.get(column, [])
        text = str(cells[0]) if len(cells) == 1 else ""
        if (uid := _UID.search(text)) and (not must_be or f'entityTypeName="{must_be}' in text):
            uids[name], names[name] = uid[0], f"{table}.{column}"
    return uids, names


def _fields(path: Path, reader: TableReader) -> dict[int, Field]:
    with closing(reader.open(path)) as table:
        keywords = table.columns["PHASE_DIR"].keywords if "PHASE_DIR" in table.columns else {}
        rows = _columns(table)
    measure = keywords.get("MEASINFO", {})
    found = {}
    for row, name in enumerate(rows.get("NAME", ())):
        place = _cell(rows, "PHASE_DIR", row)
        moves = _cell(rows, "EPHEMERIS_ID", row)
        position = None
        if place is not None and place.size >= 2 and (moves is None or moves < 0):
            # One polynomial for each row, of which the first term is the position.
            first = np.degrees(place.reshape(-1, 2)[0])
            position = (float(first[0]), float(first[1]))
        found[row] = Field(header_text(name), position, _frame(measure, rows, row), "FIELD.NAME", "FIELD.PHASE_DIR")
    return found


def _frame(measure: Mapping[str, Any], rows: Mapping[str, list[Any]], row: int) -> str:
    """Return the frame of a direction: that of the column, or of the row, where each has its own."""
    code = _cell(rows, str(measure.get("VarRefCol", "")), row)
    if code is None:
        return str(measure.get("Ref", ""))
    if isinstance(code, str):
        return code
    codes = [int(known) for known in np.ravel(measure.get("TabRefCodes", ()))]
    names = [str(name) for name in np.ravel(measure.get("TabRefTypes", ()))]
    return names[codes.index(int(code))] if int(code) in codes[: len(names)] else ""


def _setups(
    descriptions: Mapping[str, list[Any]], windows: Mapping[str, list[Any]], polarizations: Mapping[str, list[Any]]
) -> dict[int, Setup]:
    edges = {}
    for row, frequencies in enumerate(windows.get("CHAN_FREQ", ())):
        widths = _cell(windows, "CHAN_WIDTH", row)
        radiometer = "WVR" in str(
            _cell(windows, "NAME", row) or ""
        )  # ALMA's water vapour radiometers see the sky, not the target
        if frequencies is not None and frequencies.size and not radiometer:
            half = np.abs(widths) / 2 if widths is not None and widths.shape == frequencies.shape else 0.0
            edges[row] = (float((frequencies - half).min()), float((frequencies + half).max()))
    products = [
        tuple(MS_STOKES[int(code)] for code in np.ravel(codes) if int(code) in MS_STOKES) if codes is not None else ()
        for codes in polarizations.get("CORR_TYPE", ())
    ]
    found = {}
    for row, window in enumerate(descriptions.get("SPECTRAL_WINDOW_ID", ())):
        polarization = _cell(descriptions, "POLARIZATION_ID", row)
        known = polarization is not None and 0 <= polarization < len(products)
        if int(window) in edges:
            found[row] = Setup(edges[int(window)], products[int(polarization)] if known else ())
    return found


def _cell(rows: Mapping[str, list[Any]], column: str, row: int) -> Any:
    cells = rows.get(column)
    return cells[row] if cells is not None and row < len(cells) else None


_WANTED = frozenset(
    [
        "TELESCOPE_NAME",
        "PROJECT",
        "OBSERVER",
        "SCHEDULE",
        "NAME",
        "PHASE_DIR",
        "PhaseDir_Ref",
        "EPHEMERIS_ID",
        "CHAN_FREQ",
        "CHAN_WIDTH",
        "CORR_TYPE",
        "SPECTRAL_WINDOW_ID",
        "POLARIZATION_ID",
        "execBlockUID",
        "projectUID",
        "sbSummaryUID",
        "obsUnitSetUID",
    ]
)


def _read(path: Path, reader: TableReader) -> dict[str, list[Any]]:
    """Return the cells of the columns of a sub-table that are needed; nothing if it cannot be read."""
    with suppress(DigestError), closing(reader.open(path)) as table:
        return _columns(table)
    return {}


def _columns(table: Table) -> dict[str, list[Any]]:
    return {name: list(_cells(table, name)) for name in table.columns if name in _WANTED}


def _cells(table: Table, column: str) -> Iterator[Any]:
    """Yield each cell of a small column; None where it is undefined."""
    pieces: list[np.ndarray[Any, Any]] = []  # of a cell that is too long for one block
    for block in table.blocks(column, max_bytes=_BLOCK_BYTES):
        if block.values is None:
            yield from [None] * block.cells
        elif block.values.size == block.cells * math.prod(block.shape or ()):
            yield from block.values
        else:
            pieces.append(np.ravel(block.values).copy())
            if sum(piece.size for piece in pieces) == math.prod(block.shape or ()):
                yield np.concatenate(pieces)
                pieces = []
