"""Raw bands and preprocessed signal of one fiber, in bins of 1 s, and its quality metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings
from iblnm.constants import REFERENCE_BAND, SIGNAL_BAND
from iblnm.signal.masking import is_masked
from iblnm.viewer.contents import Contents, NotThereError
from iblnm.viewer.envelope import envelope, runs
from iblnm.viewer.panel import Axis, Panel
from iblnm.viewer.traces import fitted_reference
from iblnm.viewer.wire import Packer


def raw_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Both bands with their bleaching trend, and the reference as it was fitted."""
    bands, name = contents.need_bands(), recording["name"]
    if name not in bands[SIGNAL_BAND]:
        raise NotThereError(f"The signal file has no column for {name}.")
    stored = (contents.stored.get("preprocessed") or {}).get(name)
    signal = _signal_settings(contents, stored)
    masked = json.loads(stored.attrs.get("masked_windows", "[]")) if stored is not None else []
    series, trends = {}, {}
    for band, frame in bands.items():
        times, values = frame.index.to_numpy(), frame[name].to_numpy()
        trend = _trend(times, np.where(is_masked(times, masked), np.nan, values), signal)
        trends[band] = (times, trend)
        series[band] = _pack(packer, *envelope(times, values, *_bins(axis)))
        series[f"{band} trend"] = {"value": packer.array(_at_bins(times, trend, axis), "d2")}
    fitted = _fitted(bands, name, trends, stored)
    if fitted is not None:
        series["fitted reference"] = _pack(
            packer, *envelope(bands[SIGNAL_BAND].index.to_numpy(), fitted, *_bins(axis))
        )
    times, values = bands[SIGNAL_BAND].index.to_numpy(), bands[SIGNAL_BAND][name].to_numpy()
    note = ""
    if REFERENCE_BAND not in bands:
        note = "No isosbestic band was recorded: the signal is corrected for bleaching only."
    elif stored is None:
        note = "The reference is not fitted: " + contents.why_missing("preprocessed")
    return {
        "unit": "a.u.",
        "series": series,
        "invalid": runs(~np.isfinite(values), times),
        "rate_hz": _rate(times),
        "note": note,
    }


def preprocessed_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Corrected signal in z, with what is needed to show it as dF/F."""
    stored = contents.need("preprocessed").get(recording["name"])
    if stored is None:
        raise NotThereError(f"The session file has no preprocessed signal of {recording['name']}.")
    times, values = stored["time"].to_numpy(), stored["signal"].to_numpy()
    masked = np.zeros(len(times), dtype=bool)
    if "masked" in stored:
        masked = stored["masked"].to_numpy().astype(bool)
    edge = stored["filter_edge"].to_numpy().astype(bool)
    keys = ("mean", "sd", "correction", "fs", "iso_slope", "iso_intercept", "iso_r2")
    return {
        "series": {"z": _pack(packer, *envelope(times, values, *_bins(axis)))},
        "masked": runs(masked, times),
        "gaps": runs(~np.isfinite(values) & ~masked, times),
        "edge": runs(edge, times),
        **{key: stored.attrs.get(key) for key in keys},
    }


def quality_panel(
    contents: Contents, packer: Packer, axis: Axis, recording: Mapping[str, Any]
) -> dict[str, Any]:
    """Metrics of the fiber's bands, with what each means."""
    from iblnm.schemas import QC_PHOTOMETRY

    del packer, axis
    table = contents.need("photometry_qc")
    if recording["fiber_idx"] is None:
        own = table[table["brain_region"] == recording["name"]]
    else:
        own = table[table["fiber_idx"] == recording["fiber_idx"]]
    if own.empty:
        raise NotThereError(f"There are no metrics of {recording['name']}.")
    keys = {"eid", "brain_region", "band", "fiber_idx", "note", "source"}
    rows = [
        [
            column.name.replace("_", " "),
            *(float(value) if pd.notna(value) else None for value in own[column.name]),
            column.unit or "",
            column.text,
        ]
        for column in QC_PHOTOMETRY.columns
        if column.name not in keys and column.name in own
    ]
    return {"columns": ["metric", *own["band"].astype(str), "unit", "meaning"], "rows": rows}


def _signal_settings(contents: Contents, stored: Any) -> SignalSettings:
    """Parameters with which the signal was preprocessed; those of now if it was not."""
    if stored is None or "parameters" not in stored.attrs:
        return contents.settings.signal
    return SignalSettings.model_validate(json.loads(stored.attrs["parameters"]))


def _trend(times: np.ndarray, values: np.ndarray, signal: SignalSettings) -> np.ndarray:
    from iblnm.signal.bleaching import lowpass_baseline

    try:
        return lowpass_baseline(
            times, values, order=signal.lowpass_order, cutoff_hz=signal.lowpass_hz
        )
    except ValueError:  # sampled too slowly for the filter
        return np.full(len(times), np.nan)


def _fitted(bands: dict, name: str, trends: dict, stored: Any) -> np.ndarray | None:
    if (
        stored is None
        or REFERENCE_BAND not in bands
        or stored.attrs.get("correction") != "isosbestic"
    ):
        return None
    reference = bands[REFERENCE_BAND]
    return fitted_reference(
        trends[SIGNAL_BAND],
        (reference.index.to_numpy(), reference[name].to_numpy()),
        trends[REFERENCE_BAND],
        slope=float(stored.attrs["iso_slope"]),
        intercept=float(stored.attrs["iso_intercept"]),
    )


def _bins(axis: Axis) -> tuple[float, float, int]:
    return axis.start, axis.stop, axis.n_bins


def _at_bins(times: np.ndarray, values: np.ndarray, axis: Axis) -> np.ndarray:
    width = (axis.stop - axis.start) / axis.n_bins
    centers = axis.start + width * (np.arange(axis.n_bins) + 0.5)
    known = np.isfinite(values)
    if not known.any():
        return np.full(axis.n_bins, np.nan)
    return np.interp(centers, times[known], values[known], left=np.nan, right=np.nan)


def _pack(packer: Packer, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    return {"low": packer.array(low, "d2"), "high": packer.array(high, "d2")}


def _rate(times: np.ndarray) -> float:
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else float("nan")


RAW = Panel("raw", "Raw bands", "raw", "fiber", raw_panel)
PREPROCESSED = Panel(
    "preprocessed", "Preprocessed signal", "preprocessed", "fiber", preprocessed_panel
)
QUALITY = Panel("quality", "Quality of the signal", "table", "fiber", quality_panel)
