"""The logs of stages that scripts attach to the catalog."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.pipeline.graph import all_stages
from iblnm.pipeline.stage_logs import LOGS, stage_logs, write_stage_logs
from iblnm.schemas import ERRORS
from iblnm.util import LOG_COLUMNS, collect_session_errors

ROWS = [
    ("a", "InvalidStrain", "session", "WARN", "query_database"),
    ("a", "BandInversion", "photometry_qc", "BLOCK", "photometry"),
    ("b", "InsufficientTrials", "trials", "BLOCK", "task"),
    ("b", "PsychometricAtBound", "performance", "WARN", "task"),
    ("b", "MalformedFileError", "wheel_velocity", "FAILURE", "wheel"),
    ("c", "VideoLengthError", "video_qc", "WARN", "video"),
    ("c", "TrueDuplicateSession", "sessions", "WARN", "query_database"),
]


@pytest.fixture
def errors():
    columns = ["eid", "error_type", "asset", "severity", "log"]
    return pd.DataFrame(ROWS, columns=columns).assign(error_message="why", traceback=None)


def test_each_error_is_in_the_log_of_its_stage(errors):
    logs = stage_logs(ERRORS.conform(errors))
    assert {
        (row.eid, row.error_type, log) for log, table in logs.items() for row in table.itertuples()
    } == {(eid, kind, log) for eid, kind, _, _, log in ROWS}
    assert all(table.columns.tolist() == LOG_COLUMNS for table in logs.values())


def test_every_stage_that_can_fail_has_a_log():
    names = [stage.name for stage in all_stages() if not stage.is_page]
    errors = pd.DataFrame({"asset": names, "eid": "a", "error_type": "x"})
    logs = stage_logs(ERRORS.conform(errors))
    assert sum(map(len, logs.values())) == len(names)


def test_a_script_attaches_the_logs_and_the_filter_obeys_them(errors, tmp_path, monkeypatch):
    from iblnm import config

    settings = Settings(_env_file=None, root=tmp_path)
    assert len(write_stage_logs(ERRORS.conform(errors), settings)) == len(LOGS) == 5
    monkeypatch.setattr(config, "get_settings", lambda: settings)
    paths = [
        config.QUERY_DATABASE_LOG_FPATH,
        config.PHOTOMETRY_LOG_FPATH,
        config.TASK_LOG_FPATH,
        config.WHEEL_LOG_FPATH,
        config.VIDEO_LOG_FPATH,
    ]
    sessions = pd.DataFrame({"eid": list("abc"), "subject": list("abc")}).assign(
        session_type="biased",
        start_time="2024-01-01T10:00:00",
        brain_region=[["VTA"]] * 3,
        hemisphere=[["l"]] * 3,
        target_NM=[["VTA-DA"]] * 3,
    )
    group = PhotometrySessionGroup(collect_session_errors(sessions, paths), settings=settings)
    group.filter_sessions(
        qc_blockers={"QCValidationError", "InsufficientTrials"}, required_contrasts=False
    )
    assert group.sessions["eid"].tolist() == ["c"]


def test_a_table_of_errors_with_four_columns_is_read_and_told(errors, tmp_path):
    settings = Settings(_env_file=None, root=tmp_path)
    settings.metadata_dir.mkdir(parents=True)
    errors[LOG_COLUMNS].to_parquet(settings.metadata_dir / "errors.pqt", index=False)
    sessions = pd.DataFrame({"eid": list("abc"), "subject": list("abc")}).assign(
        session_type="biased",
        brain_region=[["VTA"]] * 3,
        hemisphere=[["l"]] * 3,
        target_NM=[["VTA-DA"]] * 3,
        start_time="2024-01-01T10:00:00",
    )
    group = PhotometrySessionGroup(sessions, settings=settings)
    with pytest.warns(UserWarning, match="not written by the pipeline"):
        group.filter_sessions(required_contrasts=False)
    assert group.sessions["eid"].tolist() == ["c"]
