"""Help: tasks explain themselves as without casaprov, and %casahelp explains their parameters."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from casaprov.casa.absent_tasks import GUI_PACKAGES
from casaprov.casa.hooks.tasks import task_names
from casaprov.casa.installed.data import import_casatasks
from casaprov.casa.task_help import Parameter, read_task_help, task_files, tasks_by_category
from casaprov.casa.task_module import read_task_module
from casaprov.errors import UsageError
from casaprov.kernel.magics.help_view import list_html, list_text, task_html, task_text
from live_kernel import LiveKernel

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

LOOKED_AT = ("tclean", "flagdata", "sdcal", "imstat")


def parameter(task: str, name: str) -> Parameter:
    return next(one for one in read_task_help(task).parameters if one.name == name)


# -- what the files say -------------------------------------------------------


def test_every_task_has_its_parameters_and_their_true_defaults() -> None:
    casatasks = import_casatasks()
    for name in task_names(casatasks):
        told = {one.name: one.default for one in read_task_help(name).parameters}
        for known in inspect.signature(getattr(casatasks, name)).parameters.values():
            if known.kind is known.VAR_KEYWORD:  # sdcal's intent
                continue
            default = told.pop(known.name)
            assert known.default == (ast.literal_eval(default) if default else known.empty), (name, known.name)
        assert set(told) == ({"intent"} if name == "sdcal" else set()), name


def test_every_task_is_in_a_category_and_says_what_it_does() -> None:
    listed = {task.name: task for tasks in tasks_by_category().values() for task in tasks}
    assert set(task_names(import_casatasks())) <= set(listed) == set(task_files())
    assert all(task.categories for task in listed.values())
    assert [name for name, task in listed.items() if not task.short] == []
    assert {"calibration", "imaging", "flagging", "import/export"} <= set(tasks_by_category())


def test_types_and_allowed_values_are_told_as_in_python() -> None:
    assert parameter("tclean", "vis").types == ("path", "list of paths")
    assert parameter("tclean", "niter").types == ("int",)
    assert parameter("tclean", "interpolation").allowed == ("'nearest'", "'linear'", "'cubic'")
    assert parameter("tclean", "robust").allowed == ("≥ -2.0", "≤ 2.0")
    assert parameter("tclean", "start").short == "First channel (e.g. start=3,start='1.1GHz',start='15343km/s')"


def test_subparameters_say_when_they_count_and_stand_below_their_parent() -> None:
    tclean = read_task_help("tclean")
    names = [one.name for one in tclean.parameters]
    nchan, gain = parameter("tclean", "nchan"), parameter("tclean", "gain")
    assert {str(condition) for condition in nchan.conditions} >= {"specmode = 'cube'", "specmode = 'cubesource'"}
    assert [str(condition) for condition in gain.conditions] == ["niter ≠ 0"]
    assert names.index("specmode") < names.index("nchan") < names.index("gridder")
    assert (tclean.depth(nchan), tclean.depth(parameter("tclean", "specmode"))) == (1, 0)
    outframe = {condition.value: condition.default for condition in parameter("tclean", "outframe").conditions}
    assert outframe == {"'cube'": "''", "'cubesource'": "'REST'"}


def test_each_parameter_is_told_once() -> None:
    for name in task_files():
        names = [one.name for one in read_task_help(name).parameters]
        assert len(names) == len(set(names)), name


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("tcleen", "CASA has no task 'tcleen'. Did you mean tclean?"),
        ("gaincall", "CASA has no task 'gaincall'. Did you mean gaincal or"),
        ("uvcont", "CASA has no task 'uvcont'. Did you mean uvcontsub or uvcontsub_old"),
        ("nonsense", "CASA has no task 'nonsense'. '%casahelp' lists all tasks."),
        ("clean", "clean is no longer part of CASA; tclean has taken its place."),
        ("../tclean", "CASA has no task '../tclean'. Did you mean tclean?"),
    ],
)
def test_an_unknown_task_is_answered_with_one_sentence(asked: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_task_help(asked)
    assert str(caught.value).startswith(told)


MODULE = '''
class _plotthing:
    """
    plotthing ---- Draws a thing

    --------- parameter descriptions ---------------------------------------------

    vis     Name of a
            measurement set
    dpi     Dots per inch
    [1;42mRETURNS[1;m      void

    --------- examples -----------------------------------------------------------

    vis is not told here
    """
    _info_group_ = """visualization, editing"""

    def __call__( self, infile, vis='', dpi=int(-1), sizes=[int(2), float(0.5)], title=UNKNOWN ):
        pass
'''


def test_a_task_without_xml_is_read_from_its_module(tmp_path: Path) -> None:
    (tmp_path / "plotthing.py").write_text(MODULE)
    told = read_task_module(tmp_path / "plotthing.py", "plotthing")
    assert told.short == "Draws a thing"
    assert told.categories == ("visualization", "editing")
    assert told.defaults == {"infile": "", "vis": "''", "dpi": "-1", "sizes": "[2, 0.5]", "title": "UNKNOWN"}
    assert told.meanings == {"vis": "Name of a measurement set", "dpi": "Dots per inch"}


@pytest.mark.parametrize("source", ["", "class _plotthing: pass", "class other: pass", "not python (", "\0"])
def test_a_module_that_says_nothing_is_no_error(source: str, tmp_path: Path) -> None:
    (tmp_path / "plotthing.py").write_text(source)
    assert read_task_module(tmp_path / "plotthing.py", "plotthing").defaults == {}
    assert read_task_module(tmp_path / "not there.py", "plotthing").defaults == {}


def test_tasks_with_a_window_are_told_about_where_they_are_installed() -> None:
    for name in GUI_PACKAGES:
        if name in task_files():
            assert read_task_help(name).parameters
        else:
            with pytest.raises(UsageError, match=f"^{name} is not there: install it with 'pip install casa"):
                read_task_help(name)


# -- how it is shown ----------------------------------------------------------


class _Tables(HTMLParser):
    """Checks that every opened tag is closed, and keeps the text of the cells of each row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        if tag == "br":
            self.handle_data("\n")
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.rows[-1][-1] += data


def test_the_html_is_well_formed_and_complete_without_its_script() -> None:
    for name in task_files():
        told = read_task_help(name)
        without = re.sub(r"<script>.*</script>", "", task_html(told), flags=re.DOTALL)
        table = _Tables(without)
        assert table.open == []
        assert "<input" not in without
        shown = [(row[0].partition("\n")[0], row[2].partition("\n")[0]) for row in table.rows[1:]]
        assert shown == [(one.name, one.default or "must be given") for one in told.parameters]


def test_the_plain_text_tells_the_same() -> None:
    text = task_text(read_task_help("tclean"))
    assert "specmode = 'mfs'  (str)" in text
    assert "  nchan = -1  (int)" in text
    assert "Counts if specmode = 'mvc' or 'cube' or 'cubesource' or 'cubedata'." in text
    assert "Default 'REST' if specmode = 'cubesource'." in text
    assert max(map(len, text.splitlines())) <= 100
    listed = list_text(tasks_by_category())
    assert "\n  gaincal           Determine" in listed
    assert max(map(len, listed.splitlines())) <= 100
    assert len(_Tables(list_html(tasks_by_category())).rows) > 124


SEARCHED = ("Restoring", "beam")

TYPING = f"""
<script>
var box = document.querySelector("input");
box.value = "{" ".join(SEARCHED)}";
box.dispatchEvent(new Event("input"));
</script>
"""


def test_the_table_can_be_searched_where_scripts_run(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium: install it with 'sudo apt-get install chromium'")
    page, html = tmp_path / "help.html", task_html(read_task_help("tclean"))
    page.write_text(f"<meta charset='utf-8'>{html}{TYPING}", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([chromium, *options, page.as_uri()], check=True, capture_output=True, text=True, timeout=120)
    rows = re.findall(r'<tr( hidden="")?><td[^>]*><b>(\w+)</b>', done.stdout)
    texts = {row[0].partition("\n")[0]: " ".join(row).lower() for row in _Tables(html).rows[1:]}
    wanted = {name for name, text in texts.items() if all(word.lower() in text for word in SEARCHED)}
    assert {name for hidden, name in rows if not hidden} == wanted
    assert "restoringbeam" in wanted
    assert "vis" not in wanted


# -- in a kernel --------------------------------------------------------------


def test_the_magic_shows_a_task_in_both_forms(casa_kernel: LiveKernel) -> None:
    (shown,) = casa_kernel.good("%casahelp tclean").data
    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/html"].startswith("<details open")
    assert shown["text/plain"].startswith("tclean: Radio Interferometric Image Reconstruction (imaging)")
    (listed,) = casa_kernel.good("%casahelp").data
    assert listed["text/plain"].startswith("analysis\n")
    assert len(casa_kernel.good("%casahelp gaincal? listobs()").data) == 2


def test_an_unknown_task_is_a_sentence_and_no_traceback(casa_kernel: LiveKernel) -> None:
    shown = casa_kernel.run("%casahelp tcleen")
    assert shown.stderr.strip() == "UsageError: CASA has no task 'tcleen'. Did you mean tclean?"


def test_names_of_tasks_are_completed_after_the_magic(casa_kernel: LiveKernel) -> None:
    assert casa_kernel.complete("%casahelp tcl") == ["tclean"]
    assert casa_kernel.complete("casahelp gainc") == ["gaincal"]
    assert "%casahelp" in casa_kernel.complete("%casah")


def help_of(kernel: LiveKernel, task: str) -> str:
    """Return the text of Shift-Tab, without the address of the task's object."""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", kernel.inspect(task))
    return re.sub(r"^(Type|String form|File):.*\n", "", shown, flags=re.MULTILINE)


@pytest.mark.long
def test_help_and_completion_are_those_of_casatasks_in_both_kernels(
    plain_kernel: LiveKernel, casa_kernel: LiveKernel
) -> None:
    calls = (
        "tclean(vis='n.ms', spe",
        "tclean(vis='n.ms', imagename='n',\n       cel",
        "flagdata(mo",
        "tclea",
        "tclean.",
    )
    pages = "import pydoc\nprint(len(pydoc.render_doc({0})), {0}.__doc__ == type({0}).__doc__)"

    def seen() -> list[object]:
        told: list[object] = [plain_kernel.inspect(task) for task in LOOKED_AT]
        told += [plain_kernel.inspect(task, detail=1) for task in LOOKED_AT]
        told += [plain_kernel.complete(call) for call in calls]
        told += [plain_kernel.good(pages.format(task)).stdout for task in LOOKED_AT]
        told += [plain_kernel.good(f"{task}?").data for task in LOOKED_AT]
        return told

    before = seen()
    plain_kernel.good("%load_ext casaprov")
    loaded = seen()
    plain_kernel.good("%unload_ext casaprov")
    assert loaded == before
    assert seen() == before
    for task in LOOKED_AT[:2]:
        assert "vis=''" in help_of(plain_kernel, task)
    for task in LOOKED_AT:
        if task != "sdcal":  # CASA's shell gives it a parameter more
            assert help_of(casa_kernel, task) == help_of(plain_kernel, task)
    assert casa_kernel.complete(calls[0]) == plain_kernel.complete(calls[0]) == ["specmode="]
    assert casa_kernel.complete(calls[1]) == plain_kernel.complete(calls[1])


def test_without_casaprov_there_is_no_magic(plain_kernel: LiveKernel) -> None:
    assert "%casahelp" not in plain_kernel.complete("%casah")
    plain_kernel.good("%load_ext casaprov")
    assert plain_kernel.complete("%casahelp tcl") == ["tclean"]
    plain_kernel.good("%unload_ext casaprov")
    assert "%casahelp" not in plain_kernel.complete("%casah")
    assert plain_kernel.complete("%casahelp tcl") == []
