"""What the benchmark plants: noise, reference, bleaching and response of real recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.corrections.magnitudes import MIN_TRIALS, RawSession
from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND
from iblnm.errors import MalformedFileError
from iblnm.signal.chains import DOCUMENTED, find_chain
from iblnm.signal.chains.baselines import DoubleExponential, fit_double_exponential
from iblnm.signal.checks import as_arrays
from iblnm.signal.isosbestic import regress_isosbestic
from iblnm.signal.preprocess import relative_changes

if TYPE_CHECKING:
    import xarray as xr

METHOD_VERSION = 1
_MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Traits:
    """What is planted of one recording.

    Parameters
    ----------
    eid : str
    fiber_idx : int
    target_NM : str or None
    noise, reference_noise : float
        White noise of each band, standard deviation of dF/F.
    reference_r2 : float
        Variance of the signal that the reference explains.
    gain : float
        Of artifacts in the signal relative to the reference.
    decay, reference_decay : DoubleExponential
        Bleaching of each band.
    duration_s : float
    response : float
        Largest mean early response of its events, dF/F.
    """

    eid: str
    fiber_idx: int
    target_NM: str | None
    noise: float
    reference_noise: float
    reference_r2: float
    gain: float
    decay: DoubleExponential
    reference_decay: DoubleExponential
    duration_s: float
    response: float

    def row(self) -> dict[str, Any]:
        """Row of `iblnm.analysis.corrections.tables.RECORDING_TRAITS`."""
        return {
            **{
                name: getattr(self, name)
                for name in (
                    "eid",
                    "fiber_idx",
                    "target_NM",
                    "noise",
                    "reference_noise",
                    "reference_r2",
                    "gain",
                    "response",
                )
            },
            "bleaching": _start_over_end(self.decay, self.duration_s),
            "reference_bleaching": _start_over_end(self.reference_decay, self.duration_s),
        }


def session_traits(session: RawSession) -> tuple[list[Traits], dict[int, str]]:
    """Traits of the recordings of a session, and why others have none, by fiber.

    Parameters
    ----------
    session : RawSession
    """
    found, reasons = [], {}
    corrected, failures = session.corrected(find_chain(DOCUMENTED))
    for recording in session.recordings:
        name, fiber = recording["recording_name"], int(recording["fiber_idx"])
        signal = session.band_of(name, SIGNAL_BAND)
        if signal is None:
            continue
        if name not in corrected:
            reasons[fiber] = failures.get(name, "no signal")
            continue
        try:
            traits = _measure(session, recording, signal, corrected[name])
        except MalformedFileError as error:
            reasons[fiber] = error.message
            continue
        found.append(traits)
    return found, reasons


def white_noise(dff: np.ndarray) -> float:
    """Standard deviation of the white part of a signal.

    From the median absolute difference of neighbors, over √2: what is slower than a sample
    cancels, and transients are few.

    Parameters
    ----------
    dff : ndarray (n,)
        NaN samples are left out.
    """
    steps = np.diff(dff)
    steps = steps[np.isfinite(steps)]
    return float(_MAD_TO_SD * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2.0))


def _measure(
    session: RawSession, recording: dict[str, Any], signal: pd.Series, corrected: xr.Dataset
) -> Traits:
    name = recording["recording_name"]
    reference = session.band_of(name, REFERENCE_BAND)
    times, dff, paired = relative_changes(signal, reference, session.settings.signal)
    if reference is None or paired is None:
        raise MalformedFileError("no reference band")
    noise = white_noise(dff)
    # the band at its own times: pairing averages neighbors
    own = relative_changes(reference, None, session.settings.signal)[1]
    reference_noise = white_noise(own)
    fit = regress_isosbestic(dff, paired)
    # noise of the reference makes the slope too small by its share of the variance
    reliable = 1.0 - min(reference_noise**2 / float(np.nanvar(own)), 0.95)
    if not fit.slope > 0:
        raise MalformedFileError("its reference does not rise with the signal")
    trials = session.magnitudes(corrected, name)
    magnitudes = trials.mean()[trials.count() >= MIN_TRIALS]
    if magnitudes.empty:
        raise MalformedFileError(f"no event has {MIN_TRIALS} trials with an early response")
    largest = magnitudes.abs().idxmax()
    return Traits(
        eid=session.eid,
        fiber_idx=int(recording["fiber_idx"]),
        target_NM=recording.get("target_NM"),
        noise=noise,
        reference_noise=reference_noise,
        reference_r2=fit.r2,
        gain=fit.slope / reliable,
        decay=fit_double_exponential(*as_arrays(signal)),
        reference_decay=fit_double_exponential(*as_arrays(reference)),
        duration_s=float(times[-1] - times[0]),
        response=float(magnitudes[largest]),
    )


def _start_over_end(decay: DoubleExponential, duration_s: float) -> float:
    start, end = decay.at(np.array([0.0, duration_s]))
    return float(start / end) if end > 0 else np.nan
