"""The search for secrets in everything that is to be packed: cells, outputs, records, logs, tables and files."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casaprov.privacy.secrets import Secret, environment_secrets, secrets_in_bytes, secrets_in_text, secrets_in_value
from casaprov.privacy.split import has_split, is_wrapped, split_secrets, whole_secrets
from casaprov.records.model import Document
from casaprov.records.serialise import unstructure
from casaprov.untrusted.parsing.bounded_json import parse_json

__all__ = ["Finding", "Packing", "remaining", "scan"]

_SHOWN = 4  # characters of a secret that a message may show, of one that has twelve or more
_TEXT_START = 4096  # bytes that show if a file is text


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Everything that is to be packed.

    Attributes
    ----------
    notebook
        Content of the notebook file.
    logs, files
        Logs of calls, and files of shipped products and inputs, by their path in the crate.
    """

    document: Document
    notebook: bytes
    logs: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A secret, and the places that hold it."""

    secret: Secret
    places: tuple[str, ...]

    def __str__(self) -> str:
        value = self.secret.value
        shown = f" ({value[:_SHOWN]}…)" if len(value) >= 3 * _SHOWN else ""
        return f"{self.secret.kind}{shown} in {', '.join(self.places)}"


@dataclass(frozen=True)
class _Text:
    place: str
    text: str
    name: str = ""


def scan(packing: Packing, variables: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the secrets in the files to be packed, each with all its places.

    Parameters
    ----------
    variables
        Environment variables; the values of those whose names say that they are secrets are looked for, too.
    """
    texts = _texts(packing)
    # The first kind that is found names a value.
    kinds: dict[str, str] = {}
    for secret in _all_secrets(texts, packing.files, variables):
        kinds.setdefault(secret.value, secret.kind)
    return _findings(packing, texts, kinds)


def remaining(packing: Packing, secrets: Iterable[str]) -> tuple[Finding, ...]:
    """Return those of these values that still stand anywhere in the files to be packed."""
    return _findings(packing, _texts(packing), dict.fromkeys(secrets, "a secret"))


def _texts(packing: Packing) -> list[_Text]:
    return [*_notebook_texts(packing.notebook), *_record_texts(packing.document), *_log_texts(packing.logs)]


def _findings(packing: Packing, texts: list[_Text], kinds: Mapping[str, str]) -> tuple[Finding, ...]:
    if not kinds:
        return ()
    places: dict[str, dict[str, None]] = {value: {} for value in kinds}
    for text in texts:
        for value in kinds:
            if value in text.text:
                places[value][text.place] = None
    for path, file in packing.files.items():
        for value in _values_in(path, file, kinds):
            places[value][path] = None
    return tuple(Finding(Secret(value, kinds[value]), tuple(found)) for value, found in places.items() if found)


def _all_secrets(texts: Iterable[_Text], files: Mapping[str, Path], variables: Mapping[str, str]) -> Iterator[Secret]:
    for text in texts:
        yield from secrets_in_value(text.name, text.text)
    for name, file in files.items():
        yield from _in_file(name, file)
    yield from environment_secrets(variables)


def _notebook_texts(notebook: bytes) -> Iterator[_Text]:
    try:
        content = parse_json(notebook, strict=False)
        cells = content["cells"]
    except (ValueError, TypeError, KeyError):
        yield _Text("the notebook", notebook.decode("utf-8", "replace"))
        return
    yield from _strings({key: member for key, member in content.items() if key != "cells"}, "the notebook's metadata")
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict):
            continue
        yield _Text(f"cell {number}", _joined(cell.get("source", "")))
        rest = {key: member for key, member in cell.items() if key not in ("source", "outputs")}
        yield from _strings(rest, f"the metadata of cell {number}")
        for output in cell.get("outputs") or ():
            yield from _strings(_without_pictures(output), f"the output of cell {number}")


def _without_pictures(output: Any) -> Any:
    data = output.get("data") if isinstance(output, dict) else None
    if not isinstance(data, dict):
        return output
    return {
        **output,
        "data": {mime: shown for mime, shown in data.items() if mime[:9] not in ("image/png", "image/jpe")},
    }


def _record_texts(document: Document) -> Iterator[_Text]:
    numbers = document.call_numbers
    for activity in document.activities:
        call = f"call {numbers[activity.id]} ({activity.task})"
        data = unstructure(activity)
        for name, value in data.pop("parameters", {}).items():
            yield from _strings(value, f"parameter {name} of {call}", name)
        yield from _strings(data, f"the record of {call}")
    for entity in document.entities:
        yield from _strings(unstructure(entity), f"the record of {entity.path}")
    for session in document.sessions:
        yield from _strings(unstructure(session), f"the environment of session {session.id}")


def _log_texts(logs: Mapping[str, Path]) -> Iterator[_Text]:
    for name, path in logs.items():
        yield _Text(name, path.read_text("utf-8", errors="replace"))


def _strings(value: Any, place: str, name: str = "") -> Iterator[_Text]:
    """Yield every string in a JSON value, with the key that it stands under."""
    if isinstance(value, str):
        if len(value) > _SHOWN:
            yield _Text(place, value, name)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _strings(member, place, str(key))
    elif isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            yield _Text(place, _joined(value), name)
        else:
            for member in value:
                yield from _strings(member, place, name)


def _joined(source: Any) -> str:
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else json.dumps(source)


def _in_file(name: str, path: Path) -> Iterator[Secret]:
    with path.open("rb") as file:
        start = file.read(_TEXT_START)
        if not start:
            return
        if b"\0" not in start and not start.startswith(b"SIMPLE"):
            yield from secrets_in_text((start + file.read()).decode("utf-8", "replace"))
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from whole_secrets(data, secrets_in_bytes(data))
            if is_wrapped(name, start):
                yield from split_secrets(data)


def _values_in(name: str, path: Path, values: Iterable[str]) -> Iterator[str]:
    """Yield the values that stand in a file, or in its name."""
    yield from (value for value in values if value in name)
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        wrapped = is_wrapped(name, data[:6])
        for value in values:
            if data.find(value.encode()) >= 0 or (wrapped and has_split(data, value)):
                yield value
