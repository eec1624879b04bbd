"""Records against their JSON Schemas: everything from outside is checked before it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from referencing import Registry, Resource

from casaprov.errors import Issue, SchemaError, UsageError
from casaprov.terms import SCHEMAS

__all__ = ["schema_names", "validate_record"]

_MAX_ISSUES = 100


def validate_record(data: Any, schema_name: str) -> None:
    """Check JSON values against one of casaprov's schemas.

    Parameters
    ----------
    data
        What was read from JSON.
    schema_name
        Name and version, for example ``document-1``; see :func:`schema_names`.

    Raises
    ------
    SchemaError
        If they do not fit; its ``issues`` lists every misfit, at most 100.
    UsageError
        If there is no such schema.
    """
    try:
        # Not one more is looked for: there may be millions.
        errors = list(islice(_validator(schema_name).iter_errors(data), _MAX_ISSUES))
    except RecursionError:
        issues: tuple[Issue, ...] = (Issue("", "It is nested too deeply to be a record."),)
    else:
        errors.sort(key=lambda error: list(map(str, error.absolute_path)))
        issues = tuple(map(_issue, errors))
    if issues:
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        raise SchemaError(
            f"This is no valid {schema_name} record: {issues[0]}{more}.",
            issues,
            hint="It was edited or damaged, or written by a newer casaprov.",
        )


def schema_names() -> tuple[str, ...]:
    """Names of all schemas, every version."""
    return tuple(sorted(_schemas()))


def _issue(error: ValidationError) -> Issue:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.absolute_path)
    message = error.message if len(error.message) <= 300 else error.message[:300] + "…"
    return Issue(pointer, message)


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    installed = files("casaprov") / "schemas"
    # A wheel carries the schemas inside the package; a checkout keeps them beside it.
    folder: Traversable = installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "schemas"
    suffix = ".schema.json"
    return {
        entry.name.removesuffix(suffix): json.loads(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(suffix)
    }


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    # "$" of JSON Schema is the end, where that of Python may stand before a last line break.
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _is_time(value: Any) -> bool:
    """Tell whether a text in the pattern of a time is one: there is no 99th of a month, and no year 0."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


_FORMATS = FormatChecker(formats=())


_RecordValidator = validators.extend(Draft202012Validator, {"pattern": _pattern})


@cache
def _validator(schema_name: str) -> Validator:
    schemas = _schemas()
    if schema_name not in schemas:
        raise UsageError(f"There is no schema {schema_name}.", hint=f"Known are {', '.join(sorted(schemas))}.")
    resources = [(f"{SCHEMAS}/{name}", Resource.from_contents(schema)) for name, schema in schemas.items()]
    registry = Registry().with_resources(resources)
    return _RecordValidator(schemas[schema_name], registry=registry, format_checker=_FORMATS)
