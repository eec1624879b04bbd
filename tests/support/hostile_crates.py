"""Crates that somebody made to do harm when they are replayed: valid ones, with the calls that a test names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casaprov.crate import pack
from casaprov.crates.payload import PayloadItem
from casaprov.hashing import Digest, digest_bytes
from casaprov.readers.installed import open_digester
from casaprov.records.model import Activity, Document, Entity, Environment, Kind, Session, Usage

MS = "w.ms"
"""The input that the crate ships."""

_SESSION = "20260501-a1b2"


@dataclass(frozen=True)
class Call:
    """A call of a hostile crate.

    Attributes
    ----------
    makes
        Kind and parameter (None: undeclared) of what it leaves, by path.
    uses
        Parameter of what it uses, by path.
    """

    task: str
    parameters: Mapping[str, Any]
    makes: Mapping[str, tuple[Kind, str | None]] = field(default_factory=dict)
    uses: Mapping[str, str | None] = field(default_factory=lambda: {MS: "vis"})


def running(command: str, **facts: Any) -> Call:
    """Return a call of flagdata that runs a shell command: CASA evaluates the limits of rflag."""
    assert "'" not in command
    shell = command.replace(" ", "${IFS}")
    flags = f"mode='rflag' spw='0' antenna='1&2' timedev=__import__('os').system('{shell}')"
    parameters = {"vis": MS, "mode": "list", "inpfile": [flags], "flagbackup": False}
    return Call("flagdata", parameters, **facts)


def make_input(folder: Path, fits: Path) -> None:
    """Make the input: a few rows of NGC 5921."""
    code = (
        "import sys; from casatasks import importuvfits, mstransform\n"
        "importuvfits(fitsfile=sys.argv[1], vis='n.ms')\n"
        f"mstransform('n.ms', '{MS}', datacolumn='data', field='0', antenna='1~7&1~7', scan='1',"
        " timerange='<09:21:00', spw='0:20~23')"
    )
    subprocess.run([sys.executable, "-c", code, str(fits)], cwd=folder, check=True, capture_output=True)


@dataclass(frozen=True)
class HostileCrates:
    """Makes crates that ship one small MeasurementSet.

    Parameters
    ----------
    ms
        The MeasurementSet, and the digest of its content.
    """

    ms: Path
    digest: Digest

    @classmethod
    def of(cls, ms: Path) -> HostileCrates:
        """Measure the MeasurementSet as a replay will."""
        with closing(open_digester()) as digester:
            measured = digester.measure(ms)
        assert measured.content_digest is not None
        return cls(ms, measured.content_digest)

    def write(self, path: Path, calls: Iterable[Call]) -> Path:
        """Write a crate with these calls, in this order."""
        folder = path.with_name(f"{path.stem}-recorded")
        folder.mkdir()
        (folder / "n.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
        shipped = Entity(
            id=f"{_SESSION}/e0001", path=MS, kind="MeasurementSet", content_digest=self.digest, size_bytes=10**6
        )
        document = _document(folder, shipped, calls)
        item = PayloadItem(
            entity=shipped, decision="shipped", reason="it is small", size_bytes=shipped.size_bytes, source=self.ms
        )
        others = [
            PayloadItem(
                entity=e, decision="referenced", reason="it is not at hand", size_bytes=e.size_bytes, source=None
            )
            for e in document.entities
            if e.id != shipped.id
        ]
        pack(document, notebook=folder / "n.ipynb", journal=folder, items=[item, *others], out=path)
        return path


def _document(folder: Path, shipped: Entity, calls: Iterable[Call]) -> Document:
    entities = [shipped]
    present = {shipped.path: shipped}
    activities = []
    for number, call in enumerate(calls, start=1):
        activity = f"{_SESSION}/{number:04d}"
        used = tuple(Usage(entity=present[path].id, parameter=name) for path, name in call.uses.items())
        made = []
        for path, (kind, name) in call.makes.items():
            before = present.get(path)
            entity = Entity(
                id=f"{_SESSION}/e{len(entities) + 1:04d}",
                path=path,
                kind=kind,
                content_digest=digest_bytes(f"{path} {number}".encode()),
                size_bytes=1000,
                generated_by=activity,
                revision_of=before.id if before is not None and path in call.uses else None,
            )
            entities.append(entity)
            present[path] = entity
            made.append(Usage(entity=entity.id, parameter=name, declared=name is not None))
        activities.append(
            Activity(
                id=activity,
                session=_SESSION,
                task=call.task,
                package="casatasks",
                started_at=f"2026-05-01T10:{number:02d}:00.000001+00:00",
                ended_at=f"2026-05-01T10:{number:02d}:01.000001+00:00",
                outcome="completed",
                cwd=".",
                parameters=dict(call.parameters),
                given=tuple(sorted(call.parameters)),
                used=used,
                generated=tuple(made),
            )
        )
    session = Session(
        id=_SESSION,
        started_at="2026-05-01T10:00:00.000001+00:00",
        ended_at="2026-05-01T11:00:00.000001+00:00",
        closed=True,
        folder=str(folder),
        notebook="n.ipynb",
        casaprov="0.1.0",
        environment=Environment(casatasks="6.7.0.31", casatools="6.7.0.31", python="3.11.9"),
    )
    return Document(
        notebook="n.ipynb",
        sessions=(session,),
        activities=tuple(activities),
        entities=tuple(entities),
        agents=(),
    )


__all__ = ["MS", "Call", "HostileCrates", "make_input", "running"]
