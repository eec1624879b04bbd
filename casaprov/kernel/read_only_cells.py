"""Cells of programs that change no file: ``!ls -l``, ``%ls``, ``!du -sh *.ms | head``.

A program may change any file; so it waits until no file is being digested (:mod:`casaprov.recording.write_guard`).
The programs here are known by name to change none, and need not wait.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Mapping

__all__ = ["is_read_only"]

_PROGRAMS = frozenset({
    "cat", "cksum", "cmp", "column", "cut", "date", "df", "diff", "du", "echo", "egrep", "fgrep", "free", "grep", "head",
    "hostname", "id", "ls", "lsblk", "lscpu", "md5sum", "nl", "nproc", "od", "printenv", "printf", "ps", "pwd",
    "readlink", "realpath", "sha1sum", "sha256sum", "stat", "strings", "tail", "top", "tr", "uname", "uptime", "wc",
    "which", "whoami", "zcat", "zgrep",
})  # fmt: skip
"""Programs that change no file, whatever their arguments; ``sort``, ``sed`` and ``find`` can write."""

_EXPANDED = frozenset("$`{\n")
"""Characters that the shell or IPython expands, so that the words that run are not those in the cell."""

_BETWEEN = frozenset(("|", "||", "&&", ";"))

_LINE = re.compile(r"\s*(?:[!%#]|\w+ *= *!|$)")
"""Begin of each line of such a cell; a single line may also begin with an alias without its ``%``."""


def is_read_only(cell: str, to_python: Callable[[str], str], aliases: Mapping[str, str]) -> bool:
    """Return True if a cell only runs programs that change no file.

    Parameters
    ----------
    to_python
        Returns the Python code that IPython makes of a cell; called only for a cell that may be read-only.
    aliases
        Shell commands that are magics, by name; ``%ls`` is one of IPython's.
    """
    lines = cell.strip().splitlines()
    alone = len(lines) == 1 and lines[0].split()[0] in aliases
    if not alone and not all(map(_LINE.match, lines)):
        return False
    try:
        statements = ast.parse(to_python(cell)).body
    except (SyntaxError, ValueError):
        return False
    return bool(statements) and all(_reads_only(statement, aliases) for statement in statements)


def _reads_only(statement: ast.stmt, aliases: Mapping[str, str]) -> bool:
    match statement:
        case (
            ast.Expr(value=ast.Call(func=function, args=given))
            | ast.Assign(targets=[ast.Name()], value=ast.Call(func=function, args=given))
        ):
            pass
        case _:
            return False
    match function, given:
        case (
            ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="system" | "getoutput"),
            [ast.Constant(value=str(command))],
        ):
            return _changes_nothing(command)
        case (
            ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr="run_line_magic"),
            [ast.Constant(value=str(name)), ast.Constant(value=str(line))],
        ):
            return name in aliases and _changes_nothing(f"{aliases[name]} {line}")
        case _:
            return False


def _changes_nothing(command: str) -> bool:
    if not _EXPANDED.isdisjoint(command):
        return False
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    begins = True
    try:
        for word in words:
            if word in _BETWEEN:
                begins = True
            elif (begins and word not in _PROGRAMS) or not set(word).isdisjoint("<>()&;|"):
                return False
            else:
                begins = False
    except ValueError:  # an open quotation
        return False
    return not begins
