"""The description of a crate: what others may add to it, and what they may not touch."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bagit
import pytest
from rocrate.rocrate import ROCrate

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from casaprov.crates.checking.statements import OPEN
from casaprov.crates.checking.validation import Findings, examine_folder
from casaprov.crates.layout import METADATA
from sample_records import make_credits, make_reduction, pack_reduction

ORCID, ROR = "https://orcid.org/0000-0002-1825-0097", "https://ror.org/05a28rw58"
Node = dict[str, Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    pack_reduction(make_reduction(folder / "nb"), folder / "x.zip")
    return open_crate(folder / "x.zip", folder / "crate").folder


@pytest.fixture
def crate(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "crate")


def changed(crate: Path, change: Callable[[dict[str, Node], list[Node]], None]) -> Findings:
    """Change the description by its entities, and examine the crate."""
    metadata = json.loads((crate / METADATA).read_text())
    change({node["@id"]: node for node in metadata["@graph"]}, metadata["@graph"])
    (crate / METADATA).write_text(json.dumps(metadata))
    return examine_folder(crate)


def messages(findings: Findings) -> str:
    return "\n".join(map(str, findings.errors))


def test_an_archive_may_replace_credits_but_not_the_people_who_ran_the_calls(tmp_path: Path) -> None:
    pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip", make_credits())
    crate = open_crate(tmp_path / "x.zip", tmp_path / "crate").folder

    def publish(nodes: dict[str, Node], graph: list[Node]) -> None:
        nodes["./"]["publisher"] = {"@id": "https://b.example.org"}
        graph.append({"@id": "https://b.example.org", "@type": "Organization", "name": "B"})
        graph.remove(nodes["https://archive.example.org"])
        nodes[ROR]["name"] = "Another name of the institute"

    findings = changed(crate, publish)
    assert findings.errors == ()
    assert "https://archive.example.org: It was removed by others." in "\n".join(map(str, findings.notes))
    assert "belongs here; it is missing" in messages(changed(crate, lambda nodes, graph: graph.remove(nodes[ORCID])))


@pytest.mark.parametrize(
    ("properties", "entities"),
    [
        ({"identifier": "https://doi.org/10.5281/zenodo.1234567"}, []),
        ({"publisher": {"@id": "https://a.example.org"}}, [{"@id": "https://a.example.org", "@type": "Organization", "name": "A"}]),
        (
            {"author": {"@id": ORCID}},
            [
                {"@id": ORCID, "@type": "Person", "name": "An Author", "affiliation": {"@id": ROR}},
                {"@id": ROR, "@type": "Organization", "name": "An institute"},
            ],
        ),
        ({"license": {"@id": "https://spdx.org/licenses/CC-BY-4.0"}}, [{"@id": "https://spdx.org/licenses/CC-BY-4.0", "@type": "CreativeWork", "name": "CC-BY-4.0"}]),
        ({"keywords": ["VLBI"], "sdDatePublished": "2026-11-30", "size": "1 MB"}, []),
    ],
    ids=["doi", "publisher", "author", "license", "keywords"],
)  # fmt: skip
def test_a_statement_about_the_crate_is_a_note(crate: Path, properties: Node, entities: list[Node]) -> None:
    def change(nodes: dict[str, Node], graph: list[Node]) -> None:
        nodes["./"].update(properties)
        graph += entities

    findings = changed(crate, change)
    assert messages(findings) == ""
    assert str(findings.notes[0]) == f"{METADATA} ./: Stated by others: {', '.join(sorted(properties))}."
    assert len(findings.notes) == 1 + bool(entities)
    assert findings.strict().errors == findings.notes


@pytest.mark.parametrize("subject", ["./", "my%20reduction.ipynb", "#no-license"])
@pytest.mark.parametrize("key", sorted(OPEN))
def test_each_open_property_may_be_added_and_removed(original: Path, subject: str, key: str) -> None:
    from casaprov.crates.checking.statements import statement_findings
    from casaprov.crates.stored_records import read_records

    metadata = json.loads((original / METADATA).read_text())
    node = next(node for node in metadata["@graph"] if node["@id"] == subject)
    node[key] = "stated by an archive"
    records = read_records(original)
    assert [str(one) for one in statement_findings(metadata, *records)] == [
        f"{METADATA} {subject}: Stated by others: {key}."
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda n, _: n["products/mom0.fits"].update(sha256="0" * 64), "products/mom0.fits: It was changed"),
        (
            lambda n, _: n["#value/20260501-a1b2/0004/solint"].update(value="int"),
            "#value/20260501-a1b2/0004/solint: Its value",
        ),
        (lambda n, _: n["#call/20260501-a1b2/0004"].update(object=[]), "#call/20260501-a1b2/0004: Its object"),
        (lambda n, _: n["#call/20260501-a1b2/0004"]["result"].pop(), "#call/20260501-a1b2/0004: Its result"),
        (
            lambda n, _: n["#call/20260501-a1b2/0004"].update({"@type": "UpdateAction"}),
            "Its @type is not what the records say",
        ),
        (lambda n, _: n["#call/20260501-a1b2/0004"].update(error="none"), "Its error is not what the records say"),
        (
            lambda n, g: g.remove(n["#call/20260501-a1b2/0004"]),
            "#call/20260501-a1b2/0004: The records say that it belongs",
        ),
        (lambda n, g: g.remove(n["#connection/1"]), "#connection/1: The records say"),
        (lambda n, _: n["#connection/1"].update(sourceParameter=[]), "#connection/1: Its sourceParameter"),
        (lambda n, _: n["#step/07-tclean"].pop("connection"), "#step/07-tclean: Its connection"),
        (lambda n, g: g.remove(n["#step/04-gaincal"]), "#step/04-gaincal: The records say"),
        (lambda n, _: n["#input/casatasks.gaincal@6.7.0.31/minsnr"].update(name="x"), "/minsnr: Its name"),
        (
            lambda n, _: n["products/mom0.fits"].update(license={"@id": "#no-license"}),
            "products/mom0.fits: Its license",
        ),
        (lambda n, _: n["./"].update({"@type": "Collection"}), "./: Its @type"),
        (lambda n, _: n["./"].update(mainEntity={"@id": "other.ipynb"}), "./: Its mainEntity"),
        (lambda n, _: n["./"]["hasPart"].pop(), "./: Its hasPart"),
        (lambda n, _: n["./"]["hasPart"].append({"@id": "#entity/20260501-a1b2/e0001"}), "./: Its hasPart"),
        (
            lambda n, _: n["./"].update({"http://schema.org/mainEntity": {"@id": "x"}}),
            "./: Its http://schema.org/mainEntity",
        ),
        (lambda n, _: n["./"].update(about={"@id": "products/mom0.fits", "sha256": "0"}), "./: Its about"),
        (lambda n, _: n["./"].update({"@reverse": {"result": {"@id": "#call/x"}}}), "./: Its @reverse"),
    ],
)
def test_a_change_of_the_derived_part_is_an_error_that_names_it(
    crate: Path, change: Callable[[dict[str, Node], list[Node]], None], expected: str
) -> None:
    assert expected in messages(changed(crate, change))


@pytest.mark.parametrize(
    "node",
    [
        {"@id": "#call/invented", "@type": "CreateAction"},
        {"@id": "products/n.gcal/table.f0", "@type": "File", "sha256": "0" * 64, "contentSize": "1"},
        {"@id": "./products/mom0.fits", "@type": "File", "name": "another"},
        {"@id": "products/x/../mom0.fits", "@type": "File"},
        {"@id": "file:///products/mom0.fits", "@type": "File"},
        {"@id": "%70roducts/mom0.fits", "@type": "File"},
        {"@id": "ro-crate-metadata.json#call/20260501-a1b2/0004", "@type": "CreateAction"},
        {"@id": "https://e.org/1", "@type": "File", "sameAs": {"@id": "products/mom0.fits"}},
        {"@id": "#act", "@type": "CreateAction", "result": [{"@id": "x"}, {"@id": "products/mom0.fits"}]},
        {"@id": "#act", "@type": "CreateAction", "instrument": {"@id": "#tool/casatasks.gaincal@6.7.0.31"}},
        {"@id": "#act", "@type": "Action", "about": {"@id": "products/mom0.fits", "sha256": "0"}},
        {"@id": "#connection/99", "@type": "ParameterConnection"},
        {"@id": "#x", "@type": "ParameterConnection", "targetParameter": {"@id": "#input/casatasks.tclean@6.7.0.31/vis"}},
        {"@id": "#act", "@type": "Action", "@reverse": {"object": {"@id": "products/mom0.fits"}}},
    ],
)  # fmt: skip
def test_an_entity_that_speaks_for_the_records_is_an_error(crate: Path, node: Node) -> None:
    findings = changed(crate, lambda _, graph: graph.append(node))
    assert [issue.path for issue in findings.errors] == [f"{METADATA} {node['@id']}"]


def test_a_new_action_that_used_a_product_is_a_note(crate: Path) -> None:
    node = {
        "@id": "#thumbnail",
        "@type": "CreateAction",
        "object": {"@id": "products/mom0.fits"},
        "result": {"@id": "t.png"},
    }
    assert messages(changed(crate, lambda _, graph: graph.append(node))) == ""


def test_a_missing_second_context_is_a_note_that_names_its_repair(
    crate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ROCrate(crate).write(crate.parent / "again")
    (note,) = examine_folder(crate.parent / "again").notes
    assert "casaprov annotate --repair" in note.message
    assert main(["annotate", str(crate.parent / "again"), "--repair", "-o", str(crate.parent / "mended")]) == 0
    assert examine_folder(crate.parent / "mended") == Findings()


ADDED = {
    "ro-crate-preview.html": "<html></html>",
    "ro-crate-preview_files/style.css": "",
    ".binder/environment.yml": "",
    "LICENSE": "CC-BY-4.0",
    "CITATION.cff": "cff-version: 1.2.0",
    "codemeta.json": "{}",
}


def test_files_that_archives_add_are_notes(crate: Path) -> None:
    for name, text in ADDED.items():
        (crate / name).parent.mkdir(exist_ok=True)
        (crate / name).write_text(text)
    findings = examine_folder(crate)
    assert messages(findings) == ""
    assert len(findings.notes) == len(ADDED)


@pytest.mark.parametrize("folder", ["records", "parameters", "logs", "products", "inputs", "products/n.gcal"])
def test_a_file_added_to_the_own_folders_is_an_error(crate: Path, folder: str) -> None:
    (crate / folder).mkdir(exist_ok=True)
    (crate / folder / "more.json").write_text("{}")
    assert messages(examine_folder(crate)) == f"{folder}/more.json: It was added."


def test_a_bag_a_git_clone_and_a_rewritten_crate_are_valid(crate: Path, tmp_path: Path) -> None:
    shutil.copytree(crate, tmp_path / "bag")
    bagit.make_bag(str(tmp_path / "bag"))
    git = ["git", "-C", str(crate), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "A crate"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "-q", str(crate), str(tmp_path / "clone")], check=True)
    for folder in ("bag", "clone"):
        assert main(["validate", str(tmp_path / folder)]) == 0
        assert main(["validate", "--strict", str(tmp_path / folder)]) == 1
