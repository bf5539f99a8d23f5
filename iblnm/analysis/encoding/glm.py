"""Linear model of the single-trial responses of each recording, all recordings at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.derived import with_derived
from iblnm.analysis.trials import ContrastCoding, code_factors
from iblnm.constants import TASK_CONTRASTS
from iblnm.task.contrasts import require_columns

METHOD_VERSION = 1
TERMS = (
    "intercept",
    "contrast",
    "side",
    "reward",
    "contrast:side",
    "contrast:reward",
    "side:reward",
)
RECORDING = ("eid", "target_NM", "fiber_idx")
MIN_TRIALS = 20
MIN_RECIPROCAL_CONDITION = 1e-10
TOO_FEW_TRIALS = "fewer than {limit} trials"
RANK_DEFICIENT = "conditions do not separate the terms"


def fit_response_glm(
    events: pd.DataFrame,
    event_name: str,
    min_trials: int = MIN_TRIALS,
    contrast_coding: str = "log",
    *,
    response_col: str = "response_early",
    contrasts: Sequence[float] = TASK_CONTRASTS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coefficients of contrast, side, reward and their pairs, one fit per recording.

    Parameters
    ----------
    events : DataFrame
        Selected trials, schema `RESPONSE_MAGNITUDES`; trials without a response, side,
        contrast or outcome are left out.
    event_name : str
        For example ``stimOn_times``.
    min_trials : int
        Recordings with fewer usable trials are left out.
    contrast_coding : {'log', 'linear', 'rank'}
        See `iblnm.analysis.trials.ContrastCoding`.
    response_col : str
    contrasts : sequence of float
        Analyzed contrasts [%], on whose mean code contrast is centered.

    Returns
    -------
    coefficients, standard_errors : DataFrame
        Index (eid, target_NM, fiber_idx), sorted, of the recordings that were fitted; one
        column per term of `TERMS`. Units of the response. `fit_recording_glms` gives the
        others too, with the reason.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    table = fit_recording_glms(
        events,
        event_name,
        min_trials=min_trials,
        contrast_coding=contrast_coding,
        contrasts=contrasts,
        response_col=response_col,
    )
    return wide_coefficients(table), wide_coefficients(table, "se")


def wide_coefficients(table: pd.DataFrame, value: str = "estimate") -> pd.DataFrame:
    """One row per fitted recording and one column per term, of one event's regressions.

    Parameters
    ----------
    table : DataFrame
        From `fit_recording_glms`.
    value : {'estimate', 'se', 't', ...}

    Returns
    -------
    DataFrame
        Index (eid, target_NM, fiber_idx), sorted; columns `TERMS`.
    """
    fitted = table[table["note"].isna()].sort_values([*RECORDING, "term"])
    first = fitted.drop_duplicates(list(RECORDING))
    terms = sorted(TERMS)
    values = fitted[value].to_numpy(dtype=float).reshape(-1, len(terms))
    wide = pd.DataFrame(values, index=recording_index(first), columns=terms)
    return wide[list(TERMS)]


def recording_index(table: pd.DataFrame) -> pd.MultiIndex:
    """Index (eid, target_NM, fiber_idx) of the rows, of the same types in all analyses."""
    return pd.MultiIndex.from_arrays(
        [
            table["eid"].astype(object),
            table["target_NM"].astype(object),
            table["fiber_idx"].astype("int64"),
        ],
        names=list(RECORDING),
    )


def fit_recording_glms(
    events: pd.DataFrame,
    event_name: str,
    *,
    min_trials: int = MIN_TRIALS,
    contrast_coding: str = "log",
    contrasts: Sequence[float] = TASK_CONTRASTS,
    response_col: str = "response_early",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """As `fit_response_glm`, in long form with intervals, p and the reason of each gap.

    Parameters
    ----------
    events, event_name, min_trials, contrast_coding, contrasts, response_col
        As `fit_response_glm`.
    confidence : float
        Of the intervals.

    Returns
    -------
    DataFrame
        One row per recording and term: ``eid``, ``target_NM``, ``fiber_idx``, ``event``,
        ``term``, ``estimate``, ``se``, ``ci_low``, ``ci_high`` (units of the response),
        ``t``, ``df``, ``p``, ``n_trials``, ``residual_sd``, ``r2`` and ``note``: null, or
        why the recording was not fitted, whose numbers are then NaN.

    Raises
    ------
    MalformedFileError
        If a column is missing.

    Notes
    -----
    Ordinary least squares by the normal equations, summed per recording; the terms are
    coded to similar size (see `design_matrix`), so the equations are well conditioned.
    Errors are those of `statsmodels.api.OLS`, which is the reference of the tests. A
    recording is refused when the reciprocal condition number of its column-scaled normal
    matrix is below 1e-10.
    """
    from scipy import stats

    require_columns(events, ("event",))
    events = with_derived(events)
    columns = [*RECORDING, "contrast", "side", "feedbackType", response_col]
    require_columns(events, tuple(columns))
    chosen = events.loc[(events["event"] == event_name).to_numpy(dtype=bool), columns]
    recordings, code = _recordings(chosen)
    design = design_matrix(chosen, contrast_coding, contrasts)
    response = chosen[response_col].to_numpy(dtype=float, na_value=np.nan)
    usable = np.isfinite(response) & np.isfinite(design).all(axis=1)
    code = code[usable]
    gram, moment, square, mean = _sums(design[usable], response[usable], code, len(recordings))
    n_trials = np.bincount(code, minlength=len(recordings))

    enough = n_trials >= max(min_trials, len(TERMS) + 1)
    full_rank = enough & _is_full_rank(gram)
    estimate = np.full((len(recordings), len(TERMS)), np.nan)
    se = estimate.copy()
    inverse = np.linalg.inv(gram[full_rank])
    estimate[full_rank] = np.einsum("rij,rj->ri", inverse, moment[full_rank])
    df = (n_trials - len(TERMS)).astype(float)
    df[~full_rank] = np.nan
    rss = square - np.einsum("ri,ri->r", np.nan_to_num(estimate), moment)
    variance = np.maximum(rss, 0) / df
    residual_sd = np.sqrt(variance)
    se[full_rank] = np.sqrt(variance[full_rank, None] * np.diagonal(inverse, axis1=1, axis2=2))
    tss = square - n_trials * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1 - rss / tss
        t = estimate / se
    half = stats.t.ppf((1 + confidence) / 2, df)[:, None] * se
    p = 2 * stats.t.sf(np.abs(t), df[:, None])
    note = np.where(enough, RANK_DEFICIENT, TOO_FEW_TRIALS.format(limit=min_trials))
    note = np.where(full_rank, None, note.astype(object))

    def per_term(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, len(TERMS))

    long = recordings.loc[recordings.index.repeat(len(TERMS))].reset_index(drop=True)
    return long.assign(
        event=event_name,
        term=np.tile(TERMS, len(recordings)),
        estimate=estimate.ravel(),
        se=se.ravel(),
        ci_low=(estimate - half).ravel(),
        ci_high=(estimate + half).ravel(),
        t=t.ravel(),
        df=per_term(df),
        p=p.ravel(),
        n_trials=per_term(n_trials),
        residual_sd=per_term(residual_sd),
        r2=per_term(np.where(full_rank, r2, np.nan)),
        note=per_term(note),
    )


def design_matrix(
    trials: pd.DataFrame,
    contrast_coding: str = "log",
    contrasts: Sequence[float] = TASK_CONTRASTS,
) -> np.ndarray:
    """Columns of the model, in the order of `TERMS`.

    Parameters
    ----------
    trials : DataFrame
        ``contrast`` (%), ``side`` ('contra' or 'ipsi'), ``feedbackType`` (1 or −1).
    contrast_coding : {'log', 'linear', 'rank'}
    contrasts : sequence of float
        Analyzed contrasts [%].

    Returns
    -------
    ndarray, shape (n_trials, 7)
        Contrast is coded and then centered on the mean code of `contrasts`, which does not
        depend on the trials: coefficients of recordings with different mixtures of contrasts
        remain comparable. Side is +0.5 for contralateral and
        −0.5 for ipsilateral stimuli, reward ±0.5. What is unknown is NaN.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    require_columns(trials, ("contrast", "side", "feedbackType"))
    factors = code_factors(trials, ContrastCoding(contrast_coding, contrasts))
    contrast, side, reward = (factors[name].to_numpy() for name in ("contrast", "side", "reward"))
    return np.column_stack(
        [
            np.ones(len(trials)),
            contrast,
            side,
            reward,
            contrast * side,
            contrast * reward,
            side * reward,
        ]
    )


