"""Kernels of stimulus, movement and feedback, averaged over animals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.config import Settings
from iblnm.constants import FEEDBACK_EVENT, MOVEMENT_EVENT, STIMULUS_EVENT
from iblnm.vis.panels import (
    EVENT_LABELS,
    OUTCOME_LABELS,
    SMALL,
    give_title,
    label_outer,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EVENTS = (STIMULUS_EVENT, MOVEMENT_EVENT, FEEDBACK_EVENT)
_STYLES = ("-", "--", ":")


def animal_kernels(kernels: pd.DataFrame) -> pd.DataFrame:
    """One kernel per animal and condition: recordings weighted by their events, sides pooled.

    Parameters
    ----------
    kernels : DataFrame
        Schema `iblnm.analysis.kernels.tables.KERNELS`; kernels of modulators are left out.

    Returns
    -------
    DataFrame
        ``target_NM``, ``event``, ``condition`` (lowest and highest contrast, outcome, or
        'all'), ``subject``, ``time`` (s), ``kernel`` (z).
    """
    own = kernels[kernels["modulator"].isna()]
    label = pd.Series("all", index=own.index, dtype=object)
    contrast = own["contrast"].astype(float)
    label[contrast.notna()] = contrast[contrast.notna()].map(lambda c: f"{c:g} %")
    feedback = own["feedbackType"].astype(float)
    label[feedback.notna()] = feedback[feedback.notna()].map(lambda f: OUTCOME_LABELS[int(f)])
    shown = contrast.isna() | contrast.isin([contrast.min(), contrast.max()])
    own = own.assign(condition=label, _weight=own["n_events"].astype(float))[shown]
    own = own.assign(_sum=own["_weight"] * own["kernel"].astype(float))
    keys = ["target_NM", "event", "condition", "subject", "time"]
    sums = own.groupby(keys, observed=True)[["_sum", "_weight"]].sum()
    return (sums["_sum"] / sums["_weight"]).rename("kernel").reset_index()


@or_no_data("Responses with the other events removed")
def kernels_figure(
    kernels: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """A row per event, a column per target: stimulus at its lowest and highest contrast.

    Parameters
    ----------
    kernels : DataFrame
        Schema `iblnm.analysis.kernels.tables.KERNELS`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Lines: mean over animals; bands: its standard error.
    """
    kernels = need_rows(kernels, ("target_NM", "kernel"), "kernels")
    animals = animal_kernels(kernels)
    targets = ordered_targets(animals["target_NM"], settings)
    figure, axes = panel_grid(len(_EVENTS), len(targets), share_y="col", extra=(1.6, 1.0))
    for i, event in enumerate(_EVENTS):
        axes[i, 0].set_ylabel(f"{EVENT_LABELS.get(event, event)}\nkernel (z)", fontsize=8)
        for j, target in enumerate(targets):
            ax = axes[i, j]
            zero_line(ax)
            zero_line(ax, axis="x")
            if i == 0:
                panel_title(ax, target, target_color(target, settings))
            own = animals[(animals["event"] == event) & (animals["target_NM"] == target)]
            for style, (condition, group) in zip(
                _STYLES, own.groupby("condition", observed=True), strict=False
            ):
                wide = group.pivot_table(index="subject", columns="time", values="kernel")
                mean, sem = mean_and_sem(wide)
                times = wide.columns.to_numpy(dtype=float)
                color = target_color(target, settings)
                ax.plot(times, mean, style, color=color, linewidth=1.2, label=condition)
                band = ax.fill_between(times, mean - sem, mean + sem, color=color, alpha=0.2)
                band.set_linewidth(0)
            if len(own):
                ax.legend(fontsize=SMALL, frameon=False)
    label_outer(figure, "Time from the event (s)")
    note = (
        "one regression of each recording on all its events; lines: means of animals, both sides "
        "of the stimulus together; band: SEM over animals"
    )
    give_title(figure, "Responses with the other events removed", kernels, counts or {}, note)
    return figure
