"""A TAP server on SQLite for tests: queries with uploads, DataLink, files, and the faults that archives have."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from astropy.io.votable import parse_single_table
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import Table

Rows = Sequence[Mapping[str, Any]]


class TapServer:
    """Tables by name (``ivoa.obscore``), files by path, DataLink rows by ID; ``fault`` spoils what is answered."""

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        self.tables = tables
        self.files: dict[str, bytes] = {}
        self.links: dict[str, Rows] = {}
        self.queries: list[str] = []
        self.ranges: list[str] = []
        self.fault = ""
        self.url = ""

    def datalink(self, did: str) -> str:
        """Address of the list of files of a data set."""
        return f"{self.url}/links?ID={quote(did, safe='')}"

    def answer(self, query: str, most: int, upload: bytes | None) -> bytes:
        """Run a query over fresh databases, one for each schema."""
        self.queries.append(query)
        database = sqlite3.connect(":memory:")
        for schema in {name.partition(".")[0] for name in self.tables} | {"TAP_UPLOAD"}:
            database.execute(f"ATTACH ':memory:' AS {schema}")
        words = [str(word) for word in parse_single_table(io.BytesIO(upload)).to_table()["word"]] if upload else []
        for name, rows in {**self.tables, "TAP_UPLOAD.wanted": [{"word": word} for word in words]}.items():
            columns = list(rows[0]) if rows else ["word"]
            database.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", [[row[c] for c in columns] for row in rows])
        cursor = database.execute(query)
        names, found = [column[0] for column in cursor.description], cursor.fetchall()
        cut = len(found) > most or self.fault == "overflow"
        return votable([dict(zip(names, row, strict=True)) for row in found[:most]], names, "OVERFLOW" if cut else "OK")


def votable(rows: Rows, names: Sequence[str], status: str = "OK", message: str = "") -> bytes:
    """Return rows as a VOTable."""
    table = Table([[row[name] for row in rows] for name in names] if rows else None, names=names if rows else None)
    if not rows:
        table = Table(names=list(names) or ["x"], dtype=[str] * max(len(names), 1))
    whole = VOTableFile.from_table(table)
    whole.resources[0].type = "results"
    whole.resources[0].infos.append(Info(name="QUERY_STATUS", value=status))
    whole.resources[0].infos[-1].content = message
    stream = io.BytesIO()
    whole.to_xml(stream)
    return stream.getvalue()


class _Handler(BaseHTTPRequestHandler):
    tap: TapServer

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        at = urlsplit(self.path)
        query = {key.upper(): values[0] for key, values in parse_qs(at.query).items()}
        if at.path == "/links":
            rows = self.tap.links.get(query["ID"], [])
            self._send(votable(rows, list(rows[0]) if rows else ["ID"]))
        elif at.path.startswith("/files/"):
            self._send_file(self.tap.files[unquote(at.path.removeprefix("/files/"))])
        else:
            self.send_error(404)

    def _send_file(self, data: bytes) -> None:
        if self.tap.fault == "proprietary":
            self.send_error(403)
            return
        asked = self.headers.get("Range", "")
        self.tap.ranges.append(asked)
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        # A connection that breaks: half of the bytes that were announced.
        self.wfile.write(data[first : len(data) // 2] if self.tap.fault == "broken" else data[first:])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form, upload = self._form(body)
        match self.tap.fault:
            case "down":
                self.send_error(503)
            case "slow":
                time.sleep(1.0)  # longer than the client of the test waits
                self.send_error(503)
            case "no votable":
                self._send(b"<html>Maintenance</html>")
            case "refused":
                self._send(votable([], ["x"], "ERROR", "no such table"), 400)
            case _:
                self._send(self.tap.answer(form["QUERY"], int(form.get("MAXREC", 1000)), upload))

    def _form(self, body: bytes) -> tuple[dict[str, str], bytes | None]:
        kind = self.headers["Content-Type"]
        if not kind.startswith("multipart/"):
            return {key: values[0] for key, values in parse_qs(body.decode()).items()}, None
        form: dict[str, str] = {}
        upload = None
        message: Any = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        for part in message.get_payload():
            name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
            if part.get_filename():
                upload = data
            else:
                form[name] = data.decode()
        return form, upload

    def _send(self, data: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve_tap(tables: Mapping[str, Rows]) -> Iterator[TapServer]:
    """Serve tables for the time of a test."""
    tap = TapServer(tables)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"tap": tap}))
    tap.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield tap
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
