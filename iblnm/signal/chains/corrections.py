"""What each chain does to the two bands of one fiber.

All take and return what `iblnm.signal.preprocess.preprocess_recording` does, and end with the
same resampling and z-score. A chain that divides by a fitted baseline has no filter edges.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import ChainSettings, SignalSettings
from iblnm.errors import MalformedFileError
from iblnm.signal.bleaching import lowpass_baseline
from iblnm.signal.chains.baselines import asymmetric_baseline, exponential_baseline
from iblnm.signal.chains.regression import bisquare_line
from iblnm.signal.checks import as_arrays, check_times
from iblnm.signal.isosbestic import IsosbesticFit, regress_isosbestic
from iblnm.signal.preprocess import (
    ISOSBESTIC,
    Baseline,
    finish_recording,
    preprocess_recording,
    relative_changes,
)

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
_MAX_ICA_STEPS = 1000
_MIN_PAIRS = 3


def documented(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """`preprocess_recording` itself: the same numbers as `preprocessed` stores."""
    return preprocess_recording(signal, reference, settings)


def documented_smoothed_reference(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """The documented correction with a low-passed reference; without one it is the same.

    Noise of the reference is what the regression adds to the signal, and what makes its slope
    too small; a zero-phase filter takes most of it and little of artifacts by movement.
    """
    if reference is not None and np.isfinite(reference.to_numpy(dtype=float)).any():
        times, values = as_arrays(reference)
        times = check_times(times, f"{signal.name or 'signal'}, reference")
        smooth = lowpass_baseline(
            times, values, order=settings.lowpass_order, cutoff_hz=parameters.reference_lowpass_hz
        )
        reference = pd.Series(smooth, index=reference.index, name=reference.name)
    return preprocess_recording(signal, reference, settings)


def dexp_irls(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """Double exponentials, then robust regression; `signal_only` without reference."""
    return _regressed_robustly(signal, reference, settings, parameters, exponential_baseline)


def asls_irls(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """Asymmetric least squares, then robust regression; `signal_only` without reference."""
    baseline = partial(
        asymmetric_baseline,
        period_s=parameters.asls_period_s,
        asymmetry=parameters.asls_asymmetry,
    )
    return _regressed_robustly(signal, reference, settings, parameters, baseline)


def dexp_ratio(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """Double exponentials, then signal over reference, minus 1.

    Raises
    ------
    MalformedFileError
        Without a reference, or where it falls to 0.
    """

    def divide(dff: np.ndarray, paired: np.ndarray, name: str) -> np.ndarray:
        lowest = 1.0 + float(np.nanmin(paired))
        if lowest <= 0:
            raise MalformedFileError(
                f"{name}: the reference falls to {lowest:.3g} of its baseline; it must stay "
                "above 0 to divide by it"
            )
        return (1.0 + dff) / (1.0 + paired) - 1.0

    return _with_reference(signal, reference, settings, "dexp_ratio", divide)


def dexp_ica(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    *,
    parameters: ChainSettings,
) -> xr.Dataset:
    """Double exponentials, then the component that is more in the reference removed.

    Raises
    ------
    MalformedFileError
        Without a reference, or where no two components are told apart.
    """
    separate = partial(_without_artifact, seed=parameters.ica_seed)
    return _with_reference(signal, reference, settings, "dexp_ica", separate)


def _regressed_robustly(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    parameters: ChainSettings,
    baseline: Baseline,
) -> xr.Dataset:
    name = str(signal.name or "signal")
    times, dff, paired = relative_changes(signal, reference, settings, baseline)
    if paired is None:
        return finish_recording(times, dff, settings, name=name, edge_s=0.0)
    _need_pairs(dff, paired, name)
    ordinary = regress_isosbestic(dff, paired)
    slope, intercept = bisquare_line(paired, dff, tuning=parameters.irls_tuning)
    fit = IsosbesticFit(slope, intercept, ordinary.r2, slope)
    return finish_recording(
        times,
        dff - (slope * paired + intercept),
        settings,
        name=name,
        correction=ISOSBESTIC,
        fit=fit,
        edge_s=0.0,
    )


def _with_reference(
    signal: pd.Series,
    reference: pd.Series | None,
    settings: SignalSettings,
    chain: str,
    combine: Callable[[np.ndarray, np.ndarray, str], np.ndarray],
) -> xr.Dataset:
    name = str(signal.name or "signal")
    times, dff, paired = relative_changes(signal, reference, settings, exponential_baseline)
    if paired is None:
        raise MalformedFileError(f"{name}: {chain} needs a reference; there are 0 samples of one")
    _need_pairs(dff, paired, name)
    return finish_recording(
        times,
        combine(dff, paired, name),
        settings,
        name=name,
        correction=ISOSBESTIC,
        edge_s=0.0,
    )


def _need_pairs(dff: np.ndarray, paired: np.ndarray, name: str) -> None:
    both = np.isfinite(dff) & np.isfinite(paired)
    if both.sum() < _MIN_PAIRS or np.ptp(paired[both]) == 0:
        raise MalformedFileError(
            f"{name}: {int(both.sum())} samples have a reference; at least {_MIN_PAIRS} that "
            "vary are needed"
        )


def _without_artifact(dff: np.ndarray, paired: np.ndarray, name: str, *, seed: int) -> np.ndarray:
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    both = np.isfinite(dff) & np.isfinite(paired)
    bands = np.stack([dff[both], paired[both]], axis=1)
    model = FastICA(
        2, whiten="unit-variance", random_state=seed, max_iter=_MAX_ICA_STEPS, tol=1e-4
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            sources = model.fit_transform(bands)
        except ConvergenceWarning as error:
            raise MalformedFileError(
                f"{name}: no two components of signal and reference after {_MAX_ICA_STEPS} "
                "steps; they must not be normally distributed"
            ) from error
    shares = np.abs(model.mixing_[1]) / np.maximum(np.abs(model.mixing_[0]), 1e-300)
    artifact = int(np.argmax(shares))
    result = np.full(dff.shape, np.nan)
    result[both] = bands[:, 0] - model.mixing_[0, artifact] * sources[:, artifact]
    return result
