"""The runner with a store of results: random calls leave and return what they do without a store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import casaprov
from cached_calls import TASKS, CachedCalls, Function, World
from casaprov.casa.installed import held
from casaprov.recompute import action_key, lookup
from casaprov.recording.activities import attach
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult
from examples import MORE

Step = tuple[str, ...]

_FILES = st.sampled_from(["raw", "a", "b"])
_CALLS = st.tuples(st.just("call"), st.sampled_from(TASKS), _FILES, st.sampled_from(["a", "b"]), st.sampled_from("12"))
_STEPS = st.lists(
    st.one_of(
        _CALLS,
        _CALLS,
        st.just(("fresh",)),
        st.tuples(st.just("open"), _FILES),
        st.just(("close",)),
        st.tuples(st.just("remove"), _FILES),
        st.tuples(st.just("change"), _FILES),
        st.tuples(st.just("copy"), _FILES, st.sampled_from(["a", "b"])),
        st.tuples(st.just("threads"), st.sampled_from("12")),
    ),
    max_size=8,
)


def again(steps: list[Step], more: list[Step]) -> list[Step]:
    """Run steps twice, and others after them: most calls of an edited notebook are those of the run before."""
    return [("fresh",), *steps, ("fresh",), *steps, *more]


_NOTEBOOKS = st.builds(again, _STEPS, _STEPS)


class Unequal(AssertionError):
    """The calls with a store left or returned something else."""


def play(folder: Path, steps: list[Step], *, environment: Callable[[World], dict[str, Any]]) -> int:
    """Run steps with a store and without one; return how many calls were restored."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "plain").mkdir(parents=True)
    worlds = World(folder / "cached"), World(folder / "plain")
    cached = CachedCalls(folder / "cached", lambda: environment(worlds[0]))
    try:
        for step in steps:
            answers = [_answer(world, cached if world is worlds[0] else None, step) for world in worlds]
            cached.queue.wait()  # the next step may change files with calls that no guard sees
            if answers[0] != answers[1]:
                raise Unequal(f"{step}: {answers[0]} instead of {answers[1]}")
            if worlds[0].contents() != worlds[1].contents():
                raise Unequal(f"after {step}")
        return cached.cached.counts.get("restored", 0)
    finally:
        for world in worlds:
            world.close()
        cached.close()


def _answer(world: World, cached: CachedCalls | None, step: Step) -> object:
    match step:
        case "call", task, source, target, value:
            if not (world.folder / source).exists():
                return None

            def run() -> object:
                return world.call(task, source, target, int(value))

            if cached is None:
                result = Function(run).run(TaskCall(task="", package="", parameters={}, given=(), cwd=world.folder))
            else:
                named: dict[str, Any] = {"source": source, "value": value}
                if task not in ("flagdata", "visstat"):
                    named["target"] = target
                result = cached.run(task, run, **named)
            return result.returned, str(result.error or "")
        case ("fresh",):
            world.fresh()
        case "open", name:
            world.open(name)
        case ("close",):
            world.close()
        case "remove", name:
            if name not in world.opened:
                (world.folder / name).unlink(missing_ok=True)
        case "change", name:
            if (world.folder / name).exists():
                world._write(name, world._read(name) + b"changed")
        case "copy", name, target:
            if (world.folder / name).exists() and target not in world.opened and name != target:
                shutil.copyfile(world.folder / name, world.folder / target)
        case "threads", number:
            world.threads = int(number)
        case _:
            raise AssertionError(step)
    return None


def _threads(world: World) -> dict[str, Any]:
    return {"threads": world.threads}


def _no_threads(_world: World) -> dict[str, Any]:
    return {}


@settings(max_examples=40 * MORE, suppress_health_check=list(HealthCheck))
@given(_NOTEBOOKS)
def test_random_calls_leave_what_they_leave_without_a_store(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    play(tmp_path_factory.getbasetemp() / "random", steps, environment=_threads)


def test_the_same_calls_are_restored(tmp_path: Path) -> None:
    steps: list[Step] = [
        ("call", task, "raw", "a", "1") for task in ("gaincal", "tclean", "imsmooth", "visstat", "flagdata")
    ]
    assert play(tmp_path / "w", [("fresh",), *steps, ("fresh",), *steps], environment=_threads) == len(steps)


SPLIT, FLAG = ("call", "split", "raw", "a", "1"), ("call", "flagdata", "raw", "a", "1")
SMOOTH, LOOK = ("call", "imsmooth", "raw", "a", "1"), ("call", "visstat", "raw", "a", "1")
PLANTED: dict[str, list[Step]] = {
    "keys by path": [("fresh",), LOOK, ("change", "raw"), LOOK],
    "existing outputs ignored": [("fresh",), SPLIT, SPLIT],
    "threads ignored": [("fresh",), SMOOTH, ("threads", "2"), ("fresh",), SMOOTH],
    "an open file ignored": [("fresh",), FLAG, ("fresh",), ("open", "raw"), FLAG, LOOK],
}


def plant(bug: str, patch: pytest.MonkeyPatch) -> Callable[[World], dict[str, Any]]:
    """Plant a bug; return the environment of the calls."""
    match bug:
        case "keys by path":
            patch.setattr(lookup, "content_state", lambda _measured, _unread=frozenset(): "there")
        case "existing outputs ignored":
            patch.setattr(action_key.KeyedCall, "stateful_outputs", property(lambda _call: ()))
        case "an open file ignored":
            patch.setattr(held, "held_reason", lambda _paths: "")
        case _:
            return _no_threads
    return _threads


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path / "whole", PLANTED[bug], environment=_threads)
    environment = plant(bug, monkeypatch)
    with pytest.raises(Unequal):
        play(tmp_path / "planted", PLANTED[bug], environment=environment)


