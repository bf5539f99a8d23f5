"""The matrix of outcomes as a small figure; the page of `qc_dashboard` is the large one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from iblnm.vis.style import new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the page's colors, which differ in hue and in lightness
OUTCOME_COLORS = {
    "pass": "#d3e6f2",
    "warn": "#f2b233",
    "fail": "#b3261e",
    "not evaluated": "#dcdcda",
    "not run": "#f1f1ef",
}


def outcome_matrix_figure(matrix: pd.DataFrame) -> Figure:
    """Sessions by checks colored by outcome, checks with most problems first.

    Parameters
    ----------
    matrix : DataFrame
        Schema `iblnm.schemas.QC_MATRIX`; sessions in its order, from the top.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    names = list(OUTCOME_COLORS)
    codes = matrix["outcome"].map({name: i for i, name in enumerate(names)}).astype(int)
    grid = pd.pivot_table(
        pd.DataFrame({"eid": matrix["eid"], "check": matrix["check"], "code": codes}),
        index="eid",
        columns="check",
        values="code",
        aggfunc="first",
    ).reindex(pd.unique(matrix["eid"]))
    broken = grid.isin([names.index("warn"), names.index("fail")])
    grid = grid[broken.sum().sort_values(ascending=False, kind="stable").index]
    figure = new_figure(8, 5)
    ax = plain_axes(figure.add_subplot())
    if grid.size:
        ax.imshow(
            grid.fillna(names.index("not run")).to_numpy(),
            cmap=ListedColormap(list(OUTCOME_COLORS.values())),
            vmin=-0.5,
            vmax=len(names) - 0.5,
            aspect="auto",
            interpolation="nearest",
        )
    ax.set_xticks(np.arange(grid.shape[1]), grid.columns, rotation=60, ha="right", fontsize=6)
    ax.set_ylabel("Session")
    ax.set_title(f"Outcomes of {grid.shape[1]} checks, n = {len(grid)} sessions", fontsize=10)
    handles = [
        Patch(facecolor=color, edgecolor="#9b9b97", label=f"{name} ({int((codes == i).sum())})")
        for i, (name, color) in enumerate(OUTCOME_COLORS.items())
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure
