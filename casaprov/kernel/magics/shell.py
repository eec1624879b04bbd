"""``%%casaprov_sh``: a cell of shell commands, recorded like a task."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from functools import partial
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from IPython.core.error import UsageError

from casaprov.files.kinds import is_table
from casaprov.recording.activities import activity

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["MAGIC", "register_shell", "run_shell_cell", "unregister_shell"]

MAGIC = "casaprov_sh"


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"%%{MAGIC}: {message}. Usage: %%{MAGIC} [NAME] [--used FILE ...] [--changed FILE ...] "
            "[--generated FILE ...]"
        )


_parser = _Parser(prog=MAGIC, add_help=False)
_parser.add_argument("name", nargs="?", default="")
for _role in ("used", "changed", "generated"):
    _parser.add_argument(f"--{_role}", nargs="+", action="extend", default=[])


def register_shell(shell: InteractiveShell) -> None:
    """Add the magic."""
    shell.register_magic_function(partial(run_shell_cell, shell), "cell", MAGIC)


def unregister_shell(shell: InteractiveShell) -> None:
    """Take the magic out again."""
    shell.magics_manager.magics["cell"].pop(MAGIC, None)


def run_shell_cell(shell: InteractiveShell, line: str, body: str) -> None:
    """Run a cell with bash, as ``%%bash`` does, under recording.

    Parameters
    ----------
    line
        A name for the record, by default that of the program, then ``--used``, ``--changed`` and ``--generated``
        with files and patterns. Without these, all files that the commands name count as changed.

    Raises
    ------
    IPython.core.error.UsageError
        If `line` cannot be understood.
    subprocess.CalledProcessError
        If the last command fails.
    """
    try:
        options = _parser.parse_args(shlex.split(line))
    except ValueError as error:
        raise UsageError(f"%%{MAGIC}: {error}.") from error
    roles = {role: getattr(options, role) for role in ("used", "changed", "generated")}
    words = _words(body)
    if not any(roles.values()):
        found = [name for word in words[1:] for name in (glob(word) if has_magic(word) else [word])]  # noqa: PTH207
        roles["changed"] = [name for name in found if Path(name).is_file() or is_table(Path(name))]
    with activity(options.name or _program(body, words), **roles, parameters={"script": body}):
        shell.run_cell_magic("bash", "", body)


def _words(body: str) -> list[str]:
    try:
        return list(dict.fromkeys(shlex.split(body, comments=True)))
    except ValueError:  # quotes that only bash understands
        return body.split()


def _program(body: str, words: list[str]) -> str:
    """Return the name of the program if the cell is one command, else ``sh``."""
    lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    is_one = len(lines) == 1 or all(line.rstrip().endswith("\\") for line in lines[:-1])
    return Path(words[0]).name if is_one and words else "sh"
