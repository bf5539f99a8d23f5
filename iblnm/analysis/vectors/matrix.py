"""Response vectors: one row per recording, one column per condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.derived import with_derived
from iblnm.analysis.trials import OUTCOMES
from iblnm.constants import FEEDBACK_EVENT, STIMULUS_EVENT, TASK_CONTRASTS
from iblnm.errors import MissingColumnError
from iblnm.task.contrasts import require_columns

METHOD_VERSION = 1
FEATURE_EVENTS = (STIMULUS_EVENT, FEEDBACK_EVENT)
MIN_TRIALS_PER_CELL = 5
MAX_NAN_RATE = 0.3
INDEX = ("eid", "target_NM", "fiber_idx")
_SIDES = ("contra", "ipsi")
_SAME_CONTRAST = 1e-6


def condition_labels(
    events: Sequence[str] = FEATURE_EVENTS, contrasts: Sequence[float] = TASK_CONTRASTS
) -> list[str]:
    """Names of the conditions, in the order of the columns.

    Examples
    --------
    >>> condition_labels(["stimOn_times"], [6.25])[:2]
    ['stimOn_c6.25_contra_correct', 'stimOn_c6.25_contra_incorrect']
    """
    return [
        f"{event.removesuffix('_times')}_c{contrast:g}_{side}_{outcome}"
        for event in events
        for contrast in contrasts
        for side in _SIDES
        for outcome in OUTCOMES
    ]


def response_matrix(
    magnitudes: pd.DataFrame,
    *,
    events: Sequence[str] = FEATURE_EVENTS,
    contrasts: Sequence[float] = TASK_CONTRASTS,
    min_trials: int = MIN_TRIALS_PER_CELL,
    response_col: str = "response_early",
) -> pd.DataFrame:
    """Mean response of each recording per event, contrast, laterality and outcome.

    Parameters
    ----------
    magnitudes : DataFrame
        Selected trials (`iblnm.analysis.trials.select_trials`) of the table
        `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`. Other events and contrasts are left
        out, and trials whose stimulus has no known side relative to the fiber.
    events : sequence of str
    contrasts : sequence of float
        Percent.
    min_trials : int
        A condition with fewer trials is NaN.
    response_col : str

    Returns
    -------
    DataFrame, float64
        Index (eid, target_NM, fiber_idx), recordings in order of appearance; columns as
        `condition_labels`, all of them.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    magnitudes = with_derived(magnitudes)
    require_columns(
        magnitudes,
        (*INDEX, "event", "contrast", "side", "feedbackType", response_col),
    )
    session, _ = pd.factorize(magnitudes["eid"])
    fiber = magnitudes["fiber_idx"].to_numpy(dtype=np.int64)
    recording, first = _number(session.astype(np.int64) * (fiber.max(initial=0) + 1) + fiber)
    index = pd.MultiIndex.from_frame(_plain(magnitudes[list(INDEX)].iloc[first]))
    labels = condition_labels(events, contrasts)
    cell, valid = _cells(magnitudes, events, contrasts)
    response = magnitudes[response_col].to_numpy(dtype=float, na_value=np.nan)
    valid &= np.isfinite(response)
    flat = recording[valid] * len(labels) + cell[valid]
    size = len(first) * len(labels)
    count = np.bincount(flat, minlength=size)
    total = np.bincount(flat, weights=response[valid], minlength=size)
    enough = count >= max(min_trials, 1)
    mean = np.divide(total, count, out=np.full(size, np.nan), where=enough)
    return pd.DataFrame(mean.reshape(len(first), len(labels)), index=index, columns=labels)


def in_conditions(
    trials: pd.DataFrame,
    events: Sequence[str],
    contrasts: Sequence[float],
    features: Sequence[str] | None = None,
) -> np.ndarray:
    """Which trials are of a condition, or of one of those named.

    Parameters
    ----------
    trials : DataFrame
        ``event``, ``side``, ``contrast`` [%] and ``feedbackType``.
    events, contrasts
        As for `response_matrix`.
    features : sequence of str, optional
        Of `condition_labels`.

    Returns
    -------
    ndarray of bool (n_trials,)
    """
    cell, valid = _cells(trials, events, contrasts)
    labels = condition_labels(events, contrasts)
    wanted = np.isin(labels, labels if features is None else list(features))
    return valid & wanted[np.where(valid, cell, 0)]


