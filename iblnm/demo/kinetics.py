"""The sensor: time course of a response, and the sum of many in a signal."""

from __future__ import annotations

import numpy as np

RISE_S = 0.06
DECAY_S = 0.40
_PEAK_AT_S = np.log(DECAY_S / RISE_S) * DECAY_S * RISE_S / (DECAY_S - RISE_S)
_PEAK = np.exp(-_PEAK_AT_S / DECAY_S) - np.exp(-_PEAK_AT_S / RISE_S)


def response_shape(since_s: np.ndarray) -> np.ndarray:
    """Response to an event at time 0, a difference of two exponentials with peak 1.

    Examples
    --------
    >>> response_shape(np.array([-0.1, 0.0, 0.1339])).round(3).tolist()
    [0.0, 0.0, 1.0]
    """
    since = np.maximum(since_s, 0.0)
    return (np.exp(-since / DECAY_S) - np.exp(-since / RISE_S)) / _PEAK


def sum_of_responses(
    times: np.ndarray, onset: np.ndarray, amplitude: np.ndarray, frame_rate: float
) -> np.ndarray:
    """Sum of responses of given onset [s] and peak at the times of the frames."""
    from scipy.signal import lfilter

    frame = np.searchsorted(times, onset)
    result = np.zeros(len(times))
    for tau, sign in ((DECAY_S, 1), (RISE_S, -1)):
        # exact value at the first frame after the event; from there on, decay per frame
        start = amplitude * np.exp(-(times[frame] - onset) / tau)
        impulses = np.bincount(frame, weights=start, minlength=len(times))
        result += sign * lfilter([1.0], [1.0, -np.exp(-1 / (frame_rate * tau))], impulses)
    return result / _PEAK


def autocorrelated(
    rng: np.random.Generator, n: int, frame_rate: float, tau_s: float
) -> np.ndarray:
    """Ornstein–Uhlenbeck noise of standard deviation 1."""
    from scipy.signal import lfilter

    decay = np.exp(-1 / (frame_rate * tau_s))
    noise = rng.standard_normal(n)
    noise[0] /= np.sqrt(1 - decay**2)
    return lfilter([np.sqrt(1 - decay**2)], [1.0, -decay], noise)
