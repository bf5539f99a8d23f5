"""Movement encoding from cross-products against refits of MixedLM, in one process.

Run: python benchmarks/bench_cohort_models.py
Leave-one-subject-out models at 50, 200 and 500 recordings of one target; both compute the same
R², which are compared. The refits are those that a straightforward script would do: every
model in every fold with `statsmodels.regression.mixed_linear_model.MixedLM`; at 200 and 500
recordings a sample of the folds is refitted and its time scaled to all of them.
"""

from __future__ import annotations

import sys
import tracemalloc
import warnings

import numpy as np
from _common import cpu_seconds, row
from bench.cohort_tables import simulate_magnitudes

from iblnm.analysis.movement.cross_validation import cross_validate_movement, movement_design
from iblnm.analysis.movement.permutation import movement_permutation_test

RESPONSE, TIMING = "response_early", "reaction_time"
MODELS = {"r2_full": [0, 1, 2, 3], "r2_drop_contrast": [0, 2, 3], "r2_drop_timing": [0, 1, 2]}
SESSIONS_PER_SUBJECT = 2
REFITTED_FOLDS = 6


def cohort(n_recordings: int):
    """Stimulus trials of one target."""
    table, _ = simulate_magnitudes(
        targets=["VTA-DA"],
        n_subjects=n_recordings // SESSIONS_PER_SUBJECT,
        sessions_per_subject=SESSIONS_PER_SUBJECT,
        timing_effect=-0.5,
        seed=n_recordings,
    )
    return table[table["event"] == "stimOn_times"].reset_index(drop=True)


def refit(design, folds: np.ndarray) -> dict[str, np.ndarray]:
    """R² of the folds by MixedLM on the trials of the others."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    found = {name: np.empty(len(folds)) for name in MODELS}
    for i, k in enumerate(folds):
        out = design.subject == k
        for name, columns in MODELS.items():
            x = design.x[:, columns]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = MixedLM(design.y[~out], x[~out], design.subject[~out]).fit(reml=True)
            prediction = x[out] @ fit.fe_params
            response = design.y[out] - design.y[out].mean()
            residual = response - (prediction - prediction.mean())
            found[name][i] = 1 - (residual**2).sum() / (response**2).sum()
    return found


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [50, 200, 500]
    per_subject = []
    for n in sizes:
        table = cohort(n)
        design = movement_design(table, RESPONSE, TIMING)
        k = len(design.names)
        folds = np.linspace(0, k - 1, min(REFITTED_FOLDS, k)).astype(int)
        ours = cross_validate_movement(table, RESPONSE, TIMING)
        theirs = refit(design, folds)
        difference = max(
            float(np.abs(ours[name].to_numpy()[folds] - theirs[name]).max()) for name in MODELS
        )
        slow = cpu_seconds(lambda d=design, f=folds: refit(d, f), repeats=1) * k / len(folds)
        fast = cpu_seconds(lambda t=table: cross_validate_movement(t, RESPONSE, TIMING))
        tracemalloc.start()
        cross_validate_movement(table, RESPONSE, TIMING)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        per_subject.append(1e3 * fast / k)
        row(f"{n} recordings, {k} subjects: MixedLM, {len(folds)} folds scaled", slow, "CPU-s")
        row(f"{n} recordings, {k} subjects: iblnm", fast, "CPU-s")
        row("  ratio", slow / fast, "x", ">= 30")
        row("  largest difference of an R²", difference, "", "<= 1e-3")
        row("  per subject", per_subject[-1], "CPU-ms", "flat")
        row("  peak memory beside the table", peak, "MiB")
        tested = cpu_seconds(
            lambda t=table: movement_permutation_test(t, RESPONSE, TIMING, n_permutations=200),
            repeats=1,
        )
        row("  permutation test, per 1,000 permutations", 5 * tested, "CPU-s")
    row("time per subject, largest size over smallest", per_subject[-1] / per_subject[0], "x")


if __name__ == "__main__":
    main()
