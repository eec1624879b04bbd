"""Pages of ``%casahelp``: an HTML table that needs no script, and plain text for a terminal."""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casaprov.casa.task_help import Parameter, TaskHelp, TaskSummary

__all__ = ["list_html", "list_text", "task_html", "task_text"]

_WIDTH = 100
_REQUIRED = "must be given"
_LEFT = 'style="text-align:left;vertical-align:top"'

# The script makes the box. Where no script may run, as in a notebook that is not trusted, the table has no box.
_FILTER = """\
<script>
(function () {
  var here = document.getElementById("%s");
  if (!here || here.querySelector("input")) { return; }
  var rows = here.querySelectorAll("tbody tr");
  var box = document.createElement("input");
  box.type = "search";
  box.placeholder = "filter";
  box.setAttribute("aria-label", "filter the table");
  box.setAttribute("data-lm-suppress-shortcuts", "true");
  box.addEventListener("input", function () {
    var words = box.value.toLowerCase().split(/\\s+/);
    rows.forEach(function (row) {
      var text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.includes(word); });
    });
  });
  var table = here.querySelector("table");
  table.parentNode.insertBefore(box, table);
})();
</script>"""


def task_html(task: TaskHelp) -> str:
    """Return one task as an HTML table of its parameters."""
    rows = [_row(parameter, task.depth(parameter)) for parameter in task.parameters]
    head = f"<b>{escape(task.name)}</b>: {escape(task.short)} <i>({escape(', '.join(task.categories))})</i>"
    about = f'<p style="white-space: pre-wrap">{escape(task.long)}</p>' if task.long else ""
    return _folded(head, about + _table(("parameter", "type", "default", "allowed", "meaning"), rows))


def task_text(task: TaskHelp) -> str:
    """Return one task as plain text."""
    lines = [_title(task)]
    for parameter in task.parameters:
        indent = "  " * task.depth(parameter)
        ((default, _), *others) = _defaults(parameter)
        types = f"  ({' or '.join(parameter.types)})" if parameter.types else ""
        lines += ("", f"{indent}{parameter.name} {'= ' if parameter.default else ''}{default}{types}")
        sentences = [parameter.short]
        sentences += [f"Counts if {one}." for one in _conditions(parameter)]
        sentences += [f"Default {value}{when}." for value, when in others]
        sentences += [f"Allowed: {', '.join(parameter.allowed)}."] if parameter.allowed else []
        for line in filter(None, sentences):
            lines += textwrap.wrap(line, _WIDTH, initial_indent=indent + "    ", subsequent_indent=indent + "    ")
    return "\n".join(lines)


def list_html(categories: Mapping[str, tuple[TaskSummary, ...]]) -> str:
    """Return all tasks as an HTML table."""
    rows = [
        f"<tr><td {_LEFT}>{escape(category)}</td><td {_LEFT}><b>{escape(task.name)}</b></td>"
        f"<td {_LEFT}>{escape(task.short)}</td></tr>"
        for category, tasks in categories.items()
        for task in tasks
    ]
    count = len({task.name for tasks in categories.values() for task in tasks})
    head = f"<b>{count} tasks of CASA</b>; <code>%casahelp TASK</code> shows one"
    return _folded(head, _table(("category", "task", "what it does"), rows))


def list_text(categories: Mapping[str, tuple[TaskSummary, ...]]) -> str:
    """Return all tasks as plain text."""
    lines: list[str] = []
    for category, tasks in categories.items():
        lines += ["", category]
        for task in tasks:
            lines.append(f"  {task.name:<17} {textwrap.shorten(task.short, _WIDTH - 20, placeholder=' ...')}")
    return "\n".join(lines[1:])


def _row(parameter: Parameter, depth: int) -> str:
    where = "".join(f"<br><small>if {escape(one)}</small>" for one in _conditions(parameter))
    defaults = "<br>".join(f"<code>{escape(value)}</code>{escape(when)}" for value, when in _defaults(parameter))
    indented = f'style="text-align:left;vertical-align:top;padding-left:{0.5 + 1.5 * depth}em"'
    name = f"<td {indented}><b>{escape(parameter.name)}</b>{where}</td>"
    others = (
        escape(" or ".join(parameter.types)),
        defaults,
        escape(", ".join(parameter.allowed)),
        _meaning(parameter.short, parameter.long),
    )
    return f"<tr>{name}{''.join(f'<td {_LEFT}>{cell}</td>' for cell in others)}</tr>"


def _title(task: TaskSummary) -> str:
    return f"{task.name}: {task.short} ({', '.join(task.categories)})"


def _conditions(parameter: Parameter) -> list[str]:
    """Return the conditions of a parameter, those on the same parent as one phrase."""
    found: dict[tuple[str, bool], list[str]] = {}
    for condition in parameter.conditions:
        values = found.setdefault((condition.parent, condition.equal), [])
        if condition.value not in values:
            values.append(condition.value)
    return [f"{parent} {'=' if equal else '≠'} {' or '.join(values)}" for (parent, equal), values in found.items()]


def _defaults(parameter: Parameter) -> list[tuple[str, str]]:
    """Return the default, then the other defaults, each with its condition."""
    others: dict[str, list[str]] = {}
    for condition in parameter.conditions:
        if condition.default != parameter.default:
            others.setdefault(condition.default, []).append(str(condition))
    return [
        (parameter.default or _REQUIRED, ""),
        *((value, f" if {' or '.join(when)}") for value, when in others.items()),
    ]


def _meaning(short: str, long: str) -> str:
    if not long or " ".join(long.split()).rstrip(".") == short.rstrip("."):
        return escape(short)
    return f'<details><summary>{escape(short)}</summary><pre style="text-align: left">{escape(long)}</pre></details>'


def _table(titles: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th {_LEFT}>{title}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def _folded(summary: str, content: str) -> str:
    name = f"casahelp-{secrets.token_hex(4)}"
    return f'<details open id="{name}"><summary>{summary}</summary>\n{content}\n</details>\n{_FILTER % name}'
