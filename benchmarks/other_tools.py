"""(f) What other recorders cost on the same reduction: ReproZip and noWorkflow.

    python benchmarks/other_tools.py [--notebook FILE] [--repeats 1]

The code cells of the NGC 5921 example as a plain script, with lists where it unpacks
generator expressions (noWorkflow 2.1.3 ends in an error of its database there), run by ``python``, by
``reprozip trace python`` and by ``now run``; and the example itself by ``casaprov
run``, whose time holds the start of a Jupyter kernel as well. Whole commands are
timed, in turns, each in an empty folder. Then ``reprozip pack`` and ``casaprov
export``: seconds and size. Each tool is in an environment of its own, installed
from PyPI; one that cannot be installed or run here is told of with its error.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import measuring
from casaprov.casa.installed.data import prepare
from environments import program, version_of
from measuring import TIMEOUT_S, Finding, compared, failed, guarded, number
from notebook_runs import EXAMPLE, script_of

_PLAIN = "python"


@dataclass
class Side:
    """One way to run the reduction, and what it gave.

    Attributes
    ----------
    run
        Runs it in an empty folder.
    pack
        Packs what the run left in its folder; returns the archive.
    """

    run: Callable[[Path], None]
    pack: Callable[[Path], Path] | None = None
    seconds: list[float] = field(default_factory=list)
    pack_seconds: list[float] = field(default_factory=list)
    pack_mb: list[float] = field(default_factory=list)


class _Lists(ast.NodeTransformer):
    """Makes lists of the generator expressions that assignments unpack."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.GeneratorExp):
            node.value = ast.ListComp(node.value.elt, node.value.generators)
        return node


def plain_script(notebook: Path) -> str:
    """Return the code of a notebook as the script that all sides but casaprov run."""
    return ast.unparse(_Lists().visit(ast.parse(script_of(notebook))))


def command(folder: Path, *words: str | Path, **environment: str) -> None:
    """Run a command in a folder.

    Raises
    ------
    RuntimeError
        If it fails; with the last line that it wrote.
    """
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / ".cache"), **environment},
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise RuntimeError(f"{Path(words[0]).name} {words[1]} failed: {lines[-1]}")


def sides_of(notebook: Path) -> dict[str, Side]:
    """Return the sides that need nothing installed: plain Python and casaprov."""
    python, script, copy = sys.executable, plain_script(notebook), notebook.name

    def casaprov_run(folder: Path) -> None:
        shutil.copy(notebook, folder)
        command(folder, python, "-m", "casaprov", "run", copy)

    def casaprov_export(folder: Path) -> Path:
        command(folder, python, "-m", "casaprov", "export", copy, "-o", "packed.crate.zip", "--overwrite")
        return folder / "packed.crate.zip"

    return {
        _PLAIN: Side(lambda folder: command(folder, python, _written(folder, script))),
        "casaprov run": Side(casaprov_run, casaprov_export),
    }


def reprozip(cache: Path, notebook: Path) -> tuple[str, Side]:
    """Return the side of ReproZip, installed."""
    tool, script = program(cache, "reprozip", "reprozip"), plain_script(notebook)
    quiet = {"REPROZIP_USAGE_STATS": "off"}

    def trace(folder: Path) -> None:
        command(folder, tool, "trace", "--overwrite", sys.executable, _written(folder, script), **quiet)

    def pack(folder: Path) -> Path:
        command(folder, tool, "pack", "packed.rpz", **quiet)
        return folder / "packed.rpz"

    return f"{version_of(cache, 'reprozip')}, reprozip trace", Side(trace, pack)


def noworkflow(cache: Path, notebook: Path) -> tuple[str, Side]:
    """Return the side of noWorkflow, installed; it runs scripts in its own Python, which finds CASA here."""
    tool, script = program(cache, "noworkflow", "now", with_casa=True), plain_script(notebook)
    name = f"{version_of(cache, 'noworkflow')}, now run"
    return name, Side(lambda folder: command(folder, tool, "run", _written(folder, script)))


def _written(folder: Path, script: str) -> str:
    path = folder / "reduction.py"
    path.write_text(script, encoding="utf-8")
    return path.name


def _turn(side: Side) -> None:
    """Run a side once, and pack what it left."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as made:
        folder = Path(made)
        began = time.perf_counter()
        side.run(folder)
        side.seconds.append(time.perf_counter() - began)
        if side.pack is not None:
            began = time.perf_counter()
            archive = side.pack(folder)
            side.pack_seconds.append(time.perf_counter() - began)
            side.pack_mb.append(archive.stat().st_size / 1e6)


def measure(cache: Path, notebook: Path, repeats: int) -> list[Finding]:
    """Run all sides in turns; one that fails is left out of the turns after it."""
    prepare()
    sides, told = sides_of(notebook), []
    for what, make in {"reprozip trace": reprozip, "now run": noworkflow}.items():
        try:
            name, side = make(cache, notebook)
            sides[name] = side
        except Exception as error:  # noqa: BLE001 - any tool may fail in any way
            told.append(failed("f", f"{what} / {_PLAIN}", error))
    for _ in range(repeats):
        for name, side in list(sides.items()):
            measuring.say(name)
            try:
                _turn(side)
            except Exception as error:  # noqa: BLE001 - likewise
                told.append(failed("f", f"{name} / {_PLAIN}", error))
                del sides[name]
    return [*_ratios(notebook.stem, sides), *told]


def _ratios(what: str, sides: Mapping[str, Side]) -> Sequence[Finding]:
    told = []
    if _PLAIN in sides:
        plain = sides[_PLAIN].seconds
        told = [
            compared("f", f"{what}: {name} / {_PLAIN}", side.seconds, plain)
            for name, side in sides.items()
            if name != _PLAIN
        ]
    for name, side in sides.items():
        if side.pack_mb:
            packer = name.replace("trace", "pack").replace("run", "export")
            told.append(Finding(letter="f", what=f"{what}: {packer}", number=number(side.pack_seconds), unit="s"))
            told.append(Finding(letter="f", what=f"{what}: {packer}, archive", number=number(side.pack_mb), unit="MB"))
    return told


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__, repeats=1)
    parser.add_argument("--notebook", type=Path, default=EXAMPLE, metavar="FILE", help="default: the NGC 5921 example")
    options = measuring.options(parser)
    notebook = options.chosen["notebook"].resolve()
    measuring.tell(
        guarded("f", "other recorders", lambda: measure(options.cache, notebook, options.repeats)), options.output
    )


if __name__ == "__main__":
    main()
