"""Pages of ``%casaprov`` about a record: its state, its calls, one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from casaprov.config import Config
from casaprov.journal.folder import tree_path
from casaprov.kernel.order import CellOrder, stale_notes
from casaprov.kernel.page import Line, Part, Preformatted, Table
from casaprov.lineage.cell_order import find_out_of_order
from casaprov.lineage.continued import Relevant
from casaprov.lineage.graph import Lineage
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.notebook.subject import relevance
from casaprov.records.model import UNDIGESTED, Activity, Document, Entity
from casaprov.records.wording import clock

__all__ = ["Recorded", "call_page", "calls_table", "settings_table", "status_page"]

_MAX_LISTED = 50


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """State of the recording of a kernel.

    Attributes
    ----------
    document
        All sessions of the notebook; None if nothing is recorded.
    session
        Id of the session of this kernel; empty before its first call.
    paused
        Time since which recording is paused; empty if it is not.
    cached_bytes
        Size of the cache of digests; None if it is not known.
    exists
        Tells whether there is something at the path of a state.
    """

    document: Document | None
    session: str
    notebook: Path
    journal: Path
    config: Config
    order: CellOrder
    paused: str = ""
    cached_bytes: int | None = None
    exists: Callable[[Entity], bool] = lambda _: True


def status_page(recorded: Recorded) -> list[Part]:
    """Return the page of a record's state: its size, its oddities, its cost."""
    document = recorded.document
    parts: list[Part] = [_state(recorded)]
    if document is not None and document.activities:
        lineage = Lineage(document)
        parts.append(Table("", (), tuple(_facts(recorded, document, lineage))))
        pending = [a for a in document.activities if a.session == recorded.session and UNDIGESTED in a.problems]
        if pending:
            parts.append(_being_digested(lineage, pending))
            lineage = Lineage(_without_files(document, {activity.id for activity in pending}))
        present = [product for product in lineage.products() if recorded.exists(product)]
        relevant = relevance(lambda digest: tree_path(recorded.journal, digest))
        parts += _oddities(lineage, present, recorded.order, recorded.session, relevant)
    settings = ", ".join(f"{name} = {recorded.config.text(name)}" for name in Config.names())
    parts.append(Line(f"{settings} (change one with %casaprov config NAME VALUE)", "Settings:"))
    return parts


def _state(recorded: Recorded) -> Line:
    name = "This notebook" if recorded.notebook.name == UNNAMED else recorded.notebook.name
    if recorded.paused:
        return Line(f"since {clock(recorded.paused)}. %casaprov resume goes on.", "Recording is paused")
    if not recorded.session:
        return Line(f"{name} is recorded from its first task call on; this kernel has made none yet.", "Ready.")
    if recorded.document is None or recorded.session not in {session.id for session in recorded.document.sessions}:
        text = (
            f"Nothing of this session could be written to {recorded.journal}: it is lost when this kernel ends."
            " Give space or permission; the next call writes all that waits."
        )
        return Line(text, "⚠️ Not recorded yet.")
    return Line(f"{name} is recorded.", "Recording.")


def _facts(recorded: Recorded, document: Document, lineage: Lineage) -> list[tuple[str, str]]:
    here = [a for a in document.activities if a.session == recorded.session]
    earlier = len(document.activities) - len(here)
    bad = [a for a in here if a.outcome in {"failed", "interrupted"}]
    took, waited = sum(a.seconds or 0.0 for a in here if a.parent is None), sum(a.waited_s for a in here)
    sessions = len({a.session for a in document.activities} - {recorded.session})
    calls = f"{len(here)} in this session" + (f", {len(bad)} of them failed or interrupted" if bad else "")
    if earlier:
        calls += f"; {earlier} in {sessions} earlier session{'s' if sessions > 1 else ''}"
    products = [entity for entity in lineage.products() if entity.kind != "Directory"]
    gone = [entity.path for entity in products if not recorded.exists(entity)]
    facts = [
        ("Calls", calls),
        ("Inputs", _names(entity.path for entity in lineage.inputs() if not entity.gap)),
        ("Products", _names(entity.path for entity in products if entity.path not in gone)),
        *([("Removed since", _names(gone))] if gone else []),
        ("Time", f"tasks took {took:.1f} s, you waited {waited:.1f} s for casaprov"),
        ("Journal", str(recorded.journal)),
    ]
    if recorded.cached_bytes is not None and recorded.config.cache_size:
        limit = recorded.config.cache_size / 1e6
        facts.append(("Cache of digests", f"{recorded.cached_bytes / 1e6:.1f} MB of at most {limit:.0f} MB"))
    return facts


def _being_digested(lineage: Lineage, pending: Iterable[Activity]) -> Line:
    calls = []
    for activity in pending:
        states = [lineage.entities[usage.entity] for usage in (*activity.generated, *activity.used)]
        paths = list(dict.fromkeys(state.path for state in states if state.note == UNDIGESTED))
        files = f" ({', '.join(paths)})" if paths else ""
        calls.append(f"call {activity.number_in_session}, {activity.task}{files}")
    return Line(f"{'; '.join(calls[:_MAX_LISTED])}. The lines below leave these out.", "Still being digested:")


def _without_files(document: Document, calls: Container[str]) -> Document:
    """Return the Document as if some calls had read and written nothing."""
    activities = tuple(
        replace(a, used=(), generated=(), problems=()) if a.id in calls else a for a in document.activities
    )
    return replace(document, activities=activities)


