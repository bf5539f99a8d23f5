"""Psychometric fit against psychofit's best of ten. Run: python benchmarks/bench_psychometric.py

Simulated sessions of 800 trials (biased blocks, so that some fits have 300 trials and some
curves lie on a bound) and the real trials tables, if present. Both sides get the same counts,
start and bounds; likelihoods are compared in psychofit's own function.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from _common import cpu_seconds, row
from scipy.special import erf

from iblnm.task import compute_trial_contrasts, fit_psychometric, session_performance
from iblnm.task.psychometric import LOWER, PARAMETERS, START, UPPER

CONTRASTS = np.array([0.0, 0.0625, 0.125, 0.25, 1.0])
N_TRIALS = 800


def simulate(rng: np.random.Generator) -> pd.DataFrame:
    """Trials of one session with a random curve and alternating blocks."""
    lengths = [90, *rng.integers(20, 100, 40)]
    levels = [0.5, *([0.2, 0.8] * 20)]
    p_left = np.repeat(levels, lengths)[:N_TRIALS]
    on_left = rng.random(N_TRIALS) < p_left
    contrast = rng.choice(CONTRASTS, N_TRIALS)
    signed = np.where(on_left, -contrast, contrast) * 100
    bias = rng.normal(0, 12) + 20 * (p_left - 0.5)
    lapses = rng.uniform(0, 0.25, 2)
    curve = (erf((signed - bias) / rng.uniform(5, 60)) + 1) / 2
    right = rng.random(N_TRIALS) < lapses[0] + (1 - lapses.sum()) * curve
    return pd.DataFrame(
        {
            "choice": np.where(right, -1.0, 1.0),
            "contrastLeft": np.where(on_left, contrast, np.nan),
            "contrastRight": np.where(on_left, np.nan, contrast),
            "feedbackType": np.where(right != on_left, 1.0, -1.0),
            "probabilityLeft": p_left,
        }
    )


def counts(trials: pd.DataFrame) -> np.ndarray:
    """Levels, trials and share of right choices: psychofit's input, shape (3, n)."""
    trials = trials[trials["choice"] != 0]
    right = (trials["choice"] == -1).groupby(trials["signed_contrast"]).agg(["size", "mean"])
    return np.vstack([right.index, right["size"], right["mean"]])


def compare(name: str, tables: list[pd.DataFrame], limit: bool = True) -> None:
    """Print CPU per fit of both, their ratio, and the likelihoods."""
    import psychofit

    bounds = {"parmin": np.array(LOWER), "parmax": np.array(UPPER)}
    data = [counts(trials) for trials in tables]
    theirs, ours = [], []

    def run_theirs() -> None:
        np.random.seed(0)  # noqa: NPY002 (psychofit draws its starts from the global state)
        theirs[:] = [
            psychofit.mle_fit_psycho(
                d, "erf_psycho_2gammas", parstart=np.array(START), nfits=10, **bounds
            )[0]
            for d in data
        ]

    def run_ours() -> None:
        fits = [fit_psychometric(trials) for trials in tables]
        ours[:] = [np.array([fit[p] for p in PARAMETERS]) for fit in fits]

    slow = cpu_seconds(run_theirs, repeats=1) / len(tables)
    run_ours()
    fast = cpu_seconds(run_ours) / len(tables)
    loss = [
        psychofit.neg_likelihood(o, d, "erf_psycho_2gammas", **bounds)
        - psychofit.neg_likelihood(t, d, "erf_psycho_2gammas", **bounds)
        for o, t, d in zip(ours, theirs, data, strict=True)
    ]
    row(f"{name}: psychofit, best of ten", slow * 1e3, "ms CPU/fit")
    row(f"{name}: fit_psychometric", fast * 1e3, "ms CPU/fit", "<= 3" if limit else "")
    row(f"{name}: ratio", slow / fast, "x", ">= 10")
    row(f"{name}: negative log-likelihood above theirs, worst", max(loss), "nats", "<= 1e-06")
    row(f"{name}: negative log-likelihood below theirs, best", -min(loss), "nats")


def real_tables() -> list[pd.DataFrame]:
    """The trials tables among the real recordings."""
    default = Path(__file__).resolve().parent.parent / ".." / "shared" / "data"
    folder = Path(os.environ.get("IBLNM_REAL_DATA", default)) / "alf"
    files = sorted(folder.glob("**/_ibl_trials.table.pqt"))
    if not files:
        print(f"no real trials tables under {folder} (IBLNM_REAL_DATA)")
    return [pd.read_parquet(file) for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)

    sessions = [simulate(rng) for _ in range(arguments.sessions)]
    with_contrast = [trials.assign(**compute_trial_contrasts(trials)) for trials in sessions]
    compare("simulated, all trials", with_contrast)
    blocks = [t[t["probabilityLeft"] == 0.2] for t in with_contrast[: arguments.sessions // 4]]
    compare("simulated, one kind of block", blocks)
    if tables := real_tables():
        compare("real", [t.assign(**compute_trial_contrasts(t)) for t in tables])

    performance = cpu_seconds(
        lambda: [session_performance(t, session_type="biased") for t in sessions]
    )
    row("session_performance, three fits", performance / len(sessions) * 1e3, "ms CPU")


if __name__ == "__main__":
    main()
