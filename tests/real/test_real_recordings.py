"""Real recordings through the graph: how far each session comes, and known values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.data import PhotometrySession
from iblnm.errors import DataError
from iblnm.io import connect, load_photometry
from iblnm.pipeline.graph import stage_names
from iblnm.signal.perievent import response_magnitude, subtract_baseline
from iblnm.storage.h5 import read_provenance
from iblnm.storage.store import SessionStore

pytestmark = [pytest.mark.real, pytest.mark.slow]

CQ002 = "96268231-87d4-3791-b39f-6e3059cfa72e"
FIP_40 = "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1"
ZM_335 = "9bb22393-1c7c-3919-8c9c-1027c7ee4e16"
RAW_ONLY = {
    "ZFM-03059": "ba01bf35-8a0d-4ca3-a66e-b3a540b21128",
    "ZFM-06275": "0a64126d-a149-4d28-80d8-00a5ca60c681",
    "ZFM-08488": "499afe99-5588-3566-8aaf-acea7d3c9775",
}
SIGNAL_CHAIN = {"photometry", "photometry_qc", "preprocessed", "responses"}
REACHED = {
    CQ002: {"session", "trials", "performance"} | SIGNAL_CHAIN,
    FIP_40: {"session", "trials", "performance"} | SIGNAL_CHAIN,
    ZM_335: {"session", "trials", "performance", "wheel_velocity"},
    **{eid: {"session"} | (SIGNAL_CHAIN - {"responses"}) for eid in RAW_ONLY.values()},
}
EARLY = (0.1, 0.35)


@pytest.fixture(scope="module")
def store(real_run):
    return SessionStore(real_run.settings)


@pytest.fixture(scope="module")
def quality(store):
    return store.load("photometry_qc", CQ002).set_index(["brain_region", "band"])


# how far each session comes -----------------------------------------------------------------


@pytest.mark.parametrize("eid", list(REACHED))
def test_each_session_reaches_what_its_files_allow(real_run, store, eid):
    assert real_run.outcomes[eid].status == "passed"
    assert real_run.outcomes[eid].problems == []
    stored = {name for name in stage_names() if store.load(name, eid) is not None}
    assert stored == REACHED[eid] | {"session_report"}


def test_sessions_ran_in_order_of_their_day(real_run, store):
    days = [store.load("session", eid).iloc[0]["start_time"][:10] for eid in real_run.outcomes]
    assert len(days) == 6
    assert days == sorted(days)


@pytest.mark.parametrize("subject", list(RAW_ONLY))
def test_a_raw_only_session_says_which_extracted_data_are_missing(real_run, store, subject):
    eid = RAW_ONLY[subject]
    assert store.load("session", eid).iloc[0]["subject"] == subject
    matrix = pd.read_parquet(real_run.settings.metadata_dir / "qc_matrix.pqt")
    row = matrix.set_index(["eid", "check"]).loc[(eid, "missing_extracted_data"), :]
    assert (row["outcome"], row["severity"], row["value"]) == ("warn", "WARN", 1.0)
    assert row["message"] == (
        "Raw data but no extracted data of 1 of 4 modalities are listed: photometry. They are "
        "read from the raw files meanwhile."
    )
    reference = store.load("photometry", eid)
    assert reference["clock"].eq("camera").all()
    expected = "the session has no trials whose clock could be taken"
    assert reference["sync_note"].eq(expected).all()
    errors = pd.read_parquet(real_run.settings.metadata_dir / "errors.pqt")
    types = set(errors.loc[errors["eid"] == eid, "error_type"])
    assert {"MissingExtractedData", "MissingRawData"} <= types


def test_the_original_recordings_are_untouched(real_run, real_data, real_fingerprint):
    assert len(real_run.before) > 20
    assert real_fingerprint(real_data / "alf") == real_run.before


def test_outputs_say_which_files_they_were_made_from(store):
    origin = read_provenance(store.h5_path(CQ002), "photometry/preprocessed")
    (signal,) = origin.inputs
    assert signal["name"] == "alf/photometry/photometry.signal.pqt"
    assert signal["size"] == 3361259
    assert origin.parameters["fs"] == 30.0
    assert origin.parameters["lowpass_hz"] == 0.01


# CQ002: two fibers with isosbestic ----------------------------------------------------------


def test_cq002_has_the_known_samples_and_rate(store):
    reference = store.load("photometry", CQ002)
    assert reference["recording_name"].tolist() == ["SI", "PPT"]
    assert reference["rate_hz"].unique() == pytest.approx([29.99], abs=0.005)
    bands = load_photometry(reference)
    assert {band: len(frame) for band, frame in bands.items()} == {
        "GCaMP": 82_213,
        "Isosbestic": 82_213,
    }
    # 30 Hz from the first valid sample to the last: the samples marked invalid are at the ends
    for recording in store.load("preprocessed", CQ002).values():
        assert recording.sizes["time"] == pytest.approx(82_213 * 30 / 29.99, rel=1e-3)
        assert recording.attrs["correction"] == "isosbestic"
        assert recording.attrs["fs"] == 30.0


@pytest.mark.parametrize(("region", "tau", "unique"), [("SI", 1320, 0.125), ("PPT", 1385, 0.230)])
def test_cq002_has_the_known_quality(quality, region, tau, unique):
    row = quality.loc[(region, "GCaMP"), :]
    assert row["n_unique_samples"] == pytest.approx(unique, abs=0.005)
    # the known value is of all samples; 180 of them, marked invalid, are at the start of the
    # decay, and leaving them out moves it by 1.7 % and 0.8 %
    assert row["bleaching_tau"] == pytest.approx(tau, rel=0.02)
    assert (row["n_band_inversions"], row["n_early_samples"]) == (0, 0)
    assert np.isnan(quality.loc[(region, "Isosbestic"), "bleaching_tau"])


@pytest.mark.parametrize(("region", "tau"), [("SI", 1320), ("PPT", 1385)])
def test_cq002_bleaches_as_known_when_all_samples_are_fitted(store, region, tau):
    from iblnm.io.signal_file import read_signal_file
    from iblnm.signal.bleaching import fit_bleaching

    reference = store.load("photometry", CQ002).set_index("recording_name").loc[region]
    signal = read_signal_file(reference["signal_path"], [reference["column"]])
    frames = signal.frames_of("GCaMP")
    times = signal.times[frames]
    within = (times > reference["task_start_s"] - 5) & (times < reference["task_end_s"] + 5)
    values = signal.columns[reference["column"]][frames][within]
    assert fit_bleaching(times[within], values).tau_s == pytest.approx(tau, rel=0.01)


@pytest.mark.parametrize(("region", "r2"), [("SI", 0.9977), ("PPT", 0.9993)])
def test_cq002_bands_agree_as_known(store, region, r2):
    bands = load_photometry(store.load("photometry", CQ002))
    signal, reference = bands["GCaMP"][region], bands["Isosbestic"][region].dropna()
    signal = signal.dropna()
    paired = np.interp(signal.index, reference.index, reference)
    # of the valid samples, paired by time; the known value pairs them by position
    assert np.corrcoef(signal, paired)[0, 1] ** 2 == pytest.approx(r2, abs=5e-4)


# fip_40: three fibers, 50 Hz, without isosbestic, older table -------------------------------


def test_fip_40_is_read_from_the_older_table(store):
    reference = store.load("photometry", FIP_40)
    assert reference["recording_name"].tolist() == ["DLS", "DMS", "NAcc"]
    assert set(reference["valid_column"]) == {"include"}
    assert reference["rate_hz"].unique() == pytest.approx([50.0], abs=0.01)
    assert [list(bands) for bands in reference["bands"]] == [["GCaMP"]] * 3
    for recording in store.load("preprocessed", FIP_40).values():
        assert recording.attrs["correction"] == "signal_only"
        assert np.isnan(recording.attrs["iso_r2"])
        assert np.diff(recording["time"][:100]) == pytest.approx(1 / 30)


def early_magnitude(store, region, event, feedback=None):
    """Mean over trials of the baseline-subtracted response in the early window [z]."""
    responses = subtract_baseline(store.load("responses", FIP_40)[region])
    values = response_magnitude(responses, EARLY)[0].sel(event=event).to_numpy()
    if feedback is not None:
        values = values[store.load("trials", FIP_40)["feedbackType"].to_numpy() == feedback]
    return np.nanmean(values)


def test_fip_40_dls_responds_to_the_stimulus_as_known(store):
    assert early_magnitude(store, "DLS", "stimOn_times") == pytest.approx(2.2, abs=0.2)


def test_fip_40_nacc_tells_reward_from_error_as_known(store):
    reward = early_magnitude(store, "NAcc", "feedback_times", 1)
    error = early_magnitude(store, "NAcc", "feedback_times", -1)
    assert reward == pytest.approx(1.26, abs=0.1)
    assert error == pytest.approx(-0.08, abs=0.1)


@pytest.mark.parametrize(("eid", "n_trials"), [(CQ002, 328), (FIP_40, 568)])
def test_responses_have_a_row_per_event_and_trial(store, eid, n_trials):
    trials = store.load("trials", eid)
    assert len(trials) == n_trials
    events = ["stimOn_times", "firstMovement_times", "feedback_times"]
    for array in store.load("responses", eid).values():
        assert list(array["event"].to_numpy()) == events
        assert array.shape == (3, n_trials, 60)
        assert array["time"].to_numpy() == pytest.approx(np.arange(-30, 30) / 30)
        for event in events:
            unknown = trials[event].isna().to_numpy()
            values = array.sel(event=event).to_numpy()
            assert np.isnan(values[unknown]).all()
            assert np.isfinite(values[~unknown]).any(axis=1).mean() > 0.95


# ZM_335: trials and wheel -------------------------------------------------------------------


def test_zm_335_has_a_velocity_in_every_trial_with_both_events(store):
    velocity = store.load("wheel_velocity", ZM_335)
    trials = store.load("trials", ZM_335)
    assert len(trials) == velocity.sizes["trial"] == 271
    assert velocity.attrs["fs"] == 100
    assert velocity.dtype == np.float32
    # the old rig wrote no time of the feedback on errors, and lost one of a stimulus
    ended = trials[["stimOn_times", "feedback_times"]].notna().all(axis=1).to_numpy()
    assert ended.sum() == 108
    assert np.isfinite(velocity.to_numpy()).any(axis=1).tolist() == ended.tolist()
    seconds = np.isfinite(velocity.to_numpy()).sum(axis=1)[ended] / 100
    lasted = (trials["feedback_times"] - trials["stimOn_times"]).to_numpy()[ended]
    np.testing.assert_allclose(seconds, lasted, atol=0.02)


def test_zm_335_turns_the_wheel_as_it_chooses(store):
    velocity = store.load("wheel_velocity", ZM_335).to_numpy()
    trials = store.load("trials", ZM_335)
    chosen = (trials["feedback_times"].notna() & (trials["choice"] != 0)).to_numpy()
    turned = np.sign(np.nansum(velocity[chosen], axis=1))
    assert chosen.sum() > 100
    # a rightward choice (−1) turns the wheel in the positive direction
    assert (turned == -trials.loc[chosen, "choice"]).mean() > 0.95


def test_zm_335_performs_as_known(store):
    row = store.load("performance", ZM_335).iloc[0]
    assert row["fraction_correct"] == pytest.approx(0.40, abs=0.015)
    assert list(row["contrasts"]) == [50.0, 100.0]


# raw frames, in a notebook ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "rate_hz"),
    [
        ("ZFM-03059", (43467, 3), 15.0),
        ("ZFM-06275", (139498, 5), 29.99),
        ("ZFM-08488", (113148, 2), 29.99),
    ],
)
def test_raw_frames_are_read_on_their_own_clock_and_not_cut_by_trials(
    real_run, name, shape, rate_hz
):
    settings = real_run.settings
    ps = PhotometrySession({"eid": RAW_ONLY[name]}, one=connect(settings), settings=settings)
    bands = ps.load_photometry(restrict=False)
    assert {band: frame.shape for band, frame in bands.items()} == {
        "GCaMP": shape,
        "Isosbestic": shape,
    }
    reference = ps.reference
    assert set(reference["source"]) == {"raw"}
    assert set(reference["clock"]) == {"camera"}
    assert reference["rate_hz"].iloc[0] == pytest.approx(rate_hz, abs=0.01)
    ps.trials = pd.DataFrame({"stimOn_times": [100.0, 110.0]})
    with pytest.raises(DataError, match=f"{RAW_ONLY[name]}.*camera"):
        ps.extract_responses(events=["stimOn_times"], band="GCaMP")
