"""A small reduction for tests: its files on disk, and the record of how they came about."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from casaprov.crate import Packed, pack
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.credits.model import Credits
from casaprov.credits.people import organization, person
from casaprov.descriptions.extras import extra_files
from casaprov.digests.tree import ColumnLeaf, FitsUnit, Outline, TableNode, Tree, content_digest
from casaprov.errors import DigestError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import journal_folder, tree_path, trees_folder
from casaprov.journal.writer import Journal
from casaprov.records.model import (
    Activity,
    Agent,
    Document,
    Entity,
    Environment,
    Failure,
    GitState,
    Locator,
    LogSegment,
    Session,
    Step,
    Tier,
    Usage,
)
from casaprov.records.observation import Observation


def measure(path: Path, *, tier: Tier = "full") -> Measured:
    """Measure a file or folder by names and bytes; CASA's tables need no CASA here."""
    if not path.exists():
        raise DigestError(f"{path} is not there.")
    tree = tree_of(path, "Table")
    return Measured(digest_bytes(path.read_bytes()) if tree is None else content_digest(tree))


def tree_of(path: Path, kind: str) -> dict[str, Any] | None:
    """Digest tree of a table, whose columns are its files, or of a FITS file; None for any other file."""
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
        columns = {name: ColumnLeaf(digest_bytes(data), "string") for name, data in files.items()}
        outline = Outline(type="", subtype="", rows=len(files), keywords=_digest("keywords"))
        return Tree(kind, table=TableNode.of(outline, columns, {})).to_json()
    if path.suffix == ".fits":
        return _fits_tree(path.read_bytes())
    return None


def _cell(activity: Activity) -> dict[str, Any]:
    """Return the cell that a call ran in: its source is the name of the task."""
    assert activity.step is not None
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    return {**code, "id": activity.step.cell_id, "source": activity.task}


def _fits_tree(data: bytes) -> dict[str, Any]:
    return Tree("FITS", units=[FitsUnit("PRIMARY", _digest("header"), digest_bytes(data))]).to_json()


@dataclass(frozen=True)
class Measured:
    content_digest: Digest


@dataclass(frozen=True)
class Reduction:
    """A notebook, its journal folder, its products, and the record of how they came about."""

    folder: Path
    notebook: Path
    journal: Path
    document: Document

    @property
    def folders(self) -> dict[str, Path]:
        return {session.id: self.folder for session in self.document.sessions}


def make_reduction(folder: Path) -> Reduction:
    """Write the files of a small reduction and return it with its record."""
    folder.mkdir(parents=True, exist_ok=True)
    notebook = folder / "my reduction.ipynb"
    journal = journal_folder(notebook)
    _write_table(folder / "n.ms", b"visibilities", SUBTABLE=b"antennas")
    _write_table(folder / "n.ms.flagversions", b"flags")
    _write_table(folder / "n.gcal", b"solutions" * 100, ANTENNA=b"antennas")
    (folder / "n.gcal" / "EMPTY").mkdir()
    _write_table(folder / "cube.image", b"pixels" * 1000)
    (folder / "mom0.fits").write_bytes(b"SIMPLE  =                    T" * 50)
    (folder / "n.listobs").write_text("Observation: VLA(27 antennas)\n")
    document = _reduction_document(folder)
    cells = [_cell(activity) for activity in document.activities]
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    for activity in document.activities:
        if activity.log is not None:
            (journal / activity.log.path).parent.mkdir(parents=True, exist_ok=True)
            (journal / activity.log.path).write_text(f"INFO\t{activity.task}\tBegin Task\n")
    trees_folder(journal).mkdir()
    present = [(e, folder / e.path) for e in document.entities if (folder / e.path).exists()]
    for tree in (_fits_tree(_FAR_AWAY), *(tree_of(path, entity.kind) for entity, path in present)):
        if tree is not None:
            tree_path(journal, content_digest(tree)).write_text(json.dumps(tree))
    return Reduction(folder, notebook, journal, document)


