"""Views of results for the command line: rich tables made of the core's values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.tree import Tree

from casaprov.cli.terminal import plain
from casaprov.comparison.products import Comparison
from casaprov.crate import Packed
from casaprov.crates.checking.validation import Findings
from casaprov.diffs.model import CallDiff, ProductDiff, RunDiff
from casaprov.diffs.wording import call_changes, environment_text, product_text, same_calls_text
from casaprov.doctor import Finding
from casaprov.errors import CasaprovError, CrateError
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Document, Entity
from casaprov.records.values import from_json
from casaprov.records.wording import clock, counted
from casaprov.replays.report import ReplayReport

__all__ = [
    "calls_table",
    "comparison_view",
    "crate_findings_view",
    "diff_view",
    "error_view",
    "finding_view",
    "graph_view",
    "issues_view",
    "packed_view",
    "replay_view",
    "size",
    "timing_view",
]

_VERDICT_STYLE = {
    "identical": "green",
    "same-content": "green",
    "within-tolerance": "yellow",
    "differs": "bold red",
    "missing": "bold red",
    "not-verifiable": "magenta",
}

_CONCLUSIONS = {
    "verified-as-far-as-possible": "Verified as far as possible.",
    "not-run": "No call could be run.",
}

_VALUE_CHARACTERS = 60

_MOST_CALLS = 5
"""Number of calls that one line names."""


def _table(*columns: str) -> Table:
    """Return a light table that breaks long paths instead of cutting them."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def size(count: int) -> str:
    """Return a number of bytes as people read it: ``35.2 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def calls_table(document: Document, numbers: Mapping[str, int] | None = None) -> Table:
    """Return a table of all calls: parameters that the user gave, duration, files read and left behind, and failures.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.
    """
    lineage = Lineage(document)
    table = _table("#", "task", "s", "read", "left behind")
    table.title, table.title_justify = plain(document.notebook), "left"
    numbers = numbers or document.call_numbers
    for activity in document.activities:
        left = [_left(lineage.entities[u.entity], declared=u.declared) for u in activity.generated]
        left += [f"[dim]removed[/] {plain(path)}" for path in activity.deleted]
        table.add_row(
            str(numbers[activity.id]),
            ("  " if activity.parent else "") + _task(activity) + _given(activity),
            f"{activity.seconds:.1f}" if activity.seconds is not None else "",
            "\n".join(_name(lineage.entities[u.entity]) for u in activity.used),
            "\n".join(left + _troubles(activity)),
        )
    return table


def timing_view(document: Document, numbers: Mapping[str, int] | None = None) -> Group:
    """Return a table of all calls with their duration and resources, and the time that the user waited for casaprov."""
    table = _table("#", "task", "s", "CPU s", "peak memory", "written", "waited for casaprov")
    table.title, table.title_justify = plain(document.notebook), "left"
    numbers = numbers or document.call_numbers
    for activity in document.activities:
        seconds = f"{activity.seconds:.2f}" if activity.seconds is not None else ""
        name = ("  " if activity.parent else "") + _task(activity)
        table.add_row(str(numbers[activity.id]), name, seconds, *_resources(activity), f"{activity.waited_s:.3f}")
    took = sum(activity.seconds or 0.0 for activity in document.activities if activity.parent is None)
    waited = sum(activity.waited_s for activity in document.activities)
    return Group(
        table, f"The calls took {took:.1f} s. You waited another {waited:.1f} s for casaprov{_share(waited, took)}."
    )


def _resources(activity: Activity) -> tuple[str, str, str]:
    """Return CPU time, memory and bytes written, as far as they are known."""
    used = activity.resources
    if used is None:
        return "", "", ""
    peak, written = used.peak_memory_bytes, used.written_bytes
    known = ["" if count is None else size(count) for count in (peak, written)]
    return f"{used.cpu_s:.2f}", known[0], known[1]


def _share(waited: float, took: float) -> str:
    """Return a waiting time in relation to the calls' time: a percentage, or a factor beyond 100 %."""
    if not took:
        return ""
    share = f"{waited / took:.1%} of" if waited < took else f"{waited / took:.3g} times"
    return f" ({share} the calls' time)"


def _task(activity: Activity) -> str:
    style = {"completed": "default", "failed": "red"}.get(activity.outcome, "yellow")
    outcome = "" if activity.outcome == "completed" else f" {activity.outcome}"
    return f"[{style}]{plain(activity.task)}{outcome}[/]"


