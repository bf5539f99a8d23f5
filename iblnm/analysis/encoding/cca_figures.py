"""Canonical correlation of encoding and behavior: weights, projections, targets compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.figures import ordered_events
from iblnm.analysis.result import count_units
from iblnm.config import Settings
from iblnm.vis.marks import cell_text, color_bar, draw_matrix, spread_positions
from iblnm.vis.panels import (
    EVENT_LABELS,
    SMALL,
    NoDataError,
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIEWS = {"encoding": "Encoding of the response", "behavior": "Psychometric parameters"}
_WITHIN = "p_within_subject_corrected"
_ROUND_OFF = 1e-6
_ROOM_FOR_TEXT = 0.45
VARIANTS = {"plain": "without penalty", "elastic_net": "with elastic net"}


def _of_variant(table: pd.DataFrame, variant: str, what: str) -> pd.DataFrame:
    table = need_rows(table, (), what)
    return need_rows(table[table["variant"] == variant], (), f"{what} {VARIANTS[variant]}")


def not_identified(results: pd.DataFrame | None, variant: str) -> set[tuple[str, str]]:
    """Events and targets with a correlation of 1 whatever the data: no fewer features than rows.

    Parameters
    ----------
    results : DataFrame or None
        Schema `iblnm.analysis.encoding.tables.CCA_RESULTS`; of None nothing is known.
    variant : {'plain', 'elastic_net'}

    Returns
    -------
    set of (event, target_NM)
        Those whose permuted data are perfectly correlated too.
    """
    if results is None or "null_median" not in results:
        return set()
    own = results[results["variant"] == variant]
    null = own["null_median"].to_numpy(dtype=float, na_value=np.nan)
    chosen = own[null > 1 - _ROUND_OFF]
    return set(zip(chosen["event"], chosen["target_NM"], strict=True))


def _in_pairs(table: pd.DataFrame, column: str, pairs: set[tuple[str, str]]) -> np.ndarray:
    return np.array(
        [key in pairs for key in zip(table["event"], table[column], strict=True)], bool
    )


def _without(
    table: pd.DataFrame, results: pd.DataFrame | None, variant: str, what: str
) -> pd.DataFrame:
    """Rows of the targets whose correlation is identified."""
    left_out = not_identified(results, variant)
    kept = table[~_in_pairs(table, "target_NM", left_out)]
    if not len(kept):
        names = ", ".join(sorted({target for _, target in left_out}))
        raise NoDataError(f"{what} not identified, recordings ≤ features: {names}")
    return kept


def _left_out_note(pairs: set[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    by_target: dict[str, list[str]] = {}
    for event, target in sorted(pairs):
        by_target.setdefault(target, []).append(EVENT_LABELS.get(event, event))
    names = ", ".join(f"{target} at {' and '.join(at)}" for target, at in by_target.items())
    return f"not identified (recordings ≤ features), left out: {names}"


def cca_counts(
    projections: pd.DataFrame,
    coefficients: pd.DataFrame,
    results: pd.DataFrame | None = None,
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
    results : DataFrame, optional
        Schema `CCA_RESULTS`; what is not identified is not drawn, and not counted.
    variant : {'plain', 'elastic_net'}
    """
    own = projections[projections["variant"] == variant]
    own = own[~_in_pairs(own, "target_NM", not_identified(results, variant))]
    keys = ["eid", "fiber_idx"]
    models = coefficients.merge(own[keys].drop_duplicates(), on=keys)
    trials = models.groupby("eid")["n_trials"].max().sum()
    return count_units(own, trials=int(trials))


