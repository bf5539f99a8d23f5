"""Dimensionality of population activity: the spectrum of correlations between units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.layers.passive import EPOCHS
from iblnm.layers.single_unit import Epoch
from iblnm.layers.spike_trains import count_spikes

BIN_S = 0.1
MIN_UNITS_SESSION = 100
MIN_UNITS_REGION = 25
N_DRAWS = 20
WINDOW_S = 300.0
STEP_S = 150.0
WINDOW_RANGE_S = (-600.0, 1800.0)
N_COMPONENTS = 25
_EXPLAINED = 0.8
_POWER_LAW_RANKS = 100
METRICS = ("pc1", "n80", "powlaw", "ngsc")
ALL = "all"


def correlation_matrix(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations between the rows of counts.

    Parameters
    ----------
    counts : (m, bins) array

    Returns
    -------
    correlation : (k, k) array
        Of the rows that vary.
    rows : (k,) array of int
        Which they are.
    """
    from scipy.linalg.blas import dsyrk

    values = np.array(counts, dtype=np.float64, order="C")
    values -= values.mean(axis=1, keepdims=True)
    power = np.sqrt(np.einsum("ij,ij->i", values, values))
    rows = np.flatnonzero(power > 0)
    if len(rows) < len(values):
        values, power = values[rows], power[rows]
    values /= power[:, None]
    # half of a product with itself; the transpose is in the order that BLAS wants
    upper = dsyrk(1.0, values.T, trans=1) if len(rows) else np.zeros((0, 0))
    upper += np.triu(upper, 1).T
    return upper, rows


def eigenvalue_spectrum(correlation: np.ndarray) -> np.ndarray:
    """Eigenvalues of a correlation matrix, largest first; rounding below zero is zero."""
    from scipy.linalg import eigh

    if len(correlation) == 0:
        return np.zeros(0)
    values = eigh(correlation, eigvals_only=True, driver="evd", check_finite=False)
    return np.clip(values[::-1], 0.0, None)


def spectrum_metrics(spectrum: np.ndarray) -> dict[str, float]:
    """Metrics of a spectrum.

    Parameters
    ----------
    spectrum : (k,) array
        Eigenvalues, largest first.

    Returns
    -------
    dict
        pc1: share of the largest; n80: smallest number of components that reach 80 %; powlaw:
        slope of log eigenvalue over log rank, ranks 1 to 100; ngsc: entropy of the shares by
        log k, 1 if all are equal. NaN without at least two eigenvalues.

    Examples
    --------
    >>> spectrum_metrics(np.ones(4))["ngsc"], spectrum_metrics(np.ones(10))["n80"]
    (1.0, 8.0)
    """
    total = spectrum.sum()
    if len(spectrum) < 2 or total <= 0:
        return dict.fromkeys(METRICS, float("nan"))
    share = spectrum / total
    positive = share[share > 1e-15]
    head = share[:_POWER_LAW_RANKS]
    head = head[head > 1e-12]
    ranks = np.log(np.arange(1, len(head) + 1))
    slope = np.polyfit(ranks, np.log(head), 1)[0] if len(head) > 1 else np.nan
    entropy = -np.sum(positive * np.log(positive)) / np.log(len(share))
    return {
        "pc1": float(share[0]),
        "n80": float(np.searchsorted(np.cumsum(share), _EXPLAINED - 1e-12) + 1),
        "powlaw": float(slope),
        "ngsc": float(entropy),
    }


def matched_metrics(
    correlation: np.ndarray, n_units: int, *, n_draws: int = N_DRAWS, seed: int = 0
) -> dict[str, float]:
    """Mean metrics of draws of `n_units` units, so that populations can be compared."""
    if len(correlation) < n_units:
        return dict.fromkeys(METRICS, float("nan"))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_draws if len(correlation) > n_units else 1):
        drawn = np.sort(rng.choice(len(correlation), n_units, replace=False))
        found.append(spectrum_metrics(eigenvalue_spectrum(correlation[np.ix_(drawn, drawn)])))
    return {name: float(np.mean([values[name] for values in found])) for name in METRICS}


def subspace_similarity(
    pre: np.ndarray, post: np.ndarray, *, n_components: int = N_COMPONENTS
) -> dict[str, float]:
    """Similarity of the leading components of two correlation matrices of the same units.

    Returns
    -------
    dict
        ``pc1_cosine``: absolute cosine between the first components; ``subspace_{k}``: mean
        cosine of the principal angles between the first k components, k from 2; ``subspace``:
        their mean. NaN where there are not more units than components.
    """
    from scipy.linalg import eigh, svdvals

    n = len(pre)
    empty = {"pc1_cosine": float("nan"), "subspace": float("nan")}
    empty |= {f"subspace_{k}": float("nan") for k in range(2, n_components + 1)}
    if n < 2 or n != len(post):
        return empty
    k_max = min(n_components, n - 1)

    def leading(matrix: np.ndarray) -> np.ndarray:
        _, vectors = eigh(matrix, subset_by_index=(n - k_max, n - 1), check_finite=False)
        return vectors[:, ::-1]

    products = leading(pre).T @ leading(post)
    found = {**empty, "pc1_cosine": float(abs(products[0, 0]))}
    cosines = []
    for k in range(2, k_max + 1):
        cosines.append(float(np.clip(svdvals(products[:k, :k]), 0, 1).mean()))
        found[f"subspace_{k}"] = cosines[-1]
    return {**found, "subspace": float(np.mean(cosines)) if cosines else float("nan")}


