"""Panels of the cohort figures: grids, axes of contrast, numbers of animals, no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from iblnm.analysis.result import count_units
from iblnm.config import Settings
from iblnm.vis.style import INK, new_figure, ordered_targets, plain_axes, target_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EVENT_LABELS = {
    "stimOn_times": "stimulus onset",
    "firstMovement_times": "first movement",
    "feedback_times": "feedback",
}
OUTCOME_LABELS = {1: "correct", -1: "incorrect"}
RESPONSE_LABEL = "Response (z)"
_UNIT_LABELS = {"z": "z", "dff": "dF/F"}
CONTRAST_LABEL = "Contrast (%)"
SMALL = 7
_LETTERS_PER_INCH = 13
_MIN_WIDTH = 4.6
_NO_DATA = "no data"
_LETTERS_OF_ACCOUNT = 92
_BELOW_TITLE_INCHES = 0.35
_HANGING = {"subsequent_indent": "   "}
_UNITS = {
    "subjects": ("mouse", "mice"),
    "sessions": ("session", "sessions"),
    "recordings": ("recording", "recordings"),
    "trials": ("trial", "trials"),
}


def unit_label(settings: Settings) -> str:
    """Name of the unit of the responses in the cohort analyses, see ``cohort.unit``."""
    return _UNIT_LABELS[settings.cohort.unit]


def response_label(settings: Settings) -> str:
    """Label of an axis of responses of the cohort analyses."""
    return f"Response ({unit_label(settings)})"


class NoDataError(ValueError):
    """There is nothing to draw; the message is the reason."""


Drawing = TypeVar("Drawing", bound=Callable[..., Any])


def or_no_data(title: str) -> Callable[[Drawing], Drawing]:
    """Let a figure function answer `NoDataError` with a figure that says why it is empty."""

    def decorate(draw: Drawing) -> Drawing:
        @wraps(draw)
        def drawn(*args: Any, **kwargs: Any) -> Figure:
            try:
                return draw(*args, **kwargs)
            except NoDataError as reason:
                return no_data_figure(title, str(reason))

        return drawn  # type: ignore[return-value]

    return decorate


def no_data_figure(title: str, reason: str, account: Sequence[str] = ()) -> Figure:
    """A figure that says 'no data' and the reason.

    Parameters
    ----------
    title, reason : str
    account : sequence of str
        Lines that say what is left after each step, see `iblnm.analysis.account`.
    """
    lines = [part for line in account for part in wrap(line, _LETTERS_OF_ACCOUNT, **_HANGING)]
    figure = new_figure(4.5 if not lines else 6.4, 2.0 if not lines else 1.1 + 0.16 * len(lines))
    figure.set_label(_NO_DATA)
    figure.suptitle(title, fontsize=9, x=0.01, ha="left")
    if not lines:
        text = f"{_NO_DATA}\n{reason}"
        figure.text(0.5, 0.45, text, ha="center", va="center", fontsize=8, wrap=True)
        return figure
    said = [_NO_DATA, *wrap(reason, _LETTERS_OF_ACCOUNT), "", *lines]
    top = 1 - _BELOW_TITLE_INCHES / figure.get_figheight()
    figure.text(0.04, top, "\n".join(said), va="top", fontsize=8, linespacing=1.3)
    return figure


def reason_of(figure: Figure) -> str:
    """Why a figure has no data; empty where it has."""
    if has_data(figure):
        return ""
    return figure.texts[-1].get_text().removeprefix(_NO_DATA).strip().partition("\n\n")[0]


def has_data(figure: Figure) -> bool:
    """Whether a figure shows numbers, and does not only say that there are none."""
    return figure.get_label() != _NO_DATA


def need_rows(table: pd.DataFrame | None, columns: Iterable[str], what: str) -> pd.DataFrame:
    """The rows of a table in which all `columns` are known.

    Raises
    ------
    NoDataError
        If there is no such row.
    """
    columns = list(columns)
    if table is None or not len(table):
        raise NoDataError(f"the table of {what} is empty")
    known = table.dropna(subset=columns)
    if not len(known):
        raise NoDataError(f"none of {len(table)} rows of {what} has {', '.join(columns)}")
    return known


def count_text(counts: Mapping[str, int | tuple[int, int]]) -> str:
    """Numbers in words; of a pair, least and most of one target.

    Examples
    --------
    >>> count_text({"trials": 1200, "subjects": 1})
    'n = 1 mouse, 1,200 trials'
    >>> count_text({"subjects": (2, 4), "sessions": (3, 3)})
    'n = 2 to 4 mice, 3 sessions per target'
    """
    pairs = {unit for unit, number in counts.items() if isinstance(number, tuple)}
    each = " per target" if pairs and pairs != counts.keys() else ""
    parts = []
    for unit, names in _UNITS.items():
        if unit in counts:
            number = counts[unit]
            low, high = number if isinstance(number, tuple) else (number, number)
            span = f"{low:,} to {high:,}" if low != high else f"{low:,}"
            parts.append(f"{span} {names[high != 1]}{each if unit in pairs else ''}")
    whole = " per target" if pairs and not each else ""
    return f"n = {', '.join(parts)}{whole}" if parts else ""


def give_title(
    figure: Figure,
    title: str,
    table: pd.DataFrame | None = None,
    counts: Mapping[str, int | tuple[int, int]] | None = None,
    note: str = "",
) -> None:
    """Write title, numbers of animals, sessions, recordings and trials, and a note.

    Parameters
    ----------
    figure : Figure
    title : str
    table : DataFrame, optional
        Its sessions, recordings, subjects and trials are counted.
    counts : mapping, optional
        Numbers that the table does not tell.
    note : str
        What bars, bands or symbols are.
    """
    known: dict[str, Any] = dict(count_units(table)) if table is not None else {}
    known = {**(counts or {}), **{unit: number for unit, number in known.items() if number}}
    n_letters = int(_LETTERS_PER_INCH * figure.get_figwidth())
    lines = [part for line in (title, count_text(known), note) for part in wrap(line, n_letters)]
    figure.suptitle("\n".join(lines), fontsize=9, x=0.01, ha="left")


def panel_grid(
    n_rows: int,
    n_columns: int,
    *,
    size: tuple[float, float] = (1.9, 1.8),
    share_x: bool | str = True,
    share_y: bool | str = True,
    extra: tuple[float, float] = (0.8, 0.9),
) -> tuple[Figure, np.ndarray]:
    """A figure of equal panels, axes in an array (rows, columns); sizes in inches."""
    width = max(size[0] * n_columns + extra[0], _MIN_WIDTH)
    figure = new_figure(width, size[1] * n_rows + extra[1])
    axes = figure.subplots(n_rows, n_columns, sharex=share_x, sharey=share_y, squeeze=False)
    for ax in axes.flat:
        plain_axes(ax).tick_params(labelsize=SMALL)
    return figure, axes


def wrapped_grid(n: int, *, columns: int = 4, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    """`panel_grid` of `n` panels in rows of at most `columns`; places left over stay empty."""
    columns = min(columns, max(n, 1))
    rows = -(-max(n, 1) // columns)
    figure, axes = panel_grid(rows, columns, **kwargs)
    for ax in axes.flat[n:]:
        ax.remove()
    kept = list(axes.flat[:n])
    for ax in kept[-columns:]:
        ax.xaxis.set_tick_params(labelbottom=True)
    return figure, kept


def label_outer(
    figure: Figure, x: str | None = None, y: str | None = None, *, fontsize: float = 8
) -> None:
    """One label for the x axes of a figure and one for the y axes."""
    if x:
        figure.supxlabel(x, fontsize=fontsize)
    if y:
        figure.supylabel(y, fontsize=fontsize)


def panel_title(ax: Axes, text: str, color: str | None = None) -> None:
    """Title of a panel, above a bar in the color of its target."""
    from matplotlib.patches import Rectangle

    ax.set_title(text, fontsize=8, color=INK, loc="left", pad=7 if color else 4)
    if color:
        bar = Rectangle((0, 1.01), 1, 0.03, transform=ax.transAxes, color=color, clip_on=False)
        bar.set_in_layout(False)
        ax.add_patch(bar)


def contrast_positions(ax: Axes, contrasts: Sequence[float]) -> dict[float, int]:
    """Put contrasts (%) at equal steps on the x axis; the position of each."""
    levels = sorted(set(contrasts))
    ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels], fontsize=SMALL)
    ax.set_xlim(-0.4, len(levels) - 0.6)
    return {level: i for i, level in enumerate(levels)}


def zero_line(ax: Axes, *, axis: str = "y", at: float = 0.0) -> None:
    draw = ax.axhline if axis == "y" else ax.axvline
    draw(at, color=INK, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)


def target_legend(
    figure: Figure, targets: Iterable[str], settings: Settings, **kwargs: Any
) -> None:
    """Legend of the targets' colors, markers and line styles, outside on the right."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], markersize=5, linewidth=1.4, label=name, **target_style(name, settings))
        for name in ordered_targets(targets, settings)
    ]
    kwargs = {"loc": "outside right center", "fontsize": SMALL, "frameon": False, **kwargs}
    figure.legend(handles=handles, **kwargs)


def mean_and_sem(values: pd.DataFrame | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error over the first axis without NaN; the error needs two values.

    Parameters
    ----------
    values : array (n_animals, ...)

    Returns
    -------
    mean, sem : array
        NaN where no value is; ``sem`` NaN where there is only one.
    """
    values = np.asarray(values, dtype=float)
    n = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(n, n, np.nan)
    squares = np.nansum((values - mean) ** 2, axis=0)
    sem = np.sqrt(squares / np.where(n > 1, n - 1, np.nan)) / np.sqrt(np.where(n, n, np.nan))
    return mean, sem
