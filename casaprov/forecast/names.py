"""Names that tie cells together: bound or changed by one cell, used by another.

Only the text of cells is looked at. A cell that cannot be read as Python counts as one that may bind any name.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

__all__ = ["dependent_cells"]

_MAGICS = ("%", "!")


def dependent_cells(sources: Sequence[str], changed: int) -> frozenset[int]:
    """Return the indices of the later cells that use a name which a cell binds or changes, or another of these cells.

    Parameters
    ----------
    sources
        Texts of the cells, in their order.
    changed
        Index of the cell.
    """
    trees = [_tree(source) for source in sources]
    imported = frozenset(name for tree in trees if tree is not None for name in _imported(tree))
    touched = _touched(trees[changed], imported)
    found = set()
    for index in range(changed + 1, len(sources)):
        loaded = _loaded(trees[index])
        if touched is None or loaded is None or touched & loaded:
            found.add(index)
            more = _touched(trees[index], imported)
            touched = None if touched is None or more is None else touched | more
    return frozenset(found)


def _tree(source: str) -> ast.Module | None:
    lines = ("" if line.lstrip().startswith(_MAGICS) else line for line in source.splitlines())
    try:
        return ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _loaded(tree: ast.Module | None) -> frozenset[str] | None:
    if tree is None:
        return None
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))


def _touched(tree: ast.Module | None, imported: frozenset[str]) -> frozenset[str] | None:
    """Return the names that a cell binds, and those of objects that it may change in place; None if it cannot be read."""
    if tree is None:
        return None
    names = set(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            names |= _base(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names |= _base(node.func) - imported  # a method changes its object: "options.append(...)"
    return frozenset(names)


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _imported(tree: ast.Module) -> set[str]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
