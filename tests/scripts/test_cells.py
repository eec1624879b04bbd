"""A script in a format of jupytext has its cells; any other script is one cell; no line is changed."""

from __future__ import annotations

import nbformat
import pytest

from casaprov.scripts.cells import as_notebook, decoded, script_cells

PLAIN = "import os\n\n\nx = 1  # + y\n\nprint(x)\n"
PERCENT = """\
# %% [markdown]
# # A title

# %%
import os

x = 1
# %% a name
# %matplotlib inline
print(x)
"""
LIGHT = """\
# # A title

# +
x = 1

y = 2
# -

print(y)
"""
WITH_HEADER = (
    f"# ---\n# jupyter:\n#   jupytext:\n#     text_representation:\n#       format_name: percent\n# ---\n\n{PERCENT}"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, [("code", PLAIN, 1)]),
        ("", [("code", "", 1)]),
        (
            PERCENT,
            [
                ("markdown", "# A title", 2),
                ("code", "import os\n\nx = 1", 5),
                ("code", "# %matplotlib inline\nprint(x)", 9),
            ],
        ),
        (LIGHT, [("markdown", "# A title", 1), ("code", "x = 1\n\ny = 2", 4), ("code", "print(y)", 9)]),
    ],
)
def test_cells_are_found_with_their_first_lines(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert [(cell.kind, cell.source, cell.line) for cell in script_cells(text)] == expected


def test_the_header_of_jupytext_is_no_cell() -> None:
    header = WITH_HEADER.index("# %%")
    lines = WITH_HEADER[:header].count("\n")
    assert [(c.source, c.line) for c in script_cells(WITH_HEADER)] == [
        (c.source, c.line + lines) for c in script_cells(PERCENT)
    ]


@pytest.mark.parametrize("text", [PLAIN, PERCENT, LIGHT, WITH_HEADER, ""])
def test_a_script_is_a_valid_notebook(text: str) -> None:
    notebook = as_notebook(text)
    nbformat.validate(notebook)
    assert len(notebook["cells"]) == len(script_cells(text))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"x = '\xc3\xa9'\n", "x = 'é'\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        (b"x = '\xe9'\n", "x = '\ufffd'\n"),
        (b"# coding: none-such\n", "# coding: none-such\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
    ],
)
def test_a_script_is_read_in_the_encoding_that_it_names(data: bytes, text: str) -> None:
    assert decoded(data) == text
