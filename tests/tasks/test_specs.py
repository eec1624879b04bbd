"""The task tables: complete, true to CASA, and read the way CASA reads names."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.casa.installed import data
from casaprov.errors import RecordError
from casaprov.tasks import specs
from casaprov.tasks.specs import FileUse, load_specs, read_specs
from checkout import ROOT, SUPPORT
from made_once import made_once

SPECS = load_specs()

# Tasks that one of the supported CASA versions has and another has not.
NOT_IN_EVERY_CASA = {"sdimaging", "appendantab", "msuvbinflag", "pccor"}

# casacore rewrites the description of a table it opens for writing; nothing in it changes.
REWRITTEN = {("impbcor", "line.pb"), ("ft", "line.model")}

FILE_NAME = re.compile(
    r"vis|table|image|file|fits|model|mask|complist|asdm|sdm|project|prefix|^out|log|cache|antab|callib|region"
    r"|template|estimates|residual|psf|list$|expr"
)
FILE_TEXT = re.compile(
    r"\b(files?|filenames?|director(y|ies)|image names?|name of [\w ]*(image|table|file|MS|MeasurementSet|dataset)s?)\b",
    re.IGNORECASE,
)
FILE_TYPES = ("string", "path", "any", "variant")


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def roles(uses: tuple[FileUse, ...], cwd: Path) -> dict[str, str]:
    return {use.path.relative_to(cwd).as_posix(): use.role for use in uses}


# -- names --------------------------------------------------------------------


def test_names_are_resolved_as_casa_resolves_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    cwd = tmp_path / "cwd"
    touch(tmp_path / "home/a.ms", tmp_path / "data/b.ms", cwd / "c.ms", tmp_path / "d.ms")
    names = ["~/a.ms", "$DATA/b.ms", "c.ms/", "../d.ms", "missing.ms", ""]
    uses = SPECS["concat"].inputs({"vis": names, "concatvis": "new.ms"}, cwd)
    assert uses == tuple(
        FileUse("used", "vis", tmp_path / path) for path in ("home/a.ms", "data/b.ms", "cwd/c.ms", "d.ms")
    )


def test_relative_names_follow_the_working_directory(tmp_path: Path) -> None:
    touch(tmp_path / "one/a.ms", tmp_path / "two/a.ms")
    for folder in ("one", "two"):
        (use,) = SPECS["listobs"].inputs({"vis": "a.ms"}, tmp_path / folder)
        assert use.path == tmp_path / folder / "a.ms"


def test_symbolic_links_are_not_resolved(tmp_path: Path) -> None:
    touch(tmp_path / "real.ms")
    (tmp_path / "link.ms").symlink_to("real.ms")
    assert roles(SPECS["listobs"].inputs({"vis": "link.ms"}, tmp_path), tmp_path) == {"link.ms": "used"}


def test_rmtables_deletes_what_its_globs_match_now(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("x.gcal", "x.bcal", "y[1].gcal", "keep.ms")))
    uses = SPECS["rmtables"].inputs({"tablenames": ["x*", "y[[]1].gcal"]}, tmp_path)
    assert roles(uses, tmp_path) == {"x.bcal": "deleted", "x.gcal": "deleted", "y[1].gcal": "deleted"}


def test_a_prefix_stands_for_its_images_and_for_nothing_else(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("n.ms", "n.gcal", "n.image", "n.model.tt0", "n.image.tt0.pbcor", "nn.image")))
    parameters = {"vis": "n.ms", "imagename": "n", "restart": True}
    assert roles(SPECS["tclean"].outputs(parameters, tmp_path), tmp_path) == {
        "n.image": "generated",
        "n.model.tt0": "generated",
        "n.image.tt0.pbcor": "generated",
    }


def test_images_that_a_restart_goes_on_from_are_changed(tmp_path: Path) -> None:
    touch(tmp_path / "a.ms", tmp_path / "n.model", tmp_path / "n.mask")
    parameters = {"vis": ["a.ms"], "imagename": "n", "restart": True, "savemodel": "none"}
    expected = {"a.ms": "used", "n.model": "changed", "n.mask": "changed"}
    assert roles(SPECS["tclean"].inputs(parameters, tmp_path), tmp_path) == expected
    parameters["restart"] = False
    assert roles(SPECS["tclean"].inputs(parameters, tmp_path), tmp_path) == {"a.ms": "used"}
    touch(tmp_path / "n_2.image")
    assert "n_2.image" in roles(SPECS["tclean"].outputs(parameters, tmp_path), tmp_path)


def test_a_name_with_glob_characters_is_taken_literally(tmp_path: Path) -> None:
    touch(tmp_path / "n[1].model.tt0", tmp_path / "n1.model.tt0")
    assert roles(SPECS["tclean"].outputs({"imagename": "n[1]"}, tmp_path), tmp_path) == {"n[1].model.tt0": "generated"}


@pytest.mark.parametrize(
    "mask", ["circle[[10pix,10pix],5pix]", "box[[1pix,2pix],[3pix,4pix]]" * 200, "", [[1, 2, 3, 4]]]
)
def test_the_text_of_a_region_is_no_file(tmp_path: Path, mask: Any) -> None:
    parameters = {"mask": mask, "imagename": "n"}
    assert SPECS["tclean"].inputs(parameters, tmp_path) == ()
    assert SPECS["tclean"].map_paths(parameters, tmp_path, lambda _: "moved")["mask"] == mask


def test_masks_are_images_region_files_or_internal_masks_where_these_exist(tmp_path: Path) -> None:
    touch(tmp_path / "m.image", tmp_path / "r.crtf")
    uses = SPECS["tclean"].inputs(
        {"mask": ["r.crtf", ["m.image"], "m.image:mask0", "circle[[1pix,1pix],2pix]"]}, tmp_path
    )
    assert roles(uses, tmp_path) == {"r.crtf": "used", "m.image": "used"}


def test_a_catalogue_name_is_a_file_only_where_there_is_one(tmp_path: Path) -> None:
    parameters = {"vis": "a.ms", "model": "3C286_L.im", "listmodels": False}
    assert SPECS["setjy"].inputs(parameters, tmp_path) == ()
    assert SPECS["setjy"].map_paths(parameters, tmp_path, str)["model"] == "3C286_L.im"
    touch(tmp_path / "3C286_L.im")
    assert roles(SPECS["setjy"].inputs(parameters, tmp_path), tmp_path) == {"3C286_L.im": "used"}


@pytest.mark.parametrize("template", ["get", "J2000", {"csys": {}}])
def test_a_template_that_is_a_word_or_a_record_is_kept(tmp_path: Path, template: Any) -> None:
    mapped = SPECS["imregrid"].map_paths({"imagename": "a.im", "template": template}, tmp_path, str)
    assert mapped == {"imagename": str(tmp_path / "a.im"), "template": template}


def test_images_inside_an_expression_are_found_and_moved(tmp_path: Path) -> None:
    touch(tmp_path / "a b.im", tmp_path / "c.im")
    parameters = {"expr": "'a b.im'*2 + sqrt(c.im)/IM0", "mask": "c.im>0.5"}
    uses = SPECS["immath"].inputs(parameters, tmp_path)
    assert roles(uses, tmp_path) == {"a b.im": "used", "c.im": "used"}
    mapped = SPECS["immath"].map_paths(parameters, tmp_path, lambda path: f"/new/{path.name}")
    assert mapped == {"expr": "'/new/a b.im'*2 + sqrt('/new/c.im')/IM0", "mask": "'/new/c.im'>0.5"}


def test_simulation_names_are_looked_for_in_the_project_too(tmp_path: Path) -> None:
    touch(tmp_path / "sim/sim.alma.ms", tmp_path / "other.ms", tmp_path / "sim/sim.alma.image")
    parameters = {"project": "sim", "vis": "$project.alma.ms,other.ms", "imagename": "default"}
    assert roles(SPECS["simanalyze"].inputs(parameters, tmp_path), tmp_path) == {
        "sim/sim.alma.ms": "changed",
        "sim/sim.alma.image": "changed",
        "other.ms": "used",
    }


def test_a_record_names_an_image_by_its_file(tmp_path: Path) -> None:
    touch(tmp_path / "a.im", tmp_path / "b.im")
    parameters = {"raster": [{"file": "a.im", "scaling": -1}, "b.im"], "out": {"file": "p.png", "dpi": 300}}
    assert set(roles(SPECS["imview"].inputs(parameters, tmp_path), tmp_path)) == {"a.im", "b.im"}
    mapped = SPECS["imview"].map_paths(parameters, tmp_path, lambda path: f"/new/{path.name}")
    assert mapped == {
        "raster": [{"file": "/new/a.im", "scaling": -1}, "/new/b.im"],
        "out": {"file": "/new/p.png", "dpi": 300},
    }


# -- files named inside files ---------------------------------------------------


def test_tables_named_in_a_cal_library_are_used(tmp_path: Path) -> None:
    touch(tmp_path / "a.ms", tmp_path / "b.bcal", tmp_path / "g.gcal", tmp_path / "old.gcal")
    (tmp_path / "lib.txt").write_text(
        "# caltable='old.gcal'\ncaltable='b.bcal' calwt=True\n caltable = 'g.gcal' tinterp='linear'\n"
    )
    parameters = {"vis": "a.ms", "docallib": True, "callib": "lib.txt", "gaintable": ["old.gcal"], "applymode": "trial"}
    expected = {"a.ms", "lib.txt", "b.bcal", "g.gcal"}
    assert set(roles(SPECS["applycal"].inputs(parameters, tmp_path), tmp_path)) == expected
    parameters["docallib"] = False
    assert set(roles(SPECS["applycal"].inputs(parameters, tmp_path), tmp_path)) == {"a.ms", "old.gcal"}


def test_flag_commands_name_files_in_a_file_or_in_the_call(tmp_path: Path) -> None:
    touch(tmp_path / "a.ms", tmp_path / "ants.txt")
    (tmp_path / "cmds.txt").write_text("mode='shadow' addantenna='ants.txt'\nmode='manual' antenna='3'\n")
    common = {"vis": "a.ms", "mode": "list", "action": "apply", "savepars": False, "flagbackup": False}
    files = roles(SPECS["flagdata"].inputs({**common, "inpfile": ["cmds.txt"]}, tmp_path), tmp_path)
    assert files == {"a.ms": "changed", "cmds.txt": "used", "ants.txt": "used"}
    inline = ["mode='shadow' addantenna='ants.txt'"]
    assert roles(SPECS["flagdata"].inputs({**common, "inpfile": inline}, tmp_path), tmp_path) == {
        "a.ms": "changed",
        "ants.txt": "used",
    }
    assert SPECS["flagdata"].map_paths({**common, "inpfile": inline}, tmp_path, str)["inpfile"] == inline


def test_an_outlier_file_names_images_models_and_masks(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("out1.image", "out2.model", "m.crtf", "try.model")))
    (tmp_path / "out.txt").write_text(
        "imagename=out1\nmask=circle[[40pix,40pix],10pix]\nimsize=[80,80]\n#next\nimagename=out2\nmask=m.crtf\nstartmodel=try.model\n"
    )
    parameters = {"imagename": "main", "outlierfile": "out.txt", "restart": True}
    assert roles(SPECS["tclean"].inputs(parameters, tmp_path), tmp_path) == {
        "out1.image": "changed",
        "out2.model": "changed",
        "out.txt": "used",
        "m.crtf": "used",
        "try.model": "used",
    }
    assert "out1.image" in roles(SPECS["tclean"].outputs(parameters, tmp_path), tmp_path)


# -- conditions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "parameters", "role"),
    [
        ("tclean", {"savemodel": "none"}, "used"),
        ("tclean", {"savemodel": "virtual"}, "changed"),
        ("tclean", {"savemodel": "modelcolumn"}, "changed"),
        ("flagdata", {"mode": "summary", "action": "apply"}, "used"),
        ("flagdata", {"mode": "manual", "action": "calculate"}, "used"),
        ("flagdata", {"mode": "tfcrop", "action": "apply"}, "changed"),
        ("flagdata", {"mode": "manual", "action": "", "savepars": True, "outfile": ""}, "changed"),
        ("flagdata", {"mode": "manual", "action": "", "savepars": True, "outfile": "f.txt"}, "used"),
        ("statwt", {"preview": True}, "used"),
        ("statwt", {"preview": False}, "changed"),
        ("setjy", {"listmodels": False}, "changed"),
        ("applycal", {"applymode": "trial"}, "used"),
        ("applycal", {"applymode": ""}, "changed"),
        ("flagmanager", {"mode": "save"}, "used"),
        ("flagmanager", {"mode": "restore"}, "changed"),
        ("vishead", {"mode": "list"}, "used"),
        ("vishead", {"mode": "put"}, "changed"),
        ("virtualconcat", {"keepcopy": True}, "used"),
        ("virtualconcat", {"keepcopy": False}, "deleted"),
        ("fixvis", {"outputvis": "b.ms"}, "used"),
        ("fixvis", {"outputvis": ""}, "changed"),
    ],
)
def test_what_happens_to_the_ms_depends_on_the_other_parameters(
    tmp_path: Path, task: str, parameters: dict[str, Any], role: str
) -> None:
    touch(tmp_path / "a.ms")
    assert roles(SPECS[task].inputs({"vis": "a.ms", **parameters}, tmp_path), tmp_path) == {"a.ms": role}


@pytest.mark.parametrize("append", [True, False])
def test_a_table_that_is_appended_to_is_changed(tmp_path: Path, append: bool) -> None:
    touch(tmp_path / "a.ms", tmp_path / "n.gcal")
    parameters = {"vis": "a.ms", "caltable": "n.gcal", "append": append, "gaintable": [""], "docallib": False}
    expected = {"a.ms": "used"} | ({"n.gcal": "changed"} if append else {})
    assert roles(SPECS["gaincal"].inputs(parameters, tmp_path), tmp_path) == expected
    assert roles(SPECS["gaincal"].outputs(parameters, tmp_path), tmp_path) == {"n.gcal": "generated"}


@pytest.mark.parametrize(("kind", "expected"), [("GSPLINE", {"n.cal", "n.cal.AMP.pol0.log"}), ("G", {"n.cal"})])
def test_the_coefficients_of_splines_belong_to_their_table(tmp_path: Path, kind: str, expected: set[str]) -> None:
    touch(*(tmp_path / name for name in ("n.cal", "n.cal.AMP.pol0.log", "n.cal.log")))
    parameters = {"vis": "a.ms", "caltable": "n.cal", "gaintype": kind}
    assert roles(SPECS["gaincal"].outputs(parameters, tmp_path), tmp_path).keys() == expected


@pytest.mark.parametrize("mask", ["..-", "0~", "..", ".", "/", "~", "../", "x..y-", ".:mask0"])
def test_a_text_that_is_no_name_names_no_folder_around_the_work(
    tmp_path: Path, mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    touch(tmp_path / "a.im")
    used = roles(SPECS["imsmooth"].inputs({"imagename": "a.im", "mask": mask, "region": mask}, tmp_path), tmp_path)
    assert used == {"a.im": "used"}


@pytest.mark.parametrize("vis", ["a.ms", "a.ms/"])
def test_a_flag_backup_goes_beside_the_ms(tmp_path: Path, vis: str) -> None:
    touch(tmp_path / "a.ms", tmp_path / "a.ms.flagversions")
    parameters = {"vis": vis, "mode": "manual", "action": "apply", "flagbackup": True, "savepars": False}
    (use,) = SPECS["flagdata"].outputs(parameters, tmp_path)
    assert use == FileUse("generated", None, tmp_path / "a.ms.flagversions")
    assert roles(SPECS["flagdata"].inputs(parameters, tmp_path), tmp_path)["a.ms.flagversions"] == "changed"
    assert SPECS["flagdata"].outputs({**parameters, "mode": "summary"}, tmp_path) == ()


def test_outputs_without_a_name_get_the_name_casa_gives_them(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("sub/a.im", "a.im_bs", "x.ms", "x.ms.contsub", "uid.ms", "uid_cmd.txt")))
    assert set(roles(SPECS["imbaseline"].outputs({"imagename": "sub/a.im", "linefile": ""}, tmp_path), tmp_path)) == {
        "a.im_bs"
    }
    assert set(roles(SPECS["uvcontsub_old"].outputs({"vis": "x.ms"}, tmp_path), tmp_path)) == {"x.ms.contsub"}
    asdm = {"asdm": "uid", "vis": "", "wvr_corrected_data": "no", "savecmds": True, "outfile": "", "compression": False}
    assert set(roles(SPECS["importasdm"].outputs(asdm, tmp_path), tmp_path)) == {"uid.ms", "uid_cmd.txt"}


def test_what_the_audit_found_is_described(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.ms", "b.ms", "msuvbin.last", "n.pbcor.workdirectory/n.pb.tt0")))
    assert SPECS["setjy"].inputs({"vis": "a.ms", "listmodels": True}, tmp_path) == ()
    binned = SPECS["msuvbin"].inputs({"vis": "a.ms", "outputvis": "b.ms"}, tmp_path)
    assert roles(binned, tmp_path) == {"a.ms": "used", "b.ms": "changed", "msuvbin.last": "changed"}
    corrected = SPECS["widebandpbcor"].outputs({"vis": "a.ms", "imagename": "n", "action": "pbcor"}, tmp_path)
    assert "n.pbcor.workdirectory/n.pb.tt0" in roles(corrected, tmp_path)


def test_effects_follow_the_parameters() -> None:
    assert SPECS["tclean"].effects({"interactive": True}) == {"interactive"}
    assert SPECS["tclean"].effects({"interactive": False}) == frozenset()
    assert SPECS["getephemtable"].effects({}) == {"network"}


# -- map_paths ----------------------------------------------------------------------

names = st.from_regex(r"[a-zA-Z0-9_.][a-zA-Z0-9_. \[\]*+-]{0,12}", fullmatch=True).filter(lambda name: name.strip(". "))
values = st.recursive(
    names
    | st.sampled_from(["", " ", "J2000 19h 40d", "circle[[1pix,2pix],3pix]"])
    | st.integers()
    | st.floats()
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=6,
)


def normalised(value: Any, cwd: Path) -> Any:
    if isinstance(value, str):
        return os.path.normpath(cwd / value) if value.strip() else value
    if isinstance(value, list):
        return [normalised(member, cwd) for member in value]
    return {**value, "file": normalised(value["file"], cwd)} if isinstance(value, dict) and "file" in value else value


@given(value=values)
def test_mapping_every_path_to_itself_only_normalises(value: Any) -> None:
    cwd = Path("/nowhere/at all")
    mapped = SPECS["concat"].map_paths({"vis": value, "dirtol": value}, cwd, str)
    assert repr(mapped) == repr({"vis": normalised(value, cwd), "dirtol": value})


@given(task=st.sampled_from(sorted(SPECS)), value=values)
def test_a_string_that_is_no_file_is_never_changed(task: str, value: Any) -> None:
    spec, cwd = SPECS[task], Path("/nowhere/at all")
    other = dict.fromkeys(("field", "spw", *spec.not_files), value)
    doubtful = {
        entry.parameter: value
        for entry in spec.entries
        if entry.parameter
        and {e.naming for e in spec.entries if e.parameter == entry.parameter} <= {"maybe", "list", "expression"}
    }
    parameters = {**other, **doubtful}
    assert repr(spec.map_paths(parameters, cwd, lambda _: "moved")) == repr(parameters)


@given(task=st.sampled_from(sorted(SPECS)), value=values)
def test_odd_values_are_met_without_an_error(task: str, value: Any) -> None:
    spec, cwd = SPECS[task], Path("/nowhere")
    parameters = dict.fromkeys(spec.parameters, value)
    assert spec.inputs(parameters, cwd) == spec.outputs(parameters, cwd) == ()
    assert spec.map_paths(parameters, cwd, str).keys() == parameters.keys()


def test_on_another_machine_the_record_decides_what_was_a_file(tmp_path: Path) -> None:
    known = {Path("/then/r.crtf")}
    mapped = SPECS["tclean"].map_paths(
        {"vis": "a.ms", "imagename": "out/n", "mask": ["r.crtf", "circle[[1pix,1pix],2pix]"], "field": "a.ms"},
        Path("/then"),
        lambda path: str(tmp_path / path.relative_to("/then")),
        exists=known.__contains__,
    )
    assert mapped == {
        "vis": str(tmp_path / "a.ms"),
        "imagename": str(tmp_path / "out/n"),
        "mask": [str(tmp_path / "r.crtf"), "circle[[1pix,1pix],2pix]"],
        "field": "a.ms",
    }


# -- tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("package = ", "Invalid value"),
        ("[tasks.a]\nused = ['x']", "'package' is missing"),
        ("package = 'p'\n[tasks.a]\nlooks = ['x']", "a: looks is no word of the format"),
        ("package = 'p'\n[tasks.a]\nused = [{ parameter = 'x', if = 3 }]", "a: if is no word of the format"),
        ("package = 'p'\n[tasks.a]\nused = ['perhaps x']", "'perhaps' is no naming"),
        ("package = 'p'\n[tasks.a]\nused = [{ parameter = 'x', family = 'f' }]", "'f' is missing"),
        ("package = 'p'\n[tasks.a]\nused = [{}]", "neither a parameter nor a path"),
        ("package = 'p'\n[tasks.a]\nused = [3]", "not iterable"),
    ],
)
def test_a_broken_table_is_refused_with_its_origin(text: str, expected: str) -> None:
    with pytest.raises(RecordError, match="the entry point 'mine'") as caught:
        read_specs(text, "the entry point 'mine'")
    assert expected in str(caught.value)


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package beside casaprov whose entry point is the given Python source."""

    def install(source: str) -> None:
        (tmp_path / "other_tasks.py").write_text(source)
        info = tmp_path / "other_tasks-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-tasks\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{specs.ENTRY_POINT_GROUP}]\nother = other_tasks:TABLE\n")
        monkeypatch.syspath_prepend(tmp_path)
        load_specs.cache_clear()

    yield install
    sys.modules.pop("other_tasks", None)
    load_specs.cache_clear()


