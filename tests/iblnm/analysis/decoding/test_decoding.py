"""Decoding: planted confusions, the optimum, leakage, missing folds, against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import (
    TargetNMDecoder,
    decode_targets,
    decoding_permutation_test,
    feature_contributions,
)
from iblnm.analysis.decoding.decoder import predictions_without_features
from iblnm.analysis.decoding.folds import CS, DecodingData, Solver, balanced_accuracy, inner_folds
from iblnm.analysis.decoding.inference import (
    accuracy_intervals,
    shuffle_targets,
    subject_resamples,
)
from iblnm.analysis.stats.l1_logistic import balanced_weights, fit_path, predict_codes
from iblnm.errors import DataError

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def oracle():
    """Loops and refits."""
    from bench import discrimination_loops

    return discrimination_loops


@pytest.fixture(scope="module")
def cohort(oracle):
    return oracle.simulate_vectors(36, 12, n_features=6, separation=0.8, seed=1)


@pytest.fixture(scope="module")
def decoded(cohort):
    return decode_targets(*cohort)


def _objective(X, y, k, c, coef, intercept):
    scores = X @ coef.T + intercept
    losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(y)), y]
    return balanced_weights(y, k) @ losses + np.abs(coef).sum() / c


@pytest.mark.slow
@pytest.mark.parametrize("k", [2, 4])
def test_fits_reach_the_optimum_of_sklearns_objective(oracle, k):
    X, labels, _ = oracle.simulate_vectors(60, 20, n_features=8, n_classes=k, seed=k)
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    y = np.unique(labels, return_inverse=True)[1]
    cs = np.array([0.2, 1.0, 5.0])
    path = fit_path(Z, y, k, cs, tolerance=1e-6)
    assert (path.violation <= 1e-6).all()
    for i, c in enumerate(cs):
        model = oracle.sklearn_fit(X, labels, c, tol=1e-9, max_iter=50_000)[-1]
        coef, intercept = model.coef_, model.intercept_
        if k == 2:
            coef = np.vstack([np.zeros_like(coef), coef])
            intercept = np.append(0.0, intercept)
        best = _objective(Z, y, k, c, coef, intercept)
        own = _objective(Z, y, k, c, path.coef[i], path.intercept[i])
        assert own <= best * (1 + 1e-9)
        assert own == pytest.approx(best, rel=1e-4)
        own_proba = _softmax(Z @ path.coef[i].T + path.intercept[i])
        # saga stops early while all coefficients are zero
        np.testing.assert_allclose(own_proba, model.predict_proba(Z), atol=1e-2)


def _softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.slow
def test_optimality_holds_when_measured_outside_the_solver(oracle):
    X, labels, _ = oracle.simulate_vectors(80, 20, n_features=10, n_classes=5, seed=3)
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    y = np.unique(labels, return_inverse=True)[1]
    path = fit_path(Z, y, 5, np.array(CS))
    for i, c in enumerate(CS):
        residual = _softmax(Z @ path.coef[i].T + path.intercept[i])
        residual[np.arange(len(y)), y] -= 1
        residual *= balanced_weights(y, 5)[:, None]
        gradient, coef = residual.T @ Z, path.coef[i]
        zero = coef == 0
        assert np.abs(residual.sum(axis=0)).max() <= 1e-3 / c
        assert np.abs(gradient[zero]).max(initial=0) <= (1 + 1e-3) / c
        assert np.abs(gradient[~zero] + np.sign(coef[~zero]) / c).max(initial=0) <= 1e-3 / c
    assert path.violation.max() <= 1e-4


@pytest.mark.slow
def test_a_warm_start_does_not_change_the_optimum(oracle):
    X, labels, _ = oracle.simulate_vectors(60, 20, n_features=8, seed=4)
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    y = np.unique(labels, return_inverse=True)[1]
    cs = np.array(CS)
    near = fit_path(Z[5:], y[5:], 3, cs)
    cold, warm = fit_path(Z, y, 3, cs, tolerance=1e-7), fit_path(Z, y, 3, cs, near, tolerance=1e-7)
    np.testing.assert_allclose(warm.coef, cold.coef, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_folds_agree_with_refits_by_sklearn(oracle, cohort):
    X, labels, subjects = cohort
    cs = np.array([0.05, 0.3, 2.0])
    ours = decode_targets(X, labels, subjects, Cs=cs)
    c, guess = oracle.sklearn_fold(X, labels, subjects, "m004", cs, tol=1e-7)
    assert ours["fold_C"]["m004"] == pytest.approx(c)
    assert ours["predictions"][subjects == "m004"].tolist() == guess.tolist()


@pytest.mark.slow
def test_every_fit_converged_and_says_so(decoded):
    convergence = decoded["convergence"]
    assert convergence["n_fits"] == 12 * (5 * 10 + 1) + 1
    assert convergence["n_not_converged"] == 0
    assert convergence["max_violation"] <= convergence["tolerance"] == 1e-4
    assert (decoded["folds"]["status"] == "predicted").all()
    assert decoded["folds"]["violation"].max() <= 1e-4


@pytest.mark.slow
def test_fits_that_do_not_converge_predict_nothing(cohort):
    result = decode_targets(*cohort, C=10.0, solver=Solver(max_steps=1))
    assert set(result["folds"]["status"]) == {"not converged"}
    assert result["predictions"].isna().all()
    assert np.isnan(result["accuracy"])
    assert result["coefficients"].isna().all().all()
    assert result["convergence"]["n_not_converged"] == result["convergence"]["n_fits"]


def test_planted_confusion_is_recovered(oracle):
    """Two targets with one profile are confused with each other, and never with the third."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(24), 4)
    code = subject % 3
    profile = np.array([[4.0, 0, 0], [4.0, 0, 0], [-4.0, 0, 0]])
    X = pd.DataFrame(profile[code] + rng.normal(size=(96, 3)))
    result = decode_targets(X, np.array(["A", "B", "C"])[code], subject)
    confusion = result["confusion"]
    assert confusion.loc["C", "C"] == 1.0
    assert confusion.loc[["A", "B"], "C"].tolist() == [0.0, 0.0]
    assert confusion.to_numpy().sum(axis=1) == pytest.approx(1.0)
    assert result["per_class_accuracy"]["A"] < 0.85
    assert result["confusion_counts"].to_numpy().sum() == 96


