"""Preprocessing by a list of steps, as scripts take it from ibl-photometry."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def double(values):
    return 2 * values


def minus(values, other):
    return values - other


def test_steps_are_called_in_their_order(session):
    (name,) = session.photometry["GCaMP"].columns
    t = np.arange(0, 120, 1 / 30)
    signal = pd.Series(np.sin(t), index=t)
    signal.iloc[600:900] = np.nan
    session.photometry = {
        "GCaMP": signal.to_frame(name),
        "Isosbestic": pd.DataFrame({name: np.full(len(t), 0.25)}, index=t + 0.01),
    }
    steps = [
        {"function": double, "inputs": ("signal",), "output": "doubled"},
        {"function": minus, "inputs": ("doubled", "reference"), "output": "result"},
    ]
    frame = session.preprocess(pipeline=steps)
    expected = (2 * signal - 0.25).reindex(frame.index, method="nearest", tolerance=1e-6)
    np.testing.assert_allclose(frame[name].iloc[:-1], expected.iloc[:-1], atol=1e-6)
    assert frame[name].iloc[650:850].isna().all()
    (recording,) = session.preprocessed().values()
    assert recording.attrs["pipeline"] == '["double", "minus"]'
    with pytest.raises(ValueError, match="reference_band is None"):
        session.preprocess(pipeline=steps, reference_band=None)
    plain = session.preprocess(pipeline=[{**steps[0], "output": "result"}], reference_band=None)
    np.testing.assert_allclose(plain[name].max(), 2, atol=1e-2)


def test_steps_that_do_not_fit_together_are_refused(session):
    for steps, text in (
        ([{"function": double, "inputs": ("signal",)}], "step 0 .* no .'output'."),
        ([{"function": double, "inputs": ("doubled",), "output": "result"}], "takes .'doubled'."),
        ([{"function": double, "inputs": ("signal",), "output": "other"}], "output 'result'"),
    ):
        with pytest.raises(ValueError, match=text):
            session.preprocess(pipeline=steps)


def test_a_list_of_the_library_is_stored_and_cut(session, tmp_path):
    from iblphotometry.pipelines import isosbestic_correction_pipeline

    (name,) = session.photometry["GCaMP"].columns
    frame = session.preprocess(pipeline=isosbestic_correction_pipeline)
    assert np.median(np.diff(frame.index)) == pytest.approx(1 / 30)
    assert {"bleaching_tau", "iso_correlation"} <= set(session.qc)
    session.extract_responses()
    session.save_h5(tmp_path / "session.h5")
    stored = type(session).from_h5(tmp_path / "session.h5", settings=session.settings)
    pd.testing.assert_frame_equal(
        stored.photometry["GCaMP_preprocessed"], frame, check_names=False, check_freq=False
    )
    ours = session.preprocess(output_band="ours")
    both = pd.concat([frame[name], ours[name]], axis=1).dropna()
    assert np.corrcoef(both.T)[0, 1] > 0.9


def test_velocities_that_are_assigned_as_an_array_are_stored(session, tmp_path):
    velocity = np.random.default_rng(0).normal(size=(len(session.trials), 50))
    session.wheel_velocity = velocity
    session.save_h5(tmp_path / "session.h5", groups=["metadata", "wheel"])
    stored = type(session).from_h5(tmp_path / "session.h5", settings=session.settings)
    np.testing.assert_allclose(stored.wheel_velocity[:, :10], velocity[:, :10], atol=1e-6)
    np.testing.assert_allclose(stored.wheel_velocity["time"], np.arange(50) / 100)
