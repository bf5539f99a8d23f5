"""Uncertainty of decoding: permutation null and intervals, with the animal as the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.decoding.decoder import predictions_without_features, prepare_decoding
from iblnm.analysis.decoding.folds import (
    CS,
    MISSING,
    DecodingData,
    Solver,
    balanced_accuracy,
    collect_predictions,
    held_out_fold,
    select_c,
)

METHOD_VERSION = 3
N_PERMUTATIONS = 500
N_BOOTSTRAP = 2000
COVERAGE = 0.95


def shuffle_targets(
    codes: np.ndarray, subjects: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give whole subjects the targets of other subjects.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Target of each recording.
    subjects : array of int, shape (n,)
        Subject of each recording, 0 to ``n_subjects - 1``.
    rng : Generator

    Returns
    -------
    ndarray of int, shape (n,)

    Notes
    -----
    The recordings of one subject and target are a unit: they carry one label before and
    after. Subjects with one target exchange their targets among each other. A subject with m
    targets (two fibers in different regions) exchanges its whole set with other subjects that
    have m, and the set is dealt to the units of the receiver in random order, so that a
    subject has as many targets as before and each target as many subjects as before. This is
    a group of exchanges under which the null hypothesis, responses that do not depend on the
    target, leaves the data's distribution unchanged (whole-block exchangeability, Winkler et
    al. 2015, NeuroImage 123, 253–268).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shuffle_targets(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2]), rng).tolist()
    [2, 2, 0, 0, 1]
    """
    n_classes = int(codes.max()) + 1
    units, unit_of_row = np.unique(subjects * n_classes + codes, return_inverse=True)
    owner, target = units // n_classes, units % n_classes
    n_targets = np.bincount(owner)
    new = target.copy()
    for size in np.unique(n_targets[n_targets > 0]):
        members = np.flatnonzero(n_targets == size)
        # units are sorted by subject, so those of a subject are neighbors
        rows = np.flatnonzero(np.isin(owner, members)).reshape(members.size, size)
        given = target[rows][rng.permutation(members.size)]
        new[rows] = rng.permuted(given, axis=1)
    return new[unit_of_row]


def decoding_permutation_test(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
    *,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    C: float | None = None,
    Cs: Sequence[float] | None = None,
    solver: Solver | None = None,
) -> dict[str, Any]:
    """Is the target decodable at all? Permutation test with the animal as the unit.

    Parameters
    ----------
    X, labels, subjects, normalize, C, Cs, solver
        As of `decode_targets`.
    n_permutations : int
        Shuffles of the targets between subjects, see `shuffle_targets`.
    seed : int

    Returns
    -------
    dict
        ``statistic`` : float; ``null`` : ndarray, shape (n_permutations,); ``p`` : float,
        (1 + number of null values ≥ statistic) / (1 + n_permutations) (Phipson & Smyth 2010,
        Stat. Appl. Genet. Mol. Biol. 9, 39); ``n_permutations``, ``seed``; ``n_missing``,
        shuffles in which nothing could be predicted, counted against the effect.

    Notes
    -----
    The statistic is the balanced accuracy over held-out subjects at a C that is chosen once,
    by inner folds over all subjects, and chosen anew in every shuffle. That choice sees the
    held-out animal, so the statistic is not reported as accuracy (`decode_targets` nests
    the choice), but data and shuffles are treated alike, and the test is exact; it needs a
    thirtieth of the fits.
    """
    data, *_ = prepare_decoding(X, labels, subjects, normalize)
    solver = solver or Solver()
    cs = np.sort(np.asarray(CS if Cs is None else Cs, dtype=float))
    rng = np.random.default_rng(seed)
    statistic = _once_selected_accuracy(data, cs, solver, C)
    null = np.array(
        [
            _once_selected_accuracy(
                data.with_codes(shuffle_targets(data.codes, data.subjects, rng)), cs, solver, C
            )
            for _ in range(n_permutations)
        ]
    )
    missing = np.isnan(null)
    reached = missing | (null >= statistic - 1e-12)
    p = (1 + reached.sum()) / (1 + n_permutations) if np.isfinite(statistic) else np.nan
    return {
        "statistic": statistic,
        "null": null,
        "p": float(p),
        "n_permutations": n_permutations,
        "seed": seed,
        "n_missing": int(missing.sum()),
    }


