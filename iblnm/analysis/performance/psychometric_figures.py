"""Psychometric curves: choices by contrast and block, their intervals and their fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.task.psychometric import BLOCKS, PARAMETERS, fit_psychometric
from iblnm.vis.panels import (
    SMALL,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_title,
    wrapped_grid,
)
from iblnm.vis.style import INK, ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# vermilion and blue of Okabe and Ito (2008), which the color-blind tell apart
BLOCK_STYLES = {
    "20": {"color": "#0072b2", "marker": "^", "linestyle": "--"},
    "50": {"color": "#4d4d4d", "marker": "o", "linestyle": "-"},
    "80": {"color": "#d55e00", "marker": "s", "linestyle": "-."},
}
_CURVE = np.linspace(-100, 100, 401)
_COLUMNS = ("choice", "signed_contrast", "probabilityLeft")


def choice_fractions(trials: pd.DataFrame, *, alpha: float = 0.05) -> pd.DataFrame:
    """Share of rightward choices per signed contrast, with Wilson's interval.

    Parameters
    ----------
    trials : DataFrame
        ``choice`` as in ALF (−1 right, +1 left, 0 none), ``signed_contrast`` (%). Trials
        without choice are left out.
    alpha : float
        1 − coverage.

    Returns
    -------
    DataFrame
        ``signed_contrast`` (%), ``n_right``, ``n_trials``, ``fraction``, ``low``, ``high``;
        one row per contrast, ascending.

    Notes
    -----
    Wilson (1927), JASA 22:209, by ``statsmodels.stats.proportion.proportion_confint``.

    Examples
    --------
    >>> trials = pd.DataFrame({"choice": [-1, -1, 1, 0], "signed_contrast": 25.0})
    >>> choice_fractions(trials).round(2).to_dict("records")[0]["low"]
    0.21
    """
    from statsmodels.stats.proportion import proportion_confint

    made = trials[trials["choice"].isin((-1, 1)) & trials["signed_contrast"].notna()]
    right = (made["choice"] == -1).groupby(made["signed_contrast"].astype(float))
    table = right.agg(n_right="sum", n_trials="size").reset_index()
    low, high = proportion_confint(table["n_right"], table["n_trials"], alpha, method="wilson")
    fraction = table["n_right"] / table["n_trials"]
    return table.assign(fraction=fraction, low=np.asarray(low), high=np.asarray(high))


@or_no_data("Psychometric curves")
def psychometric_figure(
    trials: pd.DataFrame,
    *,
    by: str | None = "target_NM",
    show_animals: bool = True,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Probability of a rightward choice per block: one panel per target, or per other group.

    Parameters
    ----------
    trials : DataFrame
        ``eid``, ``subject``, ``trial``, ``choice``, ``signed_contrast`` (%),
        ``probabilityLeft`` and the column `by`. A trial that stands there for several
        recordings or events counts once per panel.
    by : str, optional
        Column of the panels; None for one panel.
    show_animals : bool
        Thin lines: the fit of each animal's trials in the panel.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Points: share of all trials of the panel, with Wilson's interval. It tells how well
        the pooled share is known, not how animals differ: that is what the thin lines show.
    """
    trials = need_rows(trials, ("eid", "trial", *_COLUMNS, *([by] if by else [])), "trials")
    groups = {"": trials} if by is None else dict(iter(trials.groupby(by, observed=True)))
    order = ordered_targets(groups, settings)
    figure, axes = wrapped_grid(len(order), size=(2.0, 1.9), extra=(1.7, 1.0))
    for ax, name in zip(axes, order, strict=True):
        group = groups[name].drop_duplicates(["eid", "trial"])
        _draw_panel(ax, group, show_animals, settings.figures.alpha)
        n_animals = group["subject"].nunique()
        panel_title(ax, f"{name} ({n_animals})".strip(), target_color(name, settings))
    _finish(figure)
    level = f"{100 * (1 - settings.figures.alpha):g} %"
    note = f"points: pooled trials with Wilson's {level} interval; thick: fit"
    note += "; thin: fits of single animals (their number in brackets)" if show_animals else ""
    title = "Psychometric curves by block"
    unique = trials.drop_duplicates(["eid", "trial"]).drop(columns="fiber_idx", errors="ignore")
    give_title(figure, title, unique, counts, note)
    return figure


def _draw_panel(ax: Axes, group: pd.DataFrame, show_animals: bool, alpha: float) -> None:
    from iblnm.task._erf_fit import probability_right

    for block, style in BLOCK_STYLES.items():
        trials = group[np.isclose(group["probabilityLeft"].astype(float), BLOCKS[block])]
        if not len(trials):
            continue
        animals = trials.groupby("subject", observed=True) if show_animals else ()
        for subject, own in animals:
            fit = fit_psychometric(own, compute_r_squared=False)
            if np.isfinite(fit["bias"]):
                curve = probability_right(np.array([fit[p] for p in PARAMETERS]), _CURVE)
                ax.plot(
                    _CURVE, curve, color=style["color"], linewidth=0.4, alpha=0.4, gid=f"{subject}"
                )
        points = choice_fractions(trials, alpha=alpha)
        bars = [points["fraction"] - points["low"], points["high"] - points["fraction"]]
        ax.errorbar(
            points["signed_contrast"],
            points["fraction"],
            np.clip(bars, 0, None),
            color=style["color"],
            marker=style["marker"],
            linestyle="none",
            markersize=3,
            linewidth=0.8,
            label=block,
        )
        fit = fit_psychometric(trials, compute_r_squared=False)
        if np.isfinite(fit["bias"]):
            curve = probability_right(np.array([fit[p] for p in PARAMETERS]), _CURVE)
            ax.plot(
                _CURVE,
                curve,
                color=style["color"],
                linestyle=style["linestyle"],
                linewidth=1.4,
                gid=f"fit {block}",
            )
    for at, draw in ((0, ax.axvline), (0.5, ax.axhline)):
        draw(at, color=INK, linewidth=0.5, linestyle=(0, (2, 2)), zorder=0)
    ax.set(xlim=(-105, 105), ylim=(-0.03, 1.03), xticks=(-100, 0, 100), yticks=(0, 0.5, 1))


def _finish(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], markersize=4, linewidth=1.4, label=f"p(left) = 0.{block[0]}", **style)
        for block, style in BLOCK_STYLES.items()
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=SMALL, frameon=False)
    label_outer(figure, "Signed contrast (%; negative: left)", "P(rightward choice)")
