"""Dependence of a call on the parts of a table that it uses."""

from __future__ import annotations

from collections.abc import Iterable

from casaprov.records.model import Activity, Usage
from casaprov.tasks.specs import load_specs, spec_of

__all__ = ["only_adds", "parts_that_matter"]

_HISTORY = frozenset({"HISTORY"})
_FLAG_VERSIONS = ".flagversions"


def only_adds(call: Activity, usage: Usage, path: str) -> bool:
    """Return True if a call saves flags beside the versions that are there, and looks at none of these."""
    spec = spec_of(load_specs(), call.package, call.task)
    return (
        spec is not None
        and usage.parameter is None
        and path.endswith(_FLAG_VERSIONS)
        and any(
            entry.verb == "updated" and entry.parameter is None and entry.active(call.parameters)
            for entry in spec.entries
        )
    )


def parts_that_matter(call: Activity, usage: Usage, changed: Iterable[str], present: frozenset[str]) -> tuple[str, ...]:
    """Return the changed parts of a table that make a difference to a call.

    Parameters
    ----------
    changed
        Columns and sub-tables that differ.
    present
        Columns of the table.
    """
    spec = spec_of(load_specs(), call.package, call.task)
    if spec is None:
        return tuple(sorted(changed))
    ignored = spec.reuse.ignores(usage.parameter, call.parameters) | _HISTORY
    if usage.parameter is not None:
        ignored |= spec.reuse.unread_columns(usage.parameter, call.parameters, present)
    return tuple(sorted(set(changed) - ignored))