@or_no_data("Canonical weights")
def cca_weights_figure(
    weights: pd.DataFrame,
    results: pd.DataFrame | None = None,
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
    results : DataFrame, optional
        Schema `CCA_RESULTS`; weights of what is not identified are left out.
    variant : {'plain', 'elastic_net'}
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    table = _of_variant(weights, variant, "canonical weights")
    table = need_rows(table, ("weight",), "canonical weights")
    table = _without(table, results, variant, "canonical weights")
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
    left_out = _left_out_note(not_identified(results, variant))
    note = "; ".join(filter(None, ("signs common to all targets", left_out)))
    give_title(figure, title, counts=counts, note=note)
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
    left_out = not_identified(results, variant)
    drawn = _without(table, results, variant, "canonical scores")
    events, targets = ordered_events(table["event"]), ordered_targets(table["target_NM"], settings)
    figure, axes = panel_grid(
        len(events), len(targets), size=(1.7, 1.75), share_x=False, share_y=False, extra=(0.8, 1.1)
    )
    for i, event in enumerate(events):
        for ax, target in zip(axes[i], targets, strict=True):
            if i == 0:
                panel_title(ax, target, target_color(target, settings))
            own = table[(table["event"] == event) & (table["target_NM"] == target)]
            if (event, target) in left_out or not len(own):
                _say_nothing_is_drawn(ax, len(own))
                continue
            style = {**target_style(target, settings), "linestyle": "none"}
            ax.plot(own["encoding_score"], own["behaviour_score"], ms=3.5, label=target, **style)
            ax.margins(0.08)
            low, high = ax.get_ylim()
            ax.set_ylim(low, high + _ROOM_FOR_TEXT * (high - low))
            text = _result_text(results, (event, variant, target), len(own))
            ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=6.5)
        at = EVENT_LABELS.get(event, event)
        axes[i, 0].set_ylabel(f"At {at}\nBehavior score (s.d.)", fontsize=8)
    label_outer(figure, "Encoding score (s.d.)")
    title = f"Canonical correlation {VARIANTS[variant]}: recordings on the first pair"
    note = ""
    if results is not None:
        within = ", p of permutations within animals" if _WITHIN in results else ""
        note = f"r in animals held out{within}; below, r in sample and p of permutations of whole "
        note += "sessions; all p corrected"
    give_title(figure, title, drawn, counts, note)
    return figure


def _say_nothing_is_drawn(ax: Axes, n: int) -> None:
    text = f"not identified:\n{n} recordings ≤ features" if n else "no complete recordings"
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=6.5)
    ax.set_xticks([])
    ax.set_yticks([])


def _result_text(results: pd.DataFrame | None, key: tuple[str, str, str], n: int) -> str:
    """Held-out correlation and p within animals first; in sample and whole sessions after."""
    if results is None or not len(results):
        return f"n = {n}"
    found = results.set_index(["event", "variant", "target_NM"])
    if key not in found.index:
        return f"n = {n}"
    row = found.loc[key]
    held_out, within = row.get("correlation_held_out"), row.get(_WITHIN)
    sample, whole = row.get("correlation"), row.get("p_corrected")
    first = f"held-out r = {held_out:.2f}, " if pd.notna(held_out) else ""
    lines = [f"{first}n = {n}"]
    if pd.notna(within):
        lines.append(f"p = {within:.2g} within animals")
    after = [f"in-sample r = {sample:.2f}"] if pd.notna(sample) else []
    after += [f"p = {whole:.2g}"] if pd.notna(whole) else []
    return "\n".join([*lines, *([", ".join(after)] if after else [])])


@or_no_data("Canonical correlation across targets")
def cca_targets_figure(
    cross: pd.DataFrame,
    similarities: pd.DataFrame,
    results: pd.DataFrame | None = None,
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
    results : DataFrame, optional
        Schema `CCA_RESULTS`; cells of weights that are not identified stay empty.
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
    left_out = not_identified(results, variant)
    cross = cross.assign(
        correlation=cross["correlation"].mask(_in_pairs(cross, "weights_target", left_out))
    )
    of_either = [_in_pairs(similarities, name, left_out) for name in ("target_a", "target_b")]
    similarities = similarities.assign(cosine=similarities["cosine"].mask(np.any(of_either, 0)))
    if not cross["correlation"].notna().any():
        raise NoDataError(_left_out_note(left_out) or "no weights could be projected")
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
    empty = _left_out_note(left_out)
    note = "diagonal of the left panels: in sample" + (f"; gray: {empty}" if empty else "")
    give_title(figure, title, counts=counts, note=note)
    return figure