def _given(activity: Activity) -> str:
    """Return the parameters that the user gave, below the name of the task."""
    given = ", ".join(f"{name}={_short(activity.parameters.get(name))}" for name in activity.given)
    return f"\n[dim]{plain(given)}[/]" if given else ""


def _short(value: Any) -> str:
    """Return a recorded value as people read it: as Python wrote it, in at most 60 characters."""
    try:
        text = repr(from_json(value))
    except (ValueError, TypeError):
        text = repr(value)
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[: _VALUE_CHARACTERS - 1]}…"


def _troubles(activity: Activity) -> list[str]:
    """Return the first line of the error, and the problems of the record."""
    error = activity.failure.message.strip().splitlines()[:1] if activity.failure else []
    return [f"[red]{plain(line)}[/]" for line in error] + [f"[yellow]{plain(p)}[/]" for p in activity.problems]


def _name(entity: Entity) -> str:
    return plain(_short_path(entity)) + (" [yellow](changed outside of tasks)[/]" if entity.gap else "")


def _short_path(entity: Entity) -> str:
    """Return the path of an entity; a file of CASA's own data goes by its path there."""
    return next((f"casadata:{found.value}" for found in entity.locators if found.scheme == "casadata"), entity.path)


def _left(entity: Entity, *, declared: bool) -> str:
    how = "" if entity.revision_of is None else " (changed)"
    return plain(entity.path) + how + ("" if declared else " [yellow](observed)[/]")


def graph_view(document: Document, numbers: Mapping[str, int] | None = None) -> Tree:
    """Return the graph as a tree, from the products that nothing used back to the inputs."""
    lineage = Lineage(document)
    root = Tree(plain(document.notebook))
    read = {usage.entity for activity in document.activities for usage in activity.used}
    read |= {state.id for name in read for state in lineage.origins(lineage.entities[name])}
    ends = [product for product in lineage.products() if product.id not in read]
    _grow(root, ends, lineage, numbers or document.call_numbers, set())
    return root


def _grow(
    branch: Tree, entities: Iterable[Entity], lineage: Lineage, numbers: Mapping[str, int], shown: set[str]
) -> None:
    """Add states to a branch, those of one call together; below them the states that it read, or the original."""
    by_call: dict[str | None, list[Entity]] = {}
    for entity in entities:
        if (before := lineage.before(entity)) is not None:
            how = "[dim]copy of[/]" if entity.copy_of is not None else "[dim]from[/]"
            _grow(branch.add(f"{_name(entity)} {how}"), [before], lineage, numbers, shown)
            continue
        by_call.setdefault(entity.generated_by, []).append(entity)
    for call, made in by_call.items():
        names = ", ".join(_name(entity) for entity in made)
        activity = lineage.activities.get(call) if call else None
        if activity is None:
            branch.add(f"{names} [dim]input[/]")
            continue
        node = branch.add(f"{names} [dim]by[/] [cyan]{numbers[activity.id]} {plain(activity.task)}[/]")
        if activity.id not in shown:
            shown.add(activity.id)
            _grow(node, [lineage.entities[usage.entity] for usage in activity.used], lineage, numbers, shown)
        elif activity.used:
            node.add("[dim]… as above[/]")


def packed_view(packed: Packed) -> Group:
    """Return a table of shipped and referenced inputs and products with reasons, and the crate's size and digest."""
    table = _table("product", "size", "in the crate", "why")
    for item in sorted(packed.items, key=lambda item: item.decision != "shipped"):
        style = "green" if item.decision == "shipped" else "yellow"
        table.add_row(_name(item.entity), size(item.size_bytes), f"[{style}]{item.decision}[/]", plain(item.reason))
    shipped = sum(item.decision == "shipped" for item in packed.items)
    summary = f"{shipped} of {counted(len(packed.items), 'file or table', 'files and tables')} are in the crate."
    outlook = [plain(line) for line in packed.outlook]
    return Group(table, summary, *outlook, f"{plain(str(packed.path))}: {size(packed.size_bytes)}", packed.digest)


def comparison_view(comparison: Comparison) -> RenderableType:
    """Return a verdict and a table of the differences behind it."""
    verdict = _verdict(comparison)
    head = f"{verdict}  {plain(comparison.note)}" if comparison.note else verdict
    if not comparison.differences:
        return head
    table = _table("where", "what", "cells", "largest difference", "relative")
    for difference in comparison.differences:
        cells = "" if difference.cells is None else f"{difference.cells} of {difference.of}"
        table.add_row(
            plain(difference.path),
            plain(difference.what),
            cells,
            _number(difference.max_abs),
            _number(difference.max_rel),
        )
    return Group(head, table)


