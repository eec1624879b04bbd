"""Restoring: the products that a call left, or the files as they were; never a third state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import killed_at
from casaprov.errors import NotRestored
from casaprov.files.copying import can_clone
from casaprov.files.stamps import stamp
from casaprov.recompute import restore as restoring
from casaprov.recompute.restore import Restored, recover, restore
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from checkout import ROOT
from stored_results import a_manifest, keep, tree, write_tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(store: Store, work: Path) -> Manifest:
    product = write_tree(work / "w.ms", **{"table.f1": "new", "SUB_table.f0": "below", "table.lock": "rows"})
    product.joinpath("read-only").touch(0o440)
    product.joinpath("SUB").chmod(0o550)
    return keep(store, {"w.ms": product, "gone": work / "gone"})


def put_back(store: Store, manifest: Manifest, work: Path, **options: Any) -> Restored:
    targets = {product.name: work / product.name for product in manifest.products}
    return restore(store, manifest, targets, intents=work.parent / "intents", **options)


def nothing_is_left(work: Path) -> bool:
    intents = work.parent / "intents"
    return not list(work.glob(".casaprov*")) and not (intents.exists() and list(intents.iterdir()))


def test_a_missing_product_comes_back_with_permissions_and_empty_folders(
    store: Store, kept: Manifest, work: Path
) -> None:
    before = tree(work / "w.ms")
    (work / "w.ms").rename(work.parent / "moved")
    put_back(store, kept, work)
    assert tree(work / "w.ms") == before
    assert nothing_is_left(work)


def test_another_product_is_replaced_and_one_that_the_call_removes_goes(
    store: Store, kept: Manifest, work: Path
) -> None:
    before = tree(work / "w.ms")
    (work / "w.ms").rename(work.parent / "moved")
    write_tree(work / "w.ms", other="file")
    (work / "gone").write_text("still there")
    put_back(store, kept, work)
    assert tree(work / "w.ms") == before
    assert not (work / "gone").exists()
    assert nothing_is_left(work)


def test_what_is_there_already_is_not_written_again(store: Store, kept: Manifest, work: Path) -> None:
    put_back(store, kept, work)  # digests of what is there are known from when it was kept
    before = stamp(work / "w.ms")
    restored = put_back(store, kept, work)
    assert (restored.written_bytes, restored.stamps["w.ms"]) == (0, before)
    assert stamp(work / "w.ms") == before


def test_a_restored_file_is_no_link_to_the_store(store: Store, kept: Manifest, work: Path) -> None:
    (work / "w.ms").rename(work.parent / "moved")
    put_back(store, kept, work)
    assert all(path.stat().st_nlink == 1 for path in (work / "w.ms").rglob("*") if path.is_file())
    (work / "w.ms" / "table.f1").write_text("CASA writes in place")
    assert store.lookup(kept.key) == kept
    (work / "w.ms").rename(work.parent / "another")
    put_back(store, kept, work)
    assert (work / "w.ms" / "table.f1").read_text() == "new"


def test_the_target_of_a_link_is_replaced_and_the_link_stays(store: Store, kept: Manifest, work: Path) -> None:
    real = write_tree(work.parent / "disk" / "w.ms", other="file")
    before = tree(work / "w.ms")
    (work / "w.ms").rename(work.parent / "moved")
    (work / "w.ms").symlink_to(real)
    put_back(store, kept, work)
    assert (work / "w.ms").is_symlink()
    assert tree(real) == before


def test_a_restored_product_is_kept_again_without_a_copy(store: Store, kept: Manifest, work: Path) -> None:
    (work / "w.ms").rename(work.parent / "moved")
    put_back(store, kept, work)
    captured = store.capture({"w.ms": work / "w.ms"}, 10)
    clones = [file.found.path for _, files in captured.products.values() for file in files if file.clone is not None]
    store.discard(captured)
    assert clones == []


def test_a_file_that_changes_after_the_restore_is_read_again(store: Store, kept: Manifest, work: Path) -> None:
    (work / "w.ms").rename(work.parent / "moved")
    put_back(store, kept, work)
    (work / "w.ms" / "table.f1").write_text("NEW")
    later = keep(store, {"w.ms": work / "w.ms"}, a_manifest("later"))
    (work / "w.ms").rename(work.parent / "another")
    put_back(store, later, work)
    assert (work / "w.ms" / "table.f1").read_text() == "NEW"


# -- refused -----------------------------------------------------------------------


def refused(store: Store, kept: Manifest, work: Path, match: str, **options: Any) -> None:
    before = tree(work)
    with pytest.raises(NotRestored, match=match):
        put_back(store, kept, work, **options)
    assert tree(work) == before
    assert nothing_is_left(work)


def other(work: Path) -> Path:
    (work / "w.ms").rename(work.parent / "moved")
    return write_tree(work / "w.ms", other="file")


def test_nothing_is_replaced_while_it_is_open(store: Store, kept: Manifest, work: Path) -> None:
    other(work)
    refused(store, kept, work, "open", held=lambda _paths: "it is open")


def test_nothing_is_replaced_if_it_is_opened_meanwhile(store: Store, kept: Manifest, work: Path) -> None:
    other(work)
    answers = iter(["", "it was opened"])

    def held(paths: Sequence[Path]) -> str:
        assert list(paths) == [work / "w.ms"]
        return next(answers)

    refused(store, kept, work, "opened", held=held)


def test_nothing_is_replaced_if_an_input_changes_meanwhile(store: Store, kept: Manifest, work: Path) -> None:
    other(work)
    answers = iter(["", "an input changed"])
    refused(store, kept, work, "input", changed=lambda: next(answers))


def test_nothing_is_replaced_that_changes_meanwhile(store: Store, kept: Manifest, work: Path) -> None:
    other(work)
    answers = iter([False, True])

    def changed() -> str:
        if next(answers):
            (work / "w.ms" / "other").write_text("written meanwhile")
        return ""

    with pytest.raises(NotRestored, match="changed meanwhile"):
        put_back(store, kept, work, changed=changed)
    assert (work / "w.ms" / "other").read_text() == "written meanwhile"
    assert nothing_is_left(work)


@pytest.mark.parametrize("when", ["first", "last"])
def test_an_object_that_is_evicted_under_a_restore_is_a_miss(
    store: Store, kept: Manifest, work: Path, when: str
) -> None:
    other(work)
    digests = [member.digest for member in kept.files]
    gone = digests[0] if when == "first" else digests[-1]
    assert gone is not None

    def evict() -> str:
        store.folder.object(gone).unlink(missing_ok=True)
        return ""

    refused(store, kept, work, "cannot be read", changed=evict)


def test_an_object_that_is_changed_under_a_restore_is_a_miss(store: Store, kept: Manifest, work: Path) -> None:
    other(work)
    digest = next(member.digest for member in kept.files if member.path == "table.f1")
    assert digest is not None

    def damage() -> str:
        store.folder.object(digest).chmod(0o600)
        store.folder.object(digest).write_text("NEW")
        return ""

    refused(store, kept, work, "changed since", changed=damage)


@pytest.mark.parametrize("odd", ["link", "hard link"])
def test_a_product_with_links_is_not_replaced(store: Store, kept: Manifest, work: Path, odd: str) -> None:
    path = other(work)
    if odd == "link":
        (path / "odd").symlink_to("/etc/passwd")
    else:
        (path / "odd").hardlink_to(path / "other")
    refused(store, kept, work, r"is a link|hard link")


def test_a_product_without_a_folder_is_not_restored(store: Store, kept: Manifest, work: Path) -> None:
    with pytest.raises(NotRestored, match="no folder"):
        restore(store, kept, {"w.ms": work / "no" / "w.ms", "gone": work / "gone"}, intents=work / "intents")


def test_products_inside_each_other_are_not_restored(store: Store, kept: Manifest, work: Path) -> None:
    (work / "a").mkdir()
    with pytest.raises(NotRestored, match="inside another"):
        restore(store, kept, {"w.ms": work / "a", "gone": work / "a" / "b"}, intents=work / "intents")


def test_a_failure_between_two_exchanges_takes_the_first_back(
    store: Store, kept: Manifest, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from casaprov.recompute import exchange

    other(work)
    (work / "gone").write_text("still there")
    rename, calls = exchange._renameat2, []

    def failing(source: Path, target: Path, flags: int) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target, flags)

    monkeypatch.setattr(exchange, "_renameat2", failing)
    refused(store, kept, work, "Input/output error")
    assert len(calls) == 3


# -- kills -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [False, pytest.param(True, marks=pytest.mark.long)], ids=["whole products", "files that differ"]
)
def test_a_kill_at_any_file_operation_leaves_the_old_or_the_new_state(tmp_path: Path, *, parts: bool) -> None:
    if parts and can_clone(tmp_path):
        pytest.skip("this file system clones files: products are always exchanged whole")
    command = [sys.executable, killed_at.__file__, "killed_restore", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support", **({"PARTS": "yes"} if parts else {})}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    states = json.loads(done.stdout)
    old, new = states["before"]["recovered"], states["after"]["recovered"]
    assert old != new
    assert len(states["killed"]) > 80
    outcomes = []
    for state in states["killed"]:
        assert state["recovered"] in (old, new)
        assert state["left"] == []
        outcomes.append((state["found"] in (old, new), state["recovered"] == new))
        if not parts:  # even before the next session each product is whole
            assert all(found in (before, after) for found, before, after in zip(state["found"], old, new, strict=True))
    assert set(outcomes) >= {(True, False), (False, False), (True, True)}
    assert sorted(outcomes, key=lambda outcome: outcome[1]) == outcomes  # once new, always new


def test_only_files_that_differ_are_copied(store: Store, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if can_clone(work):
        pytest.skip("this file system clones files: nothing is copied")
    monkeypatch.setattr(restoring, "_SAVED_BYTES", 100)
    product = write_tree(work / "w.ms", **{"table.f1": "1" * 500, "table.f2": "2" * 50, "SUB_table.f0": "below"})
    write_tree(product / "NEW", **{"table.f1": "new"})
    kept = keep(store, {"w.ms": product})
    before, inode = tree(product), (product / "table.f1").stat().st_ino
    (product / "table.f2").write_text("changed")
    (product / "added").write_text("x")
    (product / "NEW" / "table.f1").unlink()
    (product / "NEW" / "SUB").rmdir()
    (product / "NEW").rmdir()
    write_tree(product / "OTHER", a="b")
    restored = put_back(store, kept, work)
    assert tree(product) == before
    assert (product / "table.f1").stat().st_ino == inode
    assert restored.written_bytes == 53
    assert nothing_is_left(work)
    (product / "SUB").chmod(0o700)
    assert put_back(store, kept, work).written_bytes == 558
    assert tree(product) == before


def intent(folder: Path, **lines: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "0123456789abcdef.json"
    path.write_text("".join(json.dumps({name: value}) + "\n" for name, value in lines.items()))
    return path


@pytest.mark.parametrize(
    "beside", ["{work}/precious", "{work}/.casaprov-0123456789abcdef-1", "/.casaprov-0123456789abcdef-0"]
)
def test_a_record_from_elsewhere_removes_nothing(work: Path, tmp_path: Path, beside: str) -> None:
    precious = write_tree(work / "precious", a="b")
    write_tree(work / ".casaprov-0123456789abcdef-1", a="b")
    before = tree(work)
    intent(tmp_path / "intents", changes=[[str(precious), beside.format(work=work), None]])
    assert "cannot be followed" in recover(tmp_path / "intents")[0]
    assert tree(work) == before


def test_what_changed_since_a_kill_is_not_taken_back(work: Path, tmp_path: Path) -> None:
    first, second = write_tree(work / "first", a="new"), write_tree(work / "second", a="old")
    besides = [work / f".casaprov-0123456789abcdef-{number}" for number in (0, 1)]
    write_tree(besides[0], a="old")
    write_tree(besides[1], a="new")
    path = intent(
        tmp_path / "intents",
        changes=[[str(first), str(besides[0]), besides[0].stat().st_ino], [str(second), str(besides[1]), second.stat().st_ino]],
        built=[[first.stat().st_ino, stamp(first).digest], [besides[1].stat().st_ino, stamp(besides[1]).digest]],
    )  # fmt: skip
    (first / "a").write_text("work of the user")
    assert "changed since" in recover(tmp_path / "intents")[0]
    assert (first / "a").read_text() == "work of the user"
    assert (second / "a").read_text() == "old"
    assert not path.exists()


def test_a_restore_at_work_is_left_alone_by_another_session(store: Store, kept: Manifest, work: Path) -> None:
    other(work)

    def other_session() -> str:
        script = "import sys; from pathlib import Path; from casaprov.recompute.restore import recover; print(recover(Path(sys.argv[1])))"
        command = [sys.executable, "-c", script, str(work.parent / "intents")]
        assert subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout == "()\n"
        return ""

    put_back(store, kept, work, changed=other_session)
    assert (work / "w.ms" / "table.f1").read_text() == "new"
