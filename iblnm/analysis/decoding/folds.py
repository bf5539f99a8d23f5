"""Leave-one-subject-out folds of the decoder, with C chosen inside each training set."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from iblnm.analysis.stats.l1_logistic import (
    MAX_STEPS,
    TOLERANCE,
    L1Path,
    fit_path,
    predict_codes,
    standardization,
)

CS = tuple(float(c) for c in np.logspace(-3, 3, 10))
N_INNER_FOLDS = 5
MISSING = -1
PREDICTED, ABSENT_CLASS, NO_INNER_FOLD, NOT_CONVERGED = (
    "predicted",
    "class absent from training",
    "no inner fold has all classes",
    "not converged",
)


@dataclass(frozen=True)
class DecodingData:
    """What the folds work on.

    Parameters
    ----------
    features : ndarray, shape (n, n_features)
        No NaN.
    codes : ndarray of int, shape (n,)
        Class of each recording.
    subjects : ndarray of int, shape (n,)
        Subject of each recording.
    n_classes : int
    normalize : bool
        Whether features are standardized on each training set.
    """

    features: np.ndarray
    codes: np.ndarray
    subjects: np.ndarray
    n_classes: int
    normalize: bool = True

    @property
    def n_subjects(self) -> int:
        return int(self.subjects.max()) + 1

    def with_codes(self, codes: np.ndarray) -> DecodingData:
        """The same recordings with other labels."""
        return DecodingData(self.features, codes, self.subjects, self.n_classes, self.normalize)

    def without_feature(self, column: int) -> DecodingData:
        """The same recordings without one feature."""
        kept = np.delete(self.features, column, axis=1)
        return DecodingData(kept, self.codes, self.subjects, self.n_classes, self.normalize)

    def is_trainable(self, rows: np.ndarray) -> bool:
        """Whether every class is among the rows."""
        return np.unique(self.codes[rows]).size == self.n_classes


@dataclass(frozen=True)
class Solver:
    """How the fits are made; `violations` collects those of every fit."""

    tolerance: float = TOLERANCE
    max_steps: int = MAX_STEPS
    n_inner_folds: int = N_INNER_FOLDS
    violations: list[float] = field(default_factory=list)

    def fit(
        self, data: DecodingData, train: np.ndarray, cs: np.ndarray, start: L1Path | None
    ) -> tuple[L1Path, np.ndarray]:
        """Fits at each C, and all recordings standardized as the training set."""
        features = data.features
        if data.normalize:
            mean, scale = standardization(features[train])
            features = (features - mean) / scale
        path = fit_path(
            features[train],
            data.codes[train],
            data.n_classes,
            cs,
            start,
            tolerance=self.tolerance,
            max_steps=self.max_steps,
        )
        self.violations.extend(path.violation.tolist())
        return path, features


@dataclass
class Fold:
    """One held-out subject: its model, in units of the training set's standardized features."""

    subject: int
    status: str
    predicted: np.ndarray
    c: float = np.nan
    path: L1Path | None = None


