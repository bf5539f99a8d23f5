"""Cosine similarity of response vectors within and between targets."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.errors import DataError

METHOD_VERSION = 1
N_PERMUTATIONS = 1000
N_BOOTSTRAP = 2000
COVERAGE = 0.95
CORRECTION = "holm"
ALL_TARGETS = "all"


def split_features_by_event(df: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Columns of a response matrix by the event that their name begins with.

    Parameters
    ----------
    df : DataFrame, shape (n_recordings, n_features)
        Columns ``{event}_c{contrast}_{contra|ipsi}_{correct|incorrect}``.

    Returns
    -------
    dict of str to DataFrame
        By event, in the order in which the events appear; names of columns unchanged.

    Raises
    ------
    DataError
        If a column's name has no event.

    Examples
    --------
    >>> columns = ["stimOn_c0_contra_correct", "feedback_c0_contra_correct"]
    >>> parts = split_features_by_event(pd.DataFrame([[1.0, 2.0]], columns=columns))
    >>> {event: part.to_numpy().tolist() for event, part in parts.items()}
    {'stimOn': [[1.0]], 'feedback': [[2.0]]}
    """
    events: dict[str, list[str]] = {}
    for name in df.columns:
        event, found, _ = str(name).partition("_c")
        if not found or not event:
            raise DataError(f"feature {name!r} has no event; {{event}}_c{{contrast}}_... expected")
        events.setdefault(event, []).append(name)
    return {event: df[names] for event, names in events.items()}


def cosine_similarity_matrix(df: pd.DataFrame) -> pd.DataFrame:
    """Cosine of the angle between every two response vectors.

    Parameters
    ----------
    df : DataFrame, shape (n_recordings, n_features)
        Rows with a NaN are left out.

    Returns
    -------
    DataFrame, shape (n, n)
        Index and columns are the rows' index. Symmetric, diagonal 1, within ±1; a vector of
        zeros has no direction, and its row and column are NaN.

    Examples
    --------
    >>> cosine_similarity_matrix(pd.DataFrame([[1.0, 0.0], [2.0, 2.0]])).round(3)
           0      1
    0  1.000  0.707
    1  0.707  1.000
    """
    complete = df[df.notna().all(axis=1)]
    values = complete.to_numpy(dtype=float)
    # scaled first, so that neither large nor tiny values leave the range of floats
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = values / largest
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosine = np.clip(unit @ unit.T, -1.0, 1.0)
    diagonal = np.einsum("ii->i", cosine)
    diagonal[np.isfinite(diagonal)] = 1.0
    return pd.DataFrame(cosine, index=complete.index, columns=complete.index)


def within_between_similarity(
    sim: pd.DataFrame | np.ndarray,
    labels: Sequence[Hashable],
    subjects: Sequence[Hashable] | None = None,
) -> pd.DataFrame:
    """Every pair of recordings once, with its similarity and whether the targets agree.

    Parameters
    ----------
    sim : DataFrame or array, shape (n, n)
        Symmetric, see `cosine_similarity_matrix`.
    labels : sequence, length n
        Target of each recording.
    subjects : sequence, length n, optional
        Subject of each recording; without them ``same_subject`` is null.

    Returns
    -------
    DataFrame
        One row per pair i < j: ``i``, ``j`` (positions), ``target_i``, ``target_j``
        (categorical), ``comparison`` ('within' or 'between', categorical),
        ``same_subject`` (boolean), ``similarity``.

    Notes
    -----
    Pairs share recordings and animals and are not independent: describe with them, test with
    `similarity_contrasts`.
    """
    values, names, codes, subject_codes = _coded(sim, labels, subjects)
    n = len(values)
    # the rows of the upper triangle are runs: repeat and count instead of masking n × n
    runs = np.arange(n - 1, -1, -1)
    i = np.repeat(np.arange(n), runs)
    j = np.arange(i.size) - np.repeat(np.cumsum(runs) - runs, runs) + i + 1
    code_i, code_j = codes[i], codes[j]
    data: dict[str, Any] = {
        "i": i,
        "j": j,
        "target_i": pd.Categorical.from_codes(code_i, dtype=names, validate=False),
        "target_j": pd.Categorical.from_codes(code_j, dtype=names, validate=False),
        "comparison": pd.Categorical.from_codes(
            (code_i != code_j).astype(np.int8),
            dtype=pd.CategoricalDtype(["within", "between"]),
            validate=False,
        ),
    }
    same = (
        np.zeros(i.size, bool) if subject_codes is None else subject_codes[i] == subject_codes[j]
    )
    unknown = np.full(i.size, subject_codes is None)
    data["same_subject"] = pd.arrays.BooleanArray(same, unknown)
    data["similarity"] = values[i, j]
    return pd.DataFrame(data, copy=False)


