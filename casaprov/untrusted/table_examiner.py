"""The examiner of a crate's tables: a confined process that reads their descriptions, and opens none of them.

The process that the user started reads no file of a stranger except JSON and the bytes of a zip.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from casaprov.confinement.reader import confine_reader, readable
from casaprov.confinement.reader_limits import reader_watch
from casaprov.errors import DigestError, Issue
from casaprov.formats.storage_managers import manager_problem
from casaprov.processes.worker import Worker, serve

__all__ = ["main", "table_issues"]

_MODULE = "casaprov.untrusted.table_examiner"


def table_issues(folder: Path) -> Iterator[Issue]:
    """Yield an issue for each table below a folder that would run code when it is opened."""
    folder = folder.resolve()
    tables = [above for above, _, files in os.walk(folder) if "table.dat" in files]
    if not tables:
        return
    with closing(Worker(_MODULE, environment=readable([folder]), watch=reader_watch()())) as worker:
        for table, problem in worker.call("problems", tables=tables).items():
            name = Path(str(table)).relative_to(folder).as_posix()
            yield Issue(name, f"This table is not safe to open: {problem}.")


def _problems(tables: list[str]) -> dict[str, str]:
    """Return the reasons against opening each of some tables, by path; tables that may be opened are left out."""
    found = {table: _problem(Path(table)) for table in tables}
    return {table: problem for table, problem in found.items() if problem}


def _problem(table: Path) -> str:
    try:
        return manager_problem(table)
    except DigestError as error:
        return error.message.removesuffix(".")


def main() -> None:
    """Confine this process, then examine tables until the parent closes the pipe."""
    confine_reader()
    serve({"problems": _problems})


if __name__ == "__main__":
    main()