# Fewer files and values: what a planted bug needs comes together sooner.
_NEAR_CALLS = st.tuples(st.just("call"), st.sampled_from(TASKS), st.just("raw"), st.just("a"), st.sampled_from("12"))
_NEAR_STEPS = st.lists(
    st.one_of(
        _NEAR_CALLS,
        _NEAR_CALLS,
        st.just(("open", "raw")),
        st.just(("change", "raw")),
        st.tuples(st.just("threads"), st.sampled_from("12")),
    ),
    min_size=3,
    max_size=6,
)


@pytest.mark.long
@pytest.mark.parametrize("bug", PLANTED)
def test_random_calls_find_a_planted_bug(bug: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = plant(bug, monkeypatch)

    @settings(max_examples=400, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
    @given(st.builds(again, _NEAR_STEPS, _NEAR_STEPS))
    def search(steps: list[Step]) -> None:
        play(tmp_path / "random", steps, environment=environment)

    with pytest.raises(Unequal):
        search()


# -- functions of the user -------------------------------------------------------


class Functions:
    """Records functions with a store of results."""

    def __init__(self, cached: CachedCalls) -> None:
        self.cached = cached

    def begin(self, _call: TaskCall, _files: FileTable | None) -> None:
        raise AssertionError("the cache is on")

    def end(self, _open_call: object, _result: TaskResult) -> None:
        raise AssertionError("the cache is on")

    def compute(self, call: TaskCall, files: FileTable | None, executor: Executor) -> TaskResult:
        return self.cached.runner.run(call, executor, files)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CachedCalls]:
    calls = CachedCalls(tmp_path / "w")
    monkeypatch.chdir(calls.folder)
    attach(Functions(calls))
    yield calls
    attach(None)
    calls.close()


def twice(source: str, target: str, factor: int = 2) -> dict[str, float]:
    value = float(Path(source).read_text()) * factor
    Path(target).write_text(str(value))
    return {"value": value}


def test_a_function_is_restored_with_its_files_and_value(cached: CachedCalls) -> None:
    function = casaprov.activity(used=["source"], generated=["target"], cache=True)(twice)
    Path("a.txt").write_text("4.0")
    assert function("a.txt", "b.txt") == {"value": 8.0}
    first = cached.last()
    Path("b.txt").unlink()
    assert function("a.txt", "b.txt") == {"value": 8.0}
    again = cached.last()
    assert again.restored_from == first.id
    assert Path("b.txt").read_text() == "8.0"
    Path("a.txt").write_text("5.0")
    Path("b.txt").unlink()
    assert function("a.txt", "b.txt") == {"value": 10.0}
    assert function("a.txt", "b.txt", factor=3) == {"value": 15.0}
    assert cached.cached.counts == {"run": 3, "restored": 1}


def test_a_function_that_changes_its_argument_always_runs(cached: CachedCalls) -> None:
    @casaprov.activity(cache=True)
    def grow(values: list[int]) -> int:
        values.append(1)
        return len(values)

    for _ in range(2):
        values: list[int] = []
        assert grow(values) == 1
        assert values == [1]
    assert cached.cached.counts == {"run": 2}


def test_the_error_of_a_function_is_raised_and_not_kept(cached: CachedCalls) -> None:
    @casaprov.activity(cache=True)
    def fails(value: int) -> None:
        raise ValueError(f"{value} is odd")

    for _ in range(2):
        with pytest.raises(ValueError, match="3 is odd"):
            fails(3)
    assert cached.cached.counts == {"run": 2}


def test_a_function_that_depends_on_more_than_its_key_says_so(cached: CachedCalls) -> None:
    @casaprov.activity(cache=True)
    def evaluates(text: str) -> object:
        return eval(text)

    assert evaluates("1 + 1") == 2
    answer = cached.last().look_up
    assert answer is not None
    assert (answer.outcome, answer.reason) == ("not-served", "It uses eval, and its result can depend on anything.")
