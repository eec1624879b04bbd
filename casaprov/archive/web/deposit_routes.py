"""Routes of deposits: receiving one as it streams in, listing, and the acts of owners and curators."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import Any

from tornado.ioloop import IOLoop
from tornado.web import stream_request_body

from casaprov.archive.deposits import Deposit, Kind, NewDeposit, Person, State
from casaprov.archive.form import FieldError, Fields, Form, FormError, TooLarge, checked_name, is_text, parsed_time
from casaprov.archive.spool import Arriving
from casaprov.archive.tables.repository import WrongState, actor_of
from casaprov.archive.web.archive import Archive
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.archive.web.problems import Problem, problem_of
from casaprov.errors import CasaprovError

__all__ = ["DepositHandler", "Receiver", "routes"]

_FORM_BYTES = 2**20  # beside the file
_LINGER_S = 5.0  # seconds that a refused client may go on sending, to see the answer
_MOST_LISTED = 1000


@stream_request_body
class Receiver(ArchiveHandler):
    """Takes a form as it streams in. The parser, the digest and the disk are beside the event loop."""

    _form: Form | None = None
    _feeding: Awaitable[None] | None = None

    async def prepare(self) -> None:
        """Refuse a deposit before its body arrives, where that is possible."""
        if self.request.method != "POST":
            return
        try:
            self._form = await self._opened()
        except (Problem, CasaprovError) as error:
            self._let_linger()
            raise _problem(error) from error

    async def _opened(self) -> Form:
        limits = self.archive.settings.limits
        most = limits.max_upload + limits.max_description + _FORM_BYTES
        announced = self.request.headers.get("Content-Length", "")
        if announced.isdigit() and int(announced) > most:
            raise Problem(413, f"The archive takes files of up to {limits.max_upload} bytes.")
        content_type = self.request.headers.get("Content-Type", "")
        if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
            raise Problem(415, "The archive takes multipart/form-data.", headers={"Accept-Post": "multipart/form-data"})
        if self.token():  # a wrong token is refused before 5 GB are sent
            await self.person()
        await self.in_thread(self.archive.spool.check_room, int(announced) if announced.isdigit() else 0)
        form = Form(content_type, self._open_file, max_bytes=most, max_description=limits.max_description)
        # One more than the archive takes: the form says what is too large, not the connection.
        self._connection().set_max_body_size(max(most, int(announced or 0)) + 2**40)
        return form

    def _connection(self) -> Any:
        return self.request.connection

    def _let_linger(self) -> None:
        """Read on for a while after an early answer: a connection that is reset would take the answer with it."""
        connection = self._connection()
        connection.set_max_body_size(2**62)
        self.set_header("Connection", "close")
        IOLoop.current().call_later(_LINGER_S, self._close)

    def _close(self) -> None:
        stream = getattr(self._connection(), "stream", None)
        if stream is not None and not stream.closed() and not self._finished_reading:
            stream.close()

    _finished_reading = False

    def _open_file(self) -> Arriving:
        return Arriving(self.archive.spool, secrets.token_hex(12))

    async def data_received(self, chunk: bytes) -> None:
        """Feed the form; an error is answered at once, and the rest of the body is not looked at."""
        form = self._form
        if form is None:
            return
        self._feeding = asyncio.ensure_future(self.in_thread(form.feed, chunk))
        try:
            await self._feeding
        except Exception as error:  # noqa: BLE001  # raised here, tornado would close the connection without an answer
            self._refuse(error)
        finally:
            self._feeding = None

    def _refuse(self, error: Exception) -> None:
        self._drop()
        if not self._finished:
            self._let_linger()
            self._answer(_problem(error))

    def _answer(self, error: Exception) -> None:
        self.log_exception(type(error), error, error.__traceback__)
        self.send_error(error.status if isinstance(error, Problem) else 500, exc_info=(type(error), error, None))

    def _drop(self) -> None:
        """Forget the form and remove its file."""
        form, self._form = self._form, None
        if form is not None:
            form.discard()

    def on_connection_close(self) -> None:
        """Remove the file of a client that has gone, as soon as nothing is written to it."""
        super().on_connection_close()
        feeding = self._feeding
        if feeding is None:
            self._drop()
        else:
            asyncio.ensure_future(feeding).add_done_callback(lambda _: self._drop())

    async def post(self) -> None:
        """Take a deposit; a person deposits the same bytes for the same observation once."""
        self._finished_reading = True
        form, self._form = self._form, None
        assert form is not None
        try:
            fields = await self.in_thread(form.finish)
            deposit, is_new = await self._deposited(fields)
        except Exception as error:
            await self.in_thread(form.discard)
            raise _problem(error) from error
        if not is_new:
            await self.in_thread(form.discard)
        receipt = await self.in_thread(self.archive.receipt, deposit)
        self.set_header("Location", f"{self.archive.settings.url}/api/deposits/{deposit.id}")
        self.write_json(receipt, 202 if is_new else 200)

    async def _deposited(self, fields: Fields) -> tuple[Deposit, bool]:
        person = await (self.person() if self.token() else self.person_of(fields.texts.get("token", "").strip()))
        new = _checked(fields, self.archive, person)
        if fields.file is None:
            return await self.in_thread(partial(self._received_upload, fields.texts["upload"], new))
        new = replace(
            new,
            id=fields.file.name,
            kind=_kind(fields.file.head),
            sha256=fields.file.sha256,
            size_bytes=fields.file.size_bytes,
        )
        limits = self.archive.settings.limits
        if new.size_bytes > limits.max_upload:
            raise TooLarge(f"The archive takes files of up to {limits.max_upload} bytes.")
        return await self.in_thread(partial(self._received, fields.file, new))

    def _received(self, file: Arriving, new: NewDeposit) -> tuple[Deposit, bool]:
        """Make the file durable, then insert the row: never the other way round."""
        repository, limits = self.archive.repository, self.archive.settings.limits
        if (same := repository.same_as(new.owner, new.obs_id, new.sha256)) is not None:
            return same, False
        file.finish()
        return repository.receive(new, quota_bytes=limits.quota, max_open=limits.max_open)

    def _received_upload(self, upload_id: str, new: NewDeposit) -> tuple[Deposit, bool]:
        """Take a finished upload: its file gets a second name, so that a kill leaves either the upload or the deposit."""
        archive = self.archive
        upload = archive.uploads.of(upload_id.rpartition("/")[2], new.owner)
        path = archive.spool.upload_path(upload.id) if upload else None
        if upload is None or path is None or not path.is_file() or path.stat().st_size != upload.length:
            raise FieldError("upload", "There is no finished upload of this id.")
        with path.open("rb") as file:
            kind = _kind(file.read(512))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        new = replace(new, id=secrets.token_hex(12), kind=kind, sha256=f"sha256:{digest}", size_bytes=upload.length)
        repository, limits = archive.repository, archive.settings.limits
        deposit = repository.same_as(new.owner, new.obs_id, new.sha256)
        is_new = deposit is None
        if deposit is None:
            archive.spool.adopt(path, new.id)
            try:
                deposit, is_new = repository.receive(new, quota_bytes=limits.quota, max_open=limits.max_open)
            except BaseException:
                archive.spool.remove(new.id)
                raise
            if not is_new:
                archive.spool.remove(new.id)
        archive.uploads.remove(upload.id)
        path.unlink(missing_ok=True)
        return deposit, is_new


def _checked(fields: Fields, archive: Archive, person: Person) -> NewDeposit:
    """Return a deposit of the fields of a form, without its file."""
    policy, texts = archive.settings.policy, fields.texts
    obs_id = texts.get("obs_id", "").strip()
    if not re.fullmatch(policy.obs_id_pattern, obs_id):
        raise FieldError("obs_id", "The field obs_id names no observation.", hint="It is a code such as N14C3.")
    if policy.obs_ids and obs_id not in _lines(policy.obs_ids):
        raise FieldError("obs_id", f"There is no observation {obs_id} in this archive.")
    license_name = texts.get("license", "").strip()
    if license_name and license_name not in policy.licenses:
        raise FieldError("license", "The archive does not publish under this license.", hint=", ".join(policy.licenses))
    description = texts.get("description", "")
    if not is_text(description):
        raise FieldError("description", "The description contains control characters.")
    return NewDeposit(
        id="",
        kind=Kind.CRATE,
        owner=person,
        obs_id=obs_id,
        filename=checked_name("filename", fields.filename),
        sha256="",
        size_bytes=0,
        description=description.strip(),
        license=license_name,
        public_from=parsed_time("public_from", texts.get("public_from", "")),
        new_version_of=texts.get("new_version_of", "").strip(),
    )


def _lines(path: str) -> frozenset[str]:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123  # the operator's own file
        return frozenset(line.strip() for line in file)


def _kind(head: bytes) -> Kind:
    """Return the kind of a file by its first bytes."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Kind.CRATE
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return Kind.NOTEBOOK
    raise FieldError("file", "The file is neither a zip nor a notebook.", hint="'casaprov export' writes a crate.")


