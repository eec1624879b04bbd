"""A token that goes on in the next card or line is found, and masked piece by piece."""

from __future__ import annotations

import io
import random
import string
from pathlib import Path

import pytest
from astropy.io import fits

from casaprov.privacy.masks import Masks, mask_of
from casaprov.privacy.scan import Packing, remaining, scan
from casaprov.privacy.secrets import TOKEN
from sample_records import make_reduction

RANDOM = random.Random(3)
SECRET = "ghp" + "_" + "".join(RANDOM.choice(string.ascii_letters + string.digits) for _ in range(35)) + "7"
NAME, TABLE = "products/x.fits", "products/n.ms/HISTORY/table.f0"


def fits_file(*cards: tuple[str, str]) -> bytes:
    """Return a FITS file with these cards: astropy lets a text that is too long go on in the next."""
    unit = fits.PrimaryHDU()
    for name, text in cards:
        unit.header[name] = text
    file = io.BytesIO()
    unit.writeto(file)
    return file.getvalue()


def prefixed(text: str) -> bytes:
    return len(text).to_bytes(4, "big") + text.encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *((NAME, fits_file((card, "-" * (72 - cut) + SECRET + " end"))) for card in ("HISTORY", "COMMENT") for cut in (2, 20, 39)),
        (NAME, fits_file(("HISTORY", SECRET[:20]), ("HISTORY", SECRET[20:]))),
        (NAME, fits_file(("HISTORY", SECRET[:20]), ("HISTORY", ">" + SECRET[20:]))),
        (NAME, fits_file(("ORIGIN", "-" * 50 + SECRET))),
        (TABLE, b"\0\x07 " + SECRET[:9].encode() + b"\n" + SECRET[9:].encode() + b" end\0"),
        (TABLE, b"\0" * 40 + prefixed("token " + SECRET[:30]) + prefixed(SECRET[30:] + " end") + b"\0" * 40),
    ],
)  # fmt: skip
def test_a_split_token_is_found_and_masked_in_its_place(name: str, data: bytes, tmp_path: Path) -> None:
    assert SECRET.encode() not in data
    made = make_reduction(tmp_path / "nb")
    file = tmp_path / "file"
    file.write_bytes(data)
    packing = Packing(document=made.document, notebook=made.notebook.read_bytes(), files={name: file})
    (finding,) = scan(packing, {})
    assert (finding.secret.value, finding.places) == (SECRET, (name,))
    new = Masks(frozenset({SECRET})).binary(data, wrapped=True)
    assert len(new) == len(data)
    file.write_bytes(new)
    assert scan(packing, {}) == remaining(packing, [SECRET]) == ()
    kept = [(old, new) for old, new in zip(data, new, strict=True) if old != new]
    assert len(kept) >= len(SECRET) - 3  # some letters may be those of the mask
    if name == NAME:
        with fits.open(file) as opened:
            text = "".join(map(str, opened[0].header.values())).replace("\n", "").replace(">", "")
        assert mask_of(SECRET) in text


def test_texts_that_fill_a_card_are_no_part_of_the_next(tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    file = tmp_path / "file"
    data = fits_file(("HISTORY", "-" * 32 + SECRET), ("HISTORY", "imfit done"))
    file.write_bytes(data)
    packing = Packing(document=made.document, notebook=made.notebook.read_bytes(), files={NAME: file})
    (finding,) = scan(packing, {})
    assert finding.secret.value == SECRET
    assert b"HISTORY imfit done" in Masks(frozenset({SECRET})).binary(data, wrapped=True)


@pytest.mark.parametrize(
    "cards",
    [
        ("mask-of-the-inner-quarter", "-and-of-the-outer-three"),
        ("hf_", "selfcal_round_2_with_a_long_name_of_an_image"),
        ("sha256:" + "0123456789abcdef" * 4, "uid://A002/X12345/X678"),
        ("SG.", "see the page of the task"),
    ],
)
def test_what_is_no_token_is_not_joined_to_one(cards: tuple[str, str], tmp_path: Path) -> None:
    made = make_reduction(tmp_path / "nb")
    notebook = made.notebook.read_bytes()
    lines = tmp_path / "lines"
    lines.write_bytes(b"\0" + "\n".join(cards).encode() + b"\0")
    header = tmp_path / "header"
    header.write_bytes(fits_file(*(("HISTORY", card) for card in cards)))
    packing = Packing(document=made.document, notebook=notebook, files={NAME: header, TABLE: lines})
    assert scan(packing, {}) == ()
    assert TOKEN.search("ghp_") is None
