"""Mixed models of responses: coefficients, marginal means, slopes on contrast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.marks import (
    draw_beyond,
    draw_estimates,
    intervals,
    limits_of_estimates,
    spread_positions,
    symbols_note,
)
from iblnm.vis.panels import (
    EVENT_LABELS,
    SMALL,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    response_label,
    target_legend,
    unit_label,
    wrapped_grid,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTOR_LABELS = {"contrast": "Contrast (%)", "side": "Side of stimulus", "reward": "Outcome"}
_EVENT_ORDER = list(EVENT_LABELS)


def fit_counts(table: pd.DataFrame, counts: Mapping[str, int] | None) -> dict[str, Any]:
    """Numbers for the title: `counts`, or else ``n_subjects``, ``n_sessions``, ... of the fits.

    Of the fits of one target the largest. Of several targets least and most: an animal of two
    targets is in two fits, so that a sum would count it twice.
    """
    if counts:
        return dict(counts)
    found: dict[str, Any] = {}
    for unit in ("subjects", "sessions", "recordings", "trials"):
        if f"n_{unit}" in table and len(table):
            per_target = table.groupby("target_NM", observed=True)[f"n_{unit}"].max().astype(int)
            ends = (int(per_target.min()), int(per_target.max()))
            found[unit] = ends if len(per_target) > 1 else ends[0]
    return found


def ordered_events(events: Sequence[str]) -> list[str]:
    """Events in the order of the trial, others after them."""
    known = {event: i for i, event in enumerate(_EVENT_ORDER)}
    return sorted(set(events), key=lambda event: (known.get(event, len(known)), event))


@or_no_data("Coefficients of the mixed models")
def lmm_coefficients_figure(
    coefficients: pd.DataFrame,
    *,
    terms: Sequence[str] | None = None,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Fixed effects with their intervals: a column per event, a row per term, all targets.

    Parameters
    ----------
    coefficients : DataFrame
        Schema `iblnm.analysis.lmm.tables.LMM_COEFFICIENTS`.
    terms : sequence of str, optional
        From the top; all but the intercept by default.
    counts : mapping, optional
        Numbers for the title; by default those of the fits, see `fit_counts`.
    settings : Settings
    """
    table = need_rows(coefficients, ("target_NM", "event", "term"), "coefficients")
    if terms is None:
        terms = [term for term in pd.unique(table["term"]) if term != "Intercept"]
        terms.sort(key=lambda term: term.count(":"))
    table = table[table["term"].isin(terms)]
    known = need_rows(table, ("estimate",), "coefficients")
    events, targets = ordered_events(table["event"]), ordered_targets(table["target_NM"], settings)
    height = 0.16 * len(terms) * max(len(targets), 2) + 0.3
    figure, axes = panel_grid(1, len(events), size=(2.7, height), share_x=False, extra=(2.4, 1.2))
    offsets = dict(zip(targets, spread_positions(len(targets)), strict=True))
    row = {term: i for i, term in enumerate(terms)}
    for ax, event in zip(axes[0], events, strict=True):
        zero_line(ax, axis="x")
        for target in targets:
            own = table[(table["event"] == event) & (table["target_NM"] == target)]
            y = own["term"].map(row).to_numpy(dtype=float) + offsets[target]
            draw_estimates(ax, own, y, target, settings)
        for between in np.arange(0.5, len(terms) - 1):
            ax.axhline(between, color="#e9ecee", linewidth=0.6, zorder=0)
        panel_title(ax, f"At {EVENT_LABELS.get(event, event)}")
    labels = [term.replace(":", " × ") for term in terms]
    axes[0, 0].set_yticks(range(len(terms)), labels, fontsize=8)
    axes[0, 0].set_ylim(len(terms) - 0.5, -0.5)
    label_outer(figure, f"Coefficient ({unit_label(settings)} per unit of the coded factor)")
    target_legend(figure, targets, settings, loc="outside right center")
    title = "Coefficients of the mixed models of single trials"
    give_title(figure, title, counts=fit_counts(known, counts), note=symbols_note(table, settings))
    return figure


