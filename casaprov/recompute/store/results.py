"""Store of results: whole products, each different file once, found by the key of the call.

A result enters in two steps. :meth:`Store.capture` clones or copies the products, quickly, before they can change.
:meth:`Store.keep` hashes the clones, which takes longer and may be done while other code runs, and writes the manifest
last: a writer that is killed leaves objects that nothing names, and never a manifest without its objects.

Many processes may use one store at a time, and so may the members of a group. Readers take no lock: an object that is
removed while a result is restored makes that a miss. Nothing here raises another error than :class:`StoreError`.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.digests.parallel import Cache
from casaprov.errors import NotKept, NotRestored, StoreError
from casaprov.files.copying import Copier, Stopped
from casaprov.files.stamps import Stamps, StatStamp, is_self_contained, settle
from casaprov.files.time_resolution import TimeSteps
from casaprov.hashing import Digest
from casaprov.recompute.store.eviction import Limits, evict
from casaprov.recompute.store.folder import PartFolder, StoreFolder
from casaprov.recompute.store.known_bytes import KnownBytes
from casaprov.recompute.store.manifest import (
    UNKNOWN,
    Entry,
    Manifest,
    Member,
    StoredProduct,
    decode_entry,
    decode_manifest,
    encode_manifest,
)
from casaprov.recompute.store.product_files import Irregular, ProductFile, file_text, list_product

__all__ = ["Captured", "Miss", "Store"]

_log = logging.getLogger(__name__)

_LOCK = "table.lock"
_PART_GROWN = 20  # a store is looked through when one part in so many of its limit was added
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Miss:
    """A look-up that found nothing to restore.

    Attributes
    ----------
    reason
        Sentence about the reason.
    damaged
        True if there was a result, and it is damaged or incomplete.
    """

    reason: str
    damaged: bool = False


@dataclass(frozen=True)
class _CapturedFile:
    """A file or folder of a product, with its clone, or with its digest if an object holds it already."""

    found: ProductFile
    clone: Path | None = None
    digest: Digest | None = None


@dataclass(frozen=True, eq=False)
class Captured:
    """Products that were cloned or copied, and are not hashed yet.

    Attributes
    ----------
    stamps
        Stamps of each product, by the name of the output.
    copied_bytes
        Size of the files that had to be copied, since they could not be cloned.
    """

    stamps: Mapping[str, Stamps]
    copied_bytes: int
    products: Mapping[str, tuple[Path, tuple[_CapturedFile, ...]]] = field(repr=False)
    part: PartFolder = field(repr=False)


class Store:
    """Results of calls in a folder.

    Parameters
    ----------
    folder
        The folder of the store; it is made when the first result is kept.
    known
        Keeps digests of files for later sessions on this host; None keeps them for this session.
    limits
        Limits that the store is kept in: results are dropped when others are kept. None drops nothing.
    on_notice
        Called with sentences for the user: once when files have to be copied, once when the store is full, and for
        each result that turned out to be damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        known: Cache | None = None,
        limits: Limits | None = None,
        on_notice: Callable[[str], None] = _log.warning,
    ) -> None:
        self.folder = StoreFolder(folder)
        self.known = KnownBytes(known)
        self.copier = Copier(on_notice)
        self._on_notice = on_notice
        self._steps = TimeSteps()
        self._limits = limits
        self._new_bytes: float = math.inf  # since the store was last looked through: not yet in this session
        self._full_noticed = False

    def close(self) -> None:
        """Write down for later sessions which files are known."""
        self.known.close()

    # -- look-up ---------------------------------------------------------------

    def lookup(self, key: Digest) -> Manifest | Miss:
        """Find the result of a call, and check each of its objects.

        An object is whole if its size and stamp are those under which its bytes were read on this host; otherwise they
        are read now.
        """
        try:
            data = self._manifest_text(key)
            if data is None:
                return Miss("No result is stored for it.")
            manifest = self._manifest(key, data)
            if isinstance(manifest, Miss):
                return manifest
            for member in {member.digest: member for member in manifest.files}.values():
                fault = self._fault_of(member)
                # Another process may drop the result meanwhile, its manifest first, or keep it anew, its manifest last.
                if fault and self._manifest_text(key) != data:
                    return Miss("The stored result was dropped meanwhile.")
                if fault and self._fault_of(member):
                    return self._damaged(manifest.entry, fault)
        except StoreError as error:
            return Miss(error.message)
        except OSError as error:
            return Miss(f"The store {self.folder.path} cannot be read: {error.strerror or error}.")
        with suppress(OSError):  # a store that may not be written
            os.utime(self.folder.result(manifest.key))
        return manifest

    def holds(self, key: Digest) -> bool:
        """Return True if there is a result of a key and all its objects are there; their bytes are not read."""
        try:
            data = self._manifest_text(key)
            entry = None if data is None else decode_entry(data)
        except (StoreError, OSError):
            return False
        return entry is not None and not entry.contested and self._has_all(entry)

    def open_object(self, member: Member) -> int:
        """Open an object that a look-up found whole, to read it.

        Raises
        ------
        NotRestored
            If it is gone, or was touched since the look-up.
        """
        digest = member.digest
        assert digest is not None, "a folder has no object"
        path = self.folder.object_text(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotRestored(f"An object of the result cannot be read: {error.strerror}.") from error
        if self.known.get(path, StatStamp.of(os.fstat(descriptor))) != digest:
            os.close(descriptor)
            raise NotRestored("An object of the result was changed since it was looked up.")
        return descriptor

    def _manifest_text(self, key: Digest) -> bytes | None:
        if not self.folder.check_format():
            return None
        try:
            return self.folder.result(key).read_bytes()
        except FileNotFoundError:
            pass
        try:
            return self.folder.result(self.folder.key_of(key)).read_bytes()
        except FileNotFoundError:
            return None

    def _manifest(self, key: Digest, data: bytes) -> Manifest | Miss:
        try:
            if decode_entry(data).contested:
                return Miss("Two runs of the same call left different contents: its result is not certain.")
            manifest = decode_manifest(data)
            if key not in (manifest.key, *manifest.aliases):
                raise StoreError("It is that of another call.")
        except StoreError as error:
            self._drop_manifest(self.folder.result(key), data)
            self._on_notice(
                f"A result in the store {self.folder.path} is damaged: {error.message} The call runs again."
            )
            return Miss(f"The stored result is damaged: {error.message}", damaged=True)
        return manifest

    def _fault_of(self, member: Member) -> str:
        """Return a sentence about an object that is not whole; an empty text if it is."""
        digest = member.digest
        assert digest is not None, "a folder has no object"
        text = self.folder.object_text(digest)
        try:
            facts = os.lstat(text)
        except FileNotFoundError:
            return "a file of it is missing."
        stamp = StatStamp.of(facts)
        if facts.st_size == member.size_bytes and self.known.get(text, stamp) == digest:
            return ""
        path = Path(text)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != member.size_bytes:
            self._drop_object(path, facts)
            return f"a file of it has {facts.st_size} bytes instead of {member.size_bytes}."
        found, read = _digest_of(path)
        if found != digest:
            self._drop_object(path, read)
            return "a file of it has other bytes than were stored."
        self.known.put([(path, StatStamp.of(read), found)])
        return ""

    def _damaged(self, entry: Entry, fault: str) -> Miss:
        self._on_notice(
            f"The result of {entry.task or entry.computed_by} in the store {self.folder.path} is damaged: {fault} "
            "The call runs again."
        )
        return Miss(f"The stored result is damaged: {fault}", damaged=True)

    def _drop_object(self, path: Path, seen: os.stat_result) -> None:
        """Remove a damaged object, so that the next result that has these bytes brings it anew."""
        with suppress(OSError, StoreError), self.folder.locked(alone=True):
            if StatStamp.of(path.lstat()) == StatStamp.of(seen):  # a writer may have replaced it
                path.unlink()

    def _drop_manifest(self, path: Path, seen: bytes) -> None:
        with suppress(OSError, StoreError), self.folder.locked(alone=True):
            if path.read_bytes() == seen:  # a writer may have replaced it
                path.unlink()

    # -- checks ----------------------------------------------------------------

    def check_object(self, path: Path) -> str:
        """Read an object, and drop a damaged one; return a sentence about the damage, or an empty text."""
        digest, facts = _digest_of(path)
        if digest != f"sha256:{path.parent.name}{path.name}" or not stat.S_ISREG(facts.st_mode):
            self._drop_object(path, facts)
            return f"{path} does not hold the bytes that it is named by."
        self.known.put([(path, StatStamp.of(facts), digest)])
        return ""

    def check_result(self, path: Path) -> str:
        """Read a manifest, and drop a damaged or incomplete one; return a sentence about the damage, or an empty text."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return ""
        try:
            manifest = decode_manifest(data)
            fault = "" if self._has_all(manifest.entry) else "a file of it is missing."
        except StoreError as error:
            fault = error.message
        if fault:
            self._drop_manifest(path, data)
        return fault

    def _has_all(self, entry: Entry) -> bool:
        return all(self._has_object(digest, size) for digest, size in entry.sizes.items())

    # -- capture ---------------------------------------------------------------

    def capture(
        self, products: Mapping[str, Path], seconds: float, stop: Callable[[], bool] = lambda: False
    ) -> Captured:
        """Clone or copy the products of a call, as they are now.

        Parameters
        ----------
        products
            Path of each output, by its name in the key; there may be nothing at a path.
        seconds
            Duration of the call: what is computed faster than copied is not kept.
        stop
            Asked between pieces of a copy; True ends it, because other code waits for the files.

        Raises
        ------
        NotKept
            If they cannot be kept, are not worth it, or change meanwhile.
        """
        with self._writing():
            part = self.folder.part_folder()
            try:
                return self._captured(products, seconds, part, stop)
            except BaseException:
                part.remove()
                raise

    def _captured(
        self, products: Mapping[str, Path], seconds: float, part: PartFolder, stop: Callable[[], bool]
    ) -> Captured:
        places = {name: path.resolve() for name, path in products.items()}
        for path in places.values():
            list_product(path)  # refuses links by name
        before = {name: _settled(path, self._steps) for name, path in places.items()}
        listed = {name: list_product(path) for name, path in places.items()}
        work = [(name, file) for name, files in listed.items() for file in files]
        clones: dict[tuple[str, str], _CapturedFile] = {}
        copied = 0
        self._check_worth(places, listed, part, seconds)
        # The smallest first: it shows whether the file system can clone.
        for number, (name, file) in enumerate(sorted(work, key=lambda item: item[1].size_bytes)):
            captured, cloned = self._captured_file(places[name], file, part.path / str(number), stop)
            clones[name, file.path] = captured
            if not cloned and file.size_bytes:
                if not copied:
                    self._check_worth(places, listed, part, seconds)
                copied += file.size_bytes
        for name, path in places.items():
            if list_product(path) != listed[name]:
                raise NotKept(f"{path} changed while it was copied to the store.")
        return Captured(
            stamps=before,
            copied_bytes=copied,
            products={name: (places[name], tuple(clones[name, file.path] for file in listed[name])) for name in places},
            part=part,
        )

    def _check_worth(
        self,
        places: Mapping[str, Path],
        listed: Mapping[str, tuple[ProductFile, ...]],
        part: PartFolder,
        seconds: float,
    ) -> None:
        device = part.path.stat().st_dev
        expected = 0.0
        for name, files in listed.items():
            if files:
                cloned = self.copier.clones(places[name].lstat().st_dev, device)
                size = sum(file.size_bytes for file in files)
                expected += self.copier.seconds_for(size, len(files), cloned=cloned)
        if expected > seconds:
            raise NotKept(f"It takes {seconds:.2f} s to compute, and about {expected:.2f} s to copy.")

    def _captured_file(
        self, product: Path, file: ProductFile, clone: Path, stop: Callable[[], bool]
    ) -> tuple[_CapturedFile, bool]:
        """Return a file with its clone, or with its digest where an object holds its bytes; and False if it was copied."""
        if file.stamp is None:
            return _CapturedFile(file), True
        path = file_text(product, file.path)
        if file.path.endswith(_LOCK):  # its stamp shows nothing; most tables of a product have the lock that they had
            digest: Digest | None = _digest_of(Path(path))[0]
        else:
            digest = self.known.get(path, file.stamp)
        if digest is not None and self._has_object(digest, file.size_bytes):
            return _CapturedFile(file, digest=digest), True
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _CapturedFile(file, clone=clone), self.copier.copy(source, clone, self.folder.object_mode(), stop)
        finally:
            os.close(source)

    def _has_object(self, digest: Digest, size_bytes: int) -> bool:
        try:
            facts = os.lstat(self.folder.object_text(digest))
        except OSError:
            return False
        return stat.S_ISREG(facts.st_mode) and facts.st_size == size_bytes

    def discard(self, captured: Captured) -> None:
        """Remove captured products that are not to be kept."""
        captured.part.remove()

    # -- keep ------------------------------------------------------------------

    def keep(
        self, captured: Captured, manifest: Manifest, recorded: Mapping[str, tuple[Stamps, Measurement | None]]
    ) -> Manifest:
        """Keep the result of a call; return its manifest with its products.

        Parameters
        ----------
        captured
            Its products; they are taken over or removed.
        manifest
            The rest of the result.
        recorded
            By the name of the output, the measurement in the record of the call, and the stamps of the files that it
            was made from. There is none for a path where the call leaves nothing, nor for a state without a digest.

        Raises
        ------
        NotKept
            If the record is not about what was captured, or it cannot be kept.
        """
        try:
            with self._writing():
                return self._kept(captured, manifest, recorded)
        finally:
            captured.part.remove()

    def _kept(
        self, captured: Captured, manifest: Manifest, recorded: Mapping[str, tuple[Stamps, Measurement | None]]
    ) -> Manifest:
        for name, stamps in captured.stamps.items():
            measured_under, measurement = recorded[name]
            if stamps != measured_under:
                raise NotKept(f"{captured.products[name][0]} changed after the call before it was copied to the store.")
            if measurement is not None and (not stamps or measurement.tier != "full"):
                raise NotKept(f"The record has no full digest of {captured.products[name][0]}.")
        digests = {
            file.clone: _digest_captured(product / file.found.path, file.found.stamp, file.clone)
            for product, files in captured.products.values()
            for file in files
            if file.clone is not None
        }
        whole = replace(
            manifest,
            products=tuple(
                StoredProduct(
                    name=name,
                    members=tuple(_member(file, digests) for file in files),
                    measurement=recorded[name][1],
                )
                for name, (_, files) in captured.products.items()
            ),
        )
        with self.folder.locked():
            # The manifest is the last to be written, under the same lock: what it names cannot be removed before.
            for clone, digest in digests.items():
                self._publish(clone, digest)
            self._publish_manifest(whole, captured.part)
        self._learn(captured, digests)
        self._keep_limits(sum(whole.entry.sizes.values()))
        return whole

    def _keep_limits(self, new_bytes: int) -> None:
        """Drop results, once in a session and whenever the store may have grown by a good part of its limit."""
        self._new_bytes += new_bytes
        limit = math.inf if self._limits is None else self._limits.max_bytes
        if self._new_bytes <= limit / _PART_GROWN:
            return
        self._new_bytes = 0
        self.folder.remove_dead_parts()
        if self._limits is not None:
            evict(self.folder, now_s=time.time(), limits=self._limits)

    def _publish(self, clone: Path, digest: Digest) -> None:
        place = self.folder.object(digest)
        if self._has_object(digest, clone.lstat().st_size):
            clone.unlink()
            return
        self.folder.folder(place.parent)
        clone.replace(place)

    def _publish_manifest(self, manifest: Manifest, part: PartFolder) -> None:
        if not self._has_all(manifest.entry):
            raise NotKept("A file that the store had was dropped meanwhile.")
        place = self.folder.result(manifest.key)
        contested = False
        with suppress(OSError, StoreError):
            there = decode_entry(place.read_bytes())
            contested = there.contested or _contradict(there.contents, manifest.contents)
        self.folder.folder(place.parent)
        new = part.path / "manifest"
        # Further keys before the manifest: a key that leads nowhere is a miss.
        for alias in manifest.aliases:
            self.folder.folder(self.folder.alias(alias).parent)
            new.write_text(manifest.key, encoding="utf-8")
            new.chmod(self.folder.object_mode())
            new.replace(self.folder.alias(alias))
        new.write_bytes(encode_manifest(manifest, contested=contested))
        new.chmod(self.folder.result_mode())
        new.replace(place)
        if contested:
            raise NotKept("Two runs of the same call left different contents: its result is not certain.")

    def _learn(self, captured: Captured, digests: Mapping[Path, Digest]) -> None:
        """Remember the digests of the files that were captured, and of their objects."""
        found: list[tuple[Path | str, StatStamp, Digest]] = []
        for product, files in captured.products.values():
            for file in files:
                digest = _digest_in(file, digests)
                if digest is None or file.found.stamp is None:
                    continue
                if not file.found.path.endswith(_LOCK):  # its stamp is no part of those that would show a later write
                    found.append((file_text(product, file.found.path), file.found.stamp, digest))
                if file.clone is not None:
                    with suppress(OSError):
                        place = self.folder.object_text(digest)
                        found.append((place, StatStamp.of(os.lstat(place)), digest))
        self.known.put(found)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn failures of writing into :class:`NotKept`."""
        try:
            yield
        except Stopped:
            raise NotKept("Other code waited for its files before they were copied to the store.") from None
        except Irregular as error:
            raise NotKept(str(error)) from error
        except NotKept:
            raise
        except StoreError as error:
            raise NotKept(error.message, hint=error.hint) from error
        except OSError as error:
            if error.errno in _FULL and not self._full_noticed:
                self._full_noticed = True
                self._on_notice(
                    f"The store {self.folder.path} has no space left: results are not kept. "
                    "'casaprov cache gc --max-bytes SIZE' makes room."
                )
            why = "may not be written" if error.errno in _READ_ONLY else f"cannot be written: {error.strerror or error}"
            raise NotKept(f"The store {self.folder.path} {why}.") from error


def _contradict(one: Digest, other: Digest) -> bool:
    """Return True if two runs of a call left different contents, as far as these are known."""
    return one != other and UNKNOWN not in (one, other)


def _settled(path: Path, steps: TimeSteps) -> Stamps:
    """Return stamps of a whole product, taken when they would show a later write."""
    stamps = settle(path, steps.at(path))
    if stamps is None:
        raise NotKept(f"{path} kept changing after the call.")
    if not is_self_contained(path, stamps):
        raise NotKept(f"{path} refers to other tables, which hold its rows.")
    return stamps


def _digest_captured(path: Path, stamp: StatStamp | None, clone: Path) -> Digest:
    """Return the digest of the bytes of a clone.

    The original has them as well while its stamp is the same, and is read instead: the system has in memory what the
    call wrote, and would read the clone from the disk.
    """
    with suppress(OSError):
        digest, facts = _digest_of(path)
        if StatStamp.of(facts) == stamp == StatStamp.of(path.lstat()):
            return digest
    return _digest_of(clone)[0]


def _member(file: _CapturedFile, digests: Mapping[Path, Digest]) -> Member:
    return Member(file.found.path, file.found.mode, file.found.size_bytes, _digest_in(file, digests))


def _digest_in(file: _CapturedFile, digests: Mapping[Path, Digest]) -> Digest | None:
    return file.digest if file.clone is None else digests[file.clone]


def _digest_of(path: Path) -> tuple[Digest, os.stat_result]:
    """Return the digest of the bytes of a file of the store, and its facts before it was read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        facts = os.fstat(descriptor)
        return Digest("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()), facts
