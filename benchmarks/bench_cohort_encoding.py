"""Encoding analyses against refits. Run: python benchmarks/bench_cohort_encoding.py

Regressions per recording against statsmodels, recording by recording; permutations of the
canonical correlation against a refit for each permutation by scikit-learn (the reference of
the ratio), by cca-zoo and by bare QR decompositions; the elastic-net variant against refits
with scikit-learn. At 50, 200 and 500 recordings, two of a session; every pair must agree.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from _common import cpu_seconds, row
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis.encoding.glm import TERMS, design_matrix, fit_recording_glms
from iblnm.analysis.stats.cca import fit_cca
from iblnm.analysis.stats.permutations import session_permutations
from iblnm.analysis.stats.sparse_cca import PENALTIES, fit_penalized_cca

SIZES = (50, 200, 500)
EVENT = "feedback_times"
N_PERMUTATIONS = 1000
TIE = 1e-6


def glm(n: int, n_trials: int) -> None:
    """Vectorized regressions against statsmodels."""
    import statsmodels.api as sm

    table, _ = simulate_magnitudes(
        targets=("DR-5HT",), n_subjects=n, sessions_per_subject=1, n_trials=n_trials, seed=n
    )
    table = table[table["event"] == EVENT]
    theirs: list[np.ndarray] = []

    def refit() -> None:
        theirs.clear()
        for _, own in table.groupby(["eid", "fiber_idx"], sort=True):
            fit = sm.OLS(own["response_early"].to_numpy(dtype=float), design_matrix(own)).fit()
            theirs.append(np.concatenate([fit.params, fit.bse]))

    ours = fit_recording_glms(table, EVENT)
    slow, fast = cpu_seconds(refit, 1), cpu_seconds(lambda: fit_recording_glms(table, EVENT))
    mine = ours[["estimate", "se"]].to_numpy().reshape(n, len(TERMS), 2).transpose(0, 2, 1)
    gap = np.abs(mine.reshape(n, -1) - np.array(theirs)).max()
    row(f"regressions, {n} recordings × {n_trials} trials", fast * 1e3, "ms")
    row("  ratio to statsmodels", slow / fast, "×")
    row("  largest difference of coefficients and errors", gap, "z", "< 1e-8")


def views(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Six and four features, a weak relation, two recordings of a session."""
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((n, 6)), rng.standard_normal((n, 4))
    y[:, 0] += 2 / np.sqrt(n) * x[:, 0]
    return x, y, np.arange(n) // 2


def cca(n: int, n_refits: int) -> None:
    """All permutations at once against a refit for each."""
    from cca_zoo.linear import CCA as ZooCCA
    from sklearn.cross_decomposition import CCA

    x, y, sessions = views(n)
    orders = session_permutations(sessions, N_PERMUTATIONS, 0)
    result = fit_cca(x, y, 1, N_PERMUTATIONS, sessions, 0)
    fast = cpu_seconds(lambda: fit_cca(x, y, 1, N_PERMUTATIONS, sessions, 0), 5)

    def with_sklearn(order: np.ndarray) -> float:
        u, v = CCA(1, max_iter=5000, tol=1e-10).fit_transform(x, y[order])
        return float(np.corrcoef(u[:, 0], v[:, 0])[0, 1])

    def with_cca_zoo(order: np.ndarray) -> float:
        u, v = ZooCCA(1).fit_transform([x, y[order]])
        return float(np.corrcoef(u[:, 0], v[:, 0])[0, 1])

    def with_qr(order: np.ndarray) -> float:
        qx = np.linalg.qr(x - x.mean(axis=0))[0]
        moved = y[order]
        qy = np.linalg.qr(moved - moved.mean(axis=0))[0]
        return float(np.linalg.svd(qx.T @ qy, compute_uv=False)[0])

    row(f"canonical correlation, {n} recordings, {N_PERMUTATIONS} permutations", fast * 1e3, "ms")
    for name, refit, limit in (
        ("scikit-learn", with_sklearn, "≥ 50"),
        ("cca-zoo", with_cca_zoo, ""),
        ("two QR and an SVD each", with_qr, ""),
    ):
        null = np.empty(n_refits)

        def run(refit=refit, null=null) -> None:
            null[:] = [refit(order) for order in orders[:n_refits]]

        slow = cpu_seconds(run, 1) * N_PERMUTATIONS / n_refits
        p = (1 + (null >= result.correlation - TIE).sum()) / (1 + n_refits)
        ours = result.null_correlations[:n_refits]
        same = (1 + (ours >= result.correlation - TIE).sum()) / (1 + n_refits)
        row(f"  ratio to refits with {name}", slow / fast, "×", limit)
        row(f"    p of {n_refits} refits minus p of the same permutations", p - same, "", "0")


def sparse(n: int, n_refits: int, l1_ratio: float) -> None:
    """The variant with a penalty chosen in every permutation."""
    from sklearn.linear_model import ElasticNet, Ridge

    x, y, sessions = views(n)
    folds = np.arange(n) // 2 % 5

    def regression(view: np.ndarray, target: np.ndarray, alpha: float) -> np.ndarray:
        if l1_ratio == 0:
            model = Ridge(alpha=alpha * len(target), fit_intercept=False)
        else:
            model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False)
        return view @ model.fit(view, target).coef_

    def alternate(x: np.ndarray, y: np.ndarray, alpha: float) -> None:
        v = y @ np.linalg.svd(x.T @ y)[2][0]
        for _ in range(100):
            old, v = v, v / max(v.std(), 1e-12)
            u = regression(x, v, alpha)
            v = regression(y, u / max(u.std(), 1e-12), alpha)
            if np.abs(v - old).max() < 1e-5:
                break

    def refit(order: np.ndarray) -> None:
        for alpha in PENALTIES:
            for fold in range(5):
                train = folds != fold
                alternate(x[train], y[order][train], alpha)
        alternate(x, y[order], 0.1)

    orders = session_permutations(sessions, n_refits, 0)
    slow = cpu_seconds(lambda: [refit(order) for order in orders], 1) / n_refits
    repeats = N_PERMUTATIONS if l1_ratio == 0 else 100
    fast = cpu_seconds(lambda: fit_penalized_cca(x, y, repeats, sessions, 0, l1_ratio=l1_ratio), 1)
    row(f"elastic net, l1_ratio {l1_ratio}, {n} recordings", fast / repeats * 1e3, "ms/perm.")
    row("  ratio to alternating refits with scikit-learn", slow / fast * repeats, "×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--refits", type=int, default=200)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    pd.set_option("mode.copy_on_write", True)
    for n in SIZES:
        glm(n, arguments.trials)
    for n in SIZES:
        cca(n, arguments.refits)
    for n in SIZES[:2]:
        for l1_ratio in (0.0, 0.5):
            sparse(n, 2, l1_ratio)


if __name__ == "__main__":
    main()