def test_accuracies_are_those_of_the_predictions(decoded, cohort):
    _, labels, _ = cohort
    right = decoded["predictions"].to_numpy() == labels
    assert decoded["accuracy"] == right.mean()
    by_class = pd.Series(right).groupby(labels).mean()
    assert decoded["balanced_accuracy"] == pytest.approx(by_class.mean())
    assert decoded["per_class_accuracy"].tolist() == pytest.approx(by_class.tolist())


@pytest.mark.parametrize("change", ["features", "label"])
def test_nothing_of_the_held_out_subject_reaches_its_model(cohort, change):
    X, labels, subjects = cohort
    own = subjects == "m003"
    before = decode_targets(X, labels, subjects, Cs=[0.1, 1.0])
    altered, new_labels = X.copy(), labels.copy()
    if change == "features":
        altered[own] += 1000.0
    else:
        new_labels[own] = "T1"
    after = decode_targets(altered, new_labels, subjects, Cs=[0.1, 1.0])
    i = sorted(set(subjects)).index("m003")
    a, b = before["_folds"][i], after["_folds"][i]
    assert a.c == b.c
    np.testing.assert_allclose(a.path.coef, b.path.coef, atol=1e-3)


def test_features_are_standardized_on_the_training_fold(cohort):
    X, labels, subjects = cohort
    plain = decode_targets(X, labels, subjects, C=0.5)
    scaled = decode_targets(X * [1, 100, 1e-3, 1, 5, 1] + 7, labels, subjects, C=0.5)
    assert (plain["predictions"] == scaled["predictions"]).all()
    np.testing.assert_allclose(plain["coefficients"], scaled["coefficients"], atol=1e-3)
    raw = decode_targets(X * [1, 100, 1e-3, 1, 5, 1], labels, subjects, normalize=False, C=0.5)
    assert not np.allclose(raw["coefficients"], plain["coefficients"], atol=1e-2)