def population_metrics(
    times: np.ndarray,
    offsets: np.ndarray,
    regions: Sequence[str | None],
    epochs: Mapping[str, Epoch],
    administration_s: float | None,
    *,
    recording_stop_s: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Metrics of a session, of its regions, and in windows around the administration.

    Parameters
    ----------
    times, offsets
        Spikes sorted by unit [s], see `iblnm.layers.grouping.Grouped`.
    regions : sequence of str or None
        Coarse region of each unit.
    epochs : mapping of str to Epoch
    administration_s : float or None
        When the drug was given [s]; without it there are no windows.
    recording_stop_s : float, optional
        Windows beyond are left out; the last spike by default.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        One row per population, kind and window: ``region`` (``all`` or a coarse region),
        ``kind`` (an epoch or ``window``), ``side`` (pre, post, or null), ``start`` and ``stop``
        [s], ``from_administration`` (center of the window [s]), ``n_units`` (that vary), the
        metrics at equal numbers of units, ``{metric}_all`` of all units; on the rows of
        ``post`` the similarity to ``pre``. Populations that are too small have no rows.
    """
    names = np.array([name or "" for name in regions], dtype=object)
    populations = {ALL: (np.arange(len(names)), MIN_UNITS_SESSION)}
    populations |= {
        name: (np.flatnonzero(names == name), MIN_UNITS_REGION)
        for name in sorted(set(names) - {"", "void", "root"})
    }
    populations = {
        name: (rows, least) for name, (rows, least) in populations.items() if len(rows) >= least
    }
    if not populations:
        return pd.DataFrame()
    populations = dict(sorted(populations.items(), key=lambda item: item[0] != ALL))
    last = float(times.max()) if len(times) else 0.0
    stop_s = last if recording_stop_s is None else recording_stop_s
    found: list[dict[str, Any]] = []
    for kind in EPOCHS:
        if kind in epochs:
            found += _epoch_rows(times, offsets, populations, kind, epochs[kind], seed)
    for start, stop in administration_windows(administration_s, stop_s):
        counts = count_spikes(times, offsets, start, stop, BIN_S)
        center = (start + stop) / 2 - administration_s
        where = {"kind": "window", "side": None, "start": start, "stop": stop}
        correlation, varying = correlation_matrix(counts)
        for name, (rows, least) in populations.items():
            row, _, _ = _population_row(correlation, varying, rows, least, seed)
            if row:
                found.append({"region": name, **where, "from_administration": center, **row})
    return pd.DataFrame(found)


def administration_windows(
    administration_s: float | None, recording_stop_s: float
) -> list[tuple[float, float]]:
    """Windows of 5 min every 2.5 min from 10 min before to 30 min after, inside the recording.

    Examples
    --------
    >>> windows = administration_windows(1000.0, 5000.0)
    >>> len(windows), windows[0], windows[-1]
    (15, (400.0, 700.0), (2500.0, 2800.0))
    """
    if administration_s is None or pd.isna(administration_s):
        return []
    first, last = WINDOW_RANGE_S
    n = int((last - first - WINDOW_S) / STEP_S) + 1
    starts = administration_s + first + STEP_S * np.arange(n)
    return [
        (float(start), float(start) + WINDOW_S)
        for start in starts
        if start >= 0 and start + WINDOW_S <= recording_stop_s
    ]


def _epoch_rows(
    times: np.ndarray,
    offsets: np.ndarray,
    populations: Mapping[str, tuple[np.ndarray, int]],
    kind: str,
    epoch: Epoch,
    seed: int,
) -> list[dict[str, Any]]:
    found = []
    correlations = {
        side: None
        if window is None
        else correlation_matrix(count_spikes(times, offsets, *window, BIN_S))
        for side, window in (("pre", epoch.pre), ("post", epoch.post))
    }
    for name, (rows, least) in populations.items():
        kept = {}
        for side, of_side in correlations.items():
            if of_side is None:
                continue
            row, correlation, varying = _population_row(*of_side, rows, least, seed)
            if row:
                kept[side] = (correlation, varying)
                start, stop = getattr(epoch, side)
                where = {"kind": kind, "side": side, "start": start, "stop": stop}
                found.append({"region": name, **where, "from_administration": None, **row})
        if len(kept) == 2:
            found[-1] |= _similarity(*kept["pre"], *kept["post"])
    return found


def _similarity(
    pre: np.ndarray, pre_rows: np.ndarray, post: np.ndarray, post_rows: np.ndarray
) -> dict[str, float]:
    _, a, b = np.intersect1d(pre_rows, post_rows, return_indices=True)
    return subspace_similarity(pre[np.ix_(a, a)], post[np.ix_(b, b)])


def _population_row(
    correlation: np.ndarray, varying: np.ndarray, rows: np.ndarray, n_matched: int, seed: int
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Metrics of some of the units; their correlations, and which of them vary."""
    if len(rows) == len(varying) and np.array_equal(rows, varying):
        own = correlation
    else:
        varying, at, _ = np.intersect1d(varying, rows, return_indices=True)
        own = correlation[np.ix_(at, at)]
    if len(varying) < n_matched:
        return {}, own, varying
    matched = matched_metrics(own, n_matched, seed=seed)
    unchanged = spectrum_metrics(eigenvalue_spectrum(own))
    row = {"n_units": len(varying), "n_matched": n_matched, **matched}
    return row | {f"{name}_all": value for name, value in unchanged.items()}, own, varying
