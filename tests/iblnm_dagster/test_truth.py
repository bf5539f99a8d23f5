"""What was planted in the archive comes out of what the graph stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from iblnm.demo.effects import amplitudes
from iblnm.signal.perievent import subtract_baseline
from iblnm.storage.store import SessionStore

pytestmark = pytest.mark.slow

# event and feedbackType of the four kinds of response
RESPONSES = {
    "stimulus": ("stimOn_times", None),
    "movement": ("firstMovement_times", None),
    "reward": ("feedback_times", 1),
    "error": ("feedback_times", -1),
}
LASTS_S = 3.0


@pytest.fixture(scope="module")
def store(faulty):
    return SessionStore(faulty.settings)


@pytest.fixture(scope="module")
def clean(faulty):
    sessions = [session for session in faulty.truth["sessions"] if session["is_clean"]]
    assert len(sessions) >= 10
    return sessions


def recordings(session):
    """Recording name, target, side and signal column of each fiber."""
    names = ("recording_names", "target_NM", "hemisphere", "roi")
    return zip(*(session[name] for name in names), strict=True)


# photometry ---------------------------------------------------------------------------------


def kernel(since, kinetics):
    """Response to an event at time 0, with peak 1."""
    rise, decay = kinetics["rise_s"], kinetics["decay_s"]
    peak = np.log(decay / rise) * decay * rise / (decay - rise)
    top = np.exp(-peak / decay) - np.exp(-peak / rise)
    return (np.exp(-since / decay) - np.exp(-since / rise)) / top


def planted_peaks(session, trials, roi, side):
    """Mean peak of the response to each event and trial, as planted in a recording [dF/F]."""
    own = session["photometry"][roi]
    course = 1 + own["drift"] * (np.arange(len(trials)) / (len(trials) - 1) - 0.5)
    planted = amplitudes(own["effects"], trials, side, own["timing"])
    return {event: course * peak for event, peak in planted.items()}


def planted_traces(session, trials, times, roi, side):
    """Time course of each kind of response alone, as planted [dF/F]; shape (kind, time)."""
    peaks = planted_peaks(session, trials, roi, side)
    outcome = trials["feedbackType"].to_numpy()
    traces = np.zeros((len(RESPONSES), len(times)))
    for trace, (event, wanted) in zip(traces, RESPONSES.values(), strict=True):
        for trial, at in enumerate(trials[event]):
            if not np.isfinite(at) or wanted not in (None, outcome[trial]):
                continue
            start, stop = np.searchsorted(times, [at, at + LASTS_S])
            trace[start:stop] += peaks[event][trial] * kernel(
                times[start:stop] - at, session["kinetics"]
            )
    return traces


@pytest.fixture(scope="module")
def sums(clean, store):
    """Products of planted responses with each other and with the stored dF/F, by recording."""
    found = {}
    for session in clean:
        trials = store.load("trials", session["eid"])
        stored = store.load("preprocessed", session["eid"])
        for name, target, side, roi in recordings(session):
            recording = stored[name]
            dff = recording["dff"].to_numpy()
            traces = planted_traces(session, trials, recording["time"].to_numpy(), roi, side)
            use = np.isfinite(dff) & ~recording["filter_edge"].to_numpy()
            traces = traces[:, use] - traces[:, use].mean(axis=1, keepdims=True)
            # of equal weight whatever the noise
            scale = dff[use].var()
            found[session["eid"], name, target] = (
                traces @ traces.T / scale,
                traces @ (dff[use] - dff[use].mean()) / scale,
            )
    return found


def gains(parts):
    """Least-squares factor on each kind of planted response, and its jackknifed error."""
    left, right = (np.array(side) for side in zip(*parts, strict=True))
    left_out = [
        np.linalg.solve(left.sum(axis=0) - own, right.sum(axis=0) - beside)
        for own, beside in zip(left, right, strict=True)
    ]
    error = np.sqrt((len(parts) - 1) * np.var(left_out, axis=0))
    return np.linalg.solve(left.sum(axis=0), right.sum(axis=0)), error


def test_the_responses_have_the_planted_size_and_sign(sums):
    """A gain of 1 is the planted amplitude: over all recordings, and of each target by chance."""
    gain, error = gains(list(sums.values()))
    for kind, found, wide in zip(RESPONSES, gain, error, strict=True):
        assert wide < 0.1, kind
        assert found == pytest.approx(1, abs=0.05 + 3 * wide), kind
    targets = {target for _, _, target in sums}
    assert len(targets) >= 6
    outside = []
    for target in targets:
        parts = [part for (_, _, own), part in sums.items() if own == target]
        if len(parts) < 3:
            continue
        gain, error = gains(parts)
        assert (gain > 0).all(), target
        outside += list(np.abs(gain - 1) > 0.05 + scipy.stats.t.ppf(0.975, len(parts) - 1) * error)
    assert len(outside) >= 12
    assert sum(outside) <= scipy.stats.binom.ppf(0.99, len(outside), 0.05)


@pytest.mark.slow
def test_the_stored_responses_to_the_stimulus_follow_contrast_and_side(clean, store):
    """Early response per condition against the planted peak, before any movement."""
    points = []
    for session in clean:
        trials = store.load("trials", session["eid"])
        responses = store.load("responses", session["eid"])
        stored = store.load("preprocessed", session["eid"])
        for name, _, side, roi in recordings(session):
            array = subtract_baseline(responses[name])
            # peak of the kernel, reached before most movements begin
            peak_at = int(np.argmin(np.abs(array["time"].to_numpy() - 0.13)))
            values = array.sel(event="stimOn_times").to_numpy()[:, peak_at]
            dff = values * stored[name].attrs["sd"]
            first = (trials["firstMovement_times"] - trials["stimOn_times"]).to_numpy()
            expected = planted_peaks(session, trials, roi, side)["stimOn_times"]
            use = np.isfinite(dff) & (first > float(array["time"][peak_at]))
            points.append(np.stack((expected[use], dff[use])) / stored[name].attrs["sd"])
    expected, found = np.concatenate(points, axis=1)
    assert len(found) > 1000
    slope, error = scipy.stats.linregress(expected, found)[0::4]
    assert error < 0.1
    assert slope == pytest.approx(1, abs=0.05 + 3 * error)


def test_bleaching_is_recovered_within_a_fifth(clean, store):
    ratios, steep = [], []
    for session in clean:
        quality = store.load("photometry_qc", session["eid"])
        signal = quality[quality["band"] == "GCaMP"].set_index("brain_region")
        for name, _, _, roi in recordings(session):
            planted = session["photometry"][roi]
            ratios.append(signal.loc[name, "bleaching_tau"] / planted["bleaching_tau_s"])
            # what bleaches by less has no time constant that the noise would not hide
            if planted["bleaching"] > 1.1:
                steep.append(ratios[-1])
    # the planted decay has a fast part besides, which one exponential cannot tell apart
    assert min(steep) > 0.8
    assert max(steep) < 1.2
    assert len(steep) >= 10
    assert np.median(ratios) == pytest.approx(1, abs=0.06)


def test_every_stored_signal_has_mean_zero_and_sd_one(faulty, store):
    eids = [eid for eid, _ in store.iterate("preprocessed")]
    assert len(eids) > 40
    for eid in eids:
        for name, recording in store.load("preprocessed", eid).items():
            signal = recording["signal"].to_numpy()
            signal = signal[np.isfinite(signal)]
            assert abs(signal.mean()) < 1e-9, (eid, name)
            assert abs(signal.std() - 1) < 1e-9, (eid, name)


def test_rates_bands_and_corrections_are_those_planted(clean, store):
    kinds = set()
    for session in clean:
        reference = store.load("photometry", session["eid"]).iloc[0]
        bands = {"GCaMP", "Isosbestic"} if session["has_isosbestic"] else {"GCaMP"}
        assert set(reference["bands"]) == bands
        assert reference["rate_hz"] == pytest.approx(session["band_rate_hz"], rel=1e-3)
        assert reference["valid_column"] == session["valid_column"]
        stored = store.load("preprocessed", session["eid"])
        assert list(stored) == sorted(session["recording_names"])
        expected = "isosbestic" if session["has_isosbestic"] else "signal_only"
        assert {recording.attrs["correction"] for recording in stored.values()} == {expected}
        assert {recording.attrs["fs"] for recording in stored.values()} == {30.0}
        kinds.add((session["has_isosbestic"], session["band_rate_hz"]))
    assert len(kinds) > 1 or {True} == {has for has, _ in kinds}


# behavior ----------------------------------------------------------------------------------


def test_fractions_are_counted_right(clean, store):
    for session in clean:
        trials = store.load("trials", session["eid"])
        stored = store.load("performance", session["eid"]).iloc[0]
        assert len(trials) == stored["n_trials"] == session["n_trials"]
        went = trials["choice"] != 0
        correct = trials["feedbackType"] == 1
        easy = went & (trials[["contrastLeft", "contrastRight"]].max(axis=1) >= 0.5)
        assert stored["nogo_fraction"] == pytest.approx(1 - went.mean(), abs=1e-12)
        assert stored["fraction_correct"] == pytest.approx(correct[went].mean(), abs=1e-12)
        assert stored["fraction_correct_easy"] == pytest.approx(correct[easy].mean(), abs=1e-12)


def test_psychometric_parameters_are_recovered(clean, store):
    """Over sessions: one has 90 unbiased trials or some hundred in a block."""
    rows = []
    for session in clean:
        if len(session["contrasts"]) < 5:
            continue
        stored, planted = (
            store.load("performance", session["eid"]).iloc[0],
            session["psychometric"],
        )
        rows.append(
            {
                "bias": stored["psych_50_bias"] - planted["bias"],
                "threshold": stored["psych_50_threshold"] / planted["threshold"],
                "lapse_left": stored["psych_50_lapse_left"] - planted["lapse_left"],
                "lapse_right": stored["psych_50_lapse_right"] - planted["lapse_right"],
                "bias_shift": stored["bias_shift"] - planted["bias_shift"],
            }
        )
    errors = pd.DataFrame(rows)
    assert len(errors) >= 10
    middle = errors.median()
    assert middle["bias"] == pytest.approx(0, abs=3)
    assert middle["threshold"] == pytest.approx(1, abs=0.2)
    assert middle["lapse_left"] == pytest.approx(0, abs=0.06)
    assert middle["lapse_right"] == pytest.approx(0, abs=0.06)
    assert middle["bias_shift"] == pytest.approx(0, abs=4)


def test_wheel_movements_have_the_planted_peak_and_direction(clean, store):
    for session in clean:
        velocity = store.load("wheel_velocity", session["eid"]).to_numpy()
        trials = store.load("trials", session["eid"])
        assert len(velocity) == session["n_trials"]
        moved = ((trials["choice"] != 0) & trials["firstMovement_times"].notna()).to_numpy()
        peak = np.nanmax(np.abs(velocity[moved]), axis=1)
        planted = session["wheel"]["median_peak_velocity_rad_s"]
        assert np.median(peak) == pytest.approx(planted, rel=0.02)
        extreme = np.nanargmax(np.abs(velocity[moved]), axis=1)
        direction = np.sign(velocity[moved][np.arange(moved.sum()), extreme])
        np.testing.assert_array_equal(direction, -trials.loc[moved, "choice"])


# metadata -----------------------------------------------------------------------------------


def test_metadata_are_those_of_the_archive(clean, store):
    sources = set()
    for session in clean:
        row = store.load("session", session["eid"]).iloc[0]
        for name in ("subject", "lab", "number", "session_type", "task_protocol"):
            assert row[name] == session[name], name
        assert row["start_time"] == session["start_time"]
        assert row["session_length"] == pytest.approx(session["session_length_s"])
        for name in ("target_NM", "hemisphere"):
            assert list(row[name]) == session[name], name
        # the fiber table knows regions, not columns
        known = row["region_source"] != "fiber table"
        assert list(row["roi"]) == (session["roi"] if known else [None] * len(session["roi"]))
        assert list(row["recording_name"]) == session["recording_names"]
        assert row["region_source"] == session["region_source"]
        sources.add(row["region_source"])
        video = store.load("video_qc", session["eid"]).iloc[0]
        seconds = (session["n_video_frames"] - 1) / session["camera_rate_hz"]
        assert video["video_length"] == pytest.approx(seconds, rel=1e-3)
        assert video["framerate_from_tpts"] == pytest.approx(session["camera_rate_hz"], rel=1e-3)
    assert {"experiment description", "roi locations"} <= sources


# raw files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "defect", ["not_extracted", "missing_extracted_photometry", "imprecise_synchronization"]
)
def test_the_camera_s_planted_clock_is_found(faulty, defect):
    (session,) = [s for s in faulty.truth["sessions"] if s["defect"] == defect]
    planted = session["camera_clock"]
    first = SessionStore(faulty.settings).load("photometry", session["eid"]).iloc[0]
    assert (first["source"], first["clock"]) == ("raw", "session")
    jitter = planted["jitter_s"]
    assert first["sync_residual_s"] == pytest.approx(jitter, rel=0.15)
    # of a line through hundreds of pulses
    length = first["last_sample_s"] - first["first_sample_s"]
    assert first["sync_drift_ppm"] == pytest.approx(
        planted["drift_ppm"], abs=max(0.5, 0.5 * jitter / length * 1e6)
    )
    matched = first["sync_n_matched"] / first["sync_n_events"]
    assert matched > 0.99
