"""Whatever state a session is in: what there is is shown, what is missing is said, and why.

The live page and the report draw the same document, which is asked here for both.
"""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from iblnm.pipeline.graph import find_stage
from iblnm.pipeline.outcomes import Attempt, open_outcomes
from iblnm.schemas import SESSIONS
from iblnm.storage import read_table, write_groups, write_table
from iblnm.storage.store import SessionStore
from iblnm.viewer.document import stored_document
from iblnm.viewer.report import read_report, report_path, save_report
from iblnm.viewer.wire import unpack

pytestmark = pytest.mark.slow
SIGNAL = "photometry/preprocessed"


@pytest.fixture
def settings(viewed_settings):
    return viewed_settings


@pytest.fixture
def eid(small_archive):
    return small_archive[1]["sessions"][0]["eid"]


@pytest.fixture
def shown(settings, eid):
    """Function that reads what the report shows, the same as the live page: head and fiber."""

    def read():
        store = SessionStore(settings)
        try:
            row = store.load("session", eid)
        except ValueError:
            row = pd.DataFrame([{"eid": eid}])
        page = find_stage("session_report").run({"session": row}, eid=eid, settings=settings).value
        _, blocks = read_report(save_report(page, report_path(settings.root, eid)))
        assert blocks == stored_document(store, eid, settings).blocks
        return unpack(blocks["session"]), unpack(blocks["fiber-0"])["panels"]

    return read


def _path(settings, eid):
    return settings.sessions_h5_dir / f"{eid}.h5"


def _forget(settings, eid, *groups):
    """Take groups out of the session file."""
    write_groups(_path(settings, eid), dict.fromkeys(groups))


def _never_recorded(settings, eid, *words):
    """Take datasets out of what the archive lists."""
    path = settings.metadata_dir / "sessions" / f"{eid}.pqt"
    row = SESSIONS.restore(read_table(path))
    listed = [name for name in row["datasets"].iloc[0] if not any(word in name for word in words)]
    row["datasets"] = pd.Series([listed], index=row.index, dtype=object)
    write_table(row, path, SESSIONS)


def test_without_trials(settings, eid, shown):
    _forget(settings, eid, "trials", "photometry/responses", "wheel")
    (settings.root / "data" / "performance" / f"{eid}.pqt").unlink()
    _never_recorded(settings, eid, "trials", "wheel", "raw_behavior", "raw_task", "taskData")
    head, fiber = shown()
    reason = "The archive lists no trials for this session, extracted or raw."
    assert head["events"]["missing"] == reason
    assert head["panels"]["psychometric"]["missing"] == reason
    assert head["panels"]["wheel"]["missing"].startswith("The archive lists no wheel")
    assert fiber["responses"]["missing"] == f"It is made from trials. {reason}"
    assert fiber["raw"]["series"]["GCaMP"]["low"].size > 100
    assert fiber["preprocessed"]["series"]["z"]["low"].size > 100


def test_without_isosbestic(settings, eid, shown):
    values = {name: SessionStore(settings).load(name, eid) for name in ("session", "photometry")}
    reference = values["photometry"]
    frames = pd.read_parquet(reference["signal_path"].iloc[0])
    path = settings.root / "one_band.pqt"
    frames[frames["name"] != "Isosbestic"].to_parquet(path)
    reference["signal_path"], reference["signal_size"] = str(path), path.stat().st_size
    reference["bands"] = [["GCaMP"]] * len(reference)
    stage = find_stage("photometry")
    write_table(reference, settings.root / stage.folder / f"{eid}.pqt", stage.table)
    for name in ("photometry_qc", "preprocessed"):
        values[name] = find_stage(name).run(values, eid=eid, settings=settings).value
    write_groups(
        _path(settings, eid),
        {"photometry/qc": values["photometry_qc"], SIGNAL: values["preprocessed"]},
    )
    head, fiber = shown()
    assert set(fiber["raw"]["series"]) == {"GCaMP", "GCaMP trend"}
    assert "No isosbestic band was recorded" in fiber["raw"]["note"]
    assert fiber["preprocessed"]["correction"] == "signal_only"
    assert fiber["preprocessed"]["series"]["z"]["low"].size > 100
    assert fiber["quality"]["columns"] == ["metric", "GCaMP", "unit", "meaning"]
    outcomes = {check["name"]: check["outcome"] for check in head["checks"]}
    assert outcomes["missing_isosbestic"] == "warn"


def test_blocked(settings, eid, shown):
    message = "42 trials; at least 90 are needed."
    _forget(settings, eid, "photometry/responses", "wheel")
    attempts = [
        Attempt(eid, name, "blocked", "insufficient_trials", message)
        for name in ("responses", "wheel_velocity")
    ]
    open_outcomes(settings).insert_attempts(attempts)
    head, fiber = shown()
    reason = f"Stopped by the check insufficient_trials: {message}"
    assert fiber["responses"]["missing"] == reason
    assert head["panels"]["wheel"]["missing"] == reason
    assert head["panels"]["psychometric"]["blocks"]
    assert fiber["preprocessed"]["series"]["z"]["low"].size > 100
    assert head["failures"] == []


def test_blocked_by_what_is_stored_where_no_run_is_known(settings, eid, shown):
    _forget(settings, eid, "photometry/responses")
    path = _path(settings, eid)
    with h5py.File(path, "a") as file:
        choice = file["trials/choice"]
        choice[:] = -choice[:]
    _, fiber = shown()
    assert fiber["responses"]["missing"].startswith("Stopped by the check choice_sign:")


