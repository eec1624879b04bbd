"""The form of a deposit: a ``multipart/form-data`` body, read as it arrives.

streaming-form-data does the parsing. Alone it accepts a body that ends early, and of two files it takes the last: here
the end of every part and of the body must be seen, and every field comes once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from streaming_form_data import ParseFailedException, StreamingFormDataParser
from streaming_form_data.targets import BaseTarget

from casaprov.archive.spool import Arriving
from casaprov.errors import CasaprovError
from casaprov.untrusted.zip_file import name_problem

__all__ = ["FieldError", "Fields", "Form", "FormError", "TooLarge", "checked_name", "parsed_time"]

_FILES = ("file", "crate")
_MAX_BYTES = {
    "obs_id": 256,
    "filename": 2000,
    "token": 64 * 2**10,
    "public_from": 100,
    "license": 200,
    "upload": 2000,
    "new_version_of": 300,
}
_MAX_NAME_BYTES = 255


class FormError(CasaprovError):
    """The body is no form, or it ended early."""


class TooLarge(CasaprovError):
    """The body is larger than the archive takes."""


class FieldError(CasaprovError):
    """A field has a value that it cannot have.

    Parameters
    ----------
    field
        Its name.
    """

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of a form as they came, and its file.

    Attributes
    ----------
    file
        The file that arrived; None if the form names a finished upload instead.
    filename
        Name of the field `filename`, or else that of the file's part.
    """

    file: Arriving | None
    filename: str
    texts: dict[str, str]


class _Part(BaseTarget):  # type: ignore[misc]  # the library has no types
    """A part that must come at most once and end."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field
        self.started = self.ended = False

    def on_start(self) -> None:
        """Refuse a second part of this name."""
        if self.started:
            raise FieldError(self.field, f"The field {self.field} came twice.", hint="Send it once.")
        self.started = True

    def on_finish(self) -> None:
        """Note the end."""
        self.ended = True


class _Text(_Part):
    def __init__(self, field: str, max_bytes: int) -> None:
        super().__init__(field)
        self._max_bytes = max_bytes
        self._data = bytearray()

    def on_data_received(self, chunk: bytes) -> None:
        """Take a piece, within the limit."""
        if len(self._data) + len(chunk) > self._max_bytes:
            raise FieldError(self.field, f"The field {self.field} is longer than {self._max_bytes} bytes.")
        self._data += chunk

    def text(self) -> str:
        """Return the text."""
        try:
            return self._data.decode("utf-8")
        except UnicodeDecodeError:
            raise FieldError(self.field, f"The field {self.field} is no UTF-8 text.") from None


class _File(_Part):
    def __init__(self, field: str, open_file: Callable[[], Arriving]) -> None:
        super().__init__(field)
        self._open = open_file
        self.arriving: Arriving | None = None

    def on_start(self) -> None:
        """Open the file in the spool."""
        super().on_start()
        self.arriving = self._open()

    def on_data_received(self, chunk: bytes) -> None:
        """Write a piece."""
        assert self.arriving is not None
        self.arriving.write(chunk)


class Form:
    """Reads one form; :meth:`feed` and :meth:`finish` wait for the disk and are to be called beside the event loop.

    Parameters
    ----------
    open_file
        Opens a file in the spool, when a file begins.
    max_bytes
        Largest size of the whole body.
    """

    def __init__(
        self, content_type: str, open_file: Callable[[], Arriving], *, max_bytes: int, max_description: int
    ) -> None:
        self._max_bytes = max_bytes
        self._received = 0
        self._tail = b""
        self._open = open_file
        self._opened: list[Arriving] = []
        try:
            self._parser = StreamingFormDataParser(headers={"Content-Type": content_type})
        except (ParseFailedException, UnicodeError, ValueError) as error:
            raise FormError("The body has no boundary: it is no form.", hint="Send multipart/form-data.") from error
        boundary = re.search(r'boundary="?([^";]+)', content_type)
        self._end = b"--" + (boundary[1].strip().encode("utf-8", "replace") if boundary else b"") + b"--"
        self._texts = {name: _Text(name, size) for name, size in _MAX_BYTES.items()}
        self._texts["description"] = _Text("description", max_description)
        self._files = {name: _File(name, self._open_one) for name in _FILES}
        for part in (*self._texts.values(), *self._files.values()):
            self._parser.register(part.field, part)

    def _open_one(self) -> Arriving:
        if self._opened:
            raise FieldError("file", "The form holds more than one file.", hint="Send one crate or one notebook.")
        self._opened.append(self._open())
        return self._opened[0]

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body.

        Raises
        ------
        FormError, FieldError, TooLarge, SpoolFull
            If the deposit cannot be taken; nothing more is to be fed then.
        """
        self._received += len(data)
        if self._received > self._max_bytes:
            raise TooLarge(f"The archive takes forms of up to {self._max_bytes} bytes.")
        self._tail = (self._tail + data)[-(len(self._end) + 64) :]
        try:
            self._parser.data_received(data)
        except ParseFailedException as error:
            raise FormError("The body is no form as its boundary announces.") from error

    def finish(self) -> Fields:
        """Return the fields of a body that has ended.

        Raises
        ------
        FormError, FieldError
            If it ended early, or has no file.
        """
        parts: tuple[_Part, ...] = (*self._texts.values(), *self._files.values())
        ended = all(part.ended for part in parts if part.started)
        if not ended or not self._tail.rstrip(b"\r\n \t").endswith(self._end):
            raise FormError("The body ended early: the last boundary did not come.", hint="Send it again.")
        texts = {name: part.text() for name, part in self._texts.items() if part.started}
        found = next((part for part in self._files.values() if part.started), None)
        if (found is None) == ("upload" not in texts):
            raise FieldError(
                "file",
                "The form holds no file." if found is None else "The form holds a file and names an upload as well.",
                hint="Send a file, or the id of a finished upload.",
            )
        filename = texts.pop("filename", "") or (found.multipart_filename if found else "") or ""
        return Fields(file=found.arriving if found else None, filename=filename, texts=texts)

    def discard(self) -> None:
        """Remove the file that arrived."""
        for arriving in self._opened:
            arriving.discard()


def checked_name(field: str, name: str) -> str:
    """Return a file name that is safe to show and to write into a header.

    Raises
    ------
    FieldError
        If it is not.
    """
    problem = name_problem(name) if name else "is empty"
    if not problem and "/" in name:
        problem = "leads into a folder"
    if not problem and any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in name):
        problem = "contains characters that are not seen"
    if not problem and len(name.encode()) > _MAX_NAME_BYTES:
        problem = "is too long"
    if problem:
        raise FieldError(field, f"The name of the file {problem}.", hint="Give it a plain name.")
    return name


def parsed_time(field: str, text: str) -> datetime | None:
    """Return a time in UTC from a date or a time of ISO 8601; None for an empty text.

    Raises
    ------
    FieldError
        If it is neither.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) <= 10:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FieldError(field, f"The field {field} is no date.", hint="Write it as 2027-05-01.") from None


def is_text(value: Any) -> bool:
    """Return True for a text that holds no control characters beside line breaks and tabs."""
    return isinstance(value, str) and all(c in "\r\n\t" or unicodedata.category(c) not in ("Cc", "Cs") for c in value)
