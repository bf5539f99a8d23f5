"""Distributions of the photometry quality metrics: histograms per band, violins per target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.schemas import QC_PHOTOMETRY
from iblnm.vis.panels import (
    SMALL,
    NoDataError,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    wrapped_grid,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = tuple(column.name for column in QC_PHOTOMETRY.columns if column.dtype == "float")
POSITIVE = ("median_absolute_deviance", "bleaching_tau", "percentile_asymmetry")
_LOG_RANGE = 30.0
BAND_STYLES = {
    "GCaMP": {"color": "#009e73", "linestyle": "-"},
    "Isosbestic": {"color": "#cc79a7", "linestyle": "--"},
}
_N_BINS = 24
SIGNAL = "GCaMP"


def metric_label(metric: str) -> str:
    """Name and unit of a metric, in two lines at most."""
    column = next(column for column in QC_PHOTOMETRY.columns if column.name == metric)
    unit = {"median_absolute_deviance": "a.u.", "iso_correlation": "R²", "ar_score": "R²"}
    unit |= {"n_unique_samples": "fraction", "percentile_asymmetry": "ratio"}
    unit |= {"n_band_inversions": "frames", "n_early_samples": "frames"}
    return f"{metric.replace('_', ' ')} ({column.unit or unit.get(metric, '1')})"


def qc_recordings(
    qc: pd.DataFrame, sessions: pd.DataFrame, performance: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Quality metrics with the recording's target, animal and day.

    Parameters
    ----------
    qc : DataFrame
        Schema `iblnm.schemas.QC_PHOTOMETRY`.
    sessions : DataFrame
        ``eid``, ``subject``, ``start_time``, ``target_NM`` (one per fibre).
    performance : DataFrame, optional
        ``eid``, ``n_trials``.

    Returns
    -------
    DataFrame
        Columns of `qc` and ``subject``, ``start_time`` (datetime), ``target_NM`` ('unknown'
        where there is none), ``n_trials`` (of the session, where it is known).
    """
    fibers = sessions[["eid", "subject", "start_time", "target_NM"]].explode("target_NM")
    fibers = fibers.assign(fiber_idx=fibers.groupby("eid").cumcount())
    table = qc.assign(fiber_idx=qc["fiber_idx"].astype("int64"))
    table = table.merge(fibers, on=["eid", "fiber_idx"], how="left")
    table["target_NM"] = table["target_NM"].astype(object).fillna("unknown")
    table["start_time"] = pd.to_datetime(table["start_time"], format="ISO8601", errors="coerce")
    if performance is not None:
        table = table.merge(performance[["eid", "n_trials"]], on="eid", how="left")
    return table


def quality_counts(table: pd.DataFrame, counts: Mapping[str, int] | None) -> dict[str, int]:
    """Numbers for the title, trials from ``n_trials`` of the sessions."""
    if "n_trials" not in table:
        return dict(counts or {})
    return {"trials": int(table.drop_duplicates("eid")["n_trials"].sum()), **(counts or {})}


def measured(table: pd.DataFrame) -> list[str]:
    """Metrics that have a value.

    Raises
    ------
    NoDataError
        If none has.
    """
    found = [metric for metric in METRICS if metric in table and table[metric].notna().any()]
    if not found:
        raise NoDataError("no metric has a value")
    return found


