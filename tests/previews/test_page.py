"""The preview says what the records say, needs nothing from elsewhere, and lets nothing of the records act."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from casaprov.crate import open_crate, pack
from casaprov.crates.checking.validation import examine_crate, examine_folder
from casaprov.crates.layout import CrateItem, Manifest
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.previews.page import MOST_DRAWN, Picture, final_images, preview, shown_images
from casaprov.previews.png import QuickLook, png_address
from casaprov.records.model import Document, Usage
from sample_records import make_credits, make_reduction, measure

LOOK = QuickLook(
    width=3, height=2, pixels=bytes([0, 1, 2, 128, 254, 255]), low=-1, high=2.5, unit="Jy/beam", shape=(3, 2)
)
MANIFEST = Manifest(notebook="my reduction.ipynb", title="A <b>title</b>", credits=make_credits())


class Page(HTMLParser):
    """Tags with attributes, and the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return make_reduction(tmp_path / "nb").document


def page_of(document: Document, **facts: Any) -> Page:
    return Page(preview(document, MANIFEST, **facts))


def test_it_states_people_steps_parameters_files_and_how_to_replay(document: Document) -> None:
    items = tuple(
        CrateItem(entity=e.id, decision="referenced", reason="because", path=None) for e in document.entities[:3]
    )
    page = Page(preview(document, replace(MANIFEST, items=items), ["n.gcal is stale"]))
    for fact in (
        "J. Carberry", "CC-BY-4.0", "An archive", "Proprietary until 2027-01-01.", "n.gcal is stale", "casaprov replay",
        '"15arcsec"', "no data selected", "data/N.fits", "because", "CASA 6.7.0.31", "4 gaincal",
    ):  # fmt: skip
        assert fact in page.text
    assert page.open == []
    links = {attributes.get("href") for tag, attributes in page.tags if tag == "a"}
    assert {"parameters/04-gaincal.json", "logs/04-gaincal.log", "my%20reduction.ipynb"} <= links
    assert "https://orcid.org/0000-0002-1825-0097" in links


def test_it_needs_no_script_and_nothing_from_elsewhere(document: Document) -> None:
    page = page_of(document, pictures=[Picture(document.entities[-1], LOOK)])
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    loaded = [a for tag, a in page.tags if tag in ("img", "link", "iframe", "object", "embed")]
    assert loaded
    assert all((a.get("src") or "").startswith("data:") for a in loaded)


def test_a_screen_reader_has_a_language_headings_captions_and_texts_for_pictures(document: Document) -> None:
    page = page_of(document, pictures=[Picture(document.entities[-1], LOOK)])
    assert ("html", {"lang": "en"}) in page.tags
    count = {tag: sum(one == tag for one, _ in page.tags) for tag in ("h1", "main", "table", "caption")}
    assert count["h1"] == count["main"] == 1
    assert count["table"] == count["caption"]
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    assert any(tag == "svg" and a.get("role") == "img" for tag, a in page.tags)
    labels = {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert labels <= {a.get("id") for _, a in page.tags}


@pytest.mark.parametrize("bad", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\x1b]0;x\x07\ud800"])
def test_nothing_in_the_records_acts_in_the_page(document: Document, bad: str) -> None:
    call = replace(document.activities[6], task=bad, parameters={bad: bad}, given=(bad,))
    entity = replace(document.entities[7], path=bad)
    hostile = replace(
        document,
        activities=(*document.activities[:6], call, document.activities[7]),
        entities=(*document.entities[:7], entity, document.entities[8]),
    )
    text = preview(
        hostile,
        replace(MANIFEST, title=bad, notebook=bad, license="javascript:alert(1)"),
        [bad],
        [Picture(entity, LOOK)],
    )
    page = Page(text)
    assert page.open == []
    assert [a for tag, a in page.tags if tag == "script" or "onerror" in a] == []
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    links = [a["href"] for tag, a in page.tags if tag == "a" and a.get("href")]
    assert not any(link.startswith("javascript:") for link in links if link)


def test_the_lineage_is_drawn_unless_it_has_too_many_calls(document: Document) -> None:
    page = Page(preview(document, MANIFEST))
    assert [attributes.get("role") for tag, attributes in page.tags if tag == "svg"] == ["img"]
    assert "changed: n.ms, state 2 of 3" in page.text
    assert page.open == []
    many = replace(document, activities=document.activities * (MOST_DRAWN // 8 + 1))
    assert "svg" not in [tag for tag, _ in Page(preview(many, MANIFEST)).tags]


def test_a_picture_is_a_png_of_its_pixels() -> None:
    import base64

    data = base64.b64decode(png_address(LOOK).partition(",")[2])
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    at = data.index(b"IDAT")
    size = struct.unpack(">I", data[at - 4 : at])[0]
    assert zlib.decompress(data[at + 4 : at + 4 + size]) == b"\0" + LOOK.pixels[:3] + b"\0" + LOOK.pixels[3:]


def test_images_come_first_and_beams_not_at_all(document: Document) -> None:
    psf = replace(document.entities[-2], id="20260501-a1b2/e0010", path="cube.psf", generated_by=None)
    assert [e.path for e in shown_images(replace(document, entities=(*document.entities, psf)))] == [
        "cube.image",
        "mom0.fits",
    ]


def test_the_page_of_the_crate_is_its_own_until_others_replace_it(tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    items = choose_payload(made.document, made.folders, PayloadPolicy(), measure=measure)
    pack(
        made.document,
        notebook=made.notebook,
        journal=made.journal,
        items=items,
        out=tmp_path / "x.zip",
        preview=preview,
    )
    assert b"<h1>" in zipfile.ZipFile(tmp_path / "x.zip").read("ro-crate-preview.html")
    assert examine_crate(tmp_path / "x.zip").strict().errors == ()
    folder = open_crate(tmp_path / "x.zip", tmp_path / "crate").folder
    (folder / "ro-crate-preview.html").write_text("<h1>Ours</h1>")
    findings = examine_folder(folder)
    assert findings.errors == ()
    assert str(findings.notes[0]) == "ro-crate-preview.html: It was replaced by others."


def test_final_images_are_no_models_residuals_weights_or_masks(document: Document) -> None:
    image = next(entity for entity in document.entities if entity.path == "cube.image")
    names = ("a.residual", "a.model.tt0", "a.psf", "a.mask", "a.pb.tt0", "a.image.pbcor", "moment")
    others = tuple(replace(image, id=f"{image.session}/x{n}", path=name) for n, name in enumerate(names))
    made = tuple(Usage(entity=other.id) for other in others)
    calls = tuple(
        replace(a, generated=(*a.generated, *(made if a.id == image.generated_by else ()))) for a in document.activities
    )
    found = final_images(replace(document, activities=calls, entities=(*document.entities, *others)))
    assert [entity.path for entity in found] == ["cube.image", "a.image.pbcor", "moment"]
