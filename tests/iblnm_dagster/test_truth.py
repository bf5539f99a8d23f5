"""What was planted in the archive comes out of what the graph stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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


def planted_traces(session, truth, trials, times, target, side):
    """Time course of each kind of response alone, as planted [dF/F]; shape (kind, time)."""
    peaks = {
        (row["event"], row["contrast"], row["laterality"], row["outcome"]): row["peak_dff"]
        for row in truth["response_amplitudes"][target]
    }
    contra = trials["stim_side"].eq("right" if side == "l" else "left").to_numpy()
    outcome = trials["feedbackType"].to_numpy()
    traces = np.zeros((len(RESPONSES), len(times)))
    for trace, (event, wanted) in zip(traces, RESPONSES.values(), strict=True):
        for trial, at in enumerate(trials[event]):
            if not np.isfinite(at) or wanted not in (None, outcome[trial]):
                continue
            start, stop = np.searchsorted(times, [at, at + LASTS_S])
            peak = peaks[
                event,
                trials["contrast"].iloc[trial],
                "contra" if contra[trial] else "ipsi",
                "correct" if outcome[trial] == 1 else "incorrect",
            ]
            trace[start:stop] += peak * kernel(times[start:stop] - at, session["kinetics"])
    return traces


@pytest.fixture(scope="module")
def gains(faulty, clean, store):
    """Least-squares factor on each kind of planted response in the stored dF/F, by target."""
    sums = {}
    for session in clean:
        trials = store.load("trials", session["eid"])
        stored = store.load("preprocessed", session["eid"])
        for name, target, side, _ in recordings(session):
            recording = stored[name]
            dff = recording["dff"].to_numpy()
            traces = planted_traces(
                session, faulty.truth, trials, recording["time"].to_numpy(), target, side
            )
            use = np.isfinite(dff) & ~recording["filter_edge"].to_numpy()
            traces = traces[:, use] - traces[:, use].mean(axis=1, keepdims=True)
            of_target = sums.setdefault(target, [0.0, 0.0])
            of_target[0] += traces @ traces.T
            of_target[1] += traces @ (dff[use] - dff[use].mean())
    return pd.DataFrame(
        {target: np.linalg.solve(*pair) for target, pair in sums.items()}, index=list(RESPONSES)
    ).T


def planted_size(truth, target, kind):
    event, wanted = RESPONSES[kind]
    outcome = {None: ("correct", "incorrect"), 1: ("correct",), -1: ("incorrect",)}[wanted]
    return np.mean(
        [
            row["peak_dff"]
            for row in truth["response_amplitudes"][target]
            if row["event"] == event and row["outcome"] in outcome
        ]
    )


def test_the_responses_of_every_target_have_the_planted_size_and_sign(faulty, gains):
    """A gain of 1 is the planted amplitude; noise allows more where that is small."""
    assert set(gains.index) == set(faulty.truth["response_amplitudes"])
    assert len(gains) >= 6
    for target, row in gains.iterrows():
        for kind, gain in row.items():
            size = abs(planted_size(faulty.truth, target, kind))
            assert gain == pytest.approx(1, abs=0.05 + 0.0015 / size), (target, kind, size)


@pytest.mark.slow
def test_the_stored_responses_to_the_stimulus_follow_contrast_and_side(faulty, clean, store):
    """Early response per condition against the planted peak, by target, before any movement."""
    points = {}
    for session in clean:
        trials = store.load("trials", session["eid"])
        responses = store.load("responses", session["eid"])
        stored = store.load("preprocessed", session["eid"])
        for name, target, side, _ in recordings(session):
            array = subtract_baseline(responses[name])
            # peak of the kernel, reached before most movements begin
            peak_at = int(np.argmin(np.abs(array["time"].to_numpy() - 0.13)))
            values = array.sel(event="stimOn_times").to_numpy()[:, peak_at]
            dff = values * stored[name].attrs["sd"]
            first = (trials["firstMovement_times"] - trials["stimOn_times"]).to_numpy()
            expected = planted_traces(
                session,
                faulty.truth,
                trials.assign(firstMovement_times=np.nan, feedback_times=np.nan),
                trials["stimOn_times"].to_numpy() + float(array["time"][peak_at]),
                target,
                side,
            )[0]
            use = np.isfinite(dff) & (first > float(array["time"][peak_at]))
            points.setdefault(target, []).append(np.stack((expected[use], dff[use])))
    for target, parts in points.items():
        expected, dff = np.concatenate(parts, axis=1)
        n, error = len(dff), dff.std() / np.sqrt(len(dff))
        assert n > 100
        assert dff.mean() == pytest.approx(expected.mean(), abs=4 * error + 0.1 * expected.mean())
        assert (dff.mean() > 0) == (expected.mean() > 0), target


def test_bleaching_is_recovered_within_a_fifth(clean, store):
    ratios = []
    for session in clean:
        quality = store.load("photometry_qc", session["eid"])
        signal = quality[quality["band"] == "GCaMP"].set_index("brain_region")
        for name, _, _, roi in recordings(session):
            planted = session["photometry"][roi]["bleaching_tau_s"]
            ratios.append(signal.loc[name, "bleaching_tau"] / planted)
    # the planted decay has a fast part besides, which one exponential cannot tell apart
    assert min(ratios) > 0.8
    assert max(ratios) < 1.2
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
