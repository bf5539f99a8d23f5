"""Similarity of response vectors: between recordings, between targets, within and between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.result import count_units
from iblnm.config import Settings
from iblnm.vis.marks import cell_text, color_bar, draw_matrix, target_strips
from iblnm.vis.panels import (
    SMALL,
    NoDataError,
    give_title,
    need_rows,
    or_no_data,
    panel_title,
)
from iblnm.vis.style import INK, NEUTRAL, new_figure, ordered_targets, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSINE = "Cosine similarity"
ALL_TARGETS = "all"
IDENTITY = ("eid", "target_NM", "fiber_idx", "subject")
KINDS = ("within, other animal", "within, same animal", "between, other animal")
KINDS = (*KINDS, "between, same animal")
_N_BINS = 41


def sorted_by_target(
    similarity: pd.DataFrame, labels: Sequence[str], settings: Settings
) -> tuple[pd.DataFrame, list[str]]:
    """Rows and columns grouped by target, in the order of the settings."""
    targets = ordered_targets(labels, settings)
    order = np.argsort([targets.index(label) for label in labels], kind="stable")
    return similarity.iloc[order, order], [labels[i] for i in order]


@or_no_data("Similarity of response vectors")
def similarity_matrix_figure(
    similarity: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Similarity of every two recordings, grouped by target.

    Parameters
    ----------
    similarity : DataFrame
        Schema `iblnm.analysis.similarity.tables.SIMILARITY_MATRIX`, or a square table with the
        level ``target_NM`` in its index (see `iblnm.analysis.cosine_similarity_matrix`).
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    if not len(similarity):
        raise NoDataError("no recording has a complete response vector")
    if "target_NM" in similarity:
        similarity = similarity.set_index([name for name in IDENTITY if name in similarity])
    labels = [str(label) for label in similarity.index.get_level_values("target_NM")]
    ordered, names = sorted_by_target(similarity, labels, settings)
    figure = new_figure(5.4, 4.9)
    ax = figure.add_subplot()
    image = draw_matrix(ax, ordered, ticks=False)
    ax.set_aspect("equal")
    target_strips(ax, names, settings)
    color_bar(figure, image, ax, COSINE)
    ax.set_xlabel("Recording (grouped by target)", fontsize=8, labelpad=14)
    title = "Similarity of the response vectors of recordings"
    give_title(figure, title, similarity.index.to_frame(index=False), counts)
    return figure


def pair_kinds(pairs: pd.DataFrame) -> pd.Series:
    """Of each pair: within or between targets, of the same animal or of others."""
    same = pairs["same_subject"].astype("boolean").fillna(False)
    who = same.map({True: "same animal", False: "other animal"}).astype(object)
    return pairs["comparison"].astype(object) + ", " + who


@or_no_data("Similarity of targets")
def target_similarity_figure(
    means: pd.DataFrame,
    pairs: pd.DataFrame,
    contrasts: pd.DataFrame | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Mean similarity of every two targets, and the pairs within and between targets.

    Parameters
    ----------
    means : DataFrame
        Schema `iblnm.analysis.similarity.tables.TARGET_SIMILARITY`.
    pairs : DataFrame
        Schema `iblnm.analysis.similarity.tables.SIMILARITY_PAIRS`.
    contrasts : DataFrame, optional
        Schema `iblnm.analysis.similarity.tables.SIMILARITY_CONTRASTS`; the difference over all
        targets and its p stand in the title.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Left: pairs of different animals only; middle: all pairs; right: distribution of the
        pairs. Pairs share recordings and animals: the spread of pairs is no standard error.
    """
    pairs = need_rows(pairs, ("target_i", "target_j", "similarity"), "pairs of recordings")
    targets = ordered_targets({*means["target_i"], *means["target_j"]}, settings)
    figure = new_figure(9.4, 3.4)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 0.95))
    columns = {"similarity_other_subjects": "Pairs of two animals", "similarity": "All pairs"}
    for ax, (name, title) in zip(axes[:2], columns.items(), strict=True):
        square = means.pivot_table(index="target_i", columns="target_j", values=name)
        square = square.reindex(index=targets, columns=targets)
        texts = square.map(cell_text)
        image = draw_matrix(ax, square, texts=texts)
        ax.set_aspect("equal")
        panel_title(ax, title)
    color_bar(figure, image, list(axes[:2]), f"Mean {COSINE.lower()}")
    kinds = pair_kinds(pairs)
    ax = plain_axes(axes[2])
    bins = np.linspace(-1, 1, _N_BINS)
    looks = (
        {"color": INK, "linestyle": "-"},
        {"color": INK, "linestyle": ":"},
        {"color": "#d55e00", "linestyle": "-"},
        {"color": "#d55e00", "linestyle": ":"},
    )
    for kind, look in zip(KINDS, looks, strict=True):
        values = pairs.loc[kinds == kind, "similarity"].to_numpy(dtype=float)
        if len(values):
            weights = np.full(len(values), 100 / len(values))
            label = f"{kind} ({len(values):,})"
            ax.hist(values, bins, weights=weights, histtype="step", lw=1.2, label=label, **look)
    ax.axvline(0, color=NEUTRAL, lw=0.6, zorder=0)
    ax.set_xticks([-1, -0.5, 0, 0.5, 1])
    ax.set_xlabel(COSINE, fontsize=8)
    ax.set_ylabel("Pairs of recordings (%)", fontsize=8)
    ax.tick_params(labelsize=SMALL)
    ax.legend(fontsize=6.5, frameon=False, loc="lower left", bbox_to_anchor=(-0.05, 1.0))
    numbers = {**(counts or {}), **_pair_counts(pairs)}
    note = _contrast_text(contrasts, settings)
    give_title(figure, "Similarity of targets", counts=numbers, note=note)
    return figure


def _contrast_text(contrasts: pd.DataFrame | None, settings: Settings) -> str:
    if contrasts is None or not (contrasts["target_NM"] == ALL_TARGETS).any():
        return ""
    row = contrasts[contrasts["target_NM"] == ALL_TARGETS].iloc[0]
    text = f"within − between {row['difference']:.2f}"
    if pd.notna(row["low"]):
        text += f" ({row['low']:.2f} to {row['high']:.2f})"
    return (
        text + (f", p = {row['p']:.2g}" if pd.notna(row["p"]) else "") + ", pairs of two animals"
    )


def _pair_counts(pairs: pd.DataFrame) -> dict[str, int]:
    names = ("eid", "fiber_idx", "subject")
    sides = [
        pairs[[f"{name}_{which}" for name in names]].set_axis(names, axis=1) for which in "ij"
    ]
    numbers = count_units(pd.concat(sides))
    return {unit: number for unit, number in numbers.items() if number}
