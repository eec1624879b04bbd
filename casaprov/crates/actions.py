"""The actions of a Document as JSON-LD: its calls with steps and tools, and the sessions that they ran in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from casaprov import terms
from casaprov.crates.containers import container_image
from casaprov.crates.layout import DOCUMENT, call_names, log_path, parameters_path
from casaprov.crates.nodes import Node, iri, local, ref, time, value, value_type
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Document, Session, Usage

__all__ = ["Calls", "engine_nodes", "last_time", "run_nodes"]

_ENDED_HOW = {
    "failed": "The call failed.",
    "interrupted": "The call was interrupted.",
    "unfinished": "The kernel ended before the call did.",
}


class Calls:
    """Descriptions of the task calls of a Document.

    Parameters
    ----------
    document
        The records.
    ids
        Identifier in the crate of every Entity.
    files
        Paths of the files in the crate; calls refer to their parameters and logs.
    people
        References to the people who made the calls.
    first_format
        Describe them as casaprov 0.1.0 did.
    connections
        Describe which parameters of tasks the states connected.

    Attributes
    ----------
    tools
        Identifiers of the tasks, in order of their first call.
    steps, controls
        Identifiers of HowToStep and ControlAction by Activity id.
    examples
        Identifiers of the FormalParameters that an Entity was given for, by Entity id.
    """

    def __init__(
        self,
        document: Document,
        ids: Mapping[str, str],
        files: frozenset[str],
        people: Sequence[Node],
        *,
        first_format: bool = False,
        connections: bool = True,
    ) -> None:
        self.document = document
        self.tools: dict[str, Node] = {}
        self.steps: dict[str, str] = {}
        self.controls: dict[str, str] = {}
        self.examples: dict[str, dict[str, None]] = {}
        self._ids = ids
        self._files = files
        self._people = people
        self._first_format = first_format
        self._sessions = {session.id: session for session in document.sessions}
        self._kinds = {entity.id: entity.kind for entity in document.entities}
        self._names = call_names(document)
        self._parameters: dict[str, Node] = {}
        self._outputs: dict[str, list[str]] = {}  # FormalParameters that left an Entity
        self._connections: dict[str, dict[str, Node]] = {}  # by tool, then by FormalParameter
        self._connected = connections
        self._nodes = [node for activity in document.activities for node in self._call(activity)]

    def nodes(self) -> list[Node]:
        """Return the tools, their FormalParameters, and the descriptions of the calls."""
        connections = [node for nodes in self._connections.values() for node in nodes.values()]
        return [*self.tools.values(), *self._parameters.values(), *connections, *map(self._connected_step, self._nodes)]

    def _connected_step(self, node: Node) -> Node:
        """Return a step with references to the connections that lead to parameters of its task."""
        if node["@type"] != "HowToStep":
            return node
        known = self._connections.get(node["workExample"]["@id"], {})
        return {**node, "connection": [ref(connection["@id"]) for connection in known.values()]}

    def _call(self, activity: Activity) -> Iterable[Node]:
        tool = self._tool(activity)
        name = self._names[activity.id]
        where = _where(activity, self._sessions.get(activity.session))
        values = list(self._values(activity, tool))
        step, control = local("step", name), local("control", name)
        self.steps[activity.id], self.controls[activity.id] = step, control
        self._note_examples(tool, "input", activity.used)
        self._note_examples(tool, "output", activity.generated)
        returned = _returned(activity, first_format=self._first_format)
        if not (returned or activity.generated or log_path(name) in self._files or self._first_format):
            returned = [_only_result(activity)]
        resources = list(_resources(activity))
        action = self._action(activity, tool, where, values, returned)
        action["resourceUsage"] = [ref(node["@id"]) for node in resources]
        position = str(len(self.steps))
        yield {
            "@id": step,
            "@type": "HowToStep",
            "name": f"Step {position}: {activity.task}",
            "description": where,
            "position": position,
            "workExample": ref(tool["@id"]),
        }
        yield {
            "@id": control,
            "@type": "ControlAction",
            "name": f"Orchestration of call {name}",
            "instrument": ref(step),
            "object": ref(action["@id"]),
            "actionStatus": action["actionStatus"],
        }
        yield action
        yield from values
        yield from returned
        yield from resources

    def _note_examples(self, tool: Node, direction: str, usages: Iterable[Usage]) -> None:
        for usage in usages:
            if usage.parameter:
                kind = "File" if self._kinds[usage.entity] in ("FITS", "File") else "Dataset"
                parameter = self._parameter(tool, usage.parameter, direction, kind)
                self.examples.setdefault(usage.entity, {})[parameter] = None
                if direction == "output":
                    self._outputs.setdefault(usage.entity, []).append(parameter)
                elif self._connected:
                    self._connect(tool, parameter, self._outputs.get(usage.entity, ()))

    def _connect(self, tool: Node, target: str, sources: Iterable[str]) -> None:
        """Note that a parameter took what calls before had left by others."""
        nodes = self._connections.setdefault(tool["@id"], {})
        for source in sources:
            if target not in nodes:
                number = sum(map(len, self._connections.values())) + 1
                nodes[target] = {
                    "@id": local("connection", str(number)),
                    "@type": "ParameterConnection",
                    "name": f"What {self._parameters[target]['name']} of {tool['name']} takes from calls before",
                    "sourceParameter": [],
                    "targetParameter": ref(target),
                }
            if ref(source) not in nodes[target]["sourceParameter"]:
                nodes[target]["sourceParameter"].append(ref(source))

    def _action(self, activity: Activity, tool: Node, where: str, values: list[Node], returned: list[Node]) -> Node:
        name = self._names[activity.id]
        objects = [*(ref(self._ids[u.entity]) for u in activity.used), *(ref(v["@id"]) for v in values)]
        results = [*(ref(self._ids[u.entity]) for u in activity.generated), *(ref(v["@id"]) for v in returned)]
        objects += [ref(iri(p)) for p in (parameters_path(name),) if p in self._files]
        results += [ref(iri(p)) for p in (log_path(name),) if p in self._files]
        completed = activity.outcome == "completed"
        return {
            "@id": local("call", activity.id),
            "@type": "CreateAction",
            "name": f"Call {name}",
            "description": f"{activity.package}.{activity.task}, {where}",
            "instrument": ref(tool["@id"]),
            "agent": self._people,
            "object": objects,
            "result": results,
            "startTime": time(activity.started_at),
            "endTime": time(activity.ended_at) if activity.ended_at else None,
            "actionStatus": terms.STATUS_COMPLETED if completed else terms.STATUS_FAILED,
            "error": None if completed else _error(activity),
        }

    def _tool(self, activity: Activity) -> Node:
        session = self._sessions.get(activity.session)
        version = _version(activity.package, session)
        identifier = local("tool", f"{activity.package}.{activity.task}@{version or 'unknown'}")
        tool: Node = {
            "@id": identifier,
            "@type": "SoftwareApplication",
            "name": f"{activity.package}.{activity.task}",
            "softwareVersion": version,
            "url": terms.CASA_DOCS if activity.package.startswith("casa") else None,
            "input": [],
            "output": [],
        }
        return self.tools.setdefault(identifier, tool)

    def _parameter(self, tool: Node, name: str, direction: str, kind: str) -> str:
        """Return the identifier of a FormalParameter, and note that it took a value of this kind."""
        identifier = local(direction, f"{tool['@id'].partition('/')[2]}/{name}")
        known = self._parameters.get(identifier)
        if known is not None and not self._first_format and kind not in known["additionalType"]:
            identifier = f"{identifier}/{kind}"  # a parameter of one kind, so that each value is an example of it
        if identifier not in self._parameters:
            self._parameters[identifier] = {
                "@id": identifier,
                "@type": "FormalParameter",
                "name": name,
                "additionalType": [],
                "conformsTo": ref(terms.PARAMETER_PROFILE),
            }
            tool[direction].append(ref(identifier))
        kinds = self._parameters[identifier]["additionalType"]
        if kind not in kinds:
            kinds.append(kind)
        return identifier

    def _values(self, activity: Activity, tool: Node) -> Iterable[Node]:
        """Yield the PropertyValue of each given parameter whose value is no recorded Entity."""
        named = {usage.parameter for usage in (*activity.used, *activity.generated)}
        for name in activity.given:
            if name not in named and name in activity.parameters:
                given = activity.parameters[name]
                yield {
                    "@id": local("value", f"{activity.id}/{name}"),
                    "@type": "PropertyValue",
                    "name": name,
                    "value": value(given),
                    "exampleOfWork": ref(self._parameter(tool, name, "input", value_type(given))),
                }


def run_nodes(
    document: Document,
    notebook: str,
    ids: Mapping[str, str],
    controls: Mapping[str, str],
    people: Sequence[Node],
    *,
    first_format: bool = False,
) -> Iterable[Node]:
    """Describe each session with calls: the run of the notebook, and casaprov, which organised it.

    Parameters
    ----------
    ids
        Identifier of every Entity.
    controls
        Identifier of the ControlAction of every Activity.
    people
        References to the people who ran it.
    first_format
        Describe them as casaprov 0.1.0 did.
    """
    products = [entity.id for entity in Lineage(document).products()]
    for session in _with_calls(document):
        mine = [activity for activity in document.activities if activity.session == session.id]
        made = {usage.entity for activity in mine for usage in activity.generated}
        read = [usage.entity for activity in mine for usage in activity.used if usage.entity not in made]
        left = [ref(ids[entity]) for entity in products if entity in made]
        environment = list(_environment(session))
        image = None if first_format else container_image(session.environment.container)
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
            "name": f"Export of {notebook}" if session.exporting else f"Run of {notebook}",
            "description": f"{_kind(session)} {session.id} with {len(mine)} recorded calls.",
            "instrument": ref(_engine_id(session) if session.exporting else iri(notebook)),
            "object": [ref(ids[entity]) for entity in read],
            "result": left if left or first_format else [ref(iri(DOCUMENT))],  # an action should have a result
            "environment": [ref(node["@id"]) for node in environment],
            "containerImage": ref(image["@id"]) if image else None,
            **common,
        }
        if image:
            yield image
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


def _kind(session: Session) -> str:
    return "Session of an export" if session.exporting else "Kernel session"


def engine_nodes(document: Document) -> Iterable[Node]:
    """Describe each version of casaprov that recorded calls."""
    for session in _with_calls(document):
        yield {
            "@id": _engine_id(session),
            "@type": "SoftwareApplication",
            "name": "casaprov",
            "softwareVersion": session.casaprov,
            "url": terms.CASAPROV,
        }


def last_time(document: Document) -> str:
    """Return the latest time in the records."""
    times = [session.ended_at or session.started_at for session in document.sessions]
    return max(times + [activity.ended_at or activity.started_at for activity in document.activities])


def _with_calls(document: Document) -> list[Session]:
    used = {activity.session for activity in document.activities}
    return [session for session in document.sessions if session.id in used]


def _engine_id(session: Session) -> str:
    return local("engine", f"casaprov-{session.casaprov}")


def _environment(session: Session) -> Iterable[Node]:
    environment = session.environment
    names = ("casatasks", "casatools", "casadata", "measures", "python", "platform", "container")
    for name, setting in {**{name: getattr(environment, name) for name in names}, **environment.threads}.items():
        if setting:
            at = local("environment", f"{session.id}/{name}")
            yield {"@id": at, "@type": "PropertyValue", "name": name, "value": value(setting)}


def _returned(activity: Activity, *, first_format: bool) -> list[Node]:
    if activity.returned is None:
        return []
    at = local("value", f"{activity.id}/return value")
    whole = "the parameters file" if first_format else DOCUMENT  # 0.1.0 named a file that does not hold it
    return [{"@id": at, "@type": "PropertyValue", "name": "return value", "value": value(activity.returned, whole)}]


def _only_result(activity: Activity) -> Node:
    """Describe the result of a call that left, returned and logged nothing: an action should have one."""
    name, text = ("return value", "None") if activity.outcome == "completed" else ("error", _error(activity))
    return {"@id": local("value", f"{activity.id}/{name}"), "@type": "PropertyValue", "name": name, "value": text}


def _resources(activity: Activity) -> Iterable[Node]:
    used = activity.resources
    if used is None:
        return
    for name, unit, quantity in (
        ("cpu-time", "SEC", used.cpu_s),
        ("peak-memory", "BYTE", used.peak_memory_bytes),
        ("written", "BYTE", used.written_bytes),
    ):
        if quantity is not None:
            yield {
                "@id": local("usage", f"{activity.id}/{name}"),
                "@type": "PropertyValue",
                "name": name,
                "propertyID": f"{terms.CASAPROV}/terms#{name}",
                "unitCode": f"https://qudt.org/vocab/unit/{unit}",
                "value": quantity,
            }


def _version(package: str, session: Session | None) -> str:
    if session is None:
        return ""
    environment = session.environment
    known = {"casatasks": environment.casatasks, "casatools": environment.casatools}
    return known.get(package) or environment.packages.get(package, "")


def _where(activity: Activity, session: Session | None) -> str:
    if session is not None and session.exporting:
        return "called by casaprov for this crate"
    if activity.step is None:
        where = "called outside a notebook cell"
    elif activity.step.scripts:
        last = activity.step.scripts[-1]
        where = f"called in line {last.line} of {last.path}"
    elif activity.step.cell_id:
        where = f"called in cell {activity.step.cell_id}"
    else:
        where = f"called in the cell with execution count {activity.step.execution_count}"
    if activity.restored_from is not None:
        where = f"{where}; its results were restored, call {activity.restored_from} computed them"
    return where if activity.parent is None else f"{where}, by call {activity.parent}"


def _error(activity: Activity) -> str:
    if activity.failure is None:
        return _ENDED_HOW[activity.outcome]
    return f"{activity.failure.type}: {activity.failure.message}"
