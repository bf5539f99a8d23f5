"""Figures of how much data there is: sessions, insertions, units, pairs recorded together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.layers.items import STATES, STATUS_COLUMNS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {STATES[0]: 0, STATES[1]: 1, STATES[2]: 2}
_PALETTE = ("#3a7d44", "#e0a030", "#c9c9c9", "#ffffff")
_NOT_NOTED = "not noted"
_ANNOTATED_REGIONS = 12


def overview_figures(
    sessions: pd.DataFrame, insertions: pd.DataFrame, units: pd.DataFrame
) -> dict[str, Figure]:
    """All figures by name.

    Parameters
    ----------
    sessions, insertions, units : DataFrame
        Tables over all sessions.
    """
    conditions = sessions.set_index("eid")["condition"].astype(object).fillna(_NOT_NOTED)
    return {
        "dataset_status": status_figure(sessions),
        "insertions": insertions_figure(insertions, conditions),
        "units": units_figure(units, conditions),
        "pairs": pairs_figure(units),
    }


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def status_codes(sessions: pd.DataFrame) -> np.ndarray:
    """(sessions, 38) codes: 0 there, 1 extraction error or no, 2 missing, 3 not known."""

    def code(name: str, value: Any) -> int:
        if value is None or value is pd.NA or value != value:
            return 3
        if isinstance(value, bool | np.bool_):
            return 0 if value else 2
        if value in _COLORS:
            return _COLORS[value]
        if name.endswith("_sorter") and not value:
            return 2
        return 0 if value else 3

    rows = sessions[list(STATUS_COLUMNS)].to_numpy(object)
    return np.array(
        [[code(*item) for item in zip(STATUS_COLUMNS, row, strict=True)] for row in rows]
    ).reshape(len(sessions), len(STATUS_COLUMNS))


def status_figure(sessions: pd.DataFrame) -> Figure:
    """Sessions × 38 items."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    figure, axes = _axes(11, 3 + 0.12 * min(len(sessions), 200))
    axes.imshow(
        status_codes(sessions),
        aspect="auto",
        cmap=ListedColormap(_PALETTE),
        vmin=0,
        vmax=3,
        interpolation="nearest",
    )
    axes.set_xticks(range(len(STATUS_COLUMNS)), STATUS_COLUMNS, rotation=90, fontsize=7)
    axes.set_ylabel(f"session (n = {len(sessions)})")
    names = ("there", "extraction error", "missing, or no", "not known, or not to be asked")
    handles = [Patch(fc=c, ec="0.5", label=n) for c, n in zip(_PALETTE, names, strict=True)]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    return figure


def insertions_figure(insertions: pd.DataFrame, conditions: pd.Series) -> Figure:
    """Insertions per animal and condition."""
    return _stacked(
        insertions.assign(condition=insertions["eid"].map(conditions).astype(object)),
        "subject",
        "insertions",
    )


def units_figure(units: pd.DataFrame, conditions: pd.Series) -> Figure:
    """Units per coarse region and condition."""
    table = units.assign(condition=units["eid"].map(conditions).astype(object))
    region = table["coarse_region"].astype(object).fillna("not located")
    return _stacked(table.assign(coarse_region=region), "coarse_region", "units")


def _stacked(table: pd.DataFrame, by: str, what: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    counts = pd.crosstab(table[by].astype(object), table["condition"].fillna(_NOT_NOTED))
    noted = [condition for condition in counts if condition != _NOT_NOTED]
    figure, axes = _axes(4 + 0.3 * max(len(counts), 1), 3.5)
    bottom = np.zeros(len(counts))
    for condition in [*noted, *counts.columns.difference(noted)]:
        color = "0.75" if condition == _NOT_NOTED else f"C{noted.index(condition)}"
        axes.bar(
            range(len(counts)), counts[condition], bottom=bottom, label=condition, color=color
        )
        bottom += counts[condition].to_numpy()
    axes.set_xticks(range(len(counts)), counts.index, rotation=90)
    axes.set_ylabel(f"{what} (n = {len(table)})")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(counts):
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def pair_counts(units: pd.DataFrame) -> pd.DataFrame:
    """Pairs of units recorded at once, by the coarse regions of both."""
    known = units.dropna(subset=["coarse_region"])
    counts = pd.crosstab(known["eid"].astype(object), known["coarse_region"].astype(object))
    n = counts.to_numpy(dtype=np.int64)
    pairs = n.T @ n
    np.fill_diagonal(pairs, (n * (n - 1) // 2).sum(axis=0))
    return pd.DataFrame(pairs, counts.columns, counts.columns)


def pairs_figure(units: pd.DataFrame) -> Figure:
    """Co-recorded pairs of units."""
    pairs = pair_counts(units)
    figure, axes = _axes(5, 4)
    if len(pairs):
        image = axes.imshow(np.log10(1 + pairs), cmap="viridis", vmin=0)
        figure.colorbar(image, label="log10(1 + pairs)")
        axes.set_xticks(range(len(pairs)), pairs.columns, rotation=90)
        axes.set_yticks(range(len(pairs)), pairs.columns)
    if len(pairs) <= _ANNOTATED_REGIONS:
        for (row, column), n in np.ndenumerate(pairs.to_numpy()):
            color = "k" if np.log10(1 + n) > 0.7 * image.get_clim()[1] else "w"
            axes.text(column, row, f"{n:,}", ha="center", va="center", fontsize=7, color=color)
    axes.set_title("pairs of units recorded at once", fontsize=9)
    return figure
