"""What is stored is taken back: of the assets that are named, and of nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.errors import UnreadableFileError
from iblnm.schemas import PERFORMANCE
from iblnm.schemas.core import Column, Table
from iblnm.storage.h5 import list_groups, write_groups
from iblnm.storage.parquet import write_table
from iblnm.storage.provenance import Provenance
from iblnm.storage.store import SessionStore

EID, OTHER = "b766f8c2-b501-42de-aa47-64e89f3807e0", "0a64126d-a149-4d28-80d8-00a5ca60c681"


@pytest.fixture
def store(tmp_path):
    """Trials and metadata in the session file, and a table of performance, of two sessions."""
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    store = SessionStore(settings)
    for eid in (EID, OTHER):
        trials = pd.DataFrame({"choice": [1.0, -1.0]})
        write_groups(
            store.h5_path(eid), {"trials": trials, "metadata": {"eid": eid}}, Provenance()
        )
        row = PERFORMANCE.conform(pd.DataFrame({"eid": [eid], "n_trials": [2]}))
        path = settings.data_dir / "performance" / f"{eid}.pqt"
        path.parent.mkdir(exist_ok=True)
        write_table(row, path, PERFORMANCE, Provenance())
    return store


def test_named_assets_of_one_session_are_gone_and_all_else_stays(store):
    store.remove(["trials", "performance", "responses", "session_report"], EID)
    assert store.load("trials", EID) is None
    assert store.load("performance", EID) is None
    assert list_groups(store.h5_path(EID)) == ["metadata"]
    assert len(store.load("trials", OTHER)) == 2
    assert store.load("performance", OTHER)["n_trials"].tolist() == [2]


def test_nothing_stored_and_a_damaged_file_are_passed_over(store):
    path = store.h5_path(EID)
    path.write_bytes(b"no file of HDF5")
    store.remove(["trials"], EID)
    assert path.read_bytes() == b"no file of HDF5"
    path.unlink()
    store.remove(["trials", "performance"], EID)
    assert not path.exists()
    assert store.load("performance", EID) is None


def test_rows_of_session_files_follow_what_is_stored(store):
    table = Table(
        "choices", "Choices", (Column("eid", "str", "Session"), Column("right", "int", "Count"))
    )

    def rows_of(eid, trials):
        return pd.DataFrame({"eid": [eid], "right": [(trials["choice"] > 0).sum()]})

    def collected(made_by="1"):
        rows = store.collect_rows("trials", table, rows_of, made_by=made_by)
        return dict(zip(rows["eid"], rows["right"], strict=True))

    assert collected() == collected() == {OTHER: 1, EID: 1}
    write_groups(store.h5_path(EID), {"trials": pd.DataFrame({"choice": [1.0, 1.0]})})
    assert collected() == {OTHER: 1, EID: 2}
    store.remove(["trials"], EID)
    assert collected() == {OTHER: 1}
    assert store.collect_rows("responses", table, rows_of).empty


def test_trials_of_a_file_without_origin_are_read(store):
    write_groups(store.h5_path(EID), {"trials": pd.DataFrame({"choice": [1.0]})})
    assert store.load("trials", EID)["choice"].tolist() == [1.0]


def test_a_damaged_table_is_named(store):
    store.collect("performance")
    (store.h5_path(EID).parents[1] / "performance" / f"{EID}.pqt").write_bytes(b"PAR1")
    with pytest.raises(UnreadableFileError, match=EID):
        store.collect("performance")