def mean_similarity_by_target(
    sim: pd.DataFrame | np.ndarray,
    labels: Sequence[Hashable],
    subjects: Sequence[Hashable] | None = None,
) -> pd.DataFrame:
    """Mean similarity of the recordings of every two targets.

    Parameters
    ----------
    sim : DataFrame or array, shape (n, n)
    labels : sequence, length n
        Target of each recording.
    subjects : sequence, length n, optional
        Given, pairs of one subject are left out.

    Returns
    -------
    DataFrame, shape (n_targets, n_targets)
        Targets sorted; a recording is not compared with itself, missing similarities are
        skipped; NaN without a pair.
    """
    values, names, codes, subject_codes = _coded(sim, labels, subjects)
    usable = np.isfinite(values)
    np.fill_diagonal(usable, False)
    if subject_codes is not None:
        usable &= subject_codes[:, None] != subject_codes[None, :]
    member = np.eye(len(names.categories))[codes]
    total = member.T @ np.where(usable, values, 0.0) @ member
    count = member.T @ usable.astype(float) @ member
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return pd.DataFrame(mean, index=names.categories, columns=names.categories)


def similarity_contrasts(
    sim: pd.DataFrame | np.ndarray,
    labels: Sequence[Hashable],
    subjects: Sequence[Hashable],
    *,
    n_permutations: int = N_PERMUTATIONS,
    n_bootstrap: int = N_BOOTSTRAP,
    coverage: float = COVERAGE,
    seed: int = 0,
) -> pd.DataFrame:
    """Are responses more alike within a target than between targets, across animals?

    Parameters
    ----------
    sim : DataFrame or array, shape (n, n)
    labels, subjects : sequence, length n
        Target and subject of each recording.
    n_permutations : int
        Shuffles of the targets between subjects, see
        `iblnm.analysis.decoding.inference.shuffle_targets`.
    n_bootstrap : int
        Resamples of subjects within their target, see
        `iblnm.analysis.decoding.inference.subject_resamples`.
    coverage : float
        Of the percentile interval.
    seed : int

    Returns
    -------
    DataFrame
        One row per target and one for all: ``target_NM``, ``n_subjects``, ``within``,
        ``between``, ``difference``, ``low``, ``high``, ``p`` (one-sided: more alike
        within), ``p_corrected`` (Holm over the targets; the row of all is a test of its
        own), ``correction``. Null where a target has fewer than two subjects.

    Notes
    -----
    The unit is a pair of animals: similarities are first averaged over the recordings of the
    two (subject, target) units; pairs of one subject are left out.
    """
    from statsmodels.stats.multitest import multipletests

    from iblnm.analysis.decoding.inference import shuffle_targets, subject_resamples

    values, names, codes, subject_codes = _coded(sim, labels, subjects)
    k = len(names.categories)
    unit, unit_of_row = np.unique(subject_codes * k + codes, return_inverse=True)
    owner, target = unit // k, unit % k
    usable = np.isfinite(values) & (subject_codes[:, None] != subject_codes[None, :])
    member = np.eye(unit.size)[unit_of_row]
    count = member.T @ usable.astype(float) @ member
    total = member.T @ np.where(usable, values, 0.0) @ member
    pairs = count > 0
    mean = np.divide(total, count, out=np.zeros_like(total), where=pairs)

    observed = _within_between(mean, pairs.astype(float), target, k)
    rng = np.random.default_rng(seed)
    null = np.array(
        [
            np.subtract(
                *_within_between(mean, pairs.astype(float), shuffle_targets(target, owner, rng), k)
            )
            for _ in range(n_permutations)
        ]
    ).reshape(n_permutations, k + 1)
    draws = subject_resamples(codes, subject_codes, n_bootstrap, seed)[:, owner]
    samples = np.array(
        [
            np.subtract(*_within_between(mean, pairs * np.outer(drawn, drawn), target, k))
            for drawn in draws
        ]
    ).reshape(n_bootstrap, k + 1)

    n_subjects = [*np.bincount(target, minlength=k), np.unique(owner).size]
    table = pd.DataFrame({"target_NM": [*names.categories, ALL_TARGETS], "n_subjects": n_subjects})
    table["within"], table["between"] = observed
    table["difference"] = table["within"] - table["between"]
    tails = [(1 - coverage) / 2, (1 + coverage) / 2]
    for row, difference in enumerate(table["difference"]):
        known = np.isfinite(difference)
        drawn = samples[:, row][np.isfinite(samples[:, row])]
        low, high = np.quantile(drawn, tails) if known and drawn.size else (np.nan, np.nan)
        reached = ~(null[:, row] < difference - 1e-12)
        table.loc[row, ["low", "high"]] = low, high
        table.loc[row, "p"] = (1 + reached.sum()) / (1 + n_permutations) if known else np.nan
    table["p_corrected"] = table["p"]
    tested = table.index[table["p"].notna() & (table["target_NM"] != ALL_TARGETS)]
    if len(tested):
        table.loc[tested, "p_corrected"] = multipletests(
            table.loc[tested, "p"], method=CORRECTION
        )[1]
    single = table["target_NM"] == ALL_TARGETS
    table["correction"] = np.where(single, "none: a single test", f"{CORRECTION} over targets")
    return table


