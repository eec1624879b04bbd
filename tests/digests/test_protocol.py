"""The digest protocol, version 1, frozen: literal digests, and the documentation computed a second time.

A digest that changes here has changed for every record that was ever written.
A new way to compute one needs a new record type; the old one stays as it is.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from casacore import tables as casacore
from hypothesis import given, settings
from hypothesis import strategies as st

import by_the_page
from casaprov.digests.measurement import measure
from casaprov.digests.sketch import Sketch
from casaprov.digests.tree import digest_sketch
from casaprov.hashing import digest_record
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from casaprov.records.values import to_json
from checkout import ROOT
from sample_tables import (
    NUMBERS,
    TEXTS,
    ColumnSpec,
    Layout,
    TableSpec,
    layouts,
    model_table,
    tables,
    write,
    written,
)  # fmt: skip

PAGE = ROOT / "docs" / "explanation" / "digests.md"


def _tree(path: Path) -> dict[str, Any]:
    tree = measure(path, CasacoreReader, fits_reader).tree
    assert tree is not None
    return tree


def _digest(path: Path) -> str:
    return measure(path, CasacoreReader, fits_reader).content_digest


# -- literal digests -----------------------------------------------------------------

GOLDEN_SKETCH = "sha256:83398c24aa2dea7ad1eb24c33412c2c2fdebac9e96313a995c16d0075c0ea6bd"
GOLDEN_COLUMNS = {
    "scalar uchar": "sha256:71213810344f7ee756d8eca4851351f588bb3b0f6e4531f59578a2ad5957da4a",
    "array uchar": "sha256:fdece81ed07df78edd77e824b5612d5a23bb55b3a9283fca04eec17d6b9040f1",
    "scalar short": "sha256:efd6c29b2d65017bc756b75f0e285d02d840e6deff2d6d2d4654fd4d7fe55f5a",
    "array short": "sha256:7ceed9758d85fa7b15eacaeb32f9b8b3488171e0b61a9f8ce2e5aaa5f621d895",
    "scalar int": "sha256:5e0ca0c7f91006938fd7c1459a441c4db02eeafd9e14834ebc2418e9754dd94c",
    "array int": "sha256:b8d4894cc72b0c40d894a47e00494bb817a504182382bab589fd703fdb537ded",
    "scalar uint": "sha256:d66a0e1adf6e074d4be481f0428af77a7ff1b4f9b7e1fac0cbca176439fae4ab",
    "array uint": "sha256:ca654003a786ee993214ec3d1c0135eeac97e1496cab8a2d8f06fd45eb9df65a",
    "scalar int64": "sha256:88806003884801c87d768fa25f4342aca6b55f96a7785f99b0d80c33e6f11196",
    "array int64": "sha256:6a828251cdaede672a06f1999b8ac0bc289ea1476b899fd21852bd07f68ebc6b",
    "scalar float": "sha256:8f752a61c0d11b556b1ec6b2764e203641eb6c76fd38d81e8c8d3f37fd4431f4",
    "array float": "sha256:3a9c4295d1a2e4f9414380f5d81da7aa7faec5740ae511dfbe8c6bf5e9b93285",
    "scalar double": "sha256:d2beb71e14a4e3515000fccc847072035e54620036fc0498f7608c830f9a7dc6",
    "array double": "sha256:e37070bcbea0bb3cbb2209191f7a429b2a14a3df05b3f4b1aed8292eab8ba18f",
    "scalar complex": "sha256:e1c1392a7775874ec9157087ec866b1ad60edc18238c14af759b54cc3cee2b6a",
    "array complex": "sha256:4e509092ce32034e99ca3bf933d780b10a96334c7cfd40901b30f98323d3f902",
    "scalar dcomplex": "sha256:c11b0341b2ee31ed75c0d6b0be1ef0e00ba2fcff8497448a3f46b4105267d747",
    "array dcomplex": "sha256:cf6e4509e5be4e2ba3db0da6b34413a2c69b1d740f8768631adedf18fcbc9eef",
    "scalar boolean": "sha256:498735fcba996bb7bb838013e5d9bc6b6a31b6daed6392e6fe78c4336c701cc2",
    "array boolean": "sha256:da6e8f9df9e4dcc234bd8eca76340a9b9a5327a2673323b19c6d7addbdfe2d21",
    "scalar string": "sha256:d3d1beec0689f6776bc2c560ca56d1ae12d227a484efa1c6ebe27111e10ff83b",
    "array string": "sha256:ce62c40f8942814139c3171e1c2afaba784955ded76acdf994bb886f3ef2c9b3",
    "record": "sha256:024beeb8f0fe00605d41065893787eb025fbd7f6dcd825e06bb3ec950c7d3e08",
}
GOLDEN_MODELS = "sha256:e810d5522e5c37aa56359c51b77fc480f2f9264f80f5dffffc8dcef45756f442"
GOLDEN_MODEL_KEYWORDS = "sha256:7b6ced4851217bbc4d7d449fc34e859b6efa22e173d6793b56f3efc516f5367a"
GOLDEN_MODEL_TABLE = "sha256:4d631301c4330bf2dfb02321838086b0d3ca90db6793969c2885891c1902e129"
GOLDEN_KEYWORDS = "sha256:be5e1d9ed3423e43310cd9a71bf7283feb51506167cf514cb6acbb90275b7a85"
GOLDEN_COLUMN_KEYWORDS = "sha256:79a868f9a52bed78f680c0ad716432f58e6be99a339ee5362cc4d979ac3b40e6"
GOLDEN_TABLE = "sha256:4ff97289e8f05ba7843877a1d99afeaa75aea3dcb7099004338ee4d5a1ec8346"

GOLDEN_UNITS = [
    (
        "PRIMARY",
        "sha256:d149b246661dde9a8f75904c8f34749e35bf2ee59682b81fe8125c7298a391a5",
        "sha256:c2d32354f6385d44f4294ddb65e85020e6487e2f91225a993c783a65f271f891",
    ),
    (
        "AIPS AN",
        "sha256:367f04fc570febdefa67406f207cf2af287c3dc236b15caf444a07acb507f7ad",
        "sha256:5959096f0b8f58f4cebbec31f6612ef344be79959b74104ec0da452faefbdf08",
    ),
]
GOLDEN_VALUE = "sha256:7acef8b5fc4d6bc71f388522b811d65575b3496512c3fef1c964d0908ff180e3"
GOLDEN_FITS = "sha256:cccc58fe361c68bc24ba2c1c219c5022ea3a2531b57186c40659c8870670ef1a"
GOLDEN_MEMBERS = {
    "FLAG_VERSION_LIST": "sha256:1e5b5423329333bf4ed517a3498605d70bf9377ea604bb28e1e8c4a8693578d7",
    "flags.v1": "sha256:7c982ae9329a90ad2573a8f83e5e8589ca613695c26b9cc0919c19392c54a0f9",
    "sub/note": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "to a file": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "to a folder": "sha256:109f0014b923100fb2ea7f2908a20b3d156ce9f02334bbb57a09d013586f21e6",
    "to nothing": "sha256:92ebb577e1e7c466bc2f568bce7afbab8172559cd195954e48bb4e9e5c4792b6",
}
GOLDEN_FOLDER = "sha256:c615096062897c6127d2fae7bfafa741b5a52daad46faf25d475e8d352dc2dee"

KEYWORDS: dict[str, Any] = {
    "bool": True,
    "int": -3,
    "long": 2**40,
    "real": 0.1,
    "large": 1e22,
    "small": 1e-7,
    "minus zero": -0.0,
    "nan": float("nan"),
    "minus infinity": float("-inf"),
    "complex": 1 - 2j,
    "text": 'Grüße, "日本"\n\t\\\x01',
    "path": "/home/somebody/x.ms/",
    "unit": "/beam",
    "bools": np.array([True, False]),
    "ints": np.array([[1, 2, 3], [4, 5, 6]]),
    "reals": np.array([0.1, np.inf]),
    "single": np.array([0.1], "float32"),
    "complexes": np.array([1 + 0.5j]),
    "texts": ["a", "", "/data/y.im"],
    "empty": np.zeros((0, 3)),
    "record": {"inner": {"deep": [1]}, "none": {}},
}


def _golden_table(folder: Path) -> Path:
    """Each type as a scalar, and as arrays of one, two and no members, with an undefined cell between them."""
    columns = []
    for kind in (*NUMBERS, "boolean", "string"):
        first, second = _golden_values(kind)
        columns.append(
            ColumnSpec(
                f"scalar {kind}",
                kind,
                "scalar",
                (first.reshape(()), second.reshape(()), first.reshape(()), first.reshape(())),
            )
        )
        columns.append(
            ColumnSpec(
                f"array {kind}", kind, "variable",
                (first.reshape(1), None, np.concatenate([first, second]).reshape(1, 2), first[:0].reshape(0, 3)),
            )
        )  # fmt: skip
    path = write(folder, TableSpec(4, tuple(columns), KEYWORDS), Layout("golden.ms"))
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.addcols(casacore.maketabdesc([casacore.makescacoldesc("record", {}, valuetype="record")]))
        table.putcell("record", 1, {"flux": 2.5, "shape": {"type": "point"}, "names": ["a", "é"]})
        table.putcolkeywords("scalar double", {"QuantumUnits": ["s"], "MEASINFO": {"type": "epoch", "Ref": "UTC"}})
        table.putcolkeywords("array complex", {"UNIT": "Jy"})
    return path


def _golden_values(kind: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if kind == "string":
        return np.array(["3C286"], object), np.array(["Grüße 日本"], object)
    if kind == "boolean":
        return np.array([True]), np.array([False])
    dtype = np.dtype(NUMBERS[kind])
    counted = np.arange(1, dtype.itemsize + 1, dtype=np.uint8)
    return counted.view(dtype.newbyteorder("<")).astype(dtype), counted[::-1].copy().view(
        dtype.newbyteorder("<")
    ).astype(dtype)


def test_golden_digests_of_columns_of_each_type(tmp_path: Path) -> None:
    node = _tree(_golden_table(tmp_path))["table"]
    assert {name: column["digest"] for name, column in node["columns"].items()} == GOLDEN_COLUMNS


def test_golden_digests_of_keywords_and_of_a_table(tmp_path: Path) -> None:
    node = _tree(_golden_table(tmp_path))["table"]
    assert node["keywords"] == GOLDEN_KEYWORDS
    assert node["columns"]["scalar double"]["keywords"] == GOLDEN_COLUMN_KEYWORDS
    assert node["digest"] == GOLDEN_TABLE


def test_golden_digests_of_shapes(tmp_path: Path) -> None:
    columns = _tree(_golden_table(tmp_path))["table"]["columns"]
    found = {name.partition(" ")[0]: column["shapes"] for name, column in columns.items() if "shapes" in column}
    assert found == {
        "scalar": "sha256:0af34c179f92adc23680dba17dfff225fefdb5d9ff9ac3b1f75500f15f0a3973",
        "array": "sha256:ee0b2bd7ab4ac1aa8cb3f5b20ded828a93403d800ae90c724cacf61196cd01f3",
    }
    assert found["array"] == by_the_page.H("casaprov/shapes/1", [[1, [1]], [1, None], [1, [2, 1]], [1, [3, 0]]])


def test_golden_digest_of_a_sketch() -> None:
    written = {
        "count": 2, "nan": 0, "min": 1.0, "max": 2.5, "mean": 1.75, "rms": 1.9039432764659772,
        "mean_re": 1.25, "mean_im": None, "samples": [[1.0, 0.0], None],
        "linear": {
            "count": 4, "not_finite": 1, "places": "2f1c", "stored": "<i4", "step": 0.25, "data": "eJxjYGBg",
        },
    }  # fmt: skip
    values = digest_record("casaprov/value/1", 1)
    found = digest_sketch(values, Sketch.from_json(written))
    assert found == by_the_page.H("casaprov/sketch/1", values, written) == GOLDEN_SKETCH


def test_golden_digests_of_virtual_models(tmp_path: Path) -> None:
    path = model_table(tmp_path)
    node = _tree(path)["table"]
    assert node["columns"]["SOURCE_MODEL"]["digest"] == GOLDEN_MODELS
    assert node["keywords"] == GOLDEN_MODEL_KEYWORDS
    assert set(node["tables"]) == {"SOURCE_MODEL/1/ft_0/container/diskimage", "model_0/ft_0/container/subftm/diskimage"}
    assert node["digest"] == by_the_page.product(path) == GOLDEN_MODEL_TABLE


def _golden_fits(folder: Path) -> Path:
    """An image, and a table with rubbish behind the NUL of a string."""
    image = fits.PrimaryHDU(np.arange(6, dtype=">f4").reshape(2, 3))
    for keyword, value in (("BUNIT", "Jy/beam"), ("CRVAL1", 1.5), ("N", 3), ("OK", True), ("DATE", "2026-05-01")):
        image.header[keyword] = value
    image.header["MEMAVAIL"] = 18.4
    image.header["HISTORY"] = "CASA START LOGTABLE"
    columns = [
        fits.Column("ANNAME", "8A", array=["VA01xxxx", "VA02"]),
        fits.Column("STABXYZ", "3D", array=np.arange(6.0).reshape(2, 3)),
    ]
    path = folder / "golden.fits"
    fits.HDUList([image, fits.BinTableHDU.from_columns(columns, name="AIPS AN")]).writeto(path)
    path.write_bytes(path.read_bytes().replace(b"VA01xxxx", b"VA01\0xyz"))
    return path


def _golden_folder(folder: Path) -> Path:
    """Files, a table, links and a list of flag versions."""
    root = folder / "golden.ms.flagversions"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "note").write_bytes(b"abc")
    (root / "table.lock").write_bytes(b"left out")
    (root / "FLAG_VERSION_LIST").write_text("v1 : before lunch\nv2 : autosave on 2026-05-01 10:00:00 \n")
    cells = (np.array(1.0), np.array(2.0))
    write(root, TableSpec(2, (ColumnSpec("TIME", "double", "scalar", cells),)), Layout("flags.v1"))
    (root / "to a file").symlink_to("sub/note")
    (root / "to a folder").symlink_to("sub")
    (root / "to nothing").symlink_to("/somewhere/else/gone")
    return root


def test_golden_digests_of_a_fits_file(tmp_path: Path) -> None:
    path = _golden_fits(tmp_path)
    units = [(unit["name"], unit["header"], unit["data"]) for unit in _tree(path)["hdus"]]
    assert units == GOLDEN_UNITS
    assert _digest(path) == GOLDEN_FITS


def test_golden_digests_of_a_folder_and_its_links(tmp_path: Path) -> None:
    path = _golden_folder(tmp_path)
    assert _tree(path)["members"] == GOLDEN_MEMBERS
    assert _digest(path) == GOLDEN_FOLDER


def test_golden_digest_of_what_a_task_returned() -> None:
    returned = {
        "max": np.array([1.5, np.nan]), "flagged": 3, "ok": True, "blc": (0, 0), "unit": "Jy/beam", "corr": 1 + 2j,
        "none": None, "n": np.int64(5), 0: b"\x00\xff",
    }  # fmt: skip
    assert digest_record("casaprov/value/1", to_json(returned)) == GOLDEN_VALUE == by_the_page.returned(returned)


def test_every_record_type_of_the_code_is_on_the_page_and_has_a_golden_digest() -> None:
    written_types = {
        found
        for source in (ROOT / "casaprov").rglob("*.py")
        for found in re.findall(r"digest_record\(\s*\"(casaprov/[a-z-]+/\d+)\"", source.read_text())
    }
    here = ("column", "directory", "fits", "fits-header", "keywords", "link", "table", "value", "values")
    tiers = ("column-samples", "file-samples", "stamps")
    of_sketches = {"casaprov/shapes/1", "casaprov/sketch/1"}
    # Each has a literal digest in this file, those of the tier fast in test_tier.py.
    of_models = {"casaprov/column/2", "casaprov/keywords/2"}
    # Keys of results are digests of no content: nothing is compared by them but themselves.
    of_keys = ("action-key", "arguments", "contents", "function-code", "read-columns", "task-spec")
    written_types -= {f"casaprov/{name}/1" for name in of_keys}
    assert written_types == {f"casaprov/{name}/1" for name in (*here, *tiers)} | of_models | of_sketches
    assert written_types == set(re.findall(r"H\[\"(casaprov/[a-z-]+/\d+)\"", PAGE.read_text()))


# -- the page, computed a second time --------------------------------------------------

KEYWORD_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats()
    | st.complex_numbers()
    | st.sampled_from((*TEXTS, "/a/b", "/a/b/", "/beam", "//", "/a\n/b", "a/b", "Jy"))
    | st.lists(st.floats(), min_size=1, max_size=3).map(np.array)
    | st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(("a", "B", "é", "_x")), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60)
@given(st.data(), st.dictionaries(st.sampled_from(("KEY", "units", "Z", "é")), KEYWORD_VALUES))
def test_any_table_has_the_digest_that_the_page_says(data: st.DataObject, keywords: dict[str, Any]) -> None:
    spec = data.draw(tables())
    spec = TableSpec(spec.rows, spec.columns, keywords)
    with written(spec, data.draw(layouts(spec))) as path:
        assert _digest(path) == by_the_page.product(path)


@pytest.mark.parametrize("make", [_golden_table, _golden_fits, _golden_folder], ids=["table", "FITS", "folder"])
def test_the_golden_digests_are_what_the_page_says(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    assert _digest(path) == by_the_page.product(path)


@pytest.mark.observations
@pytest.mark.parametrize(
    "name",
    [
        "alma_x5707_ms/X5707_1spw_1scan_10chan_1time_1bl_noatm.ms.tar.gz",
        "evla_tdem0003_ms/day2_TDEM0003_10s_norx_1src_1spw.ms.tar.gz",
        "sma_caltables/sma.ms.dterms.pcal.tar.gz",
        "atca_miriad/atca_miriad.tar.gz",
    ],
)
def test_real_observations_have_the_digests_that_the_page_says(observations: Path, tmp_path: Path, name: str) -> None:
    with tarfile.open(observations / name) as packed:
        packed.extractall(tmp_path, filter="data")
    (path,) = (path for path in tmp_path.iterdir() if not path.name.startswith("._"))
    assert _digest(path) == by_the_page.product(path)


@pytest.mark.observations
def test_real_uvfits_files_have_the_digests_that_the_page_says(observations: Path) -> None:
    path = observations / "vlba_m87_2006" / "mojave.uvfits"
    assert _digest(path) == by_the_page.product(path)


def test_images_and_tables_of_casa_have_the_digests_that_the_page_says(casadata_path: Path) -> None:
    for name in ("nrao/VLA/CalModels/3C286_X.im", "geodetic/Observatories", "ephemerides/Sources"):
        assert _digest(casadata_path / name) == by_the_page.product(casadata_path / name)
