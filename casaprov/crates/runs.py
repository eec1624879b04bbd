"""The Sessions of a Document as JSON-LD: runs of the notebook under casaprov, and their environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from casaprov import terms
from casaprov.crates.nodes import Node, iri, local, ref, time, value
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Session

__all__ = ["engine_nodes", "last_time", "run_nodes"]


def run_nodes(
    document: Document, notebook: str, ids: Mapping[str, str], controls: Mapping[str, str], people: Sequence[Node]
) -> Iterable[Node]:
    """Describe each session with calls: the notebook's run, and casaprov that organised it.

    Parameters
    ----------
    ids
        Identifier of every Entity.
    controls
        Identifier of the ControlAction of every Activity.
    people
        References to those who ran it.
    """
    products = [entity.id for entity in Lineage(document).products()]
    for session in _with_calls(document):
        mine = [activity for activity in document.activities if activity.session == session.id]
        made = {usage.entity for activity in mine for usage in activity.generated}
        read = [usage.entity for activity in mine for usage in activity.used if usage.entity not in made]
        environment = list(_environment(session))
        completed = mine[-1].outcome == "completed"
        common = {
            "agent": people,
            "startTime": time(session.started_at),
            "endTime": time(session.ended_at or mine[-1].ended_at or last_time(document)),
            "actionStatus": terms.STATUS_COMPLETED if completed else terms.STATUS_FAILED,
        }
        yield {
            "@id": local("run", session.id),
            "@type": "CreateAction",
            "name": f"Run of {notebook}",
            "description": f"Kernel session {session.id} with {len(mine)} recorded calls.",
            "instrument": ref(iri(notebook)),
            "object": [ref(ids[entity]) for entity in read],
            "result": [ref(ids[entity]) for entity in products if entity in made],
            "environment": [ref(node["@id"]) for node in environment],
            **common,
        }
        yield {
            "@id": local("session", session.id),
            "@type": "OrganizeAction",
            "name": f"Session {session.id} under casaprov",
            "instrument": ref(_engine_id(session)),
            "object": [ref(controls[activity.id]) for activity in mine],
            "result": ref(local("run", session.id)),
            **common,
        }
        yield from environment


def engine_nodes(document: Document) -> Iterable[Node]:
    """Describe the versions of casaprov that recorded."""
    for session in _with_calls(document):
        yield {
            "@id": _engine_id(session),
            "@type": "SoftwareApplication",
            "name": "casaprov",
            "softwareVersion": session.casaprov,
            "url": terms.CASAPROV,
        }


def last_time(document: Document) -> str:
    """Latest time that the records speak of."""
    told = [session.ended_at or session.started_at for session in document.sessions]
    return max(told + [activity.ended_at or activity.started_at for activity in document.activities])


def _with_calls(document: Document) -> list[Session]:
    used = {activity.session for activity in document.activities}
    return [session for session in document.sessions if session.id in used]


def _engine_id(session: Session) -> str:
    return local("engine", f"casaprov-{session.casaprov}")


def _environment(session: Session) -> Iterable[Node]:
    where = session.environment
    names = ("casatasks", "casatools", "casadata", "measures", "python", "platform", "container")
    for name, told in {**{name: getattr(where, name) for name in names}, **where.threads}.items():
        if told:
            at = local("environment", f"{session.id}/{name}")
            yield {"@id": at, "@type": "PropertyValue", "name": name, "value": value(told)}
