"""Quality metrics together and over time: principal components, trend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.vis.panels import (
    SMALL,
    NoDataError,
    give_title,
    need_rows,
    or_no_data,
    target_legend,
    wrapped_grid,
    zero_line,
)
from iblnm.vis.quality import (
    SIGNAL,
    is_logarithmic,
    measured,
    metric_label,
    quality_counts,
)
from iblnm.vis.style import INK, new_figure, ordered_targets, plain_axes, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def monthly_medians(table: pd.DataFrame, metric: str) -> pd.Series:
    """Median of a metric over the recordings of each calendar month; index: its 15th day.

    Months without recordings are NaN.
    """
    known = table[table[metric].notna() & table["start_time"].notna()]
    month = known["start_time"].dt.tz_localize(None).dt.to_period("M")
    medians = known[metric].astype(float).groupby(month).median()
    if len(medians):
        medians = medians.reindex(pd.period_range(medians.index[0], medians.index[-1], freq="M"))
    return medians.set_axis(medians.index.to_timestamp() + pd.Timedelta(days=14))


@or_no_data("Quality over time")
def qc_trend_figure(
    table: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Every metric of the signal band by day of recording, with the median of each month.

    Parameters
    ----------
    table : DataFrame
        See `iblnm.vis.quality.qc_recordings`.
    counts : mapping, optional
        Numbers for the title; counted in the table by default.
    settings : Settings, optional
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    settings = settings or get_settings()
    table = need_rows(table, ("band", "start_time"), "quality metrics")
    table = need_rows(table[table["band"] == SIGNAL], ("target_NM",), f"{SIGNAL} metrics")
    metrics = measured(table)
    figure, axes = wrapped_grid(
        len(metrics), columns=3, size=(2.6, 1.7), share_y=False, extra=(1.5, 1.0)
    )
    for ax, metric in zip(axes, metrics, strict=True):
        for target, own in table.groupby("target_NM", observed=True):
            style = {**target_style(target, settings), "linestyle": "none"}
            ax.plot(own["start_time"].dt.tz_localize(None), own[metric], markersize=2.5, **style)
        medians = monthly_medians(table, metric)
        ax.plot(
            medians.index, medians, color=INK, linewidth=1.2, marker="_", label="monthly median"
        )
        if is_logarithmic(table[metric], metric):
            ax.set_yscale("log")
        locator = AutoDateLocator(maxticks=5)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        ax.set_ylabel(metric_label(metric), fontsize=SMALL)
    figure.supxlabel("Day of recording (date)", fontsize=8)
    target_legend(figure, table["target_NM"].unique(), settings)
    note = "points: recordings; line: median of each calendar month"
    give_title(
        figure, f"Quality of {SIGNAL} over time", table, quality_counts(table, counts), note
    )
    return figure


def quality_components(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """First two principal components of the standardised metrics.

    Parameters
    ----------
    table : DataFrame
        Metrics of one band; logarithms are taken where a metric spans a wide range.

    Returns
    -------
    scores : DataFrame
        ``PC1``, ``PC2`` of the rows in which every metric has a value; index as `table`.
    loadings : DataFrame
        One row per metric; the metrics that vary.
    ratio : array (2,)
        Share of variance explained.

    Raises
    ------
    NoDataError
        With fewer than three complete rows or two varying metrics.

    Notes
    -----
    ``sklearn.decomposition.PCA``, full SVD.
    """
    from sklearn.decomposition import PCA

    values = table[measured(table)].astype(float)
    for metric in [name for name in values if is_logarithmic(values[name], name)]:
        values[metric] = np.log10(values[metric].where(values[metric] > 0))
    values = values.dropna()
    values = values.loc[:, values.std() > 0] if len(values) > 1 else values
    if len(values) < 3 or values.shape[1] < 2:
        raise NoDataError(
            f"{len(values)} recordings have all metrics and {values.shape[1]} metrics vary; "
            "3 recordings and 2 metrics are needed"
        )
    standard = (values - values.mean()) / values.std()
    pca = PCA(n_components=2, svd_solver="full").fit(standard.to_numpy())
    names = ["PC1", "PC2"]
    scores = pd.DataFrame(pca.transform(standard.to_numpy()), values.index, names)
    loadings = pd.DataFrame(pca.components_.T, values.columns, names)
    return scores, loadings, pca.explained_variance_ratio_


@or_no_data("Principal components of the quality metrics")
def qc_components_figure(
    table: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Recordings on the first two principal components of the metrics, and the loadings.

    Parameters
    ----------
    table : DataFrame
        See `iblnm.vis.quality.qc_recordings`; the signal band is used.
    counts : mapping, optional
        Numbers for the title; counted in the rows used by default.
    settings : Settings, optional
    """
    settings = settings or get_settings()
    table = need_rows(table, ("band",), "quality metrics")
    table = need_rows(table[table["band"] == SIGNAL], ("target_NM",), f"{SIGNAL} metrics")
    scores, loadings, ratio = quality_components(table)
    used = table.loc[scores.index]
    figure = new_figure(7.2, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 0.8))
    for ax in (left, right):
        plain_axes(ax).tick_params(labelsize=SMALL)
        zero_line(ax, axis="x")
    zero_line(left)
    for target in ordered_targets(used["target_NM"], settings):
        own = scores[used["target_NM"] == target]
        style = {**target_style(target, settings), "linestyle": "none"}
        left.plot(own["PC1"], own["PC2"], markersize=4, label=target, **style)
    left.set_xlabel(f"PC1 ({100 * ratio[0]:.0f} % of variance), s.d.", fontsize=8)
    left.set_ylabel(f"PC2 ({100 * ratio[1]:.0f} % of variance), s.d.", fontsize=8)
    _draw_loadings(right, loadings)
    target_legend(figure, used["target_NM"].unique(), settings)
    note = f"{SIGNAL}; recordings in which every metric has a value, metrics standardised"
    title = "Principal components of the quality metrics"
    give_title(figure, title, used, quality_counts(used, counts), note)
    return figure


def _draw_loadings(ax: Axes, loadings: pd.DataFrame) -> None:
    y = np.arange(len(loadings))
    ax.barh(y - 0.18, loadings["PC1"], 0.34, color="#4d4d4d", label="PC1")
    ax.barh(y + 0.18, loadings["PC2"], 0.34, color="white", edgecolor="#4d4d4d", label="PC2")
    names = [name.replace("_", " ") for name in loadings.index]
    ax.set_yticks(y, names, fontsize=SMALL)
    ax.invert_yaxis()
    ax.set_xlabel("Loading (unit vector)", fontsize=8)
    ax.legend(fontsize=SMALL, frameon=False)
