"""Texts of megabytes in a session's file."""

import pandas as pd

from iblnm.storage import read_group, write_groups


def test_a_new_file_with_megabytes_of_text_is_written_and_read(tmp_path):
    path = tmp_path / "session.h5"
    text = "a" * 3_000_000
    write_groups(path, {"metadata": pd.DataFrame({"eid": ["x"], "session_json": [text]})})
    assert read_group(path, "metadata")["session_json"].tolist() == [text]
    write_groups(path, {"metadata": pd.DataFrame({"eid": ["x"], "session_json": ["b"]})})
    assert read_group(path, "metadata")["session_json"].tolist() == ["b"]
