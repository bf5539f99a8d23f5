"""Progress of animals through training, and its comparison between targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.stats.comparisons import (
    kruskal_wallis,
    mann_whitney_pairs,
    unit_means,
)
from iblnm.analysis.stats.corrections import correct_p
from iblnm.io.stamps import local_times
from iblnm.task.contrasts import require_columns
from iblnm.task.performance import count_sessions_to_stage
from iblnm.task.psychometric import BLOCKS
from iblnm.task.psychometric import PARAMETERS as FIT_PARAMETERS

METHOD_VERSION = 1
MEASURES = ("fraction_correct", "fraction_correct_easy", "nogo_fraction")
KEYS = (
    "eid",
    "subject",
    "target_NM",
    "session_type",
    "start_time",
    "session_index",
    "stage_index",
)
CONFIDENCE = 0.95
COMPARISON_COLUMNS = (
    "measure",
    "test",
    "group_a",
    "group_b",
    "n_a",
    "n_b",
    "median_a",
    "median_b",
    "statistic",
    "effect_size",
    "shift",
    "ci_low",
    "ci_high",
    "p",
    "p_corrected",
    "correction",
    "note",
)


def number_sessions(sessions: pd.DataFrame) -> pd.DataFrame:
    """Number each animal's sessions in order of time, over all tasks and within each.

    Parameters
    ----------
    sessions : DataFrame
        ``eid``, ``subject``, ``session_type``, ``start_time`` (ISO 8601); one row per
        session. Sessions without a task or start are left out.

    Returns
    -------
    DataFrame
        With ``session_index`` and ``stage_index``, both from 1, in order of time.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    require_columns(sessions, ("eid", "subject", "session_type", "start_time"))
    known = sessions[sessions["session_type"].notna() & sessions["start_time"].notna()]
    when = local_times(known["start_time"])
    ordered = known.assign(_when=when).sort_values(["subject", "_when", "eid"])
    ordered["session_index"] = ordered.groupby("subject").cumcount() + 1
    ordered["stage_index"] = ordered.groupby(["subject", "session_type"]).cumcount() + 1
    return ordered.drop(columns="_when").reset_index(drop=True)


def subject_targets(
    recordings: pd.DataFrame, targets: Sequence[str] | None = None
) -> pd.DataFrame:
    """Targets that each animal is recorded from, over all its sessions.

    Parameters
    ----------
    recordings : DataFrame
        ``subject`` and ``target_NM``, one row per recording.
    targets : sequence of str, optional
        Others are left out.

    Returns
    -------
    DataFrame
        ``subject``, ``target_NM``, sorted. An animal with two targets has two rows, and
        counts in both.
    """
    require_columns(recordings, ("subject", "target_NM"))
    pairs = recordings[["subject", "target_NM"]].dropna().drop_duplicates()
    if targets is not None:
        pairs = pairs[pairs["target_NM"].isin(list(targets))]
    return pairs.sort_values(["target_NM", "subject"]).reset_index(drop=True)


def learning_curves(
    sessions: pd.DataFrame, performance: pd.DataFrame, targets: pd.DataFrame
) -> pd.DataFrame:
    """Performance of every session, for each target of its animal.

    Parameters
    ----------
    sessions : DataFrame
        From `number_sessions`.
    performance : DataFrame
        Schema `iblnm.schemas.PERFORMANCE`.
    targets : DataFrame
        From `subject_targets`.

    Returns
    -------
    DataFrame
        Columns `KEYS`, ``n_trials`` and `MEASURES`; sessions before the first recording are
        part of the curve. Sessions without performance are left out.
    """
    require_columns(performance, ("eid", "n_trials", *MEASURES))
    return _with_targets(sessions, targets).merge(
        performance[["eid", "n_trials", *MEASURES]], on="eid", validate="many_to_one"
    )[[*KEYS, "n_trials", *MEASURES]]


