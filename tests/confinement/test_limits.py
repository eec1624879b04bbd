"""Limits of processes: each is kept, and named when it is reached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from casaprov.confinement.limits import LIMIT_NAMES, Limits, with_choices
from casaprov.confinement.watch import LimitWatch, limit_in
from casaprov.errors import LimitReached, UsageError
from casaprov.processes.worker import Worker
from casaprov.replays.usual_limits import usual_limits
from checkout import ROOT, SUPPORT
from sample_records import make_reduction

SEARCH = {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])}

USES = {
    "memory=200MB": "kept.append(os.urandom(10**7) * 2)",
    "cpu=1s": "sum(range(10**6))",
    "time=1s": "time.sleep(0.1)",
    "processes=20": "kept.append(subprocess.Popen(['sleep', '60'])); time.sleep(0.01)",
    "folder-size=30MB": "open(f'f{len(kept)}', 'wb').write(os.urandom(10**6)); kept.append(1); time.sleep(0.01)",
}
REMOVED = (
    "kept or kept.append(open('gone', 'wb')); os.path.exists('gone') and os.unlink('gone');"
    " kept[0].write(os.urandom(10**6)); time.sleep(0.01)"
)


@contextmanager
def limited(choice: str, folder: Path) -> Iterator[Worker]:
    limits = with_choices(Limits(), [choice])
    watch = LimitWatch(lambda *_: limits, folder=folder, hint="Give more with --limit {name}=….")
    with closing(Worker("echo_worker", environment=SEARCH, cwd=folder, watch=watch)) as worker:
        yield worker


@pytest.mark.parametrize("choice", USES)
def test_a_call_that_uses_too_much_is_ended_and_the_limit_is_named(choice: str, tmp_path: Path) -> None:
    name = choice.partition("=")[0]
    with limited(choice, tmp_path) as worker:
        first = worker.call("pid")
        with pytest.raises(LimitReached, match=rf"the limit {name} is ") as caught:
            worker.call("use_up", statement=USES[choice])
        assert f"--limit {name}=" in caught.value.hint
        if name != "folder-size":  # the folder is still too large
            assert worker.call("pid") != first


def test_files_that_were_removed_and_are_still_open_count(tmp_path: Path) -> None:
    with limited("folder-size=30MB", tmp_path) as worker, pytest.raises(LimitReached, match="folder-size"):
        worker.call("use_up", statement=REMOVED)


def test_what_is_within_the_limits_goes_on(tmp_path: Path) -> None:
    with limited("memory=2GB", tmp_path) as worker:
        assert worker.call("sleep", seconds=0.5) == "slept"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("memory=16GB", Limits(memory=16 * 10**9)),
        ("time=2h", Limits(time=7200)),
        ("cpu=90", Limits(cpu=90)),
        ("open-files=none", Limits()),
        ("processes=500", Limits(processes=500)),
    ],
)
def test_limits_are_written_as_users_write_them(choice: str, expected: Limits) -> None:
    assert with_choices(Limits(), [choice]) == expected


@pytest.mark.parametrize(
    "choice", ["memory", "memory=-1", "memory=much", "time=5x", "speed=1", "processes=1.5", "cpu=0", "time=inf"]
)
def test_a_wrong_limit_is_told_with_an_example(choice: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_choices(Limits(), [choice])
    assert "=" in caught.value.hint or LIMIT_NAMES[0] in caught.value.hint


def test_limits_that_the_kernel_keeps_are_named_by_their_error() -> None:
    limits = Limits(open_files=100, file_size=10**6)
    for number, name in ((24, "open-files"), (27, "file-size")):
        reached = limit_in(f"RuntimeError: {os.strerror(number)}: x", limits, "{name}")
        assert reached is not None
        assert reached.hint == name
    assert limit_in("no such file", limits, "") is None


def test_usual_limits_are_generous_and_all_set(tmp_path: Path) -> None:
    limits = usual_limits(make_reduction(tmp_path / "nb").document)
    assert None not in vars(limits).values()
    assert limits.time is not None
    assert limits.time >= 3600
