"""One session: raw bands, preprocessed signal, responses of every trial and their means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.quality.figures import BAND_STYLES
from iblnm.config import Settings
from iblnm.vis.panels import (
    EVENT_LABELS,
    OUTCOME_LABELS,
    RESPONSE_LABEL,
    SMALL,
    NoDataError,
    give_title,
    mean_and_sem,
    or_no_data,
    zero_line,
)
from iblnm.vis.style import INK, NEUTRAL, new_figure, plain_axes, target_color

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREPROCESSED = "GCaMP_preprocessed"
NO_RAW = "raw bands are not loaded"
EVENT_STYLES = {
    "stimOn_times": {"color": "#0072b2", "linestyle": "-"},
    "firstMovement_times": {"color": "#4d4d4d", "linestyle": ":"},
    "feedback_times": {"color": "#d55e00", "linestyle": "--"},
}
_OUTCOME_STYLES = {
    1: {"color": "#0072b2", "linestyle": "-"},
    -1: {"color": "#d55e00", "linestyle": "--"},
}
_SATURATED = 99.0
_MAX_POINTS = 20_000
_MIN_TRIALS = 5
_MIN_SHARE = 0.25


@or_no_data("Example session")
def example_session_figure(
    photometry: Mapping[str, pd.DataFrame],
    responses: Mapping[str, xr.DataArray],
    trials: pd.DataFrame,
    *,
    recording: str,
    name: str = "",
    target: str | None = None,
    zoom_s: float = 40.0,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Raw bands, preprocessed signal, part of it with the events, and peri-event responses.

    Parameters
    ----------
    photometry : mapping of str to DataFrame
        Bands as `iblnm.data.PhotometrySession.photometry`: index times (s), a column per
        recording. Bands that are missing are left out.
    responses : mapping of str to DataArray
        As `PhotometrySession.responses`: (event, trial, time), by recording.
    trials : DataFrame
        Event times (s) and ``feedbackType``.
    recording : str
        Name of the recording.
    name : str
        Of the session, for the title.
    target : str, optional
        Target whose color in `settings` the preprocessed signal has.
    zoom_s : float
        Duration of the part shown with events (s), from the middle of the session.
    counts : mapping, optional
        Numbers for the title; one mouse, one session and its trials by default.
    settings : Settings, optional
        Colors of the targets; the signal is black without.
    """
    if recording not in responses or not responses[recording].sizes["trial"]:
        found = ", ".join(responses) or "none"
        raise NoDataError(f"no responses of recording {recording!r}; there are: {found}")
    response = responses[recording]
    events = [str(event) for event in response["event"].to_numpy()]
    figure = new_figure(7.2, 8.6)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    raw, whole, part = (plain_axes(ax) for ax in top.subplots(3, 1))
    heat, mean = bottom.subplots(2, len(events), sharex=True, sharey="row", squeeze=False)
    color = INK if target is None or settings is None else target_color(target, settings)
    _draw_raw(raw, photometry, recording)
    _draw_preprocessed(whole, part, photometry, recording, trials, color, zoom_s)
    limit = float(np.nanpercentile(np.abs(response.to_numpy()), _SATURATED))
    outcome = trials["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
    order = np.argsort(-outcome, kind="stable")
    for i, event in enumerate(events):
        values, times = response.sel(event=event).to_numpy(), response["time"].to_numpy()
        image = _draw_heat(heat[i], values[order], times, limit, int((outcome == 1).sum()))
        _draw_means(plain_axes(mean[i]), values, times, outcome)
        heat[i].set_title(EVENT_LABELS.get(event, event).capitalize(), fontsize=8, loc="left")
        mean[i].set_xlabel("Time from event (s)", fontsize=8)
    heat[0].set_ylabel("Trial (correct above errors)", fontsize=8)
    mean[0].set_ylabel(RESPONSE_LABEL, fontsize=8)
    mean[0].legend(fontsize=SMALL, frameon=False, loc="best")
    bar = bottom.colorbar(image, ax=heat, shrink=0.9, pad=0.01)
    bar.set_label(RESPONSE_LABEL, fontsize=8)
    bar.ax.tick_params(labelsize=SMALL)
    for ax in (raw, whole, part, *heat, *mean):
        ax.tick_params(labelsize=SMALL)
    title = f"Session {name}, recording {recording}".replace("Session ,", "Session,")
    title += f" ({target})" if target else ""
    note = _note(response)
    one = {"subjects": 1, "sessions": 1, "recordings": 1, "trials": len(trials)}
    give_title(figure, title, counts={**(counts or {}), **one}, note=note)
    return figure


def _note(response: xr.DataArray) -> str:
    """What gray cells and ends of lines are, if there are any."""
    missing = np.isnan(response.to_numpy())
    after = response["time"].to_numpy() >= 0
    without_event = missing.all(axis=-1, keepdims=True)
    parts = []
    if missing.any():
        reasons = {
            "masked from the next event on": (missing & ~without_event)[..., after].any(),
            "no such event or no signal": bool(without_event.any())
            or (missing & ~without_event)[..., ~after].any(),
        }
        parts = ["gray: " + ", or ".join(why for why, is_so in reasons.items() if is_so)]
        parts.append(f"lines end where fewer than {_MIN_TRIALS} trials or a quarter are left")
    return "; ".join([*parts, "bands: SEM over trials"])


def _draw_raw(ax: Axes, photometry: Mapping[str, pd.DataFrame], recording: str) -> None:
    for band, style in BAND_STYLES.items():
        if band not in photometry or recording not in photometry[band]:
            continue
        series = _thinned(photometry[band][recording])
        ax.plot(series.index, series, color=style["color"], linewidth=0.5, label=band)
    ax.set_ylabel("Raw (a.u.)", fontsize=8)
    ax.set_xlabel("Time in session (s)", fontsize=8)
    if ax.lines:
        ax.legend(fontsize=SMALL, frameon=False, ncols=2, loc="upper right")
    else:
        ax.text(0.5, 0.5, NO_RAW, transform=ax.transAxes, ha="center", va="center", fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])


