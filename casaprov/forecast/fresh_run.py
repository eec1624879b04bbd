"""A run of the saved notebook from the top, on its external inputs alone, walked through in its record.

Each cell is taken as it ran with its present text. Its calls give what they gave if they used the contents that they
find in the walk. Otherwise there is a doubt about them, and what they leave is not known. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal

from casaprov.forecast.names import dependent_cells
from casaprov.forecast.saved_runs import CallRun, CellRun, SavedCell, saved_cells
from casaprov.hashing import Digest
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Entity

__all__ = ["Doubt", "FreshCall", "FreshCell", "FreshRun", "Presence", "State", "Unknown", "fresh_run", "is_same"]

Presence = Literal["same", "other", "gone"]
"""Content of a path on the disk, compared with a state of it."""

Kind = Literal["edited", "not run", "unfinished", "input", "leftover", "order", "follows", "outside"]


@dataclass(frozen=True)
class Unknown:
    """State that a cell would leave, which no run of it has left yet."""

    path: str
    cell: int


State = Entity | Unknown | None
"""State of a path in the walk; None where nothing is."""


@dataclass(frozen=True)
class Doubt:
    """Reason why a run from the top would give something else than the record has, or may do so.

    Attributes
    ----------
    kind
        ``edited``, ``not run``, ``unfinished``: the last run of the cell is not one of its present text, or did not end.
        ``input``: an external input has other content now. ``leftover``: a call found what an earlier run had left.
        ``order``: a call found what a cell further down had left, or an earlier run of one further up. ``follows``: it
        uses what another doubted cell leaves. ``outside``: a file was changed by something that is not recorded.
    text
        The reason as a sentence.
    """

    kind: Kind
    text: str

    @property
    def concerns_run(self) -> bool:
        """False if it is about the files as they are now, and a run from the top would give the same."""
        return self.kind != "outside"


@dataclass(frozen=True, kw_only=True)
class FreshCall:
    """A call of the walk: as it was recorded last, or as it would be made again."""

    activity: Activity
    doubts: tuple[Doubt, ...] = ()

    @property
    def is_known(self) -> bool:
        """True if it would find the recorded contents, and so leave the recorded ones."""
        return not any(doubt.concerns_run for doubt in self.doubts)


@dataclass(frozen=True, kw_only=True)
class FreshCell:
    """A cell of the walk.

    Attributes
    ----------
    doubts
        Doubts about the cell as a whole.
    before, after
        States of the paths that its calls touch. What it does not leave is not in `after`.
    made_in
        Number of the cell that left each state in `before`; 0 for an external input.
    """

    cell: SavedCell
    calls: tuple[FreshCall, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    before: Mapping[str, State] = field(default_factory=dict)
    after: Mapping[str, State] = field(default_factory=dict)
    made_in: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_doubts(self) -> tuple[Doubt, ...]:
        """All doubts about the cell and its calls, each once."""
        return tuple(dict.fromkeys((*self.doubts, *(doubt for call in self.calls for doubt in call.doubts))))

    @property
    def is_known(self) -> bool:
        """True if the walk knows all states that the cell leaves."""
        return not any(doubt.concerns_run for doubt in self.all_doubts)


@dataclass(frozen=True, kw_only=True)
class FreshRun:
    """The whole walk.

    Attributes
    ----------
    final
        States at its end.
    made_in
        Number of the cell that left each of them; 0 for an external input.
    """

    cells: tuple[FreshCell, ...]
    final: Mapping[str, State]
    made_in: Mapping[str, int]


def fresh_run(
    lineage: Lineage,
    notebook: bytes,
    presence: Callable[[Entity], Presence],
    executed: Mapping[str, Digest] = MappingProxyType({}),
) -> FreshRun:
    """Walk through the cells of a notebook.

    Parameters
    ----------
    notebook
        Content of the .ipynb file.
    presence
        Compares an external input with what is at its path now.
    executed
        Digests of the sources that the present kernel executed last, by the id of the cell.
    """
    return _Walk(lineage, saved_cells(lineage, notebook), presence, executed).through()


def is_same(one: State, other: State) -> bool:
    """Return True if two states have the same content."""
    if isinstance(one, Entity) and isinstance(other, Entity):
        same = one.content_digest is not None and one.content_digest == other.content_digest
        return one.id == other.id or (same and one.tier == other.tier)
    return one == other


class _Walk:
    """The states of all paths, cell by cell."""

    def __init__(
        self,
        lineage: Lineage,
        cells: tuple[SavedCell, ...],
        presence: Callable[[Entity], Presence],
        executed: Mapping[str, Digest],
    ) -> None:
        self._lineage = lineage
        self._cells = cells
        self._presence = presence
        self._executed = executed
        self._current: dict[str, State] = {}
        self._made_in: dict[str, int] = {}
        self._had: dict[str, list[Entity]] = {}  # all states of each path so far
        self._inputs: dict[str, Presence] = {}  # by the id of the state
        self._numbers = {
            call.activity.id: cell.number for cell in cells for run in (*cell.runs, *cell.former) for call in run.calls
        }
        self._tied: dict[int, int] = {}  # cell that uses a name of a cell that did not run: number of the latter

    def through(self) -> FreshRun:
        cells = tuple(self._walk(cell) for cell in self._cells)
        return FreshRun(cells=cells, final=self._current, made_in=self._made_in)

    # -- a cell --------------------------------------------------------------

    def _walk(self, cell: SavedCell) -> FreshCell:
        doubts = tuple(self._doubts_about(cell))
        run = self._chosen(cell)
        if run is None:
            return FreshCell(cell=cell, doubts=doubts)
        # All runs count: a file that only one of them found must not be there when the cell runs as the others did.
        others = frozenset(path for one in (*cell.runs, *cell.former) for call in one.calls for path in call.paths)
        others -= frozenset(path for call in run.calls for path in call.paths)
        before: dict[str, State] = {path: self._current.get(path) for path in others}
        made_in = {path: self._made_in.get(path, 0) for path in others}
        calls = []
        for call in run.calls:
            new = call.paths - before.keys()
            found = tuple(self._doubts_of(call))
            if not cell.runs:  # it is edited: what it will use is not known
                found = ()
            for path in new:
                before[path] = self._current.get(path)
                made_in[path] = self._made_in.get(path, 0)
            known = FreshCall(activity=call.activity, doubts=found)
            self._leave(call, cell.number, known=known.is_known and not doubts)
            calls.append(known)
        after = {path: state for path in before if (state := self._current.get(path)) is not None}
        return FreshCell(cell=cell, calls=tuple(calls), doubts=doubts, before=before, after=after, made_in=made_in)

    def _doubts_about(self, cell: SavedCell) -> Iterator[Doubt]:
        was_executed = self._executed[cell.id] == cell.digest if cell.id in self._executed else cell.has_run
        if not cell.runs and cell.former:
            yield Doubt("edited", "It was edited after it ran.")
        elif not cell.runs and not was_executed and cell.source.strip():
            yield Doubt("not run", "It was not run as it is now.")
            for index in dependent_cells([one.source for one in self._cells], cell.number - 1):
                self._tied.setdefault(index + 1, cell.number)
        elif cell.runs and any(call.activity.outcome in ("unfinished", "interrupted") for call in cell.runs[-1].calls):
            yield Doubt("unfinished", "It did not end.")
        if cell.number in self._tied and (cell.runs or cell.former):
            yield Doubt("follows", f"It uses names of cell {self._tied[cell.number]}, which was not run as it is now.")

    def _chosen(self, cell: SavedCell) -> CellRun | None:
        """Return the last run that used the states of the walk; else the last run."""
        if not cell.runs:
            return cell.former[-1] if cell.former else None
        last = cell.runs[-1]
        alike = (run for run in reversed(cell.runs) if run is last or run.is_like(last))
        return next((run for run in alike if self._fits(run)), last)

    def _fits(self, run: CellRun) -> bool:
        saved = self._current, self._made_in, self._had
        self._current, self._made_in = dict(self._current), dict(self._made_in)
        self._had = {path: list(states) for path, states in self._had.items()}
        try:
            for call in run.calls:
                if any(doubt.concerns_run for doubt in self._doubts_of(call)):
                    return False
                self._leave(call, 0, known=True)
            return True
        finally:
            self._current, self._made_in, self._had = saved

    # -- a call --------------------------------------------------------------

    def _leave(self, call: CallRun, number: int, *, known: bool) -> None:
        for path in [path for path in self._current if call.removes(path)]:
            del self._current[path]
            self._made_in.pop(path, None)
        for state in call.left:
            self._current[state.path] = state if known else Unknown(state.path, number)
            self._made_in[state.path] = number
            if known:
                self._had.setdefault(state.path, []).append(state)

    def _doubts_of(self, call: CallRun) -> Iterator[Doubt]:
        for used in call.used:
            if (doubt := self._doubt(used, call.activity)) is not None:
                yield doubt
        for path in sorted((call.named | call.goes_on) & self._current.keys()):
            yield Doubt("order", f"There was no {path} when {call.activity.task} ran; a run from the top finds one.")

    def _doubt(self, used: Entity, call: Activity) -> Doubt | None:
        """Return the doubt about a state that a call used; None if it would find the same."""
        expected = self._current.get(used.path)
        if isinstance(expected, Unknown):
            return Doubt("follows", f"{call.task} uses {used.path}, which cell {expected.cell} leaves.")
        if is_same(expected, used):
            return None
        origin = self._lineage.original(used)
        if origin is not used:
            there = self._current.get(origin.path)
            if isinstance(there, Unknown):
                return Doubt("follows", f"{call.task} uses a copy of {origin.path}, which cell {there.cell} leaves.")
            if any(is_same(state, origin) for state in self._had.get(origin.path, ())) or self._is_input(origin):
                self._take(used)
                return None
        if expected is None and self._is_input(used):
            return self._doubt_about_input(used, call)
        before = self._lineage.before(used)
        if used.gap and (before is None or expected is None or is_same(expected, before)):
            self._take(used)
            return Doubt(
                "outside",
                f"{call.task} used {used.path} after something changed it that is not recorded: whether a run from the "
                "top changes it so is not known.",
            )
        return self._out_of_order(used, self._lineage.maker(used), expected, call)

    def _doubt_about_input(self, used: Entity, call: Activity) -> Doubt | None:
        self._take(used)
        if not self._lineage.history.left(used.path):  # a call of the record has changed it otherwise
            there = self._inputs.setdefault(used.id, self._presence(used))
            if there != "same":
                is_now = "is not there any more" if there == "gone" else "has other content now"
                return Doubt("input", f"{call.task} used {used.path}, which {is_now}.")
        return None

    def _out_of_order(self, used: Entity, maker: Activity | None, expected: State, call: Activity) -> Doubt:
        left = f"as {self._named(maker)} left it" if maker is not None else "as it was at first"
        if expected is None:
            return Doubt("leftover", f"{call.task} used {used.path} {left}; a run from the top finds nothing there.")
        by = self._lineage.maker(expected) if isinstance(expected, Entity) else None
        finds = f"it as {self._named(by)} leaves it" if by is not None else "it as it was at first"
        return Doubt("order", f"{call.task} used {used.path} {left}; a run from the top finds {finds}.")

    def _named(self, activity: Activity) -> str:
        number = self._numbers.get(activity.id)
        where = f"cell {number}" if number is not None else "a cell that the saved notebook does not have"
        return f"{activity.task} ({where})"

    def _is_input(self, state: Entity) -> bool:
        """Return True if a state came from outside, or has the content of one that did: an input that was brought back."""
        history = self._lineage.history
        first = (
            one for one in history.states[PurePosixPath(state.path)] if not (one.generated_by or one.gap or one.copy_of)
        )
        return any(is_same(one, state) for one in first) or (state.gap and not history.left(state.path))

    def _take(self, used: Entity) -> None:
        """Take a state that no call left as the present one of its path."""
        self._current[used.path] = used
        self._made_in.setdefault(used.path, 0)
        self._had.setdefault(used.path, []).append(used)
