"""Quality metrics over the cohort: long form, planted components, planted trends."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.quality.overview import (
    quality_components,
    quality_trend,
    quality_trend_tests,
    quality_values,
    video_overview,
)

METRICS = ("m1", "m2", "m3")


def cohort(rng, *, n_subjects=10, per_subject=4, trend=0.0):
    """A shared factor in m1 and m2, noise in m3; the first changes with the animal's month."""
    recordings, quality = [], []
    for i in range(n_subjects):
        for j in range(per_subject):
            eid = f"{i}-{j}"
            start = pd.Timestamp("2024-01-01") + pd.Timedelta(days=30 * i + j)
            recordings.append(
                {
                    "eid": eid,
                    "fiber_idx": 0,
                    "subject": f"s{i}",
                    "lab": "lab",
                    "target_NM": "DR-5HT",
                    "brain_region": "DR",
                    "session_type": "biased",
                    "start_time": start.isoformat(),
                }
            )
            factor = rng.normal()
            quality.append(
                {
                    "eid": eid,
                    "fiber_idx": 0,
                    "band": "GCaMP",
                    "m1": 10 * (factor + 0.1 * rng.normal()) + 10 * trend * i,
                    "m2": -(factor + 0.1 * rng.normal()),
                    "m3": rng.normal(),
                }
            )
    return pd.DataFrame(quality), pd.DataFrame(recordings)


def test_long_form_joins_by_session_and_fiber_and_leaves_gaps_out():
    quality, recordings = cohort(np.random.default_rng(0), n_subjects=2, per_subject=1)
    second = quality.assign(fiber_idx=1, m1=99.0)
    quality.loc[0, "m3"] = np.nan
    recordings = pd.concat([recordings, recordings.assign(fiber_idx=1, target_NM="MR-5HT")])
    values = quality_values(pd.concat([quality, second]), recordings, METRICS)
    assert len(values) == 4 * 3 - 1
    mine = values[(values["fiber_idx"] == 1) & (values["metric"] == "m1")]
    assert (mine["value"] == 99).all() and (mine["target_NM"] == "MR-5HT").all()


def test_components_recover_the_shared_factor():
    quality, recordings = cohort(np.random.default_rng(1))
    scores, components = quality_components(quality_values(quality, recordings, METRICS))
    first = components[components["component"] == 1].set_index("metric")["loading"]
    assert abs(first["m1"]) == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert first["m1"] == pytest.approx(-first["m2"], abs=0.05)
    assert abs(first["m3"]) < 0.2
    ratios = components.drop_duplicates("component")["explained_variance_ratio"]
    assert ratios.sum() == pytest.approx(1.0) and ratios.iloc[0] > 0.6
    wide = scores.pivot_table(index="eid", columns="component", values="score")
    np.testing.assert_allclose(np.corrcoef(wide.T), np.eye(3), atol=1e-10)
    z = quality.set_index("eid")[list(METRICS)]
    z = (z - z.mean()) / z.std()
    np.testing.assert_allclose(wide[1], (z @ first).reindex(wide.index), atol=1e-10)


def test_a_metric_that_a_band_lacks_does_not_empty_its_components():
    quality, recordings = cohort(np.random.default_rng(2))
    both = pd.concat([quality, quality.assign(band="Isosbestic", m3=np.nan)])
    _, components = quality_components(quality_values(both, recordings, METRICS))
    assert set(components.loc[components["band"] == "Isosbestic", "metric"]) == {"m1", "m2"}
    scores, components = quality_components(quality_values(quality[:0], recordings, METRICS))
    assert scores.empty and components.empty and "loading" in components


def test_trend_has_quartiles_and_counts_per_month():
    quality, recordings = cohort(np.random.default_rng(3), n_subjects=3)
    values = quality_values(quality, recordings, METRICS)
    trend = quality_trend(values)
    january = trend[(trend["month"] == "2024-01") & (trend["metric"] == "m1")].iloc[0]
    rows = values[(values["metric"] == "m1") & (values["start_time"].str[:7] == "2024-01")]
    assert january["n_recordings"] == len(rows)
    assert january["n_subjects"] == rows["subject"].nunique()
    assert january["median"] == pytest.approx(rows["value"].median())
    assert january["q25"] <= january["median"] <= january["q75"]


def test_a_planted_trend_is_found_with_its_slope():
    quality, recordings = cohort(np.random.default_rng(4), n_subjects=24, trend=0.5)
    tests = quality_trend_tests(quality_values(quality, recordings, METRICS)).set_index("metric")
    # 5 per animal, who follow each other by 30 days
    assert tests.loc["m1", "ci_low"] < 5 < tests.loc["m1", "ci_high"]
    assert tests.loc["m1", "p_corrected"] < 0.001
    assert tests.loc["m3", "p_corrected"] > 0.05
    assert (tests["n_subjects"] == 24).all()


@pytest.mark.slow
def test_repeated_recordings_of_few_animals_are_no_trend():
    """The animal is the unit: an offset per animal must not look like a change in time."""
    rng = np.random.default_rng(5)
    positive, n = 0, 150
    for _ in range(n):
        quality, recordings = cohort(rng, n_subjects=6, per_subject=20)
        quality["m1"] += 20 * rng.normal(size=6)[quality["eid"].str[0].astype(int)]
        values = quality_values(quality, recordings, ["m1"])
        positive += int(quality_trend_tests(values)["p"].iloc[0] < 0.05)
    assert positive / n < 0.12  # 0.05 + 4 standard errors
    few, who = cohort(rng, n_subjects=3)
    assert quality_trend_tests(quality_values(few, who, METRICS))["p"].isna().all()


def test_video_values_are_counted():
    video = pd.DataFrame(
        {
            "eid": list("abc"),
            "subject": ["m", "m", "n"],
            "session_type": ["biased", "biased", None],
            "qc_focus": ["PASS", "PASS", None],
        }
    )
    table = video_overview(video).set_index("value")
    assert table.loc["PASS", "n_sessions"] == 2 and table.loc["PASS", "n_subjects"] == 1
    assert table.loc["missing", "session_type"] == "unknown"
