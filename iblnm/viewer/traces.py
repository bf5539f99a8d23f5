"""Traces of one fiber at any zoom, straight from the files, by a server that stays small.

Only numpy, h5py and pyarrow are used: pandas, xarray and scipy would triple the memory of the
server. What needs them (bleaching trends, fits) comes from the session's document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from iblnm.errors import DataError
from iblnm.viewer.envelope import envelope
from iblnm.viewer.wire import Packer

Trace = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Sources:
    """Where the traces of a fiber are.

    Parameters
    ----------
    h5_path : Path
        Session file.
    group : str
        Group of the fiber in it; empty if it has no preprocessed signal.
    signal : mapping
        Of the raw signal: ``path``, ``size``, ``column``, ``columns`` of the session,
        ``window`` (s, or null); empty if there is none.
    trends : mapping of str to tuple of ndarray
        Times and values of the bleaching trend by band.
    fit : mapping
        ``slope`` and ``intercept`` of the reference; empty if it was not fitted.
    """

    h5_path: Path
    group: str
    signal: Mapping[str, Any]
    trends: Mapping[str, Trace]
    fit: Mapping[str, float]


def fitted_reference(
    signal_trend: Trace,
    reference: Trace,
    reference_trend: Trace,
    *,
    slope: float,
    intercept: float,
) -> np.ndarray:
    """The reference as it was fitted to the signal, in units of the raw signal.

    Parameters
    ----------
    signal_trend : tuple of ndarray (n,)
        Times (s) and slow baseline of the signal.
    reference, reference_trend : tuple of ndarray
        Times and values of the reference and of its baseline; they may have other times.
    slope, intercept : float
        Of the regression of the signal's dF/F on the reference's.

    Returns
    -------
    ndarray (n,)
        ``trend * (1 + slope * dff + intercept)`` at the signal's times: where the raw signal
        equals it, the corrected dF/F is 0.
    """
    times, trend = signal_trend
    reference_times, values = reference
    slow = np.interp(reference_times, *reference_trend)
    dff = np.interp(times, reference_times, (values - slow) / slow)
    return trend * (1 + slope * dff + intercept)


def read_traces(sources: Sources, start: float, stop: float) -> dict[str, Trace]:
    """Samples between two times of every series, as far as it is there.

    Returns
    -------
    dict of str to tuple of ndarray
        Times (s) and values of ``GCaMP``, ``Isosbestic``, their trends, ``fitted reference``
        (all in raw units) and ``z``.

    Raises
    ------
    DataError
        If a file is gone or damaged.
    """
    traces = _raw(sources, start, stop) if sources.signal else {}
    if sources.group:
        traces["z"] = _preprocessed(sources, start, stop)
    return traces


def read_what_there_is(
    sources: Sources, start: float, stop: float
) -> tuple[dict[str, Trace], str]:
    """`read_traces` of the files that can be read, and what is wrong with the others.

    Raises
    ------
    DataError
        If nothing can be read.
    """
    found: dict[str, Trace] = {}
    problems: list[DataError] = []
    for part in (replace(sources, group=""), replace(sources, signal={})):
        try:
            found |= read_traces(part, start, stop)
        except DataError as error:
            problems.append(error)
    if problems and not found:
        raise problems[0]
    return found, "; ".join(map(str, problems))


def pack_traces(
    traces: Mapping[str, Trace], start: float, stop: float, n_bins: int
) -> tuple[Packer, dict[str, Any]]:
    """Traces as the page draws them: bins, or all samples where there are fewer than bins."""
    packer, series = Packer(), {}
    for name, (times, values) in traces.items():
        if len(times) <= n_bins:
            series[name] = {"t": packer.array(times, "f8"), "low": packer.array(values)}
            continue
        low, high = envelope(times, values, start, stop, n_bins)
        series[name] = {"low": packer.array(low), "high": packer.array(high)}
    return packer, {"start": start, "stop": stop, "bins": n_bins, "series": series}


def _raw(sources: Sources, start: float, stop: float) -> dict[str, Trace]:
    place = sources.signal
    low, high = place["window"] or (-np.inf, np.inf)
    reading = tuple((name, value) for name, value in place["reading"].items() if value is not None)
    bands = _bands_of(place["path"], tuple(place["columns"]), place["column"], reading)
    traces: dict[str, Trace] = {}
    for band, (times, values) in bands.items():
        if band not in sources.trends:
            continue
        first = np.searchsorted(times, max(start, low), side="right")
        part = slice(first, np.searchsorted(times, min(stop, high)))
        traces[band] = (times[part], values[part])
        known = np.isfinite(sources.trends[band][1])
        if known.sum() > 1:
            at = np.interp(times[part], *(entry[known] for entry in sources.trends[band]))
            traces[f"{band} trend"] = (times[part], at)
    if sources.fit and "Isosbestic trend" in traces and len(traces["Isosbestic"][0]):
        fitted = fitted_reference(
            traces["GCaMP trend"],
            traces["Isosbestic"],
            traces["Isosbestic trend"],
            slope=sources.fit["slope"],
            intercept=sources.fit["intercept"],
        )
        traces["fitted reference"] = (traces["GCaMP"][0], fitted)
    return traces


@lru_cache(maxsize=1)
def _bands_of(
    path: str, columns: tuple[str, ...], column: str, reading: tuple[tuple[str, Any], ...]
) -> dict[str, Trace]:
    """Bands of one column in single precision: of the whole file, only this stays in memory."""
    from iblnm.io.signal_file import forget_signal_file, read_signal_file

    file = read_signal_file(path, columns, **dict(reading))
    values = np.where(file.valid, file.columns[column], np.nan).astype(np.float32)
    bands = {}
    for band in file.bands:
        index = file.frames_of(band)
        bands[band] = (file.times[index], values[index])
    forget_signal_file()
    return bands


def _preprocessed(sources: Sources, start: float, stop: float) -> Trace:
    import h5py

    from iblnm.errors import MissingFileError, UnreadableFileError

    try:
        with h5py.File(sources.h5_path, "r", locking=False) as file:
            group = file[f"photometry/{sources.group}/preprocessed"]
            times = group["times"][:]
            part = slice(*np.searchsorted(times, (start, stop)))
            return times[part], group["signal"][part]
    except FileNotFoundError as error:
        raise MissingFileError("no such file", path=sources.h5_path) from error
    except (OSError, KeyError) as error:
        raise UnreadableFileError(f"cannot be read: {error}", path=sources.h5_path) from error
