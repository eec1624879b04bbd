"""The shape of the code: what may import what.

The root of ``casaprov/`` holds the words and the doors; packages are the parts, and edges own one foreign world
each. A new package or root module needs a line in ``ROOMS``.
"""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from checkout import ROOT

PACKAGE = ROOT / "casaprov"

WORDS = {"config", "doctor", "errors", "hashing", "terms", "version"}
DOORS = {"casa_kernel", "crate", "kernel_hook", "recorder", "replay", "runner", "script_hook"}
EDGES = {"archive", "casa", "cli", "kernel", "notebook", "package_index", "profiles", "readers", "vo"}
ENTRIES = {"__init__", "__main__"}

# What each package, and each module of the root, may import: rooms of casaprov by their folder, then other people's
# packages. Functions count as well as modules. Sorted.
ROOMS: dict[str, str] = {
    "__init__": "kernel_hook recompute recording version",
    "__main__": "cli",
    "archive": "config errors untrusted / ocfl platformdirs requests streaming_form_data",
    "archive/app": "archive archive/identity archive/pages archive/publication archive/publication/git archive/tables archive/web archive/work doctor errors / requests tornado",
    "archive/identity": "archive errors / joserfc tornado",
    "archive/pages": "archive archive/publication/git archive/publication/metadata archive/web / jinja2 tornado",
    "archive/publication": "archive archive/publication/git archive/publication/harvest archive/publication/metadata archive/publication/vo archive/web errors version / boto3 botocore joserfc",
    "archive/publication/git": "archive archive/publication/metadata archive/web errors / dulwich requests",
    "archive/publication/harvest": "archive archive/publication/metadata archive/tables archive/web",
    "archive/publication/metadata": "archive",
    "archive/publication/vo": "archive archive/publication/harvest archive/publication/metadata archive/web errors / sqlalchemy",
    "archive/tables": "archive errors / alembic cattrs sqlalchemy",
    "archive/tables/migrations": "archive/tables / alembic",
    "archive/tables/migrations/versions": "/ alembic sqlalchemy",
    "archive/web": "archive archive/identity archive/tables errors version / tornado",
    "archive/work": "archive archive/tables confinement crates crates/checking errors records untrusted version / distributed nbformat",
    "casa": "casa/hooks casa/installed casa/plots casa/sandbox config confinement digests doctor errors files hashing journal lineage processes recompute recompute/store recorder recording records replays tasks version",
    "casa/hooks": "casa/installed casa/plots files records tasks / wrapt",
    "casa/installed": "errors records version / git platformdirs",
    "casa/plots": "casa/installed doctor errors files processes tasks version / platformdirs",
    "casa/sandbox": "casa/hooks casa/installed casa/plots comparison confinement digests errors files processes readers recompute recompute/store records replays tasks version",
    "casa_kernel": "kernel_hook",
    "casalogs": "digests errors hashing journal records tasks version",
    "cli": "archive archive/app archive/tables casa casa/installed casa/plots casalogs comparison config crate crates crates/checking credits descriptions diffs doctor drawings errors forecast hashing journal lineage notebook package_index privacy processes profiles readers recompute/store records replay replays script_hook tasks untrusted version vo / click rich",
    "comparison": "digests errors files formats hashing records / numpy",
    "config": "errors",
    "confinement": "config errors",
    "crate": "crates crates/checking credits errors files hashing lineage records untrusted",
    "crates": "credits digests errors files hashing journal lineage observations records terms untrusted / rocrate",
    "crates/checking": "crates digests errors files hashing lineage records terms untrusted",
    "credits": "errors / packaging yaml",
    "descriptions": "crates credits errors hashing lineage observations records terms",
    "diffs": "comparison digests errors files hashing lineage records replays untrusted / jinja2",
    "digests": "errors files formats hashing processes records / numpy",
    "doctor": "errors version / platformdirs",
    "drawings": "errors lineage records",
    "errors": "",
    "files": "errors hashing processes",
    "forecast": "digests errors hashing lineage records scripts tasks",
    "formats": "errors files hashing / numpy",
    "hashing": "errors",
    "journal": "errors files hashing processes records",
    "kernel": "config errors hashing journal lineage notebook processes readers recording records runner scripts tasks / IPython traitlets",
    "kernel/display": "config kernel records tasks / IPython",
    "kernel/magics": "comparison config crates diffs digests drawings errors files forecast hashing journal kernel lineage notebook recording records / IPython",
    "kernel_hook": "casa casa/hooks casa/installed casa/plots errors journal kernel kernel/display kernel/magics notebook recording scripts",
    "lineage": "errors hashing records terms untrusted/parsing",
    "notebook": "crate crates credits descriptions digests doctor errors files hashing journal lineage previews privacy processes recording records replays scripts tasks version / ipykernel jupyter_client jupyter_server nbclient nbformat",
    "observations": "errors formats records / numpy",
    "package_index": "errors / packaging requests",
    "previews": "crates drawings lineage observations records / jinja2 markupsafe",
    "privacy": "crates digests errors hashing journal lineage records scripts untrusted/parsing / numpy",
    "processes": "errors untrusted/parsing",
    "profiles": "confinement errors records terms version / requests requests_cache rocrate_validator urllib3",
    "readers": "comparison config confinement digests errors files formats observations processes records / PIL astropy casaconfig casacore casatools numpy platformdirs",
    "recompute": "digests errors files hashing processes recompute/store records tasks / numpy",
    "recompute/store": "config digests errors files hashing / platformdirs",
    "recorder": "digests files hashing journal processes recording records tasks",
    "recording": "comparison digests errors files hashing journal lineage processes records tasks",
    "records": "errors hashing terms / cattrs jsonschema jsonschema_rs numpy referencing",
    "replay": "comparison confinement crate digests errors lineage recorder records replays runner tasks version",
    "replays": "comparison confinement digests errors files hashing journal lineage records tasks untrusted / numpy",
    "runner": "digests files recompute recorder recording records tasks",
    "script_hook": "casa casa/hooks casa/installed casa/plots errors hashing journal kernel recording records scripts tasks version",
    "scripts": "errors hashing journal records / jupytext",
    "tasks": "errors files hashing records",
    "terms": "",
    "untrusted": "confinement errors files formats processes untrusted/parsing",
    "untrusted/parsing": "",
    "version": "",
    "vo": "crates descriptions errors journal lineage records / astropy numpy platformdirs pyvo requests",
}

