"""Documents for tests, told call by call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from casaprov.hashing import digest_bytes
from casaprov.records.model import Activity, Document, Entity, Environment, Kind, Locator, Outcome, Session, Usage

SESSION = Session(
    id="20260501T100000-abcdef",
    started_at="2026-05-01T10:00:00.000000+00:00",
    folder="/data/ngc5921",
    environment=Environment(casatasks="6.7.0.31", casatools="6.7.0.31", python="3.11.7"),
    casaprov="0.1.0",
    notebook="ngc5921.ipynb",
)

_KINDS: dict[str, Kind] = {
    ".ms": "MeasurementSet",
    ".gcal": "CalibrationTable",
    ".image": "Image",
    ".fits": "FITS",
}


@dataclass
class Story:
    """A Document in the making: each method appends what happened next."""

    session: Session = SESSION
    entities: list[Entity] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    current: dict[str, str] = field(default_factory=dict)

    @property
    def document(self) -> Document:
        return Document(
            notebook=self.session.notebook,
            sessions=(self.session,),
            activities=tuple(self.activities),
            entities=tuple(self.entities),
        )

    @property
    def ids(self) -> list[str]:
        return [activity.id for activity in self.activities]

    def call(
        self,
        task: str,
        *,
        used: Iterable[str] = (),
        changed: Iterable[str] = (),
        generated: Iterable[str] = (),
        deleted: Iterable[str] = (),
        outcome: Outcome = "completed",
        parameters: dict[str, Any] | None = None,
        parent: str | None = None,
        package: str = "casatasks",
    ) -> Activity:
        activity_id = f"{self.session.id}/{len(self.activities) + 1:04d}"
        reads = [Usage(entity=self.state(path), parameter="vis") for path in used]
        before = {path: self.state(path) for path in changed}
        reads += [Usage(entity=entity) for entity in before.values() if entity not in {u.entity for u in reads}]
        made = [self._entity(path, generated_by=activity_id, revision_of=before[path]) for path in before]
        made += [self._entity(path, generated_by=activity_id) for path in generated]
        self.activities.append(
            Activity(
                id=activity_id,
                session=self.session.id,
                task=task,
                package=package,
                started_at=f"2026-05-01T10:{len(self.activities):02d}:00.000000+00:00",
                ended_at=None
                if outcome == "unfinished"
                else f"2026-05-01T10:{len(self.activities):02d}:09.000000+00:00",
                outcome=outcome,
                cwd=".",
                parameters=parameters or {},
                given=tuple(parameters or {}),
                parent=parent,
                used=tuple(reads),
                generated=tuple(Usage(entity=entity) for entity in made),
                deleted=tuple(deleted),
            )
        )
        return self.activities[-1]

    def gap(self, path: str) -> None:
        """Something outside of tasks changed `path`."""
        self._entity(path, revision_of=self.state(path), gap=True)

    def copy(self, source: str, path: str) -> None:
        """Something outside of tasks copied or moved `source` to `path`."""
        original = next(entity for entity in self.entities if entity.id == self.state(source))
        self._entity(path, copy_of=original.id)
        self.entities[-1] = replace(self.entities[-1], content_digest=original.content_digest)

    def remains(self, path: str, note: str) -> None:
        """A call that never ended may have left `path`."""
        self._entity(path, gap=True, note=note)

    def state(self, path: str) -> str:
        """Id of the present state of a path; an external input if there is none."""
        return self.current.get(path) or self._entity(path, locators=(Locator(scheme="file", value=f"/data/{path}"),))

    def _entity(self, path: str, **facts: Any) -> str:
        number = len(self.entities) + 1
        entity = Entity(
            id=f"{self.session.id}/e{number:04d}",
            path=path,
            kind=next((kind for end, kind in _KINDS.items() if path.endswith(end)), "File"),
            content_digest=digest_bytes(f"{path} {number}".encode()),
            size_bytes=1000 + number,
            **facts,
        )
        self.entities.append(entity)
        self.current[path] = entity.id
        return entity.id
