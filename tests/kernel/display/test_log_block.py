"""Logs below cells: the text of the block, harmless and short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casaprov.kernel.display.captured_output import HEADING, add_printed, captured, without_logged
from casaprov.kernel.display.log_block import (
    MAX_LINES,
    CallLog,
    Running,
    call_log,
    log_block,
    messages,
    progress,
)

LOG = (
    "2026-01-01 10:00:00\tINFO\tgaincal::::casa\t##########################################\n"
    "2026-01-01 10:00:00\tINFO\tgaincal::::casa\t##### Begin Task: gaincal            #####\n"
    "2026-01-01 10:00:00\tINFO\tgaincal::::casa\tgaincal( vis='n.ms', caltable='<b>', spw='' )\n"
    "2026-01-01 10:00:01\tINFO\tCalibrater::open\tOpening MS: n.ms <for> calibration.\n"
    "2026-01-01 10:00:01\tWARN\tCalibrater::solve\tInsufficient <unflagged> antennas\n"
    "2026-01-01 10:00:01\tSEVERE\tMeasTable::dUTC(Double)\tLeap second table is out-of-date.\n"
    "2026-01-01 10:00:01\tSEVERE\tMeasTable::dUTC(Double)+\tTimes could be wrong.\n"
    "2026-01-01 10:00:01\tWARN\tCalibrater::solve\tInsufficient <unflagged> antennas\n"
    "2026-01-01 10:00:02\tINFO\tgaincal::::casa\t##### End Task: gaincal              #####\n"
)


def test_warnings_and_errors_are_counted_on_the_line_and_seen_without_opening() -> None:
    html, plain = log_block([call_log("gaincal", LOG, seconds=1.25)])
    assert plain.splitlines()[0] == "gaincal: 9 log lines, 2 warnings, 1 error, 1.2 s"
    folded, _, seen = html.partition("</details>")
    assert "<summary>gaincal: 9 log lines, 2 warnings, 1 error, 1.2 s</summary>" in folded
    assert seen.count("Insufficient") == 1  # the same one twice
    assert "Leap second table is out-of-date. Times could be wrong." in seen
    assert seen.index("Leap second") < seen.index("Insufficient")


def test_nothing_of_a_log_becomes_html() -> None:
    html, _ = log_block([call_log("gaincal", LOG)], Running(task="<i>", seconds=1.0, message="<script>"))
    assert "&lt;unflagged&gt;" in html
    assert "<unflagged>" not in html
    assert "<script" not in html
    assert not any(f"<{tag}" in html for tag in ("for", "style", "i>:"))


def test_frames_and_the_repeated_call_are_left_out() -> None:
    assert messages(LOG)[0] == "Opening MS: n.ms <for> calibration."
    assert not any("####" in line or "caltable" in line for line in messages(LOG))


def test_a_log_of_two_hundred_lines_is_shown_whole() -> None:
    lines = [
        f"2026-01-01 10:00:00\tINFO\tx::y\tRun Minor Cycle {number} {'.' * 200}\n" for number in range(MAX_LINES + 1)
    ]
    whole = call_log("tclean", "".join(lines[:-1]))
    assert not whole.cut
    assert [line.split()[3] for line in whole.excerpt.splitlines()] == [str(number) for number in range(MAX_LINES)]
    assert all(line.endswith("." * 200) for line in whole.excerpt.splitlines())
    longer = call_log("tclean", "".join(lines))
    assert longer.cut
    assert "... 1 line left out here ..." in longer.excerpt


def test_a_longer_log_keeps_its_beginning_and_its_end_and_says_where_the_rest_is() -> None:
    lines = "".join(f"2026-01-01 10:00:00\tINFO\tx::y\tline {number} <&>\n" for number in range(5000))
    call = call_log("tclean", lines, reference="abcdef/7", path=".casaprov/n/s/logs/0007-tclean.log")
    html, plain = log_block([call])
    assert call.cut
    assert "line 0 " in html
    assert "line 4999 " in html
    assert f"... {5000 - MAX_LINES} lines left out here ..." in html
    assert "%casaprov log abcdef/7" in html
    assert ".casaprov/n/s/logs/0007-tclean.log" in html
    assert html.count("&lt;&amp;&gt;") == MAX_LINES
    assert plain == "tclean: 5000 log lines"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("tclean", "tclean is running: 2.0 s, interrupt requested; tclean stops at its next cycle"),
        ("applycal", "applycal is running: 2.0 s, interrupt requested; applycal stops at its next step"),
    ],
)
def test_a_requested_interrupt_is_answered_on_the_live_line(task: str, said: str) -> None:
    _, plain = log_block([], Running(task=task, seconds=2.0, percent=30, message="Make PSF", interrupted=True))
    assert plain == said


def test_two_hundred_calls_are_one_short_block() -> None:
    calls = [
        call_log("vishead", LOG.replace("Insufficient", f"{n}"), reference=f"abcdef/{n + 1}", seconds=0.01)
        for n in range(200)
    ]
    html, plain = log_block(calls)
    assert html.count("<details>") == 4
    assert "197 more calls: 197 × vishead, 394 warnings, 197 errors" in plain
    assert len(html) + len(plain) < 200 * 100


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (CallLog(task="listobs", outcome="failed"), "listobs failed"),
        (
            CallLog(task="tclean", outcome="interrupted", lines=1, seconds=75),
            "tclean interrupted: 1 log line, 1 min 15 s",
        ),
        (CallLog(task="tclean", lines=2, seconds=7300), "tclean: 2 log lines, 2 h 1 min"),
        (CallLog(task="flagdata", lines=2, recorded=False), "flagdata: 2 log lines, not recorded: casaprov is paused"),
    ],
)
def test_the_line_says_how_a_call_ended(call: CallLog, told: str) -> None:
    assert call.summary == told


@pytest.mark.parametrize(
    ("log", "printed", "found"),
    [
        ("", "0%....10....20....30", (30, "")),
        ("", "x\n\n0%....10....20....30....40....50....60....70....80....90....100%\n", (100, "")),
        (
            "t\tINFO\tFlagMSHandler::\tChunk = 3 [progress: 54%], Scan = 3\n",
            "",
            (54, "Chunk = 3 [progress: 54%], Scan = 3"),
        ),
        (
            "t\tINFO\tx\tRequired memory: 2 GB (mem. fraction: 80%)\n",
            "",
            (None, "Required memory: 2 GB (mem. fraction: 80%)"),
        ),
        ("t\tINFO\tx\t------- Run Major Cycle 2 -------\nt\tINFO\tx\t \n", "", (None, "Run Major Cycle 2")),
        ("", "", (None, "")),
    ],
)
def test_progress_is_what_casa_says_of_it(log: str, printed: str, found: tuple[int | None, str]) -> None:
    assert progress(log, printed) == found


def test_what_is_printed_and_logged_is_said_once() -> None:
    warning = LOG.splitlines()[4]
    both = add_printed(LOG, f"{warning}\nSpwID = 0\n  table\n")
    assert both.count(warning) == LOG.count(warning)
    assert both.endswith(f"{HEADING}\nSpwID = 0\n  table\n")
    assert add_printed(LOG, f"{warning}\n\n") == LOG
    assert without_logged(f"{warning}\n") == ""
    assert without_logged(f"{warning}\nterminate called\n") == "terminate called\n"


PRINTING = """
import os, sys, threading
from casaprov.kernel.display.captured_output import captured
import ctypes
libc = ctypes.CDLL(None)
libc.printf(b"before;")  # held back by C until now: belongs before
with captured() as outer:
    libc.printf(b"outer;")
    os.write(2, b"err;")
    with captured() as inner:
        os.system("echo inner")
        found = []
        def other():
            with captured() as nothing:
                found.append(nothing.text())
        thread = threading.Thread(target=other); thread.start(); thread.join()
    libc.printf(b"again;")
os.write(1, b"after;" + repr((outer.text(), inner.text(), found)).encode())
"""


def test_what_c_holds_back_goes_where_it_belongs() -> None:
    done = subprocess.run([sys.executable, "-c", PRINTING], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    text, _, rest = done.stdout.partition("after;")
    assert text == "before;"
    assert eval(rest) == ("outer;err;again;", "inner\n", [""])


def test_file_descriptors_are_given_back_after_an_error() -> None:
    before = [os.fstat(stream).st_ino for stream in (1, 2)]
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyboardInterrupt), captured():
        raise KeyboardInterrupt
    assert [os.fstat(stream).st_ino for stream in (1, 2)] == before
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