FOREIGN = {
    "IPython", "PIL", "astropy", "casaconfig", "casacore", "casadata", "casashell", "casatasks", "casatools", "distributed",
    "ipykernel", "jupyter_client", "jupyter_server", "matplotlib", "nbclient", "pyvo", "tornado", "traitlets", "zmq",
}  # fmt: skip


MOST_FILES = {"notebook": 14}  # until its server moves out
USUAL_FILES = 12


def _room(path: Path) -> str:
    """Name of the package that holds `path`, or the module's own name for files of the root."""
    folder = path.parent.relative_to(PACKAGE)
    return path.stem if path.parent == PACKAGE else folder.as_posix()


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _modules() -> dict[str, str]:
    """Dotted name of each module and package, and its room."""
    found = {}
    for path in _files():
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = _room(path)
    return found


MODULES = _modules()


def _parsed(path: Path) -> ast.Module:
    """Parse a module, without what only type checkers read."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted name of each module that is imported anywhere, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it leads"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


@cache
def _reached(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Rooms of casaprov and packages of others that a module imports."""
    names = set(_imports(_parsed(path)))
    rooms = {MODULES[name] for name in names if name.partition(".")[0] == "casaprov"} - {_room(path)}
    packages = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"casaprov"}
    return frozenset(rooms), frozenset(packages)


def _allowed(room: str) -> tuple[set[str], set[str]]:
    internal, _, packages = ROOMS[room].partition("/ ")
    return set(internal.split()), set(packages.split())


