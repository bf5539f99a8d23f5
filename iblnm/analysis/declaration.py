"""What an analysis declares; the rest is derived in `iblnm.analysis.registry`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from iblnm.analysis.result import AnalysisResult
from iblnm.schemas.core import Table
from iblnm.schemas.wide import WideTable

if TYPE_CHECKING:
    from iblnm.config import Settings
    from iblnm.pipeline.rules.outcome import Outcome

RESOURCES = ("store", "settings")
"""Parameters of an analysis that are no table of another."""
CATALOG_FILES = {
    "sessions": "metadata/sessions.pqt",
    "errors": "metadata/errors.pqt",
    "qc_photometry": "data/qc_photometry.pqt",
    "performance_table": "data/performance.pqt",
    "video": "metadata/video.pqt",
}
"""Tables over all sessions that analyses and figures use, by the name of what makes them."""
SELECTION_SETTINGS = (
    "analysed_session_types",
    "analysed_targets",
    "analysis_contrasts",
    "dataset_categories",
    "excluded_subjects",
    "session_type_words",
    "target_neuromodulator",
    "thresholds.min_training_fraction_correct",
)
"""Settings that the selection of sessions reads."""
TRIAL_SETTINGS = (
    "analysis_contrasts",
    "cohort.min_response_time_s",
    "cohort.probability_left",
    "cohort.response",
    "cohort.unit",
)
"""Settings that the selection of trials reads."""


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn from the tables of analyses.

    Parameters
    ----------
    name : str
        Stem of its files.
    draw : callable or str
        The function, or where it is in the folder of the analysis (``module:function``), so
        that declaring it imports no matplotlib. It takes the tables by position, and
        ``counts`` and ``settings`` by keyword.
    tables : tuple of str
        In the order of the arguments: stems of tables of this analysis or of another, or
        keys of `CATALOG_FILES`. Those after the first `n_required` may be missing.
    n_required : int
        Tables without which nothing can be drawn.
    options : mapping
        Further keywords of the function.
    count_by : callable or str, optional
        Counts animals, sessions, recordings and trials from `count_tables`, with
        ``settings`` and the options; without it those that the analysis used are taken from
        the provenance of the first table. They stand for what the drawn table does not tell.
    count_tables : tuple of str
    folder : str, optional
        Below ``figures/``; that of the analysis by default.
    """

    name: str
    draw: Callable[..., Any] | str
    tables: tuple[str, ...]
    n_required: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    count_by: Callable[..., dict[str, int]] | str | None = None
    count_tables: tuple[str, ...] = ()
    folder: str | None = None


@dataclass(frozen=True)
class Check:
    """A check of an analysis, from the parameters of its result; evaluated with it.

    Parameters
    ----------
    name : str
    description : str
        One sentence, in words of the experiment.
    unit : str
        Of value and limit.
    evaluate : callable
        Of the result's ``parameters`` and the settings; returns an
        `iblnm.pipeline.rules.outcome.Outcome` of severity WARN.
    remedy : str
        What to do where it fails, in one sentence.
    """

    name: str
    description: str
    unit: str
    evaluate: Callable[[Mapping[str, Any], Settings], Outcome]
    remedy: str

    @property
    def text(self) -> str:
        """Meaning and remedy in one line, for pages that show the check."""
        return f"{self.description} If not: {self.remedy}"


@dataclass(frozen=True)
class Analysis:
    """An analysis over all sessions.

    Parameters
    ----------
    name : str
        Of the asset, the command's argument and the input of other analyses.
    compute : callable
        Its parameters by position are the inputs: names of other analyses and of tables over
        all sessions, whose (main) table it gets, stems of further tables of other analyses,
        and `RESOURCES`. Those by keyword are
        options, which keep their defaults. Its docstring describes the analysis.
    folder : str
        Below ``results/``, and below ``figures/`` for its figures.
    tables : mapping of str to schema
        By stem of the file; the first is the main table.
    figures : tuple of Figure
    reads : tuple of str
        Assets of the sessions whose files it reads by itself.
    checks : tuple of Check
        Asset checks of it; one that has any takes ``settings``.
    settings_read, methods : tuple of str
        As those of a stage, see `iblnm.pipeline.stage.Stage`.
    """

    name: str
    compute: Callable[..., AnalysisResult]
    folder: str
    tables: Mapping[str, Table | WideTable]
    figures: tuple[Figure, ...] = ()
    checks: tuple[Check, ...] = ()
    reads: tuple[str, ...] = ()
    settings_read: tuple[str, ...] | None = None
    methods: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What it does: its docstring up to the parameters."""
        return (inspect.getdoc(self.compute) or self.name).split("\n\nParameters\n")[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tables that it takes."""
        return tuple(name for name in self._parameters if name not in RESOURCES)

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of what it takes besides."""
        return tuple(name for name in self._parameters if name in RESOURCES)

    @property
    def main(self) -> str:
        """Stem of the main table."""
        return next(iter(self.tables))

    @property
    def files(self) -> dict[str, str]:
        """Files of its tables below the root, by stem."""
        return {stem: f"results/{self.folder}/{stem}.pqt" for stem in self.tables}

    def function(self, place: Callable[..., Any] | str) -> Callable[..., Any]:
        """A function, or what ``module:function`` names in the folder of the analysis."""
        if callable(place):
            return place
        module, name = place.split(":")
        package = self.compute.__module__.rpartition(".")[0]
        return getattr(import_module(f"{package}.{module}"), name)

    @property
    def _parameters(self) -> list[str]:
        found = inspect.signature(self.compute).parameters.values()
        return [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]
