"""The command ``casaprov cache``: shows, checks and empties the store of results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.table import Table

from casaprov.cli.console import err, out, show
from casaprov.cli.terminal import plain

if TYPE_CHECKING:
    from casaprov.config import Config
    from casaprov.recompute.store.eviction import Evicted, Kept
    from casaprov.recompute.store.results import Store
    from casaprov.recompute.store.upkeep import StoreState, Verified

__all__ = ["cache"]

_EXIT_DAMAGED = 1
_DAY_S = 86_400.0
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def _size_in(_context: click.Context, _option: click.Parameter, value: str | None) -> int | None:
    """Return a size such as ``10 GB`` in bytes; refuse anything else with a sentence."""
    from casaprov.config import size_of

    try:
        return None if value is None else size_of(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no size such as 10 GB.") from None


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
_store_option = click.option(
    "--store",
    "folder",
    type=click.Path(path_type=Path),
    help="The store; by default that of this folder: CASAPROV_STORE, or .casaprov/store.",
)


@click.group()
def cache() -> None:
    """Show, check and empty the store of results that calls are restored from.

    \b
    Example:
      casaprov cache info
    """


@cache.command()
@_store_option
@_json_option
def info(*, folder: Path | None, as_json: bool) -> None:
    """Show how large the store is, and which results it has.

    \b
    Example:
      casaprov cache info
    """
    from casaprov.recompute.store.upkeep import state_of

    with _opened(folder) as (store, config):
        show(state_of(store), as_json, lambda state: _state_view(state, config))


@cache.command()
@_store_option
@_json_option
def verify(*, folder: Path | None, as_json: bool) -> int:
    """Read every byte of the store, and drop damaged results; exit code 1 if there are any.

    \b
    Example:
      casaprov cache verify
    """
    from casaprov.recompute.store.upkeep import verify as verify_store

    with _opened(folder) as (store, _):
        found = verify_store(store)
    show(found, as_json, _verified_view)
    return _EXIT_DAMAGED if found.faults else 0


@cache.command()
@click.option(
    "--max-bytes",
    callback=_size_in,
    metavar="SIZE",
    help="Size to keep, such as 50GB; by default the setting store_size.",
)
@click.option("--max-days", type=click.FloatRange(min=0), help="Drop results that were not used for so many days.")
@_store_option
@_json_option
def gc(*, max_bytes: int | None, max_days: float | None, folder: Path | None, as_json: bool) -> None:
    """Drop results until the store keeps its limits, and files that belong to none.

    Results that were used longest ago go first; those that took long to compute stay longer. Pinned results stay.

    \b
    Example:
      casaprov cache gc --max-bytes 50GB
    """
    from casaprov.recompute.store.eviction import Limits
    from casaprov.recompute.store.upkeep import collect

    with _opened(folder) as (store, config):
        limit = (config.store_size or math.inf) if max_bytes is None else max_bytes
        days = config.store_days if max_days is None else max_days
        show(collect(store, Limits(limit, days * _DAY_S)), as_json, _evicted_view)


@cache.command()
@_store_option
@_json_option
def clear(*, folder: Path | None, as_json: bool) -> None:
    """Drop all results, pinned ones too.

    \b
    Example:
      casaprov cache clear
    """
    from casaprov.recompute.store.upkeep import clear as clear_store

    with _opened(folder) as (store, _):
        show(clear_store(store), as_json, _evicted_view)


@cache.command()
@click.argument("call")
@click.option("--off", is_flag=True, help="Let it be dropped again.")
@_store_option
def pin(*, call: str, off: bool, folder: Path | None) -> None:
    """Keep the result of a call whatever the limits are.

    CALL is the id of the call, as 'casaprov inspect --json' shows it, or the
    first digits of its key, as 'casaprov cache info' shows them.

    \b
    Example:
      casaprov cache pin 3f2a91
    """
    from casaprov.recompute.store.upkeep import pin as pin_call

    with _opened(folder) as (store, _):
        kept = pin_call(store, call, on=not off)
    what = "may be dropped again" if off else "stays in the store"
    out.print(
        f"The result of {plain(kept.entry.task or 'the call')} ({plain(kept.entry.computed_by)}) {what}.",
        soft_wrap=True,
    )


@contextmanager
def _opened(folder: Path | None) -> Iterator[tuple[Store, Config]]:
    """Open the store of this folder, or another one, for the time of a command."""
    from casaprov.config import load_config
    from casaprov.recompute.store.opening import open_store

    config = load_config(Path.cwd())
    with closing(open_store(config, Path.cwd(), on_notice=_notice, place=folder)) as store:
        yield store, config


def _notice(text: str) -> None:
    err.print(f"[yellow]{plain(text)}[/]", soft_wrap=True)


def _state_view(state: StoreState, config: Config) -> Group:
    how = {True: "It clones files.", False: "Its file system cannot clone files: they are copied.", None: ""}
    limits = f"Limits: {config.text('store_size')}, {config.store_days} days without use."
    computed = f"to compute them took {state.seconds:.0f} s."
    taken = f"{len(state.results)} results in {state.objects} files, {_size(state.size_bytes)}"
    lines = (f"{plain(str(state.folder))}: {taken}; {computed}", f"{how[state.clones]} {limits}".strip())
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("key", "left"), ("task", "left"), ("notebook", "left"), ("computed in", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    table.add_column("size", justify="right")
    table.add_column("last used")
    table.add_column("")
    for kept in state.results:
        table.add_row(*_row(kept))
    return Group(*lines, table) if state.results else Group(*lines)


def _row(kept: Kept) -> tuple[str, ...]:
    used = datetime.fromtimestamp(kept.used_s, UTC).isoformat(sep=" ", timespec="minutes")
    return (
        kept.entry.key.removeprefix("sha256:")[:12],
        plain(kept.entry.task),
        plain(kept.entry.notebook),
        f"{kept.entry.seconds:.1f} s",
        _size(kept.entry.size_bytes),
        used.removesuffix("+00:00"),
        "pinned" if kept.is_pinned else "contested" if kept.entry.contested else "",
    )


def _verified_view(found: Verified) -> str:
    counts = f"{found.objects} files and {found.results} results were read"
    if not found.faults:
        return f"{counts}: all are whole."
    return "\n".join((f"{counts}; what is damaged was dropped:", *(plain(fault) for fault in found.faults)))


def _evicted_view(evicted: Evicted) -> str:
    return (
        f"{len(evicted.results)} results and {evicted.objects} files were dropped, {_size(evicted.freed_bytes)}; "
        f"{_size(evicted.left_bytes)} are left."
    )


def _size(size_bytes: int) -> str:
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if size_bytes >= factor), ("B", 1))
    return f"{size_bytes / factor:.3g} {unit}"
