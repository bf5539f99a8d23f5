"""Spike times of the units of a session, and their counts in bins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_ROUNDING = 1e-9


def n_whole_bins(start: float, stop: float, dt: float) -> int:
    """Number of whole bins between two times; 300 s at 10 s are 30, at 0.1 s 3,000."""
    return max(int(np.floor((stop - start) / dt + _ROUNDING)), 0)


def count_spikes(
    times: np.ndarray, offsets: np.ndarray, start: float, stop: float, dt: float
) -> np.ndarray:
    """Spikes of each unit in whole bins.

    Parameters
    ----------
    times : (n,) array
        Times sorted by unit, and within a unit [s].
    offsets : (m + 1,) array of int
        See `iblnm.layers.grouping.Grouped`.
    start, stop, dt : float
        Times and width of a bin [s]; what does not fill a bin at the end is left out.

    Returns
    -------
    (m, bins) array of int32
        A spike at the edge of two bins counts for the later.
    """
    from iblnm.layers._kernels import count_windows

    n_bins = n_whole_bins(start, stop, dt)
    counts = np.zeros((len(offsets) - 1, n_bins), dtype=np.int32)
    count_windows(
        times, np.asarray(offsets, np.int64), float(start), start + n_bins * dt, float(dt), counts
    )
    return counts


class SpikeTrains(Mapping):
    """Spike times of units by uuid.

    Parameters
    ----------
    times : mapping of str to (n,) array
        Sorted spike times [s] of each unit.
    units : DataFrame, optional
        What is known of the units, one row per uuid.

    Examples
    --------
    >>> trains = SpikeTrains({"a": np.array([0.05, 0.15, 0.16]), "b": np.array([0.31])})
    >>> trains.counts(0.0, 0.4, 0.1).values
    array([[1, 2, 0, 0],
           [0, 0, 0, 1]], dtype=int32)
    """

    def __init__(self, times: Mapping[str, np.ndarray], units: pd.DataFrame | None = None):
        self._times = dict(times)
        self.units = units

    def __getitem__(self, uuid: str) -> np.ndarray:
        return self._times[uuid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._times)

    def __len__(self) -> int:
        return len(self._times)

    def __repr__(self) -> str:
        return f"SpikeTrains({len(self)} units, {self.n_spikes} spikes)"

    @property
    def n_spikes(self) -> int:
        return sum(map(len, self._times.values()))

    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        """All times one after another and the offsets of the units.

        Times that lie in one array in this order are not copied.
        """
        parts = list(self._times.values())
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        return (np.concatenate(parts) if parts else np.zeros(0)), offsets

    def counts(self, start: float, stop: float, dt: float) -> xr.DataArray:
        """Counts of all units in whole bins of `dt` [s]: uuid by time (centers of the bins)."""
        import xarray as xr

        from iblnm.layers._kernels import window_bounds

        n_bins = n_whole_bins(start, stop, dt)
        end = start + n_bins * dt
        parts = [part[slice(*window_bounds(part, start, end))] for part in self._times.values()]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        times = np.concatenate(parts) if parts else np.zeros(0)
        return xr.DataArray(
            count_spikes(times, offsets, start, end, dt),
            dims=("uuid", "time"),
            coords={"uuid": list(self._times), "time": start + (np.arange(n_bins) + 0.5) * dt},
            attrs={"start": start, "stop": end, "dt": dt, "unit": "spikes"},
        )

    def to_pynapple(self) -> Any:
        """The same as a ``TsGroup`` of pynapple, if that is installed.

        Raises
        ------
        ImportError
            Saying how to install it.
        """
        try:
            import pynapple as nap
        except ImportError as error:
            raise ImportError("pynapple is not installed: pip install pynapple") from error
        return nap.TsGroup(
            {i: nap.Ts(np.asarray(times)) for i, times in enumerate(self._times.values())},
            uuid=list(self._times),
        )
