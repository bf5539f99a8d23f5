"""Marks that several figures share: estimates with intervals, heat maps with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.vis.panels import EVENT_LABELS, SMALL
from iblnm.vis.style import INK, NEUTRAL, target_color, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGING = "RdBu_r"
SEQUENTIAL = "cividis"
_DARK = 0.5


def symbols_note(table: pd.DataFrame, settings: Settings) -> str:
    """What filled and open symbols, crosses and bars mean in a figure of this table."""
    parts = []
    if "p_corrected" in table:
        parts.append(f"filled: corrected p < {settings.figures.alpha:g}; open: not")
    failed = table[~_flag(table, "converged", missing=True)]
    if len(failed):
        keys = [name for name in ("target_NM", "event") if name in failed]
        names = sorted({" ".join(map(str, key)) for key in failed[keys].to_numpy()})
        parts.append(f"did not converge (gray cross or missing): {', '.join(names)}")
    singular = table[_flag(table, "singular", missing=False)]
    if len(singular):
        meaning = "variance between animals, in intercept, slope or a mix, estimated as zero"
        parts.append(f"singular ({meaning}): {_names_of_fits(singular, table)}")
    level = "95 % intervals, not corrected" if "p_corrected" in table else "95 % intervals"
    return "; ".join([*parts, f"bars: {level}"])


def _names_of_fits(chosen: pd.DataFrame, table: pd.DataFrame) -> str:
    """Targets of the chosen fits by event, 'all fits' where the table has no others."""
    keys = [name for name in ("target_NM", "event") if name in table]
    if len(chosen[keys].drop_duplicates()) == len(table[keys].drop_duplicates()):
        return "all fits"
    if "event" not in chosen:
        return ", ".join(sorted(chosen["target_NM"].unique()))
    groups = chosen.groupby("event", observed=True)["target_NM"].unique()
    order = [*(name for name in EVENT_LABELS if name in groups), *groups.index]
    return "; ".join(
        f"at {EVENT_LABELS.get(name, name)} {', '.join(sorted(groups[name]))}"
        for name in dict.fromkeys(order)
    )


def limits_of_estimates(
    estimate: np.ndarray, low: np.ndarray, high: np.ndarray, *, room: float = 0.25
) -> tuple[float, float]:
    """Limits of an axis that a few wide intervals do not fill.

    Parameters
    ----------
    estimate, low, high : array (n,)
        Estimates and ends of their intervals; NaN where unknown.
    room : float
        How far intervals may reach beyond the estimates, as a share of the estimates' range.
        With a single value all intervals fit in.
    """
    ends = np.array([np.nanmin(estimate), np.nanmax(estimate)])
    span = float(ends[1] - ends[0])
    reach = np.array([np.nanmin([*low, ends[0]]), np.nanmax([*high, ends[1]])])
    if span > 0:
        reach = np.clip(reach, ends[0] - room * span, ends[1] + room * span)
    margin = 0.04 * float(reach[1] - reach[0]) or 0.5
    return float(reach[0]) - margin, float(reach[1]) + margin


def draw_beyond(
    ax: Axes,
    positions: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    limits: tuple[float, float],
    color: str,
) -> int:
    """Arrows where intervals reach beyond the limits of the y axis; how many.

    They are open and end at the edge, so that none is taken for the symbol of a target.
    """
    look = {"arrowstyle": "->", "color": color, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    n = 0
    for end, beyond, back in ((limits[0], low < limits[0], 7), (limits[1], high > limits[1], -7)):
        for position in positions[beyond]:
            arrow = ax.annotate(
                "",
                (position, end),
                (0, back),
                textcoords="offset points",
                arrowprops=look,
                annotation_clip=False,
            )
            arrow.set_gid("beyond")
            n += 1
    return n


def draw_estimates(
    ax: Axes,
    table: pd.DataFrame,
    positions: Sequence[float] | np.ndarray,
    target: str,
    settings: Settings,
    *,
    value: str = "estimate",
    orientation: str = "horizontal",
    joined: bool = False,
    markersize: float = 4.0,
) -> None:
    """One symbol per row with its interval; its filling tells the corrected p.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Column `value`; ``ci_low`` and ``ci_high``, or ``se`` (then ±1.96 se), ``p_corrected``
        and ``converged`` where there are.
    positions : sequence of float, length of `table`
        On the other axis.
    target : str
        Whose color, marker and line style are used.
    settings : Settings
    value : str
    orientation : {'horizontal', 'vertical'}
        Direction of the values' axis.
    joined : bool
        Whether a line joins the symbols.
    markersize : float
    """
    style = target_style(target, settings)
    estimate = table[value].to_numpy(dtype=float, na_value=np.nan)
    low, high = intervals(table, value)
    good = _flag(table, "converged", missing=True)
    p = numbers(table, "p_corrected")
    # of a table without p nothing is claimed; an unknown p of one that has them is not small
    sure = good & (p < settings.figures.alpha if "p_corrected" in table else True)
    if "p_corrected" in table:
        # an estimate whose interval holds zero is never shown as sure
        sure &= ~((low <= 0) & (high >= 0))
    positions = np.asarray(positions, dtype=float)
    marks = [
        (good & sure, {"color": style["color"], "marker": style["marker"]}, "sure"),
        (
            good & ~sure,
            {"color": style["color"], "marker": style["marker"], "markerfacecolor": "white"},
            "unsure",
        ),
        (~good, {"color": NEUTRAL, "marker": "x"}, "not converged"),
    ]
    if joined:
        x, y = (estimate, positions) if orientation == "horizontal" else (positions, estimate)
        line = np.where(good, 1.0, np.nan)
        ax.plot(x * line, y * line, color=style["color"], linestyle=style["linestyle"], lw=1.1)
    for chosen, look, name in marks:
        if not chosen.any():
            continue
        bars = np.abs([estimate - low, high - estimate])[:, chosen]
        at, errors = (estimate[chosen], positions[chosen]), {"xerr": bars}
        if orientation == "vertical":
            at, errors = at[::-1], {"yerr": bars}
        label = f"{target} {name}"
        ax.errorbar(*at, **errors, **look, ls="none", ms=markersize, elinewidth=0.9, label=label)


def intervals(table: pd.DataFrame, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends: ``ci_low`` and ``ci_high``, else ±1.96 ``se``, else NaN."""
    estimate = table[value].to_numpy(dtype=float, na_value=np.nan)
    if "ci_low" in table and "ci_high" in table:
        return numbers(table, "ci_low"), numbers(table, "ci_high")
    half = 1.959964 * numbers(table, "se")
    return estimate - half, estimate + half


