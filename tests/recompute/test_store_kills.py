"""Kills: whatever is killed at whatever moment, a store has whole results only, and serves no wrong one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import killed_at
import store_writer
from casaprov.recompute.restore import recover
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from casaprov.recompute.store.upkeep import verify
from checkout import ROOT
from examples import MORE
from stored_results import a_key

ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support"}


def test_a_writer_that_is_killed_at_any_file_operation_leaves_whole_results(tmp_path: Path) -> None:
    command = [sys.executable, killed_at.__file__, "killed_keep", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    states = json.loads(done.stdout)
    assert states["before"]["found"] == [True, False, False]
    assert states["after"]["found"] == [False, True, True]
    assert len(states["killed"]) > 100
    seen = set()
    for state in states["killed"]:
        assert state["damaged"] == [False] * 3
        assert state["whole"]
        assert state["objects"] == (0, 2, 3)[sum(state["found"][:2])]
        assert state["parts"] == 0
        assert state["products"] == ["first", "second"]
        seen.add(tuple(state["found"]))
    assert {(True, False, False), (True, True, True), (False, True, True)} <= seen


@pytest.mark.parametrize("kills", [8, pytest.param(25 * MORE, marks=pytest.mark.long)])
def test_two_writers_that_are_killed_leave_no_bad_reference(tmp_path: Path, kills: int) -> None:
    draw = random.Random(1)
    folder = tmp_path / "store"
    writers: list[subprocess.Popen[str]] = []

    def start(number: int) -> subprocess.Popen[str]:
        place = tmp_path / f"writer{number}"
        place.mkdir(exist_ok=True)
        command = [sys.executable, store_writer.__file__, str(folder), str(place), str(draw.randrange(2**30))]
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)

    writers = [start(0), start(1)]
    kept = 0
    try:
        for kill in range(kills):
            victim = writers[kill % 2]
            assert victim.stdout is not None
            for _ in range(draw.randrange(1, 30)):
                assert victim.stdout.readline(), victim.wait()  # it works until it is killed
            victim.send_signal(signal.SIGKILL)
            victim.communicate()
            writers[kill % 2] = start(kill % 2)
            notices: list[str] = []
            reader = Store(folder, on_notice=notices.append)
            kept += sum(isinstance(reader.lookup(a_key(str(key))), Manifest) for key in range(store_writer.KEYS))
            assert notices == []
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    for number in (0, 1):
        recover(tmp_path / f"writer{number}" / "intents")
        assert list((tmp_path / f"writer{number}").glob(".casaprov*")) == []
    assert verify(Store(folder)).faults == ()
    assert kept > 0
