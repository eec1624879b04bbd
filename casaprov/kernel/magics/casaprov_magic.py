"""``%casaprov``: questions about the record, and commands to the recorder.

Each subcommand is a method of :class:`CasaprovMagic` that returns the page it shows. A mistyped command is answered by
one sentence, never by a traceback.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from casaprov.config import CHOICES, Config
from casaprov.errors import CasaprovError, JournalError, UsageError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, present_folders
from casaprov.kernel.page import Line, Part, Preformatted, bundle_of
from casaprov.kernel.settings import Settings
from casaprov.notebook.adopt_sessions import adopt_sessions
from casaprov.records.model import Activity, Document, Entity

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.digests.digester import Digester
    from casaprov.hashing import Digest
    from casaprov.kernel.magics.fresh import FreshNotebook

__all__ = ["NAME", "CasaprovMagic", "Controlled"]

NAME = "casaprov"

_log = logging.getLogger(__name__)
_MAX_LOG_CHARACTERS = 100_000
_PATIENCE_S = 0.3  # long enough for small files; a page about larger ones lists them as still being digested


class Controlled(Protocol):
    """The session that the magic asks and commands: :class:`casaprov.kernel.recorded_session.RecordedSession`."""

    settings: Settings
    paused_at: str

    @property
    def notebook(self) -> Path:
        """The notebook that is recorded."""
        ...

    @property
    def session_id(self) -> str:
        """Id of the session; empty before the first call."""
        ...

    def pause(self) -> None:
        """Record nothing from now on."""
        ...

    def resume(self) -> None:
        """Record again."""
        ...

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until the records of all calls so far are finished, or for some seconds."""
        ...

    def digester(self) -> Digester:
        """Return the digester of this session."""
        ...

    @property
    def executed(self) -> Mapping[str, Digest]:
        """Digest of the source that was executed last, by the id of the cell."""
        ...


