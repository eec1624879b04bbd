"""Units, codes and names of headers turned into those of ObsCore 1.1."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

__all__ = [
    "FITS_STOKES",
    "LIGHT",
    "MJD_OF_JD_0",
    "MS_STOKES",
    "Position",
    "direction",
    "from_frame",
    "header_text",
    "is_project_code",
    "mean_direction",
    "number",
    "pol_states",
    "significant",
    "telescope",
    "unsuitable",
    "utc_offset_s",
]

LIGHT: Final = 299_792_458.0
"""Speed of light in m/s."""

MJD_OF_JD_0: Final = -2_400_000.5

Position = tuple[float, float]
"""Right ascension and declination in degrees."""

_ORDER = ("I", "Q", "U", "V", "RR", "LL", "RL", "LR", "XX", "YY", "XY", "YX")
"""Order of polarization products in ``pol_states`` (ObsCore 1.1, B.6.6)."""

MS_STOKES: Final = {
    **dict(enumerate(("I", "Q", "U", "V"), start=1)),
    **dict(enumerate(("RR", "RL", "LR", "LL"), start=5)),
    **dict(enumerate(("XX", "XY", "YX", "YY"), start=9)),
}
"""Codes of ``POLARIZATION.CORR_TYPE`` (casacore's enumeration ``Stokes``)."""

FITS_STOKES: Final = {
    **dict(enumerate(("I", "Q", "U", "V"), start=1)),
    **{-code: name for code, name in enumerate(("RR", "LL", "RL", "LR", "XX", "YY", "XY", "YX"), start=1)},
}
"""Codes of the axis STOKES (FITS 4.0, table 29)."""

# TAI - UTC is 10 s from 1972 on, and one second more from each of these days (MJD; IERS Bulletin C).
_LEAP_DAYS = (
    41499, 41683, 42048, 42413, 42778, 43144, 43509, 43874, 44239, 44786, 45151, 45516, 46247, 47161, 47892, 48257, 48804,
    49169, 49534, 50083, 50630, 51179, 53736, 54832, 56109, 57204, 57754,
)  # fmt: skip
_TT_MINUS_TAI_S = 32.184

_MOST_TEXT = 200  # characters of a header that are kept

# Project codes of VLA, VLBA, GBT, EVN and ATCA: BL137, AO88, TDEM0003, N14C3, EC071A, 12A-123, C1234.
_PROJECT = re.compile(r"[A-Z]{1,4}\d{1,4}[A-Z]?\d?|[A-Z]\d{2}[A-Z]\d{1,2}[A-Z]?|\d{2}[AB]-\d{3}[A-Z]?")

_RANGES_GHZ = {
    "ATCA": (1.0, 106.0),
    "EVLA": (0.05, 50.5),
    "GMRT": (0.03, 1.7),
    "LOFAR": (0.01, 0.25),
    "MEERKAT": (0.5, 3.6),
    "VLA": (0.05, 50.5),
    "VLBA": (0.3, 96.5),
    "WSRT": (0.1, 9.0),
}
"""Frequencies that a telescope receives, by the upper-case name that headers have for it."""

# Without E-terms (0.3 arcsec): Murray 1989, as the IAU 1976 precession to J2000 has it.
_B1950_TO_J2000 = np.array(
    (
        (0.9999256794956877, -0.0111814832204662, -0.0048590038153592),
        (0.0111814832391717, 0.9999374848933135, -0.0000271625947142),
        (0.0048590037723143, -0.0000271702937440, 0.9999881946023742),
    )
)


def header_text(value: Any) -> str:
    """Return the text of a header, without control characters and surrounding blanks, and cut; empty if it is no text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    encodable = value.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in encodable).split())[:_MOST_TEXT].rstrip()


def number(value: Any) -> float | None:
    """Return a header's value as a finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def telescope(value: Any) -> str:
    """Return the name of a telescope; empty for words such as UNKNOWN."""
    name = header_text(value)
    return "" if name.upper() in ("UNKNOWN", "NONE", "N/A", "UNSPECIFIED") else name


def utc_offset_s(scale: str, mjd: float) -> float:
    """Return the seconds by which a scale of time is ahead of UTC on a day; 0 for scales that are within a second of it."""
    name = scale.upper()
    if name not in ("TAI", "IAT", "TT", "TDT", "ET", "TDB"):
        return 0.0
    tai = 10.0 + bisect_right(_LEAP_DAYS, mjd)
    return tai if name in ("TAI", "IAT") else tai + _TT_MINUS_TAI_S


def significant(value: float) -> float:
    """Return a number without the digits that are only rounding errors."""
    return float(f"{value:.9g}")


def pol_states(names: Iterable[str]) -> str:
    """Return polarization products in ObsCore's order and form: ``/RR/LL/``."""
    known = set(names)
    found = [name for name in _ORDER if name in known]
    return f"/{'/'.join(found)}/" if found else ""


def is_project_code(text: str) -> bool:
    """Return True if a text has the form of an observatory's project code, as some files have it for the observer."""
    return _PROJECT.fullmatch(text) is not None


def unsuitable(facility: str, frequencies: Sequence[float]) -> str:
    """Return a complaint about a frequency outside of a telescope's range; empty if there is none or no known range.

    Parameters
    ----------
    frequencies
        Frequencies in Hz.
    """
    limits = _RANGES_GHZ.get(facility.upper())
    outside = [f / 1e9 for f in frequencies if limits and not limits[0] <= f / 1e9 <= limits[1]]
    return f"{facility} receives no {outside[0]:.4g} GHz" if outside else ""


def from_frame(frame: str, position: Position) -> Position | None:
    """Return a position in J2000 or ICRS, which differ by 0.02 arcsec; None for frames that move or are unknown.

    Parameters
    ----------
    frame
        ``ICRS``, ``J2000`` or ``B1950``, or an equinox: ``2000.0``, ``1950.0``.
    position
        In degrees.
    """
    ra, dec = position[0] % 360.0, position[1]
    if not (math.isfinite(ra) and -90 <= dec <= 90):
        return None
    name = frame.strip().upper()
    if name in ("ICRS", "J2000", "2000.0", "2000", "FK5"):
        return round(ra, 9), round(dec, 9)
    if name in ("B1950", "1950.0", "1950", "FK4"):
        return direction(_B1950_TO_J2000 @ _unit(ra, dec))
    return None


def mean_direction(positions: Sequence[Position]) -> Position:
    """Return the middle of positions on the sky."""
    return direction(sum((_unit(*position) for position in positions), np.zeros(3)))


def direction(vector: np.ndarray[Any, Any]) -> Position:
    """Return the direction of a vector in degrees."""
    x, y, z = (float(part) for part in vector)
    return round(math.degrees(math.atan2(y, x)), 9) % 360.0, round(math.degrees(math.atan2(z, math.hypot(x, y))), 9)


def _unit(ra: float, dec: float) -> np.ndarray[Any, Any]:
    a, d = math.radians(ra), math.radians(dec)
    return np.array((math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)))
