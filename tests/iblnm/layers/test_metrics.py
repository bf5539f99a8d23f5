"""Metrics of units and populations: parity with known numbers, recovery of what is planted."""

import numpy as np
import pandas as pd
import pytest

from iblnm.layers.grouping import group_spikes
from iblnm.layers.population import (
    administration_windows,
    correlation_matrix,
    eigenvalue_spectrum,
    matched_metrics,
    population_metrics,
    spectrum_metrics,
    subspace_similarity,
)
from iblnm.layers.single_unit import (
    Epoch,
    epochs_of_row,
    fano_factor,
    lempel_ziv_complexity,
    metric_columns,
    single_unit_metrics,
)
from iblnm.layers.spike_trains import count_spikes

from .conftest import uuids_of

EPOCHS = {"spontaneous": Epoch((0.0, 300.0), (1000.0, 1300.0))}


def _kaspar_schuster(s):
    """Complexity by the scanning algorithm of 1987, which antropy uses too."""
    n = len(s)
    i, k, length, k_max, c = 0, 1, 1, 1, 1
    while True:
        if s[i + k - 1] == s[length + k - 1]:
            k += 1
            if length + k > n:
                return c + 1
        else:
            k_max = max(k, k_max)
            i += 1
            if i == length:
                c += 1
                length += k_max
                if length + 1 > n:
                    return c
                i, k, k_max = 0, 1, 1
            else:
                k = 1


@pytest.mark.slow
def test_complexity_is_that_of_the_scanning_algorithm():
    rng = np.random.default_rng(0)
    for n in (2, 3, 7, 50, 150):
        rows = rng.poisson(rng.uniform(0.1, 3, (30, 1)), (30, n))
        above = rows > np.median(rows, axis=1, keepdims=True)
        right = np.array([_kaspar_schuster(row) for row in above])
        np.testing.assert_allclose(lempel_ziv_complexity(rows) * n / np.log2(n), right)
    # antropy 0.1.9: lziv_complexity("1001111011000010") = 6
    bits = np.array([[int(c) for c in "1001111011000010"]])
    assert lempel_ziv_complexity(bits)[0] * 16 / 4 == pytest.approx(6)


def _units(rates_pre, rates_post, rng, duration=1300.0):
    times, clusters = [], []
    for k, (a, b) in enumerate(zip(rates_pre, rates_post, strict=True)):
        for rate, start, stop in ((a, 0, duration / 2), (b, duration / 2, duration)):
            spikes = rng.uniform(start, stop, rng.poisson(rate * (stop - start)))
            times.append(spikes)
            clusters.append(np.full(len(spikes), k))
    order = np.argsort(np.concatenate(times))
    return group_spikes(
        np.concatenate(times)[order], np.concatenate(clusters)[order], len(rates_pre)
    )