TABLE = "package = 'other'\n[tasks.wsclean]\nused = ['ms']\n"


def test_another_package_adds_its_tasks(other_package: Any, tmp_path: Path) -> None:
    other_package(f"TABLE = {TABLE!r}")
    assert load_specs()["wsclean"].package == "other"
    assert "gaincal" in load_specs()


def test_a_table_may_be_a_file(other_package: Any, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(TABLE)
    other_package("from pathlib import Path\nTABLE = Path(__file__).with_name('t.toml')")
    assert "wsclean" in load_specs()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("TABLE = 'no-such-file.toml'", "cannot be loaded"),
        ("raise RuntimeError('broken')", "broken"),
        (f"TABLE = {TABLE.replace('used', 'uses')!r}", "uses is no word"),
        (f"TABLE = {TABLE.replace('wsclean', 'gaincal')!r}", "describes gaincal, which is described already"),
    ],
)
def test_a_broken_entry_point_is_named(other_package: Any, source: str, expected: str) -> None:
    other_package(source)
    with pytest.raises(RecordError, match=re.escape("'other' (other_tasks:TABLE)")) as caught:
        load_specs()["wsclean"]
    assert expected in str(caught.value)
    assert load_specs()["gaincal"].package == "casatasks"  # nobody needs the other table for that


