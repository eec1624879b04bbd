"""Observations of images: CASA's, by the keywords of the table, and FITS images, by their header."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.formats.tables import TableReader
from casaprov.observations.fits_visibilities import axes_of, stokes_of
from casaprov.observations.words import LIGHT, from_frame, header_text, number, pol_states, significant, telescope
from casaprov.records.observation import Observation, ProductType

__all__ = ["casa_image", "fits_image"]

_FIRST_MJD = 26000  # 1930: simulated images and models have dates such as 2.0
_MJD_EPOCH = datetime(1858, 11, 17)  # noqa: DTZ001 - FITS times have no zone


@dataclass
class _Facts:
    """The facts that a header states, and the header that each was read from."""

    known: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def state(self, name: str, value: Any, source: str) -> None:
        """Note a fact, unless the header leaves it out."""
        if value not in (None, ""):
            self.known[name], self.sources[name] = value, source

    def observation(self, product: ProductType) -> Observation:
        """Return the facts as an observation; the kind of data follows from the axes, not from one header."""
        return Observation(**self.known, dataproduct_type=product, sources=self.sources)


def casa_image(path: Path, reader: TableReader, *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observation that a CASA image shows."""
    with closing(reader.open(path)) as table:
        coords, info = table.keywords.get("coords", {}), table.keywords.get("imageinfo", {})
        shape = table.columns["map"].shape if "map" in table.columns else None
    if not coords:
        return ()
    facts = _Facts()
    state = facts.state
    state("target_name", header_text(info.get("objectname")), "imageinfo.objectname")
    state("facility_name", telescope(coords.get("telescope")), "coords.telescope")
    if with_observer:
        state("observer", header_text(coords.get("observer")), "coords.observer")
    date = number(coords.get("obsdate", {}).get("m0", {}).get("value"))
    if date and date > _FIRST_MJD:
        state("t_min", round(date, 8), "coords.obsdate")
        state("t_max", round(date, 8), "coords.obsdate")
    channels = 1
    for name, part in coords.items():
        if name.startswith("direction") and isinstance(part, Mapping):
            place = np.ravel(part.get("crval", ()))
            scale = 180 / np.pi if str(np.ravel(part.get("units", ["rad"]))[0]) == "rad" else 1.0
            if str(part.get("conversionSystem", part.get("system", ""))) and place.size == 2:
                system = str(part.get("system", ""))
                if where := from_frame(system, (float(place[0]) * scale, float(place[1]) * scale)):
                    state("s_ra", where[0], f"coords.{name}.crval ({system})")
                    state("s_dec", where[1], f"coords.{name}.crval ({system})")
        elif name.startswith("stokes") and isinstance(part, Mapping):
            state(
                "pol_states",
                pol_states(str(text) for text in np.ravel(part.get("stokes", ()))),
                f"coords.{name}.stokes",
            )
        elif name.startswith("spectral") and isinstance(part, Mapping):
            channels = _length(coords, name, shape)
            wcs = part.get("wcs", {})
            # Pixels of CASA's coordinates count from 0.
            axis = {
                "CRVAL": wcs.get("crval"),
                "CDELT": wcs.get("cdelt"),
                "CRPIX": (number(wcs.get("crpix")) or 0.0) + 1,
            }
            _state_wavelengths(state, {**axis, "NAXIS": channels}, f"coords.{name}.wcs")
    return (facts.observation("cube" if channels > 1 else "image"),)


def _length(coords: Mapping[str, Any], name: str, shape: tuple[int, ...] | None) -> int:
    """Return the length of the axis of the pixels that a coordinate describes."""
    pixel = np.ravel(coords.get(f"pixelmap{name.removeprefix('spectral')}", ()))
    return int(shape[int(pixel[0])]) if shape and pixel.size == 1 and 0 <= int(pixel[0]) < len(shape) else 1


def fits_image(cards: Mapping[str, Any], *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observation that a FITS image shows; nothing if it has no place on the sky."""
    axes = axes_of(cards)
    place = [number(axes.get(name, {}).get("CRVAL")) for name in ("RA", "DEC")]
    if None in place:
        return ()
    facts = _Facts()
    state = facts.state
    state("target_name", header_text(cards.get("OBJECT")), "OBJECT")
    state("facility_name", telescope(cards.get("TELESCOP")), "TELESCOP")
    if with_observer:
        state("observer", header_text(cards.get("OBSERVER")), "OBSERVER")
    frame = header_text(cards.get("RADESYS")) or str(cards.get("EQUINOX", cards.get("EPOCH", "")))
    if where := from_frame(frame, (place[0] or 0.0, place[1] or 0.0)):
        for name, value, axis in zip(("s_ra", "s_dec"), where, ("RA", "DEC"), strict=True):
            state(name, value, f"CRVAL{axes[axis]['number']} ({frame})")
    if (date := _mjd(str(cards.get("DATE-OBS", "")))) is not None:
        state("t_min", date, "DATE-OBS")
        state("t_max", date, "DATE-OBS")
    state("pol_states", pol_states(stokes_of(axes.get("STOKES"))), "CRVAL of STOKES")
    if spectral := axes.get("FREQ"):
        _state_wavelengths(state, spectral, f"CRVAL{spectral['number']}")
    lengths = [int(number(axes.get(name, {}).get("NAXIS")) or 1) for name in ("FREQ", "VRAD", "VELO", "VOPT", "FELO")]
    return (facts.observation("cube" if max(lengths) > 1 else "image"),)


def _state_wavelengths(state: Any, axis: Mapping[str, Any], source: str) -> None:
    """State the range of an axis of frequencies in Hz."""
    facts = [number(axis.get(key)) for key in ("CRVAL", "CDELT", "CRPIX", "NAXIS")]
    if any(fact is None for fact in facts):
        return
    value, step, pixel, count = (fact or 0.0 for fact in facts)
    ends = sorted((value + (0.5 - pixel) * step, value + (count + 0.5 - pixel) * step))
    if ends[0] > 0:
        state("em_min", significant(LIGHT / ends[1]), source)
        state("em_max", significant(LIGHT / ends[0]), source)


def _mjd(text: str) -> float | None:
    """Return a date of FITS as MJD: ``2017-04-11T01:02:03.4``, or ``27/06/89`` before 1998."""
    for form in ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%d/%m/%y"):
        try:
            found = datetime.strptime(text.strip().rstrip("Z")[:26], form)  # noqa: DTZ007 - FITS times have no zone
        except ValueError:
            continue
        if form == "%d/%m/%y" and found.year > 1999:
            found = found.replace(year=found.year - 100)
        return round((found - _MJD_EPOCH).total_seconds() / 86400, 8)
    return None
