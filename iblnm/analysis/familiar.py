"""Analyses under the names, and with the kinds of results, that scripts of the field's labs use.

Each is a few lines over a function of iblnm, which returns more: effect sizes, degrees of
freedom, intervals, corrected p. New code uses those; their names are in the notes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.errors import DataError, MissingColumnError

if TYPE_CHECKING:
    from iblnm.analysis.lmm.model import LMMResult


def kruskal_wallis_groups(
    df: pd.DataFrame, group_col: str, value_col: str
) -> tuple[float, float, dict[Any, np.ndarray]]:
    """Do the groups have one distribution?

    Parameters
    ----------
    df : DataFrame
    group_col, value_col : str

    Returns
    -------
    H, p : float
        NaN with fewer than two groups.
    groups : dict
        Name to array of values.

    Notes
    -----
    Over `iblnm.analysis.stats.comparisons.kruskal_wallis`.
    """
    from iblnm.analysis.stats.comparisons import kruskal_wallis

    test = kruskal_wallis(df, group_col, value_col)
    return test["statistic"], test["p"], test["groups"]


def pairwise_mannwhitney(
    groups: Mapping[Any, Sequence[float]], correction: str = "bonferroni"
) -> list[tuple[Any, Any, float, float]]:
    """Two-sided Mann–Whitney test between every two groups.

    Parameters
    ----------
    groups : mapping of name to array
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``.

    Returns
    -------
    list of (a, b, U, p)
        U of a, p corrected over the pairs.

    Notes
    -----
    Over `iblnm.analysis.stats.comparisons.mann_whitney_pairs`.
    """
    from iblnm.analysis.stats.comparisons import mann_whitney_pairs

    table = mann_whitney_pairs(groups, correction)
    return [
        (row.group_a, row.group_b, row.statistic, row.p_corrected) for row in table.itertuples()
    ]


def anova_rm(df: pd.DataFrame, depvar: str, subject: str, within: Sequence[str]) -> pd.DataFrame:
    """Repeated-measures ANOVA of a full factorial design with one value per cell.

    Parameters
    ----------
    df, depvar, subject, within
        See `iblnm.analysis.anova.repeated.repeated_measures_anova`.

    Returns
    -------
    DataFrame
        ``Source``, ``F``, ``Num DF``, ``Den DF``, ``Pr(>F)``, ``method`` ('rm'), and behind
        them what ours has besides: epsilon, p by Greenhouse and Geisser, subjects.
    """
    from iblnm.analysis.anova.repeated import repeated_measures_anova

    return _known_anova(repeated_measures_anova(df, depvar, subject, within))


def _known_anova(table: pd.DataFrame) -> pd.DataFrame:
    """An ANOVA of ours with the names of statsmodels in front."""
    names = {"source": "Source", "df": "Num DF", "df_error": "Den DF", "p": "Pr(>F)"}
    method = table.get("method", "rm")
    table = table.rename(columns=names).assign(method=method).reset_index(drop=True)
    known = ["Source", "F", "Num DF", "Den DF", "Pr(>F)", "method"]
    return table[[*known, *(name for name in table if name not in known)]]


def loso_cv_movement_lmm(
    df: pd.DataFrame, response_col: str, timing_col: str, min_subjects: int = 3, **options: Any
) -> pd.DataFrame:
    """Cross-validated ΔR² of contrast and of timing, leaving one subject out at a time.

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target at stimOn_times.
    response_col : str
    timing_col : str
        Used as it is given: scripts pass the logarithm of a time.
    min_subjects : int
        With fewer subjects the table is empty, with a warning.
    **options
        See `iblnm.analysis.movement.cross_validation.cross_validate_movement`, which takes the
        logarithm of a time itself.

    Returns
    -------
    DataFrame
        One row per held-out subject.
    """
    from iblnm.analysis.movement.cross_validation import cross_validate_movement

    table = cross_validate_movement(
        df, response_col, timing_col, min_subjects, is_logarithm=True, **options
    )
    if table.empty:
        timed = df[np.isfinite(df[timing_col].astype(float))]
        warnings.warn(
            f"no subject is held out: {len(timed)} of {len(df)} trials, of "
            f"{timed['subject'].nunique()} subjects, have a finite {timing_col}; {min_subjects} "
            "subjects with enough trials are needed",
            stacklevel=2,
        )
    return table


def fit_movement_lmm_per_contrast(
    df: pd.DataFrame,
    response_col: str,
    timing_col: str,
    min_subjects: int = 2,
    *,
    min_trials: int = 20,
) -> dict[str, Any] | None:
    """Slope of the response on timing, y ~ side + timing + (1 | subject).

    Parameters
    ----------
    df : DataFrame
        Selected trials of one target and one contrast at stimOn_times.
    response_col : str
    timing_col : str
        Used as it is given.
    min_subjects, min_trials : int

    Returns
    -------
    dict or None
        ``timing_coef``, ``timing_se``, ``timing_p``, ``r2_marginal``, ``n_trials``,
        ``n_subjects``, ``timing_col``, and what ours has besides; None with too few subjects
        or trials, or where nothing varies.

    Raises
    ------
    DataError
        If the trials are of several contrasts.

    Notes
    -----
    Over `iblnm.analysis.movement.cross_validation.fit_timing_slopes`.
    """
    from iblnm.analysis.movement.cross_validation import fit_timing_slopes

    slopes = fit_timing_slopes(
        df, response_col, timing_col, min_subjects, min_trials=min_trials, is_logarithm=True
    )
    if len(slopes) > 1:
        raise DataError(
            f"trials of {len(slopes)} contrasts; those of one are expected, see fit_timing_slopes"
        )
    return slopes.iloc[0].to_dict() if len(slopes) else None


def fit_response_lmm(
    df: pd.DataFrame,
    response_col: str,
    formula: str | None = None,
    re_formula: str = "1",
    contrast_coding: str = "log",
    **options: Any,
) -> LMMResult | None:
    """Fit response ~ contrast · side · reward with random effects of the subject.

    Parameters
    ----------
    df, response_col, formula, re_formula, contrast_coding, **options
        See `iblnm.analysis.lmm.model.fit_mixed_model`, which raises where this gives None.

    Returns
    -------
    LMMResult or None
        None, with a warning that says why, where the data cannot carry the model: one subject,
        a factor with one level, no variance.
    """
    from iblnm.analysis.lmm.model import fit_mixed_model
    from iblnm.constants import TASK_CONTRASTS

    contrasts = options.get("contrasts", TASK_CONTRASTS)
    warn_of_unknown_contrasts(df, contrast_coding, contrasts)
    try:
        return fit_mixed_model(df, response_col, formula, re_formula, contrast_coding, **options)
    except MissingColumnError:
        raise
    except DataError as error:
        warnings.warn(f"no model: {error}", stacklevel=2)
        return None


def warn_of_unknown_contrasts(
    trials: pd.DataFrame, contrast_coding: str, contrasts: Sequence[float]
) -> None:
    """Name contrasts that a coding of these contrasts [%] has no number for, with their trials."""
    from iblnm.analysis.trials import unknown_contrasts

    unknown = unknown_contrasts(trials, contrast_coding, contrasts)
    if unknown:
        named = ", ".join(f"{contrast:g} % ({n} trials)" for contrast, n in unknown.items())
        warnings.warn(f"coding {contrast_coding!r} leaves out contrasts {named}", stacklevel=3)


def fit_wheel_lmm(
    df: pd.DataFrame,
    dv_col: str,
    response_col: str = "response_early",
    target_nm: str = "",
    contrast: float = 0.0,
    min_subjects: int = 2,
) -> dict[str, Any] | None:
    """Compare dv ~ side · choice + (1 | subject) with and without the response.

    Parameters
    ----------
    df, dv_col, response_col, target_nm, contrast, min_subjects
        See `iblnm.analysis.movement.wheel.fit_wheel_model`. Where the trials have no ``side``
        it is taken from ``stim_side`` and ``hemisphere``, or is left and right without one;
        where they have no ``feedbackType``, from ``choice`` and ``stim_side``.

    Returns
    -------
    dict or None
        The names of the summary of `PhotometrySessionGroup.fit_wheel_lmm`, and ``target_nm``.
    """
    from iblnm.analysis.movement.wheel import fit_wheel_model

    row = fit_wheel_model(
        _with_side_and_outcome(df), dv_col, response_col, target_nm, contrast, min_subjects
    )
    return None if row is None else {**wheel_summary(row), "target_nm": target_nm}


def wheel_summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison of wheel models with the names that scripts know beside ours."""
    names = {
        "r2_base": "base_r2_marginal",
        "r2_full": "full_r2_marginal",
        "lrt_pvalue": "nm_pvalue",
    }
    return {**row, **{known: row[ours] for ours, known in names.items()}}


