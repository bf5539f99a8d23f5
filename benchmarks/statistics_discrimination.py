"""Truth and false positives of decoding and similarity.

Run: OMP_NUM_THREADS=1 python benchmarks/statistics_discrimination.py [--quick]

- `decoding_coverage`: cohorts of 3 targets, 5 animals each, 3 recordings each, 10 features,
  profiles fixed; the confusion that is true is that of decoders trained in the same way (one
  animal held out) on such cohorts, measured on many new animals of the held-out target. Share
  of cohorts whose interval (95 %, animals resampled) contains the true accuracy and confusions.
- `decoding_false_positives`: the same cohorts with targets dealt to the animals at random;
  share of permutation tests with p <= 0.05. Also with animals that have two targets.
- `similarity_false_positives`: the same for the within against between contrast.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from _common import row

from iblnm.analysis import cosine_similarity_matrix, similarity_contrasts
from iblnm.analysis.decoding.decoder import decode_targets
from iblnm.analysis.decoding.inference import (
    accuracy_intervals,
    decoding_permutation_test,
    shuffle_targets,
)
from iblnm.analysis.stats.l1_logistic import predict_codes

N_TARGETS, ANIMALS, RECORDINGS, N_FEATURES = 3, 5, 3, 10
SUBJECT_SD, SEPARATION = 0.5, 0.5
ALPHA = 0.05
# seeds of shuffles and resamples are apart from those of the data
SHUFFLES = 10**7


def cohort(
    seed: int, *, animals: int = ANIMALS, effect: bool = True, two_targets: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Response vectors, targets and subjects; profiles are the same for every seed.

    `two_targets` animals have recordings of a second target as well. Without `effect` the
    vectors do not depend on the target, and targets are dealt to the animals at random.
    """
    profile = SEPARATION * np.random.default_rng(12345).normal(size=(N_TARGETS, N_FEATURES))
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(N_TARGETS * animals), RECORDINGS)
    target = subject % N_TARGETS
    second = (subject < two_targets) & (np.arange(subject.size) % RECORDINGS == 0)
    target = np.where(second, (target + 1) % N_TARGETS, target)
    offset = SUBJECT_SD * rng.normal(size=(N_TARGETS * animals, N_FEATURES))
    values = offset[subject] + rng.normal(size=(subject.size, N_FEATURES))
    if not effect:
        return values, shuffle_targets(target, subject, rng), subject
    return values + profile[target], target, subject


def true_confusion(seeds: range, animals: int = 200) -> tuple[np.ndarray, float]:
    """Mean confusion of the folds' decoders on new animals of the target that was held out.

    Also their mean accuracy over all targets: higher, as a fold's decoder has seen one animal
    fewer of the target that it is tested on.
    """
    new, target, _ = cohort(10**6, animals=animals)
    total, overall = np.zeros((N_TARGETS, N_TARGETS)), []
    for seed in seeds:
        X, labels, subjects = cohort(seed)
        decoded = decode_targets(X, labels, subjects)
        for fold in decoded["_folds"]:
            train = X[subjects != fold.subject]
            z = (new - train.mean(axis=0)) / train.std(axis=0)
            guess = predict_codes(z, fold.path.coef[0], fold.path.intercept[0])
            held_out = labels[subjects == fold.subject][0]
            total[held_out] += np.bincount(guess[target == held_out], minlength=N_TARGETS)
            overall.append((guess == target).mean())
    return total / total.sum(axis=1, keepdims=True), float(np.mean(overall))


def decoding_coverage(n: int = 200, n_truth: int = 40, seed: int = 0) -> dict[str, float]:
    """Share of cohorts whose intervals contain the true accuracy and confusions.

    Returns
    -------
    dict
        ``n``, ``true_balanced_accuracy`` (see `true_confusion`), ``accuracy_over_all_targets``
        of the same decoders, ``mean_balanced_accuracy`` (the estimate),
        ``coverage_balanced_accuracy``, ``coverage_confusion`` (over the cells),
        ``expected_confusion_error`` (largest difference of the mean confusion from the true).
    """
    truth, overall = true_confusion(range(seed + 10**5, seed + 10**5 + n_truth))
    accuracy, covered, cells = [], [], []
    confusion = np.zeros_like(truth)
    for one in range(seed, seed + n):
        decoded = decode_targets(*cohort(one))
        table = accuracy_intervals(decoded, seed=SHUFFLES + one)
        balanced = table[table["measure"] == "balanced_accuracy"].iloc[0]
        accuracy.append(balanced["value"])
        covered.append(balanced["low"] <= np.trace(truth) / N_TARGETS <= balanced["high"])
        own = table[table["measure"] == "confusion"]
        cells.append(((own["low"] <= truth.ravel()) & (truth.ravel() <= own["high"])).mean())
        confusion += decoded["confusion"].to_numpy() / n
    return {
        "n": n,
        "true_balanced_accuracy": float(np.trace(truth) / N_TARGETS),
        "accuracy_over_all_targets": overall,
        "mean_balanced_accuracy": float(np.mean(accuracy)),
        "coverage_balanced_accuracy": float(np.mean(covered)),
        "coverage_confusion": float(np.mean(cells)),
        "expected_confusion_error": float(np.abs(confusion - truth).max()),
    }


def decoding_false_positives(
    n: int = 200, n_permutations: int = 99, seed: int = 0, two_targets: int = 0
) -> dict[str, float]:
    """Share of permutation tests with p <= 0.05 where targets do not matter."""

    def p_values() -> Iterator[float]:
        for one in range(seed, seed + n):
            X, target, subject = cohort(one, effect=False, two_targets=two_targets)
            yield decoding_permutation_test(
                X, target, subject, n_permutations=n_permutations, seed=SHUFFLES + one
            )["p"]

    return rejections(np.array(list(p_values())))


def similarity_false_positives(
    n: int = 400, n_permutations: int = 99, seed: int = 0
) -> dict[str, float]:
    """The same for the contrast of similarity within and between targets."""

    def p_values() -> Iterator[float]:
        for one in range(seed, seed + n):
            X, target, subject = cohort(one, effect=False)
            yield similarity_contrasts(
                cosine_similarity_matrix(pd.DataFrame(X)),
                target,
                subject,
                n_permutations=n_permutations,
                n_bootstrap=2,
                seed=SHUFFLES + one,
            )["p"].iloc[-1]

    return rejections(np.array(list(p_values())))


def rejections(p: np.ndarray, alpha: float = ALPHA) -> dict[str, float]:
    """Rate of p <= alpha with its exact 95 % binomial interval."""
    from scipy.stats import binomtest

    hits = int((p <= alpha).sum())
    interval = binomtest(hits, p.size, alpha).proportion_ci()
    return {"n": p.size, "rate": hits / p.size, "low": interval.low, "high": interval.high}


def report(name: str, numbers: dict[str, float]) -> None:
    """Print the numbers of one study."""
    for key, value in numbers.items():
        row(f"{name}: {key.replace('_', ' ')}", value, "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a twentieth of the cohorts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    divide = 20 if options.quick else 1
    report("decoding", decoding_coverage(200 // divide, 40 // divide, options.seed))
    report(
        "similarity, targets shuffled",
        similarity_false_positives(400 // divide, seed=options.seed),
    )
    report(
        "decoding, targets shuffled", decoding_false_positives(200 // divide, seed=options.seed)
    )
    report(
        "decoding, shuffled, 4 animals with two targets",
        decoding_false_positives(200 // divide, seed=options.seed, two_targets=4),
    )
