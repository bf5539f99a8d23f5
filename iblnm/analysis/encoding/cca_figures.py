"""Canonical correlation of encoding and behavior: weights, projections, targets compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.analysis.lmm.figures import ordered_events
from iblnm.analysis.result import count_units
from iblnm.config import Settings
from iblnm.vis.marks import cell_text, color_bar, draw_matrix, spread_positions
from iblnm.vis.panels import (
    EVENT_LABELS,
    SMALL,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    target_legend,
    zero_line,
)
from iblnm.vis.style import (
    new_figure,
    ordered_targets,
    target_color,
    target_style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {"encoding": "Encoding of the response", "behavior": "Psychometric parameters"}
_WITHIN = "p_within_subject_corrected"
_ROUND_OFF = 1e-6
_ROOM_FOR_TEXT = 0.45
VARIANTS = {"plain": "without penalty", "elastic_net": "with elastic net"}


def _of_variant(table: pd.DataFrame, variant: str, what: str) -> pd.DataFrame:
    table = need_rows(table, (), what)
    return need_rows(table[table["variant"] == variant], (), f"{what} {VARIANTS[variant]}")


def cca_counts(
    projections: pd.DataFrame,
    coefficients: pd.DataFrame,
    *,
    variant: str = "plain",
    settings: Settings | None = None,
) -> dict[str, int]:
    """Animals, sessions and recordings of the canonical pairs, and trials of their models.

    Parameters
    ----------
    projections : DataFrame
        Schema `iblnm.analysis.encoding.tables.CCA_PROJECTIONS`.
    coefficients : DataFrame
        Schema `iblnm.analysis.encoding.tables.GLM_COEFFICIENTS`.
    variant : {'plain', 'elastic_net'}
    """
    own = projections[projections["variant"] == variant]
    keys = ["eid", "fiber_idx"]
    models = coefficients.merge(own[keys].drop_duplicates(), on=keys)
    trials = models.groupby("eid")["n_trials"].max().sum()
    return count_units(own, trials=int(trials))


@or_no_data("Canonical weights")
def cca_weights_figure(
    weights: pd.DataFrame,
    *,
    variant: str = "plain",
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Weights of the features on the first canonical pair: a row per event, a column per view.

    Parameters
    ----------
    weights : DataFrame
        Schema `iblnm.analysis.encoding.tables.CCA_WEIGHTS`.
    variant : {'plain', 'elastic_net'}
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    table = _of_variant(weights, variant, "canonical weights")
    table = need_rows(table, ("weight",), "canonical weights")
    events, targets = ordered_events(table["event"]), ordered_targets(table["target_NM"], settings)
    features = {view: list(pd.unique(table[table["view"] == view]["feature"])) for view in VIEWS}
    most = max(len(names) for names in features.values())
    height = 0.5 + 0.13 * most * max(len(targets), 2)
    figure, axes = panel_grid(
        len(events), 2, size=(2.6, height), share_x=False, share_y=False, extra=(2.6, 1.0)
    )
    offsets = dict(zip(targets, spread_positions(len(targets)), strict=True))
    for i, event in enumerate(events):
        for ax, (view, label) in zip(axes[i], VIEWS.items(), strict=True):
            zero_line(ax, axis="x")
            row = {name: k for k, name in enumerate(features[view])}
            chosen = table[(table["event"] == event) & (table["view"] == view)]
            for target, own in chosen.groupby("target_NM", observed=True):
                y = own["feature"].map(row).to_numpy(dtype=float) + offsets[target]
                style = {**target_style(target, settings), "linestyle": "none"}
                ax.hlines(y, 0, own["weight"], color=style["color"], linewidth=0.9)
                ax.plot(own["weight"], y, markersize=4, label=target, **style)
            names = [str(name).replace("_", " ").replace(":", " × ") for name in row]
            ax.set_yticks(range(len(names)), names, fontsize=SMALL)
            ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
            panel_title(ax, f"{label}, {EVENT_LABELS.get(event, event)}")
            if i == len(events) - 1:
                ax.set_xlabel("Weight of the standardized feature", fontsize=8)
    target_legend(figure, targets, settings)
    title = f"Canonical correlation {VARIANTS[variant]}: weights of the first pair"
    give_title(figure, title, counts=counts, note="signs common to all targets")
    return figure


@or_no_data("Canonical projections")
def cca_projections_figure(
    projections: pd.DataFrame,
    results: pd.DataFrame | None = None,
    *,
    variant: str = "plain",
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Scores of the recordings on the first pair: a row per event, a column per target.

    Parameters
    ----------
    projections : DataFrame
        Schema `iblnm.analysis.encoding.tables.CCA_PROJECTIONS`.
    results : DataFrame, optional
        Schema `CCA_RESULTS`; correlations and corrected p are written
        in the panels.
    variant : {'plain', 'elastic_net'}
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    table = _of_variant(projections, variant, "canonical scores")
    table = need_rows(table, ("encoding_score", "behaviour_score"), "canonical scores")
    events, targets = ordered_events(table["event"]), ordered_targets(table["target_NM"], settings)
    figure, axes = panel_grid(
        len(events), len(targets), size=(1.7, 1.75), share_x=False, share_y=False, extra=(0.8, 1.1)
    )
    for i, event in enumerate(events):
        for ax, target in zip(axes[i], targets, strict=True):
            own = table[(table["event"] == event) & (table["target_NM"] == target)]
            style = {**target_style(target, settings), "linestyle": "none"}
            ax.plot(own["encoding_score"], own["behaviour_score"], ms=3.5, label=target, **style)
            ax.margins(0.08)
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + _ROOM_FOR_TEXT * (high - low))
            if i == 0:
                panel_title(ax, target, target_color(target, settings))
            text = _result_text(results, (event, variant, target), len(own))
            ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=6.5)
        at = EVENT_LABELS.get(event, event)
        axes[i, 0].set_ylabel(f"At {at}\nBehaviour score (s.d.)", fontsize=8)
    label_outer(figure, "Encoding score (s.d.)")
    title = f"Canonical correlation {VARIANTS[variant]}: recordings on the first pair"
    note = ""
    if results is not None:
        within = ", p of permutations within animals" if _WITHIN in results else ""
        note = f"r in animals held out{within}; below, r in sample and p of permutations of whole "
        note += "sessions; all p corrected"
    give_title(figure, title, table, counts, note)
    return figure


def _result_text(results: pd.DataFrame | None, key: tuple[str, str, str], n: int) -> str:
    """Held-out correlation and p within animals first; in sample and whole sessions after."""
    if results is None or not len(results):
        return f"n = {n}"
    found = results.set_index(["event", "variant", "target_NM"])
    if key not in found.index:
        return f"n = {n}"
    row = found.loc[key]
    if _is_one_by_construction(row):
        return f"not identified:\n{n} recordings ≤ features"
    held_out, within = row.get("correlation_held_out"), row.get(_WITHIN)
    sample, whole = row.get("correlation"), row.get("p_corrected")
    first = f"held-out r = {held_out:.2f}, " if pd.notna(held_out) else ""
    lines = [f"{first}n = {n}"]
    if pd.notna(within):
        lines.append(f"p = {within:.2g} within animals")
    after = [f"in-sample r = {sample:.2f}"] if pd.notna(sample) else []
    after += [f"p = {whole:.2g}"] if pd.notna(whole) else []
    return "\n".join([*lines, *([", ".join(after)] if after else [])])


def _is_one_by_construction(row: pd.Series) -> bool:
    """Whether permuted data are perfectly correlated too: as many features as recordings."""
    null = row.get("null_median")
    return bool(pd.notna(null) and null > 1 - _ROUND_OFF)


@or_no_data("Canonical correlation across targets")
def cca_targets_figure(
    cross: pd.DataFrame,
    similarities: pd.DataFrame,
    *,
    variant: str = "plain",
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Do the weights of one target hold in another? A row per event.

    Parameters
    ----------
    cross : DataFrame
        Schema `iblnm.analysis.encoding.tables.CCA_CROSS_PROJECTIONS`.
    similarities : DataFrame
        Schema `iblnm.analysis.encoding.tables.CCA_WEIGHT_SIMILARITIES`.
    variant : {'plain', 'elastic_net'}
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Left: correlation of the scores that the weights of one target (columns) give in the
        recordings of another (rows); on the diagonal, in sample. Middle and right: cosine of
        the weights.
    """
    cross = _of_variant(cross, variant, "projections across targets")
    similarities = _of_variant(similarities, variant, "similarities of weights")
    events = ordered_events(cross["event"])
    targets = ordered_targets({*cross["data_target"], *cross["weights_target"]}, settings)
    figure = new_figure(9.0, 0.8 + 2.7 * len(events))
    axes = figure.subplots(len(events), 3, squeeze=False)
    for row, event in zip(axes, events, strict=True):
        own = similarities[similarities["event"] == event]
        tables = [
            cross[cross["event"] == event].pivot_table(
                index="data_target", columns="weights_target", values="correlation"
            )
        ]
        tables += [
            own[own["view"] == view].pivot_table(
                index="target_a", columns="target_b", values="cosine"
            )
            for view in VIEWS
        ]
        titles = ("Correlation, weights of column", "Cosine, encoding", "Cosine, behavior")
        for ax, table, title in zip(row, tables, titles, strict=True):
            square = table.reindex(index=targets, columns=targets)
            texts = square.map(cell_text)
            image = draw_matrix(ax, square, texts=texts)
            ax.set_aspect("equal")
            panel_title(ax, title)
        row[0].set_ylabel(f"At {EVENT_LABELS.get(event, event)}\nRecordings of", fontsize=8)
    color_bar(figure, image, axes, "Correlation or cosine")
    title = f"Canonical correlation {VARIANTS[variant]} across targets"
    give_title(figure, title, counts=counts, note="diagonal of the left panels: in sample")
    return figure
