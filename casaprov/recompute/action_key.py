"""Key of a call: two calls with the same key leave the same products and return the same value.

A key is the digest of the facts that a result can depend on (:func:`key_facts`). Facts that are not proved to make no
difference are part of it: a wrong hit gives wrong science, a needless miss costs some time. ``docs/explanation/recomputation.md``
says which facts these are, and why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from casaprov.digests.measurement import Measurement
from casaprov.files.kinds import is_table
from casaprov.hashing import Digest, canonical_json, digest_record
from casaprov.records.values import is_exact, to_json
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import FileUse, TaskSpec

__all__ = ["CACHE_VERSION", "KeyedCall", "State", "action_key", "columns_of", "content_state", "key_facts", "name_of"]

CACHE_VERSION: Final = 1
"""Grows when a key or a manifest means something else than before."""

State = str
"""Identity of what is at a path: a content digest, or the call that left it."""

_PATH: Final = "path:"
"""Beginning of a parameter's value that names a file."""


@dataclass(frozen=True, kw_only=True)
class KeyedCall:
    """A call, with all facts for its key.

    Attributes
    ----------
    base
        Folder that the names of files start from.
    uses
        Files that it reads, changes or deletes.
    outputs
        Files that it makes, as far as they exist before it runs.
    environment
        Versions, threads and all else that CASA's results can depend on.
    source
        Digest of the code of a user's function; empty for a task.
    """

    call: TaskCall
    spec: TaskSpec
    base: Path
    uses: tuple[FileUse, ...]
    outputs: tuple[FileUse, ...]
    environment: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def stateful_outputs(self) -> tuple[FileUse, ...]:
        """Existing outputs whose state is part of the key: the task may refuse to replace them, or read them."""
        read = {use.path for use in self.uses}
        return tuple(use for use in self.outputs if use.path not in read and not self._is_replaced(use))

    def _is_replaced(self, use: FileUse) -> bool:
        # What a task does with anything else in the place of its product is not known: a folder, a link, visibilities.
        plain = not use.path.is_symlink() and (_is_result_table(use.path) or use.path.is_file())
        return plain and self.spec.reuse.replaces(use.parameter, self.call.parameters)


def action_key(facts: Mapping[str, Any]) -> Digest:
    """Return the key of a call from its facts."""
    return digest_record("casaprov/action-key/1", facts)


def key_facts(call: KeyedCall, states: Mapping[Path, State]) -> dict[str, Any] | None:
    """Return the facts that the results of a call depend on; None if they cannot be written exactly.

    Parameters
    ----------
    states
        What is at each path that the call uses, and at each of its stateful outputs.
    """
    parameters = call.call.parameters
    # A virtual model names its image by a whole path, which the content digest reduces to a name.
    whole_paths = call.spec.reuse.carries_paths(parameters) or any(_names_models(use.path) for use in call.uses)

    def named(path: Path) -> str:
        return path.as_posix() if whole_paths else name_of(path, call.base)

    mapped = call.spec.map_paths(parameters, call.call.cwd, lambda path: f"{_PATH}{named(path)}")
    values = {name: to_json(value) for name, value in mapped.items()}
    if not is_exact(values):
        return None
    files = [[use.role, use.parameter, named(use.path), states[use.path]] for use in call.uses]
    files += [["there", use.parameter, named(use.path), states[use.path]] for use in call.stateful_outputs]
    return {
        "task": call.call.task,
        "package": call.call.package,
        "spec": call.spec.version,
        "source": call.source,
        "folder": named(call.call.cwd),
        "parameters": call.spec.reuse.canonical(values),
        "files": sorted(files, key=canonical_json),
        "environment": dict(call.environment),
        "version": CACHE_VERSION,
    }


def _is_result_table(path: Path) -> bool:
    """Return True for a calibration table or an image."""
    try:
        kind = (path / "table.info").read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return False
    return is_table(path) and kind.partition("=")[2].strip() in ("Calibration", "Image")


def _names_models(path: Path) -> bool:
    """Return True if a MeasurementSet holds virtual models that are images."""
    return any(next(folder.glob("FT_MODEL*"), None) is not None for folder in (path, path / "SOURCE"))


def name_of(path: Path, base: Path) -> str:
    """Return the name of a path in keys and manifests: relative to `base` if it lies below it, absolute elsewhere."""
    if path.is_relative_to(base):
        return path.relative_to(base).as_posix()
    return os.path.abspath(path)  # noqa: PTH100 - a link is not its target


def content_state(measured: Measurement, unread: frozenset[str] = frozenset()) -> State:
    """Return the state of measured content.

    Parameters
    ----------
    unread
        Columns of the table whose values do not count; their names and types do.
    """
    if measured.byte_digest is not None:
        # The content digest of a FITS file leaves out cards (HISTORY, ORIGIN) that a task may copy into its product.
        return measured.byte_digest
    table = (measured.tree or {}).get("table")
    unread = unread.intersection(table["columns"]) if table else frozenset()
    if table is None or not unread:
        return measured.content_digest
    return digest_record(
        "casaprov/read-columns/1",
        [table["type"], table["subtype"], table["rows"], table["keywords"]],
        {
            name: [column["type"] if name in unread else column["digest"], column.get("keywords")]
            for name, column in table["columns"].items()
        },
        {name: part and part["digest"] for name, part in table["tables"].items()},
    )


def columns_of(measured: Measurement) -> frozenset[str]:
    """Return the names of the columns of a measured table; none of anything else."""
    table = (measured.tree or {}).get("table")
    return frozenset(table["columns"]) if table else frozenset()