def _oddities(
    lineage: Lineage, products: Sequence[Entity], order: CellOrder, session: str, relevant: Relevant
) -> list[Part]:
    parts: list[Part] = []
    stale = stale_notes(lineage, order, products, relevant)
    if stale:
        title = f"⚠️ {sum(len(paths) for paths, _ in stale)} stale: run again the cells that made them"
        lines = (f"{', '.join(paths)}: {reason}" for paths, reason in stale[:_MAX_LISTED])
        parts.append(Preformatted("\n".join(lines), title))
    strange = [str(found) for found in find_out_of_order(lineage, order.saved, relevant)]
    if strange:
        title = "⚠️ Run out of order, or continued from an old run"
        parts.append(Preformatted("\n".join(strange[:_MAX_LISTED]), title))
    gaps = [
        (gap.path, gap.note or "Code outside of recorded calls changed it.")
        for gap in lineage.gaps()
        if gap.session == session or not session
    ]
    if gaps:
        parts.append(Table(f"⚠️ {len(gaps)} changed outside of tasks", ("path", "what"), tuple(gaps[:_MAX_LISTED])))
    observed = [
        (str(a.number_in_session), a.task, ", ".join(a.observed)) for a in lineage.document.activities if a.observed
    ]
    if observed:
        title = "Changed while a call ran, it is not known by what; not counted as products"
        parts.append(Table(title, ("call", "task", "path"), tuple(observed[-_MAX_LISTED:])))
    problems = [
        (str(a.number_in_session), a.task, "; ".join(a.problems)) for a in lineage.document.activities if a.problems
    ]
    if problems:
        parts.append(Table("⚠️ Incomplete records", ("call", "task", "problem"), tuple(problems[-_MAX_LISTED:])))
    if not parts:
        parts.append(Line("Nothing is stale, out of order, or changed outside of tasks."))
    return parts


def calls_table(activities: Sequence[Activity], order: CellOrder) -> Table:
    """Return a table of the calls of a session, with the size of their logs."""
    rows = tuple(
        (
            str(a.number_in_session),
            a.task,
            order.named(a),
            a.outcome,
            "" if a.seconds is None else f"{a.seconds:.1f}",
            *(("", "", "") if a.log is None else (str(a.log.lines), str(a.log.warnings), str(a.log.errors))),
        )
        for a in activities
    )
    head = ("call", "task", "cell", "outcome", "s", "log lines", "warnings", "errors")
    return Table("", head, rows, ("%casaprov log CALL shows a log, %casaprov show CALL a record.",))


def call_page(activity: Activity, lineage: Lineage, order: CellOrder, journal: Path) -> list[Part]:
    """Return the page of one call: its whole record."""
    facts = [
        ("Cell", order.named(activity)),
        ("Outcome", activity.outcome),
        ("Began", clock(activity.started_at)),
        (
            "Took",
            ""
            if activity.seconds is None
            else f"{activity.seconds:.1f} s, {activity.waited_s:.1f} s more for casaprov",
        ),
        ("Folder", activity.cwd),
        ("Id", activity.id),
    ]
    if activity.failure is not None:
        facts.insert(2, ("Error", f"{activity.failure.type}: {activity.failure.message}"))
    if activity.parent is not None:
        facts.append(("Made by", activity.parent))
    if activity.log is not None:
        facts.append(("Log", str(journal / activity.log.path)))
    facts += [("Problem", problem) for problem in activity.problems]
    given = set(activity.given)
    parameters = tuple(
        (name, json.dumps(value, ensure_ascii=False), "given" if name in given else "default")
        for name, value in sorted(activity.parameters.items(), key=lambda item: item[0] not in given)
    )
    parts: list[Part] = [
        Table(f"Call {activity.number_in_session}: {activity.task}", (), tuple(facts)),
        Table("Parameters", ("name", "value", ""), parameters),
    ]
    for title, usages in (("Used", activity.used), ("Generated", activity.generated)):
        rows = []
        for usage in usages:
            entity = lineage.entities[usage.entity]
            maker = lineage.generator(entity)
            origin = f"call {maker.number_in_session}" if maker is not None and maker.id != activity.id else ""
            origin = "changed outside of tasks" if entity.gap else origin
            rows.append((entity.path, entity.kind, usage.parameter or "", entity.content_digest or "none", origin))
        head = ("path", "kind", "parameter", "content digest", "from" if title == "Used" else "")
        parts.append(Table(title, head, tuple(rows)) if rows else Line("nothing", f"{title}:"))
    if activity.deleted:
        parts.append(Line(", ".join(activity.deleted), "Deleted:"))
    if activity.returned is not None:
        text = json.dumps(activity.returned, ensure_ascii=False, indent=1)
        parts.append(Preformatted(text, "Returned", folded=True))
    return parts


def settings_table(config: Config) -> Table:
    """Return a table of all settings and where each was chosen."""
    rows = tuple((name, config.text(name), config.sources.get(name, "default")) for name in Config.names())
    return Table("", ("setting", "value", "chosen by"), rows)


def _names(paths: Iterable[str]) -> str:
    names = list(dict.fromkeys(paths))
    shown = ", ".join(names[:12])
    return f"{len(names)}: {shown}{', ...' if len(names) > 12 else ''}" if names else "none"
