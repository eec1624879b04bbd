"""Records as JSON values and back: nothing is lost, and nothing is written that need not be."""

from __future__ import annotations

import pytest

from casaprov.errors import RecordError
from casaprov.records.model import Document, Usage
from casaprov.records.serialise import structure, unstructure


def test_fields_at_their_default_are_left_out_except_those_of_a_document() -> None:
    assert unstructure(Usage(entity="e1")) == {"entity": "e1"}
    assert unstructure(Usage(entity="e1", declared=False)) == {"entity": "e1", "declared": False}
    whole = {"notebook": "n", "sessions": [], "activities": [], "entities": [], "agents": []}
    assert unstructure(Document(notebook="n")) == {**whole, "format": "casaprov/document/1"}


def test_what_is_no_record_is_refused_with_every_misfit() -> None:
    with pytest.raises(RecordError, match="This is no Usage record") as caught:
        structure({"colour": "red"}, Usage)
    assert all(name in str(caught.value) for name in ("entity", "colour"))
