"""Rows for DaCHS, in a PostgreSQL with the tables that its resource descriptor defines."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from archived import a_deposit
from casaprov.archive.deposits import Deposit, State, Verdict, VerdictSummary
from casaprov.archive.publication.vo.dachs import Dachs, DachsFailed
from casaprov.archive.publication.vo.tables import CRATE_COLUMNS, INPUT_COLUMNS
from casaprov.archive.settings import Settings, VoSettings
from casaprov.errors import UsageError
from checkout import ROOT
from postgresql import a_database

RD = ROOT / "deploy" / "dachs" / "q.rd"
AT = datetime(2026, 5, 2, tzinfo=UTC)
_SQL = {"unicode": "text"}  # types that DaCHS has another name for
INPUTS = {
    "calls": 12,
    "inputs": [{"did": "ivo://jive.eu/~?a"}, {"did": "ivo://jive.eu/~?b"}, {"did": "ivo://jive.eu/~?a"}],
}
PUBLISHED = a_deposit(state=State.PUBLISHED, published_at=AT, title="NGC 5921", about=INPUTS)


def _tables() -> dict[str, list[dict[str, str]]]:
    root = ET.parse(RD).getroot()
    return {table.attrib["id"]: [dict(c.attrib) for c in table.findall("column")] for table in root.findall("table")}


def test_the_resource_descriptor_defines_the_columns_that_the_archive_writes() -> None:
    names = {table: tuple(column["name"] for column in columns) for table, columns in _tables().items()}
    assert names == {"crates": CRATE_COLUMNS, "crate_inputs": INPUT_COLUMNS}


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Return a database with the tables of the resource descriptor and a role that may only write them."""
    url = a_database(request)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA casaprov"))
        for name, columns in _tables().items():
            needed = {True: "NOT NULL", False: ""}
            types = ", ".join(
                f"{c['name']} {_SQL.get(c['type'], c['type'])} {needed['required' in c]}" for c in columns
            )
            connection.execute(text(f"CREATE TABLE casaprov.{name} ({types})"))
        # Roles belong to the server, which other tests share.
        exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = 'archive'")).first()
        if exists is None:
            connection.execute(text("CREATE ROLE archive LOGIN"))
        connection.execute(text("GRANT USAGE ON SCHEMA casaprov TO archive"))
        rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON casaprov.crates, casaprov.crate_inputs TO archive"
        connection.execute(text(rights))
    engine.dispose()
    return url


def _rows(engine: Engine, what: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {what}"))]


def _version(number: int) -> Deposit:
    return replace(PUBLISHED, version=number, did=f"ivo://jive.eu/~?crate/N14C3-0001/v{number}")


def test_rows_are_part_of_the_publishing_transaction(database: str) -> None:
    dachs = Dachs(Settings(root=Path(), database=database, vo=VoSettings(backend="dachs")))
    engine = create_engine(database)
    with engine.connect() as connection, connection.begin() as transaction:
        dachs.record(connection, PUBLISHED)
        transaction.rollback()
    assert _rows(engine, "count(*) FROM casaprov.crates") == [(0,)]
    for _ in range(2):  # the second time after a crash
        with engine.begin() as connection:
            dachs.record(connection, PUBLISHED)
    assert _rows(engine, "title, n_calls, verdict, is_latest FROM casaprov.crates") == [("NGC 5921", 12, None, 1)]
    dids = _rows(engine, "obs_publisher_did FROM casaprov.crate_inputs ORDER BY 1")
    assert dids == [("ivo://jive.eu/~?a",), ("ivo://jive.eu/~?b",)]
    engine.dispose()


def test_a_role_without_other_rights_writes_into_another_database(database: str) -> None:
    url = database.replace("//postgres@", "//archive@")
    dachs = Dachs(Settings(root=Path(), vo=VoSettings(backend="dachs", database=url)))
    engine = create_engine(database)
    unused: Any = None
    verdict = Verdict(at=AT, summary=VerdictSummary.DIFFERS, counts={"same-content": 3, "differs": 1, "missing": 0})
    dachs.record(unused, replace(_version(1), verdicts=(verdict,)))
    dachs.record(unused, _version(2))
    query = "version, is_latest, verdict FROM casaprov.crates ORDER BY version"
    assert _rows(engine, query) == [(1, 0, "differs"), (2, 1, None)]
    dachs.withdraw(_version(2))
    dachs.withdraw(_version(2))
    assert _rows(engine, query) == [(1, 1, "differs")]
    assert len(_rows(engine, "1 FROM casaprov.crate_inputs")) == 2
    dachs.close()
    unprivileged = create_engine(url)
    with pytest.raises(SQLAlchemyError), unprivileged.begin() as connection:
        connection.execute(text("DROP TABLE casaprov.crates"))
    unprivileged.dispose()
    engine.dispose()


def test_tables_that_are_not_there_are_named(database: str) -> None:
    dachs = Dachs(Settings(root=Path(), vo=VoSettings(backend="dachs", database=database, schema="other")))
    unused: Any = None
    with pytest.raises(DachsFailed, match=r"other\.crate"):
        dachs.record(unused, PUBLISHED)
    dachs.close()


def test_an_archive_with_sqlite_has_to_name_the_database(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no database"):
        Dachs(Settings(root=tmp_path, vo=VoSettings(backend="dachs")))
