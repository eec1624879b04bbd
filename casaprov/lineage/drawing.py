"""The graph of a Document as a picture, as DOT text, and as JSON.

Time goes from top to bottom: a call is a box, a state of a file or table an
ellipse. The states of one path have a colour of their own and lie on a line
as far as Graphviz can; inputs are yellow, results green, troubles red. States
that a call left and nothing used stand together in one note, so that the
eight images of a tclean do not hide the reduction.

casaprov writes the DOT text itself, always the same for the same Document;
Graphviz's program ``dot`` turns it into svg, png and pdf.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from casaprov.errors import CasaprovError, MissingDependency, UsageError
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Document, Entity

__all__ = ["DRAWING_FORMATS", "draw", "to_dot", "to_graph"]

DRAWING_FORMATS: Final = (".svg", ".png", ".pdf", ".dot", ".json")

_PIXELS_PER_INCH = 150
_LINE_CHARACTERS = 24
_TIMEOUT_S = 120

# Pale fills that stay apart in print and for most kinds of colour blindness; one per path that has several states.
_PATH_FILLS = ("#d7e6f5", "#e3dcf2", "#dcedd8", "#f3e3d3", "#d5ecec", "#efdbe6")
_PLAIN_FILL = "#f2f2f2"
_INPUT = {"fillcolor": "#fff2b3", "color": "#b38600", "penwidth": "1.6"}
_RESULT = {"fillcolor": "#c9ebc4", "color": "#1b7837", "penwidth": "1.6"}
_FAILED = {"color": "#c00000", "fontcolor": "#c00000", "fillcolor": "#fdeaea", "penwidth": "1.6"}
_GAP = {"color": "#c00000", "style": "filled,dashed", "penwidth": "1.6"}


def draw(document: Document, path: Path, numbers: Mapping[str, int] | None = None) -> None:
    """Write the graph to `path`, in the format that its suffix names.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.

    Raises
    ------
    UsageError
        If the suffix is none of :data:`DRAWING_FORMATS`.
    MissingDependency
        If the format needs Graphviz and its ``dot`` is not installed.
    CasaprovError
        If ``dot`` fails.
    OSError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in DRAWING_FORMATS:
        raise UsageError(f"A graph cannot be drawn into {path}.", hint=f"Its name may end in {_listed()}.")
    if suffix == ".json":
        path.write_text(json.dumps(to_graph(document, numbers), indent=1) + "\n", encoding="utf-8")
    elif suffix == ".dot":
        path.write_text(to_dot(document, numbers), encoding="utf-8")
    else:
        path.write_bytes(_rendered(to_dot(document, numbers), suffix.removeprefix(".")))


