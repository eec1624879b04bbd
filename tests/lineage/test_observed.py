"""Observations are carried along the lineage: tasks do not copy identifiers of archives."""

from __future__ import annotations

from dataclasses import replace

from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observations_of, observed_inputs
from casaprov.records.observation import Observation
from records import Story

ALMA = Observation(target_name="M87", facility_name="ALMA", identifiers={"asdm_uid": "uid://A002/X1/X2"})


def carried() -> Lineage:
    story = Story()
    story.call("flagdata", changed=["a.ms"])
    story.gap("a.ms")
    story.call("split", used=["a.ms"], generated=["b.ms"])
    story.copy("b.ms", "c.ms")
    story.call("exportuvfits", used=["c.ms"], generated=["c.uvfits"])
    story.call("tclean", used=["other.ms"], generated=["d.image"])
    document = story.document
    entities = tuple(
        replace(e, observations=(ALMA,)) if e.path == "a.ms" and not e.revision_of else e for e in document.entities
    )
    return Lineage(replace(document, entities=entities))


def test_what_tasks_made_has_the_observations_of_what_it_came_from() -> None:
    lineage = carried()
    assert [entity.path for entity in observed_inputs(lineage.document)] == ["a.ms"]
    for path in ("a.ms", "b.ms", "c.ms", "c.uvfits"):
        for state in lineage.states(path):
            assert observations_of(lineage, state) == (ALMA,), path


def test_what_came_from_other_data_has_none() -> None:
    lineage = carried()
    assert observations_of(lineage, lineage.states("d.image")[0]) == ()