def features_of(
    coefficients: pd.DataFrame,
    standard_errors: pd.DataFrame | None = None,
    *,
    exclude: Sequence[str] = (),
) -> pd.DataFrame:
    """Coefficients as features of recordings, optionally in units of their standard error.

    Parameters
    ----------
    coefficients : DataFrame
        From `fit_response_glm`.
    standard_errors : DataFrame, optional
        If given, every coefficient is divided by its own error.
    exclude : sequence of str
        Terms to leave out.

    Returns
    -------
    DataFrame
        Index of `coefficients`.
    """
    features = coefficients if standard_errors is None else coefficients / standard_errors
    return features.drop(columns=list(exclude))


def _recordings(trials: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Recordings, sorted, and the position of each trial's among them."""
    session = pd.factorize(trials["eid"])[0].astype("int64")
    fiber, fibers = pd.factorize(trials["fiber_idx"])
    code, keys = pd.factorize(session * (len(fibers) + 1) + fiber)
    first = np.full(len(keys), len(code))
    np.minimum.at(first, code, np.arange(len(code)))
    found = trials.iloc[first][list(RECORDING)].reset_index(drop=True)
    found = found.sort_values(list(RECORDING))
    position = np.empty(len(found), dtype=int)
    position[found.index] = np.arange(len(found))
    return found.reset_index(drop=True), position[code]


def _sums(
    design: np.ndarray, response: np.ndarray, code: np.ndarray, n_recordings: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per recording: design'design, design'response, response'response, mean response."""
    rows = np.column_stack([design, response])
    if (np.diff(code) < 0).any():
        order = np.argsort(code, kind="stable")
        rows, code = rows[order], code[order]
    starts, ends = (
        np.searchsorted(code, np.arange(n_recordings), side=side) for side in ("left", "right")
    )
    products = np.zeros((n_recordings, rows.shape[1], rows.shape[1]))
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        own = rows[start:end]
        products[i] = own.T @ own
    with np.errstate(invalid="ignore"):
        mean = products[:, 0, -1] / products[:, 0, 0]
    return products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1], mean


def _is_full_rank(gram: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    size = np.where(size > 0, size, 1.0)
    values = np.linalg.eigvalsh(gram / (size[:, :, None] * size[:, None, :]))
    return values[:, 0] > MIN_RECIPROCAL_CONDITION * values[:, -1]
