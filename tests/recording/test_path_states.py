"""States of paths: each finding of a call is the one that the documentation names."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from casaprov.digests.measurement import Measurement
from casaprov.errors import DigestError
from casaprov.files.stamps import Stamps, StatStamp
from casaprov.hashing import digest_bytes
from casaprov.journal.writer import Journal
from casaprov.recording.explanations import Background, Explanations
from casaprov.recording.path_states import Finding, Measured, PathStates, classify_found
from casaprov.records.model import Entity
from checkout import ROOT
from records import SESSION

PATH = Path(SESSION.folder, "x.ms")
STAMPS = Stamps((("", StatStamp(1, 2, 3, 4)),))
CONTENT, OTHER_CONTENT = digest_bytes(b"content"), digest_bytes(b"other")
CALLER = f"{SESSION.id}/0001"


def _state(path: str, **facts: object) -> Entity:
    given = {"content_digest": CONTENT, "kind": "File", "size_bytes": 1, **facts}
    return Entity(id=f"20260401T100000-abcdef/{path}", path=path, **given)  # type: ignore[arg-type]


LAST_STATES = {
    "none": None,
    "same": _state("x.ms"),
    "touched": _state("x.ms", tier="fast", stamp=digest_bytes(b"earlier")),
    "undigested": _state("x.ms", content_digest=None, stamp=STAMPS.digest),
    "other": _state("x.ms", content_digest=OTHER_CONTENT),
}


@dataclass(frozen=True)
class Case:
    """Facts about a path that a call finds, in the words of the table."""

    measured: str
    last_state: str
    elsewhere: str
    in_caller: str

    @property
    def known(self) -> Entity | None:
        return LAST_STATES[self.last_state]

    @property
    def source(self) -> Entity | None:
        """The last state with the content that is there now."""
        if self.elsewhere == "yes":
            return _state("y.ms")
        return self.known if self.known is not None and self.known.content_digest == CONTENT else None

    @property
    def found(self) -> Measured:
        if self.measured == "no":
            return DigestError("It is damaged.")
        is_fast = self.last_state == "touched"
        return Measurement(
            kind="File",
            content_digest=CONTENT,
            size_bytes=1,
            tier="fast" if is_fast else "full",
            stamp=digest_bytes(b"now") if is_fast else None,
        )

    def fits(self, row: list[str]) -> bool:
        own = (self.measured, self.last_state, self.elsewhere, self.in_caller)
        return all(cell in {"–", answer} for cell, answer in zip(row, own, strict=False))


def _table() -> list[list[str]]:
    """Rows of the table in the documentation."""
    page = (ROOT / "docs" / "explanation" / "recording.md").read_text()
    (section,) = re.findall(r"^## What a call finds\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


TABLE = _table()
CASES = list(itertools.starmap(Case, itertools.product(("no", "yes"), LAST_STATES, ("no", "yes"), ("no", "yes"))))


def test_the_table_has_a_row_for_every_finding_and_none_too_many() -> None:
    first = [next(i for i, row in enumerate(TABLE) if case.fits(row)) for case in CASES]
    assert set(first) == set(range(len(TABLE)))
    assert {row[4] for row in TABLE} == {finding.name.lower().replace("_", " ") for finding in Finding}


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(vars(case).values()))
def test_a_finding_is_what_the_documentation_says(case: Case, tmp_path: Path) -> None:
    *_, finding, text = next(row for row in TABLE if case.fits(row))
    decided = classify_found(
        case.known, case.found, stamps=STAMPS, source=case.source, by_caller=case.in_caller == "yes"
    )
    assert decided.name.lower().replace("_", " ") == finding

    known = {state.path: state for state in (case.known, _state("y.ms")) if state is not None}
    if case.elsewhere == "no":
        known.pop("y.ms")
    background = Background(states=known)
    states = PathStates(SESSION, background, Explanations(Journal(tmp_path, SESSION), background))
    caller = CALLER if case.in_caller == "yes" else None
    state = states.found(PATH, case.found, STAMPS, by=f"{SESSION.id}/0002", caller=caller)
    assert (state == case.known) == (text == "the last known state")
    assert states.at(PATH) == state
    if state == case.known:
        return
    assert state.gap == ("gap" in text)
    assert (state.copy_of is not None) == ("copy" in text)
    assert state.generated_by == (CALLER if text == "a product of the caller" else None)
    if "copy" in text:
        source = case.known if finding == "recognised" else case.source
        assert source is not None
        assert state.copy_of == source.id
    if "revision" in text:
        assert case.known is not None
        assert state.revision_of == case.known.id
        assert state.note
    assert (state.content_digest is None) == (case.measured == "no")
