"""The comparison of two runs: calls in pairs, the differences of each, and the causes of the products that differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from casaprov.comparison.verdict import Tolerance
from casaprov.diffs.causes import role_of, roots
from casaprov.diffs.matching import Pair, match_calls
from casaprov.diffs.model import (
    RUN_DIFF_FORMAT,
    CallDiff,
    Cause,
    InputChange,
    Presence,
    ProductDiff,
    RunDiff,
    RunFacts,
)
from casaprov.diffs.parameters import parameter_changes
from casaprov.diffs.products import SameListing, compare_states
from casaprov.diffs.returned import returned_change
from casaprov.diffs.run import Call, Run
from casaprov.diffs.states import Names, match_states, same_content
from casaprov.diffs.wording import cause_sentence
from casaprov.lineage.whole_calls import State
from casaprov.records.model import Entity
from casaprov.replays.report import EnvironmentDifference, compare_environments

__all__ = ["diff_runs"]

_TOLERANCE = Tolerance()


def _no_listings(_one: Path, _at: datetime, _two: Path, _then: datetime, _moved: Mapping[str, str]) -> bool:
    return False


def diff_runs(
    first: Run, second: Run, tolerance: Tolerance = _TOLERANCE, same_listing: SameListing = _no_listings
) -> RunDiff:
    """Compare two runs by their records.

    Parameters
    ----------
    tolerance
        Tolerance between floating-point values of products.
    same_listing
        Compares texts of calls, which name folders and times of writing.
    """
    return _Differ(first, second, tolerance, same_listing).found()


class _Differ:
    """A comparison of two runs; each step needs those before it."""

    def __init__(self, first: Run, second: Run, tolerance: Tolerance, same_listing: SameListing) -> None:
        self._runs = first, second
        self._tolerance = tolerance
        self._same_listing = same_listing
        self._pairs = match_calls(first.calls, second.calls)
        self._place_of = (
            {pair.first.place: place for place, pair in enumerate(self._pairs) if pair.first is not None},
            {pair.second.place: place for place, pair in enumerate(self._pairs) if pair.second is not None},
        )
        self._names = Names()
        self._counterparts: dict[str, Entity] = {}  # by id of a product of the first run
        self._differing: set[int] = set()  # places of the calls so far that left something else, or may have

    def found(self) -> RunDiff:
        """Return all differences."""
        calls = [self._call(pair) for pair in self._pairs]
        behind = roots(calls)
        final = list(self._final_products())
        causes, products = _with_causes(calls, behind, final)
        calls = [self._with_numbers(pair, call) for pair, call in zip(self._pairs, calls, strict=True)]
        facts = [_facts(run) for run in self._runs]
        diff = RunDiff(
            first=facts[0],
            second=facts[1],
            answer="",
            environment=tuple(self._environment),
            causes=causes,
            calls=tuple(calls),
            products=products,
            format=RUN_DIFF_FORMAT,
        )
        return replace(diff, answer=_answer(diff))

    # -- calls -----------------------------------------------------------------

    def _call(self, pair: Pair) -> CallDiff:
        """Return a call with its differences; products by their digests only."""
        one, two = pair.first, pair.second
        if one is None or two is None:
            return self._single(one, two)
        inputs = tuple(self._inputs(one, two))
        products = tuple(self._left(one, two))
        outcomes = one.activity.outcome, two.activity.outcome
        call = CallDiff(
            first=one.number,
            second=two.number,
            task=two.activity.task,
            moved=pair.moved,
            parameters=tuple(parameter_changes(one, two)),
            inputs=inputs,
            outcomes=outcomes if outcomes[0] != outcomes[1] else (),
            returned=returned_change(one.activity, two.activity),
            products=products,
        )
        inherits = any(change.source == "call" for change in inputs)
        role = role_of(call, inherits=inherits, other_versions=bool(self._versions(one, two)))
        if role not in ("same", "no-effect"):
            self._differing.add(self._place_of[0][one.place])
        return replace(call, role=role)

    def _single(self, first: Call | None, second: Call | None) -> CallDiff:
        """Return a call that only one run has."""
        call = first or second
        assert call is not None
        presence: Presence = "first" if first is not None else "second"
        products = tuple(
            ProductDiff(path=state.entity.path, kind=state.entity.kind, presence=presence, final=False)
            for state in call.left
        )
        return CallDiff(
            first=first.number if first is not None else None,
            second=second.number if second is not None else None,
            task=call.activity.task,
            role="cause" if call.left or call.activity.deleted else "no-effect",
            products=products,
        )

    def _inputs(self, one: Call, two: Call) -> Iterator[InputChange]:
        """Yield the states that two calls used and that differ."""
        for old, new in match_states(one, two, lambda call: call.used, self._names):
            makers = self._makers(*(side.entity if side is not None else None for side in (old, new)))
            if old is not None and new is not None:
                same = same_content(old.entity, new.entity)
                # What was changed before it was digested differs if the calls that left it do.
                if same or (same is None and self._differing.isdisjoint(makers)):
                    continue
            state = new or old
            assert state is not None
            outside = any(s is not None and s.entity.gap for s in (old, new))
            yield InputChange(
                path=state.entity.path,
                parameter=state.parameter,
                presence=_presence(old, new),
                source="outside" if outside else "call" if makers else "external",
                from_calls=makers,
            )

    def _left(self, one: Call, two: Call) -> Iterator[ProductDiff]:
        """Yield the products of two calls that differ, or that one of them has; note the names of all."""
        for old, new in match_states(one, two, lambda call: call.left, self._names):
            if old is not None and new is not None:
                self._names.add(old.entity.path, new.entity.path)
                self._counterparts[old.entity.id] = new.entity
                found = self._compared(old.entity, new.entity, numbers=False)
                if not found.is_same:
                    yield replace(found, final=False)
                continue
            state = new or old
            assert state is not None
            yield ProductDiff(path=state.entity.path, kind=state.entity.kind, presence=_presence(old, new), final=False)

    def _with_numbers(self, pair: Pair, call: CallDiff) -> CallDiff:
        """Return a call where differences begin with the numbers of its products."""
        one, two = pair.first, pair.second
        if call.role not in ("cause", "environment", "unexplained") or one is None or two is None:
            return call
        olds = {self._names.second(state.entity.path): state.entity for state in one.left}
        news = {state.entity.path: state.entity for state in two.left}
        return replace(
            call,
            products=tuple(
                replace(self._compared(olds[product.path], news[product.path], numbers=True), final=False)
                if product.comparison is not None and product.path in olds
                else product
                for product in call.products
            ),
        )

    def _makers(self, first: Entity | None, second: Entity | None) -> tuple[int, ...]:
        """Return the places of the pairs that two states came from."""
        found = set()
        for run, places, entity in zip(self._runs, self._place_of, (first, second), strict=True):
            maker = run.maker(entity) if entity is not None else None
            if maker is not None:
                found.add(places[maker])
        return tuple(sorted(found))

    # -- versions --------------------------------------------------------------

    def _versions(self, one: Call, two: Call) -> tuple[EnvironmentDifference, ...]:
        return self._by_sessions.get((one.activity.session, two.activity.session), ())

    @cached_property
    def _by_sessions(self) -> dict[tuple[str, str], tuple[EnvironmentDifference, ...]]:
        """Differences of the environments of each pair of sessions that calls have in common."""
        sessions = [{s.id: s.environment for s in run.document.sessions} for run in self._runs]
        together = {
            (pair.first.activity.session, pair.second.activity.session)
            for pair in self._pairs
            if pair.first is not None and pair.second is not None
        }
        return {
            (one, two): compare_environments(sessions[0][one], sessions[1][two])
            for one, two in sorted(together)
            if one in sessions[0] and two in sessions[1]
        }

    @property
    def _environment(self) -> Iterable[EnvironmentDifference]:
        return dict.fromkeys(one for found in self._by_sessions.values() for one in found)

    # -- final products --------------------------------------------------------

    def _final_products(self) -> Iterator[tuple[ProductDiff, tuple[int, ...]]]:
        """Yield the last states of both runs in pairs, each with the places of the calls that it came from."""
        olds, news = ({e.id: e for e in run.lineage.products()} for run in self._runs)
        by_path = {entity.path: entity for entity in news.values()}
        for old in olds.values():
            new = self._counterparts.get(old.id)
            if new is None or new.id not in news:
                new = by_path.get(self._names.second(old.path))
            new = news.pop(new.id, None) if new is not None else None
            if new is None:
                yield ProductDiff(path=old.path, kind=old.kind, presence="first"), self._makers(old, None)
            else:
                yield self._compared(old, new, numbers=True), self._makers(old, new)
        for new in news.values():
            yield ProductDiff(path=new.path, kind=new.kind, presence="second"), self._makers(None, new)

    def _compared(self, old: Entity, new: Entity, *, numbers: bool) -> ProductDiff:
        return ProductDiff(
            path=new.path,
            first_path=old.path if old.path != new.path else "",
            kind=new.kind,
            comparison=compare_states(self._runs, old, new, self._tolerance, self._same_listing, numbers=numbers),
        )


def _presence(old: State | None, new: State | None) -> Presence:
    return "both" if old is not None and new is not None else "first" if old is not None else "second"


def _facts(run: Run) -> RunFacts:
    began = next((session.started_at for session in run.document.sessions), "")
    return RunFacts(name=run.name, started_at=began, calls=len(run.calls))


def _with_causes(
    calls: list[CallDiff], behind: list[frozenset[int]], final: Iterable[tuple[ProductDiff, tuple[int, ...]]]
) -> tuple[tuple[Cause, ...], tuple[ProductDiff, ...]]:
    """Return the causes with the products that differ because of them, and the products with their causes."""
    found = [(product, sorted(frozenset[int]().union(*(behind[n] for n in makers)))) for product, makers in final]
    places = sorted(n for n, call in enumerate(calls) if n in behind[n])
    numbers = {place: number for number, place in enumerate(places)}
    because: dict[int, list[str]] = {place: [] for place in places}
    products = []
    for product, reached in found:
        of = [] if product.is_same else reached
        products.append(replace(product, causes=tuple(numbers[place] for place in of)))
        for place in of:
            because[place].append(product.path)
    listed = tuple(
        Cause(call=place, sentence=cause_sentence(calls[place]), products=tuple(because[place])) for place in places
    )
    order = {"missing": 0, "differs": 0, "not-verifiable": 1, "within-tolerance": 2}
    products.sort(key=lambda p: order.get(p.comparison.verdict, 3) if p.comparison is not None else 0)
    return listed, tuple(products)


def _answer(diff: RunDiff) -> str:
    differing = [product for product in diff.products if product.differs]
    count, undecided = len(diff.products), len(diff.undecided)
    open_ = f" The records do not tell whether {undecided} of them {_are(undecided)} the same." if undecided else ""
    if diff.same:
        changed = sum(call.role != "same" for call in diff.calls)
        close = sum(not product.is_same for product in diff.products) - undecided
        if not count:
            return "Neither run has products."
        parts = [f"{count - undecided} of {count} {_products(count)} {_are(count - undecided)} the same"]
        parts += [f"{close} of them within the tolerance"] if close else []
        parts += [f"although {changed} {'call differs' if changed == 1 else 'calls differ'}"] if changed else []
        return f"{', '.join(parts)}.{open_}"
    first = next((cause for cause in diff.causes if cause.products), None) or next(iter(diff.causes), None)
    begin = f"What differed first: {first.sentence} " if first is not None else ""
    return f"{begin}{len(differing)} of {count} {_products(count)} {'differs' if len(differing) == 1 else 'differ'}.{open_}"


def _products(count: int) -> str:
    return "product" if count == 1 else "products"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
