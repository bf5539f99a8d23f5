"""What a stage of the cohort makes, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.storage.parquet import TableSchema, write_table
from iblnm.storage.provenance import Provenance, software_versions

ANALYSIS_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "statsmodels", "xarray")


@dataclass(frozen=True)
class CohortResult:
    """What a stage of the cohort made.

    Parameters
    ----------
    tables : dict of str to DataFrame
        By stem of the file. A table of too small a cohort is empty, with its columns.
    schemas : dict of str to schema or None
        What each table is held to when it is written.
    counts : dict of str to dict of str to int
        ``candidate``, ``eligible`` and ``used``, each with numbers of ``sessions``,
        ``recordings``, ``subjects`` and ``trials``; see `count_units`.
    parameters : dict
        Everything that was chosen, seeds too; JSON types.
    numbers : dict of str to float
        Figures worth showing beside the asset.
    notes : list of str
        What a reader must know, for example which limit the cohort does not reach.
    removed : DataFrame, optional
        What each criterion of the selection removed; see
        `iblnm.data.selection.select_sessions`.
    """

    tables: dict[str, pd.DataFrame]
    schemas: dict[str, TableSchema | None] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    removed: pd.DataFrame | None = None


def write_cohort_result(result: CohortResult, folder: Path | str) -> dict[str, Path]:
    """Write each table of a result whole, with what it was made from.

    Parameters
    ----------
    result : CohortResult
    folder : path
        Created if it is missing.

    Returns
    -------
    dict of str to Path
        Files ``{stem}.pqt`` by stem. Parameters, counts and notes are in the provenance of
        every file, see `iblnm.storage.parquet.read_provenance`.

    Raises
    ------
    MalformedFileError
        If a schema refuses its table. All tables are checked before the first is written.
    """
    tables = {}
    for stem, table in result.tables.items():
        schema = result.schemas.get(stem)
        tables[stem] = table if schema is None else schema.validate(table)
    origin = Provenance(
        software=software_versions(ANALYSIS_PACKAGES),
        parameters={**result.parameters, "counts": result.counts, "notes": result.notes},
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {stem: folder / f"{stem}.pqt" for stem in tables}
    for stem, path in paths.items():
        write_table(tables[stem], path, provenance=origin)
    return paths


def count_units(table: pd.DataFrame, *, trials: int | None = None) -> dict[str, int]:
    """Numbers of sessions, recordings, subjects and trials that a table is about.

    Parameters
    ----------
    table : DataFrame
        ``eid``; ``fiber_idx``, ``subject`` and ``trial`` as far as they are there. Trials
        are counted once per session, however many fibres and events they appear in.
    trials : int, optional
        Where the table has no trials.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"eid": ["a", "a", "b"], "fiber_idx": [0, 1, 0], "subject": "m", "trial": 0}
    ... )
    >>> count_units(table)
    {'sessions': 2, 'recordings': 3, 'subjects': 1, 'trials': 2}
    """
    if trials is None:
        trials = _n_distinct(table, ("eid", "trial"))
    return {
        "sessions": _n_distinct(table, ("eid",)),
        "recordings": _n_distinct(table, ("eid", "fiber_idx")),
        "subjects": _n_distinct(table, ("subject",)),
        "trials": trials,
    }


def no_units() -> dict[str, int]:
    """Counts of an empty table."""
    return dict.fromkeys(("sessions", "recordings", "subjects", "trials"), 0)


def counts_in_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    """The counts in one line, for a log or a caption."""
    return "; ".join(
        f"{stage}: " + ", ".join(f"{number} {unit}" for unit, number in units.items())
        for stage, units in counts.items()
    )


def _n_distinct(table: pd.DataFrame, names: tuple[str, ...]) -> int:
    if any(name not in table for name in names) or table.empty:
        return 0
    code = pd.factorize(table[names[0]])[0].astype("int64")
    for name in names[1:]:
        following, levels = pd.factorize(table[name])
        code = code * (len(levels) + 1) + following
    return int(pd.unique(code).size)
