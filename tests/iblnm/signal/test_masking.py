"""Windows of artifacts: missing samples, the clock untouched, the share told per trial."""

import numpy as np
import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.signal.masking import mask_series, preprocess_masked, with_masked_share
from iblnm.signal.perievent import extract_responses
from iblnm.signal.preprocess import preprocess_photometry


@pytest.fixture(scope="module")
def bands():
    rng = np.random.default_rng(4)
    times = np.arange(9_000) / 30
    shared = rng.normal(0, 0.01, len(times))
    bleaching = np.exp(-times / 400)
    signal = bleaching * (1 + shared + rng.normal(0, 0.02, len(times)))
    reference = 0.5 * bleaching * (1 + shared + rng.normal(0, 0.005, len(times)))
    artifact = (times > 100) & (times < 101)
    signal[artifact] *= 3
    index = pd.Index(times, name="times")
    columns = {"A": signal, "B": signal}
    return {
        "GCaMP": pd.DataFrame(columns, index=index),
        "Isosbestic": pd.DataFrame({"A": reference, "B": reference}, index=index),
    }


def test_a_masked_artifact_leaves_the_rest_as_if_it_had_not_been(bands):
    windows = {"A": [(99.9, 101.1)]}
    masked = preprocess_masked(bands, windows)
    plain = preprocess_photometry(bands)
    a, b = masked["A"], masked["B"]
    np.testing.assert_array_equal(a["time"], plain["A"]["time"])
    inside = (a["time"] >= 99.9) & (a["time"] <= 101.1)
    assert np.isnan(a["signal"].to_numpy()[inside]).all()
    assert np.isfinite(a["signal"].to_numpy()[~inside]).mean() > 0.99
    np.testing.assert_array_equal(a["masked"], inside)
    assert np.nanstd(a["signal"]) == pytest.approx(1)
    # the artifact ruled the standard deviation
    assert a.attrs["sd"] < 0.5 * plain["A"].attrs["sd"]
    # another fiber is as it was
    np.testing.assert_array_equal(b["signal"], plain["B"]["signal"])
    assert not b["masked"].any()


def test_a_window_shorter_than_a_bridged_gap_stays_missing(bands):
    recording = preprocess_masked(bands, {"A": [(50.0, 50.04)]})["A"]
    inside = (recording["time"] >= 50) & (recording["time"] <= 50.04)
    assert inside.any()
    assert np.isnan(recording["signal"].to_numpy()[inside]).all()
    assert np.isfinite(recording["signal"].to_numpy()).sum() >= inside.size - inside.sum() - 2
    assert np.nanmean(recording["signal"]) == pytest.approx(0, abs=1e-9)


def test_a_series_without_masked_samples_is_not_copied(bands):
    signal = bands["GCaMP"]["A"]
    assert mask_series(signal, [(5_000, 6_000)]) is signal


def test_a_fiber_that_is_masked_away_is_left_out_with_its_reason(bands):
    failures = {}
    recordings = preprocess_masked(bands, {"A": [(0.0, 1e4)]}, failures=failures)
    assert list(recordings) == ["B"]
    assert list(failures) == ["A"] and "A" in failures["A"]
    with pytest.raises(MalformedFileError):
        preprocess_masked(bands, {"A": [(0.0, 1e4)], "B": [(0.0, 1e4)]}, failures={})


def test_the_share_of_masked_samples_is_told_per_event_and_trial(bands):
    recording = preprocess_masked(bands, {"A": [(100.0, 101.0)]})["A"]
    trials = pd.DataFrame(
        {"stimOn_times": [50.0, 100.5, np.nan], "feedback_times": [51.0, 101.5, 200.0]}
    )
    times = recording["time"].to_numpy()
    events = ["stimOn_times", "feedback_times"]
    responses = extract_responses(times, recording["signal"].to_numpy(), trials, events=events)
    shared = with_masked_share(responses, trials, times, recording["masked"])
    share = shared["masked_share"].to_numpy()
    np.testing.assert_allclose(share, [[0, 0.5, 0], [0, 0.25, 0]], atol=0.04)
    # exactly what is missing
    missing = np.isnan(responses.to_numpy()).mean(axis=-1)
    np.testing.assert_array_equal(share[0, :2], missing[0, :2])
