"""Rates of error of the encoding statistics. Run: python benchmarks/statistics_encoding.py

Null cohorts have sessions of one to three recordings that share what the animal did: p of the
permutations of whole sessions must be uniform, where permutations of recordings are not. What
animals share beyond their sessions is a third case, printed as it is. Planted cohorts hold the
canonical correlation, its interval and the regressions to their truth. Every line has n, rate,
its binomial interval (Clopper–Pearson, 95 %) and the seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from _common import cpu_seconds  # noqa: F401 (sets one thread before numpy's libraries start)

from iblnm.analysis.encoding.cca_compare import bootstrap_correlation
from iblnm.analysis.encoding.glm import TERMS, design_matrix, fit_recording_glms
from iblnm.analysis.performance.learning import compare_targets
from iblnm.analysis.stats.cca import fit_cca
from iblnm.analysis.stats.sparse_cca import fit_penalized_cca, held_out_correlation
from iblnm.config import get_settings

LEVEL = 0.05
N_ENCODING, N_BEHAVIOR = 6, 4
SESSION_SIZES = (1, 2, 2, 3)
N_SESSIONS = 40
SESSIONS_PER_ANIMAL = 4


def binomial_interval(k: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a rate."""
    from scipy.stats import beta

    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return low, high


def line(name: str, k: int, n: int, nominal: float | str, seed: int) -> None:
    """Print one rate as a row of a table."""
    low, high = binomial_interval(k, n)
    print(f"| {name} | {n} | {k / n:.4f} | {low:.4f} to {high:.4f} | {nominal} | {seed} |")


