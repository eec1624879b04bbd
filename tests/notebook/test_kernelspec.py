"""``casaprov kernel`` and casaprov.notebook.kernelspec: the kernel is added, listed and removed, and no other kernel is touched."""

from __future__ import annotations

import json
import re
import struct
import sys
import venv
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from casaprov.cli import kernel
from casaprov.cli.commands import main
from casaprov.notebook import kernelspec
from casaprov.notebook.kernelspec import DISPLAY_NAME, NAME, casa_kernel, installed
from checkout import ROOT


@pytest.fixture(autouse=True)
def user_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of kernels, which is empty."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    return tmp_path / "jupyter" / "kernels"


def foreign_kernel(folder: Path, name: str = "other") -> Path:
    """A kernel of another program."""
    (folder / name).mkdir(parents=True)
    spec = {"argv": ["/nowhere/julia", "-f", "{connection_file}"], "display_name": "Julia", "language": "julia"}
    (folder / name / "kernel.json").write_text(json.dumps(spec))
    return folder / name / "kernel.json"


def test_jupyter_finds_the_kernel_after_it_was_installed(user_kernels: Path) -> None:
    with pytest.raises(NoSuchKernel):
        KernelSpecManager().get_kernel_spec(NAME)
    assert main(["kernel", "install"]) == 0
    spec = KernelSpecManager().get_kernel_spec(NAME)
    assert spec.display_name == "CASA (casaprov)"
    assert spec.language == "python"
    assert spec.argv[:3] == [sys.executable, "-m", "ipykernel_launcher"]
    assert Path(spec.resource_dir) == user_kernels / NAME


def test_the_kernel_has_a_logo(user_kernels: Path) -> None:
    assert main(["kernel", "install"]) == 0
    for size in (32, 64):
        head = (user_kernels / NAME / f"logo-{size}x{size}.png").read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", head[16:]) == (size, size)
    assert (user_kernels / NAME / "logo-svg.svg").read_text().startswith("<svg ")


def test_the_kernel_can_be_installed_elsewhere_and_by_another_name(
    tmp_path: Path, user_kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["kernel", "install", "--prefix", str(tmp_path / "there"), "--name", "casapy"]) == 0
    assert (tmp_path / "there/share/jupyter/kernels/casapy/kernel.json").is_file()
    monkeypatch.setattr("sys.prefix", str(tmp_path / "env"))
    assert main(["kernel", "install", "--sys-prefix", "--display-name", "CASA 6.7"]) == 0
    spec = json.loads((tmp_path / "env/share/jupyter/kernels" / NAME / "kernel.json").read_text())
    assert spec["display_name"] == "CASA 6.7"
    assert not user_kernels.exists()


def test_only_one_place_can_be_named(user_kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "install", "--user", "--sys-prefix"]) == 2
    assert "Only one of --user, --sys-prefix and --prefix" in capsys.readouterr().err
    assert not user_kernels.exists()


def test_a_kernel_of_somebody_else_is_neither_replaced_nor_removed(
    user_kernels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = foreign_kernel(user_kernels)
    before = theirs.read_text()
    assert main(["kernel", "install", "--name", "other"]) == 2
    assert "not casaprov's.\nChoose another --name" in capsys.readouterr().err
    assert main(["kernel", "remove", "--name", "other"]) == 2
    assert "casaprov has no kernel 'other'" in capsys.readouterr().err
    assert theirs.read_text() == before


def test_jupyters_own_python_kernel_is_not_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "install", "--name", "python3"]) == 2
    assert "not casaprov's" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "../up", "", "é"])
def test_what_is_no_name_of_a_kernel_is_refused(
    name: str, user_kernels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernel", "install", "--name", name]) == 2
    assert "cannot be named" in capsys.readouterr().err
    assert not list(tmp_path.rglob("kernel.json"))


def test_installing_again_replaces_and_removing_leaves_nothing(user_kernels: Path) -> None:
    assert main(["kernel", "install", "--display-name", "old"]) == 0
    assert main(["kernel", "install"]) == 0
    assert [kernel.display_name for kernel in installed()] == [DISPLAY_NAME]
    theirs = foreign_kernel(user_kernels)
    assert main(["kernel", "remove"]) == 0
    assert [path.name for path in user_kernels.iterdir()] == [theirs.parent.name]
    assert main(["kernel", "remove"]) == 2


def test_kernels_are_listed(user_kernels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "list"]) == 0
    assert "casaprov kernel install" in capsys.readouterr().out
    foreign_kernel(user_kernels)
    (user_kernels / "broken").mkdir()
    (user_kernels / "broken" / "kernel.json").write_text("{")
    assert main(["kernel", "install"]) == 0
    capsys.readouterr()
    assert main(["kernel", "list"]) == 0
    assert DISPLAY_NAME in capsys.readouterr().out
    assert main(["kernel", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed == {
        "name": NAME, "display_name": DISPLAY_NAME, "folder": str(user_kernels / NAME), "python": sys.executable,
    }  # fmt: skip


def make_it_start(kernels: Path, python: str) -> None:
    file = kernels / NAME / "kernel.json"
    spec = json.loads(file.read_text())
    file.write_text(json.dumps(spec | {"argv": [python, *spec["argv"][1:]]}))


def test_the_doctor_says_whether_the_kernel_is_there_and_can_start(
    user_kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert casa_kernel().remedy == "Run 'casaprov kernel install'."
    assert main(["kernel", "install"]) == 0
    assert casa_kernel().status == "ok"
    assert sys.executable in casa_kernel().message

    make_it_start(user_kernels, "/nowhere/bin/python")
    found = casa_kernel()
    assert found.status == "warning"
    assert "/nowhere/bin/python, which does not exist." in found.message
    assert "casaprov kernel install --name casaprov" in found.remedy
    assert main(["kernel", "list"]) == 0
    assert "(missing)" in capsys.readouterr().out

    monkeypatch.delenv("PYTHONPATH", raising=False)
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    make_it_start(user_kernels, str(tmp_path / "bare/bin/python"))
    assert "in which casaprov is not installed" in casa_kernel().message


def test_the_doctor_asks_about_the_kernel() -> None:
    assert casa_kernel in kernelspec.CHECKS
    assert "KERNEL_CHECKS" in (ROOT / "casaprov" / "cli" / "commands.py").read_text()


@pytest.mark.parametrize("command", sorted(kernel.kernel.commands))
def test_every_command_explains_itself_and_is_in_the_reference(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kernel", command, "--help"]) == 0
    assert f"Example:\n    casaprov kernel {command}" in capsys.readouterr().out
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    section = re.search(r"^## kernel$(.*?)(^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section is not None
    assert f"`casaprov kernel {command}" in section.group(1)
    for parameter in kernel.kernel.commands[command].params:
        for option in (name for name in parameter.opts if name.startswith("--")):
            assert f"`{option}" in section.group(1)