def _problem(error: Exception) -> Exception:
    """Return an error of a form as an answer."""
    match error:
        case TooLarge():
            return Problem(413, str(error))
        case FormError():
            return Problem(400, str(error))
        case FieldError():
            return Problem(422, str(error), field=error.field)
        case CasaprovError():
            return problem_of(error)
        case _:
            return error


class Deposits(Receiver):
    """``/api/deposits``."""

    async def get(self) -> None:
        """List the deposits of the person; curators see all."""
        person = await self.person()
        state = self.get_query_argument("state", None)
        if state is not None and state not in set(State):
            raise Problem(422, f"There is no such state; there are {', '.join(State)}.", field="state")
        found = await self.in_thread(
            partial(
                self.archive.repository.listed,
                owner=None if person.curator else person,
                state=State(state) if state is not None else None,
                obs_id=self.get_query_argument("obs_id", "") or None,
                limit=_MOST_LISTED,
            )
        )
        receipts = await self.in_thread(lambda: [self.archive.receipt(deposit) for deposit in found])
        self.write_json({"deposits": receipts})


class DepositHandler(ArchiveHandler):
    """``/api/deposits/{id}``."""

    async def get(self, deposit_id: str) -> None:
        """Return the receipt of a deposit as it is now, with its log for those who may change it."""
        deposit = await self.visible_deposit(deposit_id)
        self.write_json(await self.in_thread(self.archive.receipt, deposit))

    head = get


