"""VOTables for archives: read back by astropy and pyvo, which nobody here wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from astropy.io.votable import parse
from pyvo.dal.adhoc import DatalinkResults

from casaprov.cli.commands import main
from casaprov.cli.crates import write_descriptions
from casaprov.descriptions.observed_rows import OBSCORE
from casaprov.records.model import Document, Identifier, Locator, Observation
from sample_records import make_reduction, pack_reduction

AT = "https://archive.example.org/n.crate.zip"
DID = "ivo://jive.eu/~?N14C3_3C84"
SEEN = Observation(
    target_name="3C84",
    t_min=56960.5,
    t_max=56960.6,
    em_min=0.06,
    pol_states="/RR/LL/",
    facility_name="EVN",
    proposal_id="N14C3",
    dataproduct_type="visibility",
    calib_level=1,
)


def seen(document: Document, *schemes: tuple[str, str], locators: bool = True) -> Document:
    """Give the input of a document an observation, and identifiers."""
    first, *others = document.entities
    known = [
        Identifier(scheme=scheme, value=value, confidence="stated", time="2026-05-01T00:00:00+00:00")
        for scheme, value in schemes
    ]
    led = (*first.locators, Locator(scheme="vo", value=DID)) if locators else ()
    return replace(
        document,
        entities=(replace(first, identifiers=tuple(known), observations=(SEEN,), locators=led), *others),
    )


def tables(folder: Path, *schemes: tuple[str, str], locators: bool = True) -> tuple[Any, list[Any]]:
    """Return the rows of ObsCore and those of DataLink for a crate."""
    reduction = make_reduction(folder / "nb")
    reduction = replace(reduction, document=seen(reduction.document, *schemes, locators=locators))
    packed = pack_reduction(reduction, folder / "n.zip")
    wanted = {"obscore": folder / "rows.xml", "datalink": folder / "links.xml"}
    write_descriptions(packed, wanted, AT)
    rows = parse(folder / "rows.xml", verify="exception").get_first_table()
    return rows, list(DatalinkResults(parse(folder / "links.xml", verify="exception")))


def test_each_product_is_a_row_with_the_facts_of_the_data_that_it_came_from(tmp_path: Path) -> None:
    table, _ = tables(tmp_path, ("ivoid", DID))
    assert [(field.name, field.utype) for field in table.fields] == [(c.name, c.utype) for c in OBSCORE]
    rows = {row["obs_publisher_did"].partition("#")[2]: row for row in table.to_table()}
    assert set(rows) == {"products/cube.image/", "products/mom0.fits"}
    image = rows["products/cube.image/"]
    assert (image["target_name"], image["facility_name"], image["proposal_id"]) == ("3C84", "EVN", "N14C3")
    assert (image["calib_level"], image["pol_xel"], image["t_min"]) == (3, 2, 56960.5)
    assert (image["access_url"], image["access_format"]) == (AT, "application/zip")
    assert image["access_estsize"] == -(-(tmp_path / "n.zip").stat().st_size // 1000)
    assert all(table.array.mask[name].all() for name in ("s_ra", "s_fov", "em_max", "s_xel1"))


def test_the_crate_is_a_derivation_of_its_inputs_and_they_its_progenitors(tmp_path: Path) -> None:
    _, links = tables(tmp_path, ("ivoid", DID), ("doi", "10.5281/zenodo.12"))
    found = {(str(row["ID"]), row.semantics, str(row["access_url"])) for row in links}
    assert found == {
        (AT, "#this", AT),
        (AT, "#progenitor", "https://example.org/N.fits"),
        (DID, "#derivation", AT),
        ("doi:10.5281/zenodo.12", "#derivation", AT),
        ("https://example.org/N.fits", "#derivation", AT),
    }
    (this,) = (row for row in links if row.semantics == "#this")
    assert int(this["content_length"]) == (tmp_path / "n.zip").stat().st_size


@pytest.mark.parametrize(
    ("scheme", "value", "address"),
    [
        ("ivoid", DID, DID),
        ("doi", "10.5281/zenodo.12<x>", "https://doi.org/10.5281/zenodo.12%3Cx%3E"),
        ("bibcode", "1996A&A...300..1A", "https://ui.adsabs.harvard.edu/abs/1996A%26A...300..1A"),
    ],
)
def test_an_input_without_an_address_is_reached_by_its_identifier(
    tmp_path: Path, scheme: str, value: str, address: str
) -> None:
    _, links = tables(tmp_path, (scheme, value), locators=False)
    assert [str(row["access_url"]) for row in links if row.semantics == "#progenitor"] == [address]


def test_without_an_address_the_crate_has_the_name_of_its_file(tmp_path: Path) -> None:
    packed = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "my crate é.zip")
    write_descriptions(packed, {"datalink": tmp_path / "links.xml"})
    this, *_ = DatalinkResults(parse(tmp_path / "links.xml", verify="exception"))
    assert str(this["access_url"]) == "my%20crate%20%C3%A9.zip"


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "n.ipynb", "-o", "n.zip", "--datalink", "l.xml", "--at", "ftp://x"]) == 2
    assert "no address of a page" in capsys.readouterr().err
