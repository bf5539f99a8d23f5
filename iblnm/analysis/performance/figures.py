"""Training: learning curves, and sessions to each stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.panels import (
    SMALL,
    give_title,
    label_outer,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
)
from iblnm.vis.style import (
    INK,
    NEUTRAL,
    ordered_targets,
    target_color,
    target_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {
    "fraction_correct": "Correct choices (%)",
    "fraction_correct_easy": "Correct choices at ≥ 50 % contrast (%)",
    "nogo_fraction": "Trials without choice (%)",
}
STEPS = {
    "sessions_to_biased": "Training sessions before the first biased one",
    "biased_sessions_to_ephys": "Biased sessions before the first ephys one",
}


def session_types(table: pd.DataFrame, settings: Settings) -> list[str]:
    """Session types of a table, in the order of training."""
    order = list(settings.session_type_colors)
    found = set(table["session_type"].dropna().astype(str))
    return sorted(found, key=lambda kind: order.index(kind) if kind in order else len(order))


def animal_curves(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Value per animal (rows) and session of its stage (columns); several of one: mean."""
    known = table[table[value].notna()]
    return known.pivot_table(
        index="subject", columns="stage_index", values=value, aggfunc="mean", observed=True
    )


@or_no_data("Learning curves")
def learning_curves_figure(
    curves: pd.DataFrame,
    *,
    measure: str = "fraction_correct",
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Performance by session: a row per target, a column per task.

    Parameters
    ----------
    curves : DataFrame
        Schema `iblnm.analysis.performance.tables.LEARNING_CURVES`.
    measure : str
        One of `MEASURES`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Thin lines: animals; thick line and band: mean and SEM of the animals that have a
        session of that number, of which there are fewer and fewer.
    """
    table = need_rows(curves, ("target_NM", "session_type", measure), "learning curves")
    table = table.assign(**{measure: 100 * table[measure].astype(float)})
    targets, kinds = ordered_targets(table["target_NM"], settings), session_types(table, settings)
    figure, axes = panel_grid(
        len(targets), len(kinds), size=(1.9, 1.05), share_x="col", extra=(0.9, 1.2)
    )
    for i, target in enumerate(targets):
        own = table[table["target_NM"] == target]
        for ax, kind in zip(axes[i], kinds, strict=True):
            animals = animal_curves(own[own["session_type"] == kind], measure)
            _draw_curves(ax, animals, target, settings)
            if i == 0:
                ax.annotate(
                    kind.capitalize(),
                    (0.5, 1.22),
                    xycoords="axes fraction",
                    ha="center",
                    fontsize=8,
                )
        panel_title(
            axes[i, 0], f"{target} ({own['subject'].nunique()})", target_color(target, settings)
        )
    for ax in axes[-1]:
        number_sessions(ax)
    label_outer(figure, "Session of the task (number)", MEASURES.get(measure, measure))
    note = "thin: animals (number in brackets); thick: mean ± SEM of animals"
    give_title(figure, "Learning curves", counts=counts_of_sessions(counts, table), note=note)
    return figure


def _draw_curves(ax: Axes, animals: pd.DataFrame, target: str, settings: Settings) -> None:
    if not len(animals):
        return
    x = animals.columns.to_numpy(dtype=float)
    for subject, values in animals.iterrows():
        known = values.notna().to_numpy()
        ax.plot(x[known], values[known], color=NEUTRAL, lw=0.6, marker=".", ms=2, gid=str(subject))
    mean, sem = mean_and_sem(animals)
    style = target_style(target, settings)
    ax.plot(x, mean, linewidth=1.5, markersize=3, label=target, **style)
    ax.fill_between(x, mean - sem, mean + sem, color=style["color"], alpha=0.25, linewidth=0)


def number_sessions(ax: Axes) -> None:
    """Whole numbers on the horizontal axis, also where there is one session."""
    left, right = ax.get_xlim()
    ax.set_xlim(min(left, 0.5), max(right, 1.5))
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def counts_of_sessions(counts: Mapping[str, int] | None, table: pd.DataFrame) -> dict[str, int]:
    """Counts of a table that has the sessions of an animal once per target of its fibers.

    Recordings, if any are counted, are those of all targets and not of the table: left out.
    """
    unique = table.drop_duplicates("eid")
    own = {
        "subjects": int(unique["subject"].nunique()),
        "sessions": len(unique),
        "trials": int(unique["n_trials"].sum()),
    }
    return {name: n for name, n in {**(counts or {}), **own}.items() if name != "recordings"}


@or_no_data("Sessions to each stage")
def sessions_to_stage_figure(
    stages: pd.DataFrame,
    comparisons: pd.DataFrame | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Sessions that each animal needed for a stage, per target.

    Parameters
    ----------
    stages : DataFrame
        Schema `iblnm.analysis.performance.tables.SESSIONS_TO_STAGE`.
    comparisons : DataFrame, optional
        Schema `iblnm.analysis.performance.tables.TARGET_COMPARISONS`; the test over all targets is
        written above the panel.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    steps = [name for name in STEPS if name in stages and stages[name].notna().any()]
    table = need_rows(stages, ("target_NM", "subject"), "sessions to each stage")
    table = need_rows(table[table[steps].notna().any(axis=1)], (), "animals that reached a stage")
    targets = ordered_targets(table["target_NM"], settings)
    size = (0.8 + 0.42 * len(targets), 2.4)
    figure, axes = panel_grid(1, len(steps), size=size, share_y=False, extra=(0.4, 1.2))
    for ax, step in zip(axes[0], steps, strict=True):
        for i, target in enumerate(targets):
            values = table.loc[table["target_NM"] == target, step].dropna().to_numpy(dtype=float)
            if not len(values):
                continue
            spread = (np.arange(len(values)) % 5 - 2) * 0.07
            style = {**target_style(target, settings), "linestyle": "none"}
            ax.plot(i + spread, values, markersize=4, alpha=0.85, label=target, **style)
            median = float(np.median(values))
            ax.plot([i - 0.3, i + 0.3], [median] * 2, color=INK, lw=1.4, label=f"_{target}")
        ax.set_xticks(range(len(targets)), targets, rotation=50, ha="right", fontsize=SMALL)
        ax.set_xlim(-0.6, len(targets) - 0.4)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel(STEPS[step].replace(" before", "\nbefore") + " (count)", fontsize=8)
        panel_title(ax, _test_text(comparisons, step))
    found = {"subjects": int(table["subject"].nunique())}
    note = "points: animals; bar: median"
    give_title(figure, "Sessions to each stage", counts={**(counts or {}), **found}, note=note)
    return figure


def _test_text(comparisons: pd.DataFrame | None, measure: str) -> str:
    if comparisons is None or not len(comparisons):
        return ""
    found = comparisons[
        (comparisons["measure"] == measure) & (comparisons["test"] == "kruskal_wallis")
    ]
    if not len(found) or pd.isna(found["p_corrected"].iloc[0]):
        return ""
    row = found.iloc[0]
    return f"Kruskal–Wallis p = {row['p_corrected']:.3g} (corrected)"