class Withdraw(ArchiveHandler):
    """``POST /api/deposits/{id}/withdraw``."""

    async def post(self, deposit_id: str) -> None:
        """Withdraw a deposit; a published one leaves a tombstone with the reason."""
        deposit, person = await self.own_deposit(deposit_id)
        reason = self._given_reason()
        change = partial(self.archive.repository.change, deposit, State.WITHDRAWN, actor=actor_of(person))
        if deposit.published_at is not None:  # a worker takes it out of the places where it was published
            change = partial(change, lease_until=self.archive.repository.clock())
        changed = await self.in_thread(partial(change, reason=reason))
        self.write_json(await self.in_thread(self.archive.receipt, changed))

    def _given_reason(self) -> str:
        try:
            body = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            raise Problem(400, "The body is no JSON.") from None
        reason = body.get("reason", "") if isinstance(body, dict) else ""
        if not is_text(reason) or not reason.strip() or len(reason) > 2000:
            raise Problem(422, "Say why, in up to 2000 characters: readers will see it.", field="reason")
        return str(reason).strip()


class Replay(ArchiveHandler):
    """``POST /api/deposits/{id}/replay``."""

    async def post(self, deposit_id: str) -> None:
        """Let a crate be replayed again, or checked again if its check was given up."""
        deposit, person = await self.own_deposit(deposit_id)
        repository = self.archive.repository
        if deposit.state is State.HELD and not deposit.is_checked:
            change = partial(repository.change, deposit, State.RECEIVED, actor=actor_of(person), reason="check again")
        elif deposit.kind is not Kind.CRATE:
            raise WrongState("A bare notebook holds no records: it cannot be replayed.")
        elif deposit.state is State.HELD:
            change = partial(repository.change, deposit, State.WAITING, actor=actor_of(person), reason="replay again")
        elif deposit.state is State.PUBLISHED:
            change = partial(repository.amend, deposit, replay_due=repository.clock())
        else:
            raise WrongState(f"A deposit that is {deposit.state} cannot be replayed again.")
        self.write_json(await self.in_thread(self.archive.receipt, await self.in_thread(change)), 202)


class Accept(ArchiveHandler):
    """``POST /api/deposits/{id}/accept``."""

    async def post(self, deposit_id: str) -> None:
        """Let a curator publish a deposit that was held."""
        deposit, person = await self.own_deposit(deposit_id)
        if not person.curator:
            raise Problem(403, "Only curators may do this.")
        if deposit.state is not State.HELD or not deposit.is_checked:
            raise WrongState(f"A deposit that is {deposit.state} cannot be accepted, or it was never checked.")
        repository = self.archive.repository
        due = max(deposit.public_from or repository.clock(), repository.clock())
        change = partial(repository.change, deposit, State.EMBARGOED, actor=actor_of(person), reason="accepted")
        changed = await self.in_thread(partial(change, public_from=due))
        self.write_json(await self.in_thread(self.archive.receipt, changed), 202)


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them; ``/`` itself is composed with its page."""
    context = {"archive": archive}
    return [
        (r"/api/deposits", Deposits, context),
        (r"/api/deposits/([0-9a-f]{1,64})", DepositHandler, context),
        (r"/api/deposits/([0-9a-f]{1,64})/withdraw", Withdraw, context),
        (r"/api/deposits/([0-9a-f]{1,64})/replay", Replay, context),
        (r"/api/deposits/([0-9a-f]{1,64})/accept", Accept, context),
    ]
