"""Activities that are no tasks: functions, blocks of code and shell cells, recorded and replayed."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import casaprov
from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from casaprov.errors import UsageError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.lineage.graph import Lineage
from casaprov.recording.activities import DeclaredFiles, attach
from casaprov.records.model import Activity
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult
from made_once import made_once
from reductions import Reduction, reduce, reduction_in

# -- decorators and blocks, without a kernel ------------------------------------


@dataclass
class Listener:
    """Notes the calls that are recorded."""

    begun: list[tuple[TaskCall, FileTable | None]] = field(default_factory=list)
    ended: list[TaskResult] = field(default_factory=list)

    def begin(self, call: TaskCall, files: FileTable | None) -> int:
        self.begun.append((call, files))
        return len(self.begun)

    def end(self, _open_call: int, result: TaskResult) -> None:
        self.ended.append(result)

    def compute(self, _call: TaskCall, _files: FileTable | None, _executor: Executor) -> None:
        """The cache is off."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    attach(listener)
    yield listener
    attach(None)


@casaprov.activity
def plain(vis: str, threshold: float = 5.0) -> str:
    """Find something."""
    return f"{vis} {threshold}"


def test_a_decorated_function_is_what_it_was() -> None:
    assert plain("a.ms") == "a.ms 5.0"
    assert plain.__doc__ == "Find something."
    assert list(inspect.signature(plain).parameters) == ["vis", "threshold"]
    assert pickle.loads(pickle.dumps(plain)) is plain


def test_a_function_that_may_be_restored_runs_where_the_cache_is_off(listener: Listener) -> None:
    assert casaprov.activity(cache=True)(lambda x: x + 1)(1) == 2
    assert [result.returned for result in listener.ended] == [2]


def test_only_plain_functions_are_restored() -> None:
    with pytest.raises(UsageError, match="block"), casaprov.activity("block", cache=True):
        pass

    async def later() -> None: ...

    with pytest.raises(UsageError, match="coroutine"):
        casaprov.activity(cache=True)(later)


def test_a_call_is_recorded_with_its_arguments_and_what_it_returned(listener: Listener) -> None:
    plain("a.ms")
    (call, files), (result,) = listener.begun[0], listener.ended
    assert (call.task, call.package, call.given) == ("plain", __name__, ("vis",))
    assert call.parameters == {"vis": "a.ms", "threshold": 5.0}
    assert files is None
    assert result.returned == "a.ms 5.0"


def test_an_exception_goes_on_and_is_recorded(listener: Listener) -> None:
    def fails() -> None:
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        casaprov.activity(fails)()
    with pytest.raises(KeyboardInterrupt), casaprov.activity("block"):
        raise KeyboardInterrupt
    assert [result.outcome for result in listener.ended] == ["failed", "interrupted"]


def test_a_wrong_call_is_pythons_to_judge(listener: Listener) -> None:
    with pytest.raises(TypeError, match="missing 1 required"):
        plain()  # type: ignore[call-arg]
    assert listener.begun == []


def test_a_coroutine_function_is_recorded_until_it_returns(listener: Listener) -> None:
    @casaprov.activity("slow")
    async def slow() -> int:
        await asyncio.sleep(0)
        assert listener.ended == []
        return 3

    assert asyncio.run(slow()) == 3
    assert listener.ended[0].returned == 3


def test_a_block_may_be_used_again_and_nested(listener: Listener) -> None:
    block = casaprov.activity("block", parameters={"n": 1})
    with block, block:
        pass
    assert [call.task for call, _ in listener.begun] == ["block", "block"]
    assert listener.begun[0][0].given == ("n",)
    assert len(listener.ended) == 2


