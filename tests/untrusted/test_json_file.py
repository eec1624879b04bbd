"""JSON from strangers is read, or a sentence says why not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.errors import CrateError
from casaprov.untrusted.json_file import read_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 150 + "]" * 150, "nested too deeply"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1', "cannot be read"),
        ("9" * 10_000, "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_json_that_is_not_what_records_are_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CrateError, match=expected) as caught:
        read_json(tmp_path / "x.json")
    assert caught.value.hint


def test_large_json_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps("x" * 1000))
    with pytest.raises(CrateError, match="larger than the 100 bytes"):
        read_json(tmp_path / "x.json", max_bytes=100)


@pytest.mark.parametrize(
    "text", ["[" + "[]," * 5_000_000 + "[]]", "[" + "1," * 20_000_001 + "1]"], ids=["lists", "numbers"]
)
def test_json_of_too_many_values_is_refused_before_it_is_parsed(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    before = time.process_time()
    with pytest.raises(CrateError, match="more values than casaprov reads"):
        read_json(tmp_path / "x.json")
    assert time.process_time() - before < 0.5


def test_json_of_too_many_keys_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{" + ",".join(f'"{number}":0' for number in range(1_500_001)) + "}")
    before = time.process_time()
    with pytest.raises(CrateError, match="more keys than casaprov reads"):
        read_json(tmp_path / "x.json")
    assert time.process_time() - before < 0.5


def test_keys_that_look_otherwise_are_counted_as_well(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[" + ",".join(['{"a" :0,"b" :0,"c" :0}'] * 500_001) + "]")
    with pytest.raises(CrateError, match="more keys than casaprov reads"):
        read_json(tmp_path / "x.json")


def test_missing_json_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CrateError, match="No such file"):
        read_json(tmp_path / "x.json")


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: json.dumps({text: [text]}).encode()))
def test_any_bytes_are_read_as_json_reads_them_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.json"
    path.write_bytes(data)
    try:
        assert read_json(path) == json.loads(data)
    except CrateError as error:
        assert error.hint
