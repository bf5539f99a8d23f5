"""Effects of conditions with the animal as unit."""

import numpy as np
import pandas as pd
import pytest

from iblnm.layers.condition_effects import (
    all_effects,
    condition_effect,
    permutation_p,
    single_unit_values,
)


def _sessions(n_animals, effect, seed, *, crossed=True, sd=0.3):
    rng = np.random.default_rng(seed)
    rows = []
    for animal in range(n_animals):
        level = rng.normal(5, 1)
        conditions = ("control", "LSD") if crossed else (("control", "LSD")[animal % 2],)
        for condition in conditions:
            pre = level + rng.normal(0, sd)
            post = level + rng.normal(0, sd) + (effect if condition == "LSD" else 0)
            rows.append((f"s{animal}", f"e{animal}{condition}", condition, pre, post))
    return pd.DataFrame(rows, columns=["subject", "eid", "condition", "pre", "post"])


def test_a_planted_effect_is_estimated():
    found = condition_effect(_sessions(12, 1.0, 0), condition="LSD", control="control")
    assert found["estimate"] == pytest.approx(1.0, abs=0.35)
    assert found["estimate"] == pytest.approx(1.0, abs=3 * found["se"])
    assert found["p"] < 0.01 and found["n_subjects"] == 12 and found["n_sessions"] == 24


def test_animals_with_one_condition_are_compared_with_each_other():
    found = condition_effect(
        _sessions(16, 2.0, 1, crossed=False), condition="LSD", control="control"
    )
    assert found["p"] < 0.01 and found["n_sessions"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("crossed", [True, False])
def test_without_an_effect_few_p_values_are_small(crossed):
    p = []
    for seed in range(200):
        table = _sessions(8, 0.0, seed, crossed=crossed)
        change = table.assign(change=table["post"] - table["pre"]).pivot_table(
            "change", "subject", "condition"
        )
        p.append(permutation_p(change[["control", "LSD"]].to_numpy(), 99, seed))
    assert np.mean(np.array(p) < 0.05) <= 0.08


def test_too_few_animals_say_so():
    found = condition_effect(_sessions(1, 1.0, 0), condition="LSD", control="control")
    assert np.isnan(found["p"]) and "fewer than two animals" in found["note"]


@pytest.mark.slow
def test_all_effects_are_corrected():
    values = _sessions(10, 1.5, 3).assign(source="single_unit", metric="rate", region="HPF")
    other = _sessions(10, 0.0, 4).assign(source="single_unit", metric="rate", region="TH")
    table = all_effects(
        pd.concat([values, other]), control="control", n_permutations=200
    ).set_index("region")
    assert table.loc["HPF", "p"] < 0.05 < table.loc["TH", "p"]
    assert (table["p_corrected"] >= table["p"]).all()
    assert all_effects(values.assign(condition="control"), control="control").empty


def test_sessions_need_enough_units():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "eid": ["a"] * 6 + ["b"] * 3,
            "subject": ["x"] * 6 + ["y"] * 3,
            "condition": "LSD",
            "coarse_region": ["TH"] * 5 + [None] + ["HPF"] * 3,
            "rate_pre": rng.random(9),
            "rate_post": rng.random(9),
        }
    )
    values = single_unit_values(table, ["rate"], min_units=5)
    assert values[["eid", "region"]].to_numpy().tolist() == [["a", "TH"], ["a", "all"]]
    assert values.loc[values["region"] == "all", "pre"].iloc[0] == pytest.approx(
        table["rate_pre"][:6].mean()
    )
