"""The digest protocol's primitives."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov import hashing
from casaprov.errors import DigestError
from casaprov.hashing import BlockHasher, canonical_json, digest_bytes, digest_record

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def _hash(pieces: list[bytes]) -> str:
    hasher = BlockHasher()
    for piece in pieces:
        hasher.update(piece)
    return hasher.digest()


def test_golden_values() -> None:
    assert canonical_json({"b": [1, 1.0, True, None, "é"], "a": -0.0}) == b'{"a":-0.0,"b":[1,1.0,true,null,"\xc3\xa9"]}'
    assert digest_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_record("casaprov/example/1", 1, "a") == (
        "sha256:cded8d1a14d3a37cd67a81f7e191fc4a071740638924f2c430bc07ff5150bc91"
    )
    assert _hash([]) == "sha256:02d5209f7a266a57b090795c43d08e2b3ad10af84df801eb2b44540d1339aaf0"
    assert _hash([b"abc"]) == "sha256:1146f4c591a3d4e7b9b3ade3fc077fb5eda12908db33b19958f7d0c7a57e5273"
    assert _hash([bytes(2**24), b"abc"]) == "sha256:202e828b70b87f8df3f3933c23d066f83139dab7a41fc26dee43113dbebf9d45"


@given(JSON_VALUES)
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(member) for member in value] if isinstance(value, list) else value

    assert canonical_json(reversed_keys(value)) == canonical_json(value)


def test_numbers_of_different_type_differ() -> None:
    assert len({canonical_json(value) for value in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, b"bytes", {1, 2}, [object()]])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(DigestError):
        canonical_json(value)


def test_the_record_type_tells_records_apart() -> None:
    assert digest_record("casaprov/a/1", "x") != digest_record("casaprov/b/1", "x")


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_a_stream_is_hashed_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "BLOCK_BYTES", 16)
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[start:stop] for start, stop in pairwise(edges)]
        assert _hash(pieces) == _hash([data])


@given(st.binary(min_size=1, max_size=100), st.data())
def test_one_bit_changes_the_digest_of_a_stream(data: bytes, draw: st.DataObject) -> None:
    place, bit = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(0, 7))
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    assert _hash([bytes(changed)]) != _hash([data])


def test_blocks_can_be_hashed_apart() -> None:
    data = np.random.default_rng(0).bytes(hashing.BLOCK_BYTES + 5)
    blocks = [hashlib.sha256(part).hexdigest() for part in (data[: hashing.BLOCK_BYTES], data[hashing.BLOCK_BYTES :])]
    assert _hash([data]) == digest_record("casaprov/values/1", len(data), blocks)
