"""The simulator's data carry the truth that it states."""

import numpy as np
import pandas as pd
import pytest

from iblnm.demo import RESPONSE_PROFILES, simulate_session
from iblnm.demo.behavior import Psychometric
from iblnm.demo.cohort import make_cohort
from iblnm.demo.defects import DEFECTS
from iblnm.demo.kinetics import DECAY_S, RISE_S
from iblnm.demo.photometry import Fiber, response_amplitude
from iblnm.demo.wheel import COUNT_RAD, N_COUNTS, peak_velocity


@pytest.fixture(scope="module")
def session():
    return simulate_session(3, duration_s=3600, n_trials=800)


def test_benchmark_size(session):
    assert len(session.trials) == 800
    assert list(session.bands) == ["GCaMP", "Isosbestic"]
    for band in session.bands.values():
        assert list(band) == ["VTA", "NBM"]
        rate = 1 / np.median(np.diff(band.index))
        assert rate == pytest.approx(30, abs=0.05)
        assert len(band) > 3600 * 30
        assert (np.diff(band.index) > 0).all()


def test_trial_columns_are_those_of_alf(session):
    trials = session.trials
    assert list(trials) == [
        "intervals_0",
        "intervals_1",
        "goCue_times",
        "response_times",
        "choice",
        "stimOn_times",
        "contrastLeft",
        "contrastRight",
        "feedback_times",
        "feedbackType",
        "rewardVolume",
        "probabilityLeft",
        "firstMovement_times",
    ]
    assert trials["choice"].dtype == trials["feedbackType"].dtype == np.int64
    others = trials.drop(columns=["choice", "feedbackType"])
    assert (others.dtypes == np.float64).all()
    assert (trials["contrastLeft"].isna() != trials["contrastRight"].isna()).all()
    order = ["intervals_0", "stimOn_times", "feedback_times", "intervals_1"]
    assert (np.diff(trials[order].to_numpy(), axis=1) > 0).all()
    assert (trials["intervals_0"].to_numpy()[1:] > trials["intervals_1"].to_numpy()[:-1]).all()


def test_rewarded_choices_are_towards_the_stimulus(session):
    trials = session.trials
    on_left = trials["contrastLeft"].notna()
    rewarded = trials["feedbackType"] == 1
    assert (trials.loc[rewarded & on_left, "choice"] == 1).all()
    assert (trials.loc[rewarded & ~on_left, "choice"] == -1).all()
    assert (trials.loc[~rewarded, "rewardVolume"] == 0).all()
    assert 0 < (trials["choice"] == 0).mean() < 0.04


def test_blocks_follow_the_plan(session):
    p = session.trials["probabilityLeft"].to_numpy()
    assert (p[:90] == 0.5).all()
    lengths = np.diff(np.flatnonzero(np.diff(p, prepend=-1) != 0))
    assert ((lengths[1:] >= 20) & (lengths[1:] <= 100)).all()
    assert lengths.tolist() == session.plan["LEN_BLOCKS"][: len(lengths)]
    assert set(p[90:]) == {0.2, 0.8}
    on_left = session.trials["contrastLeft"].notna().to_numpy()
    assert (np.array(session.plan["POSITIONS"][:800]) < 0).tolist() == on_left.tolist()
    assert on_left[p == 0.8].mean() == pytest.approx(0.8, abs=0.02)
    assert on_left[p == 0.2].mean() == pytest.approx(0.2, abs=0.02)


@pytest.mark.slow
def test_choices_follow_the_psychometric_curve():
    truth = Psychometric(bias=5.0, threshold=20.0, lapse_left=0.08, lapse_right=0.05)
    session = simulate_session(
        5, duration_s=30_000, n_trials=6000, session_type="training", psychometric=truth, fibers=()
    )
    trials = session.trials[session.trials["choice"] != 0]
    signed = 100 * trials["contrastRight"].fillna(-trials["contrastLeft"])
    for contrast, choices in trials["choice"].groupby(signed):
        expected = float(truth.p_right(np.array(contrast), np.array(0.5)))
        assert (choices == -1).mean() == pytest.approx(expected, abs=0.02), contrast


def test_fit_recovers_the_psychometric_curve():
    import psychofit

    truth = Psychometric(bias=5.0, threshold=20.0, lapse_left=0.08, lapse_right=0.05)
    trials = simulate_session(
        6, duration_s=9000, n_trials=2000, session_type="training", psychometric=truth, fibers=()
    ).trials
    trials = trials[trials["choice"] != 0]
    signed = 100 * trials["contrastRight"].fillna(-trials["contrastLeft"])
    counted = (trials["choice"] == -1).groupby(signed).agg(["size", "mean"])
    np.random.seed(0)  # noqa: NPY002 psychofit draws its starts from the global generator
    fitted, _ = psychofit.mle_fit_psycho(
        np.vstack([counted.index, counted["size"], counted["mean"]]),
        "erf_psycho_2gammas",
        parstart=np.array([0, 40, 0.1, 0.1]),
        parmin=np.array([-50, 10, 0, 0]),
        parmax=np.array([50, 50, 0.2, 0.2]),
        nfits=3,
    )
    assert fitted[:2] == pytest.approx([5, 20], abs=2.5)
    assert fitted[2:] == pytest.approx([0.08, 0.05], abs=0.025)


def test_reaction_times_shorten_with_contrast(session):
    trials = session.trials
    reaction = trials["firstMovement_times"] - trials["stimOn_times"]
    contrast = trials["contrastLeft"].fillna(trials["contrastRight"])
    medians = reaction.groupby(contrast).median()
    assert (np.diff(medians) < 0).all()
    assert 0 < (reaction < 0).mean() <= 0.01
    assert reaction.isna().sum() == (trials["choice"] == 0).sum()