def _verdict(comparison: Comparison) -> str:
    """Return a verdict, with the tier of the digests if they cover samples only."""
    tier = "" if comparison.tier == "full" else f" ({comparison.tier})"
    return f"[{_VERDICT_STYLE[comparison.verdict]}]{comparison.verdict}{tier}[/]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def replay_view(report: ReplayReport) -> Group:
    """Return a table of verdicts, the calls that did not run or ended otherwise, and differences of environment."""
    parts: list[RenderableType] = []
    table = _table("product", "kind", "verdict", "")
    for product in sorted(report.products, key=lambda p: not p.final):
        if product.final or product.comparison.verdict in ("differs", "missing"):
            note = product.comparison.note or _differences(product.comparison)
            name = plain(product.path) + ("" if product.final else " [dim](in between)[/]")
            table.add_row(name, product.kind, _verdict(product.comparison), plain(note))
    parts.append(table)
    parts += _taken(report)
    parts += _left_out(report)
    parts += _not_compared(report)
    for step in report.steps:
        if step.action == "blocked":
            parts.append(f"[magenta]not run:[/] {plain(step.task)}: {plain(step.reason)}")
        elif step.ended_otherwise:
            failure = plain(step.failure, keep="\n\t")
            parts.append(f"[red]{plain(step.task)} {step.outcome}[/], recorded as {step.recorded_outcome}. {failure}")
    if report.sampled:
        names = ", ".join(map(plain, report.sampled))
        parts.append(f"Only samples of these inputs were recorded and compared (tier fast): {names}")
    if report.environment:
        parts.append(
            "Environment: "
            + "; ".join(
                f"{plain(d.name)} {plain(d.recorded or '–')} → {plain(d.now or '–')}" for d in report.environment
            )
        )
    parts.append(_summary(report))
    return Group(*parts)


def _taken(report: ReplayReport) -> Iterator[str]:
    """Yield a line for each call before which states were taken that no task can make again."""
    for number, step in enumerate(report.steps, start=1):
        if step.taken:
            names = ", ".join(map(plain, step.taken))
            origin = "as the call left it" if step.action == "take" else "as the call found it"
            yield f"[yellow]taken, not made again:[/] {names} {origin} (call {number} {plain(step.task)})"


def _left_out(report: ReplayReport) -> Iterator[str]:
    """Yield a line for each reason why calls were left out."""
    out = [(n, step) for n, step in enumerate(report.steps, start=1) if step.action == "leave-out"]
    yield from _by_reason("left out", ((step.reason, f"call {n} {plain(step.task)}") for n, step in out))


def _not_compared(report: ReplayReport) -> Iterator[str]:
    """Yield a line for each reason why states in between were not compared."""
    calls = {step.id: f"call {number} {plain(step.task)}" for number, step in enumerate(report.steps, start=1)}
    states = ((p.comparison.note, f"{plain(p.path)} as {calls[p.made_by]} left it") for p in report.not_compared)
    yield from _by_reason("not compared", states)


