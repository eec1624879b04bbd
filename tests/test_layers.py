"""The shape of the code: who may import whom.

Files directly in ``casaprov/`` are the core; each sub-folder is an edge that
owns one foreign world. A new core module needs a line in ``CORE``.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "casaprov"

# What a core module may import besides the standard library: modules and edges of casaprov by
# name, then other people's packages. Sorted; a module that does not exist yet does no harm.
CORE: dict[str, str] = {
    "__init__": "activities kernel_hook",
    "__main__": "cli",
    "activities": "calls errors pathnames taskspec values",
    "archive_checksums": "errors model regular_files",
    "cache": "checksum digest errors model values / filelock",
    "calls": "model taskspec",
    "casa_kernel": "casa kernel_hook",
    "cell_order": "lineage model",
    "checksum": "digest errors fits_digest model regular_files sketch stamps table_digest tables",
    "compare": (
        "checksum compare_files compare_fits compare_pictures compare_tables compare_trees differences errors fits_digest regular_files"
        " tables"
    ),
    "compare_files": "differences regular_files / numpy",
    "compare_fits": "compare_fits_tables compare_tables compare_values differences fits_digest fits_tables / numpy",
    "compare_fits_tables": "compare_values differences fits_tables / numpy",
    "compare_pictures": "differences regular_files / numpy",
    "compare_tables": "compare_values differences keywords tables virtual_models / numpy",
    "compare_trees": "checksum compare_tables compare_values differences digest",
    "compare_values": "differences digest keywords / numpy",
    "config": "errors",
    "consistency": "errors model values",
    "crate": (
        "consistency crate_check crate_layout crate_write digest errors model payload record_json saved_cells unpack validate"
    ),
    "crate_calls": "crate_layout crate_nodes model terms",
    "crate_check": "crate_graph crate_layout crate_readme digest errors model regular_files saved_cells terms untrusted_json",
    "crate_data": "crate_layout crate_nodes model terms",
    "crate_graph": "crate_calls crate_data crate_layout crate_nodes crate_runs model terms",
    "crate_layout": "digest model",
    "crate_nodes": "terms",
    "crate_readme": "crate_layout model saved_cells",
    "crate_runs": "crate_nodes lineage model terms",
    "crate_write": (
        "crate_graph crate_layout crate_nodes crate_readme crate_runs digest errors model payload record_json terms / rocrate"
    ),
    "differences": "errors model",
    "digest": "errors",
    "digest_cache": "",
    "digester": "checksum errors model own_work reading recent_digests stamps time_steps",
    "doctor": "errors / platformdirs",
    "drawing": "errors lineage model",
    "endings": "own_work",
    "errors": "",
    "finishing": "calls checksum errors gaps journal model opened own_work stamps states taskspec",
    "fits_digest": "digest fits_tables keywords sketch / numpy",
    "fits_tables": "/ numpy",
    "gaps": "checksum compare_trees differences digest model stamps",
    "guard": "endings own_work",
    "inspection": "cell_order drawing errors lineage model prov",
    "journal": "digest errors journal_reader model record_json",
    "journal_reader": "errors model record_json",
    "kernel_hook": (
        "activities calls casa config digest digester endings guard journal model notebook opened readers recorder runner / wrapt"
    ),
    "keywords": "digest errors / numpy",
    "lineage": "errors model",
    "listings": "",
    "locate": "checksum digest errors model stamps tables",
    "model": "digest errors",
    "opened": "calls checksum model stamps taskspec time_steps walks",
    "other_notebooks": "digest gaps",
    "own_work": "",
    "pathnames": "errors",
    "payload": "checksum crate_layout digest errors lineage model unpack walks",
    "plan": "errors lineage model values",
    "prov": "errors lineage model record_json terms",
    "reading": "checksum digest errors model stamps table_digest table_parts tables / numpy",
    "recent_digests": "own_work reading",
    "record_json": "errors model / cattrs",
    "recorder": "calls checksum digest endings errors finishing gaps journal model opened stamps taskspec values walks watches",
    "regular_files": "errors",
    "render": "compare crate doctor errors lineage model report terminal / rich",
    "replay": "calls compare digest errors model plan report runner taskspec values work_folder",
    "report": "compare model",
    "runner": "cache calls errors model opened recorder taskspec",
    "saved_cells": "digest model",
    "signals": "",
    "sketch": "/ numpy",
    "stamps": "digest errors regular_files time_steps",
    "states": "checksum errors gaps model own_work stamps",
    "store": "checksum digest errors model / filelock platformdirs",
    "table_digest": "digest errors keywords model sketch tables virtual_models / numpy",
    "table_parts": "digest model regular_files table_digest tables / numpy",
    "tables": "/ numpy",
    "taskentry": "errors pathnames",
    "taskspec": "errors model pathnames tables taskentry",
    "terminal": "/ rich",
    "terms": "",
    "time_steps": "",
    "tree_check": "checksum crate_layout errors model sketch untrusted_json",
    "unfinished": "gaps model stamps taskspec time_steps values",
    "unpack": "errors regular_files",
    "untrusted_json": "errors regular_files",
    "validate": (
        "consistency crate_check crate_layout errors model record_json terms tree_check unpack untrusted_json"
        " / jsonschema referencing"
    ),
    "values": "/ numpy",
    "virtual_models": "digest keywords tables / numpy",
    "walks": "regular_files stamps tables",
    "watches": "own_work regular_files stamps",
    "work_folder": "errors",
    "worker": "errors",
}

# The command line is the top: all of the core when it is loaded, edges only inside functions.
TOP = {"cli", "cli_kernel", "console"}
TOP_PACKAGES = {"click", "rich"}

# What an edge may import: casaprov's modules (besides what every edge may), and the world it owns.
EVERY_EDGE = {
    "checksum",
    "config",
    "digest",
    "digester",
    "errors",
    "model",
    "record_json",
    "tables",
    "terms",
    "values",
    "worker",
}
EDGES: dict[str, str] = {
    "casa": (
        "archive_checksums calls compare crate doctor endings journal lineage listings locate opened other_notebooks pathnames plan readers recorder replay report runner stamps"
        " taskspec unfinished work_folder / casaconfig casashell casatasks casatools git numpy platformdirs"
    ),
    "ingest": "compare crate prov store unpack validate / tornado",
    "notebook": (
        "activities calls cell_order config crate crate_layout doctor drawing gaps journal journal_reader lineage own_work payload recorder saved_cells signals stamps taskspec unfinished validate"
        " / IPython ipykernel jupyter_client jupyter_server nbclient nbformat traitlets"
    ),
    "readers": (
        "compare compare_pictures digest_cache fits_digest reading regular_files sketch table_parts"
        " / PIL astropy casaconfig casacore casatools numpy platformdirs"
    ),
    "vo": "/ astropy pyvo",
}

FOREIGN = {
    "IPython", "PIL", "astropy", "casaconfig", "casacore", "casadata", "casashell", "casatasks", "casatools", "distributed",
    "ipykernel", "jupyter_client", "jupyter_server", "matplotlib", "nbclient", "pyvo", "tornado", "traitlets", "zmq",
}  # fmt: skip


def _allowed(line: str) -> tuple[set[str], set[str]]:
    internal, _, packages = line.partition("/")
    return set(internal.split()), set(packages.split())


def _modules(tree: ast.AST) -> set[str]:
    """Names of the imported modules, dotted; relative imports are refused elsewhere, by ruff and below."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it leads"
            assert node.module is not None
            if node.module == "casaprov":
                found |= {f"casaprov.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


def _split(modules: set[str]) -> tuple[set[str], set[str]]:
    """Parts of casaprov, and other people's packages."""
    internal = {name.split(".")[1] for name in modules if name.startswith("casaprov.")}
    packages = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"casaprov"}
    return internal - {"__version__"}, packages


