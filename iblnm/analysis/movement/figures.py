"""Contrast and movement: what each explains in held-out animals, slopes on timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.figures import fit_counts
from iblnm.config import Settings
from iblnm.vis.marks import draw_estimates, symbols_note
from iblnm.vis.panels import (
    CONTRAST_LABEL,
    SMALL,
    contrast_positions,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    unit_label,
    zero_line,
)
from iblnm.vis.style import INK, NEUTRAL, ordered_targets, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREDICTORS = {"contrast": "Contrast", "timing": "Timing"}
TIMING_LABELS = {
    "reaction_time": "reaction time",
    "movement_time": "movement time",
    "response_time": "response time",
    "peak_velocity": "peak velocity",
}
_ROOM_FOR_STARS = 0.15


def timing_label(name: str) -> str:
    """Name of a timing variable in words."""
    return TIMING_LABELS.get(name, str(name).replace("_", " "))


@or_no_data("Movement encoding")
def movement_encoding_figure(
    encoding: pd.DataFrame,
    tests: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Held-out ΔR² of contrast and of timing: a point per animal, a column per predictor.

    Parameters
    ----------
    encoding : DataFrame
        Schema `iblnm.analysis.movement.tables.MOVEMENT_ENCODING`.
    tests : DataFrame, optional
        Schema `iblnm.analysis.movement.tables.MOVEMENT_TESTS`.
    seed : int
        Of the points' horizontal scatter.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Points: held-out animals; bar: their mean; with `tests` a box up to where the means of
        trials that are shifted in time go, and a star where the p of that test is small after
        correction and the interval of the mean over animals excludes zero: a bar within its
        box has none.
    """
    columns = [f"delta_r2_{name}" for name in PREDICTORS]
    table = need_rows(encoding, ("target_NM", "timing_col", "subject"), "movement encoding")
    table = table[table[columns].notna().any(axis=1)]
    table = need_rows(table, (), "movement encoding with a ΔR²")
    timings = list(pd.unique(table["timing_col"]))
    targets = ordered_targets(table["target_NM"], settings)
    figure, axes = panel_grid(
        len(timings),
        len(PREDICTORS),
        size=(max(0.6 + 0.45 * len(targets), 2.2), 1.9),
        share_y="col",
        extra=(0.9, 1.4),
    )
    rng = np.random.default_rng(seed)
    for i, timing in enumerate(timings):
        for ax, (predictor, label) in zip(axes[i], PREDICTORS.items(), strict=True):
            zero_line(ax)
            for j, target in enumerate(targets):
                own = table[(table["timing_col"] == timing) & (table["target_NM"] == target)]
                values = own[f"delta_r2_{predictor}"].dropna().to_numpy(dtype=float)
                if not len(values):
                    continue
                style = {**target_style(target, settings), "linestyle": "none"}
                x = j + rng.uniform(-0.15, 0.15, len(values))
                ax.plot(x, 100 * values, markersize=3.5, alpha=0.8, label=target, **style)
                mean = 100 * values.mean()
                ax.plot([j - 0.3, j + 0.3], [mean] * 2, color=INK, lw=1.4, label=f"_{target}")
                top = 100 * values.max()
                _draw_test(ax, j, tests, (target, timing, predictor), top, settings)
            panel_title(
                ax, label if predictor == "contrast" else timing_label(timing).capitalize()
            )
            ax.set_xlim(-0.6, len(targets) - 0.4)
            ax.margins(y=_ROOM_FOR_STARS)
    for ax in axes[-1]:
        ax.set_xticks(range(len(targets)), targets, rotation=50, ha="right", fontsize=SMALL)
    for ax in axes[:, 0]:
        ax.set_ylabel("ΔR² (%)", fontsize=8)
    animals = {"subjects": table["subject"].nunique(), **_trials(table)}
    note = "columns have scales of their own; points: held-out animals; bar: their mean"
    if tests is not None and len(tests) and "null_high" in tests:
        alpha = settings.figures.alpha
        note += f"; box: means of trials shifted in time, median to limit of p < {alpha:g}"
        note += "; star: also after correction, and 95 % interval over animals without zero"
    title = "What contrast and timing explain in animals that were held out"
    give_title(figure, title, counts={**animals, **(counts or {})}, note=note)
    return figure


