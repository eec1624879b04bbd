"""Observations of UVFITS and FITS-IDI files.

Sources: AIPS Memo 117 (UVFITS: random groups, tables ``AIPS AN``, ``AIPS FQ``, ``AIPS SU``); AIPS Memo 102 and 114
(FITS-IDI: tables ``ARRAY_GEOMETRY``, ``FREQUENCY``, ``SOURCE``, ``UV_DATA``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from casaprov.formats.fits_units import FitsUnit
from casaprov.observations.rows import Field, Headers, Scans, Setup, visibilities
from casaprov.observations.words import FITS_STOKES, MJD_OF_JD_0, header_text, number, telescope
from casaprov.records.observation import Observation

__all__ = ["axes_of", "fits_idi", "stokes_of", "uvfits"]

_DAY_S = 86400.0
_MOST_AXIS = 20  # axes of a header, and products of its axis STOKES


def uvfits(units: Sequence[FitsUnit], *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observations of a UVFITS file."""
    primary, tables = units[0], {unit.name: unit for unit in units[1:]}
    cards, axes = primary.cards, axes_of(primary.cards)
    time = primary.column("DATE")
    if time is None:
        return ()
    start, end = _interval(time, primary.column("INTTIM"), tables.get("AIPS AN"))
    source, setup = primary.column("SOURCE"), primary.column("FREQSEL")
    own = 0  # number of the one field of a file without a table of sources
    scans = Scans()
    scans.add(
        np.zeros(time.size),
        np.full(time.size, own) if source is None else source,
        np.ones(time.size) if setup is None else setup,
        start,
        end,
    )
    if (sources := tables.get("AIPS SU")) is not None and source is not None:
        fields = _sources(sources, "AIPS SU", ("ID. NO.",))
    else:
        place = tuple(number(axes.get(name, {}).get("CRVAL")) for name in ("RA", "DEC"))
        fields = {
            own: Field(header_text(cards.get("OBJECT")), _position(*place), _equinox(cards), "OBJECT", "CRVAL of RA")
        }
    return visibilities(
        scans.spans,
        headers={0: _headers(cards, "PRIMARY")},
        fields=fields,
        setups=_setups(tables.get("AIPS FQ"), axes.get("FREQ"), stokes_of(axes.get("STOKES")), "FRQSEL", "IF FREQ"),
        sources={"t": "DATE ± INTTIM/2", "em": "CRVAL of FREQ, AIPS FQ.IF FREQ", "pol_states": "CRVAL of STOKES"},
        calib_level=1,
        with_observer=with_observer,
    )


