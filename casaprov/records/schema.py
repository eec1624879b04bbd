"""Validation of JSON values against casaprov's JSON Schemas, before anything uses them.

``schemas/*.schema.json`` is the contract between casaprov, other programs and
archives. jsonschema-rs says whether a value fits, a hundred times faster than jsonschema; that one says where not, and
searches no further than to the hundredth misfit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing import Registry, Resource

from casaprov.errors import Issue, SchemaError, UsageError
from casaprov.terms import SCHEMAS

__all__ = ["schema_names", "schemas_folder", "validate_record"]

_SUFFIX = ".schema.json"
_MAX_ISSUES = 100
_MAX_MEMBERS = 20_000  # of a record in which all misfits are searched: a second for each 3000
_TOO_DEEP = Issue("", "It is nested too deeply to be a record.")
_MAX_MESSAGE = 300  # characters; a message of jsonschema quotes the whole offending value


def validate_record(data: Any, schema_name: str) -> None:
    """Check JSON values against one of casaprov's schemas.

    Parameters
    ----------
    data
        JSON values.
    schema_name
        Name and version of the schema, for example ``document-1``; see :func:`schema_names`.

    Raises
    ------
    SchemaError
        If they do not fit; its ``issues`` lists every misfit, at most 100.
    UsageError
        If there is no such schema.
    """
    first = _first_misfit(data, schema_name)
    if first is None:
        return
    try:
        # The search ends at the limit: there may be millions of misfits.
        members = sum(len(value) for value in data.values() if isinstance(value, list)) if isinstance(data, dict) else 0
        found = () if members > _MAX_MEMBERS else _validator(schema_name).iter_errors(data)
        errors = list(islice(found, _MAX_ISSUES))
    except RecursionError:
        issues: tuple[Issue, ...] = (_TOO_DEEP,)
    else:
        errors.sort(key=lambda error: list(map(str, error.absolute_path)))
        issues = tuple(map(_issue, errors)) or (first,)
    if issues:
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        raise SchemaError(
            f"This is no valid {schema_name} record: {issues[0]}{more}.",
            issues,
            hint="It was edited or damaged, or written by a newer casaprov.",
        )


def schema_names() -> tuple[str, ...]:
    """Return the names of all schemas, every version."""
    return tuple(sorted(_schemas()))


def _first_misfit(data: Any, schema_name: str) -> Issue | None:
    try:
        _fast_validator(schema_name).validate(data)
    except jsonschema_rs.ValidationError as error:
        return _issue_at(error.instance_path, error.message)
    except UnicodeEncodeError:  # a file name that is no UTF-8, which the library does not take
        return _first_misfit(json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace")), schema_name)
    except (ValueError, RecursionError):
        return _TOO_DEEP
    return None


def _issue(error: ValidationError) -> Issue:
    return _issue_at(error.absolute_path, error.message)


def _issue_at(path: Iterable[str | int], message: str) -> Issue:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
    return Issue(pointer, message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "…")


def schemas_folder() -> Traversable:
    """Return the folder of the schemas and of the contexts of RO-Crate."""
    installed = files("casaprov") / "schemas"
    # A wheel carries the schemas inside the package; a checkout keeps them beside it.
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "schemas"


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    return {
        entry.name.removesuffix(_SUFFIX): json.loads(entry.read_text(encoding="utf-8"))
        for entry in schemas_folder().iterdir()
        if entry.name.endswith(_SUFFIX)
    }


@cache
def _fast_validator(schema_name: str) -> jsonschema_rs.Draft202012Validator:
    schemas = _schemas()
    if schema_name not in schemas:
        raise UsageError(f"There is no schema {schema_name}.", hint=f"Known are {', '.join(schema_names())}.")
    registry = jsonschema_rs.Registry([(f"{SCHEMAS}/{name}", schema) for name, schema in schemas.items()])
    formats = {"date-time": _is_time, "uri": lambda _: True}
    return jsonschema_rs.Draft202012Validator(
        schemas[schema_name], registry=registry, validate_formats=True, formats=formats
    )


@cache
def _validator(schema_name: str) -> Validator:
    schemas = _schemas()
    resources = [(f"{SCHEMAS}/{name}", Resource.from_contents(schema)) for name, schema in schemas.items()]
    registry = Registry().with_resources(resources)
    return _RecordValidator(schemas[schema_name], registry=registry, format_checker=_FORMATS)


def _match_pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    # "$" is the end of the text in JSON Schema; in Python it also matches before a final line break.
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _is_time(value: Any) -> bool:
    """Return True if a text is a time: the pattern of the schema admits the 99th of a month and the year 0."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


_RecordValidator = validators.extend(Draft202012Validator, {"pattern": _match_pattern})
_FORMATS = FormatChecker(formats=())
_FORMATS.checks("date-time", raises=ValueError)(_is_time)
