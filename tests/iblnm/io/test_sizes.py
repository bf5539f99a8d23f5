"""Files that state more than memory holds are refused by their headers."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.lib import format as npy

from iblnm.archive.changes import record_fingerprint
from iblnm.archive.records import LocalRecords, parse_json
from iblnm.config import Settings
from iblnm.errors import MalformedFileError, UnreadableFileError
from iblnm.file_settings import FileLimits
from iblnm.io.nesting import MAX_DEPTH, is_too_deep
from iblnm.io.regions import read_description
from iblnm.io.sizes import require_size

LIMITS = FileLimits()
EID = "11111111-1111-4111-8111-111111111111"


def _array_that_states(path, shape, *, version=(1, 0)):
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        write = npy.write_array_header_1_0 if version == (1, 0) else npy.write_array_header_2_0
        write(file, header)
        file.write(bytes(80))


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("shape", [(10**13,), (10**9, 10**9, 10**9), (2**62, 4)])
def test_an_array_of_too_many_numbers_is_not_read(tmp_path, shape, version):
    path = tmp_path / "wheel.position.npy"
    _array_that_states(path, shape, version=version)
    with pytest.raises(MalformedFileError, match="IBLNM_FILES__MAX_SAMPLES") as raised:
        require_size(path, LIMITS, eid=EID)
    assert str(np.prod(np.array(shape, dtype=object))) in str(raised.value)
    assert EID in str(raised.value)


def test_an_array_that_states_more_than_there_is_is_truncated(tmp_path):
    path = tmp_path / "wheel.position.npy"
    _array_that_states(path, (1_000_000,))
    with pytest.raises(UnreadableFileError, match="states 8000000 bytes, 80 are there"):
        require_size(path, LIMITS)
    for name in ("wheel.position.npy", "trials.table.pqt"):  # whose readers say what is wrong
        (tmp_path / name).write_bytes(b"\x93NUMPY")
        require_size(tmp_path / name, LIMITS)


@pytest.mark.slow
def test_a_small_table_of_many_rows_is_not_read(tmp_path):
    path = tmp_path / "photometry.signal.pqt"
    rows = pa.array(np.zeros(1_000_000))
    table = pa.table({"times": rows, "name": pa.array(["VTA"] * 1_000_000)})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(2):
            writer.write_table(table)
    assert path.stat().st_size < 200_000
    with pytest.raises(MalformedFileError, match=r"2000000 rows.*IBLNM_FILES__MAX_ROWS"):
        require_size(path, FileLimits(max_rows=1_000_000))
    require_size(path, LIMITS)
    with pytest.raises(MalformedFileError, match="IBLNM_FILES__MAX_BYTES"):
        require_size(path, FileLimits(max_bytes=30_000_000))


def test_what_a_session_has_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((100, 3)))
    np.save(tmp_path / "scalar.npy", np.float64(1))
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "a.pqt")
    (tmp_path / "a.csv").write_text("a,b")
    for path in tmp_path.iterdir():
        require_size(path, LIMITS)
    with pytest.raises(MalformedFileError, match="3 bytes, more than the limit of 2"):
        require_size(tmp_path / "a.csv", FileLimits(max_bytes=2))


def test_the_limits_are_settings(monkeypatch):
    monkeypatch.setenv("IBLNM_FILES__MAX_ROWS", "7")
    assert Settings().files.max_rows == 7


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 3_000 + "x"])
def test_a_description_that_is_nested_without_end_is_refused(tmp_path, text):
    path = tmp_path / "_ibl_experiment.description.yaml"
    path.write_text(text)
    with pytest.raises(MalformedFileError, match="nested more than 100 deep"):
        read_description(path, eid=EID)


def test_a_description_that_repeats_itself_is_refused(tmp_path):
    path = tmp_path / "_ibl_experiment.description.yaml"
    path.write_text("a: &a [1]\nb: [" + "*a, " * 200 + "]\n")
    with pytest.raises(MalformedFileError, match="aliases"):
        read_description(path)
    path.write_text("a: &a [1]\nb: [*a, *a]\n")
    assert read_description(path) == {"a": [1], "b": [[1], [1]]}
    path.write_text("a: !!python/object/apply:os.system [exit]\n")
    with pytest.raises(UnreadableFileError):
        read_description(path)


def _deep(n):
    value = []
    for _ in range(n):
        value = [value]
    return value


def test_json_that_is_nested_900_deep_is_the_fault_of_its_session(tmp_path):
    assert not is_too_deep(_deep(MAX_DEPTH - 2))
    assert is_too_deep(_deep(900))
    text = "[" * 900 + "]" * 900
    with pytest.raises(MalformedFileError, match="nested more than 100 deep"):
        parse_json(f'{{"a": {text}}}')
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / f"{EID}.json").write_text(f'{{"json": {text}}}')
    with pytest.raises(MalformedFileError, match="nested more than 100 deep"):
        LocalRecords(tmp_path).session(EID)
    record = {"subject": "a", "json": json.loads(text)}
    assert record_fingerprint(record) != record_fingerprint({**record, "subject": "b"})
