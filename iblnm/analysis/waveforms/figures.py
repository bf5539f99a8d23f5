"""Effects over time, with simultaneous bands over animals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.marks import numbers
from iblnm.vis.panels import (
    EVENT_LABELS,
    give_title,
    label_outer,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TERMS = ("Intercept", "contrast", "side", "reward")


@or_no_data("Effects over time")
def waveforms_figure(
    waveforms: pd.DataFrame,
    animals: pd.DataFrame | None = None,
    *,
    event: str = "feedback_times",
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """A row per term, a column per target: animals, their mean and its simultaneous band.

    Parameters
    ----------
    waveforms : DataFrame
        Schema `iblnm.analysis.waveforms.tables.WAVEFORMS`.
    animals : DataFrame, optional
        Schema `iblnm.analysis.waveforms.tables.ANIMAL_WAVEFORMS`.
    event : str
    counts : mapping, optional
        Numbers for the title.
    settings : Settings

    Returns
    -------
    Figure
        Times with p below the figures' level are marked at the bottom of the panel.
    """
    title = f"Effects over time at {EVENT_LABELS.get(event, event)}"
    waveforms = need_rows(waveforms, ("effect",), "waveforms")
    waveforms = need_rows(waveforms[waveforms["event"] == event], (), f"waveforms at {event}")
    targets = ordered_targets(waveforms["target_NM"], settings)
    terms = [term for term in _TERMS if (waveforms["term"] == term).any()]
    figure, axes = panel_grid(len(terms), len(targets), share_y="row", extra=(0.8, 1.2))
    for i, term in enumerate(terms):
        axes[i, 0].set_ylabel(f"{term}\n(z)", fontsize=8)
        for j, target in enumerate(targets):
            ax, color = axes[i, j], target_color(target, settings)
            zero_line(ax)
            zero_line(ax, axis="x")
            if i == 0:
                panel_title(ax, target, color)
            own = waveforms[(waveforms["target_NM"] == target) & (waveforms["term"] == term)]
            _draw(ax, own.sort_values("time"), color, settings.figures.alpha)
            if animals is not None and len(animals):
                chosen = (animals["target_NM"] == target) & (animals["term"] == term)
                for _, one in animals[chosen & (animals["event"] == event)].groupby("subject"):
                    times, effect = numbers(one, "time"), numbers(one, "effect")
                    ax.plot(times, effect, color=color, linewidth=0.4, alpha=0.5)
            n = int(own["n_subjects"].max()) if len(own) else 0
            note = own["note"].dropna()
            text = f"{n} mice" + (": too few for a band" if len(note) else "")
            ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=6)
    label_outer(figure, f"Time from {EVENT_LABELS.get(event, event)} (s)")
    note = (
        "thin: animals; thick: their mean; band: simultaneous 95 %, holds the whole curve (bands "
        "of single times, as other tools draw them, leave zero somewhere in most cohorts without "
        "an effect); bar: p over all times, by sign flips of animals"
    )
    give_title(figure, title, waveforms, dict(counts or {}), note)
    return figure


def _draw(ax, own: pd.DataFrame, color: str, alpha: float) -> None:
    if not len(own):
        return
    times, effect = numbers(own, "time"), numbers(own, "effect")
    ax.plot(times, effect, color=color, linewidth=1.6)
    band = ax.fill_between(
        times, numbers(own, "low"), numbers(own, "high"), color=color, alpha=0.25, linewidth=0
    )
    band.set_label("_band")
    significant = times[numbers(own, "p") < alpha]
    if len(significant):
        low = np.zeros(len(significant)) + 0.02
        ax.plot(
            significant,
            low,
            "s",
            color="black",
            markersize=1.5,
            transform=ax.get_xaxis_transform(),
        )
