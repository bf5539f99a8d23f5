"""A planted offset and drift are found; pulses of another session are refused."""

import numpy as np
import pytest

from iblnm.signal.synchronization import fit_clock, to_other_clock

OFFSET_S, DRIFT_PPM = -3012.5, 55.0


def planted(n: int = 600, jitter_s: float = 0.0, seed: int = 0):
    """Events of a task, and the pulses of a camera whose clock is off."""
    rng = np.random.default_rng(seed)
    events = 5.0 + np.cumsum(rng.uniform(0.8, 6.0, n))
    stamps = (events - OFFSET_S) / (1 + DRIFT_PPM * 1e-6)
    return stamps + rng.normal(0, jitter_s, n), events


def test_offset_and_drift_are_found():
    fit = fit_clock(*planted(), min_matched_share=0.95)
    assert fit.fault == ""
    assert fit.offset_s == pytest.approx(OFFSET_S, abs=1e-6)
    assert fit.drift_ppm == pytest.approx(DRIFT_PPM, abs=1e-3)
    assert fit.residual_s < 1e-7
    assert (fit.n_events, fit.n_matched, fit.matched_share) == (600, 600, 1.0)


@pytest.mark.parametrize("jitter_s", [2e-4, 2e-3, 8e-3])
def test_the_residual_is_the_jitter_of_the_pulses(jitter_s):
    stamps, events = planted(jitter_s=jitter_s)
    fit = fit_clock(np.sort(stamps), events, min_matched_share=0.95)
    assert fit.residual_s == pytest.approx(jitter_s, rel=0.1)
    exact, _ = planted()
    # a line through 600 events is more exact than any of them
    assert np.abs(fit.apply(exact) - events).max() < jitter_s / 4


def test_pulses_that_belong_to_nothing_and_lost_ones_change_little():
    stamps, events = planted()
    rng = np.random.default_rng(1)
    kept = np.delete(stamps, rng.choice(600, 15, replace=False))
    others = rng.uniform(stamps[0], stamps[-1], 80)
    fit = fit_clock(np.sort(np.r_[kept, others]), events, min_matched_share=0.95)
    assert fit.fault == ""
    assert fit.matched_share >= 0.975
    assert np.abs(fit.apply(stamps) - events).max() < 2e-3


def test_pulses_of_another_session_are_refused_with_their_share():
    stamps, _ = planted(seed=1)
    _, events = planted(seed=2)
    fit = fit_clock(stamps, events, min_matched_share=0.95)
    assert "of 600 events have a pulse" in fit.fault
    assert "at least 95% are needed" in fit.fault
    assert np.isnan([fit.offset_s, fit.drift_ppm, fit.residual_s]).all()


def test_a_clock_that_cannot_be_and_too_few_pulses_are_refused():
    stamps, events = planted()
    fit = fit_clock(stamps[:5], events, min_matched_share=0.95)
    assert fit.fault == "5 pulses and 600 events; at least 10 of both are needed"
    short = events[:40]
    fit = fit_clock(1000.0 + short * 0.998, short, min_matched_share=0.95)
    assert "2004 ppm" in fit.fault or "have a pulse" in fit.fault


def test_times_are_put_on_the_other_clock():
    np.testing.assert_allclose(to_other_clock(np.array([10.0]), 2.0, 1e5), [13.0])
