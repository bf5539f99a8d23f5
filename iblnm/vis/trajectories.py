"""Psychometric parameters over training, per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.vis.learning import animal_curves, session_types, unique_sessions
from iblnm.vis.panels import (
    give_title,
    label_outer,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    target_legend,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PARAMETERS = {
    "threshold": "Threshold\n(% contrast)",
    "bias": "Bias\n(% contrast)",
    "lapse_left": "Lapse, left\n(%)",
    "lapse_right": "Lapse, right\n(%)",
    "bias_shift": "Bias shift\n(% contrast)",
}
_IN_PERCENT = {"lapse_left", "lapse_right"}
_UNBIASED = 50


@or_no_data("Psychometric parameters over training")
def psychometric_trajectories_figure(
    trajectories: pd.DataFrame,
    *,
    parameters: Sequence[str] = tuple(PARAMETERS),
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Parameters of the fits to unbiased trials: a row per parameter, a column per task.

    Parameters
    ----------
    trajectories : DataFrame
        Schema `iblnm.schemas.behaviour.PSYCHOMETRIC_TRAJECTORIES`.
    parameters : sequence of str
        Of `PARAMETERS`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings, optional

    Returns
    -------
    Figure
        Mean and SEM over animals, per target. Fits with a parameter on its bound are in.
    """
    settings = settings or get_settings()
    table = need_rows(trajectories, ("target_NM", "session_type", "block"), "trajectories")
    table = need_rows(table[table["block"] == _UNBIASED], (), "fits to unbiased trials")
    drawn = [name for name in parameters if name in table and table[name].notna().any()]
    table = need_rows(table[table[drawn].notna().any(axis=1)], (), "fits with a value")
    targets, kinds = ordered_targets(table["target_NM"], settings), session_types(table, settings)
    figure, axes = panel_grid(
        len(drawn), len(kinds), size=(2.1, 1.3), share_x="col", share_y="row", extra=(1.8, 1.1)
    )
    for i, parameter in enumerate(drawn):
        factor = 100 if parameter in _IN_PERCENT else 1
        for ax, kind in zip(axes[i], kinds, strict=True):
            if parameter in ("bias", "bias_shift"):
                zero_line(ax)
            for target in targets:
                own = table[(table["target_NM"] == target) & (table["session_type"] == kind)]
                animals = factor * animal_curves(own, parameter)
                if not len(animals):
                    continue
                mean, sem = mean_and_sem(animals)
                x, style = animals.columns.to_numpy(dtype=float), target_style(target, settings)
                ax.errorbar(x, mean, sem, ms=3, lw=1.1, elinewidth=0.7, label=target, **style)
        axes[i, 0].set_ylabel(PARAMETERS.get(parameter, parameter), fontsize=8)
    for ax, kind in zip(axes[0], kinds, strict=True):
        panel_title(ax, kind.capitalize())
    for ax in axes[-1]:
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels(axes[:, 0])
    label_outer(figure, "Session of the task (number)")
    target_legend(figure, targets, settings)
    n_bound = int(table["at_bound"].astype("boolean").fillna(False).sum())
    note = f"mean ± SEM of animals; {n_bound} of {len(table)} fits have a parameter on its bound"
    numbers = {**(counts or {}), **unique_sessions(table)}
    give_title(figure, "Psychometric parameters over training", counts=numbers, note=note)
    return figure
