"""Code of a user's function, with everything of the notebook that its result can depend on.

The digest covers the compiled code of the function and of all Python functions that it names, their defaults, the
variables of the notebook that they use, and the versions of the modules. Comments and layout do not count. A function
that can depend on more has a problem: a reason for which its results are never kept.
"""

from __future__ import annotations

import dis
import json
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from casaprov.hashing import Digest, digest_record
from casaprov.records.values import is_exact, to_json

__all__ = ["FunctionCode", "code_of"]

# Names whose values no key can hold: code that is not there yet, all variables, the user's answer, chance, the clock.
_UNCERTAIN = frozenset(
    {"__import__", "breakpoint", "compile", "eval", "exec", "get_ipython", "globals", "input", "locals", "vars"}
)
_BY_CHANCE = frozenset(
    {"datetime", "default_rng", "getrandbits", "now", "perf_counter", "rand", "randint", "randn", "random", "secrets"}
    | {"time", "today", "token_hex", "urandom", "utcnow", "uuid", "uuid1", "uuid4"}
)


class _Uncertain(Exception):
    """Raised with the reason for which a function's result can depend on more than its key."""


@dataclass(frozen=True)
class FunctionCode:
    """The code of a function, and the arguments of one call.

    Attributes
    ----------
    digest
        Digest of the code and of what it uses.
    arguments
        All arguments, as the function gets them.
    problem
        Reason for which the results are never kept; empty if there is none.
    """

    digest: Digest | None
    arguments: Mapping[str, Any]
    problem: str = ""
    _before: Digest | None = field(default=None, repr=False)

    def changed_arguments(self) -> bool:
        """Return True if the call changed its arguments in place: such changes would not come back with its results."""
        return _digest(self.arguments) != self._before


def code_of(function: Callable[..., Any], arguments: Mapping[str, Any], declared: Any) -> FunctionCode:
    """Return the code of a function that is about to be called.

    Parameters
    ----------
    declared
        Declaration of its files, as JSON values: it is part of the code.
    """
    before = _digest(arguments)
    if before is None:
        return FunctionCode(None, arguments, "An argument has no exact JSON form.")
    collected = _Collected()
    try:
        collected.add_value(function.__name__, function)
    except _Uncertain as error:
        return FunctionCode(None, arguments, str(error))
    return FunctionCode(digest_record("casaprov/function-code/1", collected.facts, declared), arguments, _before=before)


class _Collected:
    """Facts about functions and values, each collected once, in the order in which they are met."""

    def __init__(self) -> None:
        self.facts: list[Any] = []
        self._met: set[int] = set()

    def add_value(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType):
            self.facts.append([name, _module(value.__name__)])
        elif isinstance(value, types.FunctionType):
            self._add_function(name, value)
        elif (place := _installed_place(name, value)) is not None:
            self.facts.append([name, *place])
        else:
            data = to_json(value)
            if callable(value) or not is_exact(data):
                raise _Uncertain(f"It uses {name}, whose value has no exact JSON form.")
            self.facts.append([name, type(value).__name__, data])

    def _add_function(self, name: str, function: types.FunctionType) -> None:
        wrapped = getattr(function, "__wrapped__", None)
        home = str(function.__globals__.get("__name__", ""))
        if _is_library(function.__code__.co_filename):
            self.facts.append([name, _module(home), function.__qualname__])
            if wrapped is not None:  # a decorator of a library around a function of the notebook
                self.add_value(name, wrapped)
            return
        if id(function) in self._met:
            self.facts.append([name, "met before"])
            return
        self._met.add(id(function))
        own = frozenset(function.__code__.co_freevars)
        names = sorted(_names(function.__code__, own))
        defaults = to_json([function.__defaults__ and list(function.__defaults__), function.__kwdefaults__])
        if not is_exact(defaults):
            raise _Uncertain(f"A default of {function.__name__} has no exact JSON form.")
        self.facts.append([name, "function", _code(function.__code__), defaults])
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.add_value(variable, cell.cell_contents)
            except ValueError:  # not bound yet
                self.facts.append([variable, "unbound"])
        builtins = vars(sys.modules["builtins"])
        for variable in names:
            if variable in function.__globals__:
                self.add_value(variable, function.__globals__[variable])
            elif variable not in builtins:
                self.facts.append([variable, "missing"])


