"""Reuse terms of a task: conditions for results of an earlier call to stand for those of a new one.

``docs/reference/taskspecs.md`` describes how they are written in a task table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from casaprov.tasks.entry import Condition, condition_from

__all__ = ["CONTENT_COLUMNS", "NO_TERMS", "ReuseTerms", "reuse_from"]

CONTENT_COLUMNS = (
    "DATA", "FLOAT_DATA", "CORRECTED_DATA", "MODEL_DATA", "WEIGHT", "WEIGHT_SPECTRUM", "SIGMA", "SIGMA_SPECTRUM",
)  # fmt: skip
"""Columns of a MeasurementSet that a task may leave unread. All others count for every task, flags among them."""


_WITH_FLAGS = (*CONTENT_COLUMNS, "FLAG", "FLAG_ROW")


@dataclass(frozen=True)
class _Reason:
    """A sentence that holds for some calls."""

    text: str
    when: Condition
    unless: Condition

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        return self.when.holds(parameters) and not self.unless.holds_in_part(parameters)


@dataclass(frozen=True)
class _Columns:
    """The columns that a call reads of the tables that a parameter names."""

    parameter: str
    columns: frozenset[str]
    needs: tuple[str, ...]  # columns that must be there; otherwise the task reads others in their place
    when: Condition


@dataclass(frozen=True)
class _Replaced:
    parameter: str
    when: Condition
    unless: Condition


@dataclass(frozen=True)
class _Same:
    """Values of a parameter that mean the same to a task."""

    parameter: str
    default: str | None  # an empty text and a missing element mean this one
    text: str | None  # an empty text that is no element of a list means this one
    square: bool  # one number stands for two equal ones

    def canonical(self, value: Any) -> Any:
        """Return the value, made of JSON values, that stands for all values of its meaning."""
        elements = value if isinstance(value, list) else [value]
        if self.square and all(type(element) is int for element in elements):
            return elements * 2 if len(elements) == 1 else elements
        if self.default is not None and all(isinstance(element, str) for element in elements):
            texts = [element or self.default for element in elements]
            while texts and texts[-1] == self.default:
                texts.pop()
            return texts
        return self.text if self.text is not None and value == "" else value


@dataclass(frozen=True)
class ReuseTerms:
    """Reuse terms of a task.

    Attributes
    ----------
    reasons
        Reasons why calls are not served, each with its condition.
    reads
        For each parameter, the columns of :data:`CONTENT_COLUMNS` that are read of its tables.
    replaced
        Parameters whose existing products are replaced unread.
    ignored
        For each parameter, the columns of its tables whose content makes no difference to what the call does.
    whole_paths
        Conditions under which products carry whole paths of files. Names below the working folder always count.
    same
        Values of parameters that are proved to mean the same.
    """

    reasons: tuple[_Reason, ...] = ()
    reads: tuple[_Columns, ...] = ()
    replaced: tuple[_Replaced, ...] = ()
    whole_paths: tuple[_Reason, ...] = ()
    ignored: tuple[_Columns, ...] = ()
    same: tuple[_Same, ...] = ()

    def canonical(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters, made of JSON values, each with the value that stands for all values of its meaning."""
        found = dict(parameters)
        for line in self.same:
            if line.parameter in found:
                found[line.parameter] = line.canonical(found[line.parameter])
        return found

    def ignores(self, parameter: str | None, parameters: Mapping[str, Any]) -> frozenset[str]:
        """Return the columns of a parameter's tables whose content makes no difference to a call.

        A call that changes a table may still leave them as they are there.
        """
        lines = (line for line in self.ignored if line.parameter == parameter and line.when.holds(parameters))
        return frozenset(column for line in lines for column in line.columns)

    def not_served(self, parameters: Mapping[str, Any]) -> str:
        """Return the reason why a call is not served; empty if there is none."""
        return next((reason.text for reason in self.reasons if reason.holds(parameters)), "")

    def carries_paths(self, parameters: Mapping[str, Any]) -> bool:
        """Return True if products of a call carry whole paths of files."""
        return any(reason.holds(parameters) for reason in self.whole_paths)

    def unread_columns(self, parameter: str, parameters: Mapping[str, Any], present: frozenset[str]) -> frozenset[str]:
        """Return the columns that a call leaves unread in the tables that a parameter names.

        Parameters
        ----------
        present
            Names of the columns of a table.
        """
        for reads in self.reads:
            if reads.parameter == parameter and reads.when.holds(parameters) and present.issuperset(reads.needs):
                return present & (frozenset(CONTENT_COLUMNS) - reads.columns)
        return frozenset()

    def replaces(self, parameter: str | None, parameters: Mapping[str, Any]) -> bool:
        """Return True if a call replaces the product of a parameter unread."""
        return any(
            line.parameter == parameter and line.when.holds(parameters) and not line.unless.holds_in_part(parameters)
            for line in self.replaced
        )


NO_TERMS: Final = ReuseTerms()
"""Terms of a task whose entry says nothing of them: its calls are served."""


def reuse_from(task: str, members: dict[str, Any]) -> ReuseTerms:
    """Take the reuse terms out of the entry of a task in a table."""
    return ReuseTerms(
        reasons=tuple(_reasons(members.pop("not_served", ()))),
        reads=tuple(_columns(task, line) for line in members.pop("reads", ())),
        replaced=tuple(_replaced(task, line) for line in members.pop("replaces", ())),
        whole_paths=tuple(_reasons(members.pop("paths_in_products", ()))),
        ignored=tuple(_columns(task, line, _WITH_FLAGS) for line in members.pop("ignores", ())),
        same=tuple(_same(task, line) for line in members.pop("same", ())),
    )


def _reasons(lines: Any) -> Iterator[_Reason]:
    for line in [lines] if isinstance(lines, str) else lines:
        members: Mapping[str, Any] = {"reason": line} if isinstance(line, str) else line
        yield _Reason(
            str(members["reason"]), condition_from(members.get("when", {})), condition_from(members.get("unless", {}))
        )


def _columns(task: str, line: Any, known: Collection[str] = CONTENT_COLUMNS) -> _Columns:
    if not isinstance(line, dict):
        raise ValueError(f"{task}: such a line is a table with a parameter and columns")  # noqa: TRY004 - see read_specs
    columns = frozenset(line["columns"])
    if unknown := sorted(columns - set(known)):
        raise ValueError(f"{task}: {', '.join(unknown)} always counts as read")
    return _Columns(str(line["parameter"]), columns, tuple(line.get("needs", ())), condition_from(line.get("when", {})))


def _same(task: str, line: Mapping[str, Any]) -> _Same:
    members = dict(line)
    parameter, square = str(members.pop("parameter")), members.pop("square", False)
    found = _Same(parameter, members.pop("empty", None), members.pop("text", None), square)
    if members:
        raise ValueError(f"{task}: {', '.join(members)} is no word of 'same'")
    return found


def _replaced(task: str, line: Any) -> _Replaced:
    members: dict[str, Any] = {"parameter": line} if isinstance(line, str) else dict(line)
    parameter = str(members.pop("parameter"))
    found = _Replaced(parameter, condition_from(members.pop("when", {})), condition_from(members.pop("unless", {})))
    if members:
        raise ValueError(f"{task}: {', '.join(members)} is no word of 'replaces'")
    return found
