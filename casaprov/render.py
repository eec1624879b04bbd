"""How the command line shows results: rich tables made of the core's values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from casaprov.compare import Comparison
from casaprov.crate import Packed
from casaprov.lineage import Lineage
from casaprov.model import Document, Entity
from casaprov.replay import ReplayReport

__all__ = ["calls_table", "comparison_view", "graph_view", "packed_view", "replay_view", "size"]

_VERDICT_STYLE = {
    "identical": "green",
    "same-content": "green",
    "within-tolerance": "yellow",
    "differs": "bold red",
    "missing": "bold red",
    "not-verifiable": "magenta",
}
_OUTCOME_STYLE = {"completed": "green", "failed": "red", "interrupted": "yellow", "unfinished": "yellow"}


def size(count: int) -> str:
    """Return a number of bytes for people: ``35.2 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def calls_table(document: Document) -> Table:
    """Every call: what it read, what it left, how it ended."""
    lineage = Lineage(document)
    table = Table("#", "task", "read", "left behind", "s", "outcome", title=escape(document.notebook), title_justify="left")
    for number, activity in enumerate(document.activities, start=1):
        changed = {lineage.entities[u.entity].revision_of for u in activity.generated}
        outcome = f"[{_OUTCOME_STYLE[activity.outcome]}]{activity.outcome}[/]"
        if activity.failure is not None:
            outcome += f"\n{escape(activity.failure.message.splitlines()[0][:80])}" if activity.failure.message else ""
        table.add_row(
            str(number),
            ("  " if activity.parent else "") + activity.task,
            "\n".join(_name(lineage.entities[u.entity]) for u in activity.used if u.entity not in changed),
            "\n".join(_left(lineage.entities[u.entity], declared=u.declared) for u in activity.generated),
            f"{activity.seconds:.1f}" if activity.seconds is not None else "",
            outcome,
        )
    return table


def _name(entity: Entity) -> str:
    return escape(entity.path) + (" [yellow](changed outside of tasks)[/]" if entity.gap else "")


def _left(entity: Entity, *, declared: bool) -> str:
    how = "" if entity.revision_of is None else " (changed)"
    return escape(entity.path) + how + ("" if declared else " [yellow](observed)[/]")


def graph_view(document: Document) -> Tree:
    """The graph, from each final product back to the inputs."""
    lineage = Lineage(document)
    root = Tree(escape(document.notebook))
    shown: set[str] = set()
    for product in lineage.products():
        if not any(u.entity == product.id for a in document.activities for u in a.used):
            _grow(root, product, lineage, shown)
    return root


def _grow(branch: Tree, entity: Entity, lineage: Lineage, shown: set[str]) -> None:
    activity = lineage.generator(entity)
    if activity is None:
        branch.add(f"{_name(entity)} [dim]input, {size(entity.size_bytes)}[/]")
        return
    number = list(lineage.activities).index(activity.id) + 1
    node = branch.add(f"{_name(entity)} [dim]by[/] [cyan]{number} {activity.task}[/]")
    if activity.id in shown:
        if activity.used:
            node.add("[dim]… as above[/]")
        return
    shown.add(activity.id)
    for usage in activity.used:
        _grow(node, lineage.entities[usage.entity], lineage, shown)


def packed_view(packed: Packed) -> Group:
    """What a crate ships, what it only names, and why."""
    table = Table("product", "kind", "size", "in the crate", "why")
    for item in packed.items:
        style = "green" if item.decision == "shipped" else "yellow"
        table.add_row(
            escape(item.entity.path), item.entity.kind, size(item.size_bytes), f"[{style}]{item.decision}[/]", item.reason
        )
    return Group(table, f"{escape(str(packed.path))}: {size(packed.size_bytes)}, {packed.digest}")


def comparison_view(comparison: Comparison) -> RenderableType:
    """A verdict and every difference behind it."""
    verdict = f"[{_VERDICT_STYLE[comparison.verdict]}]{comparison.verdict}[/]"
    head = f"{verdict}  {escape(comparison.note)}" if comparison.note else verdict
    if not comparison.differences:
        return head
    table = Table("where", "what", "cells", "largest difference", "relative")
    for difference in comparison.differences:
        cells = "" if difference.cells is None else f"{difference.cells} of {difference.of}"
        table.add_row(
            escape(difference.path), escape(difference.what), cells, _number(difference.max_abs), _number(difference.max_rel)
        )
    return Group(head, table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def replay_view(report: ReplayReport) -> Group:
    """Calls that were not run, a verdict for every product, and what was different around them."""
    parts: list[RenderableType] = []
    table = Table("product", "kind", "verdict", "")
    for product in sorted(report.products, key=lambda p: not p.final):
        if product.final or product.comparison.verdict in ("differs", "missing"):
            told = product.comparison.note or _differences(product.comparison)
            name = escape(product.path) + ("" if product.final else " [dim](in between)[/]")
            verdict = product.comparison.verdict
            table.add_row(name, product.kind, f"[{_VERDICT_STYLE[verdict]}]{verdict}[/]", escape(told))
    parts.append(table)
    for step in report.steps:
        if step.action == "blocked":
            parts.append(f"[magenta]not run:[/] {step.task}: {escape(step.reason)}")
        elif step.outcome is not None and step.outcome != step.recorded_outcome:
            parts.append(f"[red]{step.task} {step.outcome}[/], recorded as {step.recorded_outcome}. {escape(step.failure)}")
    if report.environment:
        parts.append("Environment: " + "; ".join(f"{d.name} {d.recorded or '–'} → {d.now or '–'}" for d in report.environment))
    parts.append(_summary(report))
    return Group(*parts)


def _differences(comparison: Comparison) -> str:
    return "; ".join(f"{d.path}: {d.what}" for d in comparison.differences[:3]) + (
        f"; and {len(comparison.differences) - 3} more" if len(comparison.differences) > 3 else ""  # noqa: PLR2004
    )


def _summary(report: ReplayReport) -> str:
    run = sum(1 for step in report.steps if step.action == "run")
    verdicts = Counter(p.comparison.verdict for p in report.products if p.final)
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    return f"{_plural(run, 'call')} replayed; {_plural(sum(verdicts.values()), 'product')}: {told or 'none'}."


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def issues_view(issues: Iterable[object]) -> str:
    """One line per issue."""
    return "\n".join(f"• {escape(str(issue))}" for issue in issues)