def journaled(folder: Path, *seen: Observation) -> Reduction:
    """A reduction whose record is in its journal, as a kernel writes it.

    Parameters
    ----------
    *seen
        Observations in its input.
    """
    reduction = make_reduction(folder)
    first, *others = reduction.document.entities
    entities_seen = (replace(first, observations=seen), *others)
    reduction = replace(reduction, document=replace(reduction.document, entities=entities_seen))
    journal = Journal(reduction.journal, reduction.document.sessions[0])
    entities = {entity.id: entity for entity in reduction.document.entities}
    for activity in reduction.document.activities:
        journal.begin(replace(activity, outcome="unfinished", ended_at=None, used=(), generated=(), failure=None))
        journal.end(activity, [entities[usage.entity] for usage in (*activity.used, *activity.generated)])
    return reduction


def make_credits() -> Credits:
    """Credits of everything that a crate can say about people and rights."""
    institute = organization("An institute <https://ror.org/05a28rw58>")
    return Credits(
        authors=(replace(person("J. Carberry <0000-0002-1825-0097>"), affiliation=institute),),
        publisher=organization("An archive <https://archive.example.org>"),
        license="CC-BY-4.0",
        keywords=("VLBI",),
        funders=(organization("A fund <https://ror.org/04jsz6e67>"),),
        conditions_of_access="Proprietary until 2027-01-01.",
    )


def pack_reduction(
    reduction: Reduction,
    out: Path,
    given: Credits | None = None,
    extras: Collection[str] | None = None,
    title: str | None = None,
    profile: Literal["0.5", "0.6"] = "0.5",
    **policy: Any,
) -> Packed:
    """Pack a reduction as ``casaprov export`` does; with `extras`, also the files for programs of others."""
    items = choose_payload(reduction.document, reduction.folders, PayloadPolicy(**policy), measure=measure)
    return pack(
        reduction.document,
        notebook=reduction.notebook,
        journal=reduction.journal,
        items=items,
        out=out,
        title=title,
        credits=given,
        extras=None if extras is None else partial(extra_files, wanted=extras),
        profile=profile,
    )


def _write_table(path: Path, data: bytes, **subtables: bytes) -> None:
    path.mkdir()
    (path / "table.dat").write_bytes(b"\xbe\xbe\xbe\xbe" + data)
    (path / "table.f0").write_bytes(data)
    for name, content in subtables.items():
        _write_table(path / name, content)


def _digest(text: str) -> Digest:
    return digest_bytes(text.encode())


