"""Sessions of a renamed notebook: they are followed while they grow, whoever looked in between."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, tree_path
from casaprov.journal.writer import Journal
from casaprov.notebook.adopt_sessions import adopt_session
from casaprov.records.model import Document
from sample_records import Reduction, make_reduction


class Renamed:
    """A notebook that was renamed while its session goes on in the folder of the old name."""

    def __init__(self, reduction: Reduction) -> None:
        self.document = reduction.document
        self.journal = Journal(reduction.journal, reduction.document.sessions[0])
        self.notebook = reduction.notebook.rename(reduction.folder / "new name.ipynb")
        self.old = reduction.journal
        self._entities = {entity.id: entity for entity in self.document.entities}

    def go_on(self, *calls: int) -> None:
        for number in calls:
            activity = self.document.activities[number]
            self.journal.begin(
                replace(activity, outcome="unfinished", ended_at=None, used=(), generated=(), failure=None)
            )
            named = [self._entities[usage.entity] for usage in (*activity.used, *activity.generated)]
            self.journal.end(activity, named)

    def look(self) -> Document:
        """Read the record as ``casaprov inspect`` does."""
        adopt_session(self.notebook, self.journal.session.id)
        return read_document(journal_folder(self.notebook), self.notebook.name)


@pytest.mark.parametrize("links", [True, False])
def test_a_session_that_grows_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", lambda _self, _target: (_ for _ in ()).throw(OSError("no links")))
    renamed = Renamed(make_reduction(tmp_path / "nb"))
    renamed.go_on(0, 1)
    assert len(renamed.look().activities) == 2
    renamed.go_on(2, 3)
    if links:  # whoever reads without looking for more has all lines
        assert len(read_document(journal_folder(renamed.notebook), "n").activities) == 4
    assert len(renamed.look().activities) == 4


def test_trees_that_came_later_are_brought_as_well(tmp_path: Path) -> None:
    renamed = Renamed(make_reduction(tmp_path / "nb"))
    renamed.go_on(0)
    renamed.look()
    last = next(e for e in renamed.document.entities if e.path == "n.gcal")
    assert last.content_digest is not None
    tree = {"late": True}
    tree_path(renamed.old, last.content_digest).write_text(json.dumps(tree))
    renamed.go_on(*range(1, len(renamed.document.activities)))
    renamed.look()
    brought = tree_path(journal_folder(renamed.notebook), last.content_digest)
    assert json.loads(brought.read_text()) == tree


def test_a_session_without_a_journal_elsewhere_is_left_alone(tmp_path: Path) -> None:
    renamed = Renamed(make_reduction(tmp_path / "nb"))
    adopt_session(renamed.notebook, "no-such-session")
    assert not journal_folder(renamed.notebook).exists()
