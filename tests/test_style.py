"""The English of the code: how docstrings begin, and names that say nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT

PACKAGE = ROOT / "casaprov"

MOST_WITHOUT_NOUN = 0.02
"""Share of the first lines of docstrings that may use one of the words below without its noun."""

OPENINGS = re.compile(r"(what|who|whoever|whether|that|nobody)\b", re.IGNORECASE)
WITHOUT_NOUN = re.compile(r"\b(what|whoever|whether|nobody)\b", re.IGNORECASE)
PRONOUN = re.compile(r"(?:^|(?P<before>\S+)\s+)(?:that(?! of\b)|who)\b", re.IGNORECASE)

# Words after which "that" and "who" have no noun: prepositions, conjunctions, and verbs that take a sentence. "so that"
# gives a purpose, and "and that" goes on with the noun before.
NO_NOUNS = frozenset((
    "a", "about", "after", "all", "as", "at", "before", "but", "by", "check", "ensure", "find", "for", "from", "if", "in",
    "into", "is", "know", "knows", "like", "make", "mean", "means", "nor", "not", "note", "of", "on", "out", "over", "prove",
    "raise", "raises", "require", "requires", "say", "says", "see", "show", "sure", "tell", "tells", "than",
    "then", "to", "unless", "until", "upon", "when", "where", "while", "with", "without",
))  # fmt: skip

IDENTIFIERS = (ast.Name, ast.arg, ast.Attribute, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.keyword)
VAGUE = re.compile(r"(^|_)(told|said)(_|$)")


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _first_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and first line of each docstring of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.partition("\n")[0]


def _lacks_a_noun(line: str) -> bool:
    """Return True if a line uses one of the words in place of a noun."""
    if WITHOUT_NOUN.search(line):
        return True
    for found in PRONOUN.finditer(line):
        before = found["before"]
        if before is None or before[-1] in ";:." or before == "Record" or before.lower() in NO_NOUNS:
            return True
    return False


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("Return the files that a call wrote.", False),
        ("Users who replay a crate.", False),
        ("Return `path` that is open.", False),
        ("Return what a call wrote.", True),
        ("Whether a call is open.", True),
        ("Return True: that is all.", True),
        ("Check that a call is open.", True),
        ("Record that a call begins.", True),
        ("Return the record that a call wrote.", False),
        ("Return the digest of all that was read.", True),
        ("Close the file, so that a call can open it, and return its digest or that of the folder.", False),
    ],
)
def test_a_word_without_its_noun_is_found(line: str, lacks: bool) -> None:
    assert _lacks_a_noun(line) == lacks


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_docstring_begins_with_a_verb_or_a_noun(path: Path) -> None:
    assert [(number, line) for number, line in _first_lines(path) if OPENINGS.match(line)] == []


def test_first_lines_name_things_by_nouns() -> None:
    lines = [(path.relative_to(ROOT), number, line) for path in _files() for number, line in _first_lines(path)]
    vague = [f"{path}:{number}: {line}" for path, number, line in lines if _lacks_a_noun(line)]
    assert len(vague) < MOST_WITHOUT_NOUN * len(lines), "\n".join(vague)


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_name_is_neither_told_nor_said(path: Path) -> None:
    """Names are nouns of one meaning: message, text, answer, digest."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, IDENTIFIERS):
            name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", None)
            name = name or getattr(node, "name", None)
            if name and VAGUE.search(name):
                found.append((getattr(node, "lineno", 0), name))
    assert found == []