def _reduction_document(folder: Path) -> Document:
    session = Session(
        id="20260501-a1b2",
        started_at="2026-05-01T10:00:00.123456+00:00",
        ended_at="2026-05-01T10:09:59.999999+00:00",
        closed=True,
        folder=str(folder),
        notebook="my reduction.ipynb",
        casaprov="0.1.0",
        environment=Environment(
            casatasks="6.7.0.31",
            casatools="6.7.0.31",
            casadata="2025.9.22",
            python="3.11.9",
            platform="Linux-6.1-x86_64",
            threads={"OMP_NUM_THREADS": "2"},
            packages={"numpy": "1.26.4"},
            git=GitState(commit="0123456789abcdef", dirty=False, remote="https://example.org/n.git"),
        ),
    )
    far = content_digest(_fits_tree(_FAR_AWAY))
    fits = _entity(1, "data/N.fits", "FITS", digest=far, byte_digest=_digest("bytes"), locators=_LOCATORS)
    ms = [_entity(2, "n.ms", "MeasurementSet", by=1), _entity(3, "n.ms", "MeasurementSet", by=3, of=2)]
    last = _entity(7, "n.ms", "MeasurementSet", by=6, of=3, digest=measure(folder / "n.ms").content_digest)
    made = {
        number: _entity(number, path, kind, by=by, digest=measure(folder / path).content_digest)
        for number, path, kind, by in (
            (4, "n.listobs", "File", 2),
            (5, "n.ms.flagversions", "Directory", 3),
            (6, "n.gcal", "CalibrationTable", 4),
            (8, "cube.image", "Image", 7),
            (9, "mom0.fits", "FITS", 8),
        )
    }
    calls = (
        _call(1, "importuvfits", {"fitsfile": "data/N.fits", "vis": "n.ms"}, ["fitsfile:1"], ["vis:2"]),
        _call(2, "listobs", {"vis": "n.ms", "listfile": "n.listobs"}, ["vis:2"], ["listfile:4"]),
        _call(3, "flagdata", {"vis": "n.ms", "mode": "manual", "autocorr": True}, ["vis:2"], ["vis:3", ":5"]),
        _call(
            4,
            "gaincal",
            {"vis": "n.ms", "caltable": "n.gcal", "solint": "inf", "minsnr": 3.0, "gaintable": [], "refant": ""},
            ["vis:3"],
            ["caltable:6"],
        ),
        _call(5, "gaincal", {"vis": "n.ms", "caltable": "x.gcal", "solint": "x"}, ["vis:3"], [], failed=True),
        _call(6, "applycal", {"vis": "n.ms", "gaintable": ["n.gcal"]}, ["vis:3", "gaintable:6"], ["vis:7"]),
        _call(7, "tclean", {"vis": "n.ms", "imagename": "cube", "cell": ["15arcsec"]}, ["vis:7"], ["imagename:8"]),
        _call(8, "exportfits", {"imagename": "cube.image", "fitsimage": "mom0.fits"}, ["imagename:8"], ["fitsimage:9"]),
    )
    return Document(
        notebook="my reduction.ipynb",
        sessions=(session,),
        activities=calls,
        entities=(fits, *ms, made[4], made[5], made[6], last, made[8], made[9]),
        agents=(Agent(id="casatasks-6.7.0.31", type="SoftwareAgent", name="casatasks", version="6.7.0.31", url=_CASA),),
    )


_FAR_AWAY = b"what the FITS file that is not here would hold"
_CASA = "https://casa.nrao.edu/"
_LOCATORS = (
    Locator(scheme="casadata", value="demo/N.fits"),
    Locator(scheme="https", value="https://example.org/N.fits"),
    Locator(scheme="file", value="/data/my data/N.fits"),
)


def _entity(number: int, path: str, kind: Any, *, by: int | None = None, of: int | None = None, **facts: Any) -> Entity:
    return Entity(
        id=f"20260501-a1b2/e{number:04d}",
        path=path,
        kind=kind,
        content_digest=facts.pop("digest", None) or _digest(f"{path} {number}"),
        size_bytes=1000 * number,
        generated_by=None if by is None else f"20260501-a1b2/{by:04d}",
        revision_of=None if of is None else f"20260501-a1b2/e{of:04d}",
        **facts,
    )


def _call(
    number: int, task: str, given: dict[str, Any], used: list[str], generated: list[str], *, failed: bool = False
) -> Activity:
    return Activity(
        id=f"20260501-a1b2/{number:04d}",
        session="20260501-a1b2",
        task=task,
        package="casatasks",
        started_at=f"2026-05-01T10:0{number}:00.000001+00:00",
        ended_at=f"2026-05-01T10:0{number}:30.500000+00:00",
        outcome="failed" if failed else "completed",
        failure=Failure(type="RuntimeError", message="no data selected") if failed else None,
        cwd=".",
        parameters={**given, "async": False, "extra": None},
        given=tuple(given),
        step=Step(source_digest=_digest(task), cell_id=f"cell-{number}"),
        used=tuple(_usage(text) for text in used),
        generated=tuple(_usage(text) for text in generated),
        returned={"flux": [2.48, "Jy"]} if task == "listobs" else None,
        log=LogSegment(path=f"20260501-a1b2/logs/{number:04d}-{task}.log", lines=1, warnings=0, errors=0),
    )


def _usage(text: str) -> Usage:
    parameter, _, number = text.partition(":")
    return Usage(entity=f"20260501-a1b2/e{int(number):04d}", parameter=parameter or None, declared=bool(parameter))
