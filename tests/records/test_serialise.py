"""Records as JSON values and back: nothing is lost, and nothing is written that need not be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from any_document import documents
from casaprov.errors import RecordError
from casaprov.records.model import Document, Entity, Usage
from casaprov.records.serialise import structure, unstructure


@given(documents())
def test_what_is_written_reads_back_as_the_same_record(document: Document) -> None:
    data = json.loads(json.dumps(unstructure(document)))
    assert structure(data, Document) == document
    for entity in document.entities:
        assert structure(json.loads(json.dumps(unstructure(entity))), Entity) == entity


def test_fields_at_their_default_are_left_out_except_those_of_a_document() -> None:
    assert unstructure(Usage(entity="e1")) == {"entity": "e1"}
    assert unstructure(Usage(entity="e1", declared=False)) == {"entity": "e1", "declared": False}
    whole = {"notebook": "n", "sessions": [], "activities": [], "entities": [], "agents": []}
    assert unstructure(Document(notebook="n")) == {**whole, "format": "casaprov/document/1"}


def test_what_is_no_record_is_refused_with_every_misfit() -> None:
    with pytest.raises(RecordError, match="This is no Usage record") as caught:
        structure({"colour": "red"}, Usage)
    assert all(name in str(caught.value) for name in ("entity", "colour"))
