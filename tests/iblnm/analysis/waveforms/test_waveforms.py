"""Effects over time against what is planted in signals, over animals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.settings_reads import watched
from bench.signal_cohort import CENTER, Noise, kernel, simulate_cohort

from iblnm.analysis.kernels.effects import kernel_effects
from iblnm.analysis.kernels.regression import fit_kernels
from iblnm.analysis.kernels.tables import KERNEL_EFFECTS
from iblnm.analysis.waveforms import ANALYSIS
from iblnm.analysis.waveforms.compute import infer_curves, waveform_inference
from iblnm.analysis.waveforms.figures import waveforms_figure
from iblnm.analysis.waveforms.regression import animal_curves
from iblnm.analysis.waveforms.tables import TABLES
from iblnm.config import Settings

pytestmark = pytest.mark.slow

SETTINGS = Settings(_env_file=None)
PLANTED = {
    "stimOn_times": {"Intercept": 0.02, "contrast": 0.006, "side": 0.01},
    "firstMovement_times": {"Intercept": 0.006},
    "feedback_times": {"Intercept": 0.02, "reward": 0.02, "contrast": -0.003},
}


@pytest.fixture(scope="module")
def effects():
    quiet = Noise(shot=0.003, slow=0.002, artifact=0.003)
    rows = []
    for recording in simulate_cohort(21, PLANTED, n_subjects=6, n_trials=200, noise=quiet):
        times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
        dff = z * recording.signal.attrs["sd"]
        (fit,) = fit_kernels(times, dff[None], recording.trials)
        found = kernel_effects(fit, recording.meta["hemisphere"], center=CENTER)
        for event, terms in found.items():
            for term, curve in terms.items():
                named = {name: recording.meta[name] for name in ("eid", "subject", "target_NM")}
                rows.append(
                    pd.DataFrame(
                        {
                            **named,
                            "fiber_idx": 0,
                            "event": event,
                            "term": term,
                            "time": fit.time,
                            "effect": curve,
                        }
                    )
                )
    return pd.concat(rows, ignore_index=True)


def test_mean_curves_are_the_planted_ones_and_the_rest_is_flat(effects):
    waveforms, tests = infer_curves(animal_curves(effects), SETTINGS)
    TABLES["waveforms"].validate(TABLES["waveforms"].conform(waveforms))
    for (event, term), own in waveforms.groupby(["event", "term"]):
        early = own[(own["time"] > 0.09) & (own["time"] < 0.34)]
        planted = PLANTED[event].get(term, 0.0)
        assert early["effect"].mean() == pytest.approx(planted, abs=0.0015), (event, term)
    feedback = waveforms[waveforms["event"] == "feedback_times"]
    reward = feedback[(feedback["term"] == "reward") & (feedback["time"] > 0)]
    shape = 0.02 * kernel(reward["time"].to_numpy())
    assert np.corrcoef(reward["effect"], shape)[0, 1] > 0.98
    assert ((reward["low"] <= reward["effect"]) & (reward["effect"] <= reward["high"])).all()
    tests = tests.set_index(["event", "term"])
    assert tests.loc[("feedback_times", "reward"), "p"] == pytest.approx(1 / 32)
    assert tests.loc[("stimOn_times", "contrast"), "p"] == pytest.approx(1 / 32)
    # where nothing is planted, although the stimulus had a side 0.4 s before
    assert tests.loc[("feedback_times", "side"), "p"] > 0.05
    assert (tests["p_corrected"] >= tests["p"]).all()
    # before the event nothing is tested
    assert feedback.loc[feedback["time"] <= 0, "p"].isna().all()


def test_fibers_count_within_sessions_and_sessions_within_animals():
    rows = pd.DataFrame(
        {
            "target_NM": "VTA-DA",
            "event": "stimOn_times",
            "term": "contrast",
            "subject": ["a", "a", "a", "b"],
            "eid": ["1", "1", "2", "3"],
            "fiber_idx": [0, 1, 0, 0],
            "time": 0.1,
            "effect": [1.0, 3.0, 6.0, 5.0],
        }
    )
    curves = animal_curves(rows).set_index("subject")["effect"]
    assert curves.to_dict() == {"a": 4.0, "b": 5.0}


def test_below_six_animals_there_are_curves_and_the_reason_only(effects):
    few = animal_curves(effects[effects["subject"] != "mouse_0"])
    waveforms, tests = infer_curves(few, SETTINGS)
    assert waveforms["effect"].notna().all()
    assert waveforms[["low", "high", "p"]].isna().all(axis=None)
    assert tests["p"].isna().all()
    assert tests["note"].eq("5 animals; with fewer than 6 no p under 0.05 is possible").all()
    figure = waveforms_figure(waveforms, few, event="stimOn_times", settings=SETTINGS)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "5 mice: too few for a band" in texts
    import matplotlib.pyplot as plt

    plt.close(figure)


def test_effects_are_compared_in_the_unit_of_the_cohort(effects):
    stored = KERNEL_EFFECTS.conform(effects.assign(signal_sd=0.02, n_trials=200))
    unknown = stored["eid"] == stored["eid"].iloc[0]
    stored.loc[unknown, "signal_sd"] = np.nan
    keys = ["event", "term", "time"]
    in_z = waveform_inference(stored, SETTINGS)
    expected, _ = infer_curves(animal_curves(effects), SETTINGS)
    merged = in_z.tables["waveforms"].merge(expected, on=keys, suffixes=("", "_expected"))
    np.testing.assert_allclose(merged["effect"], merged["effect_expected"])
    assert in_z.counts["used"] == in_z.counts["candidates"]
    assert in_z.counts["used"]["trials"] == 200 * effects["eid"].nunique()
    settings = Settings(_env_file=None, cohort={"unit": "dff"})
    in_dff = waveform_inference(stored, settings)
    assert in_dff.parameters["unit"] == "dff"
    assert in_dff.counts["used"]["recordings"] == in_z.counts["used"]["recordings"] - 1
    assert any(note.startswith("1 recording") for note in in_dff.notes)
    own = in_dff.tables["animal_waveforms"]
    merged = own.merge(in_z.tables["animal_waveforms"], on=["subject", *keys])
    whole = merged["subject"] != effects["subject"].iloc[0]
    np.testing.assert_allclose(merged["effect_x"][whole], 0.02 * merged["effect_y"][whole])


def test_the_settings_of_the_kernels_are_not_told_as_its_own(effects):
    """They may have been others when the kernels were fitted."""
    read = set()
    stored = KERNEL_EFFECTS.conform(effects.assign(signal_sd=0.02, n_trials=200))
    result = waveform_inference(stored, watched(SETTINGS, read.add))
    assert read == set(ANALYSIS.settings_read)
    assert not set(result.parameters) & {"window", "penalties", "n_folds", "baseline_window"}


def test_no_session_gives_empty_tables_and_a_note():
    result = waveform_inference(KERNEL_EFFECTS.empty(), SETTINGS)
    for stem, schema in TABLES.items():
        assert result.tables[stem].empty
        assert list(result.tables[stem]) == schema.names
    assert result.notes
