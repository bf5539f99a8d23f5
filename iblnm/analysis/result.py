"""What an analysis over all sessions makes, and how it is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.pipeline.rules.values import get_list
from iblnm.storage.digest import value_digest
from iblnm.storage.parquet import TableSchema, write_table
from iblnm.storage.provenance import Provenance, software_versions

ACCOUNT = "session_account"
_USED_BY = "used by {}"
ANALYSIS_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "statsmodels", "xarray")


@dataclass(frozen=True)
class AnalysisResult:
    """What an analysis made.

    Parameters
    ----------
    tables : dict of str to DataFrame
        By stem of the file. A table of too small a cohort is empty, with its columns.
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
        `iblnm.pipeline.selection.select_sessions`.
    """

    tables: dict[str, pd.DataFrame]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    removed: pd.DataFrame | None = None


def write_result(
    result: AnalysisResult,
    folder: Path | str,
    schemas: Mapping[str, TableSchema | None],
    *,
    made_with: Mapping[str, Any] | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> dict[str, Path]:
    """Write each table of a result whole, with what it was made from.

    Parameters
    ----------
    result : AnalysisResult
    folder : path
        Created if it is missing.
    schemas : mapping of str to schema
        What each table is held to, by stem; a table without one is written as it is.
    made_with, made_from : mapping, optional
        See `iblnm.storage.provenance.Provenance`.

    Returns
    -------
    dict of str to Path
        Files ``{stem}.pqt`` by stem. Parameters, counts, notes and the account of the selection
        are in the provenance of every file, see `iblnm.storage.parquet.read_provenance`.

    Raises
    ------
    MalformedFileError
        If a schema refuses its table. All tables are checked before the first is written.
    """
    tables = {}
    for stem, table in result.tables.items():
        schema = schemas.get(stem)
        tables[stem] = table if schema is None else schema.validate(table)
    told = {"counts": result.counts, "notes": result.notes}
    if result.removed is not None:
        rows = result.removed.drop(columns="eids_removed", errors="ignore")
        told[ACCOUNT] = json.loads(rows.to_json(orient="records"))
    origin = Provenance(
        software=software_versions(ANALYSIS_PACKAGES),
        parameters={**result.parameters, **told},
        made_with=dict(made_with or {}),
        made_from=dict(made_from or {}),
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {stem: folder / f"{stem}.pqt" for stem in tables}
    for stem, path in paths.items():
        own = replace(origin, digest=value_digest(tables[stem]))
        write_table(tables[stem], path, provenance=own)
    return paths


def count_units(table: pd.DataFrame, *, trials: int | None = None) -> dict[str, int]:
    """Numbers of sessions, recordings, subjects and trials that a table is about.

    Parameters
    ----------
    table : DataFrame
        ``eid``; ``fiber_idx``, ``subject`` and ``trial`` as far as they are there. Trials
        are counted once per session, however many fibers and events they appear in.
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


def count_sessions(
    sessions: pd.DataFrame, eids: Any = None, performance: pd.DataFrame | None = None
) -> dict[str, int]:
    """Sessions, recordings, subjects and trials of a sessions table.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject`` and the list ``target_NM`` with one entry per fiber.
    eids : collection of str, optional
        Only these.
    performance : DataFrame, optional
        ``eid`` and ``n_trials``; without it trials are not counted, 0.

    Examples
    --------
    >>> sessions = pd.DataFrame({"eid": ["a"], "subject": ["m"], "target_NM": [["x", "y"]]})
    >>> count_sessions(sessions)
    {'sessions': 1, 'recordings': 2, 'subjects': 1, 'trials': 0}
    """
    own = sessions if eids is None else sessions[sessions["eid"].isin(eids)]
    trials = 0
    if performance is not None:
        trials = int(performance.loc[performance["eid"].isin(own["eid"]), "n_trials"].sum())
    fibers = sum(len(get_list(row, "target_NM")) for row in own.to_dict("records"))
    return {**count_units(own, trials=trials), "recordings": fibers}


def count_stages(
    candidate: pd.DataFrame,
    eligible: pd.DataFrame,
    used: pd.DataFrame | None = None,
    used_by: Mapping[str, pd.DataFrame] | None = None,
) -> dict[str, dict[str, int]]:
    """Counts of an analysis, from the tables of its stages; nothing is used without one.

    Parameters
    ----------
    candidate, eligible, used : DataFrame
    used_by : mapping of str to DataFrame, optional
        What single tables of the result use, by their stems, where that is not `used`.

    Returns
    -------
    dict
        By stage; ``used by {stem}`` for those of `used_by`, see `used_counts`.
    """
    return {
        "candidate": count_units(candidate),
        "eligible": count_units(eligible),
        "used": no_units() if used is None else count_units(used),
        **{_USED_BY.format(stem): count_units(table) for stem, table in (used_by or {}).items()},
    }


def used_counts(counts: Mapping[str, dict[str, int]], stem: str) -> dict[str, int]:
    """What a table of a result uses, of the counts of `count_stages`."""
    return dict(counts.get(_USED_BY.format(stem), counts.get("used", {})))


def no_result(
    schemas: Mapping[str, Any], counts: dict[str, dict[str, int]], parameters: dict, *notes: str
) -> AnalysisResult:
    """Empty tables, with the reason."""
    return AnalysisResult(
        tables={stem: schema.empty() for stem, schema in schemas.items()},
        counts=counts,
        parameters=parameters,
        notes=list(notes),
    )


def conformed(
    tables: Mapping[str, pd.DataFrame], schemas: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """Tables in the types of their schemas; one without rows has all its columns."""
    return {
        stem: schema.conform(tables[stem]) if len(tables[stem]) else schema.empty()
        for stem, schema in schemas.items()
    }


def no_units() -> dict[str, int]:
    """Counts of an empty table."""
    return dict.fromkeys(("sessions", "recordings", "subjects", "trials"), 0)


def _n_distinct(table: pd.DataFrame, names: tuple[str, ...]) -> int:
    if any(name not in table for name in names) or table.empty:
        return 0
    code = pd.factorize(table[names[0]])[0].astype("int64")
    for name in names[1:]:
        following, levels = pd.factorize(table[name])
        code = code * (len(levels) + 1) + following
    return int(pd.unique(code).size)
