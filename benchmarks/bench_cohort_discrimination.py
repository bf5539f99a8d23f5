"""Similarity and decoding against loops over pairs and refits by scikit-learn.

Run: python benchmarks/bench_cohort_discrimination.py

50, 200 and 500 recordings of five targets, 40 features, in 10, 35 and 77 animals. Similarity:
the loop over pairs on the same arrays. Decoding: scikit-learn's saga, every inner and outer
fit from zero, at a tolerance of 1e-4 (its default) with as many epochs as it needs up to 20,000;
its objective is compared with ours, as it stops short of the optimum for large C. A refit at
large C takes seconds, so both sides decode the same few held-out animals (--folds).
"""

from __future__ import annotations

import argparse

import numpy as np
from _common import cpu_seconds, row
from bench.discrimination_loops import pairs_by_loop, simulate_vectors, sklearn_fit, sklearn_fold

from iblnm.analysis import cosine_similarity_matrix, within_between_similarity
from iblnm.analysis.decoding.decoder import decode_targets, prepare_decoding
from iblnm.analysis.decoding.folds import CS, Solver, held_out_fold, select_c
from iblnm.analysis.decoding.inference import decoding_permutation_test
from iblnm.analysis.stats.l1_logistic import balanced_weights, fit_path

SIZES = {50: 10, 200: 35, 500: 77}


def similarity(n: int, n_subjects: int) -> None:
    """Ratio of the loop over pairs."""
    X, labels, subjects = simulate_vectors(n, n_subjects, n_features=40, n_classes=5)

    def ours() -> None:
        within_between_similarity(cosine_similarity_matrix(X), labels, subjects)

    fast = cpu_seconds(ours, repeats=20)
    slow = cpu_seconds(lambda: pairs_by_loop(X, labels, subjects), repeats=2)
    row(f"similarity, {n} recordings", 1e3 * fast, "ms")
    row(f"similarity, {n} recordings, loop over pairs", 1e3 * slow, "ms")
    row("  ratio", slow / fast, "x", ">= 50" if n == 500 else "")


def our_folds(data, held_out: list[int]) -> Solver:
    """Nested selection and prediction of some subjects; returns the solver that was used."""
    solver, starts = Solver(), {}
    for subject in held_out:
        index = select_c(data, data.subjects != subject, np.array(CS), solver, starts)
        held_out_fold(data, subject, CS[index], solver)
    return solver


def decoding(n: int, n_subjects: int, n_folds: int, tolerance: float) -> None:
    """Ratio of refits by scikit-learn, on the same held-out subjects."""
    X, labels, subjects = simulate_vectors(
        n, n_subjects, n_features=40, n_classes=5, separation=0.5
    )
    data, _, _, names = prepare_decoding(X, labels, subjects)
    held_out = np.linspace(0, n_subjects - 1, n_folds).astype(int).tolist()
    our_folds(data, held_out[:1])  # compiles
    solver = our_folds(data, held_out)
    fast = cpu_seconds(lambda: our_folds(data, held_out), repeats=1)
    slow = cpu_seconds(
        lambda: [
            sklearn_fold(X, labels, subjects, names[s], list(CS), tol=tolerance) for s in held_out
        ],
        repeats=1,
    )
    row(f"decoding, {n} recordings, {n_folds} folds", fast, "s")
    row("  largest violation of optimality (penalties)", max(solver.violations), "", "<= 1e-4")
    row(f"decoding, {n} recordings, refits by saga", slow, "s")
    row("  ratio", slow / fast, "x", ">= 3")
    whole = cpu_seconds(lambda: decode_targets(X, labels, subjects), repeats=1)
    row(f"decoding, {n} recordings, all {n_subjects} subjects", whole, "s")
    shuffles = 5
    null = cpu_seconds(
        lambda: decoding_permutation_test(X, labels, subjects, n_permutations=shuffles), repeats=1
    )
    row("  one shuffle of the permutation null", null / (shuffles + 1), "s")


def optimum(n: int, n_subjects: int, tolerance: float) -> None:
    """How far either side's objective is above the best that is known, in percent."""
    X, labels, _ = simulate_vectors(n, n_subjects, n_features=40, n_classes=5, separation=0.5)
    z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    y = np.unique(labels, return_inverse=True)[1]
    cs = np.array([0.1, 1.0, 10.0, 1000.0])
    ours, best = fit_path(z, y, 5, cs), fit_path(z, y, 5, cs, tolerance=1e-8)
    for i, c in enumerate(cs):
        model = sklearn_fit(X, labels, c, tol=tolerance)[-1]
        least = objective(z, y, c, best.coef[i], best.intercept[i])
        for name, coef, intercept in (
            ("ours", ours.coef[i], ours.intercept[i]),
            ("saga", model.coef_, model.intercept_),
        ):
            gap = objective(z, y, c, coef, intercept) / least - 1
            row(f"objective above the optimum, C = {c:g}, {name}", 100 * gap, "%")


def objective(z: np.ndarray, y: np.ndarray, c: float, coef, intercept) -> float:
    """Weighted log-loss plus the penalty."""
    scores = z @ coef.T + intercept
    losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(balanced_weights(y, coef.shape[0]) @ losses + np.abs(coef).sum() / c)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of saga")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    options = parser.parse_args()
    for size in options.sizes:
        similarity(size, SIZES[size])
    optimum(200, SIZES[200], options.tolerance)
    for size in options.sizes:
        decoding(size, SIZES[size], options.folds, options.tolerance)