def _digest(arguments: Mapping[str, Any]) -> Digest | None:
    data = to_json(dict(arguments))
    return digest_record("casaprov/arguments/1", data) if is_exact(data) else None


def _code(code: types.CodeType) -> list[Any]:
    """Return all of a code object that its behaviour depends on; names of files and numbers of lines do not count."""
    return [
        code.co_code.hex(),
        [_constant(value) for value in code.co_consts],
        list(code.co_names),
        [list(code.co_varnames), list(code.co_freevars), list(code.co_cellvars)],
        [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
    ]


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, tuple):
        return ["tuple", *map(_constant, value)]
    if isinstance(value, frozenset):
        return ["frozenset", *sorted((_constant(member) for member in value), key=json.dumps)]
    return [type(value).__name__, repr(value)]


def _names(code: types.CodeType, own: frozenset[str]) -> Iterator[str]:
    """Yield the global names that a code object uses, also inside; refuse code whose effects come back with no result.

    Parameters
    ----------
    own
        Variables of the function around it: to bind one is an effect.
    """
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") or (
            instruction.opname in ("STORE_DEREF", "DELETE_DEREF") and name in own
        ):
            raise _Uncertain(f"It binds {name}, a variable outside of it.")
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            if name in _UNCERTAIN:
                raise _Uncertain(f"It uses {name}, and its result can depend on anything.")
            yield str(name)
        elif instruction.opname == "IMPORT_NAME":
            _module(str(name))
    if chance := sorted(_BY_CHANCE.intersection(code.co_names)):
        raise _Uncertain(f"It uses {', '.join(chance)}: its result may be another one each time.")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, own)


# -- modules ---------------------------------------------------------------------


@cache
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [*(sysconfig.get_path(name) for name in names), site.getusersitepackages(), os.path.dirname(os.__file__)]  # noqa: PTH120
    return tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in (*folders, str(files("casaprov"))))


def _is_library(file: str) -> bool:
    """Return True for a file of the standard library, of an installed distribution, or of casaprov."""
    return file.startswith("<frozen ") or os.path.realpath(file).startswith(_library_folders())


@cache
def _versions() -> Mapping[str, list[str]]:
    """Return names and versions of the distributions of each installed package."""
    packages = metadata.packages_distributions().items()
    return {top: sorted(f"{name} {metadata.version(name)}" for name in set(names)) for top, names in packages}


def _module(name: str) -> list[Any]:
    top = name.partition(".")[0]
    if top in _BY_CHANCE:
        raise _Uncertain(f"It uses {top}: its result may be another one each time.")
    try:
        spec = getattr(sys.modules.get(top), "__spec__", None) or find_spec(top)
    except (ImportError, ValueError):
        spec = None
    places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec is not None else []
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return ["module", name]
    # The place decides: a file of the user may have the name of an installed package. Code that is installed in place,
    # for its development, lies elsewhere, too.
    if not places or not all(_is_library(f"{place}{os.sep}") or _is_library(place) for place in places if place):
        raise _Uncertain(f"It uses the module {name}, which is not installed: its code can change unseen.")
    return ["module", name, *_versions().get(top, ())]


def _installed_place(name: str, value: Any) -> list[Any] | None:
    """Return the module that a value is a name of; None if none of those that are installed has it."""
    kind = value if isinstance(value, type) else type(value)
    homes = dict.fromkeys(str(home) for home in (getattr(value, "__module__", None), kind.__module__) if home)
    for home in homes:
        parts = home.split(".")
        for length in range(len(parts), 0, -1):
            place = ".".join(parts[:length])
            known = vars(sys.modules[place]) if place in sys.modules else {}
            names = (name, getattr(value, "__name__", name))
            if parts[0] != "__main__" and callable(value) and any(known.get(one) is value for one in names):
                return [_module(place), str(getattr(value, "__qualname__", name))]
    return None
