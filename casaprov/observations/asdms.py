"""Observations of an ASDM, ALMA's and the VLA's science data model: a folder of XML tables.

Source: ALMA Science Data Model, version 3. Only the tables that a user's copy always has in XML are read; the binary
ones hold the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from casaprov.observations.rows import Field, Headers, Scans, Setup, visibilities
from casaprov.observations.words import header_text, number, telescope
from casaprov.records.observation import Observation

__all__ = ["Rows", "asdm"]

Rows = Callable[[str], list[Mapping[str, str]]]
"""Returns the rows of a table of the ASDM by its name, as texts by element; none if there is no such table."""

_DAY_NS = 86400e9
_UID = re.compile(r"uid://[A-Za-z0-9_./-]+")
_CODES = {"I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY"}


def asdm(rows: Rows, *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observations of an ASDM, one for each field of each execution block."""
    blocks = rows("ExecBlock")
    numbers = {block.get("execBlockId", ""): n for n, block in enumerate(blocks)}
    fields = rows("Field")
    field_numbers = {row.get("fieldId", ""): n for n, row in enumerate(fields)}
    described, setups = _setups(rows)
    scans = Scans()
    starts: list[tuple[int, int, int, float, float]] = []
    for row in rows("Main"):
        block, target = numbers.get(row.get("execBlockId", "")), field_numbers.get(row.get("fieldId", ""))
        time, interval = number(row.get("time")), number(row.get("interval"))
        if block is None or target is None or time is None or interval is None:
            continue
        half = interval / 2
        starts += [
            (block, target, setup, (time - half) / _DAY_NS, (time + half) / _DAY_NS)
            for setup in described.get(row.get("configDescriptionId", ""), [-1])
        ]
    if starts:
        scans.add(*(np.array(column) for column in zip(*starts, strict=True)))
    summaries = rows("SBSummary")
    return visibilities(
        scans.spans,
        headers={n: _headers(block, summaries) for n, block in enumerate(blocks)},
        fields={n: _field(row) for n, row in enumerate(fields)},
        setups=setups,
        sources={"t": "Main.time ± interval/2", "em": "SpectralWindow", "pol_states": "Polarization.corrType"},
        calib_level=0,
        with_observer=with_observer,
    )


def _headers(block: Mapping[str, str], summaries: Iterable[Mapping[str, str]]) -> Headers:
    uids = {
        name: uid[0]
        for name, key in (("asdm_uid", "execBlockUID"), ("project_uid", "projectUID"))
        if (uid := _UID.search(block.get(key, "")))
    }
    names = {"asdm_uid": "ExecBlock.execBlockUID", "project_uid": "ExecBlock.projectUID"}
    for summary in summaries:
        if summary.get("sBSummaryId") != block.get("sBSummaryId"):
            continue
        if uid := _UID.search(summary.get("sbSummaryUID", "")):
            uids["sb_uid"], names["sb_uid"] = uid[0], "SBSummary.sbSummaryUID"
        unit_set = summary.get("obsUnitSetUID", "")
        if "ObsUnitSet" in unit_set and (uid := _UID.search(unit_set)):
            uids["member_ous_uid"], names["member_ous_uid"] = uid[0], "SBSummary.obsUnitSetUID"
    return Headers(
        project=uids.get("project_uid", ""),
        telescope=telescope(block.get("telescopeName")),
        observer=header_text(block.get("observerName")),
        names={
            "project": "ExecBlock.projectUID",
            "telescope": "ExecBlock.telescopeName",
            "observer": "ExecBlock.observerName",
            **names,
        },
        identifiers=uids,
    )


def _field(row: Mapping[str, str]) -> Field:
    values = _values(row.get("phaseDir", row.get("referenceDir", "")))
    position = (float(np.degrees(values[0])), float(np.degrees(values[1]))) if len(values) >= 2 else None
    # Version 3 says the frame; before, it is that of FIELD in importasdm: J2000.
    frame = row.get("directionCode", "J2000") if not row.get("ephemerisId") else ""
    return Field(header_text(row.get("fieldName")), position, frame, "Field.fieldName", "Field.phaseDir")


def _setups(rows: Rows) -> tuple[dict[str, list[int]], dict[int, Setup]]:
    """Return the setups of each configuration, and their frequencies and products."""
    windows = {}
    for row in rows("SpectralWindow"):
        edges = _edges(row)
        if edges is not None and "WVR" not in row.get("name", ""):
            windows[row.get("spectralWindowId", "")] = edges
    products = {
        row.get("polarizationId", row.get("polOrHoloId", "")): tuple(
            w for w in row.get("corrType", "").split() if w in _CODES
        )
        for row in rows("Polarization")
    }
    setups, by_description = {}, {}
    for n, row in enumerate(rows("DataDescription")):
        window = row.get("spectralWindowId", "")
        if window in windows:
            setups[n] = Setup(windows[window], products.get(row.get("polOrHoloId", ""), ()))
            by_description[row.get("dataDescriptionId", "")] = n
    described = {
        row.get("configDescriptionId", ""): [
            by_description[name] for name in row.get("dataDescriptionId", "").split() if name in by_description
        ]
        for row in rows("ConfigDescription")
    }
    return described, setups


def _edges(row: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the lowest and the highest frequency of a spectral window, in Hz."""
    listed = _values(row.get("chanFreqArray", ""))
    width = number(row.get("chanWidth")) or 0.0
    if not listed:
        first, step, count = (number(row.get(key)) for key in ("chanFreqStart", "chanFreqStep", "numChan"))
        if first is None or count is None:
            reference, whole = number(row.get("refFreq")), number(row.get("totBandwidth"))
            return None if reference is None else (reference - (whole or 0.0) / 2, reference + (whole or 0.0) / 2)
        listed = [first, first + (count - 1) * (step or 0.0)]
        width = width or abs(step or 0.0)
    return min(listed) - abs(width) / 2, max(listed) + abs(width) / 2


def _values(text: str) -> list[float]:
    """Return the values of an array: the number of its axes, their lengths, and the values."""
    parts = [number(word) for word in text.split()]
    if not parts or parts[0] is None:
        return []
    return [part for part in parts[1 + int(parts[0]) :] if part is not None]