def test_a_constant_feature_has_no_coefficient(cohort):
    X, labels, subjects = cohort
    result = decode_targets(X.assign(flat=0.1), labels, subjects, C=1.0)
    assert (result["coefficients"]["flat"] == 0).all()


def test_a_fold_that_lacks_a_class_predicts_nothing():
    rng = np.random.default_rng(2)
    subject = np.repeat(["a", "b", "c", "d", "e"], 4)
    label = np.repeat(["X", "X", "Y", "Y", "Z"], 4)
    features = rng.normal(size=(20, 3)) + np.repeat([0, 0, 3, 3, 6], 4)[:, None]
    result = decode_targets(features, label, subject)
    assert result["predictions"][16:].isna().all()
    assert result["folds"].loc["e", "status"] == "class absent from training"
    assert np.isnan(result["per_class_accuracy"]["Z"])
    assert result["predictions"][:16].notna().all()
    assert result["balanced_accuracy"] == result["per_class_accuracy"][["X", "Y"]].mean()


def test_without_a_usable_inner_fold_nothing_is_predicted():
    features = np.random.default_rng(0).normal(size=(6, 2))
    result = decode_targets(features, list("XXXXYY"), list("aabbcc"))
    assert result["folds"]["status"].tolist() == [
        "no inner fold has all classes",
        "no inner fold has all classes",
        "class absent from training",
    ]
    assert result["predictions"].isna().all()
    assert np.isnan(result["best_C_"])


def test_binary_coefficients_point_to_their_class():
    rng = np.random.default_rng(5)
    subject = np.repeat(np.arange(10), 4)
    code = subject % 2
    X = pd.DataFrame({"up": 2.0 * code + rng.normal(size=40), "no": rng.normal(size=40)})
    result = decode_targets(X, np.array(["low", "raised"])[code], subject)
    assert result["classes"] == ["low", "raised"]
    assert result["coefficients"].loc["raised", "up"] > 0.5
    np.testing.assert_array_equal(
        result["coefficients"].loc["low"], -result["coefficients"].loc["raised"]
    )


def test_refit_is_at_the_median_c(decoded):
    median = np.exp(np.median(np.log(decoded["fold_C"])))
    assert decoded["best_C_"] == pytest.approx(median)
    assert set(decoded["fold_C"]) <= set(CS)
    assert decoded["coefficients"].shape == (3, 6)
    assert decoded["coefficients"].index.tolist() == decoded["classes"]


def test_inner_folds_keep_subjects_and_spread_targets():
    subjects = np.repeat(np.arange(20), 2)
    data = DecodingData(np.zeros((40, 1)), subjects % 2, subjects, 2)
    train = subjects != 7
    folds = inner_folds(data, train, 5)
    assert folds[7] == -1
    for code in (0, 1):
        members = [s for s in range(20) if s % 2 == code and s != 7]
        assert np.ptp(np.bincount(folds[members], minlength=5)) <= 1


def test_contributions_are_on_held_out_data(oracle, cohort):
    X, labels, subjects = cohort
    decoded = decode_targets(X, labels, subjects, C=1.0)
    table = feature_contributions(X, labels, subjects, decoded=decoded)
    assert table.index.tolist() == list(X.columns)
    full = table["balanced_accuracy"] - table["balanced_accuracy_without"]
    np.testing.assert_allclose(table["contribution"], full)
    # every fold fitted anew by sklearn without the feature
    name = X.columns[0]
    guess = np.empty(len(X), dtype=object)
    for held_out in np.unique(subjects):
        own = subjects == held_out
        model = oracle.sklearn_fit(
            X[~own].drop(columns=name).to_numpy(), labels[~own], 1.0, tol=1e-7
        )
        guess[own] = model.predict(X[own].drop(columns=name).to_numpy())
    ours = np.array(decoded["classes"])[predictions_without_features(decoded)[0]]
    assert ours.tolist() == guess.tolist()


