"""OAI-PMH 2.0 (https://www.openarchives.org/OAI/openarchivesprotocol.html): what harvesters read.

A record is a version of a crate; one that was withdrawn stays as ``deleted`` for ever. A resumption token holds the
whole state of a list, so that it never expires.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.harvest.oai_records import FORMATS, child, writable
from casaprov.archive.settings import Settings
from casaprov.archive.tables.repository import Repository
from casaprov.archive.web.handler import ArchiveHandler

__all__ = ["Oai", "OaiHandler", "oai_identifier"]

OAI = "http://www.openarchives.org/OAI/2.0/"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_PER_LIST = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SECOND = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_MICROSECOND = timedelta(microseconds=1)

ET.register_namespace("", OAI)

# Arguments of each verb: required, then optional. A resumption token stands alone.
_LIST = (frozenset({"metadataPrefix"}), frozenset({"from", "until", "set"}))
_VERBS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "Identify": (frozenset(), frozenset()),
    "ListMetadataFormats": (frozenset(), frozenset({"identifier"})),
    "ListSets": (frozenset(), frozenset()),
    "GetRecord": (frozenset({"identifier", "metadataPrefix"}), frozenset()),
    "ListIdentifiers": _LIST,
    "ListRecords": _LIST,
}
_RESUMABLE = frozenset({"ListIdentifiers", "ListRecords", "ListSets"})


class _OaiError(Exception):
    """An error of the protocol, by its code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OaiHandler(ArchiveHandler):
    """``/oai``."""

    async def get(self) -> None:
        """Answer a request of a harvester."""
        await self._answer(self.request.query_arguments)

    head = get

    async def post(self) -> None:
        """Answer a request whose arguments are in a form."""
        await self._answer(self.request.body_arguments)

    async def _answer(self, arguments: Mapping[str, list[bytes]]) -> None:
        values = {name: [value.decode(errors="replace") for value in found] for name, found in arguments.items()}
        answer = Oai(self.archive.settings, self.archive.repository)
        body = await self.in_thread(answer.answer, values)
        self.set_header("Content-Type", "text/xml; charset=utf-8")
        _ = self.finish(body)


class Oai:
    """Answers of the protocol."""

    def __init__(self, settings: Settings, repository: Repository) -> None:
        self._settings = settings
        self._repository = repository

    def answer(self, arguments: Mapping[str, list[str]]) -> bytes:
        """Return the answer to a request as XML."""
        location = f"{OAI} http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd"
        root = ET.Element(f"{{{OAI}}}OAI-PMH", {_SCHEMA: location})
        child(root, "responseDate", _stamp(self._repository.clock()))
        request = child(root, "request", f"{self._settings.url}/oai")
        try:
            given = _checked(arguments)
            verb = given.pop("verb")
            # An empty element must not be left behind by an error.
            content = ET.Element(f"{{{OAI}}}{verb}")
            self._fill(verb, content, given)
            request.attrib.update({"verb": verb} | {name: writable(value) for name, value in given.items()})
            root.append(content)
        except _OaiError as error:
            if error.code not in ("badVerb", "badArgument"):
                request.attrib.update({name: writable(values[0]) for name, values in arguments.items()})
            child(root, "error", str(error), code=error.code)
        text: bytes = ET.tostring(root, encoding="utf-8")
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text

    def _fill(self, verb: str, content: ET.Element, given: Mapping[str, str]) -> None:
        match verb:
            case "Identify":
                self._identify(content)
            case "ListMetadataFormats":
                if "identifier" in given:
                    self._found(given["identifier"])
                for prefix, entry in FORMATS.items():
                    found = child(content, "metadataFormat")
                    child(found, "metadataPrefix", prefix)
                    child(found, "schema", entry.schema)
                    child(found, "metadataNamespace", entry.namespace)
            case "ListSets":
                raise _OaiError("noSetHierarchy", "This archive has no sets.")
            case "GetRecord":
                _check_prefix(given["metadataPrefix"])
                self._record(content, self._found(given["identifier"]), given["metadataPrefix"])
            case _:
                self._list(content, given, whole=verb == "ListRecords")

    def _identify(self, content: ET.Element) -> None:
        first = self._repository.changed_since(limit=1)
        earliest = first[0].modified_at if first else self._repository.clock()
        contact = self._settings.contact if "@" in self._settings.contact else f"archive@{_host(self._settings)}"
        for name, text in (
            ("repositoryName", self._settings.title),
            ("baseURL", f"{self._settings.url}/oai"),
            ("protocolVersion", "2.0"),
            ("adminEmail", contact),
            ("earliestDatestamp", _stamp(earliest)),
            ("deletedRecord", "persistent"),
            ("granularity", "YYYY-MM-DDThh:mm:ssZ"),
        ):
            child(content, name, text)

    def _list(self, content: ET.Element, given: Mapping[str, str], *, whole: bool) -> None:
        if "set" in given:
            raise _OaiError("noSetHierarchy", "This archive has no sets.")
        state = _resumed(given["resumptionToken"]) if "resumptionToken" in given else _begun(given)
        prefix = state["prefix"]
        _check_prefix(prefix)
        found = self._repository.changed_since(
            state.get("since"), state.get("until"), after=state.get("after"), limit=_PER_LIST + 1
        )
        if not found:
            raise _OaiError("noRecordsMatch", "Nothing was changed in this time.")
        for deposit in found[:_PER_LIST]:
            if whole:
                self._record(content, deposit, prefix)
            else:
                self._header(content, deposit)
        if len(found) > _PER_LIST:
            last = found[_PER_LIST - 1]
            child(content, "resumptionToken", _token({**state, "after": (last.modified_at, last.id)}))
        elif "resumptionToken" in given:  # an empty one ends a list that came in parts
            child(content, "resumptionToken")

    def _record(self, content: ET.Element, deposit: Deposit, prefix: str) -> None:
        record = child(content, "record")
        self._header(record, deposit)
        if deposit.state is State.PUBLISHED:
            versions = self._repository.versions(deposit.obs_id, deposit.number)
            published = tuple(other for other in versions if other.state is State.PUBLISHED)
            child(record, "metadata").append(FORMATS[prefix].make(self._settings, deposit, published))

    def _header(self, content: ET.Element, deposit: Deposit) -> None:
        deleted = {"status": "deleted"} if deposit.state is State.WITHDRAWN else {}
        header = child(content, "header", **deleted)
        child(header, "identifier", oai_identifier(self._settings, deposit))
        child(header, "datestamp", _stamp(deposit.modified_at))

    def _found(self, identifier: str) -> Deposit:
        """Return the deposit of an identifier; it is or was public."""
        start = f"oai:{_host(self._settings)}:"
        parts = re.fullmatch(r"([ -~]{1,64})-(\d{4,9})/v(\d{1,9})", identifier.removeprefix(start))
        if identifier.startswith(start) and parts:
            for deposit in self._repository.versions(parts[1], int(parts[2])):
                public = deposit.published_at and deposit.state in (State.PUBLISHED, State.WITHDRAWN)
                if public and deposit.version == int(parts[3]):
                    return deposit
        raise _OaiError("idDoesNotExist", "There is no such record.")


