"""Mean response traces by contrast and outcome, with the spread over animals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.panels import (
    CONTRAST_LABEL,
    EVENT_LABELS,
    OUTCOME_LABELS,
    SMALL,
    NoDataError,
    give_title,
    label_outer,
    mean_and_sem,
    need_rows,
    or_no_data,
    panel_grid,
    panel_title,
    response_label,
    zero_line,
)
from iblnm.vis.style import ordered_targets, target_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONDITION = ["event", "contrast", "feedbackType"]
_OF_ANIMAL = ["target_NM", *_CONDITION, "subject"]
_MIN_SHARE_OF_TRIALS = 0.25
_MIN_SHARE_OF_ANIMALS = 0.5
_SHADES = (0.8, 0.0)
_MIXED_WITH = 0.25
_WIDTHS = (0.8, 1.8)


def animal_traces(traces: pd.DataFrame) -> pd.DataFrame:
    """One trace per animal: the mean of its recordings weighted by their trials.

    Parameters
    ----------
    traces : DataFrame
        Schema `iblnm.analysis.traces.tables.MEAN_TRACES`.

    Returns
    -------
    DataFrame
        ``target_NM``, ``event``, ``contrast`` (%), ``feedbackType``, ``time`` (s),
        ``subject``, ``response`` (z), ``n_trials`` with a value at that time; times at which
        an animal has no value are left out.
    """
    known = traces[traces["response"].notna() & (traces["n_trials"] > 0)]
    keys = ["target_NM", *_CONDITION, "time", "subject"]
    weight = known["n_trials"].astype(float)
    sums = known.assign(_sum=weight * known["response"].astype(float), _weight=weight)
    sums = sums.groupby(keys, observed=True)[["_sum", "_weight"]].sum()
    means = (sums["_sum"] / sums["_weight"]).rename("response").to_frame()
    return means.assign(n_trials=sums["_weight"].astype(int)).reset_index()


def well_covered(animals: pd.DataFrame, min_trials: int, min_animals: int = 1) -> pd.DataFrame:
    """Traces cut where few trials are left: masking takes them away as the next events come.

    Parameters
    ----------
    animals : DataFrame
        See `animal_traces`.
    min_trials : int
        Of an animal and condition at a time; and a quarter of those that it has at most.
    min_animals : int
        Of a condition at a time; and half of those that it has at most, so that a line does
        not jump where the animals change.
    """
    condition = ["target_NM", *_CONDITION]
    n = animals["n_trials"]
    most = animals.groupby([*condition, "subject"], observed=True)["n_trials"].transform("max")
    kept = animals[(n >= min_trials) & (n >= _MIN_SHARE_OF_TRIALS * most)]
    here = kept.groupby([*condition, "time"], observed=True)["subject"].transform("nunique")
    all_of_it = kept.groupby(condition, observed=True)["subject"].transform("nunique")
    return kept[(here >= min_animals) & (here >= _MIN_SHARE_OF_ANIMALS * all_of_it)]


@or_no_data("Mean responses by contrast and outcome")
def mean_traces_figure(
    traces: pd.DataFrame,
    *,
    event: str = "feedback_times",
    min_animals: int = 1,
    min_trials: int | None = None,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Responses to an event: a column per target, a row per outcome, a line per contrast.

    Parameters
    ----------
    traces : DataFrame
        Schema `iblnm.analysis.traces.tables.MEAN_TRACES`.
    event : str
    min_animals : int
        Times at which fewer animals have a value are not drawn, see `well_covered`.
    min_trials : int, optional
        Times at which an animal has fewer trials with a value are not drawn; by default those
        of a cell in the settings.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Lines: mean over animals (see `animal_traces`); bands: its standard error, where
        there are two animals or more. The band is named ``_band {contrast}``. In each panel
        stand its animals, and the trials of its lines: least and most.
    """
    title = f"Responses at {EVENT_LABELS.get(event, event)} by contrast and outcome"
    traces = need_rows(traces, ("target_NM", "response"), "mean traces")
    traces = need_rows(traces[traces["event"] == event], (), f"mean traces at {event}")
    min_trials = settings.cohort.min_trials_per_cell if min_trials is None else min_trials
    animals = well_covered(animal_traces(traces), min_trials, min_animals)
    too_few = f"no animal has {min_trials} trials of a contrast and outcome"
    if not len(animals):
        raise NoDataError(too_few)
    traces = traces.merge(animals[[*_OF_ANIMAL]].drop_duplicates(), on=_OF_ANIMAL)
    targets = ordered_targets(animals["target_NM"], settings)
    outcomes = sorted(animals["feedbackType"].unique(), reverse=True)
    contrasts = sorted(animals["contrast"].unique())
    figure, axes = panel_grid(len(outcomes), len(targets), share_y="col", extra=(1.6, 1.0))
    groups = dict(iter(animals.groupby(["target_NM", "feedbackType"], observed=True)))
    for i, outcome in enumerate(outcomes):
        for j, target in enumerate(targets):
            ax = axes[i, j]
            zero_line(ax)
            zero_line(ax, axis="x")
            if i == 0:
                panel_title(ax, target, target_color(target, settings))
            group = groups.get((target, outcome))
            if group is None:
                _write_numbers(ax, f"< {min_trials} trials")
                continue
            _draw_traces(ax, group, contrasts, target_color(target, settings))
            _write_numbers(ax, _numbers_of(group))
        label = OUTCOME_LABELS.get(int(outcome), f"{outcome:g}").capitalize()
        axes[i, 0].set_ylabel(f"{label}\n{response_label(settings)}", fontsize=8)
    _contrast_legend(figure, contrasts)
    label_outer(figure, f"Time from {EVENT_LABELS.get(event, event)} (s)")
    note = (
        "lines: means of animals, cut where few trials are left before the next event (of an "
        f"animal {min_trials}, a quarter of its own; half of the animals); band: SEM over "
        "animals; in the panels: animals, trials of each line"
    )
    give_title(figure, title, traces, {**(counts or {}), "trials": _n_trials(traces)}, note)
    return figure