def _top(room: str) -> str:
    return room.partition("/")[0]


def test_the_table_is_sorted_and_has_no_line_too_many() -> None:
    assert list(ROOMS) == sorted(ROOMS)
    assert set(ROOMS) == {_room(path) for path in _files()}


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_the_table_allows(path: Path) -> None:
    rooms, packages = _reached(path)
    allowed_rooms, allowed_packages = _allowed(_room(path))
    assert rooms <= allowed_rooms, "it imports rooms that its own may not"
    assert packages <= allowed_packages, "it imports other people's packages that its room may not"


def test_the_table_allows_nothing_that_nobody_needs() -> None:
    for room in ROOMS:
        reached = [_reached(path) for path in _files() if _room(path) == room]
        needed = set().union(*(rooms for rooms, _ in reached)), set().union(*(packages for _, packages in reached))
        assert _allowed(room) == needed, room


def test_packages_are_a_dag() -> None:
    graph: dict[str, set[str]] = {}
    for path in _files():
        graph.setdefault(_room(path), set()).update(_reached(path)[0])
    # The package's own module is what users import; it opens doors when they ask.
    graph.pop("__init__")
    list(graphlib.TopologicalSorter(graph).static_order())  # an error names the circle


def test_a_part_imports_no_door_and_no_edge() -> None:
    parts = {room for room in ROOMS if _top(room) not in WORDS | DOORS | EDGES | ENTRIES}
    assert parts
    for part in parts | WORDS:
        assert {_top(room) for room in _allowed(part)[0]} & (DOORS | EDGES | ENTRIES) == set(), part


def test_of_the_doors_only_the_hooks_reach_casa_and_notebooks() -> None:
    for door in DOORS - {"kernel_hook", "script_hook"}:
        assert {_top(room) for room in _allowed(door)[0]} & (EDGES - {"readers"}) == set(), door


def test_no_word_part_or_door_imports_a_foreign_world() -> None:
    for room in ROOMS:
        if _top(room) not in EDGES:
            assert _allowed(room)[1] & FOREIGN == set(), room


def test_a_folder_can_be_read_at_a_glance() -> None:
    for folder in {path.parent for path in _files()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        name = folder.relative_to(PACKAGE).as_posix()
        assert len(files) <= MOST_FILES.get(name, USUAL_FILES if folder != PACKAGE else 15), name


def test_the_init_of_a_package_says_what_it_is_for_and_imports_nothing() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = _parsed(path)
        assert ast.get_docstring(tree), path
        # Functions may import: the command line's main, and what the package itself offers.
        loaded = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert {node.module for node in loaded if isinstance(node, ast.ImportFrom)} <= {"__future__", "typing"}, path


def _loaded_by(statement: str) -> set[str]:
    code = (
        f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PACKAGE.parent, check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_importing_the_whole_core_loads_no_foreign_world() -> None:
    names = [name for name, room in MODULES.items() if _top(room) not in EDGES | ENTRIES | {"kernel_hook"}]
    assert names
    assert _loaded_by("\n".join(f"import {name}" for name in names)) & FOREIGN == set()


def test_importing_the_package_loads_nothing_but_the_standard_library() -> None:
    before = _loaded_by("pass")
    assert _loaded_by("import casaprov") - before - set(sys.stdlib_module_names) == {"casaprov"}


def test_a_kernel_that_records_loads_nothing_that_is_slow_to_load() -> None:
    # nbformat brings jsonschema and, with it, grammars that take two seconds to compile.
    slow = {"PIL", "git", "grpc", "jsonschema", "matplotlib", "nbformat", "rocrate"}
    assert _loaded_by("import casaprov.kernel_hook") & slow == set()
    # The same goes for what it loads when a cell runs again, or '%casaprov status' is asked for.
    later = "import casaprov.kernel_hook, casaprov.runner, casaprov.casa.session, casaprov.readers.installed\n"
    later += "import casaprov.kernel.order, casaprov.kernel.magics.overview"
    assert _loaded_by(later) & slow == set()
