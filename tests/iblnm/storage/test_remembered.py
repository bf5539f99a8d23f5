"""Rows of all sessions: always those of the files, of which only the changed are read."""

from __future__ import annotations

import os
from collections import Counter

import pandas as pd
import pyarrow as pa
import pytest

from iblnm.storage.parquet import read_arrow, write_table
from iblnm.storage.remembered import gather_rows


class Folder:
    """Files of sessions, and which of them were read."""

    def __init__(self, root):
        self.folder, self.place = root / "rows", root / ".remembered" / "rows.pqt"
        self.folder.mkdir()
        self.read: Counter[str] = Counter()

    def put(self, name: str, **columns) -> None:
        write_table(pd.DataFrame(columns), self.folder / f"{name}.pqt")

    def rows(self, made_by: str = "") -> list[dict]:
        def read(path):
            self.read[path.stem] += 1
            return read_arrow(path)

        table = gather_rows(self.place, self.folder, ".pqt", read, made_by=made_by)
        return [] if table is None else table.to_pylist()

    def reads(self) -> dict[str, int]:
        found, self.read = dict(self.read), Counter()
        return found


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    folder.put("b", eid=["b", "b"], x=[2, 1])
    folder.put("a", eid=["a"], x=[5])
    return folder


def test_rows_are_in_order_of_files_and_read_once(folder):
    expected = [{"eid": "a", "x": 5}, {"eid": "b", "x": 2}, {"eid": "b", "x": 1}]
    assert folder.rows() == expected
    assert folder.reads() == {"a": 1, "b": 1}
    assert folder.rows() == expected
    assert folder.reads() == {}


def test_changed_new_and_deleted_files_are_followed(folder):
    folder.rows()
    folder.reads()
    folder.put("b", eid=["b"], x=[9])
    folder.put("aa", eid=["aa"], x=[7])
    assert folder.rows() == [
        {"eid": "a", "x": 5},
        {"eid": "aa", "x": 7},
        {"eid": "b", "x": 9},
    ]
    assert folder.reads() == {"aa": 1, "b": 1}
    (folder.folder / "a.pqt").unlink()
    assert [row["eid"] for row in folder.rows()] == ["aa", "b"]
    assert folder.reads() == {}


def test_a_file_of_equal_size_and_time_is_another_if_it_was_written_anew(folder):
    folder.rows()
    path = folder.folder / "a.pqt"
    before = path.stat()
    folder.put("a", eid=["a"], x=[6])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert folder.rows()[0]["x"] == 6


def test_columns_and_types_that_one_file_lacks_are_united(folder):
    folder.put("c", eid=["c"], x=[1.5], note=["late"])
    folder.put("d", eid=["d"], x=[None], note=[None])
    for _ in range(2):
        rows = folder.rows()
        assert [row["x"] for row in rows] == [5.0, 2.0, 1.0, 1.5, None]
        assert [row["note"] for row in rows] == [None, None, None, "late", None]


def test_files_without_rows_are_remembered_too(folder):
    def read(path):
        folder.read[path.stem] += 1
        return None if path.stem == "a" else read_arrow(path)

    for _ in range(2):
        table = gather_rows(folder.place, folder.folder, ".pqt", read)
        assert table["eid"].to_pylist() == ["b", "b"]
    assert folder.reads() == {"a": 1, "b": 1}


@pytest.mark.parametrize("content", [b"", b"PAR1 no more", None])
def test_a_damaged_memory_is_made_anew(folder, content):
    expected = folder.rows()
    if content is None:  # whole, and by somebody else
        write_table(pd.DataFrame({"x": [1]}), folder.place)
    else:
        folder.place.write_bytes(content)
    folder.reads()
    assert folder.rows() == expected
    assert folder.reads() == {"a": 1, "b": 1}
    assert folder.rows() == expected
    assert folder.reads() == {}


def test_rows_made_otherwise_are_not_used(folder):
    folder.rows("1")
    folder.reads()
    assert len(folder.rows("2")) == 3
    assert folder.reads() == {"a": 1, "b": 1}


def test_where_nothing_can_be_written_the_rows_are_read_each_time(folder):
    folder.place.parent.write_text("a file where the folder would be")
    assert len(folder.rows()) == len(folder.rows()) == 3
    assert folder.reads() == {"a": 2, "b": 2}


def test_one_file_of_many_is_read_again_without_writing_all(folder):
    for i in range(200):
        folder.put(f"s{i:03}", eid=[f"s{i:03}"], x=[i])
    folder.rows()
    written = folder.place.stat().st_mtime_ns
    folder.reads()
    folder.put("s007", eid=["s007"], x=[700])
    for _ in range(2):
        assert [row["x"] for row in folder.rows() if row["eid"] == "s007"] == [700]
    assert folder.reads() == {"s007": 2}
    assert folder.place.stat().st_mtime_ns == written


def test_no_folder_and_no_file_have_no_rows(tmp_path):
    def read(path):
        return pa.table({"x": [1]})

    assert gather_rows(tmp_path / "m", tmp_path / "none", ".pqt", read) is None