def numbers(table: pd.DataFrame, name: str) -> np.ndarray:
    """A column as numbers; NaN where it is missing, or all of it."""
    if name not in table:
        return np.full(len(table), np.nan)
    return table[name].to_numpy(dtype=float, na_value=np.nan)


def _flag(table: pd.DataFrame, name: str, *, missing: bool) -> np.ndarray:
    if name not in table:
        return np.full(len(table), missing)
    return table[name].astype("boolean").fillna(missing).to_numpy(dtype=bool)


def spread_positions(n: int, width: float = 0.6) -> np.ndarray:
    """Offsets of `n` neighbors around 0."""
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(1)


def draw_matrix(
    ax: Axes,
    table: pd.DataFrame,
    *,
    cmap: str = DIVERGING,
    limits: tuple[float, float] = (-1.0, 1.0),
    texts: pd.DataFrame | None = None,
    ticks: bool = True,
) -> Any:
    """Heat map of a table, rows from the top, with texts in its cells; missing is gray."""
    from matplotlib import colormaps

    colors = colormaps[cmap].with_extremes(bad=NEUTRAL)
    values = table.to_numpy(dtype=float, na_value=np.nan)
    low, high = limits
    image = ax.imshow(
        np.ma.masked_invalid(values), cmap=colors, vmin=low, vmax=high, aspect="auto"
    )
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, labelsize=SMALL)
    if ticks:
        ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns], rotation=60)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    if texts is not None:
        for (i, j), value in np.ndenumerate(values):
            red, green, blue, _ = colors((value - low) / (high - low) if high > low else 0.5)
            is_dark = np.isfinite(value) and 0.3 * red + 0.59 * green + 0.11 * blue < _DARK
            text = str(texts.iloc[i, j])
            ax.text(
                j, i, text, ha="center", va="center", fontsize=6, color="w" if is_dark else INK
            )
    return image


def cell_text(value: float) -> str:
    """Two decimals, without the sign of a zero; empty where missing."""
    return "" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"


def color_bar(figure: Figure, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=SMALL)
    bar.outline.set_visible(False)


def target_strips(ax: Axes, labels: Sequence[str], settings: Settings) -> None:
    """Color of each row's target beside a square heat map, its name, and lines between."""
    from matplotlib.patches import Rectangle

    n = len(labels)
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and labels[stop] == labels[start]:
            stop += 1
        color = target_color(labels[start], settings)
        size = stop - start
        for at, width, height, transform in (
            ((-0.035, start - 0.5), 0.025, size, ax.get_yaxis_transform()),
            ((start - 0.5, -0.035), size, 0.025, ax.get_xaxis_transform()),
        ):
            strip = Rectangle(
                at, width, height, transform=transform, color=color, clip_on=False, lw=0
            )
            ax.add_patch(strip)
        ax.text(
            -0.05,
            start + size / 2 - 0.5,
            f"{labels[start]} ({size})",
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=SMALL,
        )
        if stop < n:
            ax.axhline(stop - 0.5, color=INK, linewidth=0.6)
            ax.axvline(stop - 0.5, color=INK, linewidth=0.6)
        start = stop
    ax.set_xticks([])
    ax.set_yticks([])
