"""A Document as PROV-JSON with the IVOA's words, and back.

Sources: W3C PROV-DM (2013), the PROV-JSON member submission (2013), the IVOA
Provenance Data Model 1.0 (2020). ``docs/reference/prov.md`` describes the
element that each record becomes. Every element also carries its whole record
as JSON in ``casaprov:record``; :func:`from_prov` reads nothing else, so that
the way back is complete even after another program has rewritten the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import count
from typing import Any, Final
from urllib.parse import quote

from casaprov import terms
from casaprov.errors import RecordError
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Agent, Document, Entity, Session, Usage
from casaprov.records.serialise import structure, unstructure

__all__ = ["from_prov", "plain_prov", "to_prov"]

_Statement = dict[str, Any]

_LOCAL: Final = ("archive", "document", "session", "call", "state", "task", "parameter", "agent")
"""Kinds of things that have names; each kind is a prefix of qualified names."""

_PREFIXES: Final = {
    # PROV and XSD are known to every reader of PROV-JSON without being declared.
    "voprov": terms.VOPROV,
    "casaprov": f"{terms.CASAPROV}/terms#",
    **{kind: f"{terms.CASAPROV}/{kind}/" for kind in _LOCAL},
}
_OF_THE_IVOA: Final = "wasInfluencedBy"
"""Relation that stands for those that only the IVOA has: a description, a configuration. Its package writes them so."""

_FIELDS: Final = {"session": "sessions", "call": "activities", "state": "entities", "agent": "agents"}
"""Field of the Document by prefix: it holds the records that elements with this prefix carry."""


def to_prov(document: Document, people: Iterable[Agent] = ()) -> dict[str, Any]:
    """Return the Document as PROV-JSON values.

    Parameters
    ----------
    people
        Authors of the notebook, beside the people in the Document.

    Raises
    ------
    RecordError
        If a time in the record is malformed or has no zone.
    """
    return _Writer(document, people).statements()


def plain_prov(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`to_prov` wrote without the IVOA's words and without the carried records, which lead back."""
    prefixes = {prefix: iri for prefix, iri in data["prefix"].items() if prefix != "voprov"}
    sections = {
        section: {name: _plain_statement(statement) for name, statement in statements.items()}
        for section, statements in data.items()
        if section not in ("prefix", _OF_THE_IVOA)
    }
    return {"prefix": prefixes, **sections}


def _plain_statement(statement: Mapping[str, Any]) -> _Statement:
    kept = {
        key: value
        for key, value in statement.items()
        if not key.startswith("voprov:") and key not in ("casaprov:record", "casaprov:position")
    }
    types = [one for one in kept.pop("prov:type", ()) if not one["$"].startswith("voprov:")]
    return {**kept, "prov:type": types} if types else kept


def from_prov(data: Any) -> Document:
    """Read the Document that :func:`to_prov` wrote.

    Raises
    ------
    RecordError
        If `data` is no PROV-JSON of casaprov, or its records do not fit.
    """
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {kind: [] for kind in ("document", *_FIELDS)}
    for name, element in _elements(data):
        kind = name.partition(":")[0]
        if kind in found and "casaprov:record" in element:
            found[kind].append(_carried(name, element))
    if len(found["document"]) != 1:
        raise RecordError("This PROV-JSON holds no record of casaprov.", hint="Give a file that casaprov wrote.")
    ((_, whole),) = found["document"]
    for kind, name in _FIELDS.items():
        whole[name] = [record for _, record in sorted(found[kind], key=lambda item: item[0])]
    return structure(whole, Document)