def cohort(
    rng: np.random.Generator, *, rho: float = 0.0, animal_sd: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features of recordings; those of a session are alike in both views.

    Behavior is the session's, so it is nearly the same for all its recordings; encoding has
    a part that the recordings of a session share. `rho` is the correlation of the sessions'
    parts, `animal_sd` the spread of what the sessions of an animal share in either view.
    """
    sizes = np.resize(SESSION_SIZES, N_SESSIONS)
    session = np.repeat(np.arange(N_SESSIONS), sizes)
    animal = session // SESSIONS_PER_ANIMAL
    n_animals = animal[-1] + 1
    x_session = rng.standard_normal((N_SESSIONS, N_ENCODING))
    y_session = rng.standard_normal((N_SESSIONS, N_BEHAVIOR))
    y_session[:, 0] = rho * x_session[:, 0] + np.sqrt(1 - rho**2) * y_session[:, 0]
    x = x_session[session] + animal_sd * rng.standard_normal((n_animals, N_ENCODING))[animal]
    y = y_session[session] + animal_sd * rng.standard_normal((n_animals, N_BEHAVIOR))[animal]
    x += 0.3 * rng.standard_normal(x.shape)
    y += 0.1 * rng.standard_normal(y.shape)
    return x, y, session, animal


def null_rates(n: int, seed: int, n_permutations: int) -> None:
    """False positives of the canonical correlation."""
    from scipy.stats import kstest

    cases: dict[str, tuple[float, Callable[..., float]]] = {
        "CCA, sessions permuted": (
            0.0,
            lambda x, y, s, a, i: fit_cca(x, y, 1, n_permutations, s, i).p_value,
        ),
        "CCA, single recordings permuted (wrong)": (
            0.0,
            lambda x, y, s, a, i: fit_cca(x, y, 1, n_permutations, None, i).p_value,
        ),
        "CCA, sessions permuted, animals differ in both views (sd 1)": (
            1.0,
            lambda x, y, s, a, i: fit_cca(x, y, 1, n_permutations, s, i).p_value,
        ),
        "CCA, sessions permuted within animals, animals differ (sd 1)": (
            1.0,
            lambda x, y, s, a, i: fit_cca(x, y, 1, n_permutations, s, i, within=a).p_value,
        ),
    }
    for name, (animal_sd, test) in cases.items():
        p = np.empty(n)
        for i in range(n):
            x, y, session, animal = cohort(np.random.default_rng([seed, i]), animal_sd=animal_sd)
            p[i] = test(x, y, session, animal, i)
        line(name, int((p <= LEVEL).sum()), n, LEVEL, seed)
        uniform = f"p = {kstest(p, 'uniform').pvalue:.3g}"
        print(f"|   uniformity of p, Kolmogorov–Smirnov | {n} | {uniform} | | | {seed} |")


def null_sparse(n: int, seed: int, n_permutations: int) -> None:
    """False positives with the penalty chosen within, or before, the permutations."""
    p_within, p_before = np.empty(n), np.empty(n)
    for i in range(n):
        x, y, session, _ = cohort(np.random.default_rng([seed, i]))
        within = fit_penalized_cca(x, y, n_permutations, session, i)
        p_within[i] = within.p_value
        p_before[i] = fit_penalized_cca(
            x, y, n_permutations, session, i, alpha=within.alpha
        ).p_value
    line(
        "elastic net, penalty chosen in every permutation",
        int((p_within <= LEVEL).sum()),
        n,
        LEVEL,
        seed,
    )
    line(
        "elastic net, penalty chosen once (wrong)", int((p_before <= LEVEL).sum()), n, LEVEL, seed
    )


def planted(n: int, seed: int, n_permutations: int, rho: float) -> None:
    """Power, bias and interval of a planted canonical correlation."""
    found = covered = 0
    in_sample, held_out = np.empty(n), np.empty(n)
    truth = truth_of(rho)
    for i in range(n):
        x, y, session, animal = cohort(np.random.default_rng([seed, i]), rho=rho)
        result = fit_cca(x, y, 1, n_permutations, session, i)
        found += result.p_value <= LEVEL
        low, high = bootstrap_correlation(
            pd.DataFrame(x), pd.DataFrame(y), animal, n_draws=400, seed=i
        )
        covered += low <= truth <= high
        in_sample[i] = result.correlation
        held_out[i] = held_out_correlation(x, y, animal, seed=i)
    line(f"CCA finds a planted correlation of {truth:.2f}", found, n, "power", seed)
    line("  its interval over animals covers it", covered, n, 0.95, seed)
    print(
        f"|   mean in sample {in_sample.mean():.3f}, held out {held_out.mean():.3f}, "
        f"planted {truth:.3f} | {n} | | | | {seed} |"
    )


def truth_of(rho: float) -> float:
    """First canonical correlation of the population that `cohort` draws from."""
    return rho / np.sqrt((1 + 0.3**2) * (1 + 0.1**2))


def glm_coverage(n: int, seed: int) -> None:
    """Intervals of the regression coefficients, and false positives of a null term."""
    rng = np.random.default_rng(seed)
    beta = np.array([0.4, -0.1, 0.3, 1.2, 0.0, -0.25, 0.2])
    n_trials = 90
    contrasts = np.asarray(get_settings().analysis_contrasts)
    table = pd.DataFrame(
        {
            "eid": np.repeat(np.arange(n), n_trials).astype(str),
            "target_NM": "DR-5HT",
            "fiber_idx": 0,
            "event": "feedback_times",
            "contrast": rng.choice(contrasts, n * n_trials),
            "side": rng.choice(["contra", "ipsi"], n * n_trials),
            "feedbackType": rng.choice([1.0, -1.0], n * n_trials, p=[0.8, 0.2]),
        }
    )
    table["response_early"] = design_matrix(table) @ beta + rng.standard_normal(len(table))
    fits = fit_recording_glms(table, "feedback_times")
    truth = fits["term"].map(dict(zip(TERMS, beta, strict=True)))
    inside = (fits["ci_low"] <= truth) & (truth <= fits["ci_high"])
    for term in ("contrast", "reward", "side:reward"):
        chosen = fits["term"] == term
        line(
            f"regression, interval of {term}",
            int(inside[chosen].sum()),
            int(chosen.sum()),
            0.95,
            seed,
        )
    null = fits[fits["term"] == "contrast:side"]
    line(
        "regression, null term contrast:side",
        int((null["p"] < LEVEL).sum()),
        len(null),
        LEVEL,
        seed,
    )


def comparisons(n: int, seed: int) -> None:
    """False positives of the comparison of five targets, sessions repeated within animals."""
    rng = np.random.default_rng(seed)
    tables = {}
    for i in range(n):
        animal = np.repeat(np.arange(40), 5)
        tables[f"m{i}"] = pd.DataFrame(
            {
                "subject": animal.astype(str),
                "target_NM": (animal % 5).astype(str),
                f"m{i}": rng.standard_normal(40)[animal] + 0.3 * rng.standard_normal(200),
            }
        )
    table = compare_targets(tables, correction="bonferroni")
    overall = table[table["test"] == "kruskal_wallis"]
    line(
        "comparison of targets, Kruskal–Wallis", int((overall["p"] < LEVEL).sum()), n, LEVEL, seed
    )
    pairs = table[table["test"] == "mann_whitney"].groupby("measure")["p_corrected"].min()
    line("  any of ten corrected pairs", int((pairs < LEVEL).sum()), n, f"≤ {LEVEL}", seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=2000)
    parser.add_argument("--sparse-cohorts", type=int, default=400)
    parser.add_argument("--planted-cohorts", type=int, default=300)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    print("| statistic | n | rate | 95 % interval | nominal | seed |\n|---|---|---|---|---|---|")
    null_rates(a.cohorts, a.seed, a.permutations)
    null_sparse(a.sparse_cohorts, a.seed, a.permutations)
    planted(a.planted_cohorts, a.seed, a.permutations, rho=0.8)
    glm_coverage(a.cohorts, a.seed)
    comparisons(a.planted_cohorts, a.seed)


if __name__ == "__main__":
    main()
