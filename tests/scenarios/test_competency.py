"""Questions that Workflow Run Crate is to answer (its competency questions), as queries of our own.

https://www.researchobject.org/workflow-run-crate/requirements lists them. 10 asks for the script around a program: a
task has none. 11 asks how parameters of the workflow were used by its tools: a notebook has no parameters of its own, so
the parameters of its tasks are connected with one another.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from rdflib import Graph

from casaprov.crates.checking.validation import examine_crate
from casaprov.hashing import digest_bytes
from casaprov.records.model import Document, Entity, ResourceUsage, Usage
from crate_rdf import described, triples
from reductions import Reduction
from sample_records import make_credits, make_reduction, pack_reduction

PREFIXES = """
PREFIX s: <http://schema.org/>
PREFIX bio: <https://bioschemas.org/>
PREFIX cw: <https://bioschemas.org/ComputationalWorkflow#>
PREFIX meta: <https://codemeta.github.io/terms/>
PREFIX run: <https://w3id.org/ro/terms/workflow-run#>
"""
IMAGE = "quay.io/jupyter/base-notebook:2026-01-05@sha256:" + "0" * 64
USED = ResourceUsage(cpu_s=42.5, peak_memory_bytes=10**9, written_bytes=2_000_000)
CONFIGURATION = ("callib", "inpfile", "outlierfile")
"""Parameters of tasks that name a file with instructions."""


def story(document: Document) -> Document:
    """Return a record with a container, a calibration library that ``applycal`` read, and resources that ``tclean`` used."""
    (session,) = document.sessions
    library = Entity(
        id=f"{session.id}/e0010", path="cal.txt", kind="File", content_digest=digest_bytes(b"library"), size_bytes=7
    )
    calls = tuple(
        replace(call, parameters={**call.parameters, "callib": "cal.txt"}, given=(*call.given, "callib"), used=(*call.used, Usage(entity=library.id, parameter="callib")))
        if call.task == "applycal"
        else replace(call, resources=USED if call.task == "tclean" else None)
        for call in document.activities
    )  # fmt: skip
    inside = replace(session, environment=replace(session.environment, container=IMAGE))
    return replace(document, sessions=(inside,), activities=calls, entities=(*document.entities, library))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    folder = tmp_path_factory.mktemp("competency")
    reduction = make_reduction(folder / "nb")
    crate = folder / "x.zip"
    pack_reduction(replace(reduction, document=story(reduction.document)), crate, make_credits(), ())
    assert examine_crate(crate).errors == ()
    return triples(crate)


def answers(graph: Graph, query: str) -> list[tuple[str, ...]]:
    """Return the rows of an answer, sorted; what lies in the crate has its path there."""
    rows = graph.query(PREFIXES + query)
    return sorted(tuple(str(cell).removeprefix("https://crate.example.org/x/") for cell in row) for row in rows)  # type: ignore[union-attr]


def seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def test_1_which_container_image_did_the_workflow_run_in(graph: Graph) -> None:
    query = """SELECT ?registry ?name ?tag ?sum WHERE {
        ?run a s:CreateAction ; s:instrument [ a bio:ComputationalWorkflow ] ; run:containerImage ?image .
        ?image a run:ContainerImage ; s:additionalType run:DockerImage ;
            run:registry ?registry ; s:name ?name ; run:tag ?tag ; run:sha256 ?sum }"""
    assert answers(graph, query) == [("quay.io", "jupyter/base-notebook", "2026-01-05", "0" * 64)]


def test_2_which_resources_did_each_step_use(graph: Graph) -> None:
    query = """SELECT ?task ?resource ?unit ?value WHERE {
        ?call a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:name ?task ] ; run:resourceUsage ?used .
        ?used s:propertyID ?resource ; s:unitCode ?unit ; s:value ?value }"""
    found = {(task, resource.rpartition("#")[2], unit.rpartition("/")[2]): value for task, resource, unit, value in answers(graph, query)}  # fmt: skip
    assert found == {
        ("casatasks.tclean", "cpu-time", "SEC"): "42.5",
        ("casatasks.tclean", "peak-memory", "BYTE"): "1000000000",
        ("casatasks.tclean", "written", "BYTE"): "2000000",
    }


@pytest.mark.long
@pytest.mark.casa
def test_each_call_of_a_real_run_has_its_resources(reduction: Reduction) -> None:
    nodes = described(reduction.crate)
    calls = [node for name, node in nodes.items() if name.startswith("#call/")]
    used = [{nodes[one["@id"]]["name"]: nodes[one["@id"]]["value"] for one in members(call["resourceUsage"])} for call in calls]  # fmt: skip
    assert len(used) == 8
    assert all(one["cpu-time"] >= 0 for one in used)
    assert sum(one["cpu-time"] for one in used) > 0.1
    assert used[0]["written"] > 10_000_000  # importuvfits made a MeasurementSet of 60 MB


def members(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_3_which_configuration_files_did_a_step_use(graph: Graph) -> None:
    named = ", ".join(f'"{name}"' for name in CONFIGURATION)
    query = f"""SELECT ?task ?file WHERE {{
        ?call a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:name ?task ] ; s:object ?state .
        ?state s:alternateName ?file ; s:exampleOfWork [ a bio:FormalParameter ; s:name ?parameter ] .
        FILTER(?parameter IN ({named})) }}"""
    assert answers(graph, query) == [("casatasks.applycal", "cal.txt")]


def test_4_which_environment_does_the_workflow_need(graph: Graph) -> None:
    query = """SELECT ?file ?form WHERE {
        ?workflow a s:HowTo, bio:ComputationalWorkflow ; meta:buildInstructions ?file .
        ?file a s:MediaObject ; s:encodingFormat ?form }"""
    assert answers(graph, query) == [(".binder/environment.yml", "application/yaml")]


def test_5_how_long_did_each_step_take(graph: Graph) -> None:
    query = """SELECT ?task ?begin ?end WHERE {
        ?control a s:ControlAction ; s:instrument [ a s:HowToStep ] ; s:object ?call .
        ?call s:instrument [ s:name ?task ] ; s:startTime ?begin ; s:endTime ?end }"""
    took = {task: seconds(begin, end) for task, begin, end in answers(graph, query)}
    assert took["casatasks.tclean"] == 30
    assert len(answers(graph, query)) == 8


def test_6_how_long_did_the_workflow_take(graph: Graph) -> None:
    query = """SELECT ?begin ?end WHERE {
        ?run a s:CreateAction ; s:instrument [ a bio:ComputationalWorkflow ] ; s:startTime ?begin ; s:endTime ?end }"""
    ((begin, end),) = answers(graph, query)
    assert seconds(begin, end) == 599


def test_7_which_steps_failed_and_why(graph: Graph) -> None:
    query = """SELECT ?task ?error WHERE {
        ?call a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:name ?task ] ;
            s:actionStatus "http://schema.org/FailedActionStatus" ; s:error ?error }"""
    assert answers(graph, query) == [("casatasks.gaincal", "RuntimeError: no data selected")]


def test_8_what_went_into_the_workflow_and_what_came_out(graph: Graph) -> None:
    query = """SELECT ?path WHERE {{
        ?run a s:CreateAction ; s:instrument [ a bio:ComputationalWorkflow ] ; s:{} [ s:alternateName ?path ] }}"""
    assert answers(graph, query.format("object")) == [("cal.txt",), ("data/N.fits",)]
    made = {path for (path,) in answers(graph, query.format("result"))}
    assert made == {"cube.image", "mom0.fits", "n.gcal", "n.listobs", "n.ms", "n.ms.flagversions"}


def test_9_which_version_of_each_program_ran(graph: Graph) -> None:
    query = """SELECT DISTINCT ?version WHERE {
        ?call a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:softwareVersion ?version ] }"""
    assert answers(graph, query) == [("6.7.0.31",)]


def test_11_which_parameters_are_connected(graph: Graph) -> None:
    query = """SELECT DISTINCT ?from ?left ?to ?took WHERE {
        ?connection a run:ParameterConnection ; run:sourceParameter ?source ; run:targetParameter ?target .
        ?one a s:SoftwareApplication ; s:name ?from ; cw:output ?source . ?source a bio:FormalParameter ; s:name ?left .
        ?other a s:SoftwareApplication ; s:name ?to ; cw:input ?target . ?target a bio:FormalParameter ; s:name ?took }"""
    assert {tuple(cell.removeprefix("casatasks.") for cell in row) for row in answers(graph, query)} == {
        ("importuvfits", "vis", "listobs", "vis"),
        ("importuvfits", "vis", "flagdata", "vis"),
        ("flagdata", "vis", "gaincal", "vis"),
        ("flagdata", "vis", "applycal", "vis"),
        ("gaincal", "caltable", "applycal", "gaintable"),
        ("applycal", "vis", "tclean", "vis"),
        ("tclean", "imagename", "exportfits", "imagename"),
    }


def test_11_each_step_refers_to_the_connections_of_its_task(graph: Graph) -> None:
    query = """SELECT ?position (COUNT(?connection) AS ?known) WHERE {
        ?step a s:HowToStep ; s:position ?position . OPTIONAL { ?step run:connection ?connection } } GROUP BY ?position"""
    known = {"1": 0, "2": 1, "3": 1, "4": 1, "5": 1, "6": 2, "7": 1, "8": 1}
    assert answers(graph, query) == [(position, str(count)) for position, count in known.items()]


def test_states_connect_the_calls(graph: Graph) -> None:
    query = """SELECT DISTINCT ?from ?to WHERE {
        ?one a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:name ?from ] ; s:result ?state .
        ?other a s:CreateAction ; s:instrument [ a s:SoftwareApplication ; s:name ?to ] ; s:object ?state .
        ?state s:alternateName ?path }"""
    found = answers(graph, query)
    assert ("casatasks.gaincal", "casatasks.applycal") in found
    assert ("casatasks.applycal", "casatasks.tclean") in found
    assert ("casatasks.tclean", "casatasks.applycal") not in found
