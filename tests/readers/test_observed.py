"""Headers of real data, each with its traps, say what was observed."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from casaprov.readers.observed import observed


def unpacked(observations: Path, name: str, into: Path) -> Path:
    (archive,) = (observations / name).glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
    return into / archive.name.removesuffix(".tar.gz")


@pytest.mark.observations
def test_an_alma_measurement_set_carries_its_uids(observations: Path, tmp_path: Path) -> None:
    (found,) = observed(unpacked(observations, "alma_x5707_ms", tmp_path))
    # Three fields are listed, one was observed.
    assert (found.target_name, found.s_ra, found.s_dec) == ("GAMA567624", 212.5595, -0.57853003)
    assert found.identifiers == {
        "asdm_uid": "uid://A002/Xca5b1c/X5707",
        "project_uid": "uid://A001/X1221/X673",
        "sb_uid": "uid://A001/X1273/X6f6",  # obsUnitSetUID holds the project: no member_ous_uid
    }
    assert found.sources["t_min"] == "MAIN.TIME ± INTERVAL/2"
    assert (found.t_min, found.t_max) == pytest.approx((58193.2353, 58193.2381), abs=1e-4)
    assert (found.pol_states, found.calib_level, found.observer) == ("/XX/YY/", 1, "")


@pytest.mark.observations
def test_an_observer_is_read_only_if_asked_for(observations: Path, tmp_path: Path) -> None:
    folder = unpacked(observations, "evla_tdem0003_ms", tmp_path)
    assert observed(folder)[0].observer == ""
    (found,) = observed(folder, with_observer=True)
    assert (found.observer, found.sources["observer"]) == ("Mark J. Mark Claussen", "OBSERVATION.OBSERVER")


@pytest.mark.observations
def test_a_uvfits_of_the_vlba_has_the_project_for_the_observer(observations: Path) -> None:
    (found,) = observed(observations / "vlba_m87_2006" / "mojave.uvfits", with_observer=True)
    assert (found.proposal_id, found.sources["proposal_id"], found.observer) == ("BL137", "PRIMARY OBSERVER", "")
    assert (found.target_name, found.facility_name, found.pol_states) == ("1228+126", "VLBA", "/RR/LL/RL/LR/")
    assert (found.em_min, found.em_max) == pytest.approx((299792458 / 8.11645875e9, 299792458 / 8.10045875e9))


@pytest.mark.observations
def test_a_telescope_that_cannot_be_is_not_believed(observations: Path) -> None:
    (found,) = observed(observations / "eht_m87" / "SR1_M87_2017_101_lo.uvfits")
    assert (found.facility_name, found.target_name) == ("", "M87")
    assert found.note == "PRIMARY TELESCOP says VLBA, and VLBA receives no 226.1 GHz."
    # Its times are two parameters, of which the first alone has a quarter of a day as its last digit.
    assert (found.t_min, found.t_max) == pytest.approx((57854.0222, 57854.3109), abs=1e-4)


def test_a_uvfits_has_a_row_for_each_source(ngc5921_fits: Path) -> None:
    found = observed(ngc5921_fits)
    assert [row.target_name for row in found] == ["1331+30500002_0", "1445+09900002_0", "N5921_2"]
    assert {row.facility_name for row in found} == {"VLA"}
    assert (found[2].s_ra, found[2].s_dec) == pytest.approx((230.5, 5.0666667))
    assert found[0].proposal_id == ""  # OBSERVER is TEST, which is no project
    assert found[2].sources["target_name"] == "AIPS SU.SOURCE"


def test_an_old_uvfits_has_its_position_in_j2000(ngc5921_fits: Path) -> None:
    (found,) = observed(ngc5921_fits.with_name("3C273XC1.fits"))
    assert (found.s_ra, found.s_dec) == pytest.approx((187.27791, 2.05238), abs=1e-4)
    assert found.proposal_id == "AO88"
    assert found.t_min == pytest.approx(47704.044, abs=1e-3)


def test_a_casa_image_says_what_it_shows(casadata_path: Path) -> None:
    (found,) = observed(casadata_path / "nrao" / "VLA" / "CalModels" / "3C286_L.im")
    assert (found.target_name, found.facility_name, found.dataproduct_type) == ("1331+305", "VLA", "image")
    assert (found.s_ra, found.s_dec) == pytest.approx((202.784533, 30.509155), abs=1e-5)
    assert found.t_min is None  # a model of no day
    assert found.calib_level is None


def idi(path: Path) -> Path:
    """Write a FITS-IDI file with two sources and two bands, as JIVE's correlator does."""
    geometry = fits.BinTableHDU.from_columns([fits.Column("ANNAME", "8A", array=["EF", "WB"])], name="ARRAY_GEOMETRY")
    geometry.header["ARRNAM"] = "EVN"
    sources = fits.BinTableHDU.from_columns(
        [
            fits.Column("SOURCE_ID", "1J", array=[1, 2]),
            fits.Column("SOURCE", "16A", array=["3C84", "J1848+3219"]),
            fits.Column("RAEPO", "1D", array=[49.950667, 282.092033]),
            fits.Column("DECEPO", "1D", array=[41.511695, 32.317389]),
            fits.Column("EQUINOX", "8A", array=["J2000", "J2000"]),
        ],
        name="SOURCE",
    )
    frequency = fits.BinTableHDU.from_columns(
        [
            fits.Column("FREQID", "1J", array=[1]),
            fits.Column("BANDFREQ", "2D", array=np.array([[0.0, 16e6]])),
            fits.Column("TOTAL_BANDWIDTH", "2E", array=np.array([[16e6, 16e6]])),
        ],
        name="FREQUENCY",
    )
    data = fits.BinTableHDU.from_columns(
        [
            fits.Column("DATE", "1D", array=[2456960.5] * 3),
            fits.Column("TIME", "1D", array=[0.5, 0.6, 0.7]),
            fits.Column("INTTIM", "1E", array=[2.0] * 3),
            fits.Column("SOURCE", "1J", array=[1, 2, 1]),
            fits.Column("FREQID", "1J", array=[1] * 3),
        ],
        name="UV_DATA",
    )
    cards = {
        "OBSCODE": "N14C3",
        "NO_STKD": 2,
        "STK_1": -1,
        "NO_CHAN": 16,
        "REF_FREQ": 4.9e9,
        "CHAN_BW": 1e6,
        "REF_PIXL": 1.0,
    }
    data.header.update(cards | {"OBSERVER": "A. Person"})
    fits.HDUList([fits.PrimaryHDU(), geometry, sources, frequency, data]).writeto(path)
    return path


