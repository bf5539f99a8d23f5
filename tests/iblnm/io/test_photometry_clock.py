"""Raw frames on a camera that drifts are put on the clock of the trials: the planted one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.raw_session import Opened

from iblnm.demo import draft, raw_task
from iblnm.demo.draft import PULSE_JITTER_S
from iblnm.io.digital_inputs import read_pulses
from iblnm.pipeline import stages
from iblnm.pipeline.rules import RULES

RULE = RULES["imprecise_synchronization"]


def reference_of(opened: Opened) -> pd.DataFrame:
    return stages.photometry_reference(opened.one, opened.row, opened.settings).value


def responses_of(opened: Opened):
    """Value and note of the responses, through all stages."""
    one, row, settings = opened.one, opened.row, opened.settings
    trials = stages.trials_table(one, row, settings).value
    photometry = stages.photometry_reference(one, row, settings).value
    preprocessed = stages.preprocessed_signal(photometry, settings).value
    made = stages.peri_event_responses(preprocessed, trials, settings)
    return made, preprocessed


@pytest.fixture(scope="module", params=[False, True], ids=["version 5", "version 2"])
def raw_only(request, tmp_path_factory) -> Opened:
    return Opened(tmp_path_factory.mktemp("raw_only"), is_old=request.param)


@pytest.mark.slow
def test_the_planted_drift_and_offset_are_found(raw_only):
    reference = reference_of(raw_only)
    first = reference.iloc[0]
    frames = raw_only.draft.frames
    slope = 1 / (1 + raw_task.DRIFT_PPM * 1e-6)
    assert first["source"] == "raw"
    assert first["clock"] == "session"
    assert pd.isna(first["sync_note"])
    assert first["sync_drift_ppm"] == pytest.approx((slope - 1) * 1e6, abs=0.5)
    assert first["sync_residual_s"] == pytest.approx(PULSE_JITTER_S, rel=0.2)
    assert first["sync_n_matched"] == first["sync_n_events"] > 2 * len(raw_only.draft.trials)
    # the first frame is dropped; all others are where they were in the session
    at_start = (frames.raw_times[0]) * slope + first["sync_offset_s"]
    assert at_start == pytest.approx(frames.times[0], abs=2e-3)
    assert first["task_start_s"] == pytest.approx(raw_only.draft.trials["intervals_0"].iloc[0])
    assert first["missing_share"] == 0


@pytest.mark.slow
def test_samples_are_where_they_were_taken(raw_only):
    from iblnm.io.photometry import load_photometry

    bands = load_photometry(reference_of(raw_only), restrict=False)
    frames = raw_only.draft.frames
    for band, frame in bands.items():
        taken = frames.times[1:][frames.band[1:] == band]
        assert len(frame) == len(taken)
        assert np.abs(frame.index.to_numpy() - taken).max() < 5e-4


@pytest.mark.slow
def test_responses_are_those_of_the_extracted_session(raw_only):
    made, preprocessed = responses_of(raw_only)
    assert made.value is not None, made.note
    first = next(iter(preprocessed.values()))
    assert first.attrs["source"] == "raw"
    assert first.attrs["sync_residual_s"] == pytest.approx(PULSE_JITTER_S, rel=0.2)
    assert "sync_note" not in first.attrs
    from iblnm.signal.perievent import extract_responses

    settings, truth = raw_only.settings, raw_only.draft
    for name, values in made.value.items():
        assert values.attrs["source"] == "raw"
        signal = preprocessed[name]["signal"].to_series()
        again = extract_responses(
            signal.index.to_numpy(),
            signal.to_numpy(),
            truth.trials,
            events=["feedback_times"],
            window=settings.signal.response_window,
            fs=settings.signal.fs,
            region=name,
        )
        np.testing.assert_allclose(
            values.sel(event="feedback_times"), again[0], atol=1e-3, equal_nan=True
        )


def test_the_rule_passes_with_value_limit_and_drift(raw_only):
    found = RULE.evaluate(raw_only.settings, reference=reference_of(raw_only))
    assert found.passed
    assert found.evaluated
    assert found.value == pytest.approx(PULSE_JITTER_S, rel=0.2)
    assert found.limit == 0.005
    assert found.metadata["drift [ppm]"] == pytest.approx(-raw_task.DRIFT_PPM, abs=0.5)


@pytest.mark.slow
def test_extracted_trials_serve_where_only_the_signal_was_not_extracted(tmp_path):
    opened = Opened(tmp_path, omitted=("alf/photometry/*",))
    first = reference_of(opened).iloc[0]
    assert (first["source"], first["clock"]) == ("raw", "session")
    assert first["sync_drift_ppm"] == pytest.approx(-raw_task.DRIFT_PPM, abs=0.5)
    rewards = (opened.draft.trials["feedbackType"] == 1).sum()
    assert first["sync_n_events"] == len(opened.draft.trials) + rewards


@pytest.mark.slow
def test_jitter_above_the_limit_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(draft, "PULSE_JITTER_S", 9e-3)
    opened = Opened(tmp_path)
    reference = reference_of(opened)
    found = RULE.evaluate(opened.settings, reference=reference)
    assert not found.passed
    assert found.severity == "WARN"
    assert found.value == pytest.approx(9e-3, rel=0.15)
    assert "at most 5 ms" in found.message
    assert reference["clock"].eq("session").all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "lists no digital inputs"),
        (lambda path: path.write_bytes(b"PAR1"), "digitalInputs.pqt"),
        (
            lambda path: (
                pd.read_parquet(path)
                .assign(SystemTimestamp=lambda d: d.SystemTimestamp.iloc[0] + d.index * 1.618)
                .to_parquet(path)
            ),
            "have a pulse",
        ),
        (lambda path: pd.read_parquet(path).iloc[:6].to_parquet(path), "at least 10"),
        (
            lambda path: pd.read_parquet(path).drop(columns="Channel").to_parquet(path),
            "cannot take the digital inputs",
        ),
    ],
    ids=["none", "damaged", "another session's", "few", "unknown version"],
)
def test_where_the_clocks_cannot_be_joined_responses_are_missing_and_say_why(
    tmp_path, damage, words
):
    opened = Opened(tmp_path)
    path = next(opened.archive.session.rglob("*digitalInputs*"))
    damage(path)
    opened.archive.register_anew()
    opened.open()
    made, preprocessed = responses_of(opened)
    reference = reference_of(opened)
    assert reference["clock"].eq("camera").all()
    assert words in reference["sync_note"].iloc[0]
    assert reference[["sync_offset_s", "sync_residual_s", "task_start_s"]].isna().all(axis=None)
    assert made.value is None
    assert words in made.note
    assert len(preprocessed) == len(opened.draft.fibers)
    found = RULE.evaluate(opened.settings, reference=reference)
    assert not found.evaluated
    assert words in found.message


@pytest.mark.slow
def test_a_rig_that_is_not_the_session_s_clock_is_not_compared_with_it(tmp_path):
    opened = Opened(tmp_path, omitted=("alf/*_ibl_trials.table.pqt",))
    path = opened.archive.session / "_ibl_experiment.description.yaml"
    path.write_text(path.read_text().replace("  bpod:\n", "  nidq:\n"))
    opened.archive.register_anew()
    opened.open()
    made, _ = responses_of(opened)
    assert made.value is None
    assert made.note == (
        "the signal is on the clock of the session, the trials on that of the bpod"
    )
    assert reference_of(opened)["task_start_s"].isna().all()


def test_pulses_of_both_channels_are_told_apart(raw_only):
    path = next(raw_only.archive.session.rglob("*digitalInputs*"))
    pulses = read_pulses(path)
    n = len(raw_task._pulse_times(raw_only.draft.trials))
    assert len(pulses[0]) == n
    assert set(pulses) == ({0} if raw_only.draft.plan.is_old_layout else {0, 1})


@pytest.mark.slow
def test_the_channel_that_the_description_names_is_the_one_that_is_used(tmp_path):
    opened = Opened(tmp_path)
    path = opened.archive.session / "_ibl_experiment.description.yaml"
    text = path.read_text()
    for channel, clock in ((raw_task.SYNC_CHANNEL, "session"), (1, "camera")):
        words = f"  neurophotometrics:\n    sync_channel: {channel}\n"
        path.write_text(text.replace("  neurophotometrics:\n", words))
        opened.archive.register_anew()
        opened.open()
        assert reference_of(opened)["clock"].eq(clock).all()


@pytest.mark.slow
def test_the_session_object_goes_the_same_way(raw_only):
    from iblnm.data import PhotometrySession

    ps = PhotometrySession(
        {"eid": raw_only.eid}, one=raw_only.one, settings=raw_only.settings
    ).from_alyx()
    ps.load_trials()
    ps.load_photometry()
    ps.run_sliding_qc()
    ps.preprocess()
    ps.load_wheel()
    velocity = ps.extract_wheel_velocity()
    responses = ps.extract_responses()
    assert ps.trials.attrs["source"] == velocity.attrs["source"] == "raw"
    assert set(ps.qc["source"]) == {"raw"}
    assert {values.attrs["source"] for values in responses.values()} == {"raw"}
    made, _ = responses_of(raw_only)
    for name, values in made.value.items():
        ours = responses[name].sel(event=values["event"].to_numpy())
        np.testing.assert_allclose(ours, values, atol=1e-9, equal_nan=True)
