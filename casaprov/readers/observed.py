"""Observations of a file, table or ASDM, read with the installed libraries."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from casaprov.errors import DigestError, MissingDependency
from casaprov.files.kinds import is_fits, is_table
from casaprov.observations.asdms import asdm
from casaprov.observations.fits_visibilities import fits_idi, uvfits
from casaprov.observations.images import casa_image, fits_image
from casaprov.observations.measurement_sets import measurement_set
from casaprov.readers.asdm_xml import asdm_rows, is_asdm
from casaprov.readers.installed import table_reader
from casaprov.records.observation import Observation

__all__ = ["observed"]

_MOST_UNITS = 1000


def observed(path: Path, *, with_observer: bool = False) -> tuple[Observation, ...]:
    """Return the observations of a file or table by its headers; none of calibration tables and other files.

    Raises
    ------
    DigestError
        If the headers cannot be read.
    MissingDependency
        If the library that could read them is not installed.
    """
    try:
        if is_table(path):
            return _table(path, with_observer=with_observer)
        if path.is_dir():
            return asdm(partial(asdm_rows, path), with_observer=with_observer) if is_asdm(path) else ()
        return _fits(path, with_observer=with_observer) if is_fits(path) else ()
    except (DigestError, MissingDependency):
        raise
    except Exception as error:  # files of many programs break many rules; facts are no reason to fail
        raise DigestError(f"The headers of {path} cannot be understood: {type(error).__name__}: {error}") from error


def _table(path: Path, *, with_observer: bool) -> tuple[Observation, ...]:
    reader = table_reader()
    table = reader.open(path)
    kind = table.type
    table.close()
    if kind == "Measurement Set":
        return measurement_set(path, reader, with_observer=with_observer)
    return casa_image(path, reader, with_observer=with_observer) if kind == "Image" else ()


def _fits(path: Path, *, with_observer: bool) -> tuple[Observation, ...]:
    try:
        from casaprov.readers.fits_units import AstropyFitsUnits
    except ImportError as error:
        raise MissingDependency("FITS files cannot be read: astropy is not installed.") from error
    with AstropyFitsUnits().units(path) as opened:
        units = list(islice(opened, _MOST_UNITS))
        if not units:
            return ()
        cards = units[0].cards
        if cards.get("GROUPS") is True and cards.get("NAXIS1") == 0 and cards.get("PTYPE1"):
            return uvfits(units, with_observer=with_observer)
        if any(unit.name == "UV_DATA" for unit in units):
            return fits_idi(units, with_observer=with_observer)
        image = next((unit for unit in units if unit.cards.get("NAXIS", 0) >= 2 and unit.cards.get("CTYPE1")), None)
        return fits_image(image.cards, with_observer=with_observer) if image is not None else ()
