"""S3: a second copy of each published file in an object store, whose bytes are read back and digested.

The store's own checksums are not relied upon: some accept a wrong one.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from casaprov.archive.deposits import Deposit
from casaprov.archive.settings import S3Settings
from casaprov.errors import CasaprovError, MissingDependency

if TYPE_CHECKING:
    from sqlalchemy import Connection
from casaprov.version import install_command

__all__ = ["ObjectStore", "ObjectStoreFailed"]

_CHUNK = 2**20


class ObjectStoreFailed(CasaprovError):
    """The object store did not keep a file as it was; the publication is tried again later."""


class ObjectStore:
    """A bucket. Credentials come from the environment or ``~/.aws``, as boto3 finds them."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings

    def prepare(self, deposit: Deposit, content: Path) -> None:
        """Copy the kept file, unless the store has it, and prove that it arrived byte for byte."""
        if self.digest(deposit) == deposit.sha256:
            return
        with self._failures(deposit):
            self._client.upload_file(
                str(content),
                self._settings.bucket,
                self.key(deposit),
                ExtraArgs={"Metadata": {"sha256": deposit.sha256}},
            )
        kept = self.digest(deposit)
        if kept != deposit.sha256:
            raise ObjectStoreFailed(
                f"The object store holds other bytes for {deposit.name} than it was given: {kept or 'none'}.",
                hint="Look at the store; the file in the OCFL folder is the original.",
            )

    def record(self, connection: Connection, deposit: Deposit) -> None:
        """Write nothing: the store has no part in the transaction."""

    def withdraw(self, deposit: Deposit) -> None:
        """Leave the copy: the archive keeps what it withdraws, and nobody reads the bucket but the archive."""

    def key(self, deposit: Deposit) -> str:
        """Return the name of a deposit's object."""
        name = f"{quote(deposit.obs_id)}/{quote(deposit.name)}/v{deposit.version}/{deposit.content_name}"
        return f"{self._settings.prefix.strip('/')}/{name}".lstrip("/")

    def digest(self, deposit: Deposit) -> str:
        """Return the digest of the bytes in the store, read back from there; empty if there is no object."""
        found = hashlib.sha256()
        with self._failures(deposit):
            try:
                answer = self._client.get_object(Bucket=self._settings.bucket, Key=self.key(deposit))
            except self._client.exceptions.NoSuchKey:
                return ""
            for piece in answer["Body"].iter_chunks(_CHUNK):
                found.update(piece)
        return f"sha256:{found.hexdigest()}"

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
        except ImportError as error:
            hint = f"Run '{install_command('archive-more')}'."
            raise MissingDependency("The object store needs boto3, which is not installed.", hint=hint) from error
        where = {"endpoint_url": self._settings.endpoint, "region_name": self._settings.region}
        return boto3.client("s3", **{name: value for name, value in where.items() if value})

    def _failures(self, deposit: Deposit) -> _Failures:
        return _Failures(f"The object store failed for {deposit.name}")


class _Failures:
    """Turns the errors of boto3, whose classes are made at run time, into one of the archive's."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, CasaprovError):
            return
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, Boto3Error | BotoCoreError | ClientError):
            hint = "Check [s3] in archive.toml, and the credentials."
            raise ObjectStoreFailed(f"{self._what}: {error}.", hint=hint) from error
