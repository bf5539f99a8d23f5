"""Each chain recovers planted transients where its assumptions hold."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from iblnm.config import ChainSettings, SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.signal.chains import (
    CHAINS,
    DOCUMENTED,
    MissingChainPackageError,
    find_chain,
    registry,
    usable_chains,
)
from iblnm.signal.chains.baselines import fit_double_exponential
from iblnm.signal.chains.regression import bisquare_line
from iblnm.signal.preprocess import preprocess_recording

NAMES = [chain.name for chain in CHAINS]
SETTINGS = SignalSettings()
T = np.arange(0, 900, 1 / 30)
AMPLITUDE = 0.04


def transients(slow=0.0):
    planted = np.zeros_like(T)
    for event in np.arange(20, 890, 10.0):
        after = T - event
        planted += AMPLITUDE * (after > 0) * np.exp(-after.clip(0) / 0.6)
    return planted + slow * (T // 150 % 2)


def bands(gain=0.7, *, slow=0.0, noise=0.001, reference_noise=0.001, seed=0):
    """Bleaching, movements of heavy tails at a gain of the signal, white noise."""
    rng = np.random.default_rng(seed)
    planted = transients(slow)
    shocks = pd.Series(rng.standard_t(3, size=T.size))
    movement = 0.02 * shocks.ewm(8).mean().ewm(8).mean().to_numpy()
    bleaching = [1 + a * np.exp(-T / 80) + 0.2 * np.exp(-T / 1500) for a in (0.2, 0.1)]
    # a gain of None: the artifact multiplies both bands
    seen = (1 + planted) * (1 + movement) if gain is None else 1 + planted + gain * movement
    signal = 50 * bleaching[0] * (seen + noise * rng.normal(size=T.size))
    reference = 20 * bleaching[1] * (1 + movement + reference_noise * rng.normal(size=T.size))
    return pd.Series(signal, T, name="VTA"), pd.Series(reference, T), planted, movement


def recovered(recording, planted, movement):
    """Coefficients of what was planted in the corrected dF/F: response, artifact."""
    dff = recording["dff"].to_numpy()
    columns = [np.interp(recording["time"], T, x) for x in (planted, movement)]
    design = np.column_stack([*columns, np.ones(len(dff))])
    known = np.isfinite(dff)
    return np.linalg.lstsq(design[known], dff[known], rcond=None)[0][:2]


@pytest.mark.parametrize("name", NAMES)
def test_it_recovers_the_transients_and_removes_the_artifact(name):
    signal, reference, planted, movement = bands(gain=None if name == "dexp_ratio" else 0.7)
    recording = find_chain(name).correct()(signal, reference, SETTINGS)
    response, artifact = recovered(recording, planted, movement)
    assert response == pytest.approx(1.0, abs=0.06)
    assert abs(artifact) < 0.12
    z = recording["signal"].to_numpy()
    assert (np.nanmean(z), np.nanstd(z)) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    assert recording.attrs["correction"] == "isosbestic"


def test_the_documented_chain_is_preprocessing_to_the_bit():
    signal, reference, *_ = bands()
    ours = find_chain(DOCUMENTED).correct()(signal, reference, SETTINGS)
    assert ours.identical(preprocess_recording(signal, reference, SETTINGS))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("dexp")])
def test_double_exponentials_keep_what_is_slow_and_the_default_does_not(name):
    signal, reference, *_ = bands(gain=None if name == "dexp_ratio" else 0.7, slow=0.05)
    blocks = 0.05 * (T // 150 % 2)
    kept = {}
    for chain in (name, DOCUMENTED):
        recording = find_chain(chain).correct()(signal, reference, SETTINGS)
        dff = recording["dff"].to_numpy()
        design = np.column_stack([np.interp(recording["time"], T, blocks), np.ones(len(dff))])
        known = np.isfinite(dff)
        kept[chain] = np.linalg.lstsq(design[known], dff[known], rcond=None)[0][0]
    assert kept[name] > 0.6
    assert kept[DOCUMENTED] < 0.35


def test_a_smoothed_reference_brings_less_noise():
    signal, reference, *_ = bands(reference_noise=0.02, noise=0.001)
    left = {}
    for name in (DOCUMENTED, "documented_smoothed_reference", "dexp_ratio"):
        recording = find_chain(name).correct()(signal, reference, SETTINGS)
        dff = recording["dff"].to_numpy()
        left[name] = np.nanstd(np.diff(dff))
    # that of the signal itself, white at 0.001, and of what is left of the artifact remains
    assert left["documented_smoothed_reference"] < 0.92 * left[DOCUMENTED]
    assert left["dexp_ratio"] > left[DOCUMENTED]


def test_components_are_told_apart_where_the_reference_has_some_of_the_signal():
    signal, reference, planted, movement = bands(noise=2e-4, reference_noise=2e-4)
    leaking = reference * (1 + 0.3 * planted)
    gains = {
        name: recovered(find_chain(name).correct()(signal, leaking, SETTINGS), planted, movement)[
            0
        ]
        for name in (DOCUMENTED, "dexp_ica")
    }
    assert gains["dexp_ica"] == pytest.approx(1.0, abs=0.05)
    assert gains[DOCUMENTED] < 0.85


def test_the_same_seed_gives_the_same_components():
    signal, reference, *_ = bands()
    first, second = (
        find_chain("dexp_ica").correct(ChainSettings(ica_seed=3))(signal, reference, SETTINGS)
        for _ in range(2)
    )
    assert first.identical(second)


def test_without_a_reference_regressions_correct_bleaching_alone_and_others_refuse():
    signal, _, planted, movement = bands(gain=0.0)
    for name in NAMES:
        correct = find_chain(name).correct()
        if name in ("dexp_ratio", "dexp_ica"):
            with pytest.raises(MalformedFileError, match=f"VTA: {name} needs a reference"):
                correct(signal, None, SETTINGS)
            continue
        recording = correct(signal, None, SETTINGS)
        assert recording.attrs["correction"] == "signal_only"
        # the edges of the filter in a recording of 15 minutes, and asls's own bias
        assert recovered(recording, planted, movement)[0] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_gaps_of_a_band_stay_gaps(name):
    signal, reference, *_ = bands()
    signal[(T > 300) & (T < 320)] = np.nan
    reference[(T > 500) & (T < 503)] = np.nan
    recording = find_chain(name).correct()(signal, reference, SETTINGS)
    time, dff = recording["time"].to_numpy(), recording["dff"].to_numpy()
    assert np.isnan(dff[(time > 301) & (time < 319)]).all()
    assert np.isnan(dff[(time > 500.5) & (time < 502.5)]).all()
    assert np.isfinite(dff[(time > 100) & (time < 290)]).all()


def test_a_reference_that_falls_to_nothing_is_refused_by_the_ratio():
    signal, reference, *_ = bands()
    reference[(T > 300) & (T < 300.5)] = -1.0
    with pytest.raises(MalformedFileError, match=r"VTA: the reference falls to -0\.\d+"):
        find_chain("dexp_ratio").correct()(signal, reference, SETTINGS)


def test_bands_that_are_only_noise_have_no_components():
    rng = np.random.default_rng(0)
    signal, reference = (pd.Series(1 + 0.01 * rng.normal(size=T.size), T) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("iblnm.signal.chains.corrections._MAX_ICA_STEPS", 1)
        with pytest.raises(MalformedFileError, match="no two components"):
            find_chain("dexp_ica").correct()(signal, reference, SETTINGS)


def test_the_robust_line_is_that_of_statsmodels():
    rng = np.random.default_rng(4)
    x = rng.normal(size=4000)
    y = 0.6 * x + 0.2 + 0.3 * rng.normal(size=4000) + 5 * (rng.random(4000) < 0.1)
    oracle = sm.RLM(y, sm.add_constant(x), M=sm.robust.norms.TukeyBiweight(c=4.685))
    intercept, slope = oracle.fit(maxiter=200, tol=1e-10, conv="coefs").params
    assert bisquare_line(x, y) == (
        pytest.approx(slope, abs=1e-5),
        pytest.approx(intercept, abs=1e-5),
    )
    y[:5] = np.nan
    assert bisquare_line(x, y)[0] == pytest.approx(slope, abs=1e-2)


@pytest.mark.parametrize(
    ("amplitudes", "taus"),
    [((0.3, 0.2), (60.0, 1500.0)), ((0.1, -0.2), (100.0, 700.0)), ((0.0, 0.2), (50.0, 500.0))],
)
def test_the_double_exponential_is_that_which_was_planted(amplitudes, taus):
    rng = np.random.default_rng(1)
    planted = 1 + sum(a * np.exp(-T / tau) for a, tau in zip(amplitudes, taus, strict=True))
    values = planted + 0.01 * rng.normal(size=T.size)
    values[2000:2600] = np.nan
    fit = fit_double_exponential(T, values)
    assert np.abs(fit.at(T) - planted).max() < 2e-3
    assert fit.taus_s[0] < fit.taus_s[1]


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(MissingChainPackageError, match=r"pip install 'iblnm\[chains\]'"):
        find_chain("asls_irls").correct()
    chains, notes = usable_chains()
    assert [chain.name for chain in chains] == [name for name in NAMES if name != "asls_irls"]
    assert len(notes) == 1 and "pybaselines" in notes[0]
    find_chain(DOCUMENTED).correct()


def test_an_unknown_chain_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="no chain is called 'nothing'; there are documented"):
        find_chain("nothing")


def test_every_chain_says_what_it_does_assumes_and_whose_it_is():
    assert len(set(NAMES)) == len(NAMES)
    assert all(chain.description and chain.assumes and chain.source for chain in CHAINS)