def _by_reason(label: str, named: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a line for each reason, with the names of what it holds for."""
    alike: dict[str, list[str]] = {}
    for reason, name in named:
        alike.setdefault(reason.removesuffix("."), []).append(name)
    for reason, names in alike.items():
        more = f" and {len(names) - _MOST_CALLS} more" if len(names) > _MOST_CALLS else ""
        yield f"[dim]{label}[/] ({plain(reason)}): {', '.join(names[:_MOST_CALLS])}{more}"


def _differences(comparison: Comparison) -> str:
    return "; ".join(f"{d.path}: {d.what}" for d in comparison.differences[:3]) + (
        f"; and {len(comparison.differences) - 3} more" if len(comparison.differences) > 3 else ""
    )


def _summary(report: ReplayReport) -> str:
    run = sum(1 for step in report.steps if step.action == "run")
    verdicts = Counter(p.comparison.verdict for p in report.products if p.final)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    left = sum(1 for step in report.steps if step.action == "leave-out")
    out = f", {left} left out" if left else ""
    blocked = f", {len(report.blocked)} not run" if report.blocked else ""
    end = f" {_CONCLUSIONS[report.conclusion]}" if report.conclusion in _CONCLUSIONS else ""
    restored = sum(1 for step in report.steps if step.restored)
    known = f" ({restored} of them restored from earlier replays)" if restored else ""
    return (
        f"{counted(run, 'call')} replayed{known}{out}{blocked}; "
        f"{counted(sum(verdicts.values()), 'product')}: {counts or 'none'}.{end}"
    )


def error_view(error: BaseException) -> str:
    """Return the message of an error, its issues unless the message quotes them, and the hint."""
    if isinstance(error, CasaprovError):
        issues = error.issues if isinstance(error, CrateError) else ()
        quoted = any(str(issue).rstrip(".") in error.message for issue in issues[:1])
        bullets = [] if quoted else [f"  • {issue}" for issue in issues]
        lines = [error.message, *bullets, *([error.hint] if error.hint else [])]
    elif isinstance(error, OSError):
        lines = [f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror or error}."]
    else:
        return "Interrupted."
    return "[bold red]Error:[/] " + plain("\n".join(lines), keep="\n\t")


def finding_view(finding: Finding) -> str:
    """Return a finding, with its remedy below it if it needs one; a path in it is not broken."""
    styles = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "missing": "[bold red]missing[/]"}
    found = f"{styles[finding.status]}  [bold]{plain(finding.name)}[/]: {plain(finding.message)}"
    return f"{found}\n         {plain(finding.remedy)}" if finding.remedy else found


def issues_view(issues: Iterable[object]) -> str:
    """Return one line per issue."""
    return "\n".join(f"• {plain(str(issue))}" for issue in issues)


def crate_findings_view(findings: Findings, name: str) -> str:
    """Return one line per error and per note of a crate, and the verdict if it is valid."""
    lines = [f"• {plain(str(issue))}" for issue in findings.errors]
    lines += [f"• [dim]note:[/] {plain(str(note))}" for note in findings.notes]
    return "\n".join(lines if findings.errors else [f"{plain(name)} is valid.", *lines])


_ROLES = {
    "cause": "[bold red]cause[/]",
    "effect": "follows",
    "environment": "[bold red]other versions[/]",
    "unexplained": "[bold red]unexplained[/]",
    "no-effect": "[dim]no effect[/]",
    "same": "",
}
"""Part of a call in the differences between two runs, as it is shown."""


def diff_view(found: RunDiff) -> Group:
    """Return the answer, then versions, calls and products that differ."""
    parts: list[RenderableType] = [
        f"[dim]{side}[/] {plain(run.name)}  [dim]{plain(clock(run.started_at)) if run.started_at else ''}, {run.calls} calls[/]"
        for side, run in (("first ", found.first), ("second", found.second))
    ]
    parts.append(f"\n[bold]{plain(found.answer)}[/]")
    if found.environment:
        texts = (environment_text(one.name, one.recorded, one.now) for one in found.environment)
        parts.append("Versions and settings: " + plain("; ".join(texts)))
    if any(call.role != "same" or tuple(call_changes(call)) for call in found.calls):
        parts.append(_changed_calls(found))
    if found.products:
        parts.append(_compared_products(found))
    return Group(*parts)


def _changed_calls(found: RunDiff) -> Table:
    table = _table("call", "task", "what differs", "")
    same = 0
    for call in found.calls:
        changes = list(call_changes(call))
        if call.role == "same" and not changes:
            same += 1
            continue
        _add_same(table, same)
        same = 0
        table.add_row(plain(call.number), plain(call.task), plain("\n".join(changes), keep="\n"), _ROLES[call.role])
    _add_same(table, same)
    return table


def _add_same(table: Table, count: int) -> None:
    if count:
        table.add_row("", "", f"[dim]{same_calls_text(count)}[/]", "")


def _compared_products(found: RunDiff) -> Table:
    table = _table("product", "verdict", "", "because of")
    alike: list[ProductDiff] = []
    for product in found.products:
        if product.comparison is not None and product.comparison.verdict in ("identical", "same-content"):
            alike.append(product)
            continue
        verdict = product.comparison.verdict if product.comparison is not None else f"only in {product.presence}"
        style = _VERDICT_STYLE.get(verdict, "bold red")
        name = product.path + (f" (first run: {product.first_path})" if product.first_path else "")
        because = ", ".join(_because(found, product))
        table.add_row(plain(name), f"[{style}]{verdict}[/]", plain(product_text(product)), plain(because))
    if alike:
        names = ", ".join(product.path for product in alike[:12])
        more = f" and {len(alike) - 12} more" if len(alike) > 12 else ""
        table.add_row(f"[dim]{plain(names)}{more}[/]", "[green]same[/]", "", "")
    return table


def _because(found: RunDiff, product: ProductDiff) -> Iterator[str]:
    for cause in product.causes:
        call: CallDiff = found.calls[found.causes[cause].call]
        yield f"call {call.number} {call.task}"
