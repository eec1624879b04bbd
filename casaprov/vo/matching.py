"""Matching of an input with rows of an archive, and the confidence of each match."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from casaprov.records.model import Entity, Identifier
from casaprov.records.observation import Observation
from casaprov.vo.archives import Archive
from casaprov.vo.tap import Row

__all__ = ["File", "identifiers_of"]

_MARGIN_D = 0.01

File = tuple[str, int | None]
"""Name and size in bytes of a file of an archive; the size is None if it is not stated."""


def identifiers_of(
    entity: Entity,
    archive: Archive,
    rows: Iterable[tuple[Row, Sequence[File]]],
    time: str,
) -> tuple[Identifier, ...]:
    """Return the identifiers of a state in an archive.

    Parameters
    ----------
    rows
        Rows that the archive has for a fact of it, each with its files, as far as they were asked for.
    time
        Time of the question.

    Returns
    -------
    tuple of Identifier
        ``certain`` where a file has its name and size; ``likely`` where key, time and target agree. Others are no identifiers.
    """
    found: dict[tuple[str, str], Identifier] = {}
    for row, files in rows:
        if (PurePosixPath(entity.path).name, entity.size_bytes) in files:
            confidence, matched = "certain", "file name and size"
        elif any(_same(row, observation) for observation in entity.observations):
            confidence, matched = "likely", f"{archive.key}, time and target"
        else:
            continue
        for column in archive.identify:
            value = str(row.get(column.lower()) or "")
            scheme = "ivoid" if column == "obs_publisher_did" else column
            if value and (scheme, value) not in found:
                found[scheme, value] = Identifier(
                    scheme=scheme,
                    value=value,
                    confidence="certain" if confidence == "certain" else "likely",
                    time=time,
                    service=archive.service,
                    table=archive.table,
                    key_column=archive.key,
                    matched_by=matched,
                )
    return tuple(found.values())


def _same(row: Row, observation: Observation) -> bool:
    """Return True if times overlap and targets have one name."""
    try:
        low, high = float(row.get("t_min") or "nan"), float(row.get("t_max") or "nan")
    except ValueError:
        return False
    if observation.t_min is None or observation.t_max is None:
        return False
    overlaps = low <= observation.t_max + _MARGIN_D and high >= observation.t_min - _MARGIN_D
    return overlaps and _name(str(row.get("target_name") or "")) == _name(observation.target_name) != ""


def _name(text: str) -> str:
    return re.sub(r"[\s_]+", "", text).upper()