def test_failed(settings, eid, shown):
    _forget(settings, eid, SIGNAL, "photometry/responses", "photometry/qc")
    (settings.root / "data" / "photometry" / f"{eid}.pqt").unlink()
    message = f"session {eid}, photometry.signal.pqt: 9000 bytes on disk, 677788 expected"
    attempt = Attempt(eid, "photometry", "failed", "UnreadableFileError", message, "Traceback …")
    open_outcomes(settings).record_attempt(attempt)
    head, fiber = shown()
    told = "photometry.signal.pqt: 9000 bytes on disk, 677788 expected"
    reason = f"The latest run of photometry failed: UnreadableFileError: {told}"
    assert fiber["raw"]["missing"] == reason
    assert fiber["preprocessed"]["missing"] == f"It is made from photometry. {reason}"
    assert head["failures"] == [
        {"asset": "photometry", "error_type": "UnreadableFileError", "error_message": told}
    ]
    assert len(head["events"]["stimOn_times"]["times"])


def test_half_processed(settings, eid, shown):
    _forget(settings, eid, SIGNAL, "photometry/responses")
    head, fiber = shown()
    reason = "The asset preprocessed was not made yet for this session: run iblnm batch --missing."
    assert fiber["preprocessed"]["missing"] == reason
    assert fiber["responses"]["missing"] == f"It is made from preprocessed. {reason}"
    assert "The reference is not fitted: " + reason == fiber["raw"]["note"]
    assert fiber["raw"]["series"]["Isosbestic"]["low"].size > 100
    assert fiber["quality"]["rows"]
    assert head["panels"]["wheel"]["groups"]
    assert set(head["missing"]) >= {"preprocessed", "responses"}


def test_gone_after_it_was_made(settings, eid, shown):
    _forget(settings, eid, "wheel")
    open_outcomes(settings).record_attempt(Attempt(eid, "wheel_velocity", "stored"))
    head, _ = shown()
    reason = "The asset wheel_velocity is no longer in its file; run the session again."
    assert head["panels"]["wheel"]["missing"] == reason


@pytest.mark.parametrize(
    ("place", "asset"),
    [
        ("metadata/sessions/{eid}.pqt", "session"),
        ("data/photometry/{eid}.pqt", "photometry"),
        ("data/performance/{eid}.pqt", "performance"),
        ("data/sessions/{eid}.h5", "preprocessed"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_shown(settings, eid, shown, place, asset):
    place = place.format(eid=eid)
    path = settings.root / place
    path.write_bytes(path.read_bytes()[:1_000])
    head, fiber = shown()
    assert head["missing"][asset].startswith(f"The file {place} cannot be read (")
    assert head["missing"][asset].endswith("run the session again.")
    has_raw, has_z = "missing" not in fiber["raw"], "missing" not in fiber["preprocessed"]
    assert has_raw == (asset != "photometry")
    assert has_z == (asset != "preprocessed")
    assert ("missing" in head["events"]) == (asset == "preprocessed")


def test_a_damaged_file_of_the_archive_is_named(settings, eid, shown):
    path = settings.root / "data" / "photometry" / f"{eid}.pqt"
    damaged = settings.root / "photometry.signal.pqt"
    damaged.write_bytes(b"PAR1" + bytes(100))
    pd.read_parquet(path).assign(signal_path=str(damaged)).to_parquet(path)
    _, fiber = shown()
    assert fiber["raw"]["missing"].startswith(f"The archive's file {damaged} cannot be read:")
    assert np.isfinite(fiber["preprocessed"]["series"]["z"]["low"]).any()


def test_a_damaged_store_of_outcomes_hides_nothing(settings, eid, shown):
    (settings.metadata_dir / "outcomes.sqlite").write_bytes(b"no database" * 100)
    _forget(settings, eid, "wheel")
    head, fiber = shown()
    assert "was not made yet" in head["panels"]["wheel"]["missing"]
    assert fiber["preprocessed"]["series"]["z"]["low"].size > 100


def test_an_archive_that_is_gone_since_the_report_is_told_when_one_zooms(settings, eid, shown):
    """What the report holds is shown; for single samples the file is missing, and is named."""
    import asyncio

    from iblnm.errors import MissingFileError
    from iblnm.viewer.sessions import OpenSessions
    from iblnm.viewer.traces import read_what_there_is

    path = settings.root / "data" / "photometry" / f"{eid}.pqt"
    table = pd.read_parquet(path)
    mounted = settings.root / "mounted.pqt"
    mounted.write_bytes(Path(table["signal_path"].iloc[0]).read_bytes())
    table.assign(signal_path=str(mounted)).to_parquet(path)
    _, fiber = shown()
    mounted.unlink()
    sources = asyncio.run(OpenSessions(settings).sources(eid, 0))
    traces, problem = read_what_there_is(sources, 100.0, 110.0)
    assert list(traces) == ["z"]
    assert len(traces["z"][0]) == pytest.approx(300, abs=2)
    assert problem == "mounted.pqt: no such file"
    _path(settings, eid).unlink()
    with pytest.raises(MissingFileError, match="no such file"):
        read_what_there_is(sources, 100.0, 110.0)
    assert fiber["raw"]["series"]["GCaMP"]["low"].size > 100