def oai_identifier(settings: Settings, deposit: Deposit) -> str:
    """Return the identifier of a version for harvesters."""
    return f"oai:{_host(settings)}:{deposit.name}/v{deposit.version}"


def _host(settings: Settings) -> str:
    return urlsplit(settings.url).hostname or "localhost"


def _checked(arguments: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the arguments of a request that the protocol allows."""
    verbs = arguments.get("verb", [])
    if len(verbs) != 1 or verbs[0] not in _VERBS:
        raise _OaiError("badVerb", "The request names no verb of OAI-PMH, or several.")
    required, optional = _VERBS[verbs[0]]
    given = {name: values[0] for name, values in arguments.items()}
    names = given.keys() - {"verb"}
    if any(len(values) != 1 for values in arguments.values()):
        raise _OaiError("badArgument", "An argument is repeated.")
    if "resumptionToken" in names and verbs[0] in _RESUMABLE:
        if names != {"resumptionToken"}:
            raise _OaiError("badArgument", "A resumption token stands alone.")
    elif not required <= names or not names <= required | optional:
        raise _OaiError("badArgument", "An argument is missing, or not one of this verb.")
    return given


def _check_prefix(prefix: str) -> None:
    if prefix not in FORMATS:
        raise _OaiError("cannotDisseminateFormat", f"The formats are {', '.join(FORMATS)}.")


def _begun(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the state of a list that begins."""
    bounds = [given[name] for name in ("from", "until") if name in given]
    if len({len(bound) for bound in bounds}) > 1:
        raise _OaiError("badArgument", "Both times need the same precision.")
    since, until = (_bound(given[name]) if name in given else None for name in ("from", "until"))
    if since and until and since > until:
        raise _OaiError("badArgument", "The list ends before it begins.")
    if until:  # the whole day or second
        until += (timedelta(days=1) if len(given["until"]) == 10 else timedelta(seconds=1)) - _MICROSECOND
    return {"prefix": given["metadataPrefix"], "since": since, "until": until}


def _bound(text: str) -> datetime:
    if _DAY.fullmatch(text) or _SECOND.fullmatch(text):
        try:
            found = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            pass
        else:
            if 1 < found.year < 9999:  # databases do not count further
                return found
    raise _OaiError("badArgument", "A time is written 2026-05-01 or 2026-05-01T10:00:00Z.")


def _token(state: Mapping[str, Any]) -> str:
    at, last = state["after"]
    times = [bound.isoformat() if bound else "" for bound in (state["since"], state["until"])]
    text = json.dumps([state["prefix"], *times, at.isoformat(), last], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _resumed(token: str) -> dict[str, Any]:
    try:
        prefix, since, until, at, last = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        times = [datetime.fromisoformat(time) if time else None for time in (since, until, at)]
        if times[2] is None or any(time and time.tzinfo is None for time in times) or "\0" in last:
            raise ValueError
        return {"prefix": str(prefix), "since": times[0], "until": times[1], "after": (times[2], str(last))}
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise _OaiError("badResumptionToken", "This is no resumption token of this archive.") from error


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
