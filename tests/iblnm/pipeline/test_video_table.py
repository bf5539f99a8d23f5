"""The table of the left cameras under the names of Alyx."""

from __future__ import annotations

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.catalog import video_table
from iblnm.schemas import VIDEO
from iblnm.storage import write_table
from iblnm.storage.store import SessionStore


def test_checks_have_the_names_of_alyx_beside_ours(tmp_path):
    settings = Settings(root=tmp_path)
    eid = "00000000-0000-4000-8000-000000000000"
    row = {"eid": eid, "subject": "m", "qc_pin_state": "FAIL", "qc_focus": "PASS"}
    write_table(VIDEO.conform(pd.DataFrame([row])), settings.metadata_dir / f"video/{eid}.pqt")
    table = video_table(SessionStore(settings))
    names = ["timestamps", "dropped_frames", "pin_state", "focus", "position", "brightness"]
    names += ["resolution", "wheel_alignment"]
    assert {f"qc_videoLeft_{name}" for name in names} <= set(table)
    assert table["qc_videoLeft_pin_state"].tolist() == table["qc_pin_state"].tolist() == ["FAIL"]
    assert table["qc_videoLeft_focus"].tolist() == ["PASS"]
    assert table["qc_videoLeft_position"].isna().all()
