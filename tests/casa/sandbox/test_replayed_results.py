"""Results of replayed calls: later replays restore them, confined as the calls are, and no session of a user does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cached_calls import Function
from casaprov.casa.sandbox.replayed_results import ReplayedResults
from casaprov.errors import UsageError
from casaprov.journal.document import read_document
from casaprov.journal.writer import Journal
from casaprov.recompute.store.folder import default_folder
from casaprov.recorder import Recorder
from casaprov.records.model import Activity
from casaprov.runner import Runner
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import load_specs
from recorded_files import HereDigester
from records import SESSION


class Replay:
    """Calls of ``imsmooth`` on plain files in a work folder, as a replay makes them."""

    def __init__(self, work: Path, results: ReplayedResults) -> None:
        self.work = work
        seconds = itertools.count()
        self._journal = Journal(work / ".casaprov" / "replay", replace(SESSION, folder=work.as_posix()))
        recorder = Recorder(
            journal=self._journal,
            digester=HereDigester(),
            specs=load_specs(),
            clock=lambda: f"2026-05-01T10:00:{next(seconds):02d}.000000+00:00",
        )
        self._runner = Runner(recorder, recomputation=lambda: results)

    def smooth(self, content: bytes = b"smooth", name: str = "s.im") -> Activity:
        parameters = {"imagename": "a.im", "outfile": name, "major": "60arcsec"}
        call = TaskCall(
            task="imsmooth", package="casatasks", parameters=parameters, given=tuple(parameters), cwd=self.work
        )
        self._runner.run(call, Function(lambda: (self.work / name).write_bytes(content) and None))
        return read_document(self._journal.folder, "n.ipynb", whole_lines=True).activities[-1]


@contextmanager
def replay(work: Path, folder: Path, *, held: str = "") -> Iterator[Replay]:
    work.mkdir()
    (work / "a.im").write_bytes(b"image")
    results = ReplayedResults(
        folder, work, (), facts=lambda: {"threads": 1}, held=lambda _: held, measure=HereDigester().submit,
        confined=True,
    )  # fmt: skip
    with closing(results):
        yield Replay(work, results)


def outcome(activity: Activity) -> tuple[str, str]:
    assert activity.look_up is not None
    return activity.look_up.outcome, activity.look_up.reason


def test_what_one_replay_computed_the_next_one_restores(tmp_path: Path) -> None:
    with replay(tmp_path / "one", tmp_path / "cache") as first:
        computed = first.smooth()
        assert outcome(computed) == ("run", "No result is stored for it.")
    with replay(tmp_path / "two", tmp_path / "cache") as second:
        restored = second.smooth(b"never written")
        assert outcome(restored)[0] == "restored"
        assert restored.restored_from == computed.id
        assert (second.work / "s.im").read_bytes() == b"smooth"
        assert restored.generated
        assert outcome(second.smooth(name="t.im"))[0] == "run"
        (second.work / "a.im").write_bytes(b"another image")
        (second.work / "s.im").unlink()
        assert outcome(second.smooth())[0] == "run"
    # Sessions whose store is the same folder look elsewhere, and so do those that work in it.
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["casaprov-replays"]
    assert not default_folder(tmp_path / "cache").exists()


def test_nothing_is_restored_through_a_link_or_over_what_casa_has_open(tmp_path: Path) -> None:
    with replay(tmp_path / "one", tmp_path / "cache") as first:
        first.smooth()
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the user")
    with replay(tmp_path / "two", tmp_path / "cache") as second:
        (second.work / "s.im").symlink_to(secret)
        activity = second.smooth(b"of the user")  # what the call does itself is limited elsewhere
        assert outcome(activity)[0] != "restored"
        assert secret.read_bytes() == b"of the user"
    with replay(tmp_path / "three", tmp_path / "cache", held="CASA has s.im open.") as third:
        assert outcome(third.smooth()) == ("not-served", "CASA has s.im open.")


def test_a_cache_that_cannot_be_made_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be made.*--cache"), replay(tmp_path / "one", tmp_path / "file"):
        pass
