"""Text from records and file names is shown by a terminal and obeyed by nobody."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from casaprov.cli import console, render
from casaprov.cli.commands import main
from casaprov.cli.terminal import PlainConsole, plain, visible
from casaprov.comparison.products import Comparison, Difference
from casaprov.crate import Packed
from casaprov.crates.checking.validation import Findings
from casaprov.crates.payload import PayloadItem
from casaprov.diffs.model import RunDiff
from casaprov.diffs.run import Run
from casaprov.diffs.run_diff import diff_runs
from casaprov.doctor import Finding
from casaprov.errors import CasaprovError, CrateError, Issue, Note
from casaprov.hashing import digest_bytes
from casaprov.records.model import Document, Failure
from casaprov.replays.report import REPORT_FORMAT, EnvironmentDifference, ProductReport, ReplayReport, StepReport
from sample_records import make_reduction, pack_reduction

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202egnp.\u2066\u200b[bold red]x[/bold red][/]:skull: \\"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202egnp.\u2066\u200b[bold red]x[/bold red][/]:skull:"


def printed(renderable: Any, *, terminal: bool = False) -> str:
    file = io.StringIO()
    PlainConsole(file=file, width=2000, force_terminal=terminal, no_color=True).print(renderable, soft_wrap=True)
    return file.getvalue()


def obeyed(text: str) -> str:
    return "".join(c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"})


@given(st.text() | st.text(r"\[]/a", max_size=8))
@example("\\[")
def test_any_text_is_shown_within_markup_as_it_stands(text: str) -> None:
    assert printed(f"[red]{plain(text)}[/] end") == f"{visible(text)} end\n"
    assert obeyed(visible(text)) == ""


@given(st.text(), st.sampled_from([str, Text]))
def test_what_was_not_made_plain_is_not_sent_either(text: str, kind: Callable[[str], Any]) -> None:
    table = Table()
    table.add_row(Text(text))
    assert obeyed(printed(table)) == obeyed(printed(Text(text))) == ""


def test_lines_are_kept_where_a_text_may_have_several() -> None:
    assert plain("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"
    assert plain("a\nb") == "a\\nb"


def test_letters_of_all_scripts_are_left_alone() -> None:
    for text in ("Müller β Cas – 3C 286", "大きさ", "שלום", "a b_c.ms"):
        assert visible(text) == text


def test_the_consoles_own_styles_reach_the_terminal() -> None:
    file = io.StringIO()
    PlainConsole(file=file, width=80, force_terminal=True, color_system="standard").print(f"[red]{plain(EVIL)}[/]")
    assert file.getvalue().startswith("\x1b[31m\\x1b]0;owned")


def test_log_messages_are_held_to_it_too() -> None:
    file = io.StringIO()
    handler = RichHandler(console=PlainConsole(file=file, width=500), show_time=False, show_path=False)
    handler.emit(logging.LogRecord("x", logging.WARNING, "x", 1, f"{EVIL} text", None, None))
    assert obeyed(file.getvalue()) == ""
    assert "text" in file.getvalue()


def _evil_document(document: Document) -> Document:
    entities = tuple(replace(entity, path=f"{entity.path}{EVIL}") for entity in document.entities)
    activities = tuple(
        replace(
            activity,
            task=f"{activity.task}{EVIL}",
            deleted=(EVIL,),
            problems=(EVIL,),
            failure=Failure(type="E", message=EVIL),
            outcome="failed",
        )
        for activity in document.activities
    )
    return replace(document, notebook=EVIL, entities=entities, activities=activities)


def _report() -> ReplayReport:
    step = StepReport(
        id="a", task=EVIL, action="blocked", reason=EVIL, recorded_outcome="completed", outcome="failed", failure=EVIL
    )
    comparison = Comparison("differs", (Difference(EVIL, EVIL),), EVIL)
    return ReplayReport(
        crate=EVIL,
        work=EVIL,
        started_at="",
        ended_at="",
        steps=(step, replace(step, action="run")),
        products=(ProductReport(path=EVIL, kind="File", made_by=EVIL, final=True, comparison=comparison),),
        environment=(EnvironmentDifference(name=EVIL, recorded=EVIL, now=EVIL),),
        confined=True,
        format=REPORT_FORMAT,
    )


def _packed(document: Document) -> Packed:
    item = PayloadItem(entity=document.entities[0], decision="referenced", reason=EVIL, source=None, size_bytes=1)
    return Packed(path=Path(EVIL.replace("/", "")), size_bytes=1, digest=digest_bytes(b""), items=(item,))


def _findings() -> Findings:
    return Findings(errors=(Issue(EVIL, EVIL, EVIL, EVIL),), notes=(Note(EVIL, EVIL),))


def _diff(document: Document) -> RunDiff:
    """A run against one in which everything is called otherwise and left otherwise."""
    changed = tuple(replace(a, parameters={**a.parameters, EVIL: EVIL}, returned=EVIL) for a in document.activities)
    others = tuple(replace(e, content_digest=digest_bytes(e.id.encode())) for e in document.entities)
    second = replace(document, activities=changed, entities=others)
    first, other = (Run(EVIL, one, lambda _: Path("nothing")) for one in (document, second))
    return diff_runs(first, other)


VIEWS: dict[str, Callable[[Document], Any]] = {
    "calls_table": render.calls_table,
    "comparison_view": lambda _: render.comparison_view(Comparison("differs", (Difference(EVIL, EVIL),), EVIL)),
    "diff_view": lambda document: render.diff_view(_diff(document)),
    "error_view": lambda _: render.error_view(CasaprovError(EVIL, hint=EVIL)),
    "crate_findings_view": lambda _: render.crate_findings_view(_findings(), EVIL),
    "finding_view": lambda _: render.finding_view(Finding(EVIL, "ok", EVIL, EVIL)),
    "graph_view": render.graph_view,
    "issues_view": lambda _: render.issues_view([Issue(EVIL, EVIL, EVIL, EVIL)]),
    "packed_view": lambda document: render.packed_view(_packed(document)),
    "replay_view": lambda _: render.replay_view(_report()),
    "timing_view": render.timing_view,
}


def test_every_view_is_tried() -> None:
    assert set(VIEWS) | {"size"} == set(render.__all__)


@pytest.mark.parametrize("name", VIEWS)
def test_no_view_passes_anything_on(name: str, tmp_path: Path) -> None:
    output = printed(VIEWS[name](_evil_document(make_reduction(tmp_path / "nb").document)))
    assert obeyed(output) == ""
    assert "\ufffd" not in output, "the console had to stop what the view should have made plain"
    assert SHOWN in output


def test_an_error_shows_its_issues_and_the_systems_file_names() -> None:
    error = CrateError("It is wrong.", (Issue(EVIL, EVIL),))
    for shown in (error, OSError(2, "No such file", EVIL)):
        assert obeyed(printed(render.error_view(shown))) == ""
        assert SHOWN in printed(render.error_view(shown))


@pytest.mark.parametrize("command", ["validate", "inspect", "replay", "digest", "compare", "no-such-command", "doctor"])
def test_no_command_passes_a_file_name_on(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = EVIL.replace("/", "")
    if command == "digest":
        Path(name).write_text("x")
    command = f"no\x1b[2J{name}" if command == "no-such-command" else command
    assert main([command, *([name] * (2 if command == "compare" else 1))]) in (0, 1, 2, 3)
    captured = capsys.readouterr()
    assert obeyed(captured.out + captured.err) == ""
    assert r"\x1b]0;owned" in captured.out + captured.err


VIEWS_IN_A_ROW = """
import sys
from casaprov.cli.commands import main
for view in [], ["--graph"], ["--json"]:
    assert main(["inspect", sys.argv[1], *view]) == 0
    print("end of a view", flush=True)
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_is_told_everything(tmp_path: Path, encoding: str) -> None:
    reduction = make_reduction(tmp_path / "nb")
    crate = pack_reduction(reduction, tmp_path / "größe ….zip").path
    done = subprocess.run(
        [sys.executable, "-c", VIEWS_IN_A_ROW, str(crate)],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    calls, graph, as_json, rest = done.stdout.decode(encoding).split("end of a view\n")
    assert "cube.image" in calls
    assert "cube.image" in graph
    assert "cube.image" in json.dumps(json.loads(as_json))
    assert rest == ""


def test_a_progress_is_shown_only_where_somebody_looks_and_only_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(*, is_terminal: bool, quiet_s: float) -> str:
        text = io.StringIO()
        monkeypatch.setattr(console, "err", PlainConsole(file=text, force_terminal=is_terminal, width=100))
        monkeypatch.setattr(console, "_QUIET_S", quiet_s)
        with console.progress_bar("n.zip") as update:
            update(1, 2)
            update(2, 2)
        return text.getvalue()

    assert shown(is_terminal=False, quiet_s=0) == shown(is_terminal=True, quiet_s=3600) == ""
    assert "n.zip" in shown(is_terminal=True, quiet_s=0)
