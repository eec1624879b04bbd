"""The table of tools: effects of each of their methods on files (``toolspecs.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["Later", "ToolSpec", "load_tools"]


@dataclass(frozen=True)
class Later:
    """Files that a method names for other methods.

    Attributes
    ----------
    acting
        Methods that read or make them.
    reads, makes
        Parameters that name them. With ``mode="table"`` those of `makes` are read.
    """

    acting: frozenset[str]
    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolSpec:
    """Effects of the methods of one tool; ``toolspecs.toml`` explains the words.

    Attributes
    ----------
    opens, changes, anew, derived, forgets
        Names of methods.
    reads, makes
        Parameters that name files, by method.
    later
        Files that are read or made by other methods, by method.
    names
        True if ``name()`` returns the open table or image; else it is known from the call that opened it.
    flush
        Method that writes all changes so far to disk; empty for none.
    """

    name: str
    names: bool = False
    flush: str = ""
    opens: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    anew: frozenset[str] = frozenset()
    derived: frozenset[str] = frozenset()
    forgets: frozenset[str] = frozenset()
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    makes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    later: Mapping[str, Later] = field(default_factory=dict)

    @property
    def acting(self) -> frozenset[str]:
        """Methods that read or make files of other methods."""
        return frozenset(method for later in self.later.values() for method in later.acting)

    @property
    def methods(self) -> frozenset[str]:
        """All methods that have an effect on files, or prepare one."""
        named = (self.opens, self.changes, self.makes, self.reads, self.later, self.derived, self.forgets, self.acting)
        return frozenset(method for group in named for method in group)


@cache
def load_tools() -> Mapping[str, ToolSpec]:
    """Return the ToolSpec of every tool that touches files, by its name in casatools."""
    text = (resources.files("casaprov.casa.hooks") / "toolspecs.toml").read_text(encoding="utf-8")
    return {name: _tool(name, members) for name, members in tomllib.loads(text).items()}


def _tool(name: str, members: Mapping[str, Any]) -> ToolSpec:
    later = {
        method: Later(frozenset(line["with"]), tuple(line.get("reads", ())), tuple(line.get("makes", ())))
        for method, line in members.get("later", {}).items()
    }
    return ToolSpec(
        name=name,
        names=bool(members.get("names", False)),
        flush=str(members.get("flush", "")),
        opens=frozenset(members.get("opens", ())),
        changes=frozenset(members.get("changes", ())),
        anew=frozenset(members.get("anew", ())),
        derived=frozenset(members.get("derived", ())),
        forgets=frozenset(members.get("forgets", ())),
        reads=_parameters(members.get("reads", {})),
        makes=_parameters(members.get("makes", {})),
        later=later,
    )


def _parameters(members: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    return {method: tuple(parameters) for method, parameters in members.items()}