def _once_selected_accuracy(
    data: DecodingData, cs: np.ndarray, solver: Solver, c: float | None
) -> float:
    everyone = np.ones(data.codes.size, dtype=bool)
    if c is None:
        index = select_c(data, everyone, cs, solver, {})
        if index is None:
            return np.nan
        c = float(cs[index])
    start, _ = solver.fit(data, everyone, np.array([c]), None)
    folds = [held_out_fold(data, subject, c, solver, start) for subject in range(data.n_subjects)]
    return balanced_accuracy(data.codes, collect_predictions(data, folds), data.n_classes)


def subject_resamples(
    codes: np.ndarray, subjects: np.ndarray, n_bootstrap: int, seed: int
) -> np.ndarray:
    """How often each subject is drawn in each bootstrap sample, within its target.

    Parameters
    ----------
    codes, subjects : array of int, shape (n,)
        Target and subject of each recording.
    n_bootstrap, seed : int

    Returns
    -------
    ndarray, shape (n_bootstrap, n_subjects)

    Notes
    -----
    Subjects are drawn within strata, their (most frequent) target, because the number of
    animals per target was chosen by the experimenter. Of n subjects n − 1 are drawn, which
    makes the variance of a mean unbiased however few they are (Rao & Wu 1988, J. Am. Stat.
    Assoc. 83, 231–241). A target of one subject has no variance estimate: its subject is
    always drawn once.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((int(subjects.max()) + 1, int(codes.max()) + 1), dtype=int)
    np.add.at(counts, (subjects, codes), 1)
    stratum = counts.argmax(axis=1)
    draws = np.zeros((n_bootstrap, len(counts)))
    for code in np.unique(stratum):
        members = np.flatnonzero(stratum == code)
        size = max(members.size - 1, 1)
        draws[:, members] = rng.multinomial(
            size, np.full(members.size, 1 / members.size), size=n_bootstrap
        )
    return draws


def accuracy_intervals(
    decoded: dict[str, Any],
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    coverage: float = COVERAGE,
) -> pd.DataFrame:
    """Intervals of accuracies and confusions by resampling subjects.

    Parameters
    ----------
    decoded : dict
        Result of `decode_targets`.
    n_bootstrap, seed : int
        See `subject_resamples`.
    coverage : float
        Between 0 and 1. Where all animals are at 0 or all at 1, which resampling cannot
        vary, the interval is that of Clopper & Pearson (1934, Biometrika 26, 404–413) with
        animals as trials.

    Returns
    -------
    DataFrame
        ``measure`` ('accuracy', 'balanced_accuracy', 'confusion'), ``target`` and
        ``predicted`` (of confusions; the diagonal is the accuracy of a target), ``value``,
        ``low``, ``high``, ``n_recordings``, ``n_subjects``. Rows of one subject only have no
        interval.

    Notes
    -----
    The decoder is not trained again: the interval is that of the animals tested, given the
    training sets. It is that of t on the logit scale, its standard error from the resamples,
    its degrees of freedom the animals minus the targets that they were drawn within.
    Percentiles of the resamples cover too rarely with few animals per target; the coverage
    measured on simulated cohorts is in ``benchmarks/STATISTICS.md``.
    """
    data: DecodingData = decoded["_data"]
    classes = decoded["classes"]
    predicted = collect_predictions(data, decoded["_folds"])
    made = predicted != MISSING
    n_subjects, k = data.n_subjects, len(classes)
    counts = np.zeros((n_subjects, k, k))
    np.add.at(counts, (data.subjects[made], data.codes[made], predicted[made]), 1)
    draws = subject_resamples(data.codes, data.subjects, n_bootstrap, seed)
    drawn = np.tensordot(draws, counts, axes=1)
    tested = counts.sum(axis=2) > 0
    n_strata = int(tested.any(axis=0).sum())

    def entry(measure, target, guess, value, samples, units, n):
        df = units - (1 if target is not None else n_strata)
        low, high = logit_interval(value, float(np.nanstd(samples)), df, coverage)
        if units > 1 and value in (0.0, 1.0):
            low, high = _interval_at_bound(value, units, coverage)
        names = ("measure", "target", "predicted", "value", "low", "high")
        numbers = (measure, target, guess, value, low, high)
        return dict(zip(names, numbers, strict=True)) | {"n_recordings": n, "n_subjects": units}

    n, units = int(made.sum()), int(tested.any(axis=1).sum())
    confusion = decoded["confusion"].to_numpy()
    rows = []
    with np.errstate(invalid="ignore", divide="ignore"):
        totals = drawn.sum(axis=2)
        shares = drawn / totals[:, :, None]
        recall = np.diagonal(shares, axis1=1, axis2=2)
        overall = np.trace(drawn, axis1=1, axis2=2) / totals.sum(axis=1)
        balanced = np.where(totals > 0, recall, 0).sum(axis=1) / (totals > 0).sum(axis=1)
    rows.append(entry("accuracy", None, None, decoded["accuracy"], overall, units, n))
    rows.append(
        entry("balanced_accuracy", None, None, decoded["balanced_accuracy"], balanced, units, n)
    )
    for i, target in enumerate(classes):
        for j, guess in enumerate(classes):
            value = confusion[i, j]
            of_target = (int(tested[:, i].sum()), int(counts[:, i].sum()))
            rows.append(entry("confusion", target, guess, value, shares[:, i, j], *of_target))
    return pd.DataFrame(rows)


def logit_interval(value: float, se: float, df: int, coverage: float) -> tuple[float, float]:
    """Interval of a share by t on the logit scale.

    Parameters
    ----------
    value : float
        Between 0 and 1.
    se : float
        Of the share.
    df : int
    coverage : float

    Returns
    -------
    low, high : float
        NaN without a degree of freedom or at 0 and 1, where the logit is not finite.

    Examples
    --------
    >>> low, high = logit_interval(0.8, 0.05, 10, 0.95)
    >>> round(low, 3), round(high, 3)
    (0.666, 0.889)
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    if df < 1 or not 0 < value < 1 or not np.isfinite(se):
        return np.nan, np.nan
    half = t.ppf((1 + coverage) / 2, df) * se / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _interval_at_bound(value: float, units: int, coverage: float) -> tuple[float, float]:
    """Clopper–Pearson interval where all animals agree: resampling them tells nothing."""
    margin = 1 - ((1 - coverage) / 2) ** (1 / units)
    return (0.0, margin) if value == 0.0 else (1 - margin, 1.0)


