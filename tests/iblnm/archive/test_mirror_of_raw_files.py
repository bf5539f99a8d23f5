"""What a mirror copies of a session that was not extracted yet."""

import pytest
from bench.alyx import AlyxServer, from_archive
from bench.raw_session import RawArchive
from pydantic import SecretStr

from iblnm.archive import connect
from iblnm.archive.mirror import mirror_sessions
from iblnm.archive.mirror_copy import _of_all_tasks
from iblnm.archive.remote import open_remote
from iblnm.archive.sessions import fetch_session
from iblnm.config import Settings
from iblnm.io.trials import load_trials_table
from iblnm.pipeline.stages import photometry_reference


def settings_of(server, folder):
    return Settings(
        root=folder / "remote",
        one_mode="remote",
        one_cache_dir=folder / "downloads",
        alyx_url=server.url,
        alyx_user="demo",
        alyx_password=SecretStr(server.password),
        data_server=f"{server.url}/data",
    )


@pytest.mark.slow
def test_what_is_not_extracted_is_mirrored_with_what_it_is_made_from(tmp_path):
    recorded = RawArchive(tmp_path / "recorded")
    with AlyxServer(from_archive(recorded.folder), recorded.folder) as server:
        remote = open_remote(settings_of(server, tmp_path))
        report = mirror_sessions(remote, [recorded.eid], tmp_path / "mirror", datasets=True)
    assert report.failures == {}
    settings = Settings(root=tmp_path / "local", one_cache_dir=tmp_path / "mirror")
    local = connect(settings)
    trials = load_trials_table(local, recorded.eid)
    assert trials.attrs["source"] == "raw"
    assert trials["firstMovement_times"].notna().mean() > 0.9
    row = fetch_session(local, recorded.eid, settings).iloc[0]
    reference = photometry_reference(local, row, settings).value
    assert reference["clock"].eq("session").all()


def test_raw_files_are_not_fetched_beside_extracted_ones():
    raw = [
        "raw_photometry_data/_neurophotometrics_fpData.digitalInputs.pqt",
        "raw_task_data_00/_iblrig_encoderEvents.raw.ssv",
        "raw_task_data_00/_iblrig_taskData.raw.jsonable",
        "raw_task_data_01/_iblrig_taskData.raw.jsonable",
    ]
    task = ["alf/task_00/_ibl_trials.table.pqt"]
    wheel = [f"alf/task_00/_ibl_wheel.{name}.npy" for name in ("position", "timestamps")]
    signal = ["alf/photometry/photometry.signal.pqt"]

    def fetched(listed):
        return {name for wanted in _of_all_tasks(listed) for name in wanted if name in raw}

    assert fetched([*raw, *task, *wheel, *signal]) == set()
    assert fetched([*raw, *task, *wheel]) == {raw[0]}
    assert fetched([*raw, *task, *signal]) == set(raw[1:3])
    assert fetched(raw) == set(raw)
