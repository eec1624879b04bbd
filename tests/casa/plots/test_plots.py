"""The parts of plotting that need no CASA: changed calls, messages, screens, pictures."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from casaprov.casa.plots.headless import arguments, headless
from casaprov.comparison.products import compare_paths
from casaprov.kernel.display.figures import picture_data
from casaprov.notebook.bundle import call_summary
from casaprov.readers.installed import table_reader
from casaprov.readers.pictures import read_pixels
from casaprov.records.model import Activity
from casaprov.replays.work_folder import WorkFolder
from casaprov.tasks.calls import TaskCall

PLOTMS = {"vis": "n.ms", "iteraxis": "", "exprange": "", "plotfile": "", "expformat": "", "overwrite": False}


def call(task: str, **parameters: Any) -> TaskCall:
    package = "casaplotms" if task == "plotms" else "casaviewer"
    return TaskCall(task=task, package=package, parameters=parameters, given=(), cwd=Path("/data"))


def asked(task: str, **parameters: Any) -> TaskCall:
    return headless(call(task, **parameters), lambda: ".casaprov/n/plots/1.png")


def test_a_window_becomes_a_picture_and_the_record_says_what_was_asked_for() -> None:
    run = asked("plotms", **PLOTMS, showgui=True)
    assert run.parameters["showgui"] is False
    assert run.parameters["plotfile"] == ".casaprov/n/plots/1.png"
    assert run.replaced == {"showgui": True, "plotfile": "", "expformat": "", "overwrite": False}


def test_what_needs_no_change_is_left_alone() -> None:
    run = asked("plotms", **{**PLOTMS, "plotfile": "x.pdf", "exprange": "current"}, showgui=False)
    assert run.replaced == {}
    assert run.parameters["plotfile"] == "x.pdf"
    assert asked("imview", raster="n.image", out="x.png").replaced == {}


def test_an_iteration_gives_all_its_pages() -> None:
    assert asked("plotms", **{**PLOTMS, "iteraxis": "scan"}, showgui=False).parameters["exprange"] == "all"
    chosen = {**PLOTMS, "iteraxis": "scan", "exprange": "current"}
    assert asked("plotms", **chosen, showgui=False).parameters["exprange"] == "current"


def test_imview_is_told_where_to_write() -> None:
    assert asked("imview", raster="n.image", out="").parameters["out"] == ".casaprov/n/plots/1.png"
    scaled = asked("imview", raster="n.image", out={"scale": 2.0})
    assert scaled.parameters["out"] == {"scale": 2.0, "file": ".casaprov/n/plots/1.png", "format": "png"}
    assert scaled.replaced == {"out": {"scale": 2.0}}


def test_the_program_is_given_an_absolute_name() -> None:
    assert arguments(call("plotms", plotfile="sub/../x.png"))["plotfile"] == "/data/x.png"
    assert arguments(call("imview", out="x.png")) == {"out": "x.png"}


def test_the_short_form_shows_what_the_user_gave() -> None:
    run = Activity(
        id="s/0001", session="s", task="plotms", package="casaplotms", started_at="2026-05-01T10:00:00.000000+00:00",
        outcome="completed", cwd=".", parameters={"vis": "n.ms", "showgui": False}, given=("vis", "showgui"),
        replaced={"showgui": True},
    )  # fmt: skip
    told = call_summary(run, ())
    assert told["given"] == {"vis": "n.ms", "showgui": True}


def test_a_picture_is_shown_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    shown = picture_data(tmp_path / "a.png")
    assert shown["image/png"] == (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    assert picture_data(tmp_path / "a.pdf") == {"text/plain": "a.pdf was written; a notebook cannot show it."}


def compared(folder: Path, left: str, right: str) -> Any:
    return compare_paths(folder / left, folder / right, reader=table_reader, pixels=read_pixels)


def test_the_same_pixels_are_the_same_content(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    dated = PngImagePlugin.PngInfo()
    dated.add_text("Creation Time", "2026-05-01T10:00:00")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.png", pnginfo=dated)
    pixels[3, 4] = (0, 7, 0)
    Image.fromarray(pixels).save(tmp_path / "c.png")
    Image.fromarray(pixels[:10]).save(tmp_path / "d.png")
    assert compared(tmp_path, "a.png", "a.png").verdict == "identical"
    assert compared(tmp_path, "a.png", "b.png").verdict == "same-content"
    other = compared(tmp_path, "a.png", "c.png")
    assert other.verdict == "differs"
    assert other.differences[0].what == "1 of 1200 pixels differ, by at most 7 of 255."
    assert (
        compared(tmp_path, "a.png", "d.png").differences[0].what == "The picture has 40 × 10 pixels instead of 40 × 30."
    )


def test_a_damaged_picture_is_compared_by_its_bytes(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    assert "bytes" in compared(tmp_path, "a.png", "b.png").differences[0].what


def test_documents_are_compared_without_the_time_of_writing(tmp_path: Path) -> None:
    for name, hour, ink in (("a", b"10", b"1 w"), ("b", b"11", b"1 w"), ("c", b"10", b"2 w")):
        (tmp_path / f"{name}.pdf").write_bytes(b"%PDF-1.4\n/CreationDate (D:20260501" + hour + b"0000Z)\n\xff\0" + ink)
    assert compared(tmp_path, "a.pdf", "b.pdf").verdict == "same-content"
    assert compared(tmp_path, "a.pdf", "c.pdf").verdict == "differs"


def test_pictures_beside_the_journal_have_a_place_in_a_replay(tmp_path: Path) -> None:
    class Nothing:
        def copy(self, source: Path, target: Path) -> None: ...
        def remove(self, path: Path) -> None: ...
        def make_folder(self, path: Path) -> None: ...

    folder = WorkFolder(tmp_path, Nothing())
    assert folder.place(".casaprov/n/plots/1.png") == tmp_path / "_shown/n/plots/1.png"
    assert folder.place("plots/1.png") == tmp_path / "plots/1.png"


MESSAGES = """
import importlib.util, pathlib, sys
package, name = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(importlib.util.find_spec(package).origin).parent / "private"))
if name == "plotms_pb2":
    try:
        import plotms_pb2
    except TypeError as error:  # what a user sees who imports the package before the extension
        assert "Descriptors cannot be created directly" in str(error)
from casaprov.casa.plots.old_protobuf import accept_old_messages
accept_old_messages()
accept_old_messages()
module = __import__(name)
__import__(name + "_grpc")
if name == "plotms_pb2":
    save = module.Save(path="a.png", width=-1)
    assert module.Save.FromString(save.SerializeToString()).path == "a.png"
else:
    assert module.Path(path="a").SerializeToString()
"""


@pytest.mark.parametrize(("package", "name"), [("casaplotms", "plotms_pb2"), ("casaviewer", "img_pb2")])
def test_old_messages_load_with_the_protobuf_that_is_there(package: str, name: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[gui]'")
    subprocess.run([sys.executable, "-c", MESSAGES, package, name], check=True)
