"""The group of sessions on real recordings: what is selected, and responses that are known."""

from __future__ import annotations

import pytest

from iblnm.data import PhotometrySessionGroup
from iblnm.storage.parquet import read_provenance, read_table
from iblnm_dagster.analyse import analyse
from iblnm_dagster.cohort import cohort_names
from iblnm_dagster.instance import open_instance

pytestmark = [pytest.mark.real, pytest.mark.slow]

CQ002 = "96268231-87d4-3791-b39f-6e3059cfa72e"
FIP_40 = "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1"
# neither the task nor the targets of fip_40 are the project's, and no record tells more
ALL = {
    "session_types": False,
    "targetnms": False,
    "required_contrasts": False,
    "min_performance": False,
}


def test_responses_of_a_group_are_those_that_are_known(real_run):
    """Early magnitudes of NAcc dopamine at feedback: 1.27 for reward, -0.08 for error."""
    settings = real_run.settings
    group = PhotometrySessionGroup.from_catalog(
        settings.metadata_dir / "sessions.pqt", settings=settings, **ALL
    )
    assert sorted(group.sessions["eid"]) == sorted([CQ002, FIP_40])
    table = group.get_response_magnitudes()
    own = table[(table["eid"] == FIP_40) & (table["brain_region"] == "NAcc")]
    at_feedback = own[own["event"] == "feedback_times"].groupby("feedbackType")["response_early"]
    means, counts = at_feedback.mean(), at_feedback.count()
    assert means[1.0] == pytest.approx(1.27, abs=0.01)
    assert means[-1.0] == pytest.approx(-0.08, abs=0.01)
    assert counts.to_dict() == {-1.0: 294, 1.0: 274}


def test_all_analyses_run_on_a_real_session_and_say_what_is_too_little(real_run):
    settings = real_run.settings
    thresholds = settings.thresholds.model_copy(update={"min_training_fraction_correct": 0.0})
    settings = settings.model_copy(
        update={
            "thresholds": thresholds,
            "analysed_targets": ("SI-ACh", "PPT-ACh"),
            "analysis_contrasts": (50.0, 100.0),
        }
    )
    names = [name for name in cohort_names() if not name.endswith("_figures")]
    with open_instance(settings) as instance:
        assert analyse(settings, instance, names, report=lambda _: None)
    table = read_table(settings.results_dir / "responses" / "responses.pqt")
    counts = read_provenance(settings.results_dir / "responses" / "responses.pqt").parameters[
        "counts"
    ]["used"]
    assert set(table["eid"]) == {CQ002}
    assert counts == {"sessions": 1, "recordings": 2, "subjects": 1, "trials": 328}
    models = settings.results_dir / "responses" / "lmm_coefficients.pqt"
    assert read_table(models).empty
    assert "SI-ACh, stimOn_times: 1 subjects, 2 are needed" in str(
        read_provenance(models).parameters["notes"]
    )
