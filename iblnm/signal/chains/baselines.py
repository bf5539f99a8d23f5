"""Baselines that keep slow changes of the signal: double exponential, asymmetric least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iblnm.errors import MalformedFileError

_N_BINS, _N_GRID = 200, 16
_TOLERANCE = 1e-6
_MIN_SAMPLES = 20
_BIN_S = 1.0
# shortest and longest time constant, in durations of the recording
_TAU_RANGE = (0.005, 10.0)


@dataclass(frozen=True)
class DoubleExponential:
    """A₁·exp(−t/τ₁) + A₂·exp(−t/τ₂) + b, with t from the first sample.

    Parameters
    ----------
    amplitudes : tuple of float
        A₁ and A₂, in units of the signal; negative where it rises.
    taus_s : tuple of float
        Time constants, s, the shorter first.
    offset : float
        b.
    """

    amplitudes: tuple[float, float]
    taus_s: tuple[float, float]
    offset: float

    def at(self, t: np.ndarray) -> np.ndarray:
        """Values at times from the first sample, s."""
        decays = [
            a * np.exp(-t / tau) for a, tau in zip(self.amplitudes, self.taus_s, strict=True)
        ]
        return decays[0] + decays[1] + self.offset


def fit_double_exponential(times: np.ndarray, values: np.ndarray) -> DoubleExponential:
    """Least-squares fit of two exponential decays; deterministic.

    For given time constants the model is linear (variable projection, Golub and Pereyra 1973),
    which leaves a search over two logarithms on the means of 200 bins: the best pair of a grid,
    then a trust region from there. The mean of an exponential over a bin is the exponential
    times sinh(u)/u.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing, s.
    values : ndarray (n,)
        NaN samples are left out.

    Returns
    -------
    DoubleExponential
        Time constants from 0.005 to 10 durations; a slower decay is a straight line.

    Raises
    ------
    MalformedFileError
        If fewer than 20 samples are valid.
    """
    from scipy.optimize import least_squares

    valid = np.isfinite(values)
    n_valid = int(valid.sum())
    if n_valid < _MIN_SAMPLES:
        raise MalformedFileError(
            f"{n_valid} valid samples; at least {_MIN_SAMPLES} are needed to fit bleaching"
        )
    known = times[valid]
    bins = _Bins.of(known - times[0], values[valid])
    low, high = np.log(np.array(_TAU_RANGE) * (known[-1] - known[0]))
    start = _best_pair(bins, np.linspace(low, high, _N_GRID + 2)[1:-1])
    fit = least_squares(
        lambda log_taus: bins.solve(log_taus)[1],
        start,
        bounds=(low, high),
        xtol=_TOLERANCE,
        ftol=_TOLERANCE,
        max_nfev=40,
    )
    (a_1, a_2, offset), _ = bins.solve(fit.x)
    pairs = sorted(zip(np.exp(fit.x).tolist(), (float(a_1), float(a_2)), strict=True))
    taus, amplitudes = zip(*pairs, strict=True)
    return DoubleExponential(amplitudes, taus, float(offset))


def exponential_baseline(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The double exponential of a band at its times; NaN where the band is missing.

    Raises
    ------
    MalformedFileError
        See `fit_double_exponential`.
    """
    curve = fit_double_exponential(times, values).at(times - times[0])
    return np.where(np.isfinite(values), curve, np.nan)


def asymmetric_baseline(
    times: np.ndarray, values: np.ndarray, *, period_s: float = 300.0, asymmetry: float = 0.01
) -> np.ndarray:
    """Baseline by asymmetric least squares on means of one second; NaN where values are missing.

    Parameters
    ----------
    times : ndarray (n,)
        Increasing, s.
    values : ndarray (n,)
        NaN samples are bridged.
    period_s : float
        Period of half gain of the symmetric smoother of second differences, which gives its
        penalty (period/2π)⁴.
    asymmetry : float
        Weight of samples above the baseline.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    MalformedFileError
        If fewer than 20 seconds have a valid sample.

    References
    ----------
    Eilers and Boelens 2005, baseline correction with asymmetric least squares smoothing.
    """
    from pybaselines import Baseline
    from scipy.interpolate import PchipInterpolator

    valid = np.isfinite(values)
    place = ((times[valid] - times[0]) / _BIN_S).astype(int)
    counts = np.bincount(place)
    filled = np.flatnonzero(counts)
    if len(filled) < _MIN_SAMPLES:
        raise MalformedFileError(
            f"{len(filled)} seconds with valid samples; at least {_MIN_SAMPLES} are needed for a "
            "baseline"
        )
    means = np.bincount(place, values[valid])[filled] / counts[filled]
    centers = np.bincount(place, times[valid])[filled] / counts[filled]
    grid = times[0] + _BIN_S * (np.arange(len(counts)) + 0.5)
    # in units of its spread, so that what the solver tolerates does not depend on the detector
    middle, spread = float(means.mean()), float(means.std()) or 1.0
    regular = (np.interp(grid, centers, means) - middle) / spread
    penalty = (period_s / (2.0 * np.pi * _BIN_S)) ** 4
    smooth = Baseline().asls(regular, lam=penalty, p=asymmetry)[0] * spread + middle
    curve = PchipInterpolator(grid, smooth, extrapolate=True)(times)
    return np.where(valid, curve, np.nan)


@dataclass(frozen=True)
class _Bins:
    """Middles and half widths (s) of bins of as many samples each, and their means."""

    middle: np.ndarray
    half_width: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, t: np.ndarray, y: np.ndarray) -> _Bins:
        edges = np.linspace(0, len(t), min(_N_BINS, len(t)) + 1).astype(int)
        first, last = t[edges[:-1]], t[edges[1:] - 1]
        step = float(np.median(np.diff(t)))
        means = np.add.reduceat(y, edges[:-1]) / np.diff(edges)
        return cls((first + last) / 2, (last - first + step) / 2, means)

    def decays(self, log_taus: np.ndarray) -> np.ndarray:
        """Means of exponentials: a row per bin, a column per time constant."""
        taus = np.exp(log_taus)
        u = np.maximum(self.half_width[:, None] / taus, 1e-9)
        return np.exp(-self.middle[:, None] / taus) * np.sinh(u) / u

    def solve(self, log_taus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two amplitudes and offset for two time constants, and the residuals."""
        design = np.column_stack([self.decays(log_taus), np.ones(len(self.mean))])
        found = np.linalg.lstsq(design, self.mean, rcond=None)[0]
        return found, design @ found - self.mean


def _best_pair(bins: _Bins, log_taus: np.ndarray) -> np.ndarray:
    """The two of some time constants that leave least, from their products alone."""
    decays = bins.decays(log_taus)
    decays = decays - decays.mean(axis=0)
    y = bins.mean - bins.mean.mean()
    products, with_y = decays.T @ decays, decays.T @ y
    i, j = np.triu_indices(len(log_taus), k=1)
    own, other, both = products[i, i], products[j, j], products[i, j]
    determinant = np.maximum(own * other - both**2, 1e-12 * own * other)
    explained = (
        other * with_y[i] ** 2 - 2 * both * with_y[i] * with_y[j] + own * with_y[j] ** 2
    ) / determinant
    best = int(np.argmax(explained))
    return log_taus[[i[best], j[best]]]
