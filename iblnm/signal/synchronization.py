"""One clock put on another, by events that both have seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

METHOD_VERSION = 1
MIN_EVENTS = 10
# quartz clocks differ by less than a tenth of that
MAX_DRIFT_PPM = 1000.0


@dataclass(frozen=True)
class ClockFit:
    """A line from one clock to another.

    Parameters
    ----------
    offset_s : float
        Time of the other clock at zero of this one.
    drift_ppm : float
        How much slower this clock runs than the other, parts per million.
    residual_s : float
        Root mean square of what is left between matched events.
    n_events : int
        Events of the other clock.
    n_matched : int
        Of these, those that this clock has seen too.
    fault : str
        Why the two cannot be synchronized; empty if they can.
    """

    offset_s: float
    drift_ppm: float
    residual_s: float
    n_events: int
    n_matched: int
    fault: str = ""

    @property
    def matched_share(self) -> float:
        """Share of the events that were matched."""
        return self.n_matched / self.n_events if self.n_events else 0.0

    def apply(self, times: np.ndarray) -> np.ndarray:
        """Times of this clock [s] on the other."""
        return to_other_clock(times, self.offset_s, self.drift_ppm)


def to_other_clock(times: np.ndarray, offset_s: float, drift_ppm: float) -> np.ndarray:
    """Times of one clock [s] on another that is off by so much.

    Examples
    --------
    >>> to_other_clock(np.array([0.0, 1000.0]), 5.0, 100.0).tolist()
    [5.0, 1005.1]
    """
    return times * (1 + drift_ppm * 1e-6) + offset_s


def fit_clock(stamps: np.ndarray, events: np.ndarray, *, min_matched_share: float) -> ClockFit:
    """Fit one clock to another.

    Parameters
    ----------
    stamps : ndarray
        Pulses on this clock [s], increasing; there may be others between those of the events.
    events : ndarray
        The events that gave a pulse, on the other clock [s], increasing.
    min_matched_share : float
        With a smaller share of the events matched the two are not of one session.

    Returns
    -------
    ClockFit

    Notes
    -----
    Matching and line are those of ``ibldsp.sync.sync_timestamps``, with which ibl-photometry
    synchronizes (``FibrePhotometryBaseSync``); the clocks are given to it from their first
    pulse on, since it correlates them on a grid that covers both.
    """
    from ibldsp.sync import sync_timestamps

    n = len(events)
    if min(len(stamps), n) < MIN_EVENTS:
        return _no_fit(
            n, f"{len(stamps)} pulses and {n} events; at least {MIN_EVENTS} of both are needed"
        )
    first, start = float(stamps[0]), float(events[0])
    try:
        line, drift_ppm, seen, of = sync_timestamps(
            stamps - first, events - start, return_indices=True, linear=True
        )
    except (IndexError, TypeError, ValueError) as error:  # nothing that coincides
        return _no_fit(n, f"no pulse and event coincide ({error})")
    if len(of) < min_matched_share * n:
        return _no_fit(
            n,
            f"{len(of)} of {n} events have a pulse ({len(of) / n:.1%}); at least "
            f"{min_matched_share:.0%} are needed",
            len(of),
        )
    drift_ppm = float(drift_ppm)
    if abs(drift_ppm) > MAX_DRIFT_PPM:
        return _no_fit(
            n,
            f"the clocks drift by {drift_ppm:.0f} ppm; at most {MAX_DRIFT_PPM:.0f} are possible",
            len(of),
        )
    left = line(stamps[seen] - first) - (events[of] - start)
    # the line begins at the first pulse: move its origin to zero of both clocks
    offset = float(line(0.0)) + start - first * (1 + drift_ppm * 1e-6)
    return ClockFit(offset, drift_ppm, float(np.sqrt(np.mean(left**2))), n, len(of))


def _no_fit(n_events: int, fault: str, n_matched: int = 0) -> ClockFit:
    return ClockFit(np.nan, np.nan, np.nan, n_events, n_matched, fault)
