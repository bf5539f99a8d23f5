"""Response vectors: mean response per condition, animals and their mean, per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.panels import (
    CONTRAST_LABEL,
    EVENT_LABELS,
    SMALL,
    NoDataError,
    give_title,
    label_outer,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    response_label,
    zero_line,
)
from iblnm.vis.style import NEUTRAL, ordered_targets, target_color, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parse_features(names: Sequence[str]) -> pd.DataFrame:
    """Event, contrast, side and outcome of the response matrix's columns.

    Returns
    -------
    DataFrame
        ``feature``, ``event``, ``contrast`` (%), ``side``, ``outcome``; ordered by event,
        side (contra first), outcome (correct first) and contrast. Other names are left out.

    Examples
    --------
    >>> parse_features(["stimOn_c6.25_contra_correct"]).loc[0, "contrast"]
    np.float64(6.25)
    """
    pattern = r"(?P<event>[A-Za-z]+)_c(?P<contrast>[\d.]+)_(?P<side>contra|ipsi)_(?P<outcome>\w+)"
    names = pd.Series(list(names), dtype="string")
    parts = names.str.extract(f"^{pattern}$").assign(feature=names).dropna()
    parts["contrast"] = parts["contrast"].astype(float)
    order = {"stimOn": 0, "firstMovement": 1, "feedback": 2}
    parts["_event"] = parts["event"].map(order).fillna(len(order))
    by = ["_event", "event", "side", "outcome", "contrast"]
    parts = parts.sort_values(by).drop(columns="_event").reset_index(drop=True)
    return parts[["feature", "event", "contrast", "side", "outcome"]]


@or_no_data("Response vectors")
def response_vectors_figure(
    matrix: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Mean response per condition: a row of panels per target, a column per event.

    Parameters
    ----------
    matrix : DataFrame
        Schema `iblnm.analysis.vectors.tables.RESPONSE_MATRIX`; its identity as columns or index.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Thin lines: animals, the mean of their recordings; thick: mean of animals and SEM.
    """
    matrix = matrix.reset_index() if "target_NM" not in matrix else matrix
    matrix = need_rows(matrix, ("target_NM",), "response matrix")
    features = parse_features(matrix.columns)
    if not len(features):
        raise NoDataError(f"none of {matrix.shape[1]} columns of the matrix is a condition")
    targets = ordered_targets(matrix["target_NM"], settings)
    events = list(dict.fromkeys(features["event"]))
    figure, axes = panel_grid(
        len(targets), len(events), size=(3.9, 1.15), share_x="col", extra=(0.8, 1.5)
    )
    unit = "subject" if "subject" in matrix else "eid"
    for i, target in enumerate(targets):
        own = matrix[matrix["target_NM"] == target]
        animals = own.groupby(unit, observed=True)[features["feature"].tolist()].mean()
        for ax, event in zip(axes[i], events, strict=True):
            zero_line(ax)
            _draw_vectors(ax, animals, features[features["event"] == event], target, settings)
            if event == events[0]:
                panel_title(ax, f"{target} ({len(animals)})", target_color(target, settings))
    for ax, event in zip(axes[-1], events, strict=True):
        _condition_axis(ax, features[features["event"] == event])
        at = EVENT_LABELS.get(f"{event}_times", event)
        ax.set_xlabel(f"{CONTRAST_LABEL} at {at}", fontsize=8, labelpad=24)
    label_outer(figure, y=response_label(settings))
    note = "thin: animals (number in brackets); thick: their mean ± SEM"
    give_title(figure, "Response vectors per target", matrix, counts, note)
    return figure


def _draw_vectors(
    ax: Axes, animals: pd.DataFrame, features: pd.DataFrame, target: str, settings: Settings
) -> None:
    style = target_style(target, settings)
    start = 0
    for _, block in features.groupby(["side", "outcome"], sort=False):
        x = start + np.arange(len(block))
        values = animals[block["feature"].tolist()].to_numpy(dtype=float)
        ax.plot(x, values.T, color=NEUTRAL, linewidth=0.5)
        mean, sem = mean_and_sem(values)
        ax.errorbar(x, mean, sem, markersize=3, linewidth=1.2, label=target, **style)
        start += len(block) + 1


def _condition_axis(ax: Axes, features: pd.DataFrame) -> None:
    ticks, labels, start = [], [], 0
    for (side, outcome), block in features.groupby(["side", "outcome"], sort=False):
        ticks += list(range(start, start + len(block)))
        labels += [f"{contrast:g}" for contrast in block["contrast"]]
        middle = start + (len(block) - 1) / 2
        ax.text(
            middle,
            -0.3,
            f"{side}\n{outcome}",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=SMALL,
        )
        start += len(block) + 1
    ax.set_xticks(ticks, labels, fontsize=5.5, rotation=90)
