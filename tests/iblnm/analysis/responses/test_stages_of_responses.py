"""Stages of responses: counts, parameters, what an empty cohort gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import registry
from iblnm.analysis.regressors.tables import TRIAL_REGRESSORS
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES, TABLES
from iblnm.analysis.result import write_result
from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.vectors.compute import response_matrix
from iblnm.analysis.vectors.tables import RESPONSE_MATRIX
from iblnm.schemas.selection import SESSION_SELECTION
from iblnm.storage.parquet import read_provenance, read_table
from iblnm.storage.store import SessionStore

STAGES = {
    "response_magnitudes": ("responses", RESPONSE_MAGNITUDES),
    "trial_regressors": ("trial_regressors", TRIAL_REGRESSORS),
    "mean_traces": ("mean_traces", MEAN_TRACES),
}


def _run(name, cohort, **changes):
    performance = pd.DataFrame({"eid": cohort.catalog["eid"], "n_trials": 120})
    arguments = {"min_performance": False, **changes}
    catalog = arguments.pop("catalog", cohort.catalog)
    store = SessionStore(cohort.settings)
    compute = registry.analysis(name).compute
    return compute(catalog, None, performance, store, cohort.settings, **arguments)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.slow
def test_counts_of_candidates_eligible_and_used(name, cohort):
    stem, schema = STAGES[name]
    # one session is of another type, one has no file, one fiber no analyzed target
    catalog = cohort.catalog.copy()
    catalog.loc[5, "session_type"] = "passive"
    catalog.loc[4, "eid"] = "99999999-0000-4000-8000-000000000000"
    targets = catalog["target_NM"].tolist()
    catalog["target_NM"] = [["VTA-DA", "PPT-ACh"], *targets[1:]]
    result = _run(name, cohort, catalog=catalog)
    assert result.counts["candidate"] == {
        "sessions": 6,
        "recordings": 8,
        "subjects": 3,
        "trials": 600,
    }
    assert result.counts["eligible"] == {
        "sessions": 5,
        "recordings": 6,
        "subjects": 3,
        "trials": 480,
    }
    used = {"sessions": 4, "recordings": 5, "subjects": 2, "trials": 480}
    if name == "mean_traces":
        used["trials"] = result.counts["used"]["trials"]
        assert 150 < used["trials"] < 240  # half of the trials are of another block
    assert result.counts["used"] == used
    schema.validate(result.tables[stem])
    assert any("99999999" in note for note in result.notes)
    pd.testing.assert_frame_equal(SESSION_SELECTION.validate(result.removed), result.removed)


@pytest.mark.parametrize("name", STAGES)
def test_no_session_gives_empty_tables_and_a_note(name, cohort):
    stem, schema = STAGES[name]
    result = _run(name, cohort, targets=["MR-5HT"])
    pd.testing.assert_frame_equal(result.tables[stem], schema.empty())
    assert result.counts["used"] == dict.fromkeys(
        ("sessions", "recordings", "subjects", "trials"), 0
    )
    assert "None of 0 selected sessions has data; the table is empty." in result.notes


def test_trials_of_mean_traces_are_those_selected(cohort, loops):
    result = _run("mean_traces", cohort)
    expected = 0
    for eid in cohort.catalog["eid"]:
        trials = cohort.truth[eid, 0][1]
        chosen = (trials["probabilityLeft"] == 0.5) & (trials["choice"] != 0)
        expected += int((chosen & (trials["response_time"] > 0.05)).sum())
    # a trial whose every sample is missing has no trace
    assert 0.95 * expected < result.counts["used"]["trials"] <= expected


@pytest.mark.slow
def test_files_say_how_they_were_made(cohort, tmp_path):
    result = _run("response_magnitudes", cohort)
    paths = write_result(result, tmp_path / "results", TABLES)
    assert {path.name for path in paths.values()} == {"responses.pqt", "session_selection.pqt"}
    origin = read_provenance(paths["responses"])
    assert origin.parameters["window"] == [0.1, 0.35]
    assert origin.parameters["counts"]["used"]["sessions"] == 6
    assert any("biased" in text for text in origin.parameters["selection"])
    assert {"iblnm", "pandas", "numpy"} <= set(origin.software)
    read_table(paths["session_selection"], SESSION_SELECTION)


@pytest.mark.slow
def test_response_matrix(cohort):
    table = _run("response_magnitudes", cohort).tables["responses"]
    settings = cohort.settings.model_copy(
        update={"cohort": cohort.settings.cohort.model_copy(update={"min_trials_per_cell": 1})}
    )
    result = response_matrix(table, settings)
    matrix = RESPONSE_MATRIX.validate(result.tables["response_matrix"])
    assert result.counts["candidate"]["recordings"] == 8
    assert result.counts["used"]["recordings"] == len(matrix) >= 2
    assert result.counts["eligible"]["trials"] < result.counts["candidate"]["trials"] == 720
    features = RESPONSE_MATRIX.features(matrix)
    assert np.isfinite(matrix[features]).all(axis=None)
    assert len(features) + len(result.parameters["dropped"]["features"]) == 40
    assert len(matrix) + len(result.parameters["dropped"]["recordings"]) == 8
    rows = result.parameters["trial_rows"]
    assert rows["candidate"] == 8 * 3 * 120
    assert rows["other_block"] == 8 * 3 * 60


@pytest.mark.slow
def test_too_few_trials_give_an_empty_matrix_and_name_the_limit(cohort, tmp_path):
    table = _run("response_magnitudes", cohort).tables["responses"]
    cells = cohort.settings.cohort.model_copy(update={"min_trials_per_cell": 500})
    settings = cohort.settings.model_copy(update={"cohort": cells})
    for magnitudes in (table, RESPONSE_MAGNITUDES.empty()):
        result = response_matrix(magnitudes, settings)
        assert result.tables["response_matrix"].empty
        assert any("500 trials" in note for note in result.notes)
        write_result(result, tmp_path, {"response_matrix": RESPONSE_MATRIX})
