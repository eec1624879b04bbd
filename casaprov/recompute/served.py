"""Calls that are never looked up, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.recompute.action_key import KeyedCall
from casaprov.records.values import from_json, to_json

__all__ = ["exact_json", "nocache", "not_served", "not_stored"]

_PACKAGE = "casatasks"

# Variables by which mpicasa tells a process that it is one of several.
_MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")

_left_out: ContextVar[bool] = ContextVar("casaprov_nocache", default=False)


@contextmanager
def nocache() -> Iterator[None]:
    """Run the task calls of a block, and neither restore nor store their results.

    Examples
    --------
    >>> with casaprov.nocache():
    ...     tclean(vis="n.ms", imagename="n")
    """
    token = _left_out.set(True)
    try:
        yield
    finally:
        _left_out.reset(token)


def not_served(call: KeyedCall, environment: Mapping[str, str] = os.environ) -> str:
    """Return the reason why a task call is never looked up; empty if there is none.

    Parameters
    ----------
    environment
        The environment variables of the process.
    """
    if _left_out.get():
        return "The call is in a block under casaprov.nocache()."
    parameters, spec = call.call.parameters, call.spec
    effects = spec.effects(parameters)
    if call.call.package != _PACKAGE and not call.source:
        return f"{call.call.task} draws with another program."
    if "interactive" in effects:
        return "The call asks its user."
    if "network" in effects:
        return "The call asks other computers, whose answers may change."
    if reason := spec.reuse.not_served(parameters):
        return reason
    if any(use.role == "deleted" for use in call.uses):
        return f"{call.call.task} deletes files."
    if any(environment.get(name, "1") not in ("", "0", "1") for name in _MPI):
        return "CASA runs in several processes (MPI)."
    for use in call.uses:
        if use.role != "used" and use.path.is_symlink():
            return f"{use.path.name} is a link, and what the call changes lies elsewhere."
    return ""


def not_stored(products: Iterable[Path], base: Path) -> str:
    """Return the reason why the products of a call cannot be stored; empty if there is none."""
    for path in products:
        if path.is_symlink():
            return f"{path.name} is a link."
        if path == base or path in base.parents:
            return f"{path} holds the working folder."
    return ""


def exact_json(value: Any) -> Any:
    """Return a value as JSON values, from which it can be read back exactly.

    Raises
    ------
    ValueError
        If it cannot: it holds a tuple, a set, an object.
    """
    data = to_json(value)
    try:
        read = from_json(data)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(str(error)) from error
    if not _is_same(value, read):
        raise ValueError(f"{type(value).__name__} has no exact JSON")
    return data


def _is_same(value: Any, read: Any) -> bool:
    """Return True if two values have the same types and contents, also inside and in the same order."""
    if type(value) is not type(read):
        return False
    if isinstance(value, dict):
        pairs = zip(value.items(), read.items(), strict=True) if len(value) == len(read) else None
        return pairs is not None and all(_is_same(a, c) and _is_same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(value, list):
        return len(value) == len(read) and all(map(_is_same, value, read))
    if isinstance(value, np.ndarray):
        # Bytes, because NaN equals nothing, and -0.0 equals 0.0.
        return bool(value.dtype == read.dtype and value.shape == read.shape and value.tobytes() == read.tobytes())
    if isinstance(value, float | complex | np.generic):
        return np.asarray(value).tobytes() == np.asarray(read).tobytes()
    return bool(value == read)
