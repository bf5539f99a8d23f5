"""What follows from the declared stages."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.pipeline import graph
from iblnm.pipeline.checking import blocking_failures
from iblnm.pipeline.stage import Result, Stage
from iblnm.schemas import SESSIONS
from iblnm.storage.store import SessionStore


def test_each_stage_comes_after_what_it_needs():
    names = graph.stage_names()
    assert len(set(names)) == len(names)
    for stage in graph.all_stages():
        assert set(graph.upstream(stage.name)) <= set(names[: names.index(stage.name)])
        assert set(stage.inputs) <= set(graph.upstream(stage.name))


@pytest.mark.parametrize(
    ("name", "above"),
    [
        ("session", ()),
        ("preprocessed", ("photometry_qc", "photometry", "session")),
        ("responses", ("preprocessed", "photometry_qc", "photometry", "trials", "session")),
        ("wheel_velocity", ("trials", "session")),
    ],
)
def test_upstream_names_the_nearest_first(name, above):
    assert graph.upstream(name) == above


def test_downstream_of_what_is_no_stage_is_nothing():
    assert graph.downstream("photometry_qc") == ("preprocessed", "responses")
    assert graph.downstream("sessions") == ()


def test_guards_are_the_stages_above_with_a_blocking_rule():
    expected = {
        "session": set(),
        "trials": set(),
        "photometry": set(),
        "photometry_qc": {"photometry"},
        "preprocessed": {"photometry", "photometry_qc"},
        "responses": {"trials", "photometry", "photometry_qc"},
        "performance": {"trials"},
        "wheel_velocity": {"trials"},
        "video_qc": set(),
        "session_report": set(),
    }
    assert {name: set(graph.guards(name)) for name in expected} == expected


def test_essential_is_what_responses_rest_on():
    assert graph.essential_stages() == (
        "session",
        "trials",
        "photometry",
        "photometry_qc",
        "preprocessed",
        "responses",
    )


def test_a_name_that_is_no_stage_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(KeyError, match="no such stage: trails; there are session, trials"):
        SessionStore(Settings(root=tmp_path)).load("trails", "x")
    with pytest.raises(ValueError, match="trials is stored in the session files"):
        SessionStore(Settings(root=tmp_path)).collect("trials")


def made(session, settings) -> Result:
    """One line.

    More lines.
    """
    return Result(session.eid)


def test_a_stage_takes_a_row_whichever_form_the_session_has():
    stage = Stage("named", made, group="sessions", h5_group="trials")
    table = pd.DataFrame([{"eid": "a"}])
    for session in (table, table.iloc[0]):
        assert stage.run({"session": session}, settings=Settings()).value == "a"
    assert stage.inputs == ("session",)
    assert stage.description == "One line."
    assert not stage.uses_archive
    with pytest.raises(ValueError, match="one row is expected, found 2"):
        stage.run({"session": pd.concat([table, table])}, settings=Settings())


@pytest.mark.parametrize("place", [{}, {"folder": "data/x"}, {"table": SESSIONS}])
def test_a_stage_without_a_complete_place_is_refused(place):
    with pytest.raises(ValueError, match="stage x: "):
        Stage("x", made, group="sessions", **place)


def test_blocking_rules_are_asked_once_of_what_is_there():
    trials = pd.DataFrame({"choice": [1.0], "signed_contrast": [100.0], "feedbackType": [-1.0]})
    asked = []

    def load(name):
        asked.append(name)
        return trials

    failed = blocking_failures("trials", load, Settings())
    assert [outcome.rule for outcome in failed] == ["insufficient_trials"]
    assert asked == ["trials"]
    assert blocking_failures("trials", lambda name: None, Settings()) == []