def test_large_arguments_are_not_copied_into_the_record(listener: Listener) -> None:
    plain("x" * 1_000_000)
    assert len(json.dumps(listener.begun[0][0].parameters)) < 10_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: casaprov.activity("a", used="n.ms"), "one name, not a list"),
        (lambda: casaprov.activity(3), "no name"),  # type: ignore[call-overload]
        (lambda: casaprov.activity("a")(lambda: (yield)), "generator"),
    ],
)
def test_wrong_use_is_refused_with_the_right_one(wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        wrong()
    assert caught.value.hint


def test_a_block_needs_a_name() -> None:
    with pytest.raises(UsageError, match="needs a name"), casaprov.activity():
        pass


def test_declared_names_are_paths_patterns_and_arguments(tmp_path: Path) -> None:
    for name in ("a.ms", "b.ms", "a.ms.txt", "img-0.fits", "img-1.fits", "{odd}"):
        (tmp_path / name).write_text("x")
    files = DeclaredFiles(
        changed=("vis",),
        used=("{odd}", Path("b.ms")),
        generated=("{name}-*.fits", "{vis}.txt", "missing"),
        arguments={"vis": ["a.ms", Path("b.ms"), None], "name": "img"},
    )
    uses = files.inputs({}, tmp_path)
    assert [(use.role, use.parameter, use.path.name) for use in uses] == [
        ("changed", "vis", "a.ms"),
        ("changed", "vis", "b.ms"),
        ("used", None, "{odd}"),
        ("used", None, "b.ms"),
    ]
    assert [use.path.name for use in files.outputs({}, tmp_path)] == ["img-0.fits", "img-1.fits"]


# -- in a real kernel -----------------------------------------------------------

CELLS = (
    "%load_ext casaprov\nimport casaprov\nfrom casatasks import *\nimportuvfits('NGC5921.fits', 'n.ms')",
    # a function that writes a file which a task then reads
    (
        "@casaprov.activity(used=['vis'], generated=['out'])\n"
        "def commands(vis, out, antennas=('5', '9')):\n"
        "    with open(out, 'w') as file:\n"
        "        file.writelines(f\"antenna='{a}'\\n\" for a in antennas)\n"
        "    return len(antennas)\n"
        "commands('n.ms', 'flags.txt')"
    ),
    "flagdata('n.ms', mode='list', inpfile='flags.txt')",
    # a block with tasks in it, that changes a file between them
    (
        "with casaprov.activity('shrink'):\n"
        "    split('n.ms', 's.ms', field='0', datacolumn='data')\n"
        "    open('notes.txt', 'w').write('one')\n"
        "    listobs('s.ms', listfile='l.txt')"
    ),
    # programs
    "%%casaprov_sh\ncp -r n.ms copy.ms",
    (
        "%%casaprov_sh tidy --used l.txt --generated 'head*.txt'\n"
        "# keep the beginning\nhead -3 l.txt > head.txt\nrm -r copy.ms"
    ),
    # tasks inside, and a change by Python between two of them
    (
        "import casatools\n"
        "with casaprov.activity('scale', changed=['s.ms']):\n"
        "    clearcal('s.ms')\n"
        "    tb = casatools.table()\n"
        "    tb.open('s.ms', nomodify=False)\n"
        "    tb.putcol('DATA', 2 * tb.getcol('DATA'))\n"
        "    tb.close()\n"
        "    visstat('s.ms', datacolumn='data')"
    ),
    "import subprocess\nsubprocess.run('touch -d yesterday notes.txt', shell=True)",
)


@pytest.fixture(scope="module")
def reduced(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource) -> Reduction:
    return reduction_in(made_once(tmp_path_factory, "activities", lambda folder: reduce(folder, ngc5921_fits, CELLS)))


def activities(reduction: Reduction) -> tuple[Activity, ...]:
    return read_document(journal_folder(reduction.notebook), "n.ipynb").activities


@pytest.mark.casa
@pytest.mark.slow
def test_everything_is_recorded_once_and_in_its_place(reduced: Reduction) -> None:
    calls = activities(reduced)
    tasks = {call.id: call.task for call in calls}
    assert [(call.task, tasks.get(call.parent or "")) for call in calls] == [
        ("importuvfits", None),
        ("commands", None),
        ("flagdata", None),
        ("shrink", None),
        ("split", "shrink"),
        ("listobs", "shrink"),
        ("cp", None),
        ("tidy", None),
        ("scale", None),
        ("clearcal", "scale"),
        ("visstat", "scale"),
    ]
    assert {call.outcome for call in calls} == {"completed"}
    assert calls[1].returned == 2
    assert calls[1].given == ("vis", "out")


@pytest.mark.casa
@pytest.mark.slow
def test_what_they_made_is_theirs_and_nothing_is_a_gap(reduced: Reduction) -> None:
    document = read_document(journal_folder(reduced.notebook), "n.ipynb")
    lineage = Lineage(document)
    assert lineage.gaps() == ()
    made: dict[str, list[str | None]] = {}
    for entity in document.entities:
        maker = lineage.generator(entity)
        made.setdefault(entity.path, []).append(maker.task if maker else None)
    assert made["flags.txt"] == ["commands"]
    assert made["notes.txt"] == ["shrink"]
    assert made["s.ms"] == ["split", "clearcal", "scale"]
    assert made["copy.ms"] == ["cp"]
    assert made["head.txt"] == ["tidy"]
    tidy = next(call for call in document.activities if call.task == "tidy")
    assert tidy.deleted == ("copy.ms",)
    assert "keep the beginning" in tidy.parameters["script"]


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_a_replay_takes_what_no_task_made_and_verifies_the_rest(reduced: Reduction, tmp_path: Path) -> None:
    work = tmp_path / "again"
    code = main(["replay", str(reduced.crate), "--work", str(work)])
    report = json.loads((work / "replay-report.json").read_text())
    actions = {step["task"]: step["action"] for step in report["steps"]}
    assert actions["commands"] == actions["tidy"] == "take"
    assert actions["flagdata"] == actions["split"] == actions["listobs"] == "run"
    assert (work / "flags.txt").read_text() == (reduced.folder / "flags.txt").read_text()
    verdicts = {p["path"]: p["comparison"]["verdict"] for p in report["products"] if p["final"]}
    assert verdicts["n.ms"] == "same-content"
    assert verdicts["flags.txt"] == "not-verifiable"
    assert verdicts["l.txt"] == "same-content"
    # The data that Python scaled are in the crate, since a task read them, and nobody claims anything of them.
    assert actions["scale"] == "take"
    assert verdicts["s.ms"] == "not-verifiable"
    (looked,) = [step for step in report["steps"] if step["task"] == "visstat"]
    assert (looked["action"], looked["same_return"]) == ("run", True)
    assert code == 0


@pytest.mark.casa
@pytest.mark.slow
def test_the_crate_is_valid_and_drawn(reduced: Reduction, tmp_path: Path) -> None:
    assert main(["validate", str(reduced.crate)]) == 0
    assert main(["inspect", str(reduced.crate), "--graph", str(tmp_path / "g.dot")]) == 0
    assert "commands" in (tmp_path / "g.dot").read_text()
    assert main(["inspect", str(reduced.crate), "--prov", str(tmp_path / "p.json")]) == 0
