import os
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from iblnm.errors import MalformedFileError, MissingFileError, UnreadableFileError
from iblnm.storage import Provenance, read_table, write_table
from iblnm.storage.parquet import read_provenance
from iblnm.storage.provenance import software_versions


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "eid": ["a", "b", None],
            "value": [1.5, np.nan, -np.inf],
            "count": pd.array([1, None, 2**60], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "regions": [["VTA", None], [], None],
            "sizes": [[1, 2], [], [None]],
        }
    )


class Doubling:
    def validate(self, df):
        return df.assign(value=df["value"] * 2)


class Refusing:
    def validate(self, df):
        raise MalformedFileError("column value: 3 above 2")


def test_round_trip(tmp_path, table):
    path = tmp_path / "new" / "table.pqt"
    write_table(table, path)
    pd.testing.assert_frame_equal(read_table(path), table)
    assert [p.name for p in path.parent.iterdir()] == ["table.pqt"]


def test_all_null_columns_have_the_type_of_text_in_every_file(tmp_path):
    write_table(pd.DataFrame({"a": [None], "b": [[]], "c": [[None]]}), tmp_path / "t.pqt")
    schema = pq.read_schema(tmp_path / "t.pqt")
    assert str(schema.field("a").type) == "string"
    assert all("string" in str(field.type) for field in schema)
    assert read_table(tmp_path / "t.pqt").to_dict("list") == {
        "a": [None],
        "b": [[]],
        "c": [[None]],
    }


def test_schema_is_applied_on_write_and_read(tmp_path, table):
    path = tmp_path / "t.pqt"
    write_table(table, path, Doubling())
    assert read_table(path)["value"][0] == 3.0
    assert read_table(path, Doubling())["value"][0] == 6.0


def test_a_refused_table_leaves_the_old_file(tmp_path, table):
    path = tmp_path / "t.pqt"
    write_table(table, path)
    before = path.read_bytes()
    with pytest.raises(MalformedFileError, match="3 above 2"):
        write_table(table, path, Refusing())
    with pytest.raises(MalformedFileError, match=r"t\.pqt"):
        write_table(pd.DataFrame({"mixed": [1, "text", [3]]}), path)
    assert path.read_bytes() == before


def test_provenance(tmp_path, table):
    path = tmp_path / "t.pqt"
    origin = Provenance(
        parameters={"fs": np.float64(30.0), "window": (-1.0, 1.0)},
        inputs=[{"name": "x.pqt", "revision": None, "size": 3, "hash": "abc"}],
    )
    write_table(table, path, provenance=origin)
    found = read_provenance(path)
    assert found.parameters == {"fs": 30.0, "window": [-1.0, 1.0]}
    assert found.inputs == origin.inputs
    assert found.software == software_versions()
    assert all(found.software[name] for name in ("iblnm", "ibl-photometry", "ibllib", "ONE-api"))
    write_table(table, path)
    assert read_provenance(path) is None


def test_versions_of_missing_packages_are_null(monkeypatch):
    from iblnm.storage import provenance

    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-distribution",))
    provenance._installed_versions.cache_clear()
    assert software_versions() == {"no-such-distribution": None}
    provenance._installed_versions.cache_clear()


@pytest.mark.parametrize("content", [b"", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_corrupt_files(tmp_path, content):
    path = tmp_path / "t.pqt"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=r"session E, t\.pqt"):
        read_table(path, eid="E")


def test_truncated_and_missing_files(tmp_path, table):
    path = tmp_path / "t.pqt"
    write_table(table, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UnreadableFileError):
        read_table(path)
    with pytest.raises(MissingFileError, match=r"gone\.pqt"):
        read_table(tmp_path / "gone.pqt")


def test_full_disk_keeps_the_old_table(small_disk, table):
    path = small_disk / "t.pqt"
    write_table(table, path)
    before = path.read_bytes()
    too_large = pd.DataFrame({"x": np.random.default_rng(0).normal(size=300_000)})
    with pytest.raises(OSError) as error:
        write_table(too_large, path)
    assert error.value.errno == 28 or "space" in str(error.value)
    assert path.read_bytes() == before
    assert [p.name for p in small_disk.iterdir()] == ["t.pqt"]
    assert os.statvfs(small_disk).f_bavail > 0
    assert subprocess.run(["df", str(small_disk)], capture_output=True, check=True)
