"""Building blocks of JSON-LD: identifiers, references, times, values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from casaprov.terms import MEDIA_TYPES, UNKNOWN_MEDIA_TYPE

__all__ = ["Node", "clean", "iri", "local", "media_type", "ref", "time", "value", "value_type"]

Node = dict[str, Any]
"""A JSON-LD entity."""

_MAX_VALUE = 1000  # characters


def iri(path: str) -> str:
    """Return the identifier of a file of the crate: its path, percent-encoded."""
    return quote(path)


def local(kind: str, name: str) -> str:
    """Return the identifier of something that is no file of the crate: ``#<kind>/<name>``."""
    return f"#{kind}/" + quote(name.encode("utf-8", "surrogatepass"), safe="/:@")


def ref(identifier: str) -> Node:
    """Return a reference to the entity with this identifier."""
    return {"@id": identifier}


def time(text: str) -> str:
    """Return an ISO 8601 time in UTC without fractions of a second, which the profile's shapes reject."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0).isoformat()
    except ValueError:
        return text


def media_type(path: str) -> str:
    """Return the media type of a file by its suffix."""
    return MEDIA_TYPES.get(PurePosixPath(path).suffix.lower(), UNKNOWN_MEDIA_TYPE)


def value(member: Any, whole: str = "the parameters file") -> str | int | float | bool:
    """Return a JSON value as the value of a PropertyValue: a scalar as it is, anything else as JSON text.

    A long text is cut, and says that `whole` holds all of it.
    """
    if isinstance(member, bool | int | float):
        return member
    text = member if isinstance(member, str) else json.dumps(member, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}… (cut; all of it is in {whole})"


def value_type(member: Any) -> str:
    """Return schema.org's word for the type of :func:`value`."""
    if isinstance(member, bool):
        return "Boolean"
    if isinstance(member, int):
        return "Integer"
    return "Float" if isinstance(member, float) else "Text"


def clean(node: Node) -> Node:
    """Return a node without empty members, repetitions and arrays of one element, and with text that can be encoded."""
    tidied = {key: _tidy(member) for key, member in node.items()}
    # An empty string is a value if it was given as a parameter; elsewhere it means that nothing is known.
    return {key: member for key, member in tidied.items() if key == "value" or member not in (None, [], "")}


def _tidy(member: Any) -> Any:
    if isinstance(member, str):
        return member.encode("utf-8", "replace").decode()
    if isinstance(member, list):
        members: list[Any] = []
        seen = set()  # a crate can have a hundred thousand parts
        for one in map(_tidy, member):
            if (frozen := _frozen(one)) not in seen:
                seen.add(frozen)
                members.append(one)
        return members[0] if len(members) == 1 else members
    return member


def _frozen(member: Any) -> Any:
    """Return a value that can be in a set, and is equal to another's if the members are equal."""
    if isinstance(member, dict):
        return frozenset((key, _frozen(value)) for key, value in member.items())
    return tuple(map(_frozen, member)) if isinstance(member, list) else member
