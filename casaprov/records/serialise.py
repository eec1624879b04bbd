"""Conversion of records into JSON values and back, for journals, crates and worker processes."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

from casaprov.errors import RecordError
from casaprov.records.model import Document

__all__ = ["structure", "unstructure"]

T = TypeVar("T")


def unstructure(value: Any) -> Any:
    """Turn a record into JSON values; fields at their default are left out, except those of a Document."""
    # Without cattrs, which only reading needs: its import would be a fifth of the time of '%load_ext'.
    if is_dataclass(value) and not isinstance(value, type):
        members = ((name, getattr(value, name), default) for name, default in _defaults(type(value)))
        whole = isinstance(value, Document)
        return {name: unstructure(member) for name, member, default in members if whole or member != default}
    if isinstance(value, list | tuple):
        return [unstructure(member) for member in value]
    return {key: unstructure(member) for key, member in value.items()} if isinstance(value, dict) else value


@cache
def _defaults(cls: type) -> list[tuple[str, Any]]:
    """Return the names and defaults of a record's fields; MISSING, which equals no value, where there is no default."""
    return [(f.name, f.default if f.default_factory is MISSING else f.default_factory()) for f in fields(cls)]


def structure(data: Any, cls: type[T]) -> T:
    """Read a record from JSON values.

    Raises
    ------
    RecordError
        If `data` does not fit `cls`, with every misfit.
    """
    import cattrs

    try:
        return cast("T", _converter().structure(data, cls))
    except (cattrs.BaseValidationError, TypeError, ValueError, KeyError) as error:
        misfits = "; ".join(cattrs.transform_error(error, path=cls.__name__))
        raise RecordError(f"This is no {cls.__name__} record: {misfits}.") from error


@cache
def _converter() -> Any:
    import cattrs

    return cattrs.Converter(forbid_extra_keys=True)
