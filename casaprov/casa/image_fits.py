"""FITS copies of images for a crate: exportfits in a confined child process, and the record of these calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from casaprov.casa.sandbox.confine import require_confinement
from casaprov.casa.sandbox.executor import CasaProcess
from casaprov.digests.measurement import Measure, Measurement, facts_of
from casaprov.errors import CasaprovError, ConfinementMissing, JournalError
from casaprov.hashing import digest_bytes
from casaprov.journal.folder import store_tree
from casaprov.records.model import Activity, Document, Entity, Environment, Session, Usage
from casaprov.records.wording import now
from casaprov.tasks.calls import TaskCall
from casaprov.version import __version__

__all__ = ["FitsMaker", "ImageFits"]

_TASK: Final = "exportfits"
_PACKAGE: Final = "casatasks"


@dataclass(frozen=True, kw_only=True)
class ImageFits:
    """FITS copies of images, and the Document with the calls that made them.

    Attributes
    ----------
    files
        The copies on disk, by the id of their Entity.
    notes
        Sentences about images without a copy.
    """

    document: Document
    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()


class FitsMaker:
    """Makes FITS copies of images.

    Parameters
    ----------
    measure
        Measures the copies.
    clock
        Returns the present time as records write it.
    """

    def __init__(self, measure: Measure[Measurement], clock: Callable[[], str] = now) -> None:
        self._measure = measure
        self._clock = clock

    def __call__(self, document: Document, images: Mapping[str, Path], into: Path, journal: Path) -> ImageFits:
        """Make a copy of each image. Images with the same folder of recorded paths have one session.

        Parameters
        ----------
        images
            The images on disk, by the id of their Entity.
        into
            An empty folder for the copies; the child can write nowhere else.
        journal
            Folder of the journal, which takes the digest trees.

        Raises
        ------
        CasaMissing, CasaDataMissing
            If CASA cannot be imported.
        """
        if not images:  # CASA takes seconds to start
            return ImageFits(document=document, files={})
        folders = {session.id: session.folder for session in document.sessions}
        files: dict[str, Path] = {}
        notes: list[str] = []
        with closing(_process(into, images.values())) as casa:
            environment = replace(casa.environment(into), git=None)  # the copies lie in no repository
            defaults = casa.defaults(_TASK, _PACKAGE)
            wanted = [entity for entity in document.entities if entity.id in images]
            sessions: dict[str, _Export] = {}
            for number, image in enumerate(wanted, start=1):
                folder = folders[image.session]
                if folder not in sessions:
                    sessions[folder] = _Export(document, folder, len(sessions), environment, defaults, self._clock)
                at = into / str(number)
                at.mkdir()
                started_at = self._clock()
                try:
                    made = _exported(casa, images[image.id], at)
                    measured = self._measure(made)
                except CasaprovError as error:
                    notes.append(f"{image.path} is not in the crate as FITS. {error.message}")
                    continue
                if measured.tree is not None:
                    with suppress(JournalError):  # without its tree it can only be compared as a whole
                        store_tree(journal, measured.content_digest, measured.tree)
                files[sessions[folder].record(image, measured, started_at)] = made
        for export in sessions.values():
            document = export.added_to(document)
        return ImageFits(document=document, files=files, notes=tuple(notes))


class _Export:
    """The session of an export in the making."""

    def __init__(
        self,
        document: Document,
        folder: str,
        number: int,
        environment: Environment,
        defaults: Mapping[str, Any],
        clock: Callable[[], str],
    ) -> None:
        began = clock()
        # The same record at the same time gives the same id.
        unique = digest_bytes(f"{document.sessions[-1].id} {number}".encode()).removeprefix("sha256:")[:6]
        self._session = Session(
            id=f"{datetime.fromisoformat(began):%Y%m%dT%H%M%S}-{unique}",
            started_at=began,
            folder=folder,
            environment=environment,
            casaprov=__version__,
            notebook=document.notebook,
            exporting=True,
        )
        self._taken = {entity.path for entity in document.entities}
        self._defaults = defaults
        self._clock = clock
        self._calls: list[Activity] = []
        self._copies: list[Entity] = []

    def record(self, image: Entity, measured: Measurement, started_at: str) -> str:
        """Record the copy of an image; return the id of its Entity."""
        number = len(self._calls) + 1
        call = f"{self._session.id}/{number:04d}"
        path = next(path for path in _names(image.path) if path not in self._taken)
        self._taken.add(path)
        facts = facts_of(measured, derived=True)
        copy = Entity(id=f"{self._session.id}/e{number:04d}", path=path, generated_by=call, **facts)
        given = {"imagename": image.path, "fitsimage": path}
        self._calls.append(
            Activity(
                id=call,
                session=self._session.id,
                task=_TASK,
                package=_PACKAGE,
                started_at=started_at,
                ended_at=self._clock(),
                outcome="completed",
                cwd=".",
                parameters={**self._defaults, **given},
                given=tuple(given),
                used=(Usage(entity=image.id, parameter="imagename"),),
                generated=(Usage(entity=copy.id, parameter="fitsimage"),),
            )
        )
        self._copies.append(copy)
        return copy.id

    def added_to(self, document: Document) -> Document:
        """Return the Document with this session, if it made anything."""
        if not self._calls:
            return document
        session = replace(self._session, ended_at=self._calls[-1].ended_at, closed=True)
        return replace(
            document,
            sessions=(*document.sessions, session),
            activities=(*document.activities, *self._calls),
            entities=(*document.entities, *self._copies),
        )


def _process(into: Path, images: Iterable[Path]) -> CasaProcess:
    try:
        require_confinement()
    except ConfinementMissing:  # the images are the user's own
        return CasaProcess(into, inputs=images, confined=False)
    return CasaProcess(into, inputs=images)


def _exported(casa: CasaProcess, image: Path, at: Path) -> Path:
    """Write an image as FITS into an empty folder.

    Raises
    ------
    CasaprovError
        If the task fails.
    """
    # A link, so that no path of this machine gets into the file.
    (at / image.name).symlink_to(image.absolute())
    made = at / f"{image.name}.fits"
    names = {"imagename": image.name, "fitsimage": made.name}
    call = TaskCall(task=_TASK, package=_PACKAGE, parameters=names, given=tuple(names), cwd=at)
    error = casa.run(call).error
    if error is not None or not made.is_file():
        raise CasaprovError(f"exportfits failed: {error or 'it wrote no file'}")
    return made


def _names(image: str) -> Iterable[str]:
    """Yield names for the copy of an image; the record may have the first ones already."""
    yield f"{image}.fits"
    yield from (f"{image}.{number}.fits" for number in count(2))
