"""Distributions of the photometry quality metrics: histograms per band, violins per target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.result import count_units
from iblnm.config import Settings
from iblnm.constants import SIGNAL_BAND
from iblnm.signal.metrics import Metric, metrics
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
from iblnm.vis.style import ordered_targets, target_color, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG_RANGE = 30.0
BAND_STYLES = {
    "GCaMP": {"color": "#009e73", "linestyle": "-"},
    "Isosbestic": {"color": "#cc79a7", "linestyle": "--"},
}
_N_BINS = 24
_SMALL_VALUE = 0.01
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def declared(name: str) -> Metric | None:
    """The metric of that name; None of one that is no more declared."""
    return next((metric for metric in metrics() if metric.name == name), None)


def is_positive(name: str) -> bool:
    """Whether zero is impossible."""
    metric = declared(name)
    return metric is not None and metric.is_positive


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics in the order of the table of quality, others after them by name."""
    order = [metric.name for metric in metrics()]
    found = set(names)
    return [*(name for name in order if name in found), *sorted(found - set(order))]


def metric_label(name: str, exponent: int = 0) -> str:
    """Name and unit of a metric, of values divided by 10 to the `exponent`."""
    metric = declared(name)
    unit = (metric.unit or metric.label if metric else "") or "1"
    power = f"10{str(exponent).translate(_SUPERSCRIPT)} " if exponent else ""
    return f"{name.replace('_', ' ')} ({power}{unit})"


def metric_exponent(values: pd.Series, metric: str) -> int:
    """Power of ten that the values of an axis are divided by, so that its ticks are short.

    Parameters
    ----------
    values : Series
    metric : str

    Returns
    -------
    int
        That of the largest value where this is below 0.01 and the axis is linear, else 0.
    """
    finite = finite_values(values, metric)
    largest = float(np.abs(finite).max()) if len(finite) else 0.0
    if not 0 < largest < _SMALL_VALUE or is_logarithmic(values, metric):
        return 0
    return int(np.floor(np.log10(largest)))


def quality_counts(
    values: pd.DataFrame, performance: pd.DataFrame, *, settings: Settings | None = None
) -> dict[str, int]:
    """Animals, sessions and recordings of the signal band, and the trials of those sessions.

    Parameters
    ----------
    values : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_VALUES` or `QC_SCORES`.
    performance : DataFrame
        ``eid``, ``n_trials``.
    """
    own = values[values["band"] == SIGNAL_BAND]
    trials = performance.loc[performance["eid"].isin(own["eid"]), "n_trials"].sum()
    return count_units(own, trials=int(trials))


def measured(values: pd.DataFrame) -> list[str]:
    """Metrics of a long table, in the order of the table of quality.

    Raises
    ------
    NoDataError
        If no metric has a value.
    """
    found = set(values.loc[values["value"].notna(), "metric"])
    if not found:
        raise NoDataError("no metric has a value")
    return in_order(found)


@or_no_data("Quality metrics per band")
def qc_histograms_figure(
    values: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Histogram of every metric, one line per band.

    Parameters
    ----------
    values : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_VALUES`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
        Limit of the fraction of unique samples.
    """
    table = need_rows(values, ("band", "metric", "value"), "quality metrics")
    metrics = measured(table)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.2, 1.7), share_x=False, share_y=False, extra=(1.4, 0.9)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        own = table[table["metric"] == metric]
        exponent = metric_exponent(own["value"], metric)
        own = own.assign(value=own["value"] / 10.0**exponent)
        bins = _bins(own["value"], metric)
        for band, style in BAND_STYLES.items():
            numbers = finite_values(own.loc[own["band"] == band, "value"], metric)
            if len(numbers):
                ax.hist(numbers, bins, histtype="step", linewidth=1.3, label=band, **style)
        if is_logarithmic(own["value"], metric):
            ax.set_xscale("log")
        known = declared(metric)
        if known is not None and known.limit is not None:
            zero_line(ax, axis="x", at=known.limit(settings))
        ax.set_xlabel(metric_label(metric, exponent), fontsize=SMALL)
    label_outer(figure, y="Recordings (count)")
    found = {}
    for ax in axes:
        found |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    kwargs = {"loc": "outside right center", "fontsize": SMALL, "frameon": False}
    figure.legend(found.values(), found.keys(), **kwargs)
    give_title(figure, "Quality metrics per band", table, counts)
    return figure


def is_logarithmic(values: pd.Series, metric: str) -> bool:
    """Whether a positive metric spans so wide a range that its axis is logarithmic."""
    values = finite_values(values, metric)
    return is_positive(metric) and len(values) > 0 and values.max() > _LOG_RANGE * values.min()


def finite_values(values: pd.Series, metric: str) -> np.ndarray:
    """Known values; of a metric that is positive by definition the positive ones only."""
    values = values.to_numpy(dtype=float, na_value=np.nan)
    usable = np.isfinite(values) & ((values > 0) | (not is_positive(metric)))
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
    values: pd.DataFrame,
    *,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Distribution of every metric of the signal band per target.

    Parameters
    ----------
    values : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_VALUES`.
    seed : int
        Of the points' horizontal scatter.
    counts : mapping, optional
    settings : Settings

    Returns
    -------
    Figure
        Points: recordings; line: their median; violin: Gaussian kernel density, where a
        target has three different values or more.
    """
    table = need_rows(values, ("band", "metric", "value"), "quality metrics")
    table = table.assign(target_NM=table["target_NM"].astype(object).fillna("unknown"))
    table = need_rows(table[table["band"] == SIGNAL_BAND], (), f"{SIGNAL_BAND} metrics")
    metrics = measured(table)
    targets = ordered_targets(table["target_NM"], settings)
    rng = np.random.default_rng(seed)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.6, 1.8), share_y=False, extra=(0.6, 1.0)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        own = table[table["metric"] == metric]
        exponent = metric_exponent(own["value"], metric)
        own = own.assign(value=own["value"] / 10.0**exponent)
        logarithmic = is_logarithmic(own["value"], metric)
        for i, target in enumerate(targets):
            numbers = finite_values(own.loc[own["target_NM"] == target, "value"], metric)
            _draw_violin(ax, i, numbers, target, logarithmic, rng, settings)
        if logarithmic:
            ax.set_yscale("log")
        ax.set_xticks(range(len(targets)), targets, rotation=60, ha="right", fontsize=SMALL)
        ax.set_ylabel(metric_label(metric, exponent).replace(" (", "\n("), fontsize=SMALL)
        ax.set_xlim(-0.6, len(targets) - 0.4)
    note = "points: recordings; bar: median; violin: kernel density of recordings"
    give_title(figure, f"Quality of {SIGNAL_BAND} per target", table, counts, note)
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
    marker = target_style(target, settings)["marker"]
    ax.plot(x, values, marker, color=color, markersize=2.5, label=target)
    if len(values) > 1:
        median = float(np.median(values))
        ax.plot([position - 0.25, position + 0.25], [median] * 2, color="k", linewidth=1.2)