def test_the_one_informative_feature_contributes_most():
    rng = np.random.default_rng(6)
    subject = np.repeat(np.arange(15), 3)
    code = subject % 3
    X = pd.DataFrame(rng.normal(size=(45, 5)), columns=list("abcde"))
    X["c"] += 4.0 * code
    decoder = TargetNMDecoder(X, np.array(["A", "B", "C"])[code], subject)
    table = decoder.unique_contribution()
    assert decoder.accuracy > 0.9
    known = ["feature", "full_accuracy", "reduced_accuracy", "delta"]
    assert table.columns[:4].tolist() == known
    np.testing.assert_allclose(table["delta"], table["full_accuracy"] - table["reduced_accuracy"])
    delta = table.set_index("feature")["delta"]
    assert delta.idxmax() == "c"
    assert table.set_index("feature").loc["c", "low"] > 0.3
    assert (delta.drop("c") < 0.1).all()
    assert decoder.contributions is table
    start = f"<TargetNMDecoder, 3 targets, {len(code)} recordings of {len(set(subject))} subjects"
    told = f"{start}: balanced accuracy {decoder.balanced_accuracy:.3f} (chance 0.333), accuracy "
    assert repr(decoder) == f"{told}{decoder.accuracy:.3f} of {len(code)} predictions>"
    decoder.null = {"p": 0.002, "n_permutations": 500}
    assert repr(decoder).endswith("predictions, p 0.002 of 500 permutations>")


def test_the_decoder_is_empty_before_it_is_fitted():
    decoder = TargetNMDecoder(np.zeros((2, 1)), ["a", "b"], ["s", "t"])
    assert decoder.accuracy is None
    assert repr(decoder) == "<TargetNMDecoder, 2 targets, 2 recordings of 2 subjects: not fitted>"
    assert decoder.contributions is None
    with pytest.raises(AttributeError, match="nothing"):
        _ = decoder.nothing


@pytest.mark.parametrize(
    ("labels", "subjects", "value", "text"),
    [
        (["A", "B", None, "B"], list("abcd"), 1.0, "label is missing"),
        (list("ABAB"), ["a", None, "c", "d"], 1.0, "subject is missing"),
        (list("ABAB"), list("abcd"), np.nan, "feature 1 is nan"),
        (list("AAAA"), list("abcd"), 1.0, "at least 2"),
        (list("ABA"), list("abcd"), 1.0, "3 labels"),
    ],
)
def test_unusable_input_is_refused_by_name(labels, subjects, value, text):
    X = np.ones((4, 2))
    X[2, 1] = value
    with pytest.raises(DataError, match=text):
        decode_targets(X, labels, subjects)


def test_ties_go_to_the_first_class():
    assert predict_codes(np.ones((2, 1)), np.zeros((3, 1)), np.array([0, 1e-16, 0])).tolist() == [
        0,
        0,
    ]
    assert np.isnan(balanced_accuracy(np.array([0, 1]), np.array([-1, -1]), 2))


def test_the_remainder_of_the_solver_does_not_choose_between_classes_that_tie():
    """One feature tells the last class; of the others, unequal in number, none is likelier."""
    codes = np.repeat([0, 1, 2, 3], [9, 14, 20, 12])
    rng = np.random.default_rng(0)
    features = rng.normal(size=(codes.size, 1)) + 6.0 * (codes == 3)[:, None]
    features -= features.mean()
    path = fit_path(features / features.std(), codes, 4, np.array([0.1]), tolerance=1e-3)
    assert (path.coef[0] != 0).any(axis=1).tolist() == [False, False, False, True]
    assert path.violation[0] <= 1e-3
    low = features[:, 0] < 0
    assert set(predict_codes(features[low], path.coef[0], path.intercept[0])) == {0}


# the null and the intervals -----------------------------------------------------------------


def test_shuffles_keep_subjects_together():
    subjects = np.repeat(np.arange(8), 3)
    codes = np.array([0, 1, 2, 0, 1, 2, 0, 0])[subjects]
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(200):
        new = shuffle_targets(codes, subjects, rng)
        per_subject = new.reshape(8, 3)
        assert (per_subject == per_subject[:, :1]).all()
        assert sorted(per_subject[:, 0]) == [0, 0, 0, 0, 1, 1, 2, 2]
        moved += (new != codes).any()
    assert moved > 150


