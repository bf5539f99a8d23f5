"""Wheel models: what the response to the stimulus adds to models of movement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.analysis.movement.figures import sum_over_contrasts, timing_label
from iblnm.config import Settings
from iblnm.vis.marks import draw_estimates, spread_positions, symbols_note
from iblnm.vis.panels import (
    CONTRAST_LABEL,
    contrast_positions,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    target_legend,
    unit_label,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DV_UNITS = {
    "peak_velocity": "rad/s",
    "reaction_time": "s",
    "movement_time": "s",
}


@or_no_data("Wheel models")
def wheel_models_figure(
    models: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """What the response adds to models of movement: coefficient and ΔR² by contrast.

    Parameters
    ----------
    models : DataFrame
        Schema `iblnm.analysis.movement.tables.WHEEL_MODELS`.
    counts : mapping, optional
        Numbers for the title; by default those of the fits.
    settings : Settings

    Returns
    -------
    Figure
        A column per variable of movement; above the coefficient of the response, mean of
        the animals' own, with its interval over animals, below the marginal R² that it adds.
        Filled: p over animals.
    """
    needed = ("target_NM", "dv", "contrast", "nm_coefficient")
    table = need_rows(models, needed, "wheel models")
    # of tables from before only the mixed model's are there
    of = "animal" if "animal_coefficient" in table else "nm"
    renames = {f"{of}_ci_low": "ci_low", f"{of}_ci_high": "ci_high"}
    table = table.rename(columns=renames)
    variables = list(pd.unique(table["dv"]))
    targets = ordered_targets(table["target_NM"], settings)
    offsets = dict(zip(targets, spread_positions(len(targets), 0.5), strict=True))
    figure, axes = panel_grid(2, len(variables), size=(2.4, 1.9), share_y=False, extra=(1.6, 1.3))
    for j, variable in enumerate(variables):
        upper, lower = axes[:, j]
        zero_line(upper)
        zero_line(lower)
        place = contrast_positions(upper, table["contrast"].astype(float).tolist())
        for target in targets:
            own = table[(table["dv"] == variable) & (table["target_NM"] == target)]
            own = own.sort_values("contrast")
            x = own["contrast"].astype(float).map(place) + offsets[target]
            draw_estimates(
                upper, own, x, target, settings, value=f"{of}_coefficient", orientation="vertical"
            )
            style = target_style(target, settings)
            lower.plot(x, 100 * own["delta_r2"], markersize=3.5, lw=0.9, label=target, **style)
        panel_title(upper, timing_label(variable).capitalize())
        unit = DV_UNITS.get(variable, "units")
        upper.set_ylabel(f"Coefficient ({unit} per {unit_label(settings)})", fontsize=8)
        lower.set_ylabel("ΔR² (%)", fontsize=8)
    label_outer(figure, CONTRAST_LABEL)
    target_legend(figure, targets, settings)
    by_variable = table.assign(timing_col=table["dv"])
    give_title(
        figure,
        "What the response to the stimulus adds to models of movement",
        counts=sum_over_contrasts(by_variable, counts),
        note=symbols_note(table, settings),
    )
    return figure