def test_what_is_read_task_by_task_is_what_the_table_says_as_a_whole() -> None:
    text = (resources.files("casaprov.tasks") / "taskspecs.toml").read_text(encoding="utf-8")
    assert read_specs(text, "the table") == dict(load_specs()) == {task: load_specs()[task] for task in load_specs()}
    assert len(load_specs()) == len(dict(load_specs()))
    assert "no-such-task" not in load_specs()


# -- CASA ---------------------------------------------------------------------------


def task_xml() -> dict[str, dict[str, tuple[str, str]]]:
    """Type and short text of every parameter of every task of the installed CASA."""
    found = importlib.util.find_spec("casatasks")
    if found is None or found.origin is None:
        pytest.skip("casatasks is not installed: pip install -e '.[casa]'")
    space = "{http://casa.nrao.edu/schema/psetTypes.html}"
    tasks = {}
    for file in sorted((Path(found.origin).parent / "__xml__").glob("*.xml")):
        task = ET.parse(file).getroot().find(f"{space}task")
        assert task is not None
        tasks[task.attrib["name"]] = {
            parameter.attrib["name"]: (
                parameter.get("type") or "any",
                " ".join((parameter.findtext(f"{space}shortdescription") or "").split()),
            )
            for parameter in task.iterfind(f"{space}input/{space}param")
        }
    return tasks


