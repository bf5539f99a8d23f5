"""Responses of a group: the same as session by session, stored and read again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.regressors.tables import PEAK_VELOCITY
from iblnm.analysis.responses.tables import RESPONSE_MAGNITUDES
from iblnm.analysis.result import AnalysisResult, write_result
from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.vectors.compute import response_matrix
from iblnm.constants import ANY_SAMPLE
from iblnm.data import PhotometrySession, PhotometrySessionGroup
from iblnm.data.earlier_tables import complete_table
from iblnm.schemas import TRIAL_TIMING
from iblnm.signal.perievent import mask_subsequent_events, subtract_baseline
from iblnm.storage.h5 import read_group


def _of_any_sample(settings):
    """Settings under which a magnitude needs one sample of its window."""
    cohort = settings.cohort.model_copy(update={"min_coverage": ANY_SAMPLE})
    return settings.model_copy(update={"cohort": cohort})


@pytest.mark.slow
def test_magnitudes_of_every_recording(group, cohort, loops):
    group.settings = _of_any_sample(group.settings)
    table = group.get_response_magnitudes()
    assert table is group.response_magnitudes is group.events
    RESPONSE_MAGNITUDES.validate(table)
    assert len(table) == 8 * 3 * 120
    sides = group.recordings.set_index(["eid", "fiber_idx"])["hemisphere"]
    for (eid, fiber), own in table.groupby(["eid", "fiber_idx"]):
        loop = loops.loop_magnitudes(*cohort.truth[eid, fiber], sides[eid, fiber])
        np.testing.assert_allclose(own["response_early"], loop["response_early"], atol=1e-12)
        assert own["side"].tolist() == loop["side"].tolist()
    assert group.skipped.notes() == []


def test_only_recordings_in_use(group):
    group.filter(group.recordings["target_NM"] == "SNc-DA")
    table = group.get_response_magnitudes()
    assert set(table["target_NM"]) == {"SNc-DA"}
    assert len(table) == 2 * 3 * 120


def test_what_is_not_stored_is_named(cohort, tmp_path, loops):
    from iblnm.storage import write_groups

    eids = cohort.catalog["eid"].tolist()
    responses, trials = loops.simulate(0, 50)
    one_fiber = {"trials": trials, "photometry/responses": {"VTA": responses}}
    write_groups(tmp_path / f"{eids[0]}.h5", one_fiber)
    write_groups(tmp_path / f"{eids[1]}.h5", {"trials": trials})
    (tmp_path / f"{eids[2]}.h5").write_bytes(b"damaged")
    group = PhotometrySessionGroup(
        cohort.catalog.iloc[:4], h5_dir=tmp_path, settings=cohort.settings
    )
    table = group.get_response_magnitudes()
    assert set(table["eid"]) == {eids[0]}
    assert set(table["fiber_idx"]) == {0}
    assert group.skipped.recordings == {(eids[0], 1): "no responses of SNc stored"}
    reasons = group.skipped.sessions
    assert reasons[eids[1]] == "no photometry/responses stored"
    assert reasons[eids[2]].startswith("unreadable")
    assert reasons[eids[3]] == "no trials, photometry/responses stored"
    assert f"1 left out, no responses of SNc stored: {eids[0]} fiber 1" in group.skipped.notes()


@pytest.mark.slow
def test_features_are_those_of_the_session(group):
    features = group.get_response_features(nan_handling=None, min_trials=2)
    assert features is group.response_features
    assert features.index.names == ["eid", "target_NM", "fiber_idx"]
    assert len(features) == 8
    for recording, session in group:
        own = features.loc[(recording["eid"], recording["target_NM"], recording["fiber_idx"])]
        expected = session.get_response_vector(
            recording["brain_region"], recording["hemisphere"], min_trials=2
        )
        pd.testing.assert_series_equal(own, expected, check_names=False, atol=1e-12)
    # few trials at the stimulus have all samples before the movement
    assert features.notna().to_numpy().mean() > 0.2


@pytest.mark.slow
def test_features_without_missing_values(group):
    features = group.get_response_features(min_trials=1, max_nan_rate=0.2)
    assert features.notna().all(axis=None)
    assert features.shape[0] >= 4
    complete = group.get_response_features("drop_sessions", min_trials=1)
    assert complete.shape[1] == 40
    only = group.get_response_features(None, events=["feedback_times"])
    assert all(name.startswith("feedback_") for name in only)


def test_mean_traces(group, cohort):
    table = group.get_mean_traces()
    MEAN_TRACES.validate(table)
    assert set(table["fiber_idx"]) == {0, 1}
    assert table.groupby(["eid", "fiber_idx"]).ngroups == 8


@pytest.mark.slow
def test_timing_velocity_and_what_they_are_put_beside(group, cohort):
    timing = group.get_trial_timing()
    TRIAL_TIMING.validate(TRIAL_TIMING.conform(timing))
    assert len(timing) == 6 * 120
    group.get_response_magnitudes()
    velocity = group.enrich_peak_velocity()
    PEAK_VELOCITY.validate(velocity)
    eid = cohort.catalog["eid"].iloc[0]
    wheel = read_group(cohort.h5_path(eid), "wheel")
    expected = np.abs(wheel.to_numpy()).max(axis=1)
    np.testing.assert_allclose(velocity.loc[velocity["eid"] == eid, "peak_velocity"], expected)
    table = group.response_magnitudes
    own = table[(table["eid"] == eid) & (table["event"] == "stimOn_times")]
    np.testing.assert_allclose(own["peak_velocity"], np.tile(expected, 2))
    assert len(table) == 8 * 3 * 120
    # scripts merge the two tables: a column is in one of them
    assert set(table) & set(group.trial_timing) == {"eid", "trial"}
    group.enrich_peak_velocity()
    assert group.response_magnitudes.columns.is_unique


def test_traces_are_read_when_asked_for(group, cohort):
    traces = group.load_response_traces()
    assert group.response_traces is traces
    assert len(traces) == 8 * 3
    eid = cohort.catalog["eid"].iloc[0]
    responses, trials = cohort.truth[eid, 1]
    expected = subtract_baseline(mask_subsequent_events(responses, trials))
    np.testing.assert_allclose(traces.array(eid, 1), expected, atol=1e-12)
    own = traces[eid, "SNc", "feedback_times"]
    np.testing.assert_allclose(own["traces"], expected.sel(event="feedback_times"), atol=1e-12)
    assert own["traces"].shape == (len(own["trials"]), len(own["tpts"])) == (120, 60)
    assert (own["meta"]["subject"], own["meta"]["hemisphere"]) == ("m0", "r")
    assert own["trials"]["choice"].tolist() == trials["choice"].tolist()
    regions = {(eid, region) for eid, region, _ in traces}
    assert len(regions) == 8 and set(traces.items().__iter__().__next__()[1]) == set(own)
    np.testing.assert_allclose(group.response_traces_tpts, responses["time"])
    with pytest.raises(KeyError):
        traces[eid, "SNc", "goCue_times"]
    with pytest.raises(KeyError):
        traces.array(eid, 7)
    group.flush_response_traces()
    assert group.response_traces is None
    assert group.response_traces_tpts is None


def test_traces_in_memory_are_few(cohort):
    cohort_settings = cohort.settings.cohort.model_copy(update={"max_cached_sessions": 2})
    settings = cohort.settings.model_copy(update={"cohort": cohort_settings})
    group = PhotometrySessionGroup(cohort.catalog, settings=settings)
    traces = group.load_response_traces()
    for key in traces:
        traces[key]
        assert len(traces._cache) <= 2


@pytest.mark.slow
def test_stored_tables_are_read_for_the_recordings_in_use(group, cohort, tmp_path):
    cells = cohort.settings.cohort.model_copy(update={"min_trials_per_cell": 1})
    group.settings = cohort.settings.model_copy(update={"cohort": cells})
    group.get_response_magnitudes()
    stage = response_matrix(group.responses_with_times(), group.settings)
    tables = {
        "responses": group.responses_with_times(),
        "mean_traces": group.get_mean_traces(),
        "trial_regressors": group.get_trial_regressors(),
        "trial_timing": TRIAL_TIMING.conform(group.get_trial_timing()),
        **stage.tables,
    }
    paths = write_result(AnalysisResult(tables), tmp_path, {})
    other = PhotometrySessionGroup(cohort.catalog, settings=cohort.settings)
    other.filter(other.recordings["target_NM"] == "SNc-DA")
    magnitudes = other.load_response_magnitudes(paths["responses"])
    expected = group.response_magnitudes.query("target_NM == 'SNc-DA'").reset_index(drop=True)
    pd.testing.assert_frame_equal(magnitudes, expected)
    assert other.trial_timing["response_time"].notna().all() and len(other.trial_timing) == 240
    assert set(other.load_mean_traces(paths["mean_traces"])["fiber_idx"]) == {1}
    assert len(other.load_trial_timing(paths["trial_timing"])) == 240
    velocity = other.load_peak_velocity(paths["trial_regressors"])
    assert velocity.columns.tolist() == ["eid", "trial", "peak_velocity"]
    assert len(velocity) == 240
    features = other.load_response_features(paths["response_matrix"])
    assert set(features.index.get_level_values("target_NM")) <= {"SNc-DA"}
    whole = PhotometrySessionGroup(cohort.catalog, settings=cohort.settings)
    features = whole.load_response_features(paths["response_matrix"])
    assert len(features) >= 2
    pd.testing.assert_frame_equal(features, group.get_response_features())


@pytest.mark.slow
def test_tables_of_earlier_runs_are_completed(group, cohort, tmp_path):
    made = group.get_response_magnitudes()
    timing = tmp_path / "data" / "trial_timing.pqt"
    timing.parent.mkdir()
    columns = ["eid", "trial", "reaction_time", "movement_time", "response_time"]
    group.get_trial_timing()[columns].to_parquet(timing, index=False)
    derived = ["fiber_idx", "side", "relative_contrast", "subject"]
    earlier = made.drop(columns=derived).set_index(["eid", "target_NM"])
    earlier.to_parquet(tmp_path / "responses.pqt")
    other = PhotometrySessionGroup(
        cohort.catalog, settings=cohort.settings.model_copy(update={"root": tmp_path})
    )
    read = other.load_response_magnitudes(tmp_path / "responses.pqt")
    keys = ["eid", "fiber_idx", "event", "trial"]
    pd.testing.assert_frame_equal(
        read.sort_values(keys, ignore_index=True), made.sort_values(keys, ignore_index=True)
    )
    other.filter(other.recordings["target_NM"] == "SNc-DA")
    assert set(other.response_magnitudes["target_NM"]) == {"SNc-DA"}


def test_two_fibers_of_one_region_are_told_apart_by_their_sides_or_left_out_with_a_warning():
    fibers = {"eid": "a", "brain_region": "NBM", "target_NM": "NBM-ACh"}
    recordings = pd.DataFrame([{**fibers, "hemisphere": side} for side in "lr"])
    table = recordings.assign(response_early=[1.0, 2.0])
    found = complete_table(table, recordings.assign(fiber_idx=[0, 1]))
    assert found[["fiber_idx", "response_early"]].to_numpy().tolist() == [[0, 1.0], [1, 2.0]]
    with pytest.warns(UserWarning, match="2 recordings of 1 sessions are left out"):
        unclear = complete_table(
            table.drop(columns="hemisphere"), recordings.assign(fiber_idx=[0, 1])
        )
    assert unclear.empty


def test_a_table_that_does_not_exist_leaves_none_and_is_told(group, tmp_path):
    with pytest.warns(UserWarning, match="nothing.pqt does not exist"):
        assert group.load_response_magnitudes(tmp_path / "nothing.pqt") is None
    with pytest.raises(ValueError, match="no table of performance"), pytest.warns(UserWarning):
        group.get_psychometric_features(tmp_path / "nothing.pqt")


@pytest.mark.slow
def test_on_the_processed_archive(processed_root, capsys):
    group = PhotometrySessionGroup.from_catalog(
        processed_root.metadata_dir / "sessions.pqt",
        settings=_of_any_sample(processed_root),
        targetnms=False,
        required_contrasts=False,
    )
    assert len(group) >= 3
    assert "sessions of 2 subjects" in capsys.readouterr().out
    table = group.get_response_magnitudes()
    RESPONSE_MAGNITUDES.validate(table)
    assert table["response_early"].notna().mean() > 0.9
    for recording, session in group:
        assert isinstance(session, PhotometrySession)
        name = recording["recording_name"]
        masked = session.mask_subsequent_events(session.responses[name])
        mean = session.subtract_baseline(masked).sel(time=slice(0.099, 0.34)).mean("time")
        own = table[(table["eid"] == session.eid) & (table["fiber_idx"] == recording["fiber_idx"])]
        np.testing.assert_allclose(own["response_early"], mean.to_numpy().ravel(), atol=1e-9)
    assert group.load_performance()["eid"].isin(group.sessions["eid"]).all()
    assert group.get_trial_regressors()["peak_velocity"].gt(0).mean() > 0.9