def test_subjects_with_two_targets_exchange_their_sets():
    subjects = np.array([0, 0, 0, 1, 1, 2, 3, 4])
    codes = np.array([0, 0, 1, 2, 3, 0, 1, 2])
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        new = shuffle_targets(codes, subjects, rng)
        assert new[0] == new[1] != new[2]
        pairs = {frozenset(new[[0, 2]].tolist()), frozenset(new[[3, 4]].tolist())}
        assert pairs == {frozenset({0, 1}), frozenset({2, 3})}
        assert sorted(new[5:]) == [0, 1, 2]
        seen.add(tuple(new))
    assert len(seen) == 2 * 4 * 6


@pytest.mark.slow
def test_a_planted_effect_is_significant_and_shuffled_labels_are_not(oracle):
    X, labels, subjects = oracle.simulate_vectors(
        36, 12, n_features=5, separation=2.0, subject_sd=0.2, seed=0
    )
    null = decoding_permutation_test(X, labels, subjects, n_permutations=49, seed=1)
    assert null["p"] == pytest.approx(1 / 50)
    assert null["null"].shape == (49,)
    assert null["null"].mean() < 0.5 < null["statistic"]
    noise = np.random.default_rng(8).normal(size=X.shape)
    assert decoding_permutation_test(noise, labels, subjects, n_permutations=49)["p"] > 0.05


def test_the_null_is_reproducible(cohort):
    one, same, other = (
        decoding_permutation_test(*cohort, n_permutations=6, seed=seed, Cs=[0.1, 1.0])["null"]
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_resamples_draw_one_subject_fewer_within_each_target():
    subjects = np.arange(7)
    codes = np.array([0, 0, 0, 0, 1, 1, 2])
    draws = subject_resamples(codes, subjects, 4000, seed=0)
    assert (draws[:, :4].sum(axis=1) == 3).all()
    assert (draws[:, 4:6].sum(axis=1) == 1).all()
    assert (draws[:, 6] == 1).all()
    # the variance of the resampled mean is that of the mean: s²/n, not (n − 1)/n of it
    values = np.array([1.0, 4.0, 2.0, 9.0])
    means = draws[:, :4] @ values / 3
    assert means.var() == pytest.approx(values.var(ddof=1) / 4, rel=0.1)


def test_intervals_contain_the_value_and_count_animals(decoded, cohort):
    table = accuracy_intervals(decoded, seed=2).set_index("measure")
    assert table.loc["accuracy", "value"] == decoded["accuracy"]
    for measure in ("accuracy", "balanced_accuracy"):
        row = table.loc[measure]
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 < row["high"] - row["low"] < 1
        assert (row["n_subjects"], row["n_recordings"]) == (12, 36)
    confusion = table.loc["confusion"]
    assert len(confusion) == 9
    assert set(confusion["n_subjects"]) == {4}


def test_a_target_of_one_animal_has_no_interval():
    rng = np.random.default_rng(2)
    subject = np.repeat(["a", "b", "c", "d", "e"], 4)
    label = np.repeat(["X", "X", "Y", "Y", "Z"], 4)
    features = rng.normal(size=(20, 3)) + np.repeat([0, 0, 3, 3, 6], 4)[:, None]
    table = accuracy_intervals(decode_targets(features, label, subject))
    own = table[(table["measure"] == "confusion") & (table["target"] == "Z")]
    assert own[["value", "low", "high"]].isna().all().all()
    assert (own["n_recordings"] == 0).all()


def test_animals_that_all_agree_still_leave_an_interval():
    subject = np.repeat(np.arange(12), 2)
    X = 20.0 * (subject % 3)[:, None] + np.random.default_rng(0).normal(size=(24, 2))
    table = accuracy_intervals(decode_targets(X, np.array(list("ABC"))[subject % 3], subject))
    row = table.iloc[0]
    # Clopper and Pearson for 12 of 12 animals: 0.025 ** (1 / 12)
    assert (row["value"], row["high"]) == (1.0, 1.0)
    assert row["low"] == pytest.approx(0.7354, abs=1e-4)
    never = table[(table["target"] == "A") & (table["predicted"] == "C")].iloc[0]
    assert (never["value"], never["low"]) == (0.0, 0.0)
    assert never["high"] == pytest.approx(1 - 0.025**0.25)