def contribution_intervals(
    X: pd.DataFrame | np.ndarray,
    decoded: dict[str, Any],
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    coverage: float = COVERAGE,
) -> pd.DataFrame:
    """`feature_contributions` with intervals by resampling subjects.

    Returns
    -------
    DataFrame
        Index ``feature``; ``balanced_accuracy``, ``balanced_accuracy_without``,
        ``contribution``, ``low``, ``high``.
    """
    data: DecodingData = decoded["_data"]
    k = data.n_classes
    names = X.columns if isinstance(X, pd.DataFrame) else pd.RangeIndex(data.features.shape[1])
    full = collect_predictions(data, decoded["_folds"])
    draws = subject_resamples(data.codes, data.subjects, n_bootstrap, seed)
    reference = _resampled_balanced_accuracy(data, full, draws)
    tails = [(1 - coverage) / 2, (1 + coverage) / 2]
    rows = []
    for predicted in predictions_without_features(decoded):
        value = balanced_accuracy(data.codes, predicted, k)
        samples = reference - _resampled_balanced_accuracy(data, predicted, draws)
        known = np.isfinite(samples).any()
        low, high = np.nanquantile(samples, tails) if known else (np.nan, np.nan)
        rows.append((decoded["balanced_accuracy"], value, low, high))
    columns = ["balanced_accuracy", "balanced_accuracy_without", "low", "high"]
    table = pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="feature"))
    difference = table["balanced_accuracy"] - table["balanced_accuracy_without"]
    table.insert(2, "contribution", difference)
    return table


def _resampled_balanced_accuracy(
    data: DecodingData, predicted: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    made = predicted != MISSING
    shape = (data.n_subjects, data.n_classes)
    count, right = np.zeros(shape), np.zeros(shape)
    np.add.at(count, (data.subjects[made], data.codes[made]), 1)
    correct = made & (predicted == data.codes)
    np.add.at(right, (data.subjects[correct], data.codes[correct]), 1)
    total, good = draws @ count, draws @ right
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, good / total, 0).sum(axis=1) / (total > 0).sum(axis=1)