def _elements(data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield entities, activities and agents with their names; one name may have several descriptions."""
    for section in ("entity", "activity", "agent"):
        elements = data.get(section, {}) if isinstance(data, dict) else {}
        for name, descriptions in elements.items() if isinstance(elements, dict) else ():
            for element in descriptions if isinstance(descriptions, list) else [descriptions]:
                if isinstance(element, dict):
                    yield name, element


def _plain(value: Any) -> Any:
    """Return the value of a literal, typed or not."""
    return value.get("$") if isinstance(value, dict) else value


def _carried(name: str, element: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the position and the record that an element carries."""
    try:
        record = json.loads(_plain(element["casaprov:record"]))
        position = int(_plain(element["casaprov:position"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"The record that {name} carries is damaged: {error}.") from error
    if not isinstance(record, dict):
        raise RecordError(f"The record that {name} carries is no object.")
    return position, record


class _Writer:
    """PROV statements in the making."""

    def __init__(self, document: Document, people: Iterable[Agent]) -> None:
        known = {agent.id for agent in document.agents}
        self.people = [agent for agent in document.agents if agent.type == "Person"]
        self.authors = [agent for agent in people if agent.id not in known]
        self.document = document
        self.lineage = Lineage(document)
        self.sessions = {session.id: session for session in document.sessions}
        self.sections: dict[str, dict[str, _Statement]] = {}
        self._numbers = count(1)
        first = document.sessions[0].id if document.sessions else document.notebook
        self.notebook = _name("document", first)
        self.agents = {agent.id for agent in document.agents}

    def statements(self) -> dict[str, Any]:
        document = self.document
        header = {"notebook": document.notebook, "format": document.format}
        self._element("entity", self.notebook, _types("prov:Plan"), document.notebook, record=header, position=0)
        for position, agent in enumerate(document.agents):
            self._agent(agent, position)
        for author in self.authors:
            self._agent(author)
            about = {"prov:entity": self.notebook, "prov:agent": _name("agent", author.id)}
            self._relation("wasAttributedTo", about)
        for position, session in enumerate(document.sessions):
            self._session(session, position)
        for position, entity in enumerate(document.entities):
            self._entity(entity, position)
        for position, activity in enumerate(document.activities):
            self._activity(activity, position)
        for activity_id, removed in self.lineage.history.removed.items():
            for entity in removed:
                ended = _time(self.lineage.activities[activity_id].ended_at)
                about = {"prov:entity": _name("state", entity.id), "prov:activity": _name("call", activity_id)}
                self._relation("wasInvalidatedBy", {**about, "prov:time": ended})
        return {"prefix": dict(_PREFIXES), **self.sections}

    # -- elements ------------------------------------------------------------

    def _agent(self, agent: Agent, position: int | None = None) -> None:
        record = None if position is None else unstructure(agent)
        facts = {"voprov:name": agent.name, "voprov:version": agent.version or None, "voprov:url": agent.url or None}
        types = _types(f"prov:{agent.type}")
        self._element("agent", _name("agent", agent.id), types, agent.name, facts, record=record, position=position)

    def _session(self, session: Session, position: int) -> None:
        name = _name("session", session.id)
        times = {"prov:startTime": _time(session.started_at), "prov:endTime": _time(session.ended_at)}
        self._element(
            "activity",
            name,
            _types("casaprov:Session"),
            f"kernel session of {session.notebook or self.document.notebook}",
            times,
            record=unstructure(session),
            position=position,
        )
        people = (agent.id for agent in (*self.people, *self.authors))
        for agent in (self._software("casaprov", session.casaprov), *people):
            about = {"prov:activity": name, "prov:agent": _name("agent", agent), "prov:plan": self.notebook}
            self._relation("wasAssociatedWith", about)

    def _entity(self, entity: Entity, position: int) -> None:
        name = _name("state", entity.id)
        facts = {
            "prov:location": entity.path,
            "voprov:name": entity.path,
            "casaprov:kind": entity.kind,
            "casaprov:contentDigest": entity.content_digest,
            "casaprov:byteDigest": entity.byte_digest,
            "casaprov:tier": entity.tier if entity.tier != "full" else None,
            "casaprov:sizeBytes": {"$": str(entity.size_bytes), "type": "xsd:long"},
            "casaprov:gap": entity.gap or None,
            "casaprov:note": entity.note or None,
            **_observed(entity),
        }
        types = _types("voprov:DatasetEntity")
        self._element("entity", name, types, entity.path, facts, record=unstructure(entity), position=position)
        for known in entity.identifiers:
            source = _name("archive", f"{known.scheme}/{known.value}")
            facts = {
                "voprov:name": known.value,
                "casaprov:scheme": known.scheme,
                "casaprov:service": known.service or None,
            }
            self._element("entity", source, _types("voprov:DatasetEntity"), known.value, facts)
            about = {"prov:generatedEntity": name, "prov:usedEntity": source}
            self._relation("wasDerivedFrom", {**about, "prov:type": _types("prov:PrimarySource")})
        by = _name("call", entity.generated_by) if entity.generated_by else None
        for before, how in ((entity.revision_of, "prov:Revision"), (entity.copy_of, "casaprov:Copy")):
            if before is not None:
                about = {"prov:generatedEntity": name, "prov:usedEntity": _name("state", before)}
                self._relation("wasDerivedFrom", {**about, "prov:activity": by, "prov:type": _types(how)})

    def _activity(self, activity: Activity, position: int) -> None:
        name = _name("call", activity.id)
        facts = {
            "prov:startTime": _time(activity.started_at),
            "prov:endTime": _time(activity.ended_at),
            "voprov:name": activity.task,
            "casaprov:outcome": activity.outcome,
            "casaprov:error": f"{activity.failure.type}: {activity.failure.message}" if activity.failure else None,
        }
        types = _types("casaprov:TaskCall")
        self._element("activity", name, types, activity.task, facts, record=unstructure(activity), position=position)
        about = {"prov:activity": name, "prov:agent": _name("agent", self._package(activity))}
        task = self._task(activity)
        self._relation("wasAssociatedWith", {**about, "prov:plan": task})
        self._influence(name, task, "voprov:DescriptionRelation")
        starter = _name("call", activity.parent) if activity.parent else _name("session", activity.session)
        self._relation("wasStartedBy", {"prov:activity": name, "prov:starter": starter})
        if activity.restored_from is not None:
            informed = {"prov:informed": name, "prov:informant": _name("call", activity.restored_from)}
            self._relation("wasInformedBy", {**informed, "prov:type": _types("casaprov:Restored")})
        for usage in activity.used:
            self._usage("used", name, usage, _time(activity.started_at))
        for usage in activity.generated:
            self._usage("wasGeneratedBy", name, usage, _time(activity.ended_at))
        self._parameters(activity, name)

    def _usage(self, relation: str, call: str, usage: Usage, time: str | None) -> None:
        about = {"prov:activity": call, "prov:entity": _name("state", usage.entity), "prov:time": time}
        facts = {"prov:role": usage.parameter or "side effect", "casaprov:declared": usage.declared}
        types = _types("voprov:Usage" if relation == "used" else "voprov:Generation")
        self._relation(relation, {**about, **facts, "prov:type": types})

    def _influence(self, call: str, by: str, kind: str, **facts: str) -> None:
        about = {"prov:influencee": call, "prov:influencer": by, "prov:type": _types(kind)}
        self._relation(_OF_THE_IVOA, {**about, **{f"voprov:{name}": fact for name, fact in facts.items()}})

    def _parameters(self, activity: Activity, call: str) -> None:
        """Add the given parameters that name no recorded state; the call's record holds the defaults."""
        named = {usage.parameter for usage in (*activity.used, *activity.generated)}
        for given in (name for name in activity.given if name in activity.parameters and name not in named):
            name = _name("parameter", f"{activity.id}/{given}")
            facts = {"voprov:name": given, "prov:value": _value(activity.parameters[given])}
            self._element("entity", name, _types("voprov:Parameter"), given, facts)
            self._relation("used", {"prov:activity": call, "prov:entity": name, "prov:role": given})
            self._influence(call, name, "voprov:ConfigurationRelation", artefactType="Parameter")

    def _task(self, activity: Activity) -> str:
        """Add the description of a task, which is the plan of its calls; return its name."""
        version = self._version(activity)
        name = _name("task", f"{activity.package}.{activity.task}@{version or 'unknown'}")
        docs = terms.CASA_DOCS if activity.package == "casatasks" else None
        facts = {"voprov:name": activity.task, "voprov:version": version or None, "voprov:docurl": docs}
        self._element("entity", name, _types("prov:Plan", "voprov:ActivityDescription"), activity.task, facts)
        return name

    def _version(self, activity: Activity) -> str:
        session = self.sessions.get(activity.session)
        if session is None:
            return ""
        environment = session.environment
        known = {"casatasks": environment.casatasks, "casatools": environment.casatools}
        return known.get(activity.package) or environment.packages.get(activity.package, "")

    def _package(self, activity: Activity) -> str:
        return self._software(activity.package, self._version(activity))

    def _software(self, name: str, version: str) -> str:
        """Return the id of a program's agent; add an agent that the record does not have."""
        agent = Agent(id=f"{name}-{version}" if version else name, type="SoftwareAgent", name=name, version=version)
        if agent.id not in self.agents:
            self.agents.add(agent.id)
            self._agent(agent)
        return agent.id

    # -- statements ----------------------------------------------------------

    def _element(
        self,
        section: str,
        name: str,
        types: list[_Statement],
        label: str,
        facts: Mapping[str, Any] | None = None,
        *,
        record: Any = None,
        position: int | None = None,
    ) -> None:
        statement: _Statement = {"prov:type": types, "prov:label": label, **(facts or {})}
        if record is not None:
            statement["casaprov:record"] = json.dumps(record)
            statement["casaprov:position"] = {"$": str(position), "type": "xsd:int"}
        self.sections.setdefault(section, {})[name] = _without_empty(statement)

    def _relation(self, relation: str, statement: _Statement) -> None:
        self.sections.setdefault(relation, {})[f"_:r{next(self._numbers)}"] = _without_empty(statement)


def _observed(entity: Entity) -> _Statement:
    """Return the facts that the headers state, each once; the record holds them row by row."""
    found: dict[str, list[Any]] = {}
    for row in entity.observations:
        for name, value in (*row.facts().items(), *row.identifiers.items()):
            values = found.setdefault(f"casaprov:{name}", [])
            if value not in values:
                values.append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _without_empty(statement: _Statement) -> _Statement:
    return {key: value for key, value in statement.items() if value is not None}


def _name(kind: str, local: str) -> str:
    """Return a qualified name, with percent-encoding of the characters that it may not contain."""
    # PROV-N: a full stop may not be the last character of a local name, nor a hyphen the first.
    encoded = quote(local, safe="", errors="surrogatepass").replace("~", "%7E")
    if encoded.endswith("."):
        encoded = f"{encoded[:-1]}%2E"
    if encoded.startswith("-"):
        encoded = f"%2D{encoded[1:]}"
    return f"{kind}:{encoded}"


def _types(*names: str) -> list[_Statement]:
    return [{"$": name, "type": "prov:QUALIFIED_NAME"} for name in names]


def _value(value: Any) -> Any:
    """Return a parameter's value as a literal; a value without a type in PROV becomes JSON text."""
    return value if isinstance(value, str | bool | int | float) else json.dumps(value)


def _time(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise RecordError(f"The record gives {text!r} as a time.", hint="A time must be in ISO 8601.") from error
    if moment.tzinfo is None:
        raise RecordError(f"The record gives the time {text!r} without a zone.", hint="A time must be in UTC.")
    return text