def _draw_test(
    ax: Axes,
    position: int,
    tests: pd.DataFrame | None,
    key: tuple[str, str, str],
    top: float,
    settings: Settings,
) -> None:
    if tests is None or not len(tests) or "null_high" not in tests:
        return
    found = tests.set_index(["target_NM", "timing_col", "predictor"])
    if key not in found.index:
        return
    row = found.loc[key]
    ends = 100 * np.array([row["null_median"], row["null_high"]], dtype=float)
    box = {"color": NEUTRAL, "alpha": 0.5, "linewidth": 0, "zorder": 0}
    ax.fill_between([position - 0.38, position + 0.38], *ends, label="_permuted", **box)
    holds_zero = row.get("ci_low", np.nan) <= 0 <= row.get("ci_high", np.nan)
    if row["p_corrected"] < settings.figures.alpha and not holds_zero:
        at = (position, float(np.nanmax([top, *ends])))
        # the glyph of a star stands in the upper half of its line
        ax.annotate("*", at, (0, -1), textcoords="offset points", ha="center", va="bottom")


def _trials(table: pd.DataFrame) -> dict[str, Any]:
    """Trials per target, of the variable with most."""
    if "n_trials" not in table:
        return {}
    sums = table.groupby(["target_NM", "timing_col"], observed=True)["n_trials"].sum()
    return fit_counts(sums.reset_index(), None)


@or_no_data("Slopes on timing per contrast")
def movement_slopes_figure(
    slopes: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Slope of the response on timing by contrast: a row per variable, a column per target.

    Parameters
    ----------
    slopes : DataFrame
        Schema `iblnm.analysis.movement.tables.MOVEMENT_SLOPES`.
    counts : mapping, optional
        Numbers for the title; by default those of the fits, see `fit_counts`.
    settings : Settings
    """
    needed = ("target_NM", "timing_col", "contrast", "timing_coef")
    table = need_rows(slopes, needed, "slopes on timing")
    if "ci_low" not in table:
        table = table.assign(se=table["timing_se"])
    timings = list(pd.unique(table["timing_col"]))
    targets = ordered_targets(table["target_NM"], settings)
    figure, axes = panel_grid(
        len(timings), len(targets), size=(1.7, 1.6), share_y="row", extra=(0.9, 1.2)
    )
    for i, timing in enumerate(timings):
        for j, target in enumerate(targets):
            ax = axes[i, j]
            zero_line(ax)
            place = contrast_positions(ax, table["contrast"].astype(float).tolist())
            own = table[(table["timing_col"] == timing) & (table["target_NM"] == target)]
            own = own.sort_values("contrast")
            x = own["contrast"].astype(float).map(place)
            draw_estimates(
                ax,
                own,
                x,
                target,
                settings,
                value="timing_coef",
                orientation="vertical",
                joined=True,
            )
            if i == 0:
                panel_title(ax, target, target_style(target, settings)["color"])
        axes[i, 0].set_ylabel(
            f"Slope on {timing_label(timing)}\n({unit_label(settings)} per decade)", fontsize=8
        )
    label_outer(figure, CONTRAST_LABEL)
    title = "Slopes of the response to the stimulus on timing"
    numbers = sum_over_contrasts(table, counts)
    give_title(figure, title, counts=numbers, note=symbols_note(table, settings))
    return figure


def sum_over_contrasts(table: pd.DataFrame, counts: Mapping[str, int] | None) -> dict[str, Any]:
    """A fit holds the trials of one contrast: they add up; animals do not."""
    if "n_trials" in table:
        sums = table.groupby(["target_NM", "timing_col"], observed=True)["n_trials"]
        table = table.assign(n_trials=sums.transform("sum"))
    return fit_counts(table, counts)
