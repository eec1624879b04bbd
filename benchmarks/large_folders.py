"""(m) What a short call pays in a large folder, and beside links to large folders.

    python benchmarks/large_folders.py [--files 25000] [--calls 50] [--repeats 3]

The calls are made in one cell, with and without recording in turns: beside files in one folder, beside as many in 250
folders, beside a link to such folders, and beside nothing. What recording adds beside nothing is the record itself; what
it adds beside files in addition is the look at the folder. The first calls are measured too: at these casaprov gets to
know the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import measuring
from measuring import Finding, Goal, guarded, in_turns, number
from notebook_runs import LOAD, Run, run_cells

LOOK = Goal(20, "≤ 20 ms")
MAKE = "import casatools\nia = casatools.image()\nia.fromshape('one.image', [64, 64, 4])\nia.close()"
CALLS = {
    "imstat": "imstat('one.image')",
    "imsubimage": "imsubimage('one.image', outfile='two.image', chans='0', overwrite=True)",
}


def flat(folder: Path, files: int) -> None:
    """Put files into a folder."""
    for number_ in range(files):
        os.mknod(folder / f"{number_}.html")


def deep(folder: Path, files: int) -> None:
    """Put files into 250 folders in a folder."""
    for number_ in range(250):
        (place := folder / "weblog" / f"stage{number_ % 25}" / str(number_)).mkdir(parents=True)
        flat(place, files // 250)


def linked(folder: Path, files: int) -> None:
    """Put a link into a folder that leads to as many files, and one to the root of all files."""
    (archive := folder.parent / f"{folder.name}-archive").mkdir()
    flat(archive, files)
    (folder / "data").symlink_to(archive)
    (folder / "root").symlink_to("/")


def run(before: Callable[[Path], None], task: str, calls: int, *, recorded: bool) -> Run:
    """Make the calls in a fresh process and folder."""
    cells = [
        LOAD if recorded else "pass",
        f"from casatasks import {task}\n{MAKE}\n{CALLS[task]};",
        f"for n in range(5): {CALLS[task]};",
        f"for n in range({calls}): {CALLS[task]};",
    ]
    return run_cells(cells, before=before)


def empty(folder: Path, files: int) -> None:
    """Leave the folder as it is."""


def measure(task: str, files: int, calls: int, repeats: int) -> list[Finding]:
    """Measure all folders with and without recording, in turns."""
    fills = (empty, flat, deep, linked)
    runs = in_turns(
        {
            f"{fill.__name__}, {side}": partial(
                run, partial(fill, files=files), task, calls, recorded=side == "recorded"
            )
            for fill in fills
            for side in ("recorded", "plain")
        },
        repeats,
    )

    def added(fill: Callable[..., None], cell: int, count: int) -> list[float]:
        pairs = zip(runs[f"{fill.__name__}, recorded"], runs[f"{fill.__name__}, plain"], strict=True)
        return [1000 * (one.seconds[cell] - other.seconds[cell]) / count for one, other in pairs]

    found = []
    for cell, count, which in ((-2, 5, "first 5"), (-1, calls, f"next {calls}")):
        record = added(empty, cell, count)
        what = f"added per call: {task}, {which} calls, beside"
        found.append(Finding(letter="m", what=f"{what} nothing", number=number(record), unit="ms"))
        for fill in fills[1:]:
            whole = added(fill, cell, count)
            look = [one - other for one, other in zip(whole, record, strict=True)]
            beside = f"{what} {files} files, {fill.__name__}"
            found.append(Finding(letter="m", what=beside, number=number(whole), unit="ms"))
            found.append(Finding(letter="m", what=f"{beside}: the look", number=number(look), unit="ms", goal=LOOK))
    return found


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--files", type=int, default=25_000, metavar="N", help="number of files (default 25000)")
    parser.add_argument("--calls", type=int, default=50, metavar="N", help="number of calls (default 50)")
    parser.add_argument("--task", choices=sorted(CALLS), default="imsubimage", help="task to call (default imsubimage)")
    options = measuring.options(parser)
    files, task, calls = (options.chosen[name] for name in ("files", "task", "calls"))
    measuring.tell(
        guarded("m", "calls in large folders", lambda: measure(task, files, calls, options.repeats)), options.output
    )


if __name__ == "__main__":
    main()
