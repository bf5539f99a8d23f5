"""Which target does a recording's response vector come from? Decoding over held-out animals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.decoding.folds import (
    CS,
    MISSING,
    NOT_CONVERGED,
    PREDICTED,
    DecodingData,
    Fold,
    Solver,
    balanced_accuracy,
    collect_predictions,
    held_out_fold,
    leave_one_subject_out,
)
from iblnm.analysis.stats.l1_logistic import L1Path, class_coefficients
from iblnm.errors import DataError

METHOD_VERSION = 2
MIN_CLASSES = 2


def prepare_decoding(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
) -> tuple[DecodingData, pd.DataFrame, pd.Index, pd.Index]:
    """Check the input of the decoder and code its labels.

    Returns
    -------
    data : DecodingData
    features : DataFrame
        `X` with names of rows and columns.
    classes, names : Index
        Sorted labels and subjects; codes refer to their order.

    Raises
    ------
    DataError
        If lengths differ, a label or subject is null, a value is not finite, or there are
        fewer than two classes; the message names the recording.
    """
    features = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X, dtype=float))
    labels, subjects = pd.Series(list(labels)), pd.Series(list(subjects))
    if not len(features) == len(labels) == len(subjects):
        raise DataError(
            f"{len(features)} response vectors, {len(labels)} labels and {len(subjects)} "
            "subjects; one of each per recording is expected"
        )
    for what, values in (("label", labels), ("subject", subjects)):
        if values.isna().any():
            row = features.index[int(np.flatnonzero(values.isna())[0])]
            raise DataError(f"recording {row}: its {what} is missing")
    values = features.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"recording {features.index[row]}, subject {subjects[row]}: feature "
            f"{features.columns[column]} is {values[row, column]}; finite values are expected"
        )
    codes, classes = pd.factorize(labels, sort=True)
    subject_codes, names = pd.factorize(subjects, sort=True)
    if len(classes) < MIN_CLASSES:
        raise DataError(f"{len(classes)} targets {list(classes)}; at least 2 are needed")
    data = DecodingData(values, codes, subject_codes, len(classes), normalize)
    return data, features, pd.Index(classes), pd.Index(names)


def decode_targets(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
    C: float | None = None,
    Cs: Sequence[float] | None = None,
    *,
    solver: Solver | None = None,
) -> dict[str, Any]:
    """Decode the target of each recording from animals that the decoder has not seen.

    L1 multinomial logistic regression with balanced class weights. Every subject is held out
    once; features are standardized on the training set; C is chosen inside the training set
    by balanced accuracy over folds of whole subjects.

    Parameters
    ----------
    X : DataFrame or array, shape (n_recordings, n_features)
        Response vectors without NaN.
    labels : sequence of str, length n_recordings
        Target of each recording.
    subjects : sequence of str, length n_recordings
    normalize : bool
        Standardize features on each training set.
    C : float, optional
        Inverse strength of the penalty, used everywhere instead of a choice.
    Cs : sequence of float, optional
        Candidates; ten from 1e-3 to 1e3, logarithmic, by default.
    solver : Solver, optional
        Tolerance, steps, number of inner folds.

    Returns
    -------
    dict
        - ``classes`` : list of str, sorted; the order of everything below.
        - ``predictions`` : Series of str by recording; missing where the training set lacks
          a class, no inner fold could be trained, or the fit did not converge.
        - ``accuracy`` : share of predictions that are right; ``balanced_accuracy`` : mean
          over classes of ``per_class_accuracy`` (Series); NaN without predictions.
        - ``confusion`` : DataFrame, true × predicted, rows sum to 1; ``confusion_counts``.
        - ``coefficients`` : DataFrame, class × feature, per standard deviation of the
          feature, from a refit on all recordings at the median C (geometric); with two
          classes (−coef, +coef). NaN if nothing could be chosen or the refit failed.
        - ``intercepts`` : Series by class.
        - ``best_C_`` : float, the median; ``fold_C`` : Series by subject.
        - ``folds`` : DataFrame by subject: ``n_recordings``, ``status``, ``C``,
          ``violation`` of the optimality conditions.
        - ``convergence`` : dict with ``n_fits``, ``n_not_converged``, ``max_violation``,
          ``tolerance``, inner fits too.

    Raises
    ------
    DataError
        See `prepare_decoding`.

    Notes
    -----
    A fold that lacks a class makes no prediction: a decoder that has never seen the held-out
    animal's target cannot be right about it.
    """
    data, features, classes, names = prepare_decoding(X, labels, subjects, normalize)
    solver = solver or Solver()
    cs = np.sort(np.asarray(CS if Cs is None else Cs, dtype=float))
    folds = leave_one_subject_out(data, cs, solver, C)
    result = summarize_predictions(data, collect_predictions(data, folds), features, classes)
    chosen = np.array([fold.c for fold in folds])
    median = _median_c(chosen[np.isfinite(chosen)]) if C is None else C
    result |= _refit(data, median, features, classes, solver)
    violations = np.array(solver.violations)
    result |= {
        "best_C_": median,
        "fold_C": pd.Series(chosen, index=names, name="C"),
        "folds": _fold_table(data, folds, names),
        "convergence": {
            "n_fits": int(violations.size),
            "n_not_converged": int((violations > solver.tolerance).sum()),
            "max_violation": float(violations.max(initial=0.0)),
            "tolerance": solver.tolerance,
        },
        "_data": data,
        "_folds": folds,
        "_solver": solver,
    }
    return result


def summarize_predictions(
    data: DecodingData, predicted: np.ndarray, features: pd.DataFrame, classes: pd.Index
) -> dict[str, Any]:
    """Accuracy, per class too, and confusion of predicted codes (−1 is missing)."""
    made = predicted != MISSING
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (data.codes[made], predicted[made]), 1)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    text = np.where(made, classes.to_numpy(dtype=object)[predicted], None)
    return {
        "classes": list(classes),
        "predictions": pd.Series(text, index=features.index, name="predicted", dtype=object),
        "accuracy": float((predicted == data.codes)[made].mean()) if made.any() else np.nan,
        "balanced_accuracy": balanced_accuracy(data.codes, predicted, len(classes)),
        "per_class_accuracy": pd.Series(np.diag(shares), index=classes, name="accuracy"),
        "confusion": pd.DataFrame(shares, index=classes, columns=classes),
        "confusion_counts": pd.DataFrame(counts, index=classes, columns=classes),
    }


def feature_contributions(
    X: pd.DataFrame | np.ndarray,
    labels: Sequence[str],
    subjects: Sequence[str],
    normalize: bool = True,
    C: float | None = None,
    *,
    decoded: dict[str, Any] | None = None,
    **resampling: Any,
) -> pd.DataFrame:
    """What each feature adds: held-out balanced accuracy minus that without the feature.

    Parameters
    ----------
    X, labels, subjects, normalize
        As of `decode_targets`.
    C : float, optional
        Used in all folds. By default each fold keeps the C that was chosen for it with all
        features.
    decoded : dict, optional
        Result of `decode_targets` on the same input, to save its computation.
    **resampling
        ``n_bootstrap``, ``seed``, ``coverage`` of the intervals, see
        `iblnm.analysis.decoding.inference.contribution_intervals`.

    Returns
    -------
    DataFrame
        Index ``feature``; ``balanced_accuracy``, ``balanced_accuracy_without``,
        ``contribution`` (their difference), ``low``, ``high`` (interval by resampling
        subjects, see `iblnm.analysis.decoding.inference.subject_resamples`).

    Notes
    -----
    A fold in whose model the feature has no coefficient is not fitted again: its optimum
    without the feature is the same.
    """
    from iblnm.analysis.decoding.inference import contribution_intervals

    if decoded is None:
        decoded = decode_targets(X, labels, subjects, normalize, C)
    return contribution_intervals(X, decoded, **resampling)


def prediction_table(predicted: pd.Series, labels: Sequence[str]) -> pd.DataFrame:
    """Levels of the index of the recordings, ``true`` and ``predicted`` target."""
    levels = predicted.index.to_frame(index=False)
    return levels.assign(true=np.asarray(labels), predicted=predicted.to_numpy())


def contribution_table(contributions: pd.DataFrame) -> pd.DataFrame:
    """Result of `feature_contributions` as ``feature``, ``full_accuracy``, ``reduced_accuracy``.

    ``delta`` is their difference; all are balanced accuracies. The interval stays behind them.
    """
    names = {
        "balanced_accuracy": "full_accuracy",
        "balanced_accuracy_without": "reduced_accuracy",
        "contribution": "delta",
    }
    return contributions.reset_index().rename(columns=names)


def predictions_without_features(decoded: dict[str, Any]) -> np.ndarray:
    """Predicted class codes without each feature, at each fold's C.

    Parameters
    ----------
    decoded : dict
        Result of `decode_targets`.

    Returns
    -------
    ndarray of int, shape (n_features, n_recordings)
        −1 is missing, see `decode_targets`.
    """
    data: DecodingData = decoded["_data"]
    folds: list[Fold] = decoded["_folds"]
    n_features = data.features.shape[1]
    predicted = np.full((n_features, data.codes.size), MISSING)
    for column in range(n_features):
        reduced = data.without_feature(column)
        for fold in folds:
            if fold.status not in (PREDICTED, NOT_CONVERGED):
                continue
            made = fold.predicted
            if fold.path.coef[0, :, column].any() or fold.status == NOT_CONVERGED:
                start = L1Path(
                    np.delete(fold.path.coef, column, axis=2),
                    fold.path.intercept,
                    fold.path.violation,
                )
                made = held_out_fold(
                    reduced, fold.subject, fold.c, decoded["_solver"], start
                ).predicted
            predicted[column, data.subjects == fold.subject] = made
    return predicted


class TargetNMDecoder:
    """Decoder of target-NM from response vectors, with held-out contributions.

    Parameters
    ----------
    X, labels, subjects, normalize
        As of `decode_targets`.

    Attributes
    ----------
    classes, accuracy, balanced_accuracy, per_class_accuracy, confusion, \
