"""The calls of a log are read in the forms of CASA 4.7, 5 and 6, as far as they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.casalogs.log_lines import log_lines
from casaprov.casalogs.logged_calls import LoggedSession, Unreadable, read_sessions
from checkout import ROOT

LOGS = ROOT / "tests" / "fixtures" / "logs"


def sessions(version: str) -> tuple[LoggedSession, ...]:
    return read_sessions((LOGS / f"casa_{version}.log").read_text().splitlines(keepends=True))


def test_a_log_of_casa_4_is_read() -> None:
    (session,) = sessions("4.7")
    assert (session.casa, session.python, session.started_at) == ("4.7.2-REL", "", "2017-03-01T09:00:00.000000+00:00")
    assert [(call.task, call.outcome) for call in session.calls] == [
        ("importfitsidi", "completed"),
        ("flagdata", "completed"),
        ("clean", "completed"),
        ("gaincal", "failed"),
        ("exportfits", "completed"),
        ("imstat", "unfinished"),
    ]
    importing, flagging, cleaning, failing, *_ = session.calls
    assert importing.parameters == {
        "fitsidifile": ["n14c3.IDI1", "n14c3.IDI2"],
        "vis": "n14c3.ms",
        "constobsid": True,
        "scanreindexgap_s": 15.0,
    }
    assert (importing.started_at, importing.ended_at) == (
        "2017-03-01T09:01:00.000000+00:00",
        "2017-03-01T09:05:00.000000+00:00",
    )
    # The text of CASA is no Python here: quotes inside of quotes, and a number of Python 2.
    assert flagging.parameters is not None
    assert flagging.parameters["reason"] == 'it\'s "quoted"'
    assert flagging.parameters["clipminmax"] == []
    assert cleaning.parameters is not None
    assert cleaning.parameters["niter"] == 100
    assert failing.failure is not None
    assert [call.parent for call in session.calls] == [None] * 6
    assert "A warning" in flagging.lines[-2].text


def test_a_log_of_casa_5_may_hold_two_starts() -> None:
    first, second = sessions("5.6")
    assert (first.casa, second.casa) == ("5.6.1-8", "5.6.2-3")
    assert [call.task for call in first.calls] == ["gaincal", "applycal", "tclean", "impbcor"]
    assert [call.task for call in second.calls] == ["rmtables"]
    assert first.calls[1].parameters is not None
    assert first.calls[1].parameters["gaintable"] == ["n.gcal"]


def test_a_log_of_casa_6_has_calls_inside_of_calls_and_failures() -> None:
    (session,) = sessions("6.4")
    assert (session.casa, session.python) == ("6.4.1.12", "3.8.10")
    assert [(call.task, call.parent, call.outcome) for call in session.calls] == [
        ("sdintimaging", None, "completed"),
        ("imregrid", 0, "completed"),
        ("makemask", None, "failed"),
        ("listobs", None, "unfinished"),
    ]
    failure = session.calls[2].failure
    assert failure is not None
    assert failure.type == "RuntimeError"
    assert failure.message.endswith("an unknown lattice")
    # A value without a form that can be read takes nothing from the others.
    assert session.calls[3].parameters == {
        "vis": "n.ms",
        "listfile": "n.txt",
        "overwrite": Unreadable("<built-in function print>"),
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no log at all\n",
        "2021-13-45 99:00:00\tINFO\t::casa\tCASA Version 6.4\n",
        "2021-11-09 02:27:09\tINFO\ta::::casa\t##### End Task: a   #####\n",
        "2021-11-09 02:27:09\tINFO\n",
    ],
)
def test_a_text_without_calls_has_none(text: str) -> None:
    assert read_sessions(text.splitlines(keepends=True)) == ()


def test_a_line_without_a_time_goes_on_with_the_one_before() -> None:
    first, second = log_lines(["2021-11-09 02:27:09\tINFO\ta::b+\tone  \n", "two\n"])
    assert (first.origin, first.text, first.priority) == ("a::b", "one", "INFO")
    assert (second.time, second.text) == (first.time, "two")


def test_a_call_whose_text_is_cut_has_no_parameters(tmp_path: Path) -> None:
    text = (LOGS / "casa_5.6.log").read_text().replace('solint="inf",refant', "solint=\x00")
    (first, *_), _ = (session.calls for session in read_sessions(text.splitlines()))
    assert first.parameters is None
    assert first.outcome == "completed"


BROKEN = """\
2018-08-07 12:39:02\tINFO\tgaincal::::\t##### Begin Task: gaincal            #####
2018-08-07 12:39:02\tINFO\tgaincal::::\tgaincal(vis="n.ms",spw="0:6~56
2018-08-07 12:39:02\tINFO\tgaincal::::+\t,1",solint=[1.5,
2018-08-07 12:39:02\tINFO\tgaincal::::+\t 2.5],{end}
2018-08-07 12:39:03\tINFO\tcalibrater::solve\tFinished solving.
2018-08-07 12:39:03\tINFO\tgaincal::::\t##### End Task: gaincal              #####
"""


def test_the_text_of_a_call_goes_on_until_its_bracket() -> None:
    ((call,),) = (one.calls for one in read_sessions(BROKEN.format(end='refant="VA05")').splitlines()))
    assert call.parameters == {"vis": "n.ms", "spw": "0:6~56\n,1", "solint": [1.5, 2.5], "refant": "VA05"}
    assert call.outcome == "completed"


def test_a_call_whose_last_parameters_are_lost_has_none() -> None:
    ((call,),) = (one.calls for one in read_sessions(BROKEN.format(end='refant="VA05",').splitlines()))
    assert call.parameters is None
    assert call.outcome == "completed"
