"""Encoding per recording: coefficients of the regressions, and their components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.lmm.figures import ordered_events
from iblnm.config import Settings
from iblnm.vis.panels import (
    EVENT_LABELS,
    SMALL,
    give_title,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    unit_label,
    zero_line,
)
from iblnm.vis.style import INK, ordered_targets, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INTERCEPT = "intercept"


def animal_means(table: pd.DataFrame, value: str, keys: Sequence[str] = ()) -> pd.DataFrame:
    """Mean of each animal's recordings per target and `keys`."""
    by = [*keys, "target_NM", "subject"]
    return table.groupby(by, observed=True)[value].mean().reset_index()


def draw_animals(
    ax: Axes,
    animals: pd.DataFrame,
    value: str,
    targets: Sequence[str],
    settings: Settings,
    rng: np.random.Generator,
) -> None:
    """Points of the animals of each target, their mean and SEM."""
    zero_line(ax)
    for i, target in enumerate(targets):
        values = animals.loc[animals["target_NM"] == target, value].to_numpy(dtype=float)
        if not len(values):
            continue
        style = {**target_style(target, settings), "linestyle": "none"}
        x = i + rng.uniform(-0.18, 0.18, len(values))
        ax.plot(x, values, markersize=3, alpha=0.75, label=target, **style)
        mean, sem = mean_and_sem(values)
        ax.errorbar(
            i, mean, sem, marker="_", ms=11, mew=1.5, color=INK, lw=1.2, label=f"_{target}"
        )
    ax.set_xticks(range(len(targets)), targets, rotation=60, ha="right", fontsize=SMALL)
    ax.set_xlim(-0.6, len(targets) - 0.4)


@or_no_data("Encoding models")
def glm_coefficients_figure(
    coefficients: pd.DataFrame,
    *,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Coefficients of the regressions of recordings: a column per term, a row per event.

    Parameters
    ----------
    coefficients : DataFrame
        Schema `iblnm.analysis.encoding.tables.GLM_COEFFICIENTS`.
    seed : int
        Of the points' horizontal scatter.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Points: animals, the mean of their recordings; bar: mean and SEM of animals.
    """
    table = need_rows(coefficients, ("target_NM", "event", "term", "estimate"), "coefficients")
    table = need_rows(table[table["term"].str.lower() != INTERCEPT], (), "coefficients")
    terms, events = list(pd.unique(table["term"])), ordered_events(table["event"])
    targets = ordered_targets(table["target_NM"], settings)
    animals = animal_means(table, "estimate", ("event", "term"))
    size = (0.6 + 0.24 * len(targets), 1.7)
    figure, axes = panel_grid(len(events), len(terms), size=size, share_y=False, extra=(0.9, 1.3))
    rng = np.random.default_rng(seed)
    for i, event in enumerate(events):
        for ax, term in zip(axes[i], terms, strict=True):
            own = animals[(animals["event"] == event) & (animals["term"] == term)]
            draw_animals(ax, own, "estimate", targets, settings, rng)
            if i == 0:
                panel_title(ax, term.replace(":", " × "))
        at = EVENT_LABELS.get(event, event)
        axes[i, 0].set_ylabel(
            f"At {at}\nCoefficient ({unit_label(settings)} per coded unit)", fontsize=8
        )
    used = table.drop_duplicates(["eid", "fiber_idx", "event"])
    trials = used.groupby(["eid", "event"])["n_trials"].max().groupby("eid").max().sum()
    numbers = {**(counts or {}), "trials": int(trials)}
    note = "points: animals, mean of their recordings; bar: mean ± SEM of animals"
    give_title(figure, "Encoding models of recordings", table, numbers, note)
    return figure


@or_no_data("Components of the encoding models")
def components_figure(
    scores: pd.DataFrame,
    loadings: pd.DataFrame,
    tests: pd.DataFrame | None = None,
    *,
    event: str = "stimOn_times",
    method: str = "pca",
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Loadings of the components above, scores of the animals per target below.

    Parameters
    ----------
    scores : DataFrame
        Schema `iblnm.analysis.encoding.tables.GLM_COMPONENT_SCORES`.
    loadings : DataFrame
        Schema `iblnm.analysis.encoding.tables.GLM_COMPONENT_LOADINGS`.
    tests : DataFrame, optional
        Schema `iblnm.analysis.encoding.tables.GLM_COMPONENT_TESTS`; the test over all targets is
        written above the scores.
    event : str
    method : {'pca', 'ica'}
    seed : int
        Of the points' horizontal scatter.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
    """
    what = f"components ({method.upper()}) at {EVENT_LABELS.get(event, event)}"
    table = need_rows(scores, ("target_NM", "component", "score"), what)
    table = need_rows(_chosen(table, event, method), (), what)
    loadings = _chosen(loadings, event, method)
    names = list(pd.unique(table["component"]))
    targets = ordered_targets(table["target_NM"], settings)
    animals = animal_means(table, "score", ("component",))
    width = max(0.6 + 0.3 * len(targets), 1.9)
    figure, axes = panel_grid(
        2, len(names), size=(width, 1.9), share_x=False, share_y="row", extra=(1.2, 1.2)
    )
    rng = np.random.default_rng(seed)
    for j, name in enumerate(names):
        upper, lower = axes[:, j]
        own = loadings[loadings["component"] == name]
        upper.barh(range(len(own)), own["loading"], color="#6f7f8c", height=0.7)
        zero_line(upper, axis="x")
        upper.set_yticks(range(len(own)), [t.replace(":", " × ") for t in own["term"]])
        ratio = own["explained_variance_ratio"].iloc[0] if len(own) else np.nan
        panel_title(upper, f"{name} ({100 * ratio:.0f} % of variance)")
        upper.set_xlabel("Loading (s.d. per score)", fontsize=8)
        draw_animals(lower, animals[animals["component"] == name], "score", targets, settings, rng)
        panel_title(lower, _test_text(tests, event, method, name))
    axes[0, 0].invert_yaxis()
    axes[1, 0].set_ylabel("Score of the animal", fontsize=8)
    title = f"Encoding models at {EVENT_LABELS.get(event, event)}: {method.upper()}"
    note = "points: animals; bar: mean ± SEM of animals"
    give_title(figure, title, table, counts, note)
    return figure


def _chosen(table: pd.DataFrame, event: str, method: str) -> pd.DataFrame:
    return table[(table["event"] == event) & (table["method"] == method)]


def _test_text(tests: pd.DataFrame | None, event: str, method: str, component: str) -> str:
    if tests is None or not len(tests):
        return ""
    own = _chosen(tests, event, method)
    own = own[(own["component"] == component) & (own["test"] == "kruskal_wallis")]
    if not len(own) or pd.isna(own["p_corrected"].iloc[0]):
        return ""
    return f"Kruskal–Wallis p = {own['p_corrected'].iloc[0]:.2g}"
