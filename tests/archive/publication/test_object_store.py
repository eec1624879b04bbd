"""The second copy in an object store; moto plays the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from archived import a_deposit
from casaprov.archive.deposits import Deposit
from casaprov.archive.publication.object_store import ObjectStore, ObjectStoreFailed
from casaprov.archive.settings import S3Settings

CONTENT = b"a crate" * 1000


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        made = boto3.client("s3", region_name="us-east-1")
        made.create_bucket(Bucket="crates")
        yield made


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "crate.zip"
    path.write_bytes(CONTENT)
    return path


def _deposit() -> Deposit:
    return a_deposit(sha256=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


def _store() -> ObjectStore:
    return ObjectStore(S3Settings(bucket="crates", prefix="archive/", region="us-east-1"))


def test_a_file_is_copied_once_byte_for_byte(client: Any, content: Path) -> None:
    store = _store()
    assert store.digest(_deposit()) == ""
    store.prepare(_deposit(), content)
    key = "archive/N14C3/N14C3-0001/v1/crate.zip"
    first = client.get_object(Bucket="crates", Key=key)
    assert first["Body"].read() == CONTENT
    store.prepare(_deposit(), content)
    assert client.head_object(Bucket="crates", Key=key)["LastModified"] == first["LastModified"]


def test_other_bytes_in_the_store_are_found_although_it_accepts_them(client: Any, content: Path) -> None:
    content.write_bytes(CONTENT[:-1] + b"X")  # as a store does that spoils what it keeps
    with pytest.raises(ObjectStoreFailed, match="other bytes"):
        _store().prepare(_deposit(), content)


def test_a_spoilt_copy_is_replaced(client: Any, content: Path) -> None:
    store = _store()
    client.put_object(Bucket="crates", Key=store.key(_deposit()), Body=b"spoilt")
    store.prepare(_deposit(), content)
    assert store.digest(_deposit()) == _deposit().sha256


def test_a_bucket_that_is_not_there_is_named(client: Any, content: Path) -> None:
    store = ObjectStore(S3Settings(bucket="none", region="us-east-1"))
    with pytest.raises(ObjectStoreFailed, match="N14C3-0001"):
        store.prepare(_deposit(), content)