@pytest.mark.casa
def test_every_task_of_this_casa_is_described_and_none_besides(casa_site_config: data.DataSource) -> None:
    code = "import casatasks, json; print(json.dumps(casatasks.__all__))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    tasks = set(json.loads(output.splitlines()[-1])) - {"casalog", "version", "version_string"}
    described = {name for name, spec in SPECS.items() if spec.package == "casatasks"}
    assert tasks <= described
    assert described - tasks <= NOT_IN_EVERY_CASA
    assert tasks == task_xml().keys()


@pytest.mark.casa
def test_no_entry_names_a_parameter_that_the_task_has_not() -> None:
    unknown = {}
    for task, parameters in task_xml().items():
        spec = SPECS[task]
        conditions = [entry.when for entry in spec.entries] + [entry.unless for entry in spec.entries]
        conditions += [condition for _, condition in spec.conditional_effects]
        named = {*spec.parameters, *spec.not_files, *(name for c in conditions for name, _ in c.values)}
        named |= {hole for entry in spec.entries for p in entry.patterns for hole in re.findall(r"\{(\w+)[:}]", p)}
        if strange := named - parameters.keys():
            unknown[task] = strange
    assert unknown == {}


@pytest.mark.casa
def test_every_parameter_that_smells_of_a_file_is_described() -> None:
    forgotten = [
        f"{task}({name}): {text}"
        for task, parameters in task_xml().items()
        for name, (kind, text) in parameters.items()
        if any(word in kind for word in FILE_TYPES)
        and (FILE_NAME.search(name) or "path" in kind or FILE_TEXT.search(text))
        and name not in SPECS[task].parameters
        and name not in SPECS[task].not_files
    ]
    assert forgotten == []


@pytest.fixture(scope="module")
def calls(casa_site_config: data.DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What real tasks did in a folder, and what their TaskSpecs said they would do."""

    def run(folder: Path) -> None:
        command = [sys.executable, str(SUPPORT / "run_tasks.py"), str(ngc5921_fits), str(folder / "results.json")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
        assert ran.returncode == 0, ran.stderr[-3000:]

    return json.loads((made_once(tmp_path_factory, "tasks", run) / "results.json").read_text())


@pytest.mark.long
@pytest.mark.casa
def test_real_tasks_do_what_the_table_says_and_nothing_else(calls: Any) -> None:
    assert len({call["task"] for call in calls}) >= 25
    wrong = []
    for call in calls:
        did = {name for name in call["did"] if (call["task"], name) not in REWRITTEN}
        said = {name for name, role in call["inputs"].items() if role in ("changed", "deleted")} | set(call["outputs"])
        # A prefix stands for all its images; a call need not touch each of them.
        idle = {name for name in said - did if call["task"] == "tclean" and "." in name and not name.endswith(".ms")}
        if did != said - idle:
            wrong.append((call["task"], call["given"], sorted(did - said), sorted(said - did)))
    assert wrong == []