def handle_missing(
    matrix: pd.DataFrame,
    how: str | None = "drop_features",
    max_nan_rate: float = MAX_NAN_RATE,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A matrix without missing values.

    Parameters
    ----------
    matrix : DataFrame
        See `response_matrix`.
    how : {'drop_sessions', 'drop_features', None}
        Leave out recordings with a missing value; or first the conditions that are missing
        in more than `max_nan_rate` of the recordings, then what recordings still lack a
        value; or leave the matrix as it is.
    max_nan_rate : float

    Returns
    -------
    matrix : DataFrame
    dropped : dict
        ``features`` (names) and ``recordings`` (tuples of the index) that were left out.

    Raises
    ------
    ValueError
        For another `how`.

    Examples
    --------
    >>> matrix = pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, 3.0]})
    >>> handle_missing(matrix, "drop_features")[0].columns.tolist()
    ['a']
    >>> handle_missing(matrix, "drop_sessions")[0].index.tolist()
    [1]
    """
    if how not in ("drop_sessions", "drop_features", None):
        raise ValueError(
            f"handling {how!r} is unknown; known are 'drop_sessions', 'drop_features', None"
        )
    missing = matrix.isna()
    features: list[str] = []
    if how == "drop_features" and len(matrix):
        features = list(matrix.columns[missing.mean() > max_nan_rate])
    kept = matrix.drop(columns=features)
    recordings: list[Any] = []
    if how is not None:
        # a recording of which no condition is left has no vector either
        incomplete = kept.isna().any(axis=1) | (kept.shape[1] == 0)
        recordings = list(kept.index[incomplete])
        kept = kept[~incomplete]
    return kept, {"features": features, "recordings": recordings}


def to_table(matrix: pd.DataFrame, subjects: dict[str, str]) -> pd.DataFrame:
    """The matrix as a table to store: the index and the subject of the session as columns.

    Parameters
    ----------
    matrix : DataFrame
        See `response_matrix`.
    subjects : dict
        Subject by eid.
    """
    table = matrix.reset_index()
    table.insert(len(INDEX), "subject", table["eid"].map(subjects))
    return table


def from_table(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Matrix and subjects of a stored table.

    Parameters
    ----------
    table : DataFrame
        Columns eid, target_NM, fiber_idx, subject and one per condition.

    Returns
    -------
    matrix : DataFrame
        Index (eid, target_NM, fiber_idx).
    subjects : Series
        Of each row, same index.

    Raises
    ------
    MalformedFileError
        If a column of the index is missing.
    """
    missing = [name for name in (*INDEX, "subject") if name not in table]
    if missing:
        raise MissingColumnError(f"the response matrix has no column {', '.join(missing)}")
    matrix = _plain(table).set_index(list(INDEX))
    return matrix.drop(columns="subject").astype(float), matrix["subject"]


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Identities as Python texts and numbers, the same whichever table they come from."""
    texts = [name for name in ("eid", "target_NM", "subject") if name in table]
    return table.astype({**dict.fromkeys(texts, object), "fiber_idx": np.int64})


def _number(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes numbered in order of appearance, and the first position of each."""
    numbers, levels = pd.factorize(codes)
    first = np.full(len(levels), len(codes), dtype=np.int64)
    np.minimum.at(first, numbers, np.arange(len(codes)))
    return numbers, first


def _cells(
    table: pd.DataFrame, events: Sequence[str], contrasts: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Column of each row in the order of `condition_labels`, and whether it has one."""
    event = pd.Categorical(table["event"], categories=list(events)).codes.astype(np.int64)
    side = pd.Categorical(table["side"], categories=list(_SIDES)).codes.astype(np.int64)
    level = np.full(len(table), -1, dtype=np.int64)
    shown = table["contrast"].to_numpy(dtype=float, na_value=np.nan)
    for i, contrast in enumerate(contrasts):
        level[np.abs(shown - contrast) < _SAME_CONTRAST] = i
    feedback = table["feedbackType"].to_numpy(dtype=float, na_value=np.nan)
    outcome = np.full(len(table), -1, dtype=np.int64)
    for i, value in enumerate(OUTCOMES.values()):
        outcome[feedback == value] = i
    valid = (event >= 0) & (side >= 0) & (level >= 0) & (outcome >= 0)
    cell = ((event * len(contrasts) + level) * len(_SIDES) + side) * len(OUTCOMES) + outcome
    return cell, valid