@or_no_data("Marginal means of the mixed models")
def marginal_means_figure(
    means: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Mean response at each level of a factor: a row per event, a column per factor.

    Parameters
    ----------
    means : DataFrame
        Schema `iblnm.analysis.lmm.tables.MARGINAL_MEANS`.
    counts : mapping, optional
        Numbers for the title; by default those of the fits where the table has them.
    settings : Settings

    Returns
    -------
    Figure
        Intervals far beyond the means, as two animals give, end in an arrow at the edge;
        the title names their targets.
    """
    table = need_rows(means, ("target_NM", "event", "factor", "level", "mean"), "marginal means")
    events = ordered_events(table["event"])
    factors = [name for name in FACTOR_LABELS if name in set(table["factor"])]
    targets = ordered_targets(table["target_NM"], settings)
    offsets = dict(zip(targets, spread_positions(len(targets), 0.3), strict=True))
    limits = limits_of_estimates(table["mean"].to_numpy(dtype=float), *intervals(table, "mean"))
    beyond = set()
    figure, axes = panel_grid(
        len(events), len(factors), size=(2.2, 2.0), share_x="col", extra=(1.7, 1.1)
    )
    for i, event in enumerate(events):
        for j, factor in enumerate(factors):
            ax = axes[i, j]
            zero_line(ax)
            chosen = table[(table["event"] == event) & (table["factor"] == factor)]
            levels = _levels(table[table["factor"] == factor], factor)
            place = {level: k for k, level in enumerate(levels)}
            for target, own in chosen.groupby("target_NM", observed=True):
                x = own["level"].astype(str).map(place).to_numpy(dtype=float)
                order = np.argsort(x)
                own, x = own.iloc[order], x[order] + offsets[target]
                draw_estimates(
                    ax, own, x, target, settings, value="mean", orientation="vertical", joined=True
                )
                color = target_color(target, settings)
                if draw_beyond(ax, x, *intervals(own, "mean"), limits, color):
                    beyond.add(target)
            if not len(chosen):
                ax.text(0.5, 0.5, "not in the model", transform=ax.transAxes, fontsize=SMALL)
                ax.texts[-1].set_ha("center")
            ax.set_xticks(range(len(levels)), levels, fontsize=SMALL)
            ax.set_xlim(-0.5, len(levels) - 0.5)
            ax.set_ylim(limits)
            if i == len(events) - 1:
                ax.set_xlabel(FACTOR_LABELS[factor], fontsize=8)
        at = EVENT_LABELS.get(event, event)
        axes[i, 0].set_ylabel(f"At {at}\n{response_label(settings)}", fontsize=8)
    target_legend(figure, targets, settings)
    note = "means midway between the levels of the other factors; bars: 95 % intervals"
    if beyond:
        names = ", ".join(ordered_targets(beyond, settings))
        note += f"; arrows: intervals that go on beyond the axis ({names})"
    title = "Marginal means of the mixed models"
    give_title(figure, title, counts=fit_counts(table, counts), note=note)
    return figure


def _levels(table: pd.DataFrame, factor: str) -> list[str]:
    by_code = table.assign(level=table["level"].astype(str)).groupby("level")["coded"].mean()
    levels = by_code.sort_values().index.tolist()
    return sorted(levels, key=float) if factor == "contrast" else levels


@or_no_data("Slopes on contrast")
def contrast_slopes_figure(
    slopes: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Slope of the response on contrast per target, for each outcome and side.

    Parameters
    ----------
    slopes : DataFrame
        Schema `iblnm.analysis.lmm.tables.CONTRAST_SLOPES`.
    counts : mapping, optional
        Numbers for the title; by default those of the fits where the table has them.
    settings : Settings
    """
    table = need_rows(slopes, ("target_NM", "event", "level", "slope"), "slopes")
    events = ordered_events(table["event"])
    targets = ordered_targets(table["target_NM"], settings)
    known = set(table["level"].astype(str))
    levels = [name for name in ("all", "correct", "incorrect", "contra", "ipsi") if name in known]
    place = {level: k for k, level in enumerate(levels)}
    offsets = dict(zip(targets, spread_positions(len(targets)), strict=True))
    figure, axes = wrapped_grid(len(events), size=(2.6, 2.3), extra=(1.7, 1.1))
    for ax, event in zip(axes, events, strict=True):
        zero_line(ax)
        for target in targets:
            own = table[(table["event"] == event) & (table["target_NM"] == target)]
            x = own["level"].astype(str).map(place).to_numpy(dtype=float) + offsets[target]
            draw_estimates(ax, own, x, target, settings, value="slope", orientation="vertical")
        fitted = set(table.loc[table["event"] == event, "level"].astype(str))
        for level in [name for name in levels if name not in fitted]:
            at = (place[level], 0.5)
            ax.text(
                *at,
                "not in the model",
                transform=ax.get_xaxis_transform(),
                rotation=90,
                fontsize=SMALL,
                ha="center",
                va="center",
            )
        ax.set_xticks(range(len(levels)), levels, fontsize=SMALL)
        ax.set_xlim(-0.5, len(levels) - 0.5)
        panel_title(ax, f"At {EVENT_LABELS.get(event, event)}")
    label_outer(figure, "Trials", f"Slope ({unit_label(settings)} per coded contrast)")
    target_legend(figure, targets, settings)
    title = "Slopes of the response on contrast"
    give_title(figure, title, counts=fit_counts(table, counts), note=symbols_note(table, settings))
    return figure
