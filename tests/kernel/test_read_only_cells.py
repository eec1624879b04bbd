"""Cells that change no file need not wait, and are known from all cells that might change one."""

from __future__ import annotations

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from casaprov.kernel.read_only_cells import is_read_only

ALIASES = {"ls": "ls -F --color", "ll": "ls -F -o --color", "cat": "cat", "rm": "rm", "mine": "cp a.txt b.txt"}
LOOK = [
    "!ls",
    "!ls -la *.ms | grep -v flagversions",
    "!  ls 'a b' #c",
    "!ls; date && pwd || wc x",
    "!!cat listobs.txt",
    "sizes = !du -sh n.ms",
    "%ls",
    "%ll *.ms",
    "%cat listobs.txt",
    "# what is there?\n!ls\n!df -h .\n",
    "!grep 'a b' l.txt",
    "\n  # sizes\nsizes = !du -sh n.ms\n\n%ls\n",
]
MAY_CHANGE = [
    "",
    "# nothing",
    "ls = 1",
    "print(1)",
    "!rm -r n.ms",
    "!ls; rm -r n.ms",
    "!ls;rm -r n.ms",
    "!ls && mv n.ms m.ms",
    "!ls | tee n.txt",
    "!ls | xargs rm",
    "!ls > n.txt",
    "!ls>n.txt",
    "!ls >>n.txt",
    "!ls 2>&1",
    "!ls $x",
    "!ls {x}",
    "!ls `rm n.txt`",
    "!ls $(rm n.txt)",
    "!ls <(rm n.txt)",
    "!(ls)",
    "!ls &",
    "!ls |",
    "!ls 'open",
    "!/tmp/ls",
    "!./ls",
    "!X=1 ls",
    "!sudo ls",
    "!sort l.txt -o l.txt",
    "!find . -delete",
    "!sed -i s/a/b/ l.txt",
    "%rm n.txt",
    "%mine",
    "%pwd",
    "y = 1",
    "%ls > n.txt",
    "%ls ; rm n.txt",
    "%time !ls",
    "%run ls",
    "%%bash\nls",
    "!ls\nopen('n.txt', 'w')",
    "x = y = !ls",
    "x.y = !ls",
    "get_ipython().system('ls', 'rm')",
    "get_ipython().system(ls)",
    "get_ipython().run_cell_magic('ls', '')",
    "get_ipython().run_line_magic('ls', rm())",
    "other().system('ls')",
    "!ls \\\n; rm n.txt",
    "a b c",
    "\0",
]


@pytest.mark.parametrize("cell", LOOK)
def test_a_cell_that_only_looks_is_known(cell: str) -> None:
    assert is_read_only(cell, TransformerManager().transform_cell, ALIASES)


@pytest.mark.parametrize("cell", MAY_CHANGE)
def test_a_cell_that_may_change_something_is_not_taken_for_one(cell: str) -> None:
    assert not is_read_only(cell, TransformerManager().transform_cell, ALIASES)


def test_a_cell_of_python_is_not_looked_into_further() -> None:
    def never(_cell: str) -> str:
        raise AssertionError("it takes as long as to run a short cell")

    assert not is_read_only(r'y = "\d"', never, ALIASES)
    assert not is_read_only("x = 1\ny = 2", never, ALIASES)
    assert not is_read_only("!ls\nflagdata('n.ms')", never, ALIASES)