def _with_side_and_outcome(df: pd.DataFrame) -> pd.DataFrame:
    from iblnm.task.contrasts import add_relative_contrast

    if "side" not in df and "stim_side" in df:
        # without a hemisphere the sign of the side is a matter of convention
        sides = df.assign(hemisphere=df.get("hemisphere", "l"), signed_contrast=np.nan)
        df = df.assign(side=add_relative_contrast(sides)["side"])
    if "feedbackType" not in df and {"choice", "stim_side"} <= set(df):
        towards = df["stim_side"].map({"left": 1.0, "right": -1.0}).astype(float)
        df = df.assign(feedbackType=np.sign(df["choice"].astype(float) * towards))
    return df


def short_event(event: str) -> str:
    """Name of an event in the keys of models: without ``_times``."""
    return event.removesuffix("_times")


def anova_tables(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The ANOVAs of a table by (target, event), each with the columns of `anova_rm`."""
    return {
        (target, short_event(event)): _known_anova(own)
        for (target, event), own in table.groupby(["target_NM", "event"], sort=False)
    }


def with_known_names(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Coefficients of mixed models with the names of statsmodels beside ours."""
    return coefficients.assign(
        **{
            "Coef.": coefficients["estimate"],
            "Std.Err.": coefficients["se"],
            "P>|z|": coefficients["p_wald"],
        }
    )


def decode_target_nm(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
    C: float | None = None,
    Cs: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Decode the target of each recording from animals that the decoder has not seen.

    Parameters
    ----------
    X, labels, subjects, normalize, C, Cs
        See `iblnm.analysis.decoding.decoder.decode_targets`.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy``, ``per_class_accuracy``, ``confusion``,
        ``coefficients``, ``predictions`` (table: true, predicted, beside the levels of the
        index), ``best_C``, ``n_valid``, and what ours has besides.

    Raises
    ------
    DataError
        A `ValueError`: with fewer than two targets, for example.
    """
    from iblnm.analysis.decoding.decoder import decode_targets, prediction_table

    decoded = decode_targets(X, labels, subjects, normalize, C, Cs)
    predicted = decoded["predictions"]
    return {
        **decoded,
        "predictions": prediction_table(predicted, labels),
        "best_C": decoded["best_C_"],
        "n_valid": int(predicted.notna().sum()),
    }


def feature_unique_contribution(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
    C: float | None = None,
) -> pd.DataFrame:
    """What each feature adds: held-out balanced accuracy minus that without the feature.

    Parameters
    ----------
    X, labels, subjects, normalize, C
        See `iblnm.analysis.decoding.decoder.feature_contributions`.

    Returns
    -------
    DataFrame
        ``feature``, ``full_accuracy``, ``reduced_accuracy``, ``delta``, and the interval of
        ours.
    """
    from iblnm.analysis.decoding.decoder import contribution_table, feature_contributions

    return contribution_table(feature_contributions(X, labels, subjects, normalize, C))


def compute_recording_projection(
    n_analysis_ready: Mapping[str, int],
    n_total: Mapping[str, int],
    target_n: int,
    deadline: date | str,
    capacity_per_day: float,
    today: date | str | None = None,
) -> pd.DataFrame:
    """How many recordings are still to be made, and whether the time suffices.

    Parameters
    ----------
    n_analysis_ready, n_total : mapping of target to int
        Recordings that can be analyzed, and all that were made.
    target_n : int
        Recordings wanted of each target.
    deadline : date or str
        Last day of recording, ISO 8601.
    capacity_per_day : float
        Recordings a day.
    today : date or str, optional

    Returns
    -------
    DataFrame
        Index target: ``n_analysis_ready``, ``n_total``, ``yield_rate`` (their ratio),
        ``shortfall``, ``effective_sessions_needed`` (shortfall over yield, infinite where
        nothing was usable so far), ``recording_days_needed``, ``days_available``.
    """
    ready = pd.Series(dict(n_analysis_ready), dtype=float)
    total = pd.Series(dict(n_total), dtype=float).reindex(ready.index)
    rate = (ready / total.where(total > 0)).fillna(0.0)
    shortfall = (target_n - ready).clip(lower=0)
    needed = shortfall / rate.where(rate > 0)
    needed = needed.where(shortfall > 0, 0.0).fillna(np.inf)
    start = date.today() if today is None else _day(today)
    left = max((_day(deadline) - start) / timedelta(days=1), 0.0)
    return pd.DataFrame(
        {
            "n_analysis_ready": ready.astype(int),
            "n_total": total.fillna(0).astype(int),
            "yield_rate": rate,
            "shortfall": shortfall.astype(int),
            "effective_sessions_needed": needed,
            "recording_days_needed": needed / capacity_per_day,
            "days_available": int(left),
        }
    ).rename_axis("target_NM")


def _day(value: date | str) -> date:
    return pd.Timestamp(value).date()
