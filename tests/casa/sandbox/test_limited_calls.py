"""Limits of confined calls, kept by the process that started them; nothing here starts CASA."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from casaprov.casa.sandbox.confine import landlock_version
from casaprov.casa.sandbox.executor import CasaProcess
from casaprov.confinement.limits import Limits, with_choices
from casaprov.errors import LimitReached, WorkerDied
from casaprov.tasks.calls import TaskCall, TaskFailed, TaskResult
from checkout import ROOT, SUPPORT

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock (Linux 5.13)")

LIMITS = (
    "memory=300MB",
    "cpu=200s",
    "time=200s",
    "processes=40",
    "open-files=60",
    "file-size=40MB",
    "folder-size=80MB",
)
FILL = "def fill(name, size):\n    with open(name, 'wb') as f:\n        [f.write(b'x' * 10**6) for _ in range(size)]\n"
USES = {
    "one large piece of memory": ("memory", "import time\nkept.append(b'x' * 2 * 10**9)\ntime.sleep(600)"),
    "memory of many processes": (
        "memory",
        "import time\nfor _ in range(8):\n    os.fork() or (kept.append(b'x' * 10**8), time.sleep(600))\ntime.sleep(600)",
    ),
    "shared memory": ("memory", "import mmap, time\nm = mmap.mmap(-1, 10**9)\nm.write(b'x' * 10**9)\ntime.sleep(600)"),
    "processes that start processes": ("processes", "import time\nfor _ in range(8):\n    os.fork()\ntime.sleep(600)"),
    "threads": (
        "processes",
        "import threading, time\nfor _ in range(80):\n    threading.Thread(target=time.sleep, args=(600,)).start()\ntime.sleep(600)",
    ),
    "open files": ("open-files", "kept += [open('f', 'w') for _ in range(100)]"),
    "a large file": ("file-size", f"{FILL}fill('large', 60)"),
    "a file with a hole": ("file-size", "open('hole', 'wb').truncate(10**12)"),
    "many files": ("folder-size", f"import time\n{FILL}[fill(f'm{{n}}', 10) for n in range(20)]\ntime.sleep(600)"),
    "empty files": ("folder-size", "import time\n[open(f'e{n}', 'w').close() for n in range(25000)]\ntime.sleep(600)"),
    "removed files": (
        "folder-size",
        (
            "import time\nfor n in range(12):\n    kept.append(open(f'r{n}', 'wb'))\n    os.unlink(f'r{n}')\n"
            "    kept[-1].write(b'x' * 10**7)\n    kept[-1].flush()\ntime.sleep(600)"
        ),
    ),
    "removed files that are mapped": (
        "folder-size",
        (
            f"import mmap, time\n{FILL}for n in range(12):\n    fill('r', 10)\n    with open('r', 'r+b') as f:\n"
            "        kept.append(mmap.mmap(f.fileno(), 0))\n    os.unlink('r')\ntime.sleep(600)"
        ),
    ),
    "files below many folders": (
        "folder-size",
        (
            f"import time\n{FILL}for _ in range(30):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)\n"
            "[fill(f'm{n}', 10) for n in range(20)]\ntime.sleep(600)"
        ),
    ),
}


@pytest.fixture(autouse=True)
def _without_casa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT / "without_casa"), str(ROOT)]))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[CasaProcess]:
    with closing(CasaProcess(tmp_path, limits=with_choices(Limits(), LIMITS))) as opened:
        yield opened


def run(process: CasaProcess, folder: Path, code: str) -> TaskResult:
    return process.run(TaskCall(task="flagdata", package="casatasks", parameters={"code": code}, given=(), cwd=folder))


@pytest.mark.parametrize("what", USES)
def test_a_call_ends_at_its_limit_and_the_next_one_runs(process: CasaProcess, tmp_path: Path, what: str) -> None:
    name, code = USES[what]
    result = run(process, tmp_path, code)
    assert isinstance(result.error, LimitReached), result.error
    assert f"limit {name}" in result.error.message
    assert f"--limit {name}=" in result.error.hint
    if name != "folder-size":  # the folder stays too large
        assert run(process, tmp_path, "open('after', 'w').close()").error is None
        assert (tmp_path / "after").exists()


def test_a_call_that_aborts_ends_alone(process: CasaProcess, tmp_path: Path) -> None:
    result = run(process, tmp_path, "os.write(2, b'casacore says why\\n'); os.abort()")
    assert isinstance(result.error, WorkerDied)
    assert "6 (SIGABRT)" in result.error.message
    assert "casacore says why" in result.error.message
    assert run(process, tmp_path, "pass").error is None


def test_a_failure_within_the_limits_is_the_failure_of_the_task(process: CasaProcess, tmp_path: Path) -> None:
    result = run(process, tmp_path, "raise RuntimeError('no data selected')")
    assert isinstance(result.error, TaskFailed)


def test_without_limits_nothing_is_limited(tmp_path: Path) -> None:
    code = (
        "import json, resource as r\n"
        "json.dump([r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_FSIZE)], open('limits', 'w'))"
    )
    with closing(CasaProcess(tmp_path)) as process:
        assert run(process, tmp_path, code).error is None
    here = [list(resource.getrlimit(which)) for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)]
    assert json.loads((tmp_path / "limits").read_text()) == here
