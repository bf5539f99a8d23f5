"""Quality metrics together and over time: principal components, monthly medians."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.quality.figures import (
    in_order,
    is_logarithmic,
    metric_exponent,
    metric_label,
    quality_counts,
)
from iblnm.config import Settings
from iblnm.constants import SIGNAL_BAND
from iblnm.vis.panels import (
    SMALL,
    give_title,
    need_rows,
    or_no_data,
    target_legend,
    wrapped_grid,
    zero_line,
)
from iblnm.vis.style import (
    NEUTRAL,
    new_figure,
    ordered_targets,
    plain_axes,
    target_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_QUARTILES = ["median", "q25", "q75"]
_MAX_MONTH_NAMES = 6


@or_no_data("Quality over time")
def qc_trend_figure(
    trend: pd.DataFrame,
    *,
    band: str = SIGNAL_BAND,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Median of every metric per month and target, with its quartiles.

    Parameters
    ----------
    trend : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_TREND`.
    band : str
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Months without any recording take no room: a dotted line stands for them. Lines break
        where a target has a month without recordings.
    """
    table = need_rows(trend, ("month", "median"), "quality over time")
    table = need_rows(table[table["band"] == band], (), f"{band} over time")
    metrics = in_order(table["metric"])
    targets = ordered_targets(table["target_NM"], settings)
    months = sorted(pd.PeriodIndex(table["month"].unique(), freq="M"))
    place = {month: i for i, month in enumerate(months)}
    gaps = [i + 0.5 for i, month in enumerate(months[:-1]) if months[i + 1] != month + 1]
    step = -(-len(months) // _MAX_MONTH_NAMES)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.6, 1.7), share_y=False, extra=(1.7, 1.0)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        own = table[table["metric"] == metric]
        exponent = metric_exponent(own["median"], metric)
        own = own.assign(**{name: own[name] / 10.0**exponent for name in _QUARTILES})
        for i, target in enumerate(targets):
            shift = 0.06 * (i - (len(targets) - 1) / 2)
            _draw_months(ax, own[own["target_NM"] == target], target, place, shift, settings)
        if is_logarithmic(own["median"], metric):
            ax.set_yscale("log")
        for gap in gaps:
            ax.axvline(gap, color=NEUTRAL, linewidth=0.8, linestyle=":", zorder=0)
        names = [str(month) if not i % step else "" for i, month in enumerate(place)]
        ax.set_xticks(range(len(place)), names, rotation=35, ha="right", fontsize=SMALL)
        ax.set_xlim(-0.5, len(place) - 0.5)
        ax.set_ylabel(metric_label(metric, exponent).replace(" (", "\n("), fontsize=SMALL)
    figure.supxlabel("Month of recording", fontsize=8)
    target_legend(figure, targets, settings)
    if not counts:  # of the metric that most have, so that no recording counts twice
        counts = {"recordings": int(table.groupby("metric")["n_recordings"].sum().max())}
    note = "median of the month's recordings; bars: quartiles"
    if gaps:
        note += "; only months with recordings have room, dotted: months left out"
    give_title(figure, f"Quality of {band} over time", counts=counts, note=note)
    return figure


def _draw_months(
    ax: Axes,
    own: pd.DataFrame,
    target: str,
    place: Mapping[pd.Period, int],
    shift: float,
    settings: Settings,
) -> None:
    if not len(own):
        return
    own = own.set_index(pd.PeriodIndex(own["month"], freq="M")).sort_index()
    own = own[_QUARTILES].astype(float)
    own = own.reindex(pd.period_range(own.index[0], own.index[-1], freq="M"))
    x = np.array([place.get(month, np.nan) for month in own.index]) + shift
    style = target_style(target, settings)
    ax.vlines(x, own["q25"], own["q75"], color=style["color"], linewidth=0.7)
    ax.plot(x, own["median"], markersize=3, linewidth=1.0, label=target, **style)


def trend_counts(
    values: pd.DataFrame, performance: pd.DataFrame, *, settings: Settings | None = None
) -> dict[str, int]:
    """As `quality_counts`, of the recordings that have a place in the figure.

    Parameters
    ----------
    values : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_VALUES`.
    performance : DataFrame
        ``eid``, ``n_trials``.
    """
    placed = values.dropna(subset=["target_NM", "start_time"])
    return quality_counts(placed, performance)


@or_no_data("Principal components of the quality metrics")
def qc_components_figure(
    scores: pd.DataFrame,
    components: pd.DataFrame,
    *,
    band: str = SIGNAL_BAND,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Recordings on the first two principal components of the metrics, and the loadings.

    Parameters
    ----------
    scores : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_SCORES`.
    components : DataFrame
        Schema `iblnm.analysis.quality.tables.QC_COMPONENTS`.
    band : str
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    scores = need_rows(scores, ("component", "score"), "components of quality")
    scores = need_rows(scores[scores["band"] == band], (), f"components of {band}")
    components = components[components["band"] == band]
    scores = scores.assign(target_NM=scores["target_NM"].astype(object).fillna("unknown"))
    wide = scores.pivot_table(
        index=["eid", "fiber_idx", "target_NM"], columns="component", values="score"
    )
    wide = wide.reindex(columns=[1, 2])
    ratio = components.groupby("component")["explained_variance_ratio"].first()
    figure = new_figure(7.2, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 0.8))
    for ax in (left, right):
        plain_axes(ax).tick_params(labelsize=SMALL)
        zero_line(ax, axis="x")
    zero_line(left)
    labels = wide.index.get_level_values("target_NM")
    targets = ordered_targets(labels, settings)
    for target in targets:
        own = wide[labels == target]
        style = {**target_style(target, settings), "linestyle": "none"}
        left.plot(own[1], own[2], markersize=4, label=target, **style)
    for k, name in ((1, left.set_xlabel), (2, left.set_ylabel)):
        name(f"PC{k} ({100 * ratio.get(k, np.nan):.0f} % of variance; s.d.)", fontsize=8)
    _draw_loadings(right, components)
    target_legend(figure, targets, settings)
    note = f"{band}; recordings in which every metric has a value, metrics standardized"
    title = "Principal components of the quality metrics"
    give_title(figure, title, scores, counts, note)
    return figure


def _draw_loadings(ax: Axes, components: pd.DataFrame) -> None:
    wide = components.pivot_table(index="metric", columns="component", values="loading")
    wide = wide.reindex(index=in_order(wide.index), columns=[1, 2])
    y = np.arange(len(wide))
    ax.barh(y - 0.18, wide[1], 0.34, color="#4d4d4d", label="PC1")
    ax.barh(y + 0.18, wide[2], 0.34, color="white", edgecolor="#4d4d4d", label="PC2")
    ax.set_yticks(y, [name.replace("_", " ") for name in wide.index], fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlabel("Loading (unit vector)", fontsize=8)
    ax.legend(fontsize=SMALL, frameon=False)
