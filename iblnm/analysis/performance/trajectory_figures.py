"""Psychometric parameters over training, per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.analysis.performance.figures import (
    animal_curves,
    counts_of_sessions,
    number_sessions,
    session_types,
)
from iblnm.config import Settings
from iblnm.task.psychometric import LOWER, UPPER
from iblnm.task.psychometric import PARAMETERS as FIT_PARAMETERS
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
_MAX_NAMES = 8
_BOUND_FRACTION = 1e-6


@or_no_data("Psychometric parameters over training")
def psychometric_trajectories_figure(
    trajectories: pd.DataFrame,
    *,
    parameters: Sequence[str] = tuple(PARAMETERS),
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Parameters of the fits to unbiased trials: a row per parameter, a column per task.

    Parameters
    ----------
    trajectories : DataFrame
        Schema `iblnm.analysis.performance.tables.PSYCHOMETRIC_TRAJECTORIES`.
    parameters : sequence of str
        Of `PARAMETERS`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Mean and SEM over animals, per target. Fits with a parameter on its bound are in; the
        symbols of the means that hold one are open, as the data do not tell their value.
    """
    table = need_rows(trajectories, ("target_NM", "session_type", "block"), "trajectories")
    table = need_rows(table[table["block"] == _UNBIASED], (), "fits to unbiased trials")
    drawn = [name for name in parameters if name in table and table[name].notna().any()]
    table = need_rows(table[table[drawn].notna().any(axis=1)], (), "fits with a value")
    table = table.assign(at_bound=fits_on_bound(table))
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
                known = own[own["at_bound"] & own[parameter].notna()]
                chosen = animals.columns.isin(known["stage_index"])
                if chosen.any():
                    look = {**style, "linestyle": "none", "mfc": "white", "ms": 4, "zorder": 3}
                    ax.plot(x[chosen], mean[chosen], label=f"{target} on bound", **look)
        axes[i, 0].set_ylabel(PARAMETERS.get(parameter, parameter), fontsize=8)
    for ax, kind in zip(axes[0], kinds, strict=True):
        panel_title(ax, kind.capitalize())
    for ax in axes[-1]:
        number_sessions(ax)
    figure.align_ylabels(axes[:, 0])
    label_outer(figure, "Session of the task (number)")
    target_legend(figure, targets, settings)
    note = f"mean ± SEM of animals{_bound_text(table.drop_duplicates('eid'))}"
    numbers = counts_of_sessions(counts, table)
    give_title(figure, "Psychometric parameters over training", counts=numbers, note=note)
    return figure


def fits_on_bound(table: pd.DataFrame) -> pd.Series:
    """Whether each fit has a parameter on its bound.

    Parameters
    ----------
    table : DataFrame
        Column ``at_bound``, or else the parameters, which are compared with the bounds of
        `iblnm.task.psychometric`; a lapse of 0 does not count, as there.
    """
    if "at_bound" in table:
        return table["at_bound"].astype("boolean").fillna(False).astype(bool)
    on_bound = pd.Series(False, index=table.index)
    for name, low, high in zip(FIT_PARAMETERS, LOWER, UPPER, strict=True):
        if name in table:
            margin = _BOUND_FRACTION * (high - low)
            on_bound |= table[name] >= high - margin
            on_bound |= (table[name] <= low + margin) & (name not in _IN_PERCENT)
    return on_bound


def _bound_text(fits: pd.DataFrame) -> str:
    """Number of fits on a bound and their animals, where these are few."""
    on_bound = fits[fits["at_bound"]]
    if not len(on_bound):
        return "; no fit has a parameter on its bound"
    animals = sorted(on_bound["subject"].unique())
    text = f"; open: {len(on_bound)} of {len(fits)} fits have a parameter on its bound"
    return text + (f" ({', '.join(animals)})" if len(animals) <= _MAX_NAMES else "")
