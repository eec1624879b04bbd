"""Values: whatever a task is given or returns, it is recorded, and what can be read back is."""

from __future__ import annotations

import json
import math
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.hashing import canonical_json
from casaprov.records.values import from_json, is_exact, summarise, to_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.complex_numbers() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=20,
)


def same(first: Any, second: Any) -> bool:
    """Equal, with NaN equal to NaN."""
    return repr(first) == repr(second)


@given(plain)
def test_plain_values_come_back_as_they_were(value: Any) -> None:
    recorded = json.loads(json.dumps(to_json(value)))
    assert is_exact(recorded)
    assert same(from_json(recorded), value)


@given(plain)
def test_every_value_has_a_canonical_form(value: Any) -> None:
    assert canonical_json(to_json(value)) == canonical_json(json.loads(json.dumps(to_json(value))))


class Broken:
    """An object that fails wherever it can."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def circular() -> list[Any]:
    members: list[Any] = [1]
    members.append(members)
    return members


@pytest.mark.parametrize(
    "value",
    [
        Broken(),
        circular(),
        (number for number in range(3)),
        np.zeros(3, dtype=[("a", "f4"), ("b", "i4")]),
        object,
        {"deep": circular()},
        np.array([object()]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values_are_named_and_not_exact(value: Any) -> None:
    recorded = to_json(value)
    json.dumps(recorded, allow_nan=False)
    assert not is_exact(recorded)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(2.5), {"@scalar": 2.5, "dtype": "float32"}),
        (np.int64(7), {"@scalar": 7, "dtype": "int64"}),
        (np.bool_(True), {"@scalar": True, "dtype": "bool"}),
        (np.str_("a"), "a"),
        (Path("a/b"), "a/b"),
        ((1, 2), [1, 2]),
        (np.array([[1, 2], [3, 4]]), {"@array": [[1, 2], [3, 4]], "dtype": "int64", "shape": [2, 2]}),
        ({3, 1}, [1, 3]),
    ],
)
def test_what_has_a_json_form_takes_it(value: Any, expected: Any) -> None:
    assert to_json(value) == expected


@pytest.mark.parametrize(
    "value",
    [np.int64(5), np.float32(0.1), np.bool_(False), np.complex64(1j), np.zeros((2, 0, 3)), np.array(["a", "bc"])],
)
def test_numpy_values_come_back_with_their_type(value: Any) -> None:
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert back.dtype == value.dtype
    assert np.array_equal(back, value)


def test_nan_in_arrays_survives() -> None:
    back = from_json(to_json(np.array([1.0, math.nan, math.inf])))
    assert back[0] == 1.0
    assert math.isnan(back[1])
    assert back[2] == math.inf


@given(plain, st.integers(min_value=200, max_value=2000))
def test_a_summary_of_a_small_value_is_the_value(value: Any, max_bytes: int) -> None:
    recorded = to_json(value)
    if len(canonical_json(recorded)) <= max_bytes:
        assert summarise(recorded, max_bytes) == recorded


@pytest.mark.parametrize("value", ["x" * 100_000, list(range(100_000)), {str(k): "y" * 500 for k in range(500)}])
def test_a_summary_of_a_large_value_is_small_and_says_so(value: Any) -> None:
    short = summarise(value, 1000)
    text = canonical_json(short).decode()
    assert len(text) < 2500
    assert "@cut" in text or "characters)" in text


def test_an_array_of_long_strings_comes_back_and_a_bomb_does_not() -> None:
    texts = np.array(["x" * 300_000, ""])
    assert from_json(json.loads(json.dumps(to_json(texts)))).tolist() == texts.tolist()
    for bomb in ({"@array": ["x"] * 9, "dtype": "<U50000000", "shape": [9]}, {"@scalar": "x", "dtype": "<U500000000"}):
        with pytest.raises(ValueError, match=r"take no more than|no type of recorded values"):
            from_json(bomb)


def test_arrays_of_a_value_take_no_more_together_than_one_may() -> None:
    bomb = {"@array": ["x"], "dtype": "<U40000000", "shape": [1]}
    with pytest.raises(ValueError, match="take no more than"):
        from_json([bomb, {"a": bomb}])


def test_an_array_is_no_wider_than_the_strings_in_it_ask_for() -> None:
    back = from_json({"@array": ["x", "abc"], "dtype": "<U10000000", "shape": [2]})
    assert back.tolist() == ["x", "abc"]
    assert back.nbytes < 100


def test_an_array_in_an_array_is_no_member() -> None:
    inner = {"@array": [1, 2], "dtype": "int64", "shape": [2]}
    with pytest.raises(TypeError, match="no member"):
        from_json({"@array": [inner], "dtype": "int64", "shape": [2]})


def test_an_array_too_large_to_be_read_back_is_not_exact() -> None:
    assert not is_exact(to_json(np.zeros(100, dtype="<U1000000")))


class Named(str, Enum):  # noqa: UP042 - StrEnum says its characters
    """A text that says its name where its characters are asked for."""

    XX = "xx"


class Raises:
    """An object that no attribute can be asked of."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_text_of_another_type_is_its_characters() -> None:
    assert to_json(Named.XX) == "xx"
    assert type(to_json(Named.XX)) is str


def test_what_cannot_be_read_costs_only_itself() -> None:
    assert to_json(["n.ms", Raises(), {"a": Raises()}])[0] == "n.ms"
    assert to_json([Raises()])[0]["unreadable"] == "RuntimeError"


def test_a_list_that_is_met_on_many_paths_ends() -> None:
    bushy: list[Any] = ["n.ms"]
    for _ in range(60):
        bushy = [bushy, bushy]
    assert len(json.dumps(to_json(bushy))) < 2_000_000
    shared = ["n.ms"]
    assert to_json([shared] * 100) == [["n.ms"]] * 100


NUMBERS = {"long": 10**6000, "longdouble": np.longdouble(1.5), "clongdouble": np.array([1], dtype=np.clongdouble)}


@pytest.mark.parametrize("value", NUMBERS.values(), ids=NUMBERS)
def test_numbers_without_a_json_form_are_told_as_objects(value: Any) -> None:
    written = to_json(value)
    assert not is_exact(written)
    assert "@object" in json.loads(json.dumps(written))
