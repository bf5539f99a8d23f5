"""How much data there is: sessions and recordings at each stage, per target and mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.dataset import MODALITIES
from iblnm.pipeline.rules.values import get_list, listed_categories
from iblnm.vis.style import FAINT, NEUTRAL, new_figure, ordered_targets, plain_axes, target_color

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.path import Path

STAGES = {
    "all": "All sessions",
    "raw": "Raw data present (task and photometry)",
    "complete": "Complete (task and photometry, raw and extracted)",
    "passing_qc": "Complete and passing every BLOCK and ERROR check",
    "video_ready": "Passing, and video with every check passed",
}
_RECORDED = ("trials", "photometry")
_VIDEO = "video_qc"
_ROW_HEIGHT = 0.16
_MAX_HEIGHT = 120.0


def session_stages(
    sessions: pd.DataFrame, matrix: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Which stage each session has reached; each stage is part of the one before.

    Parameters
    ----------
    sessions : DataFrame
        ``eid`` and ``datasets``; ``label`` where humans have judged.
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    settings : Settings
        Categories of datasets.

    Returns
    -------
    DataFrame
        Index ``eid``, one bool column per stage of `STAGES`. A check that did not run is not
        passed, and a session that a human dropped does not pass.
    """
    listed = [
        listed_categories({"datasets": datasets}, settings) for datasets in sessions["datasets"]
    ]
    raw = {MODALITIES[name][0] for name in _RECORDED}
    extracted = {MODALITIES[name][1] for name in _RECORDED}
    stages = pd.DataFrame(index=pd.Index(sessions["eid"].astype(str), name="eid"))
    stages["all"] = True
    stages["raw"] = [raw <= categories for categories in listed]
    stages["complete"] = [raw | extracted <= categories for categories in listed]
    dropped = _label(sessions) == "drop"
    strict = _all_pass(matrix[matrix["severity"] != "WARN"], stages.index)
    stages["passing_qc"] = stages["complete"] & strict & ~dropped
    has_video = np.array(["raw_video" in categories for categories in listed], dtype=bool)
    video = _all_pass(matrix[matrix["asset"] == _VIDEO], stages.index)
    stages["video_ready"] = stages["passing_qc"] & has_video & video
    return stages


def _label(sessions: pd.DataFrame) -> np.ndarray:
    if "label" not in sessions:
        return np.full(len(sessions), "", dtype=object)
    return sessions["label"].astype(object).where(sessions["label"].notna(), "").to_numpy()


def _all_pass(matrix: pd.DataFrame, eids: pd.Index) -> np.ndarray:
    passes = (matrix["outcome"] == "pass").groupby(matrix["eid"].astype(str)).all()
    return passes.reindex(eids, fill_value=False).to_numpy(dtype=bool)


def recordings_table(sessions: pd.DataFrame, stages: pd.DataFrame) -> pd.DataFrame:
    """One row per fiber and session.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject``, ``target_NM`` (lists); ``excluded`` (lists of fibers) where
        humans have judged.
    stages : DataFrame
        See `session_stages`.

    Returns
    -------
    DataFrame
        ``eid``, ``fiber_idx``, ``subject``, ``target`` ('unknown' where there is none), and
        the stages. A fiber that a human dropped does not pass.
    """
    rows = []
    of_session = stages.to_dict("index")
    for row in sessions.to_dict("records"):
        excluded = set(get_list(row, "excluded"))
        reached = of_session[str(row["eid"])]
        for fiber, target in enumerate(get_list(row, "target_NM")):
            kept = fiber not in excluded
            rows.append(
                {
                    "eid": str(row["eid"]),
                    "fiber_idx": fiber,
                    "subject": str(row["subject"]),
                    "target": target or "unknown",
                    **reached,
                    "passing_qc": reached["passing_qc"] and kept,
                    "video_ready": reached["video_ready"] and kept,
                }
            )
    return pd.DataFrame(rows, columns=["eid", "fiber_idx", "subject", "target", *STAGES])


