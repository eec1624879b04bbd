"""Links belong to contents, and are kept beside the journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.errors import JournalError, RecordError
from casaprov.hashing import digest_bytes
from casaprov.journal.links import Link, Links, read_links, store_links, with_links
from casaprov.records.model import ArchiveQuery, Identifier, Locator
from records import Story

DIGEST = digest_bytes(b"a.ms 1")
TIME = "2026-05-01T10:00:00.000000+00:00"


def identifier(value: str, scheme: str = "ivoid") -> Identifier:
    return Identifier(scheme=scheme, value=value, confidence="stated", time=TIME)


def test_links_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    lookup = ArchiveQuery(service="s", table="t", query="q", value="v", time=TIME, rows=0, matched=0)
    store_links(tmp_path, [Link(content_digest=DIGEST, identifiers=(identifier("ivo://a?b"),))])
    store_links(
        tmp_path, [Link(content_digest=DIGEST, identifiers=(identifier("10.1/x", "doi"),), archive_queries=(lookup,))]
    )
    store_links(tmp_path, [Link(content_digest=DIGEST, identifiers=(identifier("ivo://a?b"),))])
    (link,) = read_links(tmp_path).links
    assert [i.value for i in link.identifiers] == ["ivo://a?b", "10.1/x"]
    assert link.archive_queries == (lookup,)


def test_every_state_with_the_content_has_the_identifiers() -> None:
    story = Story()
    story.call("split", used=["a.ms"], generated=["b.ms"])
    story.copy("a.ms", "c.ms")
    links = Links(
        links=(Link(content_digest=DIGEST, identifiers=(identifier("ivo://a?b"), identifier("10.1/x", "doi"))),)
    )
    linked = {entity.path: entity for entity in with_links(story.document, links).entities}
    assert [len(linked[path].identifiers) for path in ("a.ms", "b.ms", "c.ms")] == [2, 0, 2]
    assert [locator for locator in linked["a.ms"].locators if locator.scheme == "vo"] == [
        Locator(scheme="vo", value="ivo://a?b")
    ]
    assert with_links(story.document, Links()) == story.document


@pytest.mark.parametrize("text", ["{", '{"links": 5}', "\xff"])
def test_damaged_links_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "links.json").write_text(text, encoding="latin-1")
    with pytest.raises((JournalError, RecordError)):
        read_links(tmp_path)
    (tmp_path / "links.json").unlink()
    assert read_links(tmp_path) == Links()
