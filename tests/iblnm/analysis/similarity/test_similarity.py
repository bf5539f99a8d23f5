"""Similarity of response vectors: known angles, loops over pairs, animals as units."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis import (
    cosine_similarity_matrix,
    mean_similarity_by_target,
    similarity_contrasts,
    split_features_by_event,
    within_between_similarity,
)
from iblnm.errors import DataError

ROOT = Path(__file__).resolve().parents[4]
MODULES = (
    "similarity.cosine",
    "decoding.folds",
    "decoding.inference",
    "stats.l1_logistic",
    "stats.comparisons",
)


@pytest.fixture(scope="module")
def oracle():
    """Loops and refits."""
    from bench import discrimination_loops

    return discrimination_loops


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    result = doctest.testmod(importlib.import_module(f"iblnm.analysis.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_known_angles():
    vectors = pd.DataFrame(
        [[1.0, 0], [5, 0], [-2, 0], [1, 1], [np.nan, 1], [0, 0]], index=list("abcdez")
    )
    sim = cosine_similarity_matrix(vectors)
    assert sim.index.tolist() == sim.columns.tolist() == list("abcdz")
    assert sim.loc["a", ["a", "b", "c"]].tolist() == [1.0, 1.0, -1.0]
    assert sim.loc["a", "d"] == pytest.approx(np.sqrt(0.5))
    assert sim.loc["z"].isna().all()
    assert sim.drop(index="z", columns="z").notna().all().all()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_size_of_the_values_does_not_matter(scale):
    vectors = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)))
    np.testing.assert_allclose(
        cosine_similarity_matrix(vectors * scale), cosine_similarity_matrix(vectors), atol=1e-12
    )


def test_pairs_agree_with_a_loop(oracle):
    X, labels, subjects = oracle.simulate_vectors(40, 9, seed=2)
    ours = within_between_similarity(cosine_similarity_matrix(X), labels, subjects)
    loop = oracle.pairs_by_loop(X, labels, subjects)
    assert len(ours) == 40 * 39 // 2
    for name in ("i", "j", "target_i", "target_j", "comparison", "same_subject"):
        assert ours[name].tolist() == loop[name].tolist()
    np.testing.assert_allclose(ours["similarity"], loop["similarity"], atol=1e-12)


def test_without_subjects_same_subject_is_unknown():
    pairs = within_between_similarity(np.eye(3), list("aab"))
    assert pairs["same_subject"].isna().all()
    assert pairs["comparison"].tolist() == ["within", "between", "between"]


def test_means_by_target_with_and_without_pairs_of_one_subject(oracle):
    X, labels, subjects = oracle.simulate_vectors(30, 9, seed=3, subject_sd=2.0)
    sim = cosine_similarity_matrix(X)
    pairs = oracle.pairs_by_loop(X, labels, subjects)
    every = mean_similarity_by_target(sim, labels)
    other = mean_similarity_by_target(sim, labels, subjects)
    for a in every.index:
        for b in every.index:
            own = {(a, b), (b, a)}
            chosen = pairs[[t in own for t in zip(pairs.target_i, pairs.target_j, strict=True)]]
            assert every.loc[a, b] == pytest.approx(chosen["similarity"].mean())
            apart = chosen[~chosen["same_subject"]]
            assert other.loc[a, b] == pytest.approx(apart["similarity"].mean())
    assert (np.diag(every) > np.diag(other)).all()


def test_a_target_of_one_subject_has_no_similarity_across_subjects():
    sim = np.full((3, 3), 0.5)
    mean = mean_similarity_by_target(sim, ["A", "A", "B"], ["s", "s", "t"])
    assert np.isnan(mean.loc["A", "A"])
    assert np.isnan(mean.loc["B", "B"])
    assert mean.loc["A", "B"] == mean.loc["B", "A"] == 0.5


def test_missing_similarities_are_skipped():
    sim = np.array([[1, 0.2, np.nan], [0.2, 1, 0.6], [np.nan, 0.6, 1]])
    assert mean_similarity_by_target(sim, list("AAB")).loc["A", "B"] == 0.6


@pytest.mark.slow
def test_contrasts_find_planted_profiles_and_correct_over_targets(oracle):
    X, labels, subjects = oracle.simulate_vectors(45, 15, separation=1.0, subject_sd=0.3, seed=1)
    table = similarity_contrasts(
        cosine_similarity_matrix(X), labels, subjects, n_permutations=199, n_bootstrap=300
    ).set_index("target_NM")
    assert table.index.tolist() == ["T0", "T1", "T2", "all"]
    assert (table["difference"] > 0.2).all()
    assert (table["low"] > 0).all()
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()
    assert table.loc["all", "p"] == pytest.approx(1 / 200)
    assert (table["p"] <= 0.05).all()
    assert (table["p_corrected"][:3] >= 1.5 * table["p"][:3]).all()
    assert table.loc["all", "p_corrected"] == table.loc["all", "p"]
    assert table["n_subjects"].tolist() == [5, 5, 5, 15]


@pytest.mark.slow
def test_many_recordings_of_few_animals_are_not_evidence():
    """Offsets of animals alone: pairs of recordings would call it significant."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(6), 40)
    X = pd.DataFrame(rng.normal(size=(6, 8))[subject] + 0.1 * rng.normal(size=(240, 8)))
    labels = np.array(["A", "B"])[subject % 2]
    table = similarity_contrasts(
        cosine_similarity_matrix(X), labels, subject, n_permutations=99, n_bootstrap=50
    )
    assert table["p"].iloc[-1] >= 0.05


@pytest.mark.slow
def test_a_target_of_one_animal_has_no_contrast():
    sim = cosine_similarity_matrix(pd.DataFrame(np.random.default_rng(0).normal(size=(5, 4))))
    table = similarity_contrasts(
        sim, list("AABBC"), list("stuvw"), n_permutations=19, n_bootstrap=20
    ).set_index("target_NM")
    assert table.loc["C", ["within", "difference", "p", "p_corrected"]].isna().all()
    assert table.loc[["A", "B"], "p"].notna().all()


def test_features_are_split_by_event():
    names = ["stimOn_c0_ipsi_correct", "feedback_c0_ipsi_correct", "stimOn_c100_ipsi_correct"]
    frame = pd.DataFrame([[1, 2, 3]], columns=names, index=["r"])
    parts = split_features_by_event(frame)
    assert list(parts) == ["stimOn", "feedback"]
    assert parts["stimOn"].columns.tolist() == [names[0], names[2]]
    assert parts["feedback"].loc["r"].tolist() == [2]
    with pytest.raises(DataError, match="baseline"):
        split_features_by_event(pd.DataFrame({"baseline": [1.0]}))


@pytest.mark.parametrize(
    ("sim", "labels", "text"),
    [
        (np.ones((2, 3)), ["a", "b"], "square"),
        (np.eye(2), ["a"], "1 labels"),
        (np.eye(2), ["a", None], "nulls"),
    ],
)
def test_unusable_input_is_refused(sim, labels, text):
    with pytest.raises(DataError, match=text):
        within_between_similarity(sim, labels)
