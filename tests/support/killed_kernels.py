"""Start kernels that record until they are killed, one for each line of the input.

A line is ``FOLDER NOTEBOOK ENDED``. CASA is imported once, and not used: its threads would not be in
a fork. Each kernel is a fork of this process with an IPython shell of its own, in a session of its own,
and its process id is printed. It writes a line into the file ENDED after each call that returned.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path

from casaprov.casa.installed.data import prepare

prepare()

import casatasks  # noqa: E402, F401
import casatools  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402

from casaprov.notebook.notebook_name import NOTEBOOK_VARIABLE  # noqa: E402

CELLS = (
    ("listobs", "listobs('n.ms', listfile='l.txt', overwrite=True)"),
    ("write", "write('l.txt', 'm.txt', number)"),
    ("table.putcell", "tb.open('n.ms', nomodify=False)\ntb.putcell('SIGMA', 0, [number, 1.0])\ntb.close()"),
    ("visstat", "visstat('n.ms', axis='amplitude')"),
    ("block", "with casaprov.activity('block'):\n    vishead('n.ms')\n    open('b.txt', 'w').write(str(number))"),
    (
        "image.fromshape",
        "ia.fromshape('i.im', [8, 8], overwrite=True)\nia.putchunk(ia.getchunk() + number)\nia.close()",
    ),
    ("imsmooth", "imsmooth('i.im', major='3arcmin', minor='3arcmin', pa='0deg', outfile='s.im', overwrite=True)"),
    ("flagdata", "flagdata('n.ms', mode='manual', antenna=str(number % 20), flagbackup=False)"),
)
START = """
%load_ext casaprov
import casaprov
from casatasks import *

@casaprov.activity(used=["source"], generated=["target"])
def write(source, target, number):
    with open(target, "w") as file:
        file.write(f"{number} {len(open(source).read())}")
"""


def kernel(folder: str, notebook: str, ended: str) -> None:
    """Run cells until this process is killed."""
    parent = os.getppid()
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.chdir(folder)
    os.environ[NOTEBOOK_VARIABLE] = notebook
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    shell = InteractiveShell()
    shell.history_manager.enabled = False
    shell.user_ns |= {"tb": casatools.table(), "ia": casatools.image()}
    shell.run_cell(START).raise_error()
    with Path(ended).open("a", buffering=1) as told:
        number = 0
        while os.getppid() == parent:  # a test run that was killed leaves no kernels behind
            for name, cell in CELLS:
                number += 1
                shell.user_ns["number"] = number
                shell.run_cell(cell).raise_error()
                told.write(f"{name}\n")


def main() -> None:
    """Start a kernel for every line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                kernel(*line.split())
            except BaseException:  # noqa: BLE001 - whatever it is, a fork ends here
                traceback.print_exc()
            finally:
                os._exit(1)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


main()
