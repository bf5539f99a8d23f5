from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from iblnm.config import SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.signal.preprocess import preprocess_photometry, preprocess_recording, restrict_to_task


def test_dataset_as_it_is_stored(make_bands):
    recording = preprocess_photometry(make_bands())["VTA"]
    assert set(recording.data_vars) == {"signal", "dff", "filter_edge"}
    assert recording["signal"].dims == ("time",)
    assert recording["signal"].dtype == recording["dff"].dtype == float
    assert recording["filter_edge"].dtype == bool
    np.testing.assert_allclose(np.diff(recording["time"]), 1 / 30, rtol=1e-9)
    assert float(recording["signal"].mean()) == pytest.approx(0, abs=1e-12)
    assert float(recording["signal"].std(ddof=0)) == pytest.approx(1, abs=1e-12)
    attrs = recording.attrs
    np.testing.assert_allclose(
        recording["signal"] * attrs["sd"] + attrs["mean"], recording["dff"], atol=1e-15
    )
    assert attrs["fs"] == 30.0
    assert attrs["correction"] == "isosbestic"
    # Planted: the artifact has amplitude 0.05 in the signal and 0.02 in the reference.
    assert attrs["iso_slope_robust"] == pytest.approx(2.5, rel=0.05)
    assert 0.8 < attrs["iso_r2"] < 1
    assert json.loads(attrs["parameters"]) == json.loads(SignalSettings().model_dump_json())
    assert attrs["software"].startswith("iblnm ")


def test_correction_removes_the_shared_artifact(make_bands):
    bands = make_bands()
    corrected = preprocess_photometry(bands)["VTA"]
    alone = preprocess_photometry({"GCaMP": bands["GCaMP"]})["VTA"]
    assert corrected.attrs["sd"] < 0.4 * alone.attrs["sd"]


