"""Tables read last: always what is in the file, read once."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.errors import MissingFileError
from iblnm.schemas.core import Column, Table
from iblnm.storage import recent
from iblnm.storage.parquet import write_table
from iblnm.storage.recent import read_recent

TABLE = Table(
    "thing", "Things", (Column("eid", "str", "Session"), Column("names", "list", "Names"))
)


@pytest.fixture
def read(monkeypatch):
    """Files that were read."""
    files = []
    original = recent.read_table
    monkeypatch.setattr(recent, "read_table", lambda path: files.append(path) or original(path))
    return files


def put(path, name):
    write_table(pd.DataFrame({"eid": [name], "names": [[name, "x"]]}), path, TABLE)


def test_a_file_is_read_once_until_it_is_written_anew(tmp_path, read):
    path = tmp_path / "a.pqt"
    put(path, "a")
    for _ in range(3):
        assert read_recent(path, TABLE)["names"].tolist() == [["a", "x"]]
    assert read == [path]
    put(path, "b")
    assert read_recent(path, TABLE)["eid"].tolist() == ["b"]
    path.unlink()
    with pytest.raises(MissingFileError):
        read_recent(path, TABLE)


def test_who_changes_what_was_read_changes_it_for_nobody_else(tmp_path, read):
    path = tmp_path / "a.pqt"
    put(path, "a")
    first = read_recent(path, TABLE)
    first.loc[0, "eid"] = "changed"
    first["more"] = 1
    assert read_recent(path, TABLE).to_dict("list") == {"eid": ["a"], "names": [["a", "x"]]}


def test_large_tables_are_not_kept(tmp_path, read, monkeypatch):
    path = tmp_path / "a.pqt"
    put(path, "a")
    monkeypatch.setattr(recent, "_LARGEST_BYTES", path.stat().st_size - 1)
    assert len(read_recent(path, TABLE)) == len(read_recent(path, TABLE)) == 1
    assert read == [path, path]
