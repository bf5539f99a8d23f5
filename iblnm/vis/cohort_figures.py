"""Figures of the cohort by name, drawn from the files under the root and saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from iblnm.analysis import registry
from iblnm.analysis.account import why_empty
from iblnm.analysis.declaration import CATALOG_FILES
from iblnm.analysis.staleness import figure_origin
from iblnm.config import Settings
from iblnm.vis.panels import has_data, no_data_figure, reason_of
from iblnm.vis.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from iblnm.analysis.registry import PlacedFigure

__all__ = [
    "NotDrawn",
    "SavedFigures",
    "draw_figure",
    "figures_in",
    "save_cohort_figures",
    "trials_of",
]


@dataclass(frozen=True)
class NotDrawn:
    """A figure that was left as it was, and why.

    Parameters
    ----------
    name : str
        Of the figure.
    file : str
        The file that is missing, relative to the root.
    """

    name: str
    file: str

    @property
    def reason(self) -> str:
        """In words."""
        return _no_file(self.file)


class SavedFigures(dict[str, tuple["Figure", list[Path]]]):
    """By name, the figures that were written (for their thumbnails) and their files.

    Attributes
    ----------
    missing : list of NotDrawn
        Figures that were not drawn, because a file is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[NotDrawn] = []

    @property
    def without_data(self) -> dict[str, str]:
        """Reasons of the figures that say 'no data', by name."""
        return {
            name: reason_of(figure).replace("\n", " ")
            for name, (figure, _) in self.items()
            if not has_data(figure)
        }


def figures_in(folder: str) -> list[str]:
    """Names of the figures that go to a folder below ``figures/``."""
    return list(registry.figure_folders().get(folder, {}))


def draw_figure(name: str, settings: Settings) -> Figure:
    """Draw a figure from the files under the root.

    Parameters
    ----------
    name : str
        One of `iblnm.analysis.registry.figures`.
    settings : Settings

    Returns
    -------
    Figure
        Where a file is missing or empty, one that says 'no data' and why: the reason, and what
        each criterion of the selection removed.

    Raises
    ------
    KeyError
        If there is no figure of that name.
    """
    figure = registry.figures()[name]
    missing = _missing_file(figure, settings)
    if missing:
        return no_data_figure(name.replace("_", " ").capitalize(), _no_file(missing))
    tables = [_read(settings.root / file) for file in figure.files]
    counts = _counts(figure, tables[0], settings)
    drawn = figure.function(*tables, counts=counts, settings=settings, **figure.options)
    if has_data(drawn):
        return drawn
    makers = {entry.name: entry for entry in registry.ANALYSES}
    maker = makers.get(registry.producer(figure.files[0]))
    words = [value for value in figure.options.values() if isinstance(value, str)]
    account = [] if maker is None else why_empty(maker, settings.root, words)
    return no_data_figure(drawn.get_suptitle(), reason_of(drawn).replace("\n", " "), account)


def save_cohort_figures(folder: str, settings: Settings) -> SavedFigures:
    """Draw and write all figures of a folder, each file whole.

    Parameters
    ----------
    folder : str
        One of `iblnm.analysis.registry.figure_folders`.
    settings : Settings
        File types, resolution, root.

    Returns
    -------
    SavedFigures
        By name, the figure and its files. A figure whose table is missing is not drawn: a
        file from before stays as it is, and the figure stands in ``missing``. A table that is
        there but empty gives a figure that says 'no data'.
    """
    saved = SavedFigures()
    for name, placed in registry.figure_folders().get(folder, {}).items():
        missing = _missing_file(placed, settings)
        if missing:
            saved.missing.append(NotDrawn(name, missing))
            continue
        figure = draw_figure(name, settings)
        stem = settings.figures_dir / folder / name
        types, dpi = settings.figures.file_types, settings.figures.dpi
        there = tuple(file for file in placed.files if (settings.root / file).exists())
        origin = figure_origin(settings, there)
        paths = save_figure(figure, stem, dpi=dpi, types=types, origin=origin)
        saved[name] = (figure, paths)
    return saved


def _missing_file(figure: PlacedFigure, settings: Settings) -> str | None:
    """The first file that is needed and not there."""
    needed = figure.files[: figure.n_required]
    return next((file for file in needed if not (settings.root / file).exists()), None)


def _no_file(file: str) -> str:
    return f"there is no file {file}"


def _read(path: Path) -> pd.DataFrame | None:
    from iblnm.storage.parquet import read_table

    return read_table(path) if path.exists() else None


def _counts(figure: PlacedFigure, table: pd.DataFrame, settings: Settings) -> dict[str, int]:
    """Numbers that the analysis used; trials of the sessions where it does not tell any."""
    from iblnm.analysis.result import used_counts
    from iblnm.storage.parquet import read_provenance

    if figure.counter is not None:
        tables = [_read(settings.root / file) for file in figure.count_files]
        if all(found is not None for found in tables):
            return figure.counter(*tables, settings=settings, **figure.options)
    origin = read_provenance(settings.root / figure.files[0])
    parameters = {} if origin is None else origin.parameters
    used = used_counts(parameters.get("counts", {}), Path(figure.files[0]).stem)
    counts = {unit: n for unit, n in used.items() if n}
    performance = _read(settings.root / CATALOG_FILES["performance_table"])
    if "trials" not in counts and performance is not None and "eid" in table:
        counts["trials"] = trials_of(table, performance)
    return counts


def trials_of(table: pd.DataFrame, performance: pd.DataFrame) -> int:
    """Trials of the sessions of a table."""
    own = performance[performance["eid"].isin(table["eid"])]
    return int(own["n_trials"].sum())