def _draw_traces(ax: Axes, group: pd.DataFrame, contrasts: Sequence[float], color: str) -> None:
    for contrast, own in group.groupby("contrast", observed=True):
        wide = own.pivot_table(index="subject", columns="time", values="response", observed=True)
        mean, sem = mean_and_sem(wide)
        shade, width = _shade(color, contrasts, contrast)
        times = wide.columns.to_numpy(dtype=float)
        ax.plot(times, mean, color=shade, linewidth=width, label=f"{contrast:g} %")
        band = ax.fill_between(times, mean - sem, mean + sem, color=shade, alpha=0.25, linewidth=0)
        band.set_label(f"_band {contrast:g}")


def _numbers_of(group: pd.DataFrame) -> str:
    """Animals of a panel, and trials of its lines."""
    per_animal = group.groupby(["contrast", "subject"], observed=True)["n_trials"].max()
    per_line = per_animal.groupby("contrast", observed=True).sum()
    low, high = int(per_line.min()), int(per_line.max())
    n_animals = group["subject"].nunique()
    trials = f"{low:,} to {high:,}" if low != high else f"{low:,}"
    return f"{n_animals} {'mouse' if n_animals == 1 else 'mice'}\n{trials} trials"


def _write_numbers(ax: Axes, text: str) -> None:
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=6)


def _shade(color: str, contrasts: Sequence[float], contrast: float) -> tuple[tuple, float]:
    """Pale and thin to dark and thick as contrast grows, so that no hue is needed."""
    from matplotlib.colors import to_rgb

    place = list(contrasts).index(contrast) / max(len(contrasts) - 1, 1)
    rgb = np.array(to_rgb(color))
    pale, dark = rgb * 0.35 + 0.65 * np.ones(3) * 0.93, rgb * (1 - _MIXED_WITH)
    return tuple(pale + place * (dark - pale)), _WIDTHS[0] + place * (_WIDTHS[1] - _WIDTHS[0])


def _contrast_legend(figure: Figure, contrasts: Sequence[float]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for contrast in contrasts:
        color, width = _shade("#555555", contrasts, contrast)
        handles.append(Line2D([], [], color=color, linewidth=width, label=f"{contrast:g}"))
    figure.legend(
        handles=handles,
        title=CONTRAST_LABEL,
        title_fontsize=SMALL,
        loc="outside right center",
        fontsize=SMALL,
        frameon=False,
    )


def _n_trials(traces: pd.DataFrame) -> int:
    """Trials of the sessions: of each session the fiber with most, once per condition."""
    per_fiber = traces.groupby(["eid", "fiber_idx", *_CONDITION], observed=True)["n_trials"].max()
    per_fiber = per_fiber.groupby(["eid", "fiber_idx"]).sum()
    return int(per_fiber.groupby("eid").max().sum())
