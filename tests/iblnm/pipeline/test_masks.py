"""Masks of the labels in the stages of a session."""

import numpy as np
import pytest

from iblnm.pipeline.graph import find_stage
from iblnm.pipeline.label_rows import add_row, read_rows, remove_row
from iblnm.pipeline.masks import masked_windows, sessions_with_other_masks
from iblnm.storage import read_group, write_groups
from iblnm.storage.store import SessionStore


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


def _mask(eid, fiber, t0, t1):
    row = {"eid": eid, "fiber_idx": fiber, "verdict": "mask", "t0": t0, "t1": t1}
    return {**row, "who": "me", "when": "2026-11-21", "why": "cable"}


def test_a_mask_of_the_session_is_one_of_every_fiber(tmp_path, eid):
    path = tmp_path / "labels.csv"
    for fiber, t0 in ((None, 10), (1, 5), (1, 20)):
        add_row(path, _mask(eid, fiber, t0, t0 + 1))
    rows = read_rows(path)
    found = masked_windows(rows, eid, {"A": 0, "B": 1})
    assert found == {"A": [(10, 11)], "B": [(5, 6), (10, 11), (20, 21)]}
    assert masked_windows(rows, "x", {"A": 0}) == {"A": []}


@pytest.mark.slow
def test_a_mask_goes_through_the_stages_and_the_session_is_due_until_then(viewed_settings, eid):
    settings, store = viewed_settings, SessionStore(viewed_settings)
    assert sessions_with_other_masks(settings) == []
    first = store.load("trials", eid)["stimOn_times"].iloc[20]
    add_row(settings.labels_fpath, _mask(eid, 0, first, first + 0.5))
    assert sessions_with_other_masks(settings) == [eid]

    values = {name: store.load(name, eid) for name in ("photometry", "trials")}
    made = find_stage("preprocessed").run(values, settings=settings)
    assert made.numbers["masked windows"] == 1
    values["preprocessed"] = made.value
    responses = find_stage("responses").run(values, settings=settings)
    path = store.h5_path(eid)
    groups = {"photometry/preprocessed": made.value, "photometry/responses": responses.value}
    write_groups(path, groups, made.provenance)

    name = next(iter(made.value))
    stored = read_group(path, "photometry/responses")[name]
    assert stored["masked_share"].sel(event="stimOn_times")[20] == pytest.approx(0.25, abs=0.03)
    assert (stored["masked_share"][:, 40:] == 0).all()
    preprocessed = read_group(path, "photometry/preprocessed")[name]
    assert preprocessed["masked"].dtype == bool
    assert 14 <= preprocessed["masked"].sum() <= 16
    assert sessions_with_other_masks(settings) == []
    remove_row(settings.labels_fpath, _mask(eid, 0, first, first + 0.5))
    assert sessions_with_other_masks(settings) == [eid]


@pytest.mark.slow
def test_the_library_masks_as_the_pipeline_does(viewed_settings, eid):
    from iblnm.archive import connect
    from iblnm.data import PhotometrySession

    add_row(viewed_settings.labels_fpath, _mask(eid, None, 100.0, 103.0))
    one = connect(viewed_settings)
    ps = PhotometrySession({"eid": eid}, one=one, settings=viewed_settings).from_alyx()
    ps.load_trials()
    ps.load_photometry()
    frame = ps.preprocess()
    reference = SessionStore(viewed_settings).load("photometry", eid)
    made = find_stage("preprocessed").run({"photometry": reference}, settings=viewed_settings)
    for name, recording in made.value.items():
        np.testing.assert_array_equal(frame[name], recording["signal"])
        assert np.isnan(frame[name].loc[100.0:103.0]).all()
    assert ps.extract_responses()[name]["masked_share"].max() > 0