def to_graph(document: Document, numbers: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return nodes and edges with the record's ids, as JSON values.

    Edges lead forward in time: ``used`` from a state to a call, ``generated``
    from a call to a state, ``revision`` from a state to the next state of its
    path, ``copy`` from a state to a copy of it at another path, ``child``
    from a call to an inner call.
    """
    lineage = Lineage(document)
    inputs, products, numbers = _ids(lineage.inputs()), _ids(lineage.products()), numbers or document.call_numbers
    nodes: list[dict[str, Any]] = [
        {"id": a.id, "type": "activity", "label": f"{numbers[a.id]} {a.task}", "task": a.task, "outcome": a.outcome}
        for a in document.activities
    ]
    nodes += [
        {
            "id": e.id,
            "type": "entity",
            "label": e.path,
            "path": e.path,
            "kind": e.kind,
            "content_digest": e.content_digest,
            "input": e.id in inputs,
            "product": e.id in products,
            "gap": e.gap,
        }
        for e in document.entities
    ]
    edges: list[dict[str, Any]] = []
    for activity in document.activities:
        edges += [_edge(u.entity, activity.id, "used", parameter=u.parameter) for u in activity.used]
        edges += [_edge(activity.id, u.entity, "generated", parameter=u.parameter) for u in activity.generated]
        if activity.parent in lineage.activities:
            edges.append(_edge(activity.parent, activity.id, "child"))
    known = lineage.entities
    edges += [_edge(e.revision_of, e.id, "revision", gap=e.gap) for e in known.values() if e.revision_of in known]
    edges += [_edge(e.copy_of, e.id, "copy") for e in known.values() if e.copy_of in known]
    return {"format": "casaprov/graph/1", "notebook": document.notebook, "nodes": nodes, "edges": edges}


def _edge(source: str | None, target: str, relation: str, **facts: Any) -> dict[str, Any]:
    return {"from": source, "to": target, "relation": relation, **facts}


def _ids(entities: Iterable[Entity]) -> frozenset[str]:
    return frozenset(entity.id for entity in entities)


# -- DOT -----------------------------------------------------------------------


def to_dot(document: Document, numbers: Mapping[str, int] | None = None) -> str:
    """Return the graph as DOT text, the same for the same Document."""
    return _Sketch(Lineage(document), numbers or document.call_numbers).text()


@dataclass
class _Sketch:
    """DOT text in the making."""

    lineage: Lineage
    call_numbers: Mapping[str, int]
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        document = self.lineage.document
        self._prepare()
        self.lines = [
            f"digraph {_quoted(document.notebook)} {{",
            f"  graph [label={_quoted(document.notebook)}, labelloc=t, fontname=Helvetica, fontsize=20];",
            "  graph [rankdir=TB, nodesep=0.25, ranksep=0.22];",
            '  node [fontname="Helvetica", fontsize=11, style=filled, margin="0.09,0.05"];',
            '  edge [color="#555555", arrowsize=0.6, fontname="Helvetica", fontsize=9];',
        ]
        for activity in document.activities:
            self._call(activity)
        for entity in document.entities:
            if entity.id in self.drawn and entity.id not in self.noted:
                self._state(entity)
        for activity in document.activities:
            self._edges(activity)
        return "\n".join([*self.lines, "}", ""])

    def _prepare(self) -> None:
        """Name the nodes, number the states of each path, and find the states that stand together in a note."""
        document = self.lineage.document
        self.calls = {activity_id: f"call{number}" for activity_id, number in self.call_numbers.items()}
        self.nodes = {entity.id: f"state{number}" for number, entity in enumerate(document.entities, start=1)}
        self.inputs = _ids(self.lineage.inputs())
        made_from = {usage.entity for activity in document.activities if activity.generated for usage in activity.used}
        made_from |= {entity.revision_of for entity in document.entities if entity.revision_of}
        # A directory belongs to another product, as flag versions do.
        self.results = _ids(e for e in self.lineage.products() if e.kind != "Directory") - made_from
        self.read = {usage.entity for activity in document.activities for usage in activity.used}
        self.drawn = self.read | {usage.entity for activity in document.activities for usage in activity.generated}
        several = [states for states in self.lineage.history.states.values() if len(states) > 1]
        self.numbers = {state.id: number for states in several for number, state in enumerate(states, start=1)}
        self.fills = {
            state.id: _PATH_FILLS[place % len(_PATH_FILLS)] for place, states in enumerate(several) for state in states
        }
        self.noted = {entity.id for a in document.activities for entity in self._unused(a)}

    def _unused(self, activity: Activity) -> list[Entity]:
        """Return the states that a call left and nothing used, if they are more than two."""
        left = [self.lineage.entities[usage.entity] for usage in activity.generated]
        unused = [e for e in left if e.id not in self.read and e.revision_of is None and e.generated_by == activity.id]
        return unused if len(unused) > 2 else []

    def _call(self, activity: Activity) -> None:
        outcome = "" if activity.outcome == "completed" else f"\n{activity.outcome}"
        looks = {
            "shape": "box",
            "style": "filled,rounded",
            "fillcolor": "#33475b",
            "fontcolor": "white",
            "color": "#33475b",
        }
        if activity.outcome != "completed":
            looks |= _FAILED
        self._node(
            self.calls[activity.id], f"{self.call_numbers[activity.id]}  {activity.task}{outcome}", activity.id, looks
        )
        if unused := self._unused(activity):
            note = self.calls[activity.id] + "left"
            label = "\n".join(self._wrapped(_shown(entity)) for entity in unused)
            looks = {"shape": "note", "fillcolor": _PLAIN_FILL, "color": "#777777"}
            if any(entity.id in self.results for entity in unused):
                looks |= _RESULT
            self._node(note, label, " ".join(entity.id for entity in unused), looks)
            self.lines.append(f"  {self.calls[activity.id]} -> {note};")

    def _state(self, entity: Entity) -> None:
        number = self.numbers.get(entity.id)
        label = self._wrapped(_shown(entity)) + (f"\nstate {number}" if number else "")
        looks = {"shape": "ellipse", "fillcolor": self.fills.get(entity.id, _PLAIN_FILL), "color": "#777777"}
        if entity.id in self.inputs and not entity.gap:
            looks |= _INPUT
        elif entity.id in self.results:
            looks |= _RESULT
        if entity.gap:
            label += "\nchanged outside of tasks"
            looks |= _GAP
        if number and entity.kind != "Directory":
            looks["group"] = entity.path
        self._node(self.nodes[entity.id], label, entity.id, looks)
        if entity.gap and entity.revision_of in self.drawn:
            self.lines.append(
                f'  {self.nodes[entity.revision_of]} -> {self.nodes[entity.id]} [style=dashed, color="#c00000"];'
            )
        if entity.copy_of in self.drawn:
            self.lines.append(
                f'  {self.nodes[entity.copy_of]} -> {self.nodes[entity.id]} [style=dashed, label="copied"];'
            )

    def _edges(self, activity: Activity) -> None:
        call = self.calls[activity.id]
        left = [self.lineage.entities[usage.entity] for usage in activity.generated]
        # The eye should follow the line along the states of a table; flag versions only accompany it.
        changed = {
            entity.id: entity.revision_of for entity in left if entity.revision_of and entity.kind != "Directory"
        }
        for state in dict.fromkeys(usage.entity for usage in activity.used):
            self._edge(self.nodes[state], call, strong=state in changed.values())
        for entity in left:
            if entity.id not in self.noted:
                self._edge(call, self.nodes[entity.id], strong=entity.id in changed)
        if activity.parent in self.calls:
            self.lines.append(f'  {self.calls[activity.parent]} -> {call} [style=dotted, label="calls"];')

    def _edge(self, source: str, target: str, *, strong: bool) -> None:
        self.lines.append(f"  {source} -> {target}" + (" [penwidth=2, weight=8];" if strong else ";"))

    def _node(self, name: str, label: str, ids: str, looks: Mapping[str, str]) -> None:
        attributes = {"label": label, "tooltip": ids, **looks}
        listed = ", ".join(f"{key}={_quoted(value)}" for key, value in attributes.items())
        self.lines.append(f"  {name} [{listed}];")

    @staticmethod
    def _wrapped(name: str) -> str:
        """Break a long name, after a full stop, dash or underscore where there is one."""
        if len(name) <= _LINE_CHARACTERS:
            return name
        spaced = name
        for mark in "._-/":
            spaced = spaced.replace(mark, f"{mark} ")
        lines: list[str] = [""]
        for piece in (part for word in spaced.split(" ") for part in textwrap.wrap(word, _LINE_CHARACTERS)):
            if len(lines[-1]) + len(piece) > _LINE_CHARACTERS:
                lines.append("")
            lines[-1] += piece
        return "\n".join(lines)


def _shown(entity: Entity) -> str:
    """Return a path as people read it: the whole of it below the session's folder, else its last part."""
    return PurePosixPath(entity.path).name if entity.path.startswith("/") else entity.path


def _quoted(text: str) -> str:
    """Return a text as a DOT string, free of escapes and HTML entities, with a mark for each control character."""
    shown = "".join(c if c == "\n" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else "�" for c in text)
    for character, written in (("&", "&amp;"), ("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        shown = shown.replace(character, written)
    return f'"{shown}"'


def _listed() -> str:
    return f"{', '.join(DRAWING_FORMATS[:-1])} or {DRAWING_FORMATS[-1]}"


def _rendered(dot: str, kind: str) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise MissingDependency(
            f"To draw a {kind} file takes Graphviz, whose program 'dot' is not installed.",
            hint="Install it with 'apt-get install graphviz' or 'brew install graphviz',"
            " or write a .dot or .json file, which takes no other program.",
        )
    command = [program, f"-T{kind}", f"-Gdpi={_PIXELS_PER_INCH}"] if kind == "png" else [program, f"-T{kind}"]
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        hint = "Draw a part of it, with --upstream or --downstream."
        raise CasaprovError(f"Graphviz did not draw this graph within {_TIMEOUT_S} s.", hint=hint) from None
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise CasaprovError(f"Graphviz could not draw the graph: {message}", hint="Write a .dot file and look at it.")
    return done.stdout
