"""Decoding of targets: confusion, coefficients, contributions of features, null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.analysis.vectors.figures import parse_features
from iblnm.config import Settings
from iblnm.vis.marks import SEQUENTIAL, color_bar, draw_matrix, intervals
from iblnm.vis.panels import (
    SMALL,
    NoDataError,
    give_title,
    need_rows,
    or_no_data,
    zero_line,
)
from iblnm.vis.style import INK, new_figure, ordered_targets, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# of a difference of two percentages
_ROUND_OFF = 1e-9


def confusion_counts(predictions: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Recordings by true (rows) and predicted target; missing predictions are left out."""
    made = predictions[predictions["predicted"].notna()]
    targets = ordered_targets(
        {*predictions["target_NM"].astype(str), *made["predicted"].astype(str)}, settings
    )
    table = pd.crosstab(made["target_NM"].astype(str), made["predicted"].astype(str))
    return table.reindex(index=targets, columns=targets, fill_value=0)


@or_no_data("Decoding of targets")
def confusion_figure(
    predictions: pd.DataFrame,
    accuracy: pd.DataFrame | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Share of each target's recordings by the target that was predicted.

    Parameters
    ----------
    predictions : DataFrame
        Schema `iblnm.analysis.decoding.tables.DECODING_PREDICTIONS`: ``target_NM``,
        ``predicted`` (null where no prediction could be made), keys of the recording.
    accuracy : DataFrame, optional
        Schema `iblnm.analysis.decoding.tables.DECODING_ACCURACY`; balanced accuracy with its
        interval and p stand in the title.
    counts : mapping, optional
        Numbers for the title that the table does not tell.
    settings : Settings

    Returns
    -------
    Figure
        Cells: share of the row in percent, and number of recordings.
    """
    table = need_rows(predictions, ("target_NM",), "predictions")
    if not table["predicted"].notna().any():
        raise NoDataError(f"none of {len(table)} recordings has a prediction")
    number = confusion_counts(table, settings)
    share = 100 * number.div(number.sum(axis=1).replace(0, np.nan), axis=0)
    texts = share.round(0).astype(object)
    for name in share.columns:
        texts[name] = [
            "" if np.isnan(s) else f"{s:.0f}\n({n})"
            for s, n in zip(share[name], number[name], strict=True)
        ]
    size = 1.6 + 0.55 * len(number)
    figure = new_figure(max(size + 1.0, 4.0), size + 0.5)
    ax = figure.add_subplot()
    image = draw_matrix(ax, share, cmap=SEQUENTIAL, limits=(0.0, 100.0), texts=texts)
    ax.set_aspect("equal")
    ax.set_xlabel("Predicted target", fontsize=8)
    ax.set_ylabel("True target", fontsize=8)
    color_bar(figure, image, ax, "Recordings of the true target (%)")
    missing = int(table["predicted"].isna().sum())
    chance = 100 / len(number)
    note = f"brackets: recordings; {missing} without prediction; chance {chance:.0f} %"
    note += _accuracy_text(accuracy)
    give_title(figure, "Decoding of targets, animals held out", table, counts, note)
    return figure


def _accuracy_text(accuracy: pd.DataFrame | None) -> str:
    if accuracy is None or not (accuracy["measure"] == "balanced_accuracy").any():
        return ""
    row = accuracy[accuracy["measure"] == "balanced_accuracy"].iloc[0]
    text = f"; balanced accuracy {100 * row['value']:.0f} %"
    if pd.notna(row["low"]):
        text += f" ({100 * row['low']:.0f} to {100 * row['high']:.0f} %)"
    return text + (f", p = {row['p']:.2g}" if pd.notna(row["p"]) else "")


@or_no_data("Coefficients of the decoder")
def decoder_coefficients_figure(
    coefficients: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """Coefficients of the refit decoder: a row per target, a column per feature.

    Parameters
    ----------
    coefficients : DataFrame
        Long (``target_NM``, ``feature``, ``coefficient``), or target × feature.
    counts : mapping, optional
        Numbers for the title.
    settings : Settings
    """
    if "feature" in coefficients:
        coefficients = coefficients.pivot_table(
            index="target_NM", columns="feature", values="coefficient", observed=True
        )
    if not coefficients.notna().to_numpy().any():
        raise NoDataError("the decoder has no coefficients")
    conditions = parse_features(coefficients.columns)
    order = conditions["feature"].tolist()
    order += [name for name in coefficients.columns if name not in set(order)]
    table = coefficients.reindex(
        index=ordered_targets(coefficients.index, settings), columns=order
    )
    limit = float(np.nanmax(np.abs(table.to_numpy(dtype=float)))) or 1.0
    figure = new_figure(2.2 + 0.19 * len(order), 2.6 + 0.28 * len(table))
    ax = figure.add_subplot()
    names = [name.replace("_", " ") for name in order]
    image = draw_matrix(ax, table.set_axis(names, axis=1), limits=(-limit, limit))
    ax.tick_params(axis="x", labelrotation=90, labelsize=6)
    for label in ax.get_xticklabels():
        label.set(ha="center", rotation_mode="default")
    ax.set_xlabel("Feature (event, contrast in %, side, outcome)", fontsize=8)
    color_bar(figure, image, ax, "Coefficient\n(per s.d.)")
    give_title(figure, "Coefficients of the decoder", counts=counts, note="white: zero")
    return figure


@or_no_data("Contributions of features to decoding")
def contributions_figure(
    contributions: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """What held-out balanced accuracy loses without each feature, largest loss first.

    Parameters
    ----------
    contributions : DataFrame
        Schema `iblnm.analysis.decoding.tables.DECODING_CONTRIBUTIONS`: ``feature``,
        ``contribution`` and its interval ``low``, ``high`` over resampled animals.
    counts : mapping, optional
        Numbers for the title.
    settings : Settings, optional
    """
    table = need_rows(contributions, ("feature", "contribution"), "contributions")
    table = table.sort_values("contribution", ascending=False, kind="stable")
    table = table.rename(columns={"low": "ci_low", "high": "ci_high"})
    value = 100 * table["contribution"].to_numpy(dtype=float)
    figure = new_figure(5.0, 1.3 + 0.17 * max(len(table), 4))
    ax = plain_axes(figure.add_subplot())
    y = np.arange(len(table))
    ax.barh(y, value, color="#9fb7c9", edgecolor=INK, linewidth=0.5)
    ends = value
    if "ci_low" in table:
        low, high = (100 * end for end in intervals(table, "contribution"))
        ax.hlines(y, low, high, color=INK, linewidth=0.9)
        ends = np.fmax(value, high)
    zero_line(ax, axis="x")
    for row, (number, end) in enumerate(zip(value, ends, strict=True)):
        at = (max(float(end), 0.0), row)
        ax.annotate(
            _loss_text(number), at, (3, 0), textcoords="offset points", va="center", fontsize=6
        )
    ax.margins(x=0.12)
    ax.set_yticks(y, [name.replace("_", " ") for name in table["feature"]])
    ax.tick_params(labelsize=6.5)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlabel("Loss of balanced accuracy (percentage points)", fontsize=8)
    note = "held-out balanced accuracy minus that without the feature; bars: 95 % intervals"
    n_zero = sum(_loss_text(number) == "0" for number in value)
    if n_zero:
        note += f"; 0: no loss without it, the others suffice ({n_zero} of {len(value)})"
    give_title(figure, "Contributions of features to decoding", counts=counts, note=note)
    return figure


def _loss_text(loss: float) -> str:
    """A loss in percentage points; '0' only where there is none."""
    if abs(loss) < _ROUND_OFF:
        return "0"
    return f"{loss:.1f}" if abs(loss) >= 0.1 else f"{loss:.1g}"


@or_no_data("Permutation null of decoding")
def decoding_null_figure(
    null: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> Figure:
    """Balanced accuracy with targets shuffled among animals, and the observed one.

    Parameters
    ----------
    null : DataFrame
        Schema `iblnm.analysis.decoding.tables.DECODING_NULL`.
    counts : mapping, optional
        Numbers for the title.
    settings : Settings, optional
    """
    null = need_rows(null, ("balanced_accuracy",), "permutations")
    values = 100 * null["balanced_accuracy"].to_numpy(dtype=float)
    figure = new_figure(4.6, 2.8)
    ax = plain_axes(figure.add_subplot())
    ax.hist(values, 30, color="#c3c9ce", edgecolor="white", linewidth=0.3)
    observed, p_value = null["observed"].iloc[0], null["p"].iloc[0]
    ax.axvline(100 * observed, color="#d55e00", linewidth=1.6, label="observed")
    ax.set_xlabel("Balanced accuracy (%)", fontsize=8)
    ax.set_ylabel("Permutations (count)", fontsize=8)
    ax.tick_params(labelsize=SMALL)
    ax.legend(fontsize=SMALL, frameon=False)
    note = f"{len(values):,} permutations of whole animals"
    note += "" if pd.isna(p_value) else f"; p = {p_value:.2g}"
    give_title(figure, "Decoding against shuffled targets", counts=counts, note=note)
    return figure
