"""The order in which cells ran: calls that used the result of a cell further down, and products that are stale.

A notebook promises that its results come from its cells, run from the top. A change of a table that does not matter to
a call (:data:`casaprov.lineage.continued.Relevant`) makes nothing stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from casaprov.lineage.continued import Continued, Relevant, all_matters, find_continued, is_superseded
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Entity, Usage

__all__ = ["OutOfOrder", "Stale", "find_out_of_order", "find_stale"]


@dataclass(frozen=True)
class OutOfOrder:
    """A call that used the result of a cell further down the notebook.

    Attributes
    ----------
    call, cell
        The call, and the number of its code cell, from 1 at the top.
    used
        The state that it used.
    maker, made_in
        The call that made the state, and the number of its code cell.
    """

    call: Activity
    cell: int
    used: Entity
    maker: Activity
    made_in: int

    def __str__(self) -> str:
        return (
            f"Cell {self.cell} ({self.call.task}) used the result of cell {self.made_in} ({self.maker.task}), "
            f"which stands below it: {self.used.path}"
        )


@dataclass(frozen=True)
class Stale:
    """A product that the notebook, run from the top, would make of something newer.

    Attributes
    ----------
    product
        The product.
    call
        The call that used a past state; `product` came from it, directly or not.
    used
        The past state.
    origin
        The state that `used` is a copy of; `used` itself if it is no copy.
    changer, cell
        The call that left a newer state of the same path afterwards, and the number of its code cell.
    continued
        In place of these: `call` used what an old run had left.
    """

    product: Entity
    call: Activity
    used: Entity
    origin: Entity
    changer: Activity
    cell: int
    continued: Continued | None = None

    @property
    def source(self) -> str:
        """The state that `call` used, in words."""
        copy = "" if self.origin is self.used else f", a copy of {self.origin.path},"
        return f"{self.used.path}{copy}"

    def __str__(self) -> str:
        if self.continued is not None:
            continued = self.continued
            return (
                f"{self.product.path} is stale: {self.call.task} continued from {continued.source}, "
                f"which cell {continued.made_in} ({continued.maker.task}) had left in an earlier run"
            )
        return (
            f"{self.product.path} is stale: {self.call.task} used {self.source} "
            f"as it was before cell {self.cell} ({self.changer.task}) was run again"
        )


def find_out_of_order(
    lineage: Lineage, cells: Mapping[str, int], relevant: Relevant = all_matters
) -> tuple[OutOfOrder | Continued, ...]:
    """Find calls that used the result of a cell further down, or of an earlier run of their own cell.

    A call is not told any more when its cell ran again.

    Parameters
    ----------
    cells
        Number of the code cell, from 1 at the top, that each Activity ran
        in, by Activity id; Activities without a number are not judged.
    """
    found: dict[tuple[int, int, str], OutOfOrder | Continued] = {}
    for continued in (one for several in find_continued(lineage, cells, relevant).values() for one in several):
        if is_superseded(continued.call, lineage, cells):
            continue
        if continued.made_in == continued.cell:
            found.setdefault((continued.cell, continued.cell, continued.source), continued)
            continue
        for entity, _ in continued.used:
            key = (continued.cell, continued.made_in, entity.path)
            found.setdefault(key, OutOfOrder(continued.call, key[0], entity, continued.maker, key[1]))
    return tuple(found.values())


def find_stale(
    lineage: Lineage,
    cells: Mapping[str, int],
    states: Iterable[Entity] | None = None,
    relevant: Relevant = all_matters,
) -> tuple[Stale, ...]:
    """Find products that were made from states that cells further up have replaced since, or that an old run had left.

    A state that later cells changed is no sign of staleness: that is how
    a MeasurementSet is calibrated. A cell further up that was run again
    is one, unless it left the same content, or the cell that used the
    state was run again as well.

    Parameters
    ----------
    cells
        As for :func:`find_out_of_order`.
    states
        States to judge instead of the products.
    """
    past = _past(lineage, cells, relevant)
    continued = find_continued(lineage, cells, relevant)
    stale: list[Stale] = []
    for product in lineage.products() if states is None else states:
        upstream = lineage.upstream([product], _found_by(lineage, relevant))
        first = next((activity_id for activity_id in past if activity_id in upstream), None)
        goes_on = next((activity_id for activity_id in continued if activity_id in upstream), None)
        if first is None and goes_on is not None:
            (one, *_) = continued[goes_on]
            used = one.used[0][0]
            stale.append(Stale(product, one.call, used, used, one.maker, one.made_in, one))
        if first is not None:
            used, changer = past[first]
            call, origin = lineage.activities[first], lineage.original(used)
            stale.append(Stale(product, call, used, origin, changer, cells[changer.id]))
    return tuple(stale)


def _found_by(lineage: Lineage, relevant: Relevant) -> Callable[[Activity, Usage], str]:
    """Return a function that finds the earliest state of a path that would have been the same to a call."""

    @cache
    def state(activity: str, usage: Usage) -> str:
        call, found = lineage.activities[activity], lineage.entities[usage.entity]
        used = found
        while found.revision_of in lineage.entities:
            before = lineage.entities[found.revision_of]
            if relevant(call, usage, used, before):
                break
            found = before
        return found.id

    return lambda call, usage: state(call.id, usage)


def _past(
    lineage: Lineage, cells: Mapping[str, int], relevant: Relevant = all_matters
) -> dict[str, tuple[Entity, Activity]]:
    """Find calls that used a state which a cell further up replaced later.

    Returns
    -------
    dict
        By id of the call: the past state, and the call that replaced it.
    """
    calls = [activity for activity in lineage.document.activities if activity.id in cells]
    numbers = [cells[call.id] for call in calls]
    places = {call.id: place for place, call in enumerate(calls)}
    last_run = {number: place for place, number in enumerate(numbers)}  # place of the last call of each cell
    # For each place, the cell furthest up among those that ran from there on.
    first_from = [*accumulate(reversed(numbers), min)][::-1]
    found: dict[str, tuple[Entity, Activity]] = {}
    for call, number in zip(calls, numbers, strict=True):
        since = last_run[number]  # changes before that do not count: the cell ran again, or had not ended yet
        if first_from[since] == number:
            continue
        for usage in call.used:
            used = lineage.entities[usage.entity]
            origin = lineage.original(used)
            maker = lineage.generator(origin)
            made_in = cells.get(maker.id, 0) if maker is not None else 0
            for changer, state in reversed(lineage.history.left(origin.path)):
                place = places.get(changer.id)
                if place is None:
                    continue  # its cell is not known
                if place <= since:
                    break
                # The cell in which a copy was made is not known: the copy is past if its content was made anew.
                counts = origin is used or state.revision_of is None or numbers[place] <= made_in
                if counts and numbers[place] < number and relevant(call, usage, origin, state):
                    since = place
                    found[call.id] = (used, changer)
    return found