confusion_counts, coefficients, intercepts, best_C_, fold_C, folds, convergence
        As in the result of `decode_targets`, after `fit`; None before.
    predictions : DataFrame or None
        See `prediction_table`.
    best_C : float or None
    n_valid : int or None
        Recordings with a prediction.
    contributions : DataFrame or None
        After `unique_contribution`, see `contribution_table`.
    null : dict or None
        After `permutation_test`.
    """

    _RESULTS = (
        "classes",
        "accuracy",
        "balanced_accuracy",
        "per_class_accuracy",
        "confusion",
        "confusion_counts",
        "coefficients",
        "intercepts",
        "best_C_",
        "fold_C",
        "folds",
        "convergence",
    )

    def __init__(
        self,
        X: pd.DataFrame | np.ndarray,
        labels: Sequence[str],
        subjects: Sequence[str],
        normalize: bool = True,
    ):
        self.X, self.labels, self.subjects = X, list(labels), list(subjects)
        self.normalize = normalize
        self.result: dict[str, Any] | None = None
        self.contributions: pd.DataFrame | None = None
        self.null: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in TargetNMDecoder._RESULTS:
            result = self.__dict__.get("result")
            return None if result is None else result[name]
        raise AttributeError(f"TargetNMDecoder has no attribute {name!r}")

    @property
    def predictions(self) -> pd.DataFrame | None:
        if self.result is None:
            return None
        return prediction_table(self.result["predictions"], self.labels)

    @property
    def best_C(self) -> float | None:
        return None if self.result is None else self.result["best_C_"]

    @property
    def n_valid(self) -> int | None:
        return None if self.result is None else int(self.result["predictions"].notna().sum())

    def __repr__(self) -> str:
        animals = f"{len(self.labels)} recordings of {len(set(self.subjects))} subjects"
        name = f"{type(self).__name__}, {len(set(self.labels))} targets, {animals}"
        if self.result is None:
            return f"<{name}: not fitted>"
        chance = 1 / len(self.classes)
        parts = [
            f"balanced accuracy {self.balanced_accuracy:.3f} (chance {chance:.3f})",
            f"accuracy {self.accuracy:.3f} of {self.n_valid} predictions",
        ]
        if self.null is not None:
            parts.append(f"p {self.null['p']:.3g} of {self.null['n_permutations']} permutations")
        return f"<{name}: {', '.join(parts)}>"

    def fit(self, C: float | None = None, Cs: Sequence[float] | None = None) -> TargetNMDecoder:
        """Decode over held-out subjects, see `decode_targets`; returns itself."""
        self.result = decode_targets(
            self.X, self.labels, self.subjects, self.normalize, C=C, Cs=Cs
        )
        return self

    def unique_contribution(self) -> pd.DataFrame:
        """Contribution of each feature, with intervals; fits first if that was not done.

        Returns
        -------
        DataFrame
            See `contribution_table`; also in ``contributions``.
        """
        from iblnm.analysis.decoding.inference import contribution_intervals

        if self.result is None:
            self.fit()
        self.contributions = contribution_table(contribution_intervals(self.X, self.result))
        return self.contributions

    def permutation_test(self, n_permutations: int = 500, seed: int = 0) -> dict[str, Any]:
        """Null that keeps subjects together, see `decoding_permutation_test`."""
        from iblnm.analysis.decoding.inference import decoding_permutation_test

        self.null = decoding_permutation_test(
            self.X,
            self.labels,
            self.subjects,
            self.normalize,
            n_permutations=n_permutations,
            seed=seed,
        )
        return self.null


def _median_c(chosen: np.ndarray) -> float:
    return float(np.exp(np.median(np.log(chosen)))) if chosen.size else np.nan


def _refit(
    data: DecodingData, c: float, features: pd.DataFrame, classes: pd.Index, solver: Solver
) -> dict[str, Any]:
    coef = np.full((len(classes), features.shape[1]), np.nan)
    intercept = np.full(len(classes), np.nan)
    if np.isfinite(c):
        path, _ = solver.fit(data, np.ones(data.codes.size, bool), np.array([c]), None)
        if path.violation[0] <= solver.tolerance:
            coef = class_coefficients(path.coef[0])
            intercept = path.intercept[0] - path.intercept[0].mean()
    return {
        "coefficients": pd.DataFrame(coef, index=classes, columns=features.columns),
        "intercepts": pd.Series(intercept, index=classes, name="intercept"),
    }


def _fold_table(data: DecodingData, folds: list[Fold], names: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n_recordings": np.bincount(data.subjects, minlength=len(names)),
            "status": [fold.status for fold in folds],
            "C": [fold.c for fold in folds],
            "violation": [
                np.nan if fold.path is None else float(fold.path.violation[0]) for fold in folds
            ],
        },
        index=pd.Index(names, name="subject"),
    )
