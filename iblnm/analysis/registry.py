"""The analyses over all sessions, and what follows from their declarations.

To add an analysis: a folder with ``compute.py``, ``tables.py``, ``figures.py`` and an entry
``ANALYSIS`` in its ``__init__.py``, and its name here. Everything else is derived, and read
when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from iblnm.analysis import (
    anova,
    corrections,
    decoding,
    encoding,
    kernels,
    lmm,
    movement,
    performance,
    quality,
    regressors,
    responses,
    similarity,
    traces,
    vectors,
    waveforms,
)
from iblnm.analysis.declaration import CATALOG_FILES, Analysis, Figure
from iblnm.schemas.core import Table
from iblnm.schemas.wide import WideTable

ANALYSES: tuple[Analysis, ...] = (
    kernels.ANALYSIS,
    responses.ANALYSIS,
    regressors.ANALYSIS,
    traces.ANALYSIS,
    vectors.ANALYSIS,
    similarity.ANALYSIS,
    decoding.ANALYSIS,
    anova.ANALYSIS,
    lmm.ANALYSIS,
    waveforms.ANALYSIS,
    movement.ANALYSIS,
    encoding.ANALYSIS,
    performance.ANALYSIS,
    quality.ANALYSIS,
    corrections.ANALYSIS,
)


@dataclass(frozen=True)
class PlacedFigure:
    """A figure with its files.

    Parameters
    ----------
    declaration : Figure
    analysis : Analysis
        That declares it.
    files, count_files : tuple of str
        Of its tables, relative to the root.
    """

    declaration: Figure
    analysis: Analysis
    files: tuple[str, ...]
    count_files: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Below ``figures/``."""
        return self.declaration.folder or self.analysis.folder

    @property
    def n_required(self) -> int:
        """Files without which nothing can be drawn."""
        return self.declaration.n_required

    @property
    def options(self) -> dict[str, Any]:
        """Further keywords of the function."""
        return dict(self.declaration.options)

    @property
    def function(self) -> Callable[..., Any]:
        """What draws it."""
        return self.analysis.function(self.declaration.draw)

    @property
    def counter(self) -> Callable[..., dict[str, int]] | None:
        """What counts for it."""
        place = self.declaration.count_by
        return None if place is None else self.analysis.function(place)


def analysis(name: str) -> Analysis:
    """The analysis of a name.

    Raises
    ------
    KeyError
        If there is none.
    """
    return {entry.name: entry for entry in ANALYSES}[name]


def input_table(name: str) -> tuple[Analysis, str] | None:
    """The analysis that an input is made by, and the stem of the table.

    Parameters
    ----------
    name : str
        Of an analysis, for its main table, or the stem of another of its tables.

    Returns
    -------
    Analysis, str, or None
        None if no analysis makes it.
    """
    for entry in ANALYSES:
        if entry.name == name:
            return entry, entry.main
    return next(((entry, name) for entry in ANALYSES if name in entry.tables), None)


def figures() -> dict[str, PlacedFigure]:
    """All figures by name, in the order of their folders."""
    placed = [
        PlacedFigure(
            figure,
            entry,
            tuple(_file(entry, table) for table in figure.tables),
            tuple(_file(entry, table) for table in figure.count_tables),
        )
        for entry in ANALYSES
        for figure in entry.figures
    ]
    return {figure.declaration.name: figure for figure in placed}


def figure_folders() -> dict[str, dict[str, PlacedFigure]]:
    """Figures of each folder below ``figures/``."""
    folders: dict[str, dict[str, PlacedFigure]] = {}
    for name, figure in figures().items():
        folders.setdefault(figure.folder, {})[name] = figure
    return folders


def tables() -> dict[str, Table | WideTable]:
    """Schemas of all tables by their own names."""
    return {schema.name: schema for entry in ANALYSES for schema in entry.tables.values()}


def producer(file: str) -> str:
    """Name of the asset that writes a file of the results or of the catalog.

    Raises
    ------
    KeyError
        If none does.
    """
    writers = {file: name for name, file in CATALOG_FILES.items()}
    for entry in ANALYSES:
        writers |= dict.fromkeys(entry.files.values(), entry.name)
    return writers[str(PurePosixPath(file))]


def _file(entry: Analysis, table: str) -> str:
    known = {**CATALOG_FILES}
    for other in (*ANALYSES, entry):
        known |= other.files
    return known[table]
