"""Quality of the left camera's videos: verdicts, lengths, frame rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.panels import SMALL, give_title, need_rows, or_no_data, zero_line
from iblnm.vis.style import INK, NEUTRAL, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# from pale to dark, so that they differ in lightness too
VERDICT_COLORS = {
    "PASS": "#d3e6f2",
    "WARNING": "#f2b233",
    "CRITICAL": "#d55e00",
    "FAIL": "#7a1a12",
    "not set": "#f1f1ef",
}
_PREFIX = "qc_"
_RATE_BINS = 20
_MAX_BARS = 5
_ROOM = 2.0


def verdict_counts(video: pd.DataFrame) -> pd.DataFrame:
    """Sessions per quality column and verdict; verdicts that are missing or other: not set.

    Parameters
    ----------
    video : DataFrame
        Schema `iblnm.schemas.VIDEO`.

    Returns
    -------
    DataFrame
        A row per quality column (without ``qc_``), a column per verdict.
    """
    names = [name for name in video.columns if name.startswith(_PREFIX)]
    known = [verdict for verdict in VERDICT_COLORS if verdict != "not set"]
    rows = {}
    for name in names:
        verdict = video[name].astype(object)
        verdict = verdict.where(verdict.isin(known), "not set")
        rows[name.removeprefix(_PREFIX)] = verdict.value_counts()
    table = pd.DataFrame(rows).T.reindex(columns=list(VERDICT_COLORS))
    return table.fillna(0).astype(int)


@or_no_data("Quality of the videos")
def video_figure(
    video: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Verdicts of Alyx, difference of length between session and video, and frame rate.

    Parameters
    ----------
    video : DataFrame
        Schema `iblnm.schemas.VIDEO`.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings
        Limit of the difference of length, colors of the session types.
    """
    video = need_rows(video, ("eid",), "videos")
    figure = new_figure(9.0, 3.3)
    verdicts, lengths, rates = figure.subplots(1, 3, width_ratios=(1.25, 1, 0.8))
    for ax in (verdicts, lengths, rates):
        plain_axes(ax).tick_params(labelsize=SMALL)
    _draw_verdicts(verdicts, verdict_counts(video))
    _draw_lengths(lengths, video, settings)
    rate = video["framerate_from_tpts"].dropna().to_numpy(dtype=float)
    _draw_rates(rates, rate)
    n = {"sessions": len(video), "subjects": video["subject"].nunique()}
    limit = settings.thresholds.max_video_length_difference_s
    note = f"{len(rate)} videos with readable frame times; dashed: limit ±{limit:g} s"
    others = {unit: number for unit, number in (counts or {}).items() if unit != "trials"}
    give_title(figure, "Quality of the left camera's videos", counts={**others, **n}, note=note)
    return figure


def _draw_verdicts(ax: Axes, table: pd.DataFrame) -> None:
    y = np.arange(len(table))
    left = np.zeros(len(table))
    for verdict, color in VERDICT_COLORS.items():
        number = table[verdict].to_numpy()
        ax.barh(y, number, left=left, color=color, edgecolor=INK, linewidth=0.4, label=verdict)
        left = left + number
    ax.set_yticks(y, [name.replace("_", " ") for name in table.index])
    ax.invert_yaxis()
    ax.set_xlabel("Sessions (count)", fontsize=8)
    ax.legend(
        fontsize=SMALL, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(-0.35, 1.0)
    )


def _draw_rates(ax: Axes, rate: np.ndarray) -> None:
    """A histogram; of a few rates a bar each with its number, as bins would show little."""
    levels, numbers = np.unique(rate.round(1), return_counts=True)
    if len(levels) > _MAX_BARS:
        ax.hist(rate, _RATE_BINS, color=NEUTRAL, edgecolor=INK, linewidth=0.5)
        ax.set_xlabel("Frame rate (Hz)", fontsize=8)
        ax.set_ylabel("Sessions (count)", fontsize=8)
        return
    y = np.arange(len(levels))
    ax.barh(y, numbers, 0.5, color=NEUTRAL, edgecolor=INK, linewidth=0.5)
    for row, number in zip(y, numbers, strict=True):
        ax.annotate(
            f"{number}",
            (number, row),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    ax.set_yticks(y, [f"{level:g}" for level in levels])
    ax.set_ylim(-0.8, max(len(levels), 2) - 0.2)
    ax.margins(x=0.15)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("Sessions (count)", fontsize=8)
    ax.set_ylabel("Frame rate (Hz)", fontsize=8)


def _draw_lengths(ax: Axes, video: pd.DataFrame, settings: Settings) -> None:
    """The largest differences are far beyond the limit: the axis is linear within it only."""
    limit = settings.thresholds.max_video_length_difference_s
    kinds = video["session_type"].astype(object).fillna("unknown")
    order = [*settings.session_type_colors, "unknown"]
    shown = sorted(set(kinds), key=lambda kind: order.index(kind) if kind in order else len(order))
    for i, kind in enumerate(shown):
        values = video.loc[kinds == kind, "length_discrepancy"].dropna().to_numpy(dtype=float)
        spread = (np.arange(len(values)) % 7 - 3) * 0.06
        color = settings.session_type_colors.get(kind, NEUTRAL)
        ax.plot(i + spread, values, "o", color=color, markersize=3, label=kind)
    for at in (-limit, limit):
        zero_line(ax, at=at)
    ax.set_yscale("symlog", linthresh=limit)
    # margins of a linear axis would leave the largest on its edge
    low, high = (
        float(reach([0.0, *video["length_discrepancy"].dropna()])) for reach in (np.min, np.max)
    )
    ax.set_ylim(_ROOM * min(low, -limit), _ROOM * max(high, limit))
    ax.set_xticks(range(len(shown)), shown, rotation=40, ha="right")
    ax.set_xlim(-0.6, len(shown) - 0.4)
    ax.set_ylabel("Session − video (s)", fontsize=8)
