"""The document of a session: numbers as they are stored, reasons where there are none."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest

from iblnm.signal.perievent import mask_subsequent_events, subtract_baseline
from iblnm.storage.h5 import read_group
from iblnm.storage.store import SessionStore
from iblnm.viewer.conditions import groupings
from iblnm.viewer.document import stored_document
from iblnm.viewer.traces import read_traces
from iblnm.viewer.wire import unpack

pytestmark = pytest.mark.slow


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


@pytest.fixture
def make(viewed_settings):
    """Function that makes the document of a session and reads its blocks."""

    def document(eid):
        blocks = stored_document(SessionStore(viewed_settings), eid, viewed_settings).blocks
        return {name: unpack(block) for name, block in blocks.items()}

    return document


def test_signals_are_those_of_the_session_file(make, viewed_settings, eid):
    blocks = make(eid)
    panel = blocks["fiber-0"]["panels"]["preprocessed"]
    name = blocks["session"]["recordings"][0]["name"]
    stored = read_group(viewed_settings.sessions_h5_dir / f"{eid}.h5", "photometry/preprocessed")
    signal = stored[name]["signal"].to_numpy()
    step = (np.nanmax(signal) - np.nanmin(signal)) / 16_000
    low, high = panel["series"]["z"]["low"], panel["series"]["z"]["high"]
    assert np.nanmax(high) == pytest.approx(np.nanmax(signal), abs=step)
    assert np.nanmin(low) == pytest.approx(np.nanmin(signal), abs=step)
    assert panel["correction"] == stored[name].attrs["correction"]
    assert panel["edge"][0][1] - panel["edge"][0][0] == pytest.approx(50, abs=0.1)


def test_means_are_those_of_the_pipeline(make, viewed_settings, eid):
    blocks = make(eid)
    panel = blocks["fiber-0"]["panels"]["responses"]
    recording = blocks["session"]["recordings"][0]
    path = viewed_settings.sessions_h5_dir / f"{eid}.h5"
    responses = read_group(path, "photometry/responses")[recording["name"]]
    trials = read_group(path, "trials")
    prepared = mask_subsequent_events(subtract_baseline(responses), trials)
    contrast = groupings(trials, None)[0]
    group = next(g for g in panel["groupings"] if g["name"] == "contrast")
    for i in range(len(contrast.labels)):
        values = prepared.sel(event="feedback_times").to_numpy()[contrast.members == i]
        expected = np.nanmean(values, axis=0)
        event = panel["events"].index("feedback_times")
        np.testing.assert_allclose(group["mean"][event, 1, 1, i], expected, atol=2e-3)
        assert group["n"][event][i] == len(values)
    # what the page subtracts is what the pipeline subtracts
    raw = responses.to_numpy() - panel["baseline"][..., None]
    np.testing.assert_allclose(raw, subtract_baseline(responses).to_numpy(), atol=2e-3)


def test_fitted_reference_leaves_what_preprocessing_leaves(make, viewed_settings, eid):
    """At every sample (signal − fitted) / trend is the corrected dF/F."""
    import asyncio

    from iblnm.viewer.sessions import OpenSessions

    opened = OpenSessions(viewed_settings)
    document = stored_document(SessionStore(viewed_settings), eid, viewed_settings)
    opened._kept[eid] = (document.stamp, document.blocks)
    sources = asyncio.run(opened.sources(eid, 0))
    traces = read_traces(sources, 100.0, 400.0)
    times, signal = traces["GCaMP"]
    left = (signal - traces["fitted reference"][1]) / traces["GCaMP trend"][1]
    z_times, z = traces["z"]
    panel = unpack(document.blocks["fiber-0"])["panels"]["preprocessed"]
    dff = np.interp(times, z_times, z * panel["sd"] + panel["mean"])
    inside = slice(30, -30)
    assert np.corrcoef(left[inside], dff[inside])[0, 1] > 0.99
    assert np.abs(left - dff)[inside].mean() < 0.1 * np.std(dff)


def test_a_missing_archive_is_said_and_the_rest_is_shown(make, viewed_settings, eid):
    path = viewed_settings.root / "data" / "photometry" / f"{eid}.pqt"
    table = pd.read_parquet(path).assign(signal_path="/not/mounted/alf/photometry.signal.pqt")
    table.to_parquet(path)
    panels = make(eid)["fiber-0"]["panels"]
    assert "/not/mounted" in panels["raw"]["missing"]
    assert "mount it" in panels["raw"]["missing"]
    assert panels["preprocessed"]["series"]["z"]["low"].size > 100


def test_a_damaged_session_file_is_named(make, viewed_settings, eid):
    path = viewed_settings.sessions_h5_dir / f"{eid}.h5"
    path.write_bytes(path.read_bytes()[:20_000])
    blocks = make(eid)
    assert "cannot be read" in blocks["session"]["missing"]["responses"]
    assert "cannot be read" in blocks["fiber-0"]["panels"]["responses"]["missing"]
    assert blocks["session"]["facts"]["subject"]


def test_without_trials_signals_are_shown(make, viewed_settings, eid):
    path = viewed_settings.sessions_h5_dir / f"{eid}.h5"
    with h5py.File(path, "a") as file:
        del file["trials"]
        for region in file["photometry"].values():
            del region["responses"]
    blocks = make(eid)
    assert "trials" in blocks["session"]["events"]["missing"]
    assert "trials" in blocks["fiber-0"]["panels"]["responses"]["missing"]
    assert blocks["fiber-0"]["panels"]["raw"]["series"]["GCaMP"]["low"].size > 100


def test_a_session_that_was_only_listed(make, viewed_settings, eid):
    (viewed_settings.sessions_h5_dir / f"{eid}.h5").unlink()
    (viewed_settings.root / "data" / "photometry" / f"{eid}.pqt").unlink()
    blocks = make(eid)
    assert "not made yet" in blocks["session"]["missing"]["photometry"]
    assert blocks["session"]["recordings"]


def test_fifteen_fibers(make, viewed_settings, eid):
    path = viewed_settings.root / "metadata" / "sessions" / f"{eid}.pqt"
    from iblnm.schemas import SESSIONS
    from iblnm.storage import read_table, write_table

    row = SESSIONS.restore(read_table(path))
    names = [f"R{i}" for i in range(15)]
    for column in ("brain_region", "recording_name", "hemisphere", "target_NM", "roi"):
        row[column] = pd.Series([names], index=row.index, dtype=object)
    row["n_recordings"] = 15
    write_table(row, path, SESSIONS)
    blocks = make(eid)
    assert [f"fiber-{i}" in blocks for i in range(15)] == [True] * 15
    assert "no preprocessed signal of R3" in blocks["fiber-3"]["panels"]["preprocessed"]["missing"]


def _count_trials(contents, packer, axis, recording):
    return {"columns": ["trials"], "rows": [[len(contents.need("trials"))]]}


def _nothing(contents, packer, axis, recording):
    return {"columns": ["n"], "rows": [[len(contents.need("own_stage"))]]}


def test_a_declared_stage_shows_itself_by_its_panels(make, monkeypatch, viewed_settings, eid):
    """A stage that nobody knows, with a panel of the session and one of each fiber."""
    from iblnm.pipeline import stages
    from iblnm.pipeline.stage import Result, Stage
    from iblnm.viewer.panel import Panel

    stage = Stage(
        "own_stage",
        lambda trials: Result(None),
        group="own_group",
        table=stages.PERFORMANCE,
        folder="data/own",
        panels=(
            Panel("own", "Own", "table", "session", _count_trials),
            Panel("own_fiber", "Own of the fiber", "table", "fiber", _nothing),
        ),
    )
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, stage))
    blocks = make(eid)
    head, fiber = blocks["session"], blocks["fiber-0"]["panels"]
    assert head["panels"]["own"]["rows"] == [[head["trials"]["n"]]]
    assert "own_stage was not made yet" in fiber["own_fiber"]["missing"]
    places = {entry["name"]: entry for entry in head["order"]}
    assert list(places)[-2:] == ["own", "own_fiber"]
    assert (places["own"]["stage"], places["own"]["group"]) == ("own_stage", "own_group")
    assert places["own"]["kind"] == "table"
    # the others are those of their stages
    assert {name: entry["stage"] for name, entry in places.items() if name in fiber} == {
        "raw": "photometry",
        "preprocessed": "preprocessed",
        "responses": "responses",
        "quality": "photometry_qc",
        "own_fiber": "own_stage",
    }


def test_a_root_of_other_stages_has_the_pages_of_those(make, eid):
    """The data layers have no trials and no fibers; their pages say what they have."""
    from iblnm.pipeline.groups import DATA_LAYERS, run_group

    with run_group(DATA_LAYERS):
        head = make(eid)["session"]
    assert head["events"]["missing"] == "The stages that this root runs make no trials."
    assert head["order"] == []
    assert set(head["missing"]) >= {"units", "spikes"}


def test_a_document_is_stale_when_a_file_changes(viewed_settings, eid, tmp_path):
    from iblnm.viewer.stamp import stamp_of

    first = stamp_of(viewed_settings.root, eid)
    path = viewed_settings.sessions_h5_dir / f"{eid}.h5"
    shutil.copy(path, tmp_path / "copy.h5")
    (tmp_path / "copy.h5").replace(path)
    assert stamp_of(viewed_settings.root, eid) != first
