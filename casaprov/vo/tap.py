"""Questions to TAP services. Values are uploaded as a table, or compared here: never part of the query."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyvo
import requests
from astropy.table import Table

from casaprov.errors import VoError
from casaprov.records.observation import Observation
from casaprov.vo.archives import Archive

__all__ = ["Answer", "Row", "ask", "first_line", "open_session", "rows_of"]

Row = Mapping[str, Any]
"""A row of an answer, as plain Python values by lower-case name of the column."""

_TIMEOUT_S = 60.0
_MOST_ROWS = 5000
_MARGIN_D = 0.01  # archives round times; this is a quarter of an hour


@dataclass(frozen=True)
class Answer:
    """Rows of an archive for one value, with the query that found them."""

    query: str
    rows: tuple[Row, ...]


class _Session(requests.Session):
    """A session of requests that does not wait for ever."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request; see :class:`requests.Session`."""
        return super().request(*args, **{"timeout": self._timeout_s, **options})


def open_session(timeout_s: float = _TIMEOUT_S) -> requests.Session:
    """Return a session whose requests end after a time."""
    return _Session(timeout_s)


def ask(archive: Archive, value: str, observation: Observation, session: requests.Session) -> Answer:
    """Return the rows that an archive has for a value.

    Raises
    ------
    VoError
        If the service cannot be reached, refuses the query, cuts its answer, or does not answer with a VOTable.
    """
    if archive.upload:
        query = _joined(archive, archive.key)
        rows = rows_of(archive, archive.key, value, session)
    else:
        if observation.t_min is None or observation.t_max is None:
            return Answer("", ())
        first, last = float(observation.t_min) - _MARGIN_D, float(observation.t_max) + _MARGIN_D
        query = f"SELECT o.* FROM {archive.table} AS o WHERE o.t_min <= {last!r} AND o.t_max >= {first!r}"  # noqa: S608 - numbers
        rows = [row for row in _run(archive, query, session) if str(row.get(archive.key.lower(), "")) == value]
    return Answer(query, tuple(rows))


def rows_of(archive: Archive, column: str, value: str, session: requests.Session) -> list[Row]:
    """Return the rows of an archive with a value in a column, by an upload; see :func:`ask`.

    DaCHS finds nothing by ``=`` or ``IN`` if the value has a ``%``.
    """
    return _run(archive, _joined(archive, column), session, uploads={"wanted": Table({"word": [value]})})


def _joined(archive: Archive, column: str) -> str:
    return f"SELECT o.* FROM {archive.table} AS o JOIN TAP_UPLOAD.wanted AS w ON o.{column} = w.word"  # noqa: S608 - names that Archive has checked


def _run(archive: Archive, query: str, session: requests.Session, **options: Any) -> list[Row]:
    where = f"{archive.name} ({archive.service})"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # archives break rules of VOTable that astropy can mend
            service = pyvo.dal.TAPService(archive.service, session=session)
            result = service.run_sync(query, maxrec=_MOST_ROWS, **options)
            cut = result.status[0] == "OVERFLOW"
            rows: list[Row] = [{name.lower(): _plain(record[name]) for name in result.fieldnames} for record in result]
    except pyvo.dal.DALQueryError as error:
        raise VoError(f"{where} refuses the query: {first_line(error)}", hint="Its tables may have changed.") from error
    except (pyvo.dal.DALAccessError, requests.RequestException) as error:
        hint = "Try again later. Everything else works without it."
        raise VoError(f"{where} does not answer: {first_line(error)}", hint=hint) from error
    except Exception as error:  # pyvo passes on what astropy says of an answer that is no VOTable
        raise VoError(f"{where} does not answer with a VOTable: {first_line(error)}") from error
    if cut or len(rows) >= _MOST_ROWS:
        raise VoError(f"{where} has more than {_MOST_ROWS} rows for this.", hint="State the identifier with --id.")
    return rows


def _plain(value: Any) -> Any:
    """Return a cell as a plain value; None where it is masked."""
    if getattr(value, "mask", False) is True or str(value) == "--":
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if hasattr(value, "item") else value


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, or its type if it has no text."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