@pytest.mark.slow
def test_planted_rates_and_changes_are_recovered():
    rng = np.random.default_rng(2)
    n = 200
    grouped = _units([10.0] * n, [10.0] * (n // 2) + [20.0] * (n // 2), rng)
    table = single_unit_metrics(grouped.times, grouped.offsets, uuids_of(n), EPOCHS)
    assert table.columns.tolist() == ["uuid", *metric_columns(["spontaneous"])]
    same, more = table.iloc[: n // 2], table.iloc[n // 2 :]
    assert same["spontaneous_mean_rate_pre"].mean() == pytest.approx(10, abs=0.1)
    assert more["spontaneous_mean_rate_MI"].mean() == pytest.approx(1 / 3, abs=0.01)
    for dt in (100, 1000, 10000):
        assert table[f"spontaneous_fano_factor_dt{dt}_pre"].mean() == pytest.approx(1, abs=0.05)
    assert table["spontaneous_coefficient_of_variation_pre"].mean() == pytest.approx(1, abs=0.02)
    assert (more["spontaneous_mean_rate_MIp"] == 1 / 1001).all()
    assert (same["spontaneous_mean_rate_MIp"] < 0.05).mean() < 0.12


@pytest.mark.slow
def test_values_are_those_of_numpy():
    rng = np.random.default_rng(3)
    grouped = _units([3.0, 0.0, 8.0], [4.0, 0.0, 1.0], rng)
    table = single_unit_metrics(grouped.times, grouped.offsets, uuids_of(3), EPOCHS)
    counts = count_spikes(grouped.times, grouped.offsets, 0, 300, 1.0)
    own = grouped.times[: grouped.offsets[1]]
    own = own[own < 300]
    row = table.iloc[0]
    assert row["spontaneous_fano_factor_dt1000_pre"] == pytest.approx(
        counts[0].var() / counts[0].mean()
    )
    assert row["spontaneous_mean_rate_pre"] == len(own) / 300
    assert row["spontaneous_coefficient_of_variation_pre"] == pytest.approx(
        np.diff(own).std() / np.diff(own).mean()
    )
    silent = table.iloc[1]
    assert silent["spontaneous_mean_rate_pre"] == 0
    assert np.isnan(silent["spontaneous_mean_rate_MIp"])
    assert np.isnan(silent["spontaneous_fano_factor_dt100_MI"])


@pytest.mark.slow
def test_a_unit_has_its_own_stream():
    grouped = _units([5.0] * 4, [5.5] * 4, np.random.default_rng(4))
    ids = uuids_of(4)
    all_ = single_unit_metrics(grouped.times, grouped.offsets, ids, EPOCHS)
    cut = grouped.offsets[2]
    last = single_unit_metrics(grouped.times[cut:], grouped.offsets[2:] - cut, ids[2:], EPOCHS)
    pd.testing.assert_frame_equal(all_.iloc[2:].reset_index(drop=True), last)


@pytest.mark.slow
def test_drifting_units_have_small_p_values_without_any_effect():
    """Which is why the table's description says that such a p tells change, not drug."""
    rng = np.random.default_rng(5)
    n, tau, sd = 300, 200.0, 0.3
    bins = np.arange(0, 1300, 1.0)
    a = np.exp(-1 / tau)
    noise = rng.normal(0, sd * np.sqrt(1 - a**2), (n, len(bins)))
    log = np.empty_like(noise)
    log[:, 0] = rng.normal(0, sd, n)
    for i in range(1, len(bins)):
        log[:, i] = a * log[:, i - 1] + noise[:, i]
    counts = rng.poisson(10 * np.exp(log))
    clusters, seconds = np.nonzero(counts)
    repeats = counts[clusters, seconds]
    times = np.repeat(seconds, repeats) + rng.random(repeats.sum())
    ids = np.repeat(clusters, repeats)
    order = np.argsort(times)
    grouped = group_spikes(times[order], ids[order], n)
    table = single_unit_metrics(grouped.times, grouped.offsets, uuids_of(n), EPOCHS)
    assert 0.55 < (table["spontaneous_mean_rate_MIp"] < 0.05).mean() < 0.8


@pytest.mark.slow
def test_an_unknown_epoch_is_missing():
    grouped = _units([5.0], [5.0], np.random.default_rng(0))
    row = {"task_pre_spontaneous_start": 0.0, "task_pre_spontaneous_stop": 300.0}
    table = single_unit_metrics(grouped.times, grouped.offsets, uuids_of(1), epochs_of_row(row))
    assert table["spontaneous_mean_rate_pre"].notna().all()
    assert table["spontaneous_mean_rate_post"].isna().all()
    assert table["replay_mean_rate_pre"].isna().all()


def test_the_spectrum_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(1)
    counts = rng.poisson(3, (60, 400)) + rng.poisson(2, 400)
    counts[7] = 0
    correlation, rows = correlation_matrix(counts)
    z = counts[rows] - counts[rows].mean(axis=1, keepdims=True)
    z = z / z.std(axis=1, keepdims=True)
    right = PCA().fit(z.T).explained_variance_ * 399 / 400
    assert 7 not in rows and len(rows) == 59
    np.testing.assert_allclose(eigenvalue_spectrum(correlation), right, atol=1e-12, rtol=0)


def test_metrics_of_known_spectra():
    assert spectrum_metrics(np.ones(50)) == {
        "pc1": pytest.approx(0.02),
        "n80": 40,
        "powlaw": pytest.approx(0),
        "ngsc": pytest.approx(1),
    }
    law = 1 / np.arange(1, 200) ** 1.5
    assert spectrum_metrics(law)["powlaw"] == pytest.approx(-1.5)
    assert spectrum_metrics(np.array([1.0, 0.0]))["ngsc"] == 0
    assert np.isnan(matched_metrics(np.eye(5), 6)["pc1"])
    assert matched_metrics(np.eye(50), 20)["ngsc"] == pytest.approx(1)


def test_similarity_of_the_same_and_of_independent_activity():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(80, 5))

    def correlation(weights):
        return np.corrcoef(weights @ rng.normal(size=(5, 2000)) + rng.normal(size=(80, 2000)))

    same = subspace_similarity(correlation(factors), correlation(factors))
    other = subspace_similarity(correlation(factors), correlation(rng.normal(size=(80, 5))))
    assert same["pc1_cosine"] > 0.8 and same["subspace_5"] > 0.95
    assert other["subspace_5"] < 0.5
    identical = correlation(factors)
    assert subspace_similarity(identical, identical)["subspace"] == pytest.approx(1)


@pytest.mark.slow
def test_population_rows():
    rng = np.random.default_rng(6)
    grouped = _units([4.0] * 130, [4.0] * 130, rng)
    regions = ["TH"] * 40 + ["HPF"] * 60 + ["MB"] * 20 + [None] * 10
    table = population_metrics(
        grouped.times, grouped.offsets, regions, EPOCHS, 600.0, recording_stop_s=1300.0
    )
    assert set(table["region"]) == {"all", "TH", "HPF"}
    epoch = table[table["kind"] == "spontaneous"]
    assert len(epoch) == 6 and epoch["n_matched"].tolist() == [100, 100, 25, 25, 25, 25]
    assert epoch.loc[epoch["side"] == "post", "pc1_cosine"].notna().all()
    windows = table[table["kind"] == "window"]
    assert windows["start"].nunique() == len(administration_windows(600.0, 1300.0)) == 7
    assert windows["from_administration"].min() == -450.0
    small = population_metrics(grouped.times, grouped.offsets, [None] * 130, EPOCHS, None)
    assert set(small["region"]) == {"all"}


def test_fano_of_no_bins():
    assert np.isnan(fano_factor(np.zeros((2, 1)))).all()