def test_signal_only(make_bands):
    recordings = preprocess_photometry(make_bands(isosbestic=False, fs=50.0))
    for recording in recordings.values():
        assert recording.attrs["correction"] == "signal_only"
        for name in ("iso_slope", "iso_intercept", "iso_r2", "iso_slope_robust"):
            assert np.isnan(recording.attrs[name])
        assert float(recording["signal"].std(ddof=0)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("kind", ["absent column", "nothing valid"])
def test_reference_of_one_fiber_missing(make_bands, kind):
    bands = make_bands()
    if kind == "absent column":
        bands["Isosbestic"] = bands["Isosbestic"][["VTA"]]
    else:
        bands["Isosbestic"]["DR"] = np.nan
    recordings = preprocess_photometry(bands)
    assert recordings["VTA"].attrs["correction"] == "isosbestic"
    assert recordings["DR"].attrs["correction"] == "signal_only"


def test_reference_is_paired_by_time(make_bands):
    bands = make_bands()
    whole = preprocess_photometry(bands)["VTA"]
    bands["Isosbestic"] = bands["Isosbestic"].drop(bands["Isosbestic"].index[1000:1001])
    lost = preprocess_photometry(bands)["VTA"]
    assert lost.attrs["iso_slope"] == pytest.approx(whole.attrs["iso_slope"], rel=0.02)
    difference = (lost["signal"] - whole["signal"]).to_numpy()
    assert np.nanstd(difference) < 0.05


def test_edges_are_marked_and_kept(make_bands):
    bands = make_bands(recordings=("VTA",))
    for frame in bands.values():
        frame.iloc[:300] = np.nan
    recording = preprocess_photometry(bands)["VTA"]
    time, edge = recording["time"].to_numpy(), recording["filter_edge"].to_numpy()
    times = bands["GCaMP"].index
    np.testing.assert_array_equal(edge, (time < times[300] + 50) | (time > times[-1] - 50))
    missing = np.isnan(recording["signal"].to_numpy())
    np.testing.assert_array_equal(missing, time < times[300] - 1e-9)


def test_task_limits_travel_with_the_signal(make_bands):
    bands = restrict_to_task(make_bands(), 200.0, 500.0)
    attrs = preprocess_photometry(bands)["DR"].attrs
    assert (attrs["task_start_s"], attrs["task_end_s"]) == (200.0, 500.0)


def test_parameters_come_from_the_settings(make_bands):
    bands = make_bands(recordings=("VTA",))
    recording = preprocess_photometry(bands, SignalSettings(fs=20.0, filter_edge_s=10.0))["VTA"]
    np.testing.assert_allclose(np.diff(recording["time"]), 1 / 20, rtol=1e-9)
    assert recording["filter_edge"].sum() == pytest.approx(400, abs=2)
    fast = preprocess_photometry(bands, SignalSettings(lowpass_hz=0.1))["VTA"]
    assert fast.attrs["sd"] != pytest.approx(recording.attrs["sd"], rel=1e-3)


TIMES = np.arange(0, 300, 1 / 30)
WAVE = 0.05 + 0.01 * np.sin(TIMES)


def shifted_back(times):
    times = times.copy()
    times[100] = times[99]
    return times


@pytest.mark.parametrize(
    ("values", "times", "message"),
    [
        (WAVE * np.nan, TIMES, "VTA: 0 of 9000 samples are valid; at least 2 are needed"),
        (WAVE * 0 + 0.3, TIMES, "VTA: all 9000 valid samples equal 0.3 .* must be above 0"),
        (WAVE - 0.06, TIMES, "VTA: the baseline falls to -0.01.*; it must stay above 0"),
        (WAVE[:1], TIMES[:1], "VTA: 1 samples; at least 2"),
        (WAVE[:0], TIMES[:0], "VTA: 0 samples; at least 2"),
        (WAVE, TIMES[::-1], "VTA: sample times do not increase at 8999 of 8999 steps"),
        (WAVE, shifted_back(TIMES), "do not increase at 1 of 8999 steps .*sample 99: 0 s"),
        (WAVE, TIMES * np.nan, "VTA: 9000 of 9000 sample times are not finite"),
        (np.where(TIMES < 0.01, 0.1, np.nan), TIMES, "VTA: all 1 valid samples equal 0.1"),
    ],
)
def test_unusable_signals_are_named(values, times, message):
    with pytest.raises(MalformedFileError, match=message):
        preprocess_recording(pd.Series(values, index=times, name="VTA"), None)


def test_unusable_reference_is_named():
    signal = pd.Series(WAVE, index=TIMES, name="VTA")
    with pytest.raises(MalformedFileError, match="VTA, reference: all 9000 valid samples"):
        preprocess_recording(signal, pd.Series(0.2, index=TIMES))
    elsewhere = pd.Series(WAVE, index=TIMES + 1e4)
    with pytest.raises(MalformedFileError, match="VTA: 0 samples have a reference; at least 3"):
        preprocess_recording(signal, elsewhere)


def test_signal_that_is_its_reference_cannot_be_scored():
    signal = pd.Series(WAVE, index=TIMES, name="VTA")
    with pytest.raises(MalformedFileError, match=r"VTA: standard deviation .* must be above"):
        preprocess_recording(signal, signal)


def test_infinite_samples_are_missing_samples():
    values = WAVE.copy()
    values[3000:3100] = np.inf
    recording = preprocess_recording(pd.Series(values, index=TIMES, name="VTA"), None)
    assert np.isnan(recording["signal"][3001:3099]).all()
    assert float(recording["signal"].std(ddof=0)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("bands", [{}, {"Isosbestic": pd.DataFrame({"VTA": WAVE}, index=TIMES)}])
def test_no_signal_band(bands):
    with pytest.raises(MalformedFileError, match="band GCaMP has 0 recordings"):
        preprocess_photometry(bands)


class TestRestriction:
    def test_rows(self, make_bands):
        bands = make_bands()
        inside = bands["Isosbestic"].index.to_numpy()
        lost = (inside > 300) & (inside < 330)
        bands["Isosbestic"] = bands["Isosbestic"][~lost]
        cut = restrict_to_task(bands, 200.0, 500.0, padding_s=5.0)
        # lost frames of one band cut nothing of the other
        assert (cut["GCaMP"].index > 195).all()
        assert cut["GCaMP"].index[-1] == pytest.approx(505, abs=0.05)
        assert len(cut["GCaMP"]) - len(cut["Isosbestic"]) == pytest.approx(900, abs=2)
        assert len(bands["GCaMP"]) == 18000

    @pytest.mark.parametrize(
        ("start", "end", "message"),
        [
            (np.nan, 300.0, "the task runs from nan"),
            (300.0, 200.0, "the end must be after the start"),
            (1e6, 2e6, "0 samples lie in the task"),
        ],
    )
    def test_unusable_window_is_named(self, make_bands, start, end, message):
        with pytest.raises(MalformedFileError, match=message):
            restrict_to_task(make_bands(), start, end)

    @pytest.mark.real
    @pytest.mark.slow
    def test_same_rows_as_the_library(self, cq002):
        from iblphotometry.fpio import restrict_to_session_time

        bands, trials = cq002
        cut = restrict_to_task(bands, trials.intervals_0.iloc[0], trials.intervals_1.iloc[-1])
        expected = restrict_to_session_time(dict(bands), trials)
        for band, frame in cut.items():
            pd.testing.assert_frame_equal(frame, expected[band])
            assert len(frame) == 82213
            assert 1 / np.median(np.diff(frame.index)) == pytest.approx(29.99, abs=5e-3)
