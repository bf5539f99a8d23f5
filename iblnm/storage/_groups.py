"""One pair of handlers per group of a session file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.constants import ERROR_COLUMNS, TRIAL_EVENTS
from iblnm.errors import UnreadableFileError
from iblnm.storage._values import (
    is_null,
    read_attrs,
    read_column,
    read_list,
    read_values,
    write_attrs,
    write_values,
)
from iblnm.storage.names import validate_name

if TYPE_CHECKING:
    import h5py
    import xarray as xr

REGION_ATTRS = ("fiber_idx", "hemisphere", "target_NM", "brain_region")
_COLUMNS = "_columns"
_EVENTS = "_events"
_MASKED = "masked_share"
_NULL_WORD = "__none__"
_PHOTOMETRY = ("qc", "preprocessed", "responses")


def child(parent: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """Member of a group, or None; only what lies in this file, links elsewhere are refused."""
    import h5py

    found: Any = parent
    for name in path.split("/"):
        # asked of the library below: its wrappers take most of the time of reading a table
        links, key = found.id.links, name.encode("utf-8")
        if not links.exists(key):
            return None
        if links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise UnreadableFileError(
                f"{found.name}/{name} is a link out of its group; links are not followed",
                path=parent.file.filename,
            )
        opened = h5py.h5o.open(found.id, key)
        is_dataset = h5py.h5i.get_type(opened) == h5py.h5i.DATASET
        found = h5py.Dataset(opened, readonly=True) if is_dataset else found[name]
    return found


# tables ------------------------------------------------------------------------------------


def _write_table(
    group: h5py.Group, df: pd.DataFrame, dimension: str, has_fixed_text: bool = False
) -> None:
    group.attrs[_COLUMNS] = json.dumps([str(column) for column in df.columns])
    scale = group.create_dataset(dimension, data=np.asarray(df.index, dtype=np.int64))
    scale.make_scale(dimension)
    for column in df.columns:
        name = validate_name(str(column))
        dataset = write_values(group, name, df[column], has_fixed_text=has_fixed_text)
        dataset.dims[0].attach_scale(scale)


def _names(group: h5py.Group, attribute: str, besides: Iterable[str] = ()) -> list[str]:
    """Names in their order; those of the datasets where the writer did not store them."""
    import h5py

    stored = group.attrs.get(attribute)
    if stored is not None:
        return json.loads(stored)
    left_out = set(besides)
    return [
        name
        for name in group
        if name not in left_out and isinstance(child(group, name), h5py.Dataset)
    ]


def _read_table(group: h5py.Group, dimension: str) -> pd.DataFrame:
    columns = _names(group, _COLUMNS, besides=[dimension])
    df = pd.DataFrame({name: read_column(child(group, name)) for name in columns}, columns=columns)
    scale = child(group, dimension)
    index = pd.RangeIndex(len(df)) if scale is None else pd.Index(scale[()])
    if index.equals(pd.RangeIndex(len(df))):
        return df
    return df.set_index(index)


def _save_trials(file: h5py.File, df: pd.DataFrame) -> list[h5py.Group]:
    group = file.create_group("trials")
    _write_table(group, df, "trial", has_fixed_text=True)
    write_attrs(group, df.attrs)
    return [group]


def _load_trials(file: h5py.File) -> pd.DataFrame:
    group = child(file, "trials")
    trials = _read_table(group, "trial")
    trials.attrs = read_attrs(group)
    return trials


def _save_errors(file: h5py.File, df: pd.DataFrame) -> list[h5py.Group]:
    group = file.create_group("errors")
    _write_table(group, df.reset_index(drop=True), "error")
    return [group]


def _load_errors(file: h5py.File) -> pd.DataFrame:
    table = _read_table(child(file, "errors"), "error")
    return table if len(table.columns) else pd.DataFrame(columns=ERROR_COLUMNS, dtype=object)


# metadata ----------------------------------------------------------------------------------


def _save_metadata(file: h5py.File, row: pd.DataFrame | pd.Series | Mapping) -> list[h5py.Group]:
    if isinstance(row, pd.DataFrame):
        if len(row) != 1:
            raise ValueError(f"metadata is one row; {len(row)} were given")
        row = row.iloc[0]
    group = file.create_group("metadata")
    fields = dict(row.items())
    group.attrs[_COLUMNS] = json.dumps([str(name) for name in fields])
    scalars = {}
    for name, value in fields.items():
        if isinstance(value, list | tuple | np.ndarray):
            write_values(group, validate_name(name), list(value)).make_scale(name)
        else:
            scalars[validate_name(name)] = value
    write_attrs(group, scalars)
    return [group]


def _load_metadata(file: h5py.File) -> pd.DataFrame:
    group = child(file, "metadata")
    scalars = read_attrs(group)
    names = _names(group, _COLUMNS)
    if _COLUMNS not in group.attrs:
        names = [*scalars, *names]
    row = {}
    for name in names:
        value = scalars[name] if name in scalars else read_list(child(group, name))
        row[name] = [_without_marks(value)]
    return pd.DataFrame(row)


def _without_marks(value: Any) -> Any:
    """Null where another writer marked it by a word."""
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    return None if isinstance(value, str) and value == _NULL_WORD else value


# photometry --------------------------------------------------------------------------------


def _region_group(file: h5py.File, name: str, attrs: Mapping[str, Any]) -> h5py.Group:
    group = file.require_group("photometry").require_group(validate_name(name))
    known = {key: attrs[key] for key in REGION_ATTRS if not is_null(attrs.get(key))}
    write_attrs(group, known)
    return group


def _regions(file: h5py.File, part: str, regions: Iterable[str] | None) -> dict[str, h5py.Group]:
    photometry = child(file, "photometry")
    if photometry is None:
        return {}
    names = list(photometry) if regions is None else [validate_name(name) for name in regions]
    found = {name: child(photometry, f"{name}/{part}") for name in names}
    return {name: group for name, group in found.items() if group is not None}


def _save_qc(file: h5py.File, qc: pd.DataFrame) -> list[h5py.Group]:
    groups = []
    # the position in the whole table brings the rows back in their order
    ordered = qc.reset_index(drop=True)
    for name, rows in ordered.groupby("brain_region", sort=False):
        attrs = {"fiber_idx": rows["fiber_idx"].iloc[0]} if "fiber_idx" in rows else {}
        group = _region_group(file, name, attrs).create_group("qc")
        _write_table(group, rows, "row", has_fixed_text=True)
        groups.append(group)
    return groups


def _load_qc(file: h5py.File, regions: Iterable[str] | None = None) -> pd.DataFrame:
    groups = _regions(file, "qc", regions)
    parts = []
    for name, group in groups.items():
        part = _read_table(group, "row")
        parts.append(part if "brain_region" in part else part.assign(brain_region=name))
    if not parts:
        return pd.DataFrame()
    if all(child(group, "row") is not None for group in groups.values()):
        return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    return pd.concat(parts, ignore_index=True)


def _save_preprocessed(file: h5py.File, data: Mapping[str, xr.Dataset]) -> list[h5py.Group]:
    groups = []
    for name, recording in data.items():
        group = _region_group(file, name, recording.attrs).create_group("preprocessed")
        times = write_values(group, "times", np.asarray(recording["time"], dtype=np.float64))
        times.make_scale("times")
        for variable in recording.data_vars:
            dataset = write_values(group, validate_name(variable), recording[variable].to_numpy())
            dataset.dims[0].attach_scale(times)
        group.attrs[_COLUMNS] = json.dumps(list(recording.data_vars))
        write_attrs(group, recording.attrs)
        groups.append(group)
    return groups


def signal_attributes(file: h5py.File) -> dict[str, dict[str, Any]]:
    """Attributes of the preprocessed signals by recording."""
    return {
        name: read_attrs(group) for name, group in _regions(file, "preprocessed", None).items()
    }


def _load_preprocessed(
    file: h5py.File, regions: Iterable[str] | None = None
) -> dict[str, xr.Dataset]:
    import xarray as xr

    return {
        name: xr.Dataset(
            {
                variable: ("time", read_values(child(group, variable)))
                for variable in _names(group, _COLUMNS, besides=["times"])
            },
            coords={"time": read_values(child(group, "times"))},
            attrs=read_attrs(group),
        )
        for name, group in _regions(file, "preprocessed", regions).items()
    }


def _save_responses(file: h5py.File, data: Mapping[str, xr.DataArray]) -> list[h5py.Group]:
    groups = []
    for name, responses in data.items():
        group = _region_group(file, name, responses.attrs).create_group("responses")
        responses = responses.transpose("event", "trial", "time")
        scales = _write_trial_time(group, responses)
        events = [validate_name(str(event)) for event in responses["event"].to_numpy()]
        for event, values in zip(events, responses.to_numpy(), strict=True):
            _attach(write_values(group, event, values), scales)
        if _MASKED in responses.coords:
            names = write_values(group, "events", events)
            names.make_scale("events")
            _attach(
                write_values(group, _MASKED, responses[_MASKED].to_numpy()), (names, scales[0])
            )
        group.attrs[_EVENTS] = json.dumps(events)
        write_attrs(group, {**_sampling(responses["time"].to_numpy()), **responses.attrs})
        groups.append(group)
    return groups


def _load_responses(
    file: h5py.File, regions: Iterable[str] | None = None
) -> dict[str, xr.DataArray]:
    import xarray as xr

    loaded = {}
    for name, group in _regions(file, "responses", regions).items():
        events = _names(group, _EVENTS, besides=["trials", "times", "events", _MASKED])
        if _EVENTS not in group.attrs:
            events = sorted(events, key=_place_in_trial)
        trials, times = read_values(child(group, "trials")), read_values(child(group, "times"))
        values = np.empty((len(events), len(trials), len(times)))
        for i, event in enumerate(events):
            values[i] = read_values(child(group, event))
        loaded[name] = xr.DataArray(
            values,
            dims=("event", "trial", "time"),
            coords={"event": events, "trial": trials, "time": times},
            attrs=read_attrs(group),
        )
        share = child(group, _MASKED)
        if share is not None:
            loaded[name].coords[_MASKED] = (("event", "trial"), read_values(share))
    return loaded


def _place_in_trial(event: str) -> tuple[int, str]:
    place = TRIAL_EVENTS.index(event) if event in TRIAL_EVENTS else len(TRIAL_EVENTS)
    return place, event


def _sampling(times: np.ndarray) -> dict[str, Any]:
    if len(times) < 2:
        return {}
    step = float(np.median(np.diff(times)))
    window = [round(float(times[0]), 9), round(float(times[-1]) + step, 9)]
    return {"fs": round(1 / step, 9), "response_window": window}


def _write_trial_time(group: h5py.Group, array: xr.DataArray) -> tuple[h5py.Dataset, ...]:
    scales = []
    for dimension, dtype in (("trial", np.int64), ("time", np.float64)):
        values = array[dimension].to_numpy() if dimension in array.coords else None
        if values is None:
            values = np.arange(array.sizes[dimension])
        scale = group.create_dataset(f"{dimension}s", data=np.asarray(values, dtype=dtype))
        scale.make_scale(f"{dimension}s")
        scales.append(scale)
    return tuple(scales)


def _attach(dataset: h5py.Dataset, scales: Iterable[h5py.Dataset]) -> None:
    for dimension, scale in zip(dataset.dims, scales, strict=True):
        dimension.attach_scale(scale)


# wheel -------------------------------------------------------------------------------------


def _save_wheel(file: h5py.File, velocity: xr.DataArray) -> list[h5py.Group]:
    group = file.create_group("wheel/responses")
    velocity = velocity.transpose("trial", "time")
    scales = _write_trial_time(group, velocity)
    _attach(write_values(group, "velocity", velocity.to_numpy().astype(np.float32)), scales)
    write_attrs(group, velocity.attrs)
    return [group]


def _load_wheel(file: h5py.File) -> xr.DataArray:
    import xarray as xr

    group = child(file, "wheel/responses")
    attrs, velocity = read_attrs(group), read_values(child(group, "velocity"))
    trials, times = child(group, "trials"), child(group, "times")
    n_trials, n_times = velocity.shape
    return xr.DataArray(
        velocity,
        dims=("trial", "time"),
        coords={
            "trial": np.arange(n_trials) if trials is None else read_values(trials),
            "time": _sample_times(n_times, attrs) if times is None else read_values(times),
        },
        attrs=attrs,
        name="velocity",
    )


def _sample_times(n_times: int, attrs: Mapping[str, Any]) -> np.ndarray:
    """Times since the first event of the trial, s, from the sampling rate."""
    if "fs" not in attrs:
        raise KeyError("wheel/responses has neither times nor the sampling rate fs")
    return np.arange(n_times) / float(attrs["fs"])


# registry ----------------------------------------------------------------------------------

SAVE_HANDLERS: dict[str, Callable[..., list[h5py.Group]]] = {
    "metadata": _save_metadata,
    "errors": _save_errors,
    "photometry/qc": _save_qc,
    "photometry/preprocessed": _save_preprocessed,
    "photometry/responses": _save_responses,
    "trials": _save_trials,
    "wheel": _save_wheel,
}
LOAD_HANDLERS: dict[str, Callable[..., Any]] = {
    "metadata": _load_metadata,
    "errors": _load_errors,
    "photometry/qc": _load_qc,
    "photometry/preprocessed": _load_preprocessed,
    "photometry/responses": _load_responses,
    "trials": _load_trials,
    "wheel": _load_wheel,
}


def stored_groups(file: h5py.File, key: str) -> list[h5py.Group]:
    """The HDF5 groups in which a key is stored in this file."""
    if key.startswith("photometry/"):
        return list(_regions(file, key.removeprefix("photometry/"), None).values())
    found = child(file, "wheel/responses" if key == "wheel" else key)
    return [] if found is None else [found]


def remove(file: h5py.File, key: str) -> None:
    """Delete everything that is stored under a key."""
    for group in stored_groups(file, key):
        del file[group.name]


def remove_empty_regions(file: h5py.File) -> None:
    """Delete regions in which nothing is stored any more."""
    photometry = child(file, "photometry")
    if photometry is None:
        return
    for name in [name for name, group in photometry.items() if not len(group)]:
        del photometry[name]
    if not len(photometry):
        del file["photometry"]


def live_size(file: h5py.File) -> int:
    """Bytes of all datasets of a file, text not counted."""
    import h5py

    sizes = []

    def add(_: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset):
            sizes.append(member.id.get_storage_size())

    file.visititems(add)
    return sum(sizes)