def session_matrix_figure(
    sessions: pd.DataFrame,
    included: pd.Series,
    *,
    title: str,
    settings: Settings,
) -> Figure:
    """Mice by number of session, colored by target; sessions left out are outlined.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject``, ``session_n``, ``target_NM`` (lists).
    included : Series of bool
        By eid, for example a column of `session_stages`.
    title : str
        Numbers of sessions and mice are added.
    settings : Settings
        Colors of the targets.
    """
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Patch

    columns = ["eid", "subject", "session_n", "target_NM"]
    sessions = sessions.loc[sessions["session_n"].notna(), columns]
    subjects = _subjects_by_target(sessions, settings)
    position = {subject: i for i, subject in enumerate(subjects)}
    shown = included.reindex(sessions["eid"].astype(str), fill_value=False).to_numpy(dtype=bool)
    cells: dict[tuple[str, bool], list[tuple[float, float, float]]] = {}
    for row, is_in in zip(sessions.to_dict("records"), shown, strict=True):
        x, y = float(row["session_n"]) - 0.44, position[str(row["subject"])] - 0.42
        targets = ordered_targets((t for t in get_list(row, "target_NM") if t), settings)
        height = 0.84 / max(len(targets), 1)
        for i, target in enumerate(targets or [None]):
            key = (target_color(target, settings) if is_in else "white", bool(is_in))
            cells.setdefault(key, []).append((x, y + i * height, height))
    n_columns = int(sessions["session_n"].max()) if len(sessions) else 1
    figure = new_figure(2.6 + _ROW_HEIGHT * max(n_columns, 16), _height(len(subjects)))
    ax = plain_axes(figure.add_subplot())
    for (color, is_in), corners in cells.items():
        edge = "none" if is_in else NEUTRAL
        path = _rectangles(np.array(corners), 0.88)
        drawn = PathCollection([path], facecolors=color, edgecolors=edge, linewidths=0.5)
        ax.add_collection(drawn, autolim=False)
    ax.set(xlim=(0.4, n_columns + 0.6), ylim=(max(len(subjects), 1) - 0.4, -0.6))
    ax.set_yticks(range(len(subjects)), subjects, fontsize=7)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("Session of the mouse (number)")
    ax.set_ylabel("Mouse")
    n_mice = sessions.loc[shown, "subject"].nunique()
    counts = f"{int(shown.sum())} of {len(sessions)} sessions, {n_mice} of {_mice(len(subjects))}"
    figure.suptitle(f"{title}\nn = {counts}", fontsize=9, x=0.01, ha="left")
    found = {t for targets in sessions["target_NM"] for t in get_list({"t": targets}, "t") if t}
    handles = [
        Patch(color=target_color(target, settings), label=target)
        for target in ordered_targets(found, settings)
    ]
    if (target_color(None, settings), True) in cells:
        handles.append(Patch(color=target_color(None, settings), label="target unknown"))
    handles.append(Patch(facecolor="white", edgecolor=NEUTRAL, label="not at this stage"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=7, frameon=False)
    return figure


def recordings_per_target_figure(recordings: pd.DataFrame, settings: Settings) -> Figure:
    """Complete recordings per target; the full color passes quality control.

    Parameters
    ----------
    recordings : DataFrame
        See `recordings_table`.
    settings : Settings
        Colors and order of the targets.
    """
    complete = recordings[recordings["complete"].astype(bool)]
    targets = ordered_targets({*complete["target"], *settings.analysed_targets}, settings)
    figure = new_figure(1.6 + 0.62 * len(targets), 3.6)
    ax = plain_axes(figure.add_subplot())
    total = complete.groupby("target").size().reindex(targets, fill_value=0)
    passing = _passing(complete).groupby("target").size().reindex(targets, fill_value=0)
    mice = complete.groupby("target")["subject"].nunique().reindex(targets, fill_value=0)
    colors = [target_color(target, settings) for target in targets]
    ax.bar(targets, total, color=FAINT, edgecolor=colors, linewidth=1)
    ax.bar(targets, passing, color=colors)
    for i, target in enumerate(targets):
        text = f"{passing[target]} of {total[target]}\n{_mice(mice[target])}"
        ax.annotate(
            text,
            (i, total[target]),
            (0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.5,
        )
    ax.margins(y=0.18)
    ax.tick_params(axis="x", labelrotation=40)
    ax.set_xlabel("Target")
    ax.set_ylabel("Complete recordings (count)")
    ax.yaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(
        _title("Complete recordings per target", complete), fontsize=9, x=0.01, ha="left"
    )
    return figure


def recordings_per_mouse_figure(recordings: pd.DataFrame, settings: Settings) -> Figure:
    """Complete recordings per mouse and target; the full color passes quality control.

    Parameters
    ----------
    recordings : DataFrame
        See `recordings_table`.
    settings : Settings
        Colors and order of the targets.
    """
    from matplotlib.patches import Patch

    complete = recordings[recordings["complete"].astype(bool)]
    targets = ordered_targets(complete["target"], settings)
    table = pd.crosstab(complete["subject"], complete["target"]).reindex(columns=targets)
    good = _passing(complete)
    passing = pd.crosstab(good["subject"], good["target"])
    passing = passing.reindex(index=table.index, columns=targets, fill_value=0)
    order = table.sum(axis=1).sort_values(ascending=False, kind="stable").index
    figure = new_figure(6.4, _height(len(order)))
    ax = plain_axes(figure.add_subplot())
    y = pd.Series(range(len(order)), index=order)
    start = pd.Series(0, index=order)
    for target in targets:
        mice = order[table.loc[order, target] > 0]
        color, width = target_color(target, settings), table.loc[mice, target]
        ax.barh(y[mice], width, left=start[mice], color=FAINT, edgecolor=color, linewidth=0.6)
        ax.barh(y[mice], passing.loc[mice, target], left=start[mice], color=color)
        start[mice] += width
    ax.set_yticks(range(len(order)), order)
    ax.margins(x=0.02)
    ax.set_ylim(max(len(order), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", labelsize=7)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("Complete recordings (count)")
    ax.set_ylabel("Mouse")
    figure.suptitle(
        _title("Complete recordings per mouse", complete), fontsize=9, x=0.01, ha="left"
    )
    handles = [Patch(color=target_color(name, settings), label=name) for name in targets]
    handles.append(Patch(facecolor=FAINT, edgecolor=NEUTRAL, label="not passing QC"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=7, frameon=False)
    return figure


def overview_figures(
    sessions: pd.DataFrame, matrix: pd.DataFrame, settings: Settings
) -> dict[str, Figure]:
    """All figures of the overview, by file name: one per stage, and two of recordings.

    Parameters
    ----------
    sessions : DataFrame
        Schema `iblnm.schemas.SESSIONS_TABLE`.
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`.
    settings : Settings
    """
    stages = session_stages(sessions, matrix, settings)
    recordings = recordings_table(sessions, stages)
    figures = {
        f"sessions_{name}": session_matrix_figure(
            sessions, stages[name], title=title, settings=settings
        )
        for name, title in STAGES.items()
    }
    figures["recordings_per_target"] = recordings_per_target_figure(recordings, settings)
    figures["recordings_per_mouse"] = recordings_per_mouse_figure(recordings, settings)
    return figures


def _rectangles(corners: np.ndarray, width: float) -> Path:
    """Many rectangles as one path, which is drawn a hundred times faster than as many.

    Parameters
    ----------
    corners : ndarray, shape (n, 3)
        Left, top and height of each.
    width : float
    """
    from matplotlib.path import Path

    x, y, height = corners.T
    outline = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    vertices = np.moveaxis(np.array(outline), 2, 0).reshape(-1, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(vertices, np.tile(np.array(codes, dtype=Path.code_type), len(corners)))


def _height(n_rows: int) -> float:
    return min(1.5 + _ROW_HEIGHT * max(n_rows, 6), _MAX_HEIGHT)


def _mice(count: int) -> str:
    return "1 mouse" if count == 1 else f"{count} mice"


def _passing(recordings: pd.DataFrame) -> pd.DataFrame:
    return recordings[recordings["passing_qc"].astype(bool)]


def _title(what: str, complete: pd.DataFrame) -> str:
    return (
        f"{what}, filled: passing QC\nn = {len(complete)} recordings, {len(_passing(complete))} "
        f"passing, {_mice(complete['subject'].nunique())}"
    )


def _subjects_by_target(sessions: pd.DataFrame, settings: Settings) -> list[str]:
    """Mice grouped by their most frequent target, in the order of the settings."""
    targets: dict[str, list[str]] = {}
    for subject, value in zip(sessions["subject"], sessions["target_NM"], strict=True):
        found = targets.setdefault(str(subject), [])
        found.extend(t for t in get_list({"t": value}, "t") if t)
    order = ordered_targets({t for found in targets.values() for t in found}, settings)

    def place(subject: str) -> tuple[int, str]:
        found = targets[subject]
        if not found:
            return len(order), subject
        return order.index(max(order, key=found.count)), subject

    return sorted(targets, key=place)