def _typing_only(tree: ast.Module) -> None:
    """Remove what only type checkers read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]


def _when_loaded(tree: ast.Module) -> ast.Module:
    """Keep what runs when the module is imported: without the bodies of functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return tree


def _parsed(path: Path) -> ast.Module:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    _typing_only(tree)
    return tree


def _core_files() -> list[Path]:
    return sorted(path for path in PACKAGE.glob("*.py") if path.stem not in TOP)


def _edge_files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def test_the_table_is_sorted() -> None:
    assert list(CORE) == sorted(CORE)
    assert list(EDGES) == sorted(EDGES)


@pytest.mark.parametrize("path", _core_files(), ids=lambda path: path.stem)
def test_a_core_module_imports_only_what_the_table_allows(path: Path) -> None:
    assert path.stem in CORE, f"add {path.stem} to the table CORE, with what it may import"
    internal, packages = _split(_modules(_parsed(path)))
    allowed_internal, allowed_packages = _allowed(CORE[path.stem])
    assert internal <= allowed_internal, f"{path.name} imports more of casaprov than the table allows"
    assert packages <= allowed_packages, f"{path.name} imports more packages than the table allows"


@pytest.mark.parametrize("path", _edge_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_an_edge_imports_only_the_world_it_owns(path: Path) -> None:
    edge = path.relative_to(PACKAGE).parts[0]
    assert edge in EDGES, f"add the folder {edge} to the table EDGES, with what it may import"
    internal, packages = _split(_modules(_parsed(path)))
    allowed_internal, allowed_packages = _allowed(EDGES[edge])
    assert internal <= allowed_internal | EVERY_EDGE | {edge}
    assert packages <= allowed_packages


@pytest.mark.parametrize("name", sorted(TOP))
def test_the_command_line_loads_no_edge_and_no_foreign_world(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    if path.exists():
        internal, packages = _split(_modules(_when_loaded(_parsed(path))))
        assert internal <= (set(CORE) | TOP) - {"__main__", "kernel_hook"}
        assert packages <= TOP_PACKAGES


def test_no_core_module_reaches_a_foreign_world_through_the_table() -> None:
    assert {name: _allowed(line)[1] & FOREIGN for name, line in CORE.items() if _allowed(line)[1] & FOREIGN} == {}


def test_the_core_has_no_import_cycle() -> None:
    rest = {name: _allowed(line)[0] & set(CORE) for name, line in CORE.items()}
    while free := {name for name, needs in rest.items() if not needs & set(rest)}:
        rest = {name: needs for name, needs in rest.items() if name not in free}
    assert rest == {}


def _loaded_by(statement: str) -> set[str]:
    code = (
        f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PACKAGE.parent, check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_importing_the_whole_core_loads_no_foreign_world() -> None:
    # kernel_hook is what a kernel loads: it is the bridge to two edges.
    names = [path.stem for path in PACKAGE.glob("*.py") if path.stem not in {"__init__", "__main__", "kernel_hook"}]
    assert names
    assert _loaded_by("\n".join(f"import casaprov.{name}" for name in names)) & FOREIGN == set()


def test_importing_the_package_loads_nothing_but_the_standard_library() -> None:
    before = _loaded_by("pass")
    assert _loaded_by("import casaprov") - before - set(sys.stdlib_module_names) == {"casaprov"}


def test_a_kernel_that_records_loads_nothing_that_is_slow_to_load() -> None:
    # nbformat brings jsonschema and, with it, grammars that take two seconds to compile.
    slow = {"PIL", "git", "grpc", "jsonschema", "matplotlib", "nbformat", "rocrate"}
    assert _loaded_by("import casaprov.kernel_hook") & slow == set()
    # The same goes for what it loads when a cell runs again, or '%casaprov status' is asked for.
    later = "import casaprov.kernel_hook, casaprov.notebook.order, casaprov.notebook.overview"
    assert _loaded_by(later) & slow == set()
