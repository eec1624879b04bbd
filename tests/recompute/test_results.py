"""The store: what was kept is found whole, or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from casaprov.config import Config
from casaprov.errors import NotKept
from casaprov.files.stamps import stamp
from casaprov.recompute.store import results
from casaprov.recompute.store.eviction import Limits, evict
from casaprov.recompute.store.manifest import Manifest, Member
from casaprov.recompute.store.opening import open_store, store_place
from casaprov.recompute.store.results import Miss, Store
from stored_results import a_key, a_manifest, keep, measured, recorded, write_tree


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notices: list[str]) -> Store:
    return Store(tmp_path / ".casaprov" / "store", on_notice=notices.append)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    path = write_tree(tmp_path / "w.ms", **{"table.f0": "data" * 50, "SUB_table.f0": "more", "table.lock": "rows"})
    path.joinpath("empty").touch(mode=0o640)
    return path


def object_of(store: Store, manifest: Manifest, path: str) -> Path:
    digest = next(member.digest for member in manifest.files if member.path == path)
    assert digest is not None
    return store.folder.object(digest)


def found(store: Store, key: str = "call") -> Manifest:
    result = store.lookup(a_key(key))
    assert isinstance(result, Manifest), result
    return result


def missed(store: Store, key: str = "call") -> Miss:
    result = store.lookup(a_key(key))
    assert isinstance(result, Miss)
    return result


def test_a_result_is_found_with_every_file_and_all_that_the_call_gave(store: Store, product: Path) -> None:
    manifest = a_manifest(
        returned={"b": 1, "a": [None, {"@float": "nan"}]}, log="log\n", printed=(("stdout", "x"),),
        figures=({"image/png": "AA=="},), facts={"vis": "w.ms"}, task="setjy", notebook="n.ipynb",
    )  # fmt: skip
    kept = keep(store, {"w.ms": product, "gone": product.parent / "gone"}, manifest)
    assert store.lookup(a_key("call")) == kept
    assert [(m.path, m.size_bytes) for m in kept.products[0].members] == [
        ("", 0), ("SUB", 0), ("SUB/table.f0", 4), ("empty", 0), ("table.f0", 200), ("table.lock", 4),
    ]  # fmt: skip
    assert kept.products[1].members == ()
    assert list(found(store).returned) == ["b", "a"]


def test_a_later_session_finds_it_as_well(store: Store, product: Path) -> None:
    kept = keep(store, {"w.ms": product})
    assert Store(store.folder.path).lookup(kept.key) == kept


def test_a_key_under_which_nothing_was_kept_is_a_miss(store: Store, product: Path) -> None:
    assert missed(store).reason == "No result is stored for it."
    assert not store.folder.path.exists()
    keep(store, {"w.ms": product})
    assert not missed(store, "another call").damaged


def test_a_further_key_finds_the_same_result(store: Store, product: Path) -> None:
    kept = keep(store, {"w.ms": product}, a_manifest(aliases=(a_key("alias"),)))
    assert store.lookup(a_key("alias")) == kept


def test_equal_files_are_stored_once_and_nothing_else_stays(store: Store, product: Path) -> None:
    keep(store, {"w.ms": product})
    before = {entry.path: entry.inode() for entry in store.folder.objects()}
    (product / "SUB" / "table.f0").write_text("changed")
    keep(store, {"w.ms": product}, a_manifest("second"))
    after = {entry.path: entry.inode() for entry in store.folder.objects()}
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()
    assert list((store.folder.path / "part").iterdir()) == []


def test_objects_are_read_only_and_no_hard_links(store: Store, product: Path) -> None:
    keep(store, {"w.ms": product})
    for entry in store.folder.objects():
        assert entry.stat().st_mode & 0o222 == 0
        assert entry.stat().st_nlink == 1
    assert all(path.stat().st_nlink == 1 for path in product.rglob("*") if path.is_file())


def test_a_store_is_closed_to_others_unless_its_folder_is_open(store: Store, product: Path, tmp_path: Path) -> None:
    keep(store, {"w.ms": product})
    assert all(entry.stat().st_mode & 0o077 == 0 for entry in (*store.folder.objects(), *store.folder.results()))
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2770)
    group = Store(shared)
    keep(group, {"w.ms": product})
    modes = {stat.S_IMODE(entry.stat().st_mode) for entry in group.folder.objects()}
    assert modes == {0o440}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in group.folder.results()} == {0o660}
    assert stat.S_IMODE((shared / "objects").stat().st_mode) == 0o2770


def test_a_result_that_another_process_drops_during_a_look_up_is_a_plain_miss(
    store: Store, product: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, {"w.ms": product})
    examine = store._fault_of

    def dropped(member: Member) -> str:
        evict(store.folder, now_s=0, limits=Limits(0))
        return examine(member)

    monkeypatch.setattr(store, "_fault_of", dropped)
    assert not missed(store).damaged
    assert not [notice for notice in notices if "damaged" in notice]


def test_a_result_that_another_process_keeps_anew_during_a_look_up_is_found(
    store: Store, product: Path, notices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(store, {"w.ms": product})
    examine = store._fault_of

    def replaced(member: Member) -> str:
        monkeypatch.setattr(store, "_fault_of", examine)
        evict(store.folder, now_s=0, limits=Limits(0))
        fault = examine(member)
        keep(store, {"w.ms": product})
        return fault

    monkeypatch.setattr(store, "_fault_of", replaced)
    assert found(store) == kept
    assert not [notice for notice in notices if "damaged" in notice]


@pytest.mark.parametrize("known", [True, False], ids=["same session", "another session"])
@pytest.mark.parametrize("damage", ["missing", "shorter", "other bytes", "other bytes, same time"])
def test_a_damaged_object_is_a_miss_and_is_told_once(
    store: Store, product: Path, notices: list[str], damage: str, known: bool
) -> None:
    kept = keep(store, {"w.ms": product})
    path = object_of(store, kept, "table.f0")
    facts = path.stat()
    if damage == "missing":
        path.unlink()
    else:
        path.chmod(0o600)
        path.write_text("data" if damage == "shorter" else "DATA" * 50)
        if damage.endswith("same time"):
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    notices.clear()
    reader = store if known else Store(store.folder.path, on_notice=notices.append)
    miss = reader.lookup(kept.key)
    assert isinstance(miss, Miss)
    assert miss.damaged
    assert "The call runs again" in notices[0]
    keep(store, {"w.ms": product})  # the call ran again
    assert isinstance(reader.lookup(kept.key), Manifest)


@pytest.mark.parametrize("edit", [b"", b"{}", b"\0", b'{"format": "casaprov/manifest/1"}\n', None])
def test_a_damaged_manifest_is_a_miss_and_is_dropped(
    store: Store, product: Path, notices: list[str], edit: bytes | None
) -> None:
    kept = keep(store, {"w.ms": product})
    path = store.folder.result(kept.key)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"table.f0"', b'"../../f0"') if edit is None else edit)
    notices.clear()
    assert missed(store).damaged
    assert "damaged" in notices[0]
    assert not path.exists()


def test_a_result_of_another_call_under_the_key_is_a_miss(store: Store, product: Path) -> None:
    kept = keep(store, {"w.ms": product})
    other = store.folder.result(a_key("other"))
    other.parent.mkdir()
    other.write_bytes(store.folder.result(kept.key).read_bytes())
    assert missed(store, "other").damaged


def test_a_store_of_another_version_is_left_alone(store: Store, product: Path) -> None:
    keep(store, {"w.ms": product})
    (store.folder.path / "format").write_text("casaprov/store/2\n")
    assert "does not know" in missed(store).reason
    with pytest.raises(NotKept, match="does not know"):
        keep(store, {"w.ms": product}, a_manifest("second"))


def test_what_was_changed_after_the_call_is_not_kept(store: Store, product: Path) -> None:
    captured = store.capture({"w.ms": product}, 10)
    old = measured(product)
    (product / "table.f0").write_text("other")
    with pytest.raises(NotKept, match="changed after the call"):
        store.keep(captured, a_manifest(), {"w.ms": (stamp(product), old)})
    assert not missed(store).damaged
    assert list((store.folder.path / "part").iterdir()) == []


def test_what_was_changed_after_it_was_captured_is_kept_as_it_was(store: Store, product: Path) -> None:
    captured = store.capture({"w.ms": product}, 10)
    before = recorded(captured, {"w.ms": product})
    (product / "table.f0").write_text("other")
    kept = store.keep(captured, a_manifest(), before)
    assert object_of(store, kept, "table.f0").read_text() == "data" * 50
    # The digest of the file as it is now must not be taken for that of the captured one.
    second = keep(store, {"w.ms": product}, a_manifest("second"))
    assert object_of(store, second, "table.f0").read_text() == "other"


def test_two_contents_of_one_call_are_served_no_more(store: Store, product: Path) -> None:
    keep(store, {"w.ms": product})
    (product / "table.f0").write_text("random")
    with pytest.raises(NotKept, match="Two runs of the same call"):
        keep(store, {"w.ms": product})
    assert "Two runs" in missed(store).reason
    (product / "table.f0").write_text("data" * 50)
    with pytest.raises(NotKept, match="Two runs of the same call"):
        keep(store, {"w.ms": product})


@pytest.mark.parametrize("odd", ["link", "hard link", "pipe"])
def test_a_product_with_a_link_or_a_pipe_is_not_kept(store: Store, product: Path, odd: str) -> None:
    if odd == "link":
        (product / "odd").symlink_to("/etc")
    elif odd == "pipe":
        os.mkfifo(product / "odd")
    else:
        (product / "odd").hardlink_to(product / "table.f0")
    with pytest.raises(NotKept, match=r"is a link|hard link|neither a file"):
        keep(store, {"w.ms": product})


def test_a_product_behind_a_link_is_kept(store: Store, product: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.ms"
    link.symlink_to(product)
    kept = keep(store, {"link.ms": link})
    assert kept.products[0].members[0].path == ""
    assert len(kept.products[0].members) == 6


def test_what_is_computed_faster_than_copied_is_not_kept(store: Store, product: Path) -> None:
    with pytest.raises(NotKept, match="to compute"):
        keep(store, {"w.ms": product}, a_manifest(seconds=0.0001))


def test_a_copy_ends_when_other_code_waits(store: Store, product: Path, notices: list[str]) -> None:
    from casaprov.files.copying import can_clone

    if can_clone(product):
        pytest.skip("this file system clones files: nothing is copied")
    with pytest.raises(NotKept, match="waited"):
        store.capture({"w.ms": product}, 10, stop=lambda: True)
    assert list((store.folder.path / "part").iterdir()) == []


def copied(store: Store, product: Path) -> list[str]:
    """Return the files of a product that a capture copies or clones."""
    captured = store.capture({"w.ms": product}, 10)
    store.discard(captured)
    return [file.found.path for _, files in captured.products.values() for file in files if file.clone is not None]


def test_a_file_that_the_store_has_is_not_copied(store: Store, product: Path) -> None:
    keep(store, {"w.ms": product})
    (product / "SUB" / "table.f0").write_text("changed")
    assert copied(store, product) == ["SUB/table.f0"]
    (product / "table.lock").write_text("another")  # its stamp shows nothing
    assert copied(store, product) == ["SUB/table.f0", "table.lock"]


def test_bytes_that_a_session_read_are_known_to_the_next_one(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(store="store", store_size=10**6)
    with closing(open_store(config, Path.cwd(), on_notice=print)) as store:
        assert store.folder.path == Path.cwd() / "store"
        kept = keep(store, {"w.ms": product})
    with closing(open_store(config, Path.cwd(), on_notice=print)) as store:
        monkeypatch.setattr(results, "_digest_of", None)  # no file is read
        assert store.lookup(kept.key) == kept
    assert store_place(Config(), Path("/data")) == Path("/data/.casaprov/store")
    assert store_place(Config(store="/scratch"), Path("/data")) == Path("/scratch")
