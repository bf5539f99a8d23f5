"""Similarity and decoding as one would write them first: loops over pairs, refits from zero.

The benchmark times them, and the tests hold the package to them.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd


def simulate_vectors(
    n_recordings: int,
    n_subjects: int,
    *,
    n_features: int = 12,
    n_classes: int = 3,
    separation: float = 1.0,
    subject_sd: float = 0.5,
    seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Response vectors with a profile per target, an offset per subject, noise of sd 1."""
    rng = np.random.default_rng(seed)
    subject = np.arange(n_recordings) % n_subjects
    code = subject % n_classes
    profile = separation * rng.normal(size=(n_classes, n_features))
    offset = subject_sd * rng.normal(size=(n_subjects, n_features))
    values = profile[code] + offset[subject] + rng.normal(size=(n_recordings, n_features))
    names = [f"stimOn_c{i}_contra_correct" for i in range(n_features)]
    labels = np.array([f"T{c}" for c in range(n_classes)])[code]
    subjects = np.array([f"m{s:03d}" for s in range(n_subjects)])[subject]
    return pd.DataFrame(values, columns=names), labels, subjects


def pairs_by_loop(X: pd.DataFrame, labels, subjects) -> pd.DataFrame:
    """Within and between pairs, one pair at a time."""
    values = X.to_numpy()
    rows = []
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            norm = np.linalg.norm(values[i]) * np.linalg.norm(values[j])
            kind = "within" if labels[i] == labels[j] else "between"
            cosine = values[i] @ values[j] / norm
            rows.append((i, j, labels[i], labels[j], kind, subjects[i] == subjects[j], cosine))
    names = ["i", "j", "target_i", "target_j", "comparison", "same_subject", "similarity"]
    return pd.DataFrame(rows, columns=names)


def sklearn_fit(X, y, c, *, tol=1e-6, max_iter=20_000):
    """One refit from zero: standardize, L1 multinomial logistic regression by saga."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(
            l1_ratio=1,
            solver="saga",
            C=c,
            class_weight="balanced",
            tol=tol,
            max_iter=max_iter,
            random_state=0,
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def inner_folds_by_definition(labels, subjects, train, n_folds=5) -> np.ndarray:
    """Inner fold of each recording: subjects of each target dealt in turn, in sorted order."""
    main = (
        pd.Series(labels[train])
        .groupby(subjects[train])
        .agg(lambda own: own.value_counts().sort_index().idxmax())
    )
    n_folds = min(n_folds, len(main))
    fold_of = {}
    for code, label in enumerate(sorted(set(labels))):
        for turn, subject in enumerate(sorted(main.index[main == label])):
            fold_of[subject] = (turn + code) % n_folds
    return np.array([fold_of.get(subject, -1) for subject in subjects])


def sklearn_fold(X, labels, subjects, held_out, cs, *, n_folds=5, tol=1e-6, max_iter=20_000):
    """C chosen by inner folds of whole subjects, and predictions of one held-out subject."""
    values, labels, subjects = np.asarray(X), np.asarray(labels), np.asarray(subjects)
    train = subjects != held_out
    fold = inner_folds_by_definition(labels, subjects, train, n_folds)
    scores = []
    for c in cs:
        guess, truth = [], []
        for f in range(fold.max() + 1):
            inner, test = train & (fold != f), train & (fold == f)
            if set(labels[inner]) != set(labels) or not test.any():
                continue
            model = sklearn_fit(values[inner], labels[inner], c, tol=tol, max_iter=max_iter)
            guess.extend(model.predict(values[test]))
            truth.extend(labels[test])
        guess, truth = np.array(guess), np.array(truth)
        scores.append(np.mean([(guess == truth)[truth == t].mean() for t in np.unique(truth)]))
    chosen = cs[int(np.argmax(np.round(scores, 12)))]
    model = sklearn_fit(values[train], labels[train], chosen, tol=tol, max_iter=max_iter)
    return chosen, model.predict(values[~train])