def balanced_accuracy(codes: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Mean over classes of the share predicted correctly; missing predictions do not count.

    Parameters
    ----------
    codes : array of int, shape (n,)
    predicted : array of int, shape (n,)
        −1 is missing.
    n_classes : int

    Returns
    -------
    float
        Over the classes with a prediction; NaN without any.

    Examples
    --------
    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, -1, 0]), 2)
    0.5
    """
    made = predicted != MISSING
    count = np.bincount(codes[made], minlength=n_classes)
    right = np.bincount(codes[made & (codes == predicted)], minlength=n_classes)
    present = count > 0
    return float((right[present] / count[present]).mean()) if present.any() else np.nan


def inner_folds(data: DecodingData, train: np.ndarray, n_folds: int) -> np.ndarray:
    """Fold of every subject of a training set: each class is spread over the folds.

    Parameters
    ----------
    data : DecodingData
    train : array of bool, shape (n,)
    n_folds : int
        At most; not more than there are subjects.

    Returns
    -------
    ndarray of int, shape (n_subjects,)
        −1 for subjects outside the training set. A subject with several targets is dealt
        with as one of its most frequent. Nothing but the training set decides.
    """
    counts = np.zeros((data.n_subjects, data.n_classes), dtype=int)
    np.add.at(counts, (data.subjects[train], data.codes[train]), 1)
    inside = counts.sum(axis=1) > 0
    main_class = counts.argmax(axis=1)
    n_folds = min(n_folds, int(inside.sum()))
    folds = np.full(data.n_subjects, -1)
    for code in range(data.n_classes):
        members = np.flatnonzero(inside & (main_class == code))
        # each class starts at another fold, so that small classes do not fill the first
        folds[members] = (np.arange(members.size) + code) % n_folds
    return folds


def select_c(
    data: DecodingData,
    train: np.ndarray,
    cs: np.ndarray,
    solver: Solver,
    starts: dict[int, L1Path],
) -> int | None:
    """Index of the C with the best balanced accuracy over inner folds of whole subjects.

    Parameters
    ----------
    data : DecodingData
    train : array of bool, shape (n,)
    cs : array, shape (n_cs,)
        Increasing.
    solver : Solver
    starts : dict of int to L1Path
        Per inner fold, the fits of the last call; replaced.

    Returns
    -------
    int or None
        The smallest C of those that tie. Predictions of all inner folds are pooled; a fold
        whose training set lacks a class makes none. None if there is no prediction.
    """
    folds = inner_folds(data, train, solver.n_inner_folds)[data.subjects]
    predicted = np.full((len(cs), data.codes.size), MISSING)
    for fold in range(folds.max() + 1):
        inner = train & (folds != fold)
        held_out = train & (folds == fold)
        if not held_out.any() or not data.is_trainable(inner):
            continue
        path, features = solver.fit(data, inner, cs, starts.get(fold))
        starts[fold] = path
        made = predict_codes(features[held_out], path.coef, path.intercept)
        made[path.violation > solver.tolerance] = MISSING
        predicted[:, held_out] = made
    scores = np.array([balanced_accuracy(data.codes, row, data.n_classes) for row in predicted])
    if np.isnan(scores).all():
        return None
    return int(np.flatnonzero(scores >= np.nanmax(scores) - 1e-12)[0])


def held_out_fold(
    data: DecodingData,
    subject: int,
    c: float,
    solver: Solver,
    start: L1Path | None = None,
) -> Fold:
    """Train on all other subjects at one C and predict the recordings of this one."""
    held_out = data.subjects == subject
    missing = np.full(int(held_out.sum()), MISSING)
    if not data.is_trainable(~held_out):
        return Fold(subject, ABSENT_CLASS, missing)
    path, features = solver.fit(data, ~held_out, np.array([c]), start)
    if path.violation[0] > solver.tolerance:
        return Fold(subject, NOT_CONVERGED, missing, c, path)
    predicted = predict_codes(features[held_out], path.coef[0], path.intercept[0])
    return Fold(subject, PREDICTED, predicted, c, path)


def leave_one_subject_out(
    data: DecodingData, cs: np.ndarray, solver: Solver, c: float | None = None
) -> list[Fold]:
    """Nested cross-validation: every subject held out once.

    Parameters
    ----------
    data : DecodingData
    cs : array, shape (n_cs,)
        Candidates, increasing; chosen anew in each training set.
    solver : Solver
    c : float, optional
        Used in all folds instead of a choice.

    Returns
    -------
    list of Fold
        In the order of the subjects.
    """
    starts: dict[int, L1Path] = {}
    at_c: dict[float, L1Path] = {}
    folds = []
    for subject in range(data.n_subjects):
        train = data.subjects != subject
        missing = np.full(int((~train).sum()), MISSING)
        if not data.is_trainable(train):
            folds.append(Fold(subject, ABSENT_CLASS, missing))
            continue
        chosen = c
        if chosen is None:
            index = select_c(data, train, cs, solver, starts)
            if index is None:
                folds.append(Fold(subject, NO_INNER_FOLD, missing))
                continue
            chosen = float(cs[index])
        fold = held_out_fold(data, subject, chosen, solver, at_c.get(chosen))
        if fold.path is not None:
            at_c[chosen] = fold.path
        folds.append(fold)
    return folds


def collect_predictions(data: DecodingData, folds: list[Fold]) -> np.ndarray:
    """Predicted class of every recording, −1 where its fold made none."""
    predicted = np.full(data.codes.size, MISSING)
    for fold in folds:
        predicted[data.subjects == fold.subject] = fold.predicted
    return predicted
