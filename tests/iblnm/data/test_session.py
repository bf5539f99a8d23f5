"""PhotometrySession: the examples of its documentation, on the simulated archive."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from iblnm.config import RESPONSE_EVENTS, Settings
from iblnm.data import PhotometrySession
from iblnm.schemas import PERFORMANCE, QC_PHOTOMETRY
from iblnm.validation import (
    BandInversion,
    BlockStructureBug,
    EarlySamples,
    FewUniqueSamples,
    IncompleteEventTimes,
    InsufficientTrials,
    InvalidSubject,
    IsosbesticFit,
    MissingIsosbestic,
    QCValidationError,
    TrialsNotInPhotometryTime,
    validate_subject,
)

EID = "0a64126d-a149-4d28-80d8-00a5ca60c681"


# the row -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["series", "dict", "frame"])
def test_columns_of_the_row_are_attributes(form):
    row = pd.Series({"eid": EID, "subject": "m1", "brain_region": ["VTA"], "qc": "PASS"})
    given = {"series": row, "dict": row.to_dict(), "frame": row.to_frame().T}[form]
    ps = PhotometrySession(given)
    assert (ps.eid, ps.subject, ps.brain_region, ps.lab) == (EID, "m1", ["VTA"], None)
    assert ps.to_dict() == row.to_dict()
    assert ps.to_series()["qc"] == "PASS"


def test_data_start_empty():
    ps = PhotometrySession({"eid": EID})
    assert ps.photometry == {}
    assert ps.responses == {}
    assert isinstance(ps.qc, pd.DataFrame)
    assert ps.qc.empty
    assert ps.trials is ps.wheel is ps.wheel_velocity is None
    assert ps.errors == []
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ps.nonsense


def test_data_and_columns_can_be_assigned():
    ps = PhotometrySession({"eid": EID, "wheel": "a column of this name is no obstacle"})
    assert ps.wheel is None
    ps.trials = pd.DataFrame({"choice": [1.0]})
    ps.NM = "DA"
    assert len(ps.trials) == 1
    assert ps.to_dict()["NM"] == "DA"
    assert "trials" not in ps.to_dict()


def test_constructor_takes_one_and_further_columns_and_needs_an_eid():
    client = object()
    assert PhotometrySession({"id": EID}, client, NM="NE").one is client
    assert PhotometrySession({"id": EID}, one=client, NM="NE").NM == "NE"
    with pytest.raises(ValueError, match="no eid"):
        PhotometrySession({"subject": "m"})
    with pytest.raises(TypeError, match="positional"):
        PhotometrySession({"eid": EID}, client, client)


def test_log_error_and_validators_of_the_row():
    ps = PhotometrySession({"eid": EID, "subject": "SP066"}, settings=Settings())
    with pytest.raises(InvalidSubject) as raised:
        ps.validate_subject()
    entry = ps.log_error(raised.value)
    assert ps.errors == [entry]
    assert (entry["eid"], entry["error_type"]) == (EID, "InvalidSubject")
    assert "SP066" in entry["traceback"]
    assert ps.error_log["error_type"].tolist() == ["InvalidSubject"]
    log = []
    assert validate_subject(ps, exlog=log) is ps
    assert log[0]["eid"] == EID


def test_from_alyx_fills_the_row_and_logs_what_is_wrong(make_session, biased_truth):
    ps = make_session().from_alyx()
    assert ps.subject == biased_truth["subject"]
    assert ps.target_NM == biased_truth["target_NM"]
    assert ps.session_type == "biased"
    assert ps.errors == []
    excluded = ps.settings.model_copy(update={"excluded_subjects": (ps.subject,)})
    ps = PhotometrySession({"eid": ps.eid}, one=ps.one, settings=excluded)
    for _ in range(2):
        assert [e["error_type"] for e in ps.from_alyx().errors] == ["InvalidSubject"]


# loading and validation --------------------------------------------------------------------


def test_loading(make_session, biased_truth):
    ps = make_session()  # a row of the eid only is completed from the archive
    trials = ps.load_trials()
    assert ps.trials is trials
    assert len(trials) == biased_truth["n_trials"]
    assert {"signed_contrast", "contrast", "stim_side", "choice_side"} <= set(trials)
    ps.load_photometry()
    assert list(ps.photometry) == ["GCaMP", "Isosbestic"]
    assert list(ps.photometry["GCaMP"]) == biased_truth["recording_names"]
    assert ps.photometry["GCaMP"].index.name == "times"
    assert ps.session_path.parts[-4:-2] == ("Subjects", ps.subject)
    both = PhotometrySession({"eid": ps.eid}, one=ps.one, settings=ps.settings, load_data=True)
    pd.testing.assert_frame_equal(both.trials, trials)
    pd.testing.assert_frame_equal(both.photometry["GCaMP"], ps.photometry["GCaMP"])


def test_a_session_without_fault_passes_all_validators(session):
    for validate in (
        session.validate_trials_in_photometry_time,
        session.validate_region_mapping,
        session.validate_isosbestic,
        session.validate_n_trials,
        session.validate_choice_sign,
        session.validate_event_completeness,
        session.validate_block_structure,
        session.validate_reaction_times,
        session.validate_datasets,
        session.validate_hemisphere,
        session.validate_lists,
    ):
        assert validate() is session


def test_validators_need_their_data():
    ps = PhotometrySession({"eid": EID})
    with pytest.raises(ValueError, match="load_trials"):
        ps.validate_n_trials(exlog=[])
    ps.trials = pd.DataFrame()
    with pytest.raises(ValueError, match="load_photometry"):
        ps.validate_trials_in_photometry_time()


def test_broken_trials_raise_typed_exceptions(session):
    trials = session.trials
    session.trials = trials.iloc[:89]
    with pytest.raises(InsufficientTrials, match="89 trials"):
        session.validate_n_trials()
    session.trials = trials.assign(feedback_times=np.nan)
    with pytest.raises(IncompleteEventTimes) as raised:
        session.validate_event_completeness()
    assert raised.value.missing_events == ["feedback_times"]
    broken = trials["probabilityLeft"].to_numpy().copy()
    broken[100:104] = np.round(1 - broken[100:104], 1)
    session.trials = trials.assign(probabilityLeft=broken)
    session.session_json = None
    with pytest.raises(BlockStructureBug):
        session.validate_block_structure()
    session.trials = trials.assign(feedback_times=trials["feedback_times"] + 1e4)
    with pytest.raises(TrialsNotInPhotometryTime):
        session.validate_trials_in_photometry_time()
    log = []
    assert session.validate_trials_in_photometry_time(exlog=log) is session
    assert log[0]["error_type"] == "TrialsNotInPhotometryTime"


def test_recording_that_starts_late_or_has_no_reference_band(session):
    stim = session.trials["stimOn_times"].iloc[3]
    late = {name: band.loc[stim + 0.1 :] for name, band in session.photometry.items()}
    session.photometry = late
    with pytest.raises(TrialsNotInPhotometryTime):
        session.validate_trials_in_photometry_time()
    session.photometry = {"GCaMP": late["GCaMP"]}
    with pytest.raises(MissingIsosbestic):
        session.validate_isosbestic()


def test_fix_block_structure_uses_the_plan(session):
    assert session.fix_block_structure() is False
    planned = session.trials["probabilityLeft"].to_numpy().copy()
    broken = planned.copy()
    broken[100:104] = np.round(1 - broken[100:104], 1)
    session.trials = session.trials.assign(probabilityLeft=broken)
    with pytest.raises(BlockStructureBug):
        session.validate_block_structure()
    assert session.fix_block_structure() is True
    np.testing.assert_array_equal(session.trials["probabilityLeft"], planned)
    session.validate_block_structure()
    session.session_type = "training"
    assert session.fix_block_structure() is False


def test_blocks_are_as_short_as_the_settings_allow(session):
    planned = session.trials["probabilityLeft"].to_numpy().copy()
    broken = planned.copy()
    broken[100:104] = np.round(1 - broken[100:104], 1)
    session.trials = session.trials.assign(probabilityLeft=broken)
    loose = session.settings.thresholds.model_copy(update={"min_block_length": 4})
    session.settings = session.settings.model_copy(update={"thresholds": loose})
    assert session.fix_block_structure() is False
    np.testing.assert_array_equal(session.trials["probabilityLeft"], broken)


def test_a_training_session_asks_the_archive_nothing_about_blocks():
    ps = PhotometrySession({"eid": EID, "session_type": "training"}, one=object())
    ps.trials = pd.DataFrame({"probabilityLeft": np.full(100, 0.5)})
    assert ps.fix_block_structure() is False


# quality -----------------------------------------------------------------------------------


def test_quality_metrics(session):
    session.run_raw_qc()
    assert session.qc[["n_band_inversions", "n_early_samples"]].to_numpy().tolist() == [[0, 0]] * 2
    assert session.validate_qc() is session
    session.run_sliding_qc()
    assert set(QC_PHOTOMETRY.names) == set(session.qc)
    assert session.qc[["brain_region", "band"]].duplicated().sum() == 0
    assert len(session.qc) == 2
    assert session.qc["ar_score"].between(-1, 1).all()
    assert session.validate_few_unique_samples() is session
    QC_PHOTOMETRY.validate(session.qc)


def test_parts_of_the_quality_metrics(session):
    session.run_sliding_qc(signal_band="GCaMP", sliding_metrics=["ar_score"])
    assert session.qc["band"].tolist() == ["GCaMP"]
    whole = session.qc["ar_score"].iloc[0]
    session.run_raw_qc(raw_metrics=["n_early_samples"])
    assert session.qc["band"].tolist() == ["GCaMP", "Isosbestic"]
    assert session.qc["ar_score"].iloc[0] == whole
    assert session.qc["n_early_samples"].tolist() == [0, 0]
    session.run_sliding_qc(sliding_kwargs={"w_len": 60.0, "step_len": 30.0})
    assert session.qc["ar_score"].iloc[0] != whole
    with pytest.raises(ValueError, match="no w_length"):
        session.run_sliding_qc(sliding_kwargs={"w_length": 60.0})
    with pytest.raises(ValueError, match="unknown metrics"):
        session.run_raw_qc(raw_metrics=["nonsense"])
    with pytest.raises(ValueError, match="pipeline"):
        session.run_sliding_qc(pipeline=[])


def test_quality_failures_are_typed():
    ps = PhotometrySession({"eid": EID})
    good = {"brain_region": ["VTA"], "band": ["GCaMP"], "n_unique_samples": [0.5]}
    ps.qc = pd.DataFrame({**good, "n_band_inversions": [3], "n_early_samples": [0]})
    with pytest.raises(BandInversion, match="3 consecutive"):
        ps.validate_qc()
    ps.qc = pd.DataFrame({**good, "n_band_inversions": [0], "n_early_samples": [2]})
    with pytest.raises(EarlySamples, match="2 frames"):
        ps.validate_qc()
    ps.qc = pd.DataFrame({**good, "n_band_inversions": [3], "n_early_samples": [2]})
    with pytest.raises(QCValidationError, match=r"BandInversion: 3 .*EarlySamples: 2 "):
        ps.validate_qc()
    ps.qc = pd.DataFrame({**good, "n_unique_samples": [0.01]})
    with pytest.raises(FewUniqueSamples, match=r"0\.010"):
        ps.validate_few_unique_samples()


# signal ------------------------------------------------------------------------------------


def test_preprocess_and_responses(session, biased_truth):
    frame = session.preprocess()
    (name,) = biased_truth["recording_names"]
    assert session.photometry["GCaMP_preprocessed"] is frame
    assert list(frame) == [name]
    assert frame.index.name == "times"
    assert np.diff(frame.index).mean() == pytest.approx(1 / 30)
    assert frame[name].mean() == pytest.approx(0, abs=1e-9)
    assert frame[name].std() == pytest.approx(1, abs=1e-3)
    assert session.preprocessed()[name].attrs["correction"] == "isosbestic"
    assert session.validate_isosbestic_fit() is session
    session.extract_responses(events=RESPONSE_EVENTS)
    responses = session.responses[name]
    assert responses.dims == ("event", "trial", "time")
    assert responses.shape == (3, biased_truth["n_trials"], 60)
    assert responses["event"].to_numpy().tolist() == list(RESPONSE_EVENTS)


def test_transforms_of_responses(session):
    session.preprocess()
    session.extract_responses()
    (responses,) = session.responses.values()
    baseline = session.subtract_baseline(responses)
    before = baseline.sel(time=slice(-0.1 - 1e-9, -1e-9)).mean("time")
    np.testing.assert_allclose(before.dropna("trial"), 0, atol=1e-9)
    order = ["stimOn_times", "firstMovement_times", "feedback_times"]
    masked = session.mask_subsequent_events(responses, event_order=order)
    reaction = session.trials["reaction_time"].to_numpy()
    i = int(np.nanargmin(np.where(reaction > 0.1, reaction, np.nan)))
    row = masked.sel(event="stimOn_times")[i].to_series()
    assert row[row.index >= reaction[i]].isna().all()
    assert row[row.index < 0].notna().all()


def test_preprocess_parameters(session):
    (name,) = session.photometry["GCaMP"].columns
    session.preprocess(reference_band=None, output_band="plain")
    assert session.preprocessed("plain")[name].attrs["correction"] == "signal_only"
    with pytest.raises(ValueError, match="huber"):
        session.preprocess(regression_method="huber")
    with pytest.raises(ValueError, match="no band 'Red'"):
        session.preprocess(signal_band="Red")
    with pytest.raises(ValueError, match="call preprocess"):
        session.extract_responses()
    assert session.preprocess(targets=[]).empty

    def constant(signal, reference, settings):
        del reference, settings
        return xr.Dataset({"signal": ("time", signal.to_numpy())}, {"time": signal.index})

    frame = session.preprocess(pipeline=constant)
    np.testing.assert_array_equal(frame, session.photometry["GCaMP"])


def test_isosbestic_fit_is_judged_from_what_preprocessing_found(session):
    session.preprocess()
    (recording,) = session.preprocessed().values()
    recording.attrs["iso_slope"] = -0.2
    with pytest.raises(IsosbesticFit, match=r"-0\.2"):
        session.validate_isosbestic_fit()


def test_response_vector_recovers_planted_means():
    ps = PhotometrySession({"eid": EID}, settings=Settings())
    n = 80
    ps.trials = pd.DataFrame(
        {
            "stimOn_times": np.arange(n) * 5.0,
            "firstMovement_times": np.arange(n) * 5.0 + 2,
            "feedback_times": np.arange(n) * 5.0 + 3,
            "probabilityLeft": 0.5,
            "choice": 1.0,
            "response_time": 3.0,
            "stim_side": np.where(np.arange(n) % 2, "left", "right"),
            "contrast": np.where(np.arange(n) < 40, 100.0, 6.25),
            "feedbackType": np.where(np.arange(n) % 4 < 2, 1.0, -1.0),
        }
    )
    time = np.arange(-30, 30) / 30
    size = np.where(ps.trials["stim_side"] == "right", 2.0, 1.0)
    values = size[None, :, None] * (time >= 0) * np.ones((2, 1, 1))
    ps.responses["VTA"] = xr.DataArray(
        values,
        dims=("event", "trial", "time"),
        coords={"event": ["stimOn_times", "feedback_times"], "trial": range(n), "time": time},
    )
    vector = ps.get_response_vector("VTA", "l")
    assert vector["stimOn_c100_contra_correct"] == pytest.approx(2.0)
    assert vector["stimOn_c6.25_ipsi_incorrect"] == pytest.approx(1.0)
    assert np.isnan(vector["stimOn_c25_contra_correct"])
    assert len(vector) == 2 * 5 * 2 * 2
    other = ps.get_response_vector("VTA", "r", events=["stimOn_times"])
    assert other["stimOn_c100_contra_correct"] == pytest.approx(1.0)
    assert ps.get_response_vector("VTA", None).isna().all()
    assert ps.get_response_vector("VTA", "l", min_trials=11).isna().all()
    unit = ps.get_response_vector("VTA", "l", normalize="unit")
    assert (unit**2).sum() == pytest.approx(1.0)
    scaled = ps.get_response_vector("VTA", "l", normalize="zscore")
    assert (scaled.mean(), scaled.std()) == pytest.approx((0, 1))
    with pytest.raises(ValueError, match="normalize"):
        ps.get_response_vector("VTA", "l", normalize="max")
    ps.trials["choice"] = 0.0
    assert ps.get_response_vector("VTA", "l").isna().all()


# behavior ---------------------------------------------------------------------------------


def test_performance(session, biased_truth):
    basic = session.basic_performance()
    assert basic["n_trials"] == biased_truth["n_trials"]
    assert 0.5 < basic["fraction_correct"] <= basic["fraction_correct_easy"] <= 1
    blocks = session.block_performance()
    assert blocks["bias_shift"] == pytest.approx(blocks["psych_80_bias"] - blocks["psych_20_bias"])
    assert set(PERFORMANCE.names) == {"eid", "source", *basic, *blocks}
    fit = session.fit_psychometric()
    assert {"bias", "threshold", "lapse_left", "lapse_right", "r_squared", "n_trials"} <= set(fit)
    unbiased = session.fit_psychometric(probability_left=0.5)
    assert unbiased["bias"] == pytest.approx(basic["psych_50_bias"])
    session.session_type = "training"
    assert session.block_performance() == {}
    assert len(session.get_trial_timings()) == biased_truth["n_trials"]


def test_wheel(session, biased_truth):
    wheel = session.load_wheel()
    assert list(wheel) == ["times", "position", "velocity"]
    velocity = session.extract_wheel_velocity()
    assert session.wheel_velocity is velocity
    assert velocity.sizes["trial"] == biased_truth["n_trials"]
    assert velocity.attrs["fs"] == 100
    peaks = np.abs(velocity).max("time")
    planted = biased_truth["wheel"]["median_peak_velocity_rad_s"]
    moved = session.trials["choice"].to_numpy() != 0
    assert float(np.nanmedian(peaks[moved])) == pytest.approx(planted, rel=0.1)
    session.wheel = wheel.copy()  # a trace that was assigned is used as it is
    np.testing.assert_allclose(session.extract_wheel_velocity(), velocity, atol=0.05)
    assert len(session.load_wheel(fs=50)) == pytest.approx(len(wheel) / 2, abs=1)
    session.wheel = None
    with pytest.raises(ValueError, match="load_wheel"):
        session.extract_wheel_velocity()


# files -------------------------------------------------------------------------------------


@pytest.fixture
def processed(session):
    session.run_raw_qc()
    session.run_sliding_qc()
    session.preprocess()
    session.extract_responses()
    session.load_wheel()
    session.extract_wheel_velocity()
    session.log_error(InvalidSubject("an error"))
    return session


def assert_same_data(a, b):
    pd.testing.assert_frame_equal(a.trials, b.trials)
    pd.testing.assert_frame_equal(a.qc, b.qc, check_dtype=False)
    pd.testing.assert_frame_equal(
        a.photometry["GCaMP_preprocessed"], b.photometry["GCaMP_preprocessed"]
    )
    assert list(a.responses) == list(b.responses)
    for name, responses in a.responses.items():
        xr.testing.assert_equal(responses, b.responses[name])
        xr.testing.assert_equal(a.preprocessed()[name], b.preprocessed()[name])
        for key, value in a.preprocessed()[name].attrs.items():
            assert str(b.preprocessed()[name].attrs[key]) == str(value)
    xr.testing.assert_equal(a.wheel_velocity, b.wheel_velocity)
    assert a.errors == b.errors


@pytest.mark.slow
def test_session_file_round_trip(processed, small_settings):
    path = processed.save_h5()
    assert path == small_settings.sessions_h5_dir / f"{processed.eid}.h5"
    loaded = PhotometrySession.from_h5(path, settings=small_settings)
    assert_same_data(processed, loaded)
    for name, value in processed.to_dict().items():
        assert loaded.to_dict()[name] == value or pd.isna(value), name
    again = PhotometrySession({"eid": processed.eid}, settings=small_settings)
    assert_same_data(processed, again.load_h5())
    assert loaded.basic_performance() == processed.basic_performance()


def test_groups_of_the_session_file(processed, tmp_path):
    from iblnm.storage import list_groups

    path = tmp_path / "a.h5"
    processed.save_h5(path, groups=["metadata", "errors"])
    assert list_groups(path) == ["metadata", "errors"]
    processed.save_h5(path, groups=["signal"])
    processed.save_h5(path, groups=["responses", "trials"], mode="a")
    assert set(list_groups(path)) == {
        "metadata",
        "errors",
        "trials",
        "photometry/preprocessed",
        "photometry/responses",
    }
    ps = PhotometrySession({"eid": processed.eid}).load_h5(path, groups=["trials"])
    assert ps.responses == {}
    assert len(ps.trials) == len(processed.trials)
    processed.save_h5(path, groups=["trials"], mode="w")
    assert list_groups(path) == ["trials"]
    with pytest.raises(ValueError, match="unknown groups"):
        processed.save_h5(path, groups=["nonsense"])
    with pytest.raises(ValueError, match="mode"):
        processed.save_h5(path, mode="x")


def test_assigned_data_are_stored(tmp_path):
    ps = PhotometrySession({"eid": EID, "brain_region": ["VTA"]})
    times = pd.Index(np.arange(90) / 30, name="times")
    ps.photometry["GCaMP_preprocessed"] = pd.DataFrame({"VTA": np.sin(times)}, index=times)
    ps.trials = pd.DataFrame({"stimOn_times": [1.0, 2.0], "feedback_times": [1.2, 2.2]})
    ps.extract_responses(events=["stimOn_times"], window=(-0.2, 0.2))
    loaded = PhotometrySession.from_h5(ps.save_h5(tmp_path / "a.h5"))
    pd.testing.assert_frame_equal(
        loaded.photometry["GCaMP_preprocessed"], ps.photometry["GCaMP_preprocessed"]
    )
    xr.testing.assert_equal(loaded.responses["VTA"], ps.responses["VTA"])
    assert loaded.recordings["VTA"]["fiber_idx"] == 0


def test_two_fibers_keep_their_order(tmp_path):
    row = {"eid": EID, "brain_region": ["NBM", "NBM", "LC"], "hemisphere": ["l", "r", None]}
    ps = PhotometrySession({**row, "recording_name": ["NBM", "NBM_1", "LC"]})
    times = pd.Index(np.arange(60) / 30, name="times")
    signals = {name: np.full(60, float(i)) for i, name in enumerate(ps.recordings)}
    ps.photometry["GCaMP_preprocessed"] = pd.DataFrame(signals, index=times)
    loaded = PhotometrySession.from_h5(ps.save_h5(tmp_path / "a.h5"))
    assert list(loaded.photometry["GCaMP_preprocessed"]) == ["NBM", "NBM_1", "LC"]
    assert [entry["hemisphere"] for entry in loaded.recordings.values()] == ["l", "r", None]