def test_a_fits_idi_has_the_project_in_obscode(tmp_path: Path) -> None:
    first, second = observed(idi(tmp_path / "n14c3_1_1.IDI1"))
    assert [row.target_name for row in (first, second)] == ["3C84", "J1848+3219"]
    assert (first.proposal_id, first.sources["proposal_id"], first.facility_name) == ("N14C3", "UV_DATA OBSCODE", "EVN")
    assert first.t_min == pytest.approx(56960.5 - 1 / 86400)
    assert first.t_max == pytest.approx(56960.7 + 1 / 86400)
    assert first.pol_states == "/RR/LL/"
    assert first.em_max == pytest.approx(299792458 / 4.8995e9)
    assert first.em_min == pytest.approx(299792458 / 4.9315e9)
    assert second.s_ra == 282.092033


def test_a_fits_image_has_its_own_headers(tmp_path: Path) -> None:
    cards = {
        "CTYPE1": "RA---SIN",
        "CRVAL1": 187.5,
        "CTYPE2": "DEC--SIN",
        "CRVAL2": 12.0,
        "CTYPE3": "FREQ",
        "CRVAL3": 1.4e9,
    }
    cards |= {"CDELT3": 1e6, "CRPIX3": 1.0, "CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0, "CRPIX4": 1.0}
    cards |= {
        "RADESYS": "FK5",
        "EQUINOX": 2000.0,
        "OBJECT": "M87",
        "TELESCOP": "VLA",
        "DATE-OBS": "2017-04-11T12:00:00.5",
    }
    unit = fits.PrimaryHDU(np.zeros((1, 4, 2, 2), np.float32))
    unit.header.update(cards)
    unit.writeto(tmp_path / "n.fits")
    (found,) = observed(tmp_path / "n.fits")
    assert (found.target_name, found.dataproduct_type, found.pol_states) == ("M87", "cube", "/I/")
    assert found.t_min == pytest.approx(57854.5, abs=1e-4)
    assert (found.em_min, found.em_max) == pytest.approx((299792458 / 1.4035e9, 299792458 / 1.3995e9))


@pytest.mark.observations
def test_other_files_say_nothing(tmp_path: Path, observations: Path) -> None:
    (tmp_path / "text").write_text("SIMPLE")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    shutil.copytree(tmp_path, tmp_path.with_name("folder"))
    (archive,) = (observations / "sma_caltables").glob("*.bcal.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    for name in ("text", "empty.fits", "sma.ms.bcal"):
        assert observed(tmp_path / name) == ()
    assert observed(tmp_path.with_name("folder")) == ()
