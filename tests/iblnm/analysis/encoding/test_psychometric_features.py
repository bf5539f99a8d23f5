"""Psychometric parameters relative to the fiber, against simulated animals."""

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.encoding.psychometric_features import psychometric_features
from iblnm.task import fit_psychometric

FIT = {"bias": 4.0, "threshold": 18.0, "lapse_left": 0.02, "lapse_right": 0.15}


def table(fit, eid="a"):
    return pd.DataFrame([{"eid": eid} | {f"psych_50_{k}": v for k, v in fit.items()}])


def recordings(*hemispheres, eid="a"):
    return pd.DataFrame(
        {
            "eid": eid,
            "target_NM": "NBM-ACh",
            "fiber_idx": range(len(hemispheres)),
            "hemisphere": hemispheres,
        }
    )


def test_sides_are_those_of_the_fiber():
    features = psychometric_features(recordings("l", "r", None), table(FIT))
    assert features.index.names == ["eid", "target_NM", "fiber_idx"]
    np.testing.assert_allclose(features.iloc[0], [18, 4, 0.15, 0.02])
    np.testing.assert_allclose(features.iloc[1], [18, -4, 0.02, 0.15])
    assert features.iloc[2]["threshold"] == 18
    assert features.iloc[2][["lateral_bias", "lapse_contra", "lapse_ipsi"]].isna().all()


def test_a_bias_away_from_the_fibers_opposite_side_is_positive():
    """Mice that avoid the right: fewer contralateral choices for a left fiber."""
    contrast = np.repeat([-100.0, -25.0, -6.25, 6.25, 25.0, 100.0], 400)
    rng = np.random.default_rng(0)
    right = rng.random(contrast.size) < 1 / (1 + np.exp(-(contrast - 10) / 8))
    trials = pd.DataFrame({"signed_contrast": contrast, "choice": np.where(right, -1, 1)})
    fit = {k: v for k, v in fit_psychometric(trials).items() if k in FIT}
    features = psychometric_features(recordings("l", "r"), table(fit))["lateral_bias"]
    assert features.iloc[0] == pytest.approx(10, abs=3)
    assert features.iloc[1] == pytest.approx(-10, abs=3)


def test_sessions_without_a_fit_are_missing():
    features = psychometric_features(recordings("l", eid="b"), table(FIT))
    assert features.isna().all(axis=None)
    with pytest.raises(ValueError, match="slope are unknown"):
        psychometric_features(recordings("l"), table(FIT), ["slope"])
    assert list(psychometric_features(recordings("l"), table(FIT), ["threshold"])) == ["threshold"]
