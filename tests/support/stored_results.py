"""Results of calls to be kept in a store, made of plain files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement
from casaprov.files.stamps import Stamps
from casaprov.hashing import Digest, digest_bytes
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Captured, Store


def a_key(text: str) -> Digest:
    return digest_bytes(text.encode())


def a_manifest(text: str = "call", **facts: Any) -> Manifest:
    """A result of one call without its products."""
    given = {"computed_by": f"session/{text}", "computed_at": "2026-05-01T10:00:00.000000+00:00", "seconds": 10.0}
    return Manifest(key=a_key(text), **{**given, **facts})


def measured(path: Path) -> Measurement | None:
    """A measurement of the bytes of all files, as a stand-in for the content."""
    if not os.path.lexists(path):
        return None
    return Measurement(
        kind="Directory", content_digest=digest_bytes(repr(sorted(tree(path).items())).encode()), size_bytes=1
    )


def recorded(captured: Captured, products: Mapping[str, Path]) -> dict[str, tuple[Stamps, Measurement | None]]:
    return {name: (captured.stamps[name], measured(path)) for name, path in products.items()}


def keep(store: Store, products: Mapping[str, Path], manifest: Manifest | None = None) -> Manifest:
    """Keep products as the result of a call."""
    manifest = manifest or a_manifest()
    captured = store.capture(products, manifest.seconds)
    return store.keep(captured, manifest, recorded(captured, products))


def tree(path: Path) -> dict[str, tuple[int, str]]:
    """Permissions and digest of everything at a path, by relative path; empty if there is nothing."""
    if not os.path.lexists(path):
        return {}
    places = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    return {
        place.relative_to(path).as_posix(): (
            place.stat().st_mode & 0o7777,
            "" if place.is_dir() else hashlib.sha256(place.read_bytes()).hexdigest(),
        )
        for place in places
    }


def write_tree(path: Path, **files: str) -> Path:
    """Make a folder with files, one of them in a folder below; return it."""
    (path / "SUB").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", "/")).write_text(text)
    return path