class CasaprovMagic:
    """``%casaprov [SUBCOMMAND ...]``; alone it shows the status.

    status             the record, gaps, stale results, settings, time
    graph              calls and files, as a drawing
    log [CALL]         all calls, or the log of one
    show CALL          all that is recorded of a call
    export [FILE]      pack notebook and record into a crate (--overwrite replaces one)
    config [NAME [VALUE]]  settings
    cache [on|off]     restore results of earlier calls, or not; alone it shows how often
    why [CALL]         why a call ran or was restored; without a call, all of them
    diff [SESSION]     what changed since the last run, or since that session
    check              whether "Restart & Run All" would give these products
    rerun              run the cells that check lists, and no others
    pause, resume      record nothing for a while

    CALL is the number of a call in this session, the name of a task (its last
    call counts), an id, or the short name that is given below a cell.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        recording: Controlled,
        held_reason: Callable[[Sequence[Path]], str] = lambda _paths: "",
    ) -> None:
        self._shell = shell
        self._held_reason = held_reason
        self._recording = recording
        self._subcommands: dict[str, Callable[[list[str]], list[Part] | dict[str, Any]]] = {
            "status": self._status,
            "graph": self._graph,
            "log": self._show_log,
            "show": self._show_call,
            "export": self._export,
            "config": self._config,
            "cache": self._cache,
            "why": self._why,
            "diff": self._diff,
            "check": self._check,
            "rerun": self._rerun,
            "pause": self._pause,
            "resume": self._resume,
        }

    def register(self) -> None:
        """Make the magic and its completion known to the shell."""

        def casaprov(line: str) -> None:
            self.run(line)

        casaprov.__doc__ = type(self).__doc__
        self._shell.register_magic_function(casaprov, "line", NAME)
        self._shell.set_hook("complete_command", self._complete, str_key=f"%{NAME}")

    def unregister(self) -> None:
        """Take the magic out again."""
        self._shell.magics_manager.magics["line"].pop(NAME, None)
        self._shell.strdispatchers["complete_command"].strs.pop(f"%{NAME}", None)

    def run(self, line: str) -> None:
        """Answer one line."""
        try:
            self._recording.settle(_PATIENCE_S)
            page = self._answer(line)
        except CasaprovError as error:
            page = [Line(str(error), f"%{NAME}:")]
        except Exception as error:  # noqa: BLE001 - a question about the record breaks no cell
            _log.info("%%%s %s failed", NAME, line, exc_info=True)
            page = [Line(f"This failed ({type(error).__name__}: {error}).", f"%{NAME}:")]
        self._shell.display_pub.publish(page if isinstance(page, dict) else bundle_of(page))

    def _answer(self, line: str) -> list[Part] | dict[str, Any]:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{line!r} cannot be read: {error}.") from error
        name, *rest = words or ["status"]
        if name not in self._subcommands:
            raise UsageError(f"There is no {name!r}.", hint=_close(name, self._subcommands))
        return self._subcommands[name](rest)

    # -- subcommands ---------------------------------------------------------

    def _status(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.overview import Recorded, status_page
        from casaprov.kernel.order import CellOrder, cell_order

        _none_left("status", words)
        recording, document = self._recording, self._document()
        order = cell_order(document, recording.notebook) if document is not None else CellOrder({}, {})
        trouble = recording.settings.trouble
        recorded = Recorded(
            document=document,
            session=recording.session_id,
            notebook=recording.notebook,
            journal=journal_folder(recording.notebook),
            config=recording.settings.config,
            order=order,
            paused=recording.paused_at,
            cached_bytes=recording.digester().cached_bytes(),
            exists=self._existence(document),
        )
        return [*status_page(recorded), *([Line(trouble, "⚠️")] if trouble else [])]

    def _graph(self, words: list[str]) -> dict[str, Any]:
        from casaprov.drawings.svg import to_svg

        _none_left("graph", words)
        self._recording.settle()  # states of the same content are one node, so all digests are needed
        document = self._needed()
        text = f"Graph of {len(document.activities)} calls. 'casaprov inspect --graph graph.svg' writes it to a file."
        return {"image/svg+xml": to_svg(document), "text/plain": text}

    def _show_log(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.overview import calls_table
        from casaprov.kernel.order import cell_order

        document = self._needed()
        if not words:
            here = self._latest_calls(document)
            return [calls_table(here, cell_order(document, self._recording.notebook))]
        activity = self._call(document, words)
        if activity.log is None:
            return [Line(f"CASA logged nothing during {activity.task}.")]
        path = journal_folder(self._recording.notebook) / activity.log.path
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise JournalError(f"{path} cannot be read: {error.strerror or error}.") from error
        if len(text) > _MAX_LOG_CHARACTERS:
            half = _MAX_LOG_CHARACTERS // 2
            text = f"{text[:half]}\n... the middle is left out here; the whole log is in {path} ...\n{text[-half:]}"
        earlier = "" if activity.session == self._recording.session_id else " (an earlier session)"
        return [Preformatted(text, f"{activity.task}: {path}{earlier}")]

    def _show_call(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.overview import call_page
        from casaprov.kernel.order import cell_order
        from casaprov.lineage.graph import Lineage

        document = self._needed()
        if not words:
            raise UsageError("No call is named.", hint="%casaprov log lists the calls.")
        activity = self._call(document, words)
        order = cell_order(document, self._recording.notebook)
        return call_page(activity, Lineage(document), order, journal_folder(self._recording.notebook))

    def _export(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.packing import exported
        from casaprov.notebook.export import crate_name

        overwrite, names = "--overwrite" in words, [word for word in words if word != "--overwrite"]
        if len(names) > 1:
            raise UsageError("export takes one file at most.", hint=f"Write: %{NAME} export reduction.crate.zip")
        self._recording.settle()
        document, notebook = self._needed(), self._recording.notebook
        out = Path(names[0]).expanduser() if names else crate_name(notebook)
        try:
            measure, limit = self._recording.digester().measure, self._recording.settings.config.keep_up_to
            return exported(document, notebook, out, limit, measure, overwrite=overwrite)
        except UsageError as error:
            hint = f"Write: %{NAME} export OTHER.zip" if "--output" in error.hint else error.hint
            if "--overwrite" in error.hint:
                hint = f"Write: %{NAME} export --overwrite, or %{NAME} export OTHER.zip"
            raise UsageError(error.message, hint=hint) from error

    def _config(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.overview import settings_table

        settings = self._recording.settings
        if words and words[0] not in Config.names():
            raise UsageError(f"There is no setting {words[0]!r}.", hint=_close(words[0], Config.names()))
        if len(words) == 1:
            name = words[0]
            config = settings.config
            return [Line(f"{name} = {config.text(name)} (chosen by: {config.sources.get(name, 'default')})")]
        if words:
            config = settings.choose(words[0], " ".join(words[1:]))
            return [Line(f"{words[0]} = {config.text(words[0])} from now on, in this session.")]
        return [settings_table(settings.config)]

    def _cache(self, words: list[str]) -> list[Part]:
        word, *rest = words or ["status"]
        _none_left("cache", rest)
        if word not in ("on", "off", "status"):
            raise UsageError(f"cache is on or off, not {word!r}.", hint=f"Write: %{NAME} cache on")
        if word != "status":
            self._recording.settings.choose("cache", word)
        state = self._recording.settings.config.cache
        document = self._document()
        here = [a for a in document.activities if a.session == self._recording.session_id] if document else []
        answers = [a.look_up for a in here if a.look_up is not None]
        counts = {name: sum(one.outcome == name for one in answers) for name in ("restored", "run", "not-served")}
        saved = sum(one.saved_s for one in answers)
        page: list[Part] = [Line(f"The cache is {state}.")]
        if answers:
            page.append(
                Line(
                    f"In this session {counts['restored']} calls were restored, which saved {saved:.1f} s; "
                    f"{counts['run']} ran, and {counts['not-served']} are never looked up."
                )
            )
        return page

    def _why(self, words: list[str]) -> list[Part]:
        from casaprov.lineage.reasons import reasons

        document = self._needed()
        if words:
            calls = [self._call(document, words)]
        else:
            calls = [
                a for a in document.activities if a.session == self._recording.session_id and a.look_up is not None
            ]
        if not calls:
            return [Line(f"No call of this session was looked up. %{NAME} cache on turns the cache on.")]
        return [Line(" ".join(reasons(document, call)), str(call.number_in_session)) for call in calls]

    def _diff(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.last_run import diff_page

        if len(words) > 1:
            raise UsageError("diff takes one session at most.", hint=f"Write: %{NAME} diff, or %{NAME} diff SESSION")
        self._recording.settle()  # contents are compared, so all digests are needed
        return diff_page(self._needed(), self._recording.notebook, self._recording.session_id, "".join(words))

    def _check(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.fresh import check_page

        _none_left("check", words)
        return check_page(self._fresh().check())

    def _rerun(self, words: list[str]) -> list[Part]:
        from casaprov.kernel.magics.fresh import check_page

        _none_left("rerun", words)
        fresh = self._fresh()
        return check_page(fresh.run_again(self._shell, self._held_reason))

    def _fresh(self) -> FreshNotebook:
        from casaprov.kernel.magics.fresh import FreshNotebook

        if not self._recording.notebook.is_file():
            raise UsageError("The notebook has no file that is known.", hint="Save it under a name first.")

        def document() -> Document:
            self._recording.settle()  # contents are compared, so all digests are needed
            return self._needed()

        recording = self._recording
        return FreshNotebook(
            recording.notebook, document, recording.digester().measure, lambda: self._recording.executed
        )

    def _pause(self, words: list[str]) -> list[Part]:
        _none_left("pause", words)
        if self._recording.paused_at:
            return [Line("Recording is paused already. %casaprov resume goes on.")]
        self._recording.pause()
        return [Line("Recording is paused: calls from now on are not recorded. %casaprov resume goes on.")]

    def _resume(self, words: list[str]) -> list[Part]:
        _none_left("resume", words)
        if not self._recording.paused_at:
            return [Line("Recording is not paused.")]
        self._recording.resume()
        return [Line("Recording goes on. Files that changed meanwhile will show as changed outside of tasks.")]

    # -- the record ----------------------------------------------------------

    def _document(self) -> Document | None:
        try:
            # The journal may be written at this moment. A line that is not whole yet is left out: no question waits.
            folder = journal_folder(self._recording.notebook)
            adopt_sessions(
                self._recording.notebook
            )  # before the first call of a kernel, after the notebook was renamed
            return read_document(folder, self._recording.notebook.name, whole_lines=True)
        except JournalError:
            return None

    def _needed(self) -> Document:
        document = self._document()
        if document is None or not document.activities:
            raise UsageError("Nothing is recorded yet.", hint="Call a CASA task first.")
        return document

    def _call(self, document: Document, words: list[str]) -> Activity:
        """Find a call by its number in this session, by the name of its task, by its short name, or by its id."""
        word = " ".join(words)
        here = self._latest_calls(document)
        if word.isdecimal():
            # A number of an earlier session is a call of the last one that had so many.
            found = [a for a in (*document.activities, *here) if a.number_in_session == int(word)]
        else:
            found = [a for a in document.activities if word in {a.id, a.task, a.reference}]
        if not found:
            names = sorted({a.task for a in document.activities})
            count = f"; this session has {len(here)}" if word.isdecimal() else ""
            hint = "%casaprov log lists the calls." if word.isdecimal() else _close(word, names)
            raise UsageError(f"There is no call {word}{count}.", hint=hint)
        return found[-1]

    def _existence(self, document: Document | None) -> Callable[[Entity], bool]:
        """Return a test for the presence of a state at its path."""
        folders = present_folders(journal_folder(self._recording.notebook), document) if document is not None else {}
        return lambda state: os.path.lexists(folders[state.session] / state.path)

    def _latest_calls(self, document: Document) -> list[Activity]:
        """Return the calls of this session; those of the session before it as long as there are none."""
        session = self._recording.session_id or document.sessions[-1].id
        here = [a for a in document.activities if a.session == session]
        return here or [a for a in document.activities if a.session == document.activities[-1].session]

    # -- completion ----------------------------------------------------------

    def _complete(self, _shell: Any, event: Any) -> list[str]:
        """Return the words that can follow; called at every TAB on a line that begins with the magic."""
        words = event.line[: len(event.line)].split()
        if event.symbol and words and words[-1] == event.symbol:
            words = words[:-1]
        before = words[1:]
        try:
            return [word for word in self._candidates(before) if word.startswith(event.symbol)]
        except Exception:  # noqa: BLE001 - nothing to complete
            return []

    def _candidates(self, before: list[str]) -> Iterator[str]:
        match before:
            case []:
                yield from self._subcommands
            case ["cache"]:
                yield from ("on", "off", "status")
            case ["log" | "show" | "why"]:
                document = self._document()
                for activity in document.activities if document is not None else ():
                    if activity.session == self._recording.session_id:
                        yield str(activity.number_in_session)
                yield from sorted({a.task for a in document.activities} if document is not None else ())
            case ["diff"]:
                document = self._document()
                sessions = {a.session for a in document.activities} if document is not None else set()
                yield from sorted(sessions - {self._recording.session_id})
            case ["config"]:
                yield from Config.names()
            case ["config", name]:
                yield from CHOICES.get(name, ())
            case ["export"]:
                yield self._recording.notebook.with_suffix(".crate.zip").name
                yield "--overwrite"
            case _:
                return


def _none_left(name: str, words: list[str]) -> None:
    if words:
        raise UsageError(f"{name} takes nothing more; {words[0]!r} was given.", hint=f"Write: %{NAME} {name}")


def _close(word: str, known: Any) -> str:
    import difflib  # only a mistake needs it

    names = list(known)
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(names)}."
