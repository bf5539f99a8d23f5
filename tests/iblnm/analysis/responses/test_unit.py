"""Responses in z or dF/F, and recordings that were corrected in different ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis import registry
from iblnm.analysis.lmm.compute import response_lmm
from iblnm.analysis.responses.corrections import (
    count_corrections,
    evaluate_corrections,
)
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import ModelSettings, Settings
from iblnm.errors import MissingColumnError
from iblnm.storage.h5 import read_signal_attributes
from iblnm.storage.store import SessionStore

DFF = {"cohort": {"unit": "dff"}}


def table_of(corrections):
    """One recording of a target per correction."""
    return pd.DataFrame(
        {
            "eid": [f"e{i}" for i in range(len(corrections))],
            "fiber_idx": 0,
            "target_NM": [target for target, _ in corrections],
            "correction": [name for _, name in corrections],
        }
    )


def outcome_of(table, **settings):
    parameters = {"corrections": count_corrections(table)}
    return evaluate_corrections(parameters, Settings(_env_file=None, **settings))


def test_the_check_names_targets_that_mix_corrections():
    table = table_of(
        [
            ("VTA-DA", "isosbestic"),
            ("VTA-DA", "signal_only"),
            ("VTA-DA", "isosbestic"),
            ("LC-NE", "isosbestic"),
            ("LC-NE", None),
        ]
    )
    outcome = outcome_of(table)
    assert (outcome.passed, outcome.severity, outcome.value) == (False, "WARN", 1)
    assert "1 of 2 targets" in outcome.message
    assert "VTA-DA: 2 isosbestic, 1 signal_only" in outcome.message
    assert "IBLNM_COHORT__UNIT=dff" in outcome.message
    assert "IBLNM_COHORT__UNIT" not in outcome_of(table, **DFF).message
    assert outcome_of(table[table["target_NM"] == "LC-NE"]).passed
    unknown = outcome_of(table_of([("LC-NE", None)]))
    assert (unknown.passed, unknown.evaluated) == (True, False)
    names = [check.name for check in registry.analysis("response_magnitudes").checks]
    assert names == ["few_whole_windows", "mixed_corrections"]


@pytest.mark.slow
def test_a_recording_twice_as_loud_has_the_same_dff():
    table, _ = simulate_magnitudes(targets=["LC-NE"], n_subjects=4, n_trials=80, seed=3)
    eids = sorted(set(table["eid"]))
    sd = dict(zip(eids, np.linspace(0.01, 0.03, len(eids)), strict=True))
    scale = table["eid"].map(sd)
    in_z = table.assign(signal_sd=scale, response_early=0.02 * table["response_early"] / scale)
    settings = Settings(_env_file=None, models=ModelSettings(re_formulas=("1",)))
    expected = response_lmm(table, settings).tables["lmm_coefficients"]
    result = response_lmm(in_z, settings.model_copy(update={"cohort": Settings(**DFF).cohort}))
    found = result.tables["lmm_coefficients"]
    np.testing.assert_allclose(
        found["estimate"], 0.02 * expected["estimate"], rtol=1e-3, atol=1e-6
    )
    assert result.parameters["unit"] == "dff"


def test_what_has_no_scale_has_no_dff():
    table, _ = simulate_magnitudes(targets=["LC-NE"], n_subjects=2, n_trials=40, seed=4)
    settings = Settings(_env_file=None, **DFF)
    with pytest.raises(MissingColumnError, match="signal_sd"):
        analyzed_trials(table, settings)
    first = table["eid"] == table["eid"].iloc[0]
    selected, record = analyzed_trials(
        table.assign(signal_sd=np.where(first, 0.01, np.nan)), settings
    )
    assert set(selected["eid"]) == {table["eid"].iloc[0]}
    assert record["unit"] == "dff"
    assert record["trial_rows"]["no_response"] == (~first).sum()
    masked, record = analyzed_trials(table, settings, masked=True)
    assert record["unit"] == "z" and len(masked) == len(table)


@pytest.mark.slow
def test_columns_and_traces_are_those_of_the_stored_signals(processed_root):
    settings = processed_root
    store = SessionStore(settings)
    sessions = pd.read_parquet(settings.metadata_dir / "sessions.pqt")
    everything = {"min_performance": False, "required_contrasts": False, "session_types": False}

    def run(name, unit):
        own = settings.model_copy(
            update={"cohort": settings.cohort.model_copy(update={"unit": unit})}
        )
        return registry.analysis(name).compute(sessions, None, None, store, own, **everything)

    result = run("response_magnitudes", "dff")
    table = RESPONSE_MAGNITUDES.validate(result.tables["responses"])
    assert len(table)
    for (eid, region), own in table.groupby(["eid", "brain_region"]):
        stored = read_signal_attributes(settings.sessions_h5_dir / f"{eid}.h5")
        assert set(own["signal_sd"]) <= {float(data["sd"]) for data in stored.values()}
        assert set(own["correction"]) <= {data["correction"] for data in stored.values()}, region
    # the table itself stays in z
    pd.testing.assert_frame_equal(table, run("response_magnitudes", "z").tables["responses"])
    z, dff = (run("mean_traces", unit).tables["mean_traces"] for unit in ("z", "dff"))
    scale = table.groupby(["eid", "fiber_idx"])["signal_sd"].first()
    expected = (
        z["response"] * scale.loc[pd.MultiIndex.from_frame(z[["eid", "fiber_idx"]])].to_numpy()
    )
    np.testing.assert_allclose(dff["response"], expected, rtol=1e-9, atol=1e-12)