@or_no_data("Quality metrics per band")
def qc_histograms_figure(
    table: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Histogram of every metric, one line per band.

    Parameters
    ----------
    table : DataFrame
        See `qc_recordings`.
    counts : mapping, optional
        Numbers for the title; counted in the table by default.
    settings : Settings, optional
        Limit of the fraction of unique samples.
    """
    settings = settings or get_settings()
    table = need_rows(table, ("band",), "quality metrics")
    metrics = measured(table)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.2, 1.7), share_x=False, share_y=False, extra=(1.4, 0.9)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        bins = _bins(table[metric], metric)
        for band, style in BAND_STYLES.items():
            values = finite_values(table.loc[table["band"] == band, metric], metric)
            if len(values):
                ax.hist(values, bins, histtype="step", linewidth=1.3, label=band, **style)
        if is_logarithmic(table[metric], metric):
            ax.set_xscale("log")
        if metric == "n_unique_samples":
            zero_line(ax, axis="x", at=settings.thresholds.min_unique_fraction)
        ax.set_xlabel(metric_label(metric), fontsize=SMALL)
    label_outer(figure, y="Recordings (count)")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", fontsize=SMALL, frameon=False)
    give_title(figure, "Quality metrics per band", table, quality_counts(table, counts))
    return figure


def is_logarithmic(values: pd.Series, metric: str) -> bool:
    """Whether a positive metric spans so wide a range that its axis is logarithmic."""
    values = finite_values(values, metric)
    return metric in POSITIVE and len(values) > 0 and values.max() > _LOG_RANGE * values.min()


def finite_values(values: pd.Series, metric: str) -> np.ndarray:
    """Known values; of a metric that is positive by definition the positive ones only."""
    values = values.to_numpy(dtype=float, na_value=np.nan)
    usable = np.isfinite(values) & ((values > 0) | (metric not in POSITIVE))
    return values[usable]


def _bins(values: pd.Series, metric: str) -> np.ndarray:
    logarithmic = is_logarithmic(values, metric)
    values = finite_values(values, metric)
    if not len(values):
        return np.linspace(0, 1, _N_BINS + 1)
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        return np.geomspace(low / 1.01, high * 1.01, _N_BINS + 1)
    margin = 0.02 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, _N_BINS + 1)


@or_no_data("Quality metrics per target")
def qc_violins_figure(
    table: pd.DataFrame,
    *,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Distribution of every metric of the signal band per target.

    Parameters
    ----------
    table : DataFrame
        See `qc_recordings`.
    seed : int
        Of the points' horizontal scatter.
    counts : mapping, optional
    settings : Settings, optional

    Returns
    -------
    Figure
        Points: recordings; line: their median; violin: Gaussian kernel density, where a
        target has three different values or more.
    """
    settings = settings or get_settings()
    table = need_rows(table, ("band",), "quality metrics")
    table = need_rows(table[table["band"] == SIGNAL], ("target_NM",), f"{SIGNAL} metrics")
    metrics = measured(table)
    targets = ordered_targets(table["target_NM"], settings)
    rng = np.random.default_rng(seed)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.6, 1.8), share_y=False, extra=(0.6, 1.0)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        logarithmic = is_logarithmic(table[metric], metric)
        for i, target in enumerate(targets):
            values = finite_values(table.loc[table["target_NM"] == target, metric], metric)
            _draw_violin(ax, i, values, target, logarithmic, rng, settings)
        if logarithmic:
            ax.set_yscale("log")
        ax.set_xticks(range(len(targets)), targets, rotation=60, ha="right", fontsize=SMALL)
        ax.set_ylabel(metric_label(metric), fontsize=SMALL)
        ax.set_xlim(-0.6, len(targets) - 0.4)
    note = "points: recordings; bar: median; violin: kernel density of recordings"
    give_title(
        figure, f"Quality of {SIGNAL} per target", table, quality_counts(table, counts), note
    )
    return figure


def _draw_violin(
    ax: Axes,
    position: int,
    values: np.ndarray,
    target: str,
    logarithmic: bool,
    rng: np.random.Generator,
    settings: Settings,
) -> None:
    from scipy.stats import gaussian_kde

    if not len(values):
        return
    color = target_color(target, settings)
    scaled = np.log10(values) if logarithmic else values
    if len(np.unique(values)) >= 3:
        at = np.linspace(scaled.min(), scaled.max(), 80)
        density = gaussian_kde(scaled)(at)
        width = 0.4 * density / density.max()
        at = 10**at if logarithmic else at
        ax.fill_betweenx(at, position - width, position + width, color=color, alpha=0.3, lw=0)
    x = position + rng.uniform(-0.12, 0.12, len(values))
    marker = settings.figures.target_markers.get(str(target), ".")
    ax.plot(x, values, marker, color=color, markersize=2.5, label=target)
    median = float(np.median(values))
    ax.plot([position - 0.25, position + 0.25], [median] * 2, color="k", linewidth=1.2)