def _draw_preprocessed(
    whole: Axes,
    part: Axes,
    photometry: Mapping[str, pd.DataFrame],
    recording: str,
    trials: pd.DataFrame,
    color: str,
    zoom_s: float,
) -> None:
    for ax in (whole, part):
        ax.set_ylabel("Preprocessed (z)", fontsize=8)
        ax.set_xlabel("Time in session (s)", fontsize=8)
        zero_line(ax)
    if PREPROCESSED not in photometry or recording not in photometry[PREPROCESSED]:
        return
    series = photometry[PREPROCESSED][recording]
    thinned = _thinned(series)
    whole.plot(thinned.index, thinned, color=color, linewidth=0.4)
    start = float(np.median(trials["stimOn_times"].dropna())) if len(trials) else 0.0
    whole.axvspan(start, start + zoom_s, color=INK, alpha=0.12, linewidth=0)
    zoomed = series.loc[start : start + zoom_s]
    part.plot(zoomed.index, zoomed, color=color, linewidth=0.9, label="_signal")
    for event, style in EVENT_STYLES.items():
        times = trials[event] if event in trials else pd.Series(dtype=float)
        for i, time in enumerate(times[times.between(start, start + zoom_s)]):
            label = EVENT_LABELS[event] if i == 0 else f"_{event}"
            part.axvline(time, linewidth=0.8, label=label, **style)
    part.set_xlim(start, start + zoom_s)
    if part.get_legend_handles_labels()[0]:
        part.legend(
            fontsize=SMALL, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1)
        )


def _thinned(series: pd.Series) -> pd.Series:
    """At most some ten thousand samples: more cannot be seen and make vector files heavy."""
    return series.iloc[:: max(1, len(series) // _MAX_POINTS + 1)]


def _draw_heat(
    ax: Axes, values: np.ndarray, times: np.ndarray, limit: float, n_correct: int
) -> object:
    from matplotlib import colormaps

    step = float(times[1] - times[0]) if len(times) > 1 else 1.0
    extent = (times[0] - step / 2, times[-1] + step / 2, len(values), 0)
    image = ax.imshow(
        values,
        cmap=colormaps["RdBu_r"].with_extremes(bad=NEUTRAL),
        vmin=-limit,
        vmax=limit,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    ax.axvline(0, color=INK, linewidth=0.6, linestyle=(0, (2, 2)))
    ax.axhline(n_correct, color=INK, linewidth=0.8)
    return image


def _draw_means(ax: Axes, values: np.ndarray, times: np.ndarray, outcome: np.ndarray) -> None:
    zero_line(ax)
    zero_line(ax, axis="x")
    for kind, style in _OUTCOME_STYLES.items():
        chosen = values[outcome == kind]
        if not len(chosen):
            continue
        mean, sem = mean_and_sem(chosen)
        n_left = np.isfinite(chosen).sum(axis=0)
        few = (n_left < _MIN_TRIALS) | (n_left < _MIN_SHARE * n_left.max())
        mean[few] = sem[few] = np.nan
        label = f"{OUTCOME_LABELS[kind]} ({n_left.max()})"
        ax.plot(times, mean, linewidth=1.2, label=label, **style)
        ax.fill_between(
            times, mean - sem, mean + sem, color=style["color"], alpha=0.25, linewidth=0
        )
