"""Similarity of response vectors: between recordings, between targets, within and between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.vis.marks import color_bar, draw_matrix, target_strips
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
    labels: Sequence[str] | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Similarity of every two recordings, grouped by target.

    Parameters
    ----------
    similarity : DataFrame, shape (n, n)
        See `iblnm.analysis.cosine_similarity_matrix`.
    labels : sequence of str, length n, optional
        Target of each recording; by default the level ``target_NM`` of the index.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings, optional
    """
    settings = settings or get_settings()
    if not len(similarity):
        raise NoDataError("no recording has a complete response vector")
    if labels is None:
        labels = similarity.index.get_level_values("target_NM")
    ordered, names = sorted_by_target(similarity, [str(label) for label in labels], settings)
    figure = new_figure(5.4, 4.9)
    ax = figure.add_subplot()
    image = draw_matrix(ax, ordered, ticks=False)
    ax.set_aspect("equal")
    target_strips(ax, names, settings)
    color_bar(figure, image, ax, COSINE)
    ax.set_xlabel("Recording (grouped by target)", fontsize=8, labelpad=14)
    found = {"recordings": len(similarity)}
    for unit, level in (("subjects", "subject"), ("sessions", "eid")):
        if level in similarity.index.names:
            found[unit] = similarity.index.get_level_values(level).nunique()
    title = "Similarity of the response vectors of recordings"
    give_title(figure, title, counts={**(counts or {}), **found})
    return figure


def pair_kinds(pairs: pd.DataFrame) -> pd.Series:
    """Of each pair: within or between targets, of the same animal or of others."""
    same = pairs["same_subject"].astype("boolean").fillna(False)
    who = same.map({True: "same animal", False: "other animal"}).astype(object)
    return pairs["comparison"].astype(object) + ", " + who


def target_means(
    pairs: pd.DataFrame, *, same_animals: bool, targets: Sequence[str]
) -> pd.DataFrame:
    """Mean similarity of the pairs of every two targets, with or without same-animal pairs."""
    known = pairs[pairs["similarity"].notna()]
    if not same_animals:
        known = known[~known["same_subject"].astype("boolean").fillna(False).astype(bool)]
    both = known.rename(columns={"target_i": "target_j", "target_j": "target_i"})
    mixed = known["target_i"].astype(str) != known["target_j"].astype(str)
    both = pd.concat([known, both[mixed.to_numpy()]])
    named = both.assign(**{name: both[name].astype(str) for name in ("target_i", "target_j")})
    means = named.pivot_table(index="target_i", columns="target_j", values="similarity")
    return means.reindex(index=targets, columns=targets)


@or_no_data("Similarity of targets")
def target_similarity_figure(
    pairs: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Mean similarity of every two targets, and the pairs within and between targets.

    Parameters
    ----------
    pairs : DataFrame
        Schema `iblnm.schemas.discrimination.SIMILARITY_PAIRS`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings, optional

    Returns
    -------
    Figure
        Left: pairs of different animals only; middle: all pairs; right: distribution of the
        pairs. Pairs share recordings and animals: the spread of pairs is no standard error.
    """
    settings = settings or get_settings()
    pairs = need_rows(pairs, ("target_i", "target_j", "similarity"), "pairs of recordings")
    targets = ordered_targets(
        {*pairs["target_i"].astype(str), *pairs["target_j"].astype(str)}, settings
    )
    figure = new_figure(9.4, 3.4)
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 0.95))
    images = []
    for ax, same, title in ((axes[0], False, "Other animals"), (axes[1], True, "All pairs")):
        means = target_means(pairs, same_animals=same, targets=targets)
        texts = means.map(lambda value: "" if np.isnan(value) else f"{value:.2f}")
        images.append(draw_matrix(ax, means, texts=texts))
        ax.set_aspect("equal")
        panel_title(ax, title)
    color_bar(figure, images[0], list(axes[:2]), f"Mean {COSINE.lower()}")
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
    give_title(figure, "Similarity of targets", counts={**(counts or {}), **_pair_counts(pairs)})
    return figure


def _pair_counts(pairs: pd.DataFrame) -> dict[str, int]:
    found = {}
    for unit, name in (("subjects", "subject"), ("sessions", "eid")):
        if f"{name}_i" in pairs:
            found[unit] = len({*pairs[f"{name}_i"], *pairs[f"{name}_j"]})
    if "i" in pairs:
        found["recordings"] = len({*pairs["i"], *pairs["j"]})
    return found
