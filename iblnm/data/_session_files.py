"""A session and its session file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray as xr

    from iblnm.data.session import PhotometrySession

_PHOTOMETRY = ("photometry/qc", "photometry/preprocessed", "photometry/responses")
_ALIASES = {
    "signal": ("photometry/preprocessed",),
    "qc": ("photometry/qc",),
    "photometry_qc_metrics": ("photometry/qc",),
    "responses": ("photometry/responses",),
    "photometry": _PHOTOMETRY,
}
GROUPS = ("metadata", "errors", *_PHOTOMETRY, "trials", "wheel")


def _expand(groups: Iterable[str] | None) -> list[str]:
    if groups is None:
        return list(GROUPS)
    keys = [key for name in groups for key in _ALIASES.get(name, (name,))]
    unknown = [key for key in keys if key not in GROUPS]
    if unknown:
        raise ValueError(f"unknown groups {unknown}; known are {list(GROUPS)} and photometry")
    return list(dict.fromkeys(keys))


def save_session_file(
    session: PhotometrySession, path: Path, groups: Iterable[str] | None, band: str, mode: str
) -> Path:
    """Write the groups that the session has; see `PhotometrySession.save_h5`."""
    from iblnm.storage.h5 import write_groups
    from iblnm.storage.provenance import Provenance

    if mode not in ("a", "w"):
        raise ValueError(f"mode {mode!r} is unknown; known are 'a' and 'w'")
    keys = _expand(groups)
    data = {key: value for key in keys if (value := _SAVED[key](session, band)) is not None}
    if mode == "w":
        data = {**dict.fromkeys(GROUPS), **data}
    origin = Provenance(parameters=session.settings.signal.model_dump(mode="json"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_groups(path, data, origin, recordings=session.recordings)
    return path


def load_session_file(
    session: PhotometrySession, path: Path, groups: Iterable[str] | None, band: str
) -> None:
    """Read the groups that the file has; see `PhotometrySession.load_h5`."""
    from iblnm.storage.h5 import read_groups

    wanted = _expand(groups)
    stored = read_groups(path, wanted)
    for key in wanted:
        if key in stored:
            _LOADED[key](session, stored[key], band)


def _preprocessed(session: PhotometrySession, band: str) -> dict[str, xr.Dataset] | None:
    """Stored form of a preprocessed band; a frame that was assigned has its signal only."""
    frame = session.photometry.get(band)
    if frame is None:
        return None
    known = session._recordings.get(band, {})
    datasets = {}
    for name in frame:
        if name in known and known[name]["signal"].to_series().equals(_series(frame, name)):
            datasets[name] = known[name]
        else:
            datasets[name] = _series(frame, name).to_xarray().to_dataset(name="signal")
    return datasets


def _series(frame: pd.DataFrame, name: str) -> pd.Series:
    series = frame[name].rename("signal")
    return series.set_axis(pd.Index(frame.index, name="time")).astype(float)


def _or_none(value: Any) -> Any:
    return value if value is not None and len(value) else None


_SAVED: dict[str, Callable[[PhotometrySession, str], Any]] = {
    "metadata": lambda session, _: session.to_series(),
    "errors": lambda session, _: session.error_log,
    "photometry/qc": lambda session, _: _or_none(session.qc),
    "photometry/preprocessed": _preprocessed,
    "photometry/responses": lambda session, _: _or_none(_of_trials(session, session.responses)),
    "trials": lambda session, _: session.trials,
    "wheel": lambda session, _: _wheel(session),
}


def _of_trials(session: PhotometrySession, arrays: dict[str, Any]) -> dict[str, Any]:
    if session.trials is None:
        return arrays
    return {name: session.of_trials(values) for name, values in arrays.items()}


def _wheel(session: PhotometrySession) -> Any:
    """Velocity of the trials; a plain array is (trial, time) at the rate of the settings."""
    import xarray as xr

    velocity, fs = session.wheel_velocity, session.settings.wheel.fs
    if velocity is None:
        return None
    if isinstance(velocity, xr.DataArray):
        return _of_trials(session, {"wheel": velocity})["wheel"]
    values = np.asarray(velocity, dtype=float)
    coords = {"trial": np.arange(len(values)), "time": np.arange(values.shape[1]) / fs}
    return xr.DataArray(values, coords, ("trial", "time"), attrs={"fs": fs, "units": "rad/s"})


def _take_metadata(session: PhotometrySession, row: pd.DataFrame, _: str) -> None:
    session._row.update(row.iloc[0].to_dict())


def _take_errors(session: PhotometrySession, table: pd.DataFrame, _: str) -> None:
    session.errors = table.astype(object).where(table.notna(), None).to_dict("records")


def _take_preprocessed(
    session: PhotometrySession, recordings: dict[str, xr.Dataset], band: str
) -> None:
    session.set_preprocessed(_by_fiber(session, recordings), band)


def _take_responses(
    session: PhotometrySession, responses: dict[str, xr.DataArray], _: str
) -> None:
    session.responses = {
        name: array.rename("responses") for name, array in _by_fiber(session, responses).items()
    }


def _take_trials(session: PhotometrySession, trials: pd.DataFrame, _: str) -> None:
    from iblnm.task.completion import complete_trials

    session.trials = complete_trials(trials)


def _by_fiber(session: PhotometrySession, data: dict[str, Any]) -> dict[str, Any]:
    """Recordings in the order of the session's fibers; a file has them by name."""
    order = list(session.recordings)
    names = sorted(data, key=lambda name: order.index(name) if name in order else len(order))
    return {name: data[name] for name in names}


def _set(name: str) -> Callable[[PhotometrySession, Any, str], None]:
    return lambda session, value, _: setattr(session, name, value)


_LOADED: dict[str, Callable[[PhotometrySession, Any, str], None]] = {
    "metadata": _take_metadata,
    "errors": _take_errors,
    "photometry/qc": _set("qc"),
    "photometry/preprocessed": _take_preprocessed,
    "photometry/responses": _take_responses,
    "trials": _take_trials,
    "wheel": _set("wheel_velocity"),
}