def learning_curve_means(
    curves: pd.DataFrame,
    measures: Sequence[str] = MEASURES,
    *,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Mean over animals at each session of a task.

    Parameters
    ----------
    curves : DataFrame
        From `learning_curves`, or another table with `KEYS` and the measures.
    measures : sequence of str
    confidence : float
        Of Student's interval over animals; NaN for a single one.

    Returns
    -------
    DataFrame
        ``target_NM``, ``session_type``, ``stage_index``, ``measure``, ``mean``, ``sd``,
        ``ci_low``, ``ci_high``, ``n_subjects``, ``n_sessions``. Animals drop out as they
        move on, so the later points rest on the slower ones: see ``n_subjects``.
    """
    from scipy import stats

    by = ["target_NM", "session_type", "stage_index"]
    long = curves.melt([*by, "subject"], list(measures), "measure", "value").dropna(subset="value")
    per_animal = long.groupby([*by, "measure", "subject"])["value"].agg(["mean", "size"])
    grouped = per_animal.groupby(level=[*by, "measure"])
    table = grouped["mean"].agg(["mean", "std", "size"]).astype(float)
    half = stats.t.ppf((1 + confidence) / 2, table["size"] - 1) * table["std"]
    half = half / np.sqrt(table["size"])
    return (
        table.assign(
            ci_low=table["mean"] - half,
            ci_high=table["mean"] + half,
            n_sessions=grouped["size"].sum(),
        )
        .rename(columns={"std": "sd", "size": "n_subjects"})
        .reset_index()
    )


def sessions_to_stage(sessions: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    """`iblnm.task.count_sessions_to_stage` for each target of each animal.

    Returns
    -------
    DataFrame
        ``subject``, ``target_NM`` and the counts; NaN for a stage that was not reached.
    """
    return count_sessions_to_stage(sessions).merge(targets, on="subject", how="inner")


def psychometric_trajectories(
    sessions: pd.DataFrame, performance: pd.DataFrame, targets: pd.DataFrame
) -> pd.DataFrame:
    """Fits of every session and block, for each target of its animal.

    Parameters
    ----------
    sessions, performance, targets
        As `learning_curves`.

    Returns
    -------
    DataFrame
        Columns `KEYS`, ``block`` (50, 20 or 80), the parameters, ``r_squared``,
        ``n_trials``, ``at_bound`` and ``bias_shift`` of the session; only blocks that were
        fitted.
    """
    columns = (*FIT_PARAMETERS, "r_squared", "n_trials", "at_bound")
    parts = []
    for block in BLOCKS:
        names = {f"psych_{block}_{column}": column for column in columns}
        require_columns(performance, ("eid", "bias_shift", *names))
        fits = performance[["eid", "bias_shift", *names]].rename(columns=names)
        parts.append(fits[fits["bias"].notna()].assign(block=int(block)))
    fits = pd.concat(parts, ignore_index=True)
    merged = _with_targets(sessions, targets).merge(fits, on="eid")
    return merged[[*KEYS, "block", *columns, "bias_shift"]]


def compare_targets(
    measures: Mapping[str, pd.DataFrame],
    *,
    correction: str = "holm",
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Compare targets in each measure: Kruskal–Wallis over all, Mann–Whitney between pairs.

    Parameters
    ----------
    measures : mapping of str to DataFrame
        ``subject``, ``target_NM`` and a column with the name of the measure; several rows of
        an animal are averaged, so that each animal counts once per target.
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``: over the measures for the
        tests over all, over its pairs within each measure.
    confidence : float
        Of the interval of the Hodges–Lehmann shift of a pair.

    Returns
    -------
    DataFrame
        Schema `TARGET_COMPARISONS`. A measure with animals of fewer
        than two targets has a row without test.
    """
    overall, pairs = [], []
    for measure, table in measures.items():
        values = unit_means(table, "target_NM", measure, "subject")
        values = values.rename_axis(["target_NM", "subject"]).rename(measure).reset_index()
        test = kruskal_wallis(values, "target_NM", measure)
        groups = test["groups"]
        overall.append(
            {
                "measure": measure,
                "test": "kruskal_wallis",
                "group_a": "all",
                "group_b": "all",
                "n_a": test["n"],
                "n_b": test["n"],
                "statistic": test["statistic"],
                "effect_size": test["effect_size"],
                "p": test["p"],
            }
        )
        tested = mann_whitney_pairs(groups, correction=correction, only_possible=True)
        for row in tested.to_dict("records"):
            a, b = groups[row["group_a"]], groups[row["group_b"]]
            shift, low, high = hodges_lehmann(a, b, confidence)
            row |= {
                "measure": measure,
                "test": "mann_whitney",
                "correction": f"{correction} within measure",
                "median_a": float(np.median(a)),
                "median_b": float(np.median(b)),
                "shift": shift,
                "ci_low": low,
                "ci_high": high,
            }
            pairs.append(row)
    if not overall:
        return pd.DataFrame(columns=list(COMPARISON_COLUMNS))
    tests = correct_p(pd.DataFrame(overall), "p", method=correction)
    table = pd.concat([tests, pd.DataFrame(pairs)], ignore_index=True)
    return table.reindex(columns=list(COMPARISON_COLUMNS)).astype({"note": object})


def hodges_lehmann(
    a: np.ndarray, b: np.ndarray, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Shift between two samples, a minus b, with the interval that goes with Mann–Whitney.

    Parameters
    ----------
    a, b : ndarray
        Finite values.
    confidence : float

    Returns
    -------
    shift, low, high : float
        Median of all differences, and the differences at the ranks of the normal
        approximation. The ends are NaN where so few values cannot give this confidence.

    Notes
    -----
    Hollander, Wolfe & Chicken (2014), Nonparametric Statistical Methods, sections 4.2, 4.3.

    Examples
    --------
    >>> hodges_lehmann(np.arange(10.0) + 3, np.arange(10.0))[0]
    3.0
    """
    from scipy.stats import norm

    if not a.size or not b.size:
        return np.nan, np.nan, np.nan
    differences = np.sort(np.subtract.outer(a, b), axis=None)
    n = differences.size
    spread = np.sqrt(n * (a.size + b.size + 1) / 12)
    rank = int(np.floor(n / 2 - norm.ppf((1 + confidence) / 2) * spread))
    median = float(np.median(differences))
    if rank < 1:
        return median, np.nan, np.nan
    return median, float(differences[rank - 1]), float(differences[n - rank])


def _with_targets(sessions: pd.DataFrame, targets: pd.DataFrame) -> pd.DataFrame:
    require_columns(sessions, tuple(name for name in KEYS if name != "target_NM"))
    columns = [name for name in KEYS if name != "target_NM"]
    return sessions[columns].merge(targets, on="subject", how="inner")
