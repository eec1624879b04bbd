"""A call is traced to the user's own files, and the text of each is kept once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from casaprov.hashing import digest_bytes
from casaprov.journal.folder import script_path
from casaprov.records.model import ScriptLine, Step
from casaprov.scripts.call_sites import CallSites, RunningScript
from casaprov.scripts.cells import script_cells

CELL = Step(source_digest=digest_bytes(b"%run outer.py"), cell_id="c")
HELPER = b"def helped(call):\n    return call()\n"
OUTER = b"# %%\nx = 1\n# %%\n\nfound = helped(call)\n"


def _executed(path: Path, text: bytes, **names: object) -> dict[str, object]:
    path.write_bytes(text)
    namespace = dict(names)
    exec(compile(text, str(path), "exec"), namespace)
    return namespace


def _called(folder: Path, call: Callable[[], Step | None]) -> Step | None:
    """Return what `call` returns, called by way of two files of the user."""
    helper = _executed(folder / "helper.py", HELPER)
    found = _executed(folder / "outer.py", OUTER, helped=helper["helped"], call=call)["found"]
    assert found is None or isinstance(found, Step)
    return found


def _lines(folder: Path, step: Step | None) -> list[ScriptLine]:
    """Return the lines below a folder; the test itself is a file of the user, too."""
    assert step is not None
    return [line for line in step.scripts if not line.path.startswith("/")]


def test_a_call_in_a_cell_names_the_files_that_led_to_it(tmp_path: Path) -> None:
    sites = CallSites(tmp_path)
    step = _called(tmp_path, lambda: sites.step(CELL))
    assert _lines(tmp_path, step) == [
        ScriptLine(path="outer.py", digest=digest_bytes(OUTER), line=5),
        ScriptLine(path="helper.py", digest=digest_bytes(HELPER), line=2),
    ]
    assert step is not None
    assert (step.cell_id, step.source_digest) == (CELL.cell_id, CELL.source_digest)
    assert all(not Path(line.path).is_relative_to(json.__file__) for line in step.scripts)
    sites.store(tmp_path / "journal")
    for text in (OUTER, HELPER):
        assert script_path(tmp_path / "journal", digest_bytes(text)).read_bytes() == text


def test_a_call_of_a_script_belongs_to_the_cell_of_its_line(tmp_path: Path) -> None:
    script = RunningScript(tmp_path / "outer.py", OUTER, script_cells(OUTER.decode()))
    sites = CallSites(tmp_path, script)
    step = _called(tmp_path, lambda: sites.step(None))
    assert step is not None
    assert step.execution_count == 2
    assert step.source_digest == digest_bytes(b"\nfound = helped(call)")
    # A thread that no line of the script is under way in: the cell of the last call stands for it.
    others: list[Step | None] = []
    thread = threading.Thread(target=lambda: others.append(sites.step(None)))
    thread.start()
    thread.join()
    assert others[0] is not None
    assert others[0].execution_count == 2


def test_the_text_that_runs_is_kept_and_not_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "outer.py").write_bytes(b"edited = True\n")
    sites = CallSites(tmp_path, RunningScript(tmp_path / "outer.py", OUTER, script_cells(OUTER.decode())))
    sites.store(tmp_path / "journal")
    assert script_path(tmp_path / "journal", digest_bytes(OUTER)).read_bytes() == OUTER


def test_a_journal_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")
    sites = CallSites(tmp_path, RunningScript(tmp_path / "outer.py", OUTER, script_cells(OUTER.decode())))
    sites.store(tmp_path / "journal")
