"""The command ``casaprov kernel``: adds the CASA kernel to Jupyter, and removes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from casaprov.cli.console import extra, out, show
from casaprov.cli.terminal import plain
from casaprov.errors import UsageError

__all__ = ["kernel"]

_NAME = "casaprov"
_name_option = click.option("--name", default=_NAME, show_default=True, help="Name of the kernel.")


@click.group()
def kernel() -> None:
    """Add the kernel "CASA (casaprov)" to Jupyter, or remove it.

    In that kernel CASA's tasks and tools, inp, go and default are there from
    the first cell, and every call is recorded.

    \b
    Example:
      casaprov kernel install
    """


@kernel.command()
@click.option("--user", is_flag=True, help="Install it for you and every Jupyter that you start (the default).")
@click.option("--sys-prefix", is_flag=True, help="Install it in the environment of this Python.")
@click.option("--prefix", type=click.Path(path_type=Path), help="Install it in the environment in this folder.")
@_name_option
@click.option("--display-name", default="CASA (casaprov)", show_default=True, help="Name that front ends show.")
def install(*, user: bool, sys_prefix: bool, prefix: Path | None, name: str, display_name: str) -> None:
    """Add the kernel to Jupyter; it runs with the Python of this command.

    \b
    Example:
      casaprov kernel install --sys-prefix
      casaprov kernel install --name casapy    # notebooks of the Jupyter-CASA kernel open with it
    """
    if user + sys_prefix + (prefix is not None) > 1:
        raise UsageError("Only one of --user, --sys-prefix and --prefix can be given.")
    with extra("jupyter"):
        from casaprov.notebook.kernelspec import install as add

        where = sys.prefix if sys_prefix else str(prefix) if prefix else None
        added = add(name, display_name, prefix=where)
    out.print(f"Installed the kernel {plain(added.display_name)} in {plain(str(added.folder))}.", soft_wrap=True)


@kernel.command()
@_name_option
def remove(*, name: str) -> None:
    """Remove the kernel from Jupyter.

    \b
    Example:
      casaprov kernel remove
    """
    with extra("jupyter"):
        from casaprov.notebook.kernelspec import remove as take_out

        for gone in take_out(name):
            out.print(f"Removed {plain(str(gone.folder))}.", soft_wrap=True)


@kernel.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_kernels(*, as_json: bool) -> None:
    """List casaprov's kernels; 'jupyter kernelspec list' lists all.

    \b
    Example:
      casaprov kernel list
    """
    with extra("jupyter"):
        from casaprov.notebook.kernelspec import installed

        found = installed()
    show(found, as_json, _table)


def _table(kernels: tuple[Any, ...]) -> Table | str:
    if not kernels:
        return "No kernel of casaprov is installed. Run 'casaprov kernel install'."
    table = Table("name", "shown as", "Python", "folder", box=None)
    for one in kernels:
        python = plain(one.python) if one.startable else f"{plain(one.python)} [red](missing)[/]"
        table.add_row(plain(one.name), plain(one.display_name), python, plain(str(one.folder)))
    return table
