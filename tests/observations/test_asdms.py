"""An ASDM's XML tables say what was observed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from casaprov.errors import DigestError
from casaprov.observations.asdms import asdm
from casaprov.readers.asdm_xml import asdm_rows
from casaprov.readers.observed import observed

UID = '<EntityRef entityId="{}" partId="X00000000" entityTypeName="{}" documentVersion="1"/>'
TABLES = {
    "ASDM": "",
    "ExecBlock": "<row><execBlockId>ExecBlock_0</execBlockId><telescopeName>ALMA</telescopeName>"
    "<observerName>A. Person</observerName><sBSummaryId>SBSummary_0</sBSummaryId>"
    f"<execBlockUID> {UID.format('uid://A002/Xca5b1c/X5707', 'ASDM')} </execBlockUID>"
    f"<projectUID>{UID.format('uid://A001/X1/X2', 'ObsProject')}</projectUID></row>",
    "SBSummary": "<row><sBSummaryId>SBSummary_0</sBSummaryId>"
    f"<sbSummaryUID>{UID.format('uid://A001/X1/X3', 'SchedBlock')}</sbSummaryUID>"
    f"<obsUnitSetUID>{UID.format('uid://A001/X1/X4', 'ObsUnitSet')}</obsUnitSetUID></row>",
    "Field": "<row><fieldId>Field_0</fieldId><fieldName>M87</fieldName>"
    "<phaseDir>2 1 2 3.276086511413598 0.21626589533567423</phaseDir></row>",
    "Main": "<row><time>4872823248144000000</time><interval>6000000000</interval><fieldId>Field_0</fieldId>"
    "<configDescriptionId>ConfigDescription_0</configDescriptionId><execBlockId>ExecBlock_0</execBlockId></row>",
    "ConfigDescription": "<row><configDescriptionId>ConfigDescription_0</configDescriptionId>"
    "<dataDescriptionId>1 2 DataDescription_0 DataDescription_1</dataDescriptionId></row>",
    "DataDescription": "<row><dataDescriptionId>DataDescription_0</dataDescriptionId><polOrHoloId>Polarization_0</polOrHoloId>"
    "<spectralWindowId>SpectralWindow_0</spectralWindowId></row><row><dataDescriptionId>DataDescription_1</dataDescriptionId>"
    "<polOrHoloId>Polarization_0</polOrHoloId><spectralWindowId>SpectralWindow_1</spectralWindowId></row>",
    "SpectralWindow": "<row><spectralWindowId>SpectralWindow_0</spectralWindowId><name>SQLD</name><numChan>4</numChan>"
    "<chanFreqStart>1.0E11</chanFreqStart><chanFreqStep>1.0E9</chanFreqStep></row>"
    "<row><spectralWindowId>SpectralWindow_1</spectralWindowId><name>WVR#NOMINAL</name><refFreq>1.83E11</refFreq></row>",
    "Polarization": "<row><polarizationId>Polarization_0</polarizationId><corrType>1 2 XX YY</corrType></row>",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "uid___A002_Xca5b1c_X5707"
    made.mkdir()
    for name, content in TABLES.items():
        (made / f"{name}.xml").write_text(f"<?xml version='1.0'?><{name}Table>{content}</{name}Table>")
    return made


def test_an_execution_block_is_an_observation(folder: Path) -> None:
    (found,) = observed(folder)
    assert (found.target_name, found.facility_name, found.pol_states) == ("M87", "ALMA", "/XX/YY/")
    assert (found.s_ra, found.s_dec) == pytest.approx((187.70593, 12.39112), abs=1e-4)
    assert found.t_min == pytest.approx(56398.41722, abs=1e-4)
    assert round(((found.t_max or 0) - (found.t_min or 0)) * 86400, 2) == 6.0
    # The radiometers' 183 GHz are not of the target.
    assert found.em_min == pytest.approx(299792458 / 103.5e9)
    assert found.identifiers == {
        "asdm_uid": "uid://A002/Xca5b1c/X5707",
        "project_uid": "uid://A001/X1/X2",
        "sb_uid": "uid://A001/X1/X3",
        "member_ous_uid": "uid://A001/X1/X4",
    }
    assert found.sources["asdm_uid"] == "ExecBlock.execBlockUID"
    assert (found.calib_level, found.observer) == (0, "")


def test_a_project_in_the_place_of_the_unit_set_is_no_unit_set(folder: Path) -> None:
    path = folder / "SBSummary.xml"
    path.write_text(path.read_text().replace('"ObsUnitSet"', '"ObsProject"'))
    assert "member_ous_uid" not in asdm(partial(asdm_rows, folder))[0].identifiers


@pytest.mark.parametrize(
    "text", ["<not xml", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a><row><c>&b;</c></row></a>"]
)
def test_a_table_that_is_no_plain_xml_is_refused(folder: Path, text: str) -> None:
    (folder / "Field.xml").write_text(text)
    with pytest.raises(DigestError, match="is no XML"):
        asdm_rows(folder, "Field")
