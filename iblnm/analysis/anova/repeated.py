"""Repeated-measures ANOVA over animals, and the cell means it needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.errors import IncompleteDesignError

METHOD_VERSION = 1
MIN_SUBJECTS = 2
MIN_TRIALS = 10
_NAMED = 5
ANOVA_COLUMNS = ("source", "F", "df", "df_error", "p", "epsilon", "p_gg", "n_subjects")


def repeated_measures_anova(
    df: pd.DataFrame, depvar: str, subject: str, within: Sequence[str]
) -> pd.DataFrame:
    """Repeated-measures ANOVA of a full factorial design with one value per cell.

    Parameters
    ----------
    df : DataFrame
        One row per subject and combination of factor levels.
    depvar : str
        Column of the response.
    subject : str
    within : sequence of str
        Columns of the factors.

    Returns
    -------
    DataFrame
        One row per main effect and interaction: ``source`` (factors joined by ':'), ``F``,
        ``df``, ``df_error``, ``p``, ``epsilon`` (Greenhouse–Geisser, 1/df to 1), ``p_gg``
        (p with degrees of freedom times epsilon), ``n_subjects``. Epsilon is NaN where the
        residuals do not vary.

    Raises
    ------
    IncompleteDesignError
        If a subject lacks a cell (or its value is not finite), has one twice, or there are
        fewer than two subjects or than two levels of a factor. Missing cells are named.

    Notes
    -----
    F and p from ``statsmodels.stats.anova.AnovaRM``, which neither names missing cells nor
    corrects for sphericity; the correction is that of Greenhouse & Geisser (1959),
    Psychometrika 24, 95–112.
    """
    from scipy.stats import f as f_distribution
    from statsmodels.stats.anova import AnovaRM

    within = list(within)
    table = df[[subject, *within, depvar]].dropna(subset=[subject, *within])
    _require_full_factorial(table, depvar, subject, within)
    # names of our own: the formula inside AnovaRM would read some factors' names as functions
    factors = {name: f"factor{i}_" for i, name in enumerate(within)}
    coded = pd.DataFrame(
        {
            "subject_": pd.factorize(table[subject])[0],
            "value_": table[depvar].to_numpy(dtype=float),
            **{new: pd.factorize(table[old])[0] for old, new in factors.items()},
        }
    )
    result = AnovaRM(coded, "value_", "subject_", within=list(factors.values())).fit().anova_table
    n_subjects = coded["subject_"].nunique()
    rows = []
    for source, values in result.iterrows():
        effect = [name for name, new in factors.items() if new in str(source).split(":")]
        epsilon = _greenhouse_geisser(table, depvar, subject, within, effect)
        df_effect, df_error = values["Num DF"], values["Den DF"]
        p_gg = f_distribution.sf(values["F Value"], epsilon * df_effect, epsilon * df_error)
        rows.append(
            (
                ":".join(effect),
                values["F Value"],
                df_effect,
                df_error,
                values["Pr > F"],
                epsilon,
                p_gg,
                n_subjects,
            )
        )
    return pd.DataFrame(rows, columns=list(ANOVA_COLUMNS))


def subject_cell_means(
    trials: pd.DataFrame, depvar: str, subject: str, within: Sequence[str], min_trials: int
) -> pd.DataFrame:
    """Mean per subject and combination of factor levels with enough trials.

    Parameters
    ----------
    trials : DataFrame
        One row per recording and trial; rows without response or factor are left out.
    depvar, subject : str
    within : sequence of str
    min_trials : int
        Cells with fewer trials are left out.

    Returns
    -------
    DataFrame
        `subject`, `within`, `depvar`, ``n_trials``.
    """
    columns = [subject, *within]
    known = trials.dropna(subset=[*columns, depvar])
    grouped = known.groupby(columns, observed=True)[depvar].agg(["mean", "size"])
    kept = grouped[grouped["size"] >= min_trials].reset_index()
    return kept.rename(columns={"mean": depvar, "size": "n_trials"})


def missing_cells(
    cells: pd.DataFrame,
    subject: str,
    within: Sequence[str],
    levels: Sequence[Sequence] | None = None,
) -> pd.DataFrame:
    """Combinations of factor levels that a subject lacks.

    Parameters
    ----------
    cells : DataFrame
        One row per subject and cell present.
    subject : str
    within : sequence of str
    levels : sequence of sequences, optional
        Levels per factor; by default those that occur.

    Returns
    -------
    DataFrame
        `subject` and `within`, sorted.
    """
    within = list(within)
    if levels is None:
        levels = [sorted(cells[name].unique()) for name in within]
    full = pd.MultiIndex.from_product(
        [sorted(cells[subject].unique()), *levels], names=[subject, *within]
    )
    present = pd.MultiIndex.from_frame(cells[[subject, *within]])
    return full[~full.isin(present)].to_frame(index=False)


def _require_full_factorial(
    table: pd.DataFrame, depvar: str, subject: str, within: list[str]
) -> None:
    n_subjects = table[subject].nunique()
    if n_subjects < MIN_SUBJECTS:
        raise IncompleteDesignError(
            f"{n_subjects} subjects with {depvar}; at least {MIN_SUBJECTS} are needed"
        )
    for name in within:
        if table[name].nunique() < MIN_SUBJECTS:
            raise IncompleteDesignError(
                f"factor {name} has the levels {sorted(table[name].unique())}; at least 2 needed"
            )
    finite = table[np.isfinite(table[depvar].astype(float))]
    levels = [sorted(table[name].unique()) for name in within]
    missing = missing_cells(finite, subject, within, levels)
    absent = sorted(set(table[subject]) - set(finite[subject]))
    if absent:
        raise IncompleteDesignError(f"subject {absent[0]} has no finite value of {depvar}")
    if len(missing):
        named = "; ".join(
            f"{subject} {row[0]}: "
            + ", ".join(f"{n}={v}" for n, v in zip(within, row[1:], strict=True))
            for row in missing.head(_NAMED).itertuples(index=False)
        )
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise IncompleteDesignError(
            f"{len(missing)} cells of the full factorial are missing: {named}{more}",
            missing=missing,
        )
    twice = table[table.duplicated([subject, *within])]
    if len(twice):
        row = twice.iloc[0]
        named = ", ".join(f"{name}={row[name]}" for name in within)
        raise IncompleteDesignError(
            f"{subject} {row[subject]}: more than one value in the cell {named}; average them"
        )


def _greenhouse_geisser(
    table: pd.DataFrame, depvar: str, subject: str, within: list[str], effect: list[str]
) -> float:
    """Epsilon of one effect: tr(S)² / (df · tr(S²)), S the covariance of its contrasts."""
    wide = table.pivot_table(index=subject, columns=within, values=depvar, sort=True)
    contrasts = np.ones((1, 1))
    for name in within:
        size = table[name].nunique()
        ones = np.full((size, 1), 1 / np.sqrt(size))
        orthonormal = np.linalg.qr(np.hstack([ones, np.eye(size)[:, 1:]]))[0][:, 1:]
        contrasts = np.kron(contrasts, orthonormal if name in effect else ones)
    scores = wide.to_numpy() @ contrasts
    covariance = np.atleast_2d(np.cov(scores, rowvar=False))
    squared = np.sum(covariance**2)
    degrees = contrasts.shape[1]
    return float(np.trace(covariance) ** 2 / (degrees * squared)) if squared > 0 else np.nan