@pytest.mark.slow
def test_wheel_turns_by_the_stated_angle_and_speed(session):
    moved = session.trials[session.trials["choice"] != 0]
    start, end = moved["firstMovement_times"], moved["feedback_times"]
    times, position = session.wheel_times, session.wheel_position
    assert (np.diff(times) > 0).all()
    turned = np.interp(end, times, position) - np.interp(start, times, position)
    # as in the real session ZM_335: positive for a rightward choice, which is -1
    assert turned == pytest.approx(-moved["choice"] * N_COUNTS * COUNT_RAD, abs=2 * COUNT_RAD)
    fine = np.arange(times[0], times[-1], 0.002)
    speed = np.abs(np.gradient(np.interp(fine, times, position), 0.002))
    measured = [
        pd.Series(speed[np.searchsorted(fine, a) : np.searchsorted(fine, b)])
        .rolling(9)
        .mean()
        .max()
        for a, b in zip(start, end, strict=True)
    ]
    error = np.array(measured) / peak_velocity(moved) - 1
    assert np.abs(np.median(error)) < 0.05
    assert np.quantile(np.abs(error), 0.9) < 0.15


@pytest.mark.slow
def test_responses_have_the_stated_peak():
    """Event-locked rise of GCaMP of a fiber whose stimulus response is isolated in time."""
    fiber = Fiber("SI-ACh", "l", "G0")
    session = simulate_session(
        8, duration_s=9000, n_trials=400, session_type="training", fibers=(fiber,)
    )
    trials = session.trials
    band = session.bands["GCaMP"]["SI"].dropna()
    times, values = band.index.to_numpy(), band.to_numpy()
    slow = pd.Series(values).rolling(6001, center=True, min_periods=1).median().to_numpy()
    change = values / slow - 1
    peak_at = np.log(DECAY_S / RISE_S) * DECAY_S * RISE_S / (DECAY_S - RISE_S)
    rewarded = trials[(trials["feedbackType"] == 1) & (trials["contrastRight"] == 1)]
    feedback = rewarded["feedback_times"].to_numpy()
    before = np.interp(feedback - 0.01, times, change)
    measured = (np.interp(feedback + peak_at, times, change) - before).mean()
    decayed = np.mean(
        [
            _expected_decay(rewarded[event], feedback, fiber, event, peak_at)
            for event in ("stimOn_times", "firstMovement_times")
        ],
        axis=0,
    )
    expected = response_amplitude(
        fiber.target, "feedback_times", np.array(1.0), np.array(True), np.array(True)
    )
    assert measured == pytest.approx(expected + 2 * decayed.mean(), abs=0.006)


def _expected_decay(event_times, feedback, fiber, event, after):
    """Change, between feedback and `after` it, of the response to an earlier event."""
    size = response_amplitude(fiber.target, event, np.array(1.0), np.array(True), np.array(True))
    peak_at = np.log(DECAY_S / RISE_S) * DECAY_S * RISE_S / (DECAY_S - RISE_S)

    def kernel(t):
        return np.where(t > 0, np.exp(-t / DECAY_S) - np.exp(-t / RISE_S), 0.0)

    since = feedback - event_times.to_numpy()
    return size * (kernel(since + after) - kernel(since - 0.01)) / kernel(np.array(peak_at))


@pytest.mark.slow
def test_artifact_is_shared_and_bleaching_has_the_stated_constant(session):
    from scipy.optimize import curve_fit

    for name, fiber in zip(session.recording_names, session.fibers, strict=True):
        truth = session.truth["photometry"][fiber.roi]
        bands = {key: band[name].dropna() for key, band in session.bands.items()}
        fast = [b - b.rolling(61, center=True).mean() for b in bands.values()]
        paired = np.interp(fast[0].index, fast[1].index, fast[1])
        keep = np.isfinite(fast[0].to_numpy()) & np.isfinite(paired)
        assert np.corrcoef(fast[0][keep], paired[keep])[0, 1] > 0.3
        iso = bands["Isosbestic"]
        since = iso.index.to_numpy() - session.frames.times[0]

        def decay(t, amplitude, tau, offset):
            return amplitude * np.exp(-t / tau) + offset

        fitted, _ = curve_fit(decay, since, iso / iso.iloc[0], p0=(0.2, 1500.0, 0.8))
        assert fitted[1] == pytest.approx(truth["isosbestic_bleaching_tau_s"], rel=0.2)


def test_targets_have_distinct_profiles():
    assert len(RESPONSE_PROFILES) == 8
    vectors = np.array([np.hstack(profile) for profile in RESPONSE_PROFILES.values()])
    distance = np.linalg.norm(
        vectors[:, None, [0, 1, 3, 4, 6]] - vectors[:, [0, 1, 3, 4, 6]], axis=2
    )
    assert distance[~np.eye(8, dtype=bool)].min() > 0.01


def test_without_isosbestic_dark_frames_are_between():
    session = simulate_session(1, duration_s=120, n_trials=30, has_isosbestic=False, rate_hz=50)
    assert list(session.bands) == ["GCaMP"]
    states = session.frames.state
    assert set(states[1::2]) == {2}
    assert set(states[::2]) == {0}


@pytest.mark.parametrize("size", [(12, 5), (10, 4)])
def test_the_earliest_session_has_no_fault(size):
    plans = make_cohort(0, *size, 1500.0, list(DEFECTS))
    first = plans[0]
    assert first.start == min(plan.start for plan in plans)
    assert first.defect is None
    assert not first.is_early
    assert [fiber.target for fiber in first.fibers] == ["VTA-DA"]
    planted = [plan.defect.name for plan in plans if plan.defect is not None]
    assert sorted(planted) == sorted(defect.name for defect in DEFECTS)