def _within_between(
    mean: np.ndarray, weight: np.ndarray, target: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means within and between, per target and over all (last)."""
    member = np.eye(k)[target]
    total = member.T @ (weight * mean) @ member
    count = member.T @ weight @ member
    within = np.append(np.diag(total), np.trace(total))
    n_within = np.append(np.diag(count), np.trace(count))
    between = np.append(total.sum(axis=1), total.sum()) - within
    n_between = np.append(count.sum(axis=1), count.sum()) - n_within
    with np.errstate(invalid="ignore", divide="ignore"):
        return within / n_within, between / n_between


def _coded(
    sim: pd.DataFrame | np.ndarray,
    labels: Sequence[Hashable],
    subjects: Sequence[Hashable] | None,
) -> tuple[np.ndarray, pd.CategoricalDtype, np.ndarray, np.ndarray | None]:
    values = np.asarray(sim, dtype=float)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise DataError(f"similarity has shape {values.shape}; a square table is expected")
    columns = [labels] if subjects is None else [labels, subjects]
    for what, given in zip(("labels", "subjects"), columns, strict=False):
        if len(given) != len(values):
            raise DataError(f"{len(given)} {what} for {len(values)} recordings")
        if pd.isna(np.asarray(given, dtype=object)).any():
            raise DataError(f"{what} has nulls; leave those recordings out")
    codes, found = pd.factorize(np.asarray(labels, dtype=object), sort=True)
    subject_codes = None
    if subjects is not None:
        subject_codes = pd.factorize(np.asarray(subjects, dtype=object), sort=True)[0]
    return values, pd.CategoricalDtype(found), codes, subject_codes