def fits_idi(units: Sequence[FitsUnit], *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observations of a FITS-IDI file."""
    tables = {unit.name: unit for unit in units}
    scans = Scans()
    data = [unit for unit in units if unit.name == "UV_DATA"]
    for unit in data:
        day, time = unit.column("DATE"), unit.column("TIME")
        if day is None or time is None:
            continue
        start, end = _interval(day + time, unit.column("INTTIM"), tables.get("ARRAY_GEOMETRY"))
        source = next(
            (c for name in ("SOURCE", "SOURCE_ID") if (c := unit.column(name)) is not None), np.zeros(day.size)
        )
        setup = unit.column("FREQID")
        scans.add(np.zeros(day.size), source, np.ones(day.size) if setup is None else setup, start, end)
    if not data:
        return ()
    cards = {**tables["ARRAY_GEOMETRY"].cards, **data[0].cards} if "ARRAY_GEOMETRY" in tables else data[0].cards
    # Each table says how the frequency axis and the products are numbered.
    reference, width, pixel = (number(cards.get(name)) for name in ("REF_FREQ", "CHAN_BW", "REF_PIXL"))
    axis = {
        "CRVAL": reference,
        "CDELT": width,
        "CRPIX": 1.0 if pixel is None else pixel,
        "NAXIS": cards.get("NO_CHAN", 1),
    }
    products = stokes_of({"CRVAL": cards.get("STK_1"), "CDELT": -1.0, "CRPIX": 1.0, "NAXIS": cards.get("NO_STKD", 0)})
    sources = tables.get("SOURCE")
    return visibilities(
        scans.spans,
        headers={0: _headers(cards, "UV_DATA")},
        fields=_sources(sources, "SOURCE", ("SOURCE_ID", "ID_NO.")) if sources is not None else {},
        setups=_setups(tables.get("FREQUENCY"), axis, products, "FREQID", "BANDFREQ"),
        sources={"t": "UV_DATA.DATE + TIME ± INTTIM/2", "em": "REF_FREQ + FREQUENCY.BANDFREQ", "pol_states": "STK_1"},
        calib_level=1,
        with_observer=with_observer,
    )


def axes_of(cards: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the axes of an array by type, without projection: ``RA---SIN`` is ``RA``."""
    axes = {}
    for n in range(1, min(int(number(cards.get("NAXIS")) or 0), _MOST_AXIS) + 1):
        name = str(cards.get(f"CTYPE{n}", "")).partition("-")[0].strip().upper()
        facts = {key: cards.get(f"{key}{n}") for key in ("CRVAL", "CDELT", "CRPIX", "NAXIS", "CUNIT")}
        axes[name] = {**facts, "number": n}
    return axes


def stokes_of(axis: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the polarization products of an axis STOKES."""
    facts = [number((axis or {}).get(key)) for key in ("CRVAL", "CDELT", "CRPIX", "NAXIS")]
    if any(fact is None for fact in facts):
        return ()
    value, step, pixel, count = (fact or 0.0 for fact in facts)
    codes = (round(value + (n + 1 - pixel) * step) for n in range(min(int(count), _MOST_AXIS)))
    return tuple(FITS_STOKES[code] for code in codes if code in FITS_STOKES)


def _headers(cards: Mapping[str, Any], unit: str) -> Headers:
    project = next((name for name in ("OBSCODE", "PROJECT") if header_text(cards.get(name))), "OBSCODE")
    return Headers(
        project=header_text(cards.get(project)),
        telescope=telescope(cards.get("TELESCOP")) or telescope(cards.get("ARRNAM")),
        observer=header_text(cards.get("OBSERVER")),
        names={"project": f"{unit} {project}", "telescope": f"{unit} TELESCOP", "observer": f"{unit} OBSERVER"},
    )


def _interval(
    julian: np.ndarray[Any, Any], seconds: np.ndarray[Any, Any] | None, antennas: FitsUnit | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return beginning and end in MJD and UTC of integrations around Julian Dates, which may be in atomic time."""
    cards = antennas.cards if antennas is not None else {}
    ahead = number(cards.get("IATUTC")) if str(cards.get("TIMSYS", "")).strip() in ("IAT", "TAI") else None
    middle = julian + MJD_OF_JD_0 - (ahead or 0.0) / _DAY_S
    half = np.zeros(julian.size) if seconds is None else np.nan_to_num(seconds) / 2 / _DAY_S
    return middle - half, middle + half


def _sources(table: FitsUnit, name: str, numbers: Iterable[str]) -> dict[int, Field]:
    ids = next((column for key in numbers if (column := table.column(key)) is not None), np.array([]))
    names, ra, dec = (table.column(key) for key in ("SOURCE", "RAEPO", "DECEPO"))
    equinoxes = next((c for key in ("EPOCH", "EQUINOX") if (c := table.column(key)) is not None), None)
    found = {}
    for row, number_ in enumerate(ids):
        position = _position(ra[row], dec[row]) if ra is not None and dec is not None else None
        frame = str(equinoxes[row]) if equinoxes is not None else _equinox(table.cards)
        label = header_text(names[row]) if names is not None else ""
        found[int(number_)] = Field(label, position, frame, f"{name}.SOURCE", f"{name}.RAEPO")
    return found


def _setups(
    table: FitsUnit | None, axis: Mapping[str, Any] | None, products: tuple[str, ...], key: str, offsets: str
) -> dict[int, Setup]:
    """Return the frequencies of each setup: those of the axis, moved by the offset of each band."""
    facts = [number((axis or {}).get(name)) for name in ("CRVAL", "CDELT", "CRPIX", "NAXIS")]
    if any(fact is None for fact in facts):
        return {1: Setup(None, products)}
    value, step, pixel, count = (fact or 0.0 for fact in facts)
    ends = (value + (0.5 - pixel) * step, value + (count + 0.5 - pixel) * step)
    numbers, bands = (table.column(key), table.column(offsets)) if table is not None else (None, None)
    if numbers is None or bands is None:
        return {1: Setup((min(ends), max(ends)), products)}
    setups = {}
    for number_, moved in zip(np.ravel(numbers), bands, strict=False):
        edges = [float(by) + end for by in np.ravel(moved) for end in ends]
        setups[int(number_)] = Setup((min(edges), max(edges)), products)
    return setups


def _position(ra: Any, dec: Any) -> tuple[float, float] | None:
    east, north = number(ra), number(dec)
    return None if east is None or north is None else (east, north)


def _equinox(cards: Mapping[str, Any]) -> str:
    frame = header_text(cards.get("RADESYS")) or header_text(cards.get("RADECSYS"))
    stated = cards.get("EQUINOX", cards.get("EPOCH", ""))
    return frame or str(stated)
