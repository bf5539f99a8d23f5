"""What each chain does to planted responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.analysis.corrections.protocol import CASES
from iblnm.config import Settings
from iblnm.signal.chains import CHAINS
from iblnm.vis.marks import cell_text, color_bar, draw_matrix
from iblnm.vis.panels import give_title, need_rows, or_no_data, panel_grid, panel_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (
    ("trial_error", "error of single trials", (0.0, 1.0), "viridis"),
    ("trial_correlation", "correlation with planted trials", (0.0, 1.0), "viridis"),
    ("bias", "bias of the mean response", (-1.0, 1.0), None),
    ("artifact_left", "share of the artifact left", (-1.0, 1.0), None),
)


@or_no_data("Corrections compared")
def ranking_figure(
    ranking: pd.DataFrame,
    *,
    counts: Mapping[str, int] | None = None,
    settings: Settings,
) -> Figure:
    """A matrix of cases by chains for each score of the benchmark.

    Parameters
    ----------
    ranking : DataFrame
        Schema `iblnm.analysis.corrections.tables.CHAIN_RANKING`.
    counts : mapping, optional
        Numbers for the title: the recordings whose traits were planted.
    settings : Settings

    Returns
    -------
    Figure
    """
    ranking = need_rows(ranking, ("trial_error",), "the benchmark")
    known = set(ranking["case"]), set(ranking["chain"])
    cases = [case.name for case in CASES if case.name in known[0]]
    chains = [chain.name for chain in CHAINS if chain.name in known[1]]
    figure, axes = panel_grid(
        1, len(_PANELS), size=(2.7, 3.4), share_x=False, share_y=False, extra=(1.4, 1.2)
    )
    for i, (name, title, limits, colors) in enumerate(_PANELS):
        table = ranking.pivot_table(index="case", columns="chain", values=name, dropna=False)
        table = table.reindex(index=cases, columns=chains).astype(float)
        cmap = {} if colors is None else {"cmap": colors}
        texts = table.map(cell_text)
        image = draw_matrix(axes[0, i], table, limits=limits, texts=texts, **cmap)
        axes[0, i].set_yticklabels([] if i else [case.replace("_", " ") for case in cases])
        panel_title(axes[0, i], title)
        color_bar(figure, image, axes[0, i], "")
    note = (
        f"means over {int(ranking['n_seeds'].max())} simulated recordings with the noise, "
        "reference, bleaching and response of recordings of this archive; error: root mean square "
        "over trials, as a share of the planted responses; 0 is best but for the correlation"
    )
    chosen = {unit: n for unit, n in (counts or {}).items() if n and unit != "trials"}
    give_title(figure, "Corrections compared on planted responses", None, chosen, note)
    return figure
