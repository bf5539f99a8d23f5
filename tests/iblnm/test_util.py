"""Helpers for tables of sessions, logs and contrast codings."""

import numpy as np
import pandas as pd
import pytest

from iblnm.config import Settings
from iblnm.data import PhotometrySession
from iblnm.errors import MalformedFileError
from iblnm.schemas import SESSIONS
from iblnm.storage import write_groups
from iblnm.util import (
    LOG_COLUMNS,
    add_dataset_flags,
    aggregate_qc_per_session,
    collect_catalog,
    collect_errors,
    collect_qc,
    collect_session_errors,
    concat_logs,
    contrast_inverse,
    contrast_transform,
    deduplicate_log,
    derive_target_nm,
    df2pqt,
    enforce_schema,
    exception_logger,
    fill_brain_region_from_fibers,
    fill_empty_lists_from_group,
    fill_parallel_lists_from_group,
    fix_brain_regions,
    get_contrast_coding,
    get_session_length,
    get_session_type,
    get_targetNM,
    has_dataset,
    make_log_entry,
    resolve_duplicate_group,
    validate_parallel_lists,
)
from iblnm.validation import (
    InvalidSessionLength,
    InvalidSessionType,
    InvalidTargetNM,
    TrueDuplicateSession,
)

EIDS = [f"0a64126d-a149-4d28-80d8-00a5ca60c68{i}" for i in range(4)]


def log_of(*pairs):
    return pd.DataFrame(
        [make_log_entry(eid, error_type=kind, error_message="x") for eid, kind in pairs]
    )


# logs ---------------------------------------------------------------------------------------


def test_logs_are_joined_and_deduplicated():
    a, b = log_of(("a", "InvalidLine")), log_of(("b", "KeyError"), ("a", "InvalidLine"))
    joined = concat_logs([a, pd.DataFrame(columns=LOG_COLUMNS), b.assign(extra=1)])
    assert list(joined) == LOG_COLUMNS
    assert joined["eid"].tolist() == ["a", "b", "a"]
    assert deduplicate_log(joined)["eid"].tolist() == ["b", "a"]
    assert list(concat_logs([])) == LOG_COLUMNS


def test_collect_session_errors(tmp_path):
    path = tmp_path / "log.pqt"
    log_of(("b", "BandInversion")).to_parquet(path)
    sources = iter([log_of(("a", "KeyError"), ("a", "InvalidLine")), path, tmp_path / "none.pqt"])
    found = collect_session_errors(pd.DataFrame({"eid": ["a", "b", "c"]}), sources)
    assert found["logged_errors"].tolist() == [
        ["InvalidLine", "KeyError"],
        ["BandInversion", "QCValidationError"],
        [],
    ]


def test_catalog_and_errors_of_session_files(tmp_path):
    for eid, start in zip(EIDS[:2], ["2024-02-02T10:00:00", "2024-01-01T10:00:00"], strict=True):
        ps = PhotometrySession(
            {"eid": eid, "subject": "m", "start_time": start, "brain_region": ["VTA", "LC"]}
        )
        ps.log_error(InvalidSessionType("bad"))
        ps.save_h5(tmp_path / f"{eid}.h5")
    (tmp_path / f"{EIDS[2]}.h5").write_bytes(b"no HDF5 at all")
    with pytest.warns(UserWarning, match="left out"):
        catalog = collect_catalog(tmp_path)
    assert list(catalog) == SESSIONS.names
    assert catalog["eid"].tolist() == [EIDS[1], EIDS[0]]
    assert catalog["brain_region"].tolist() == [["VTA", "LC"]] * 2
    with pytest.warns(UserWarning, match="left out"):
        errors = collect_errors(tmp_path)
    assert errors["error_type"].tolist() == ["InvalidSessionType"] * 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert collect_catalog(empty).empty
    assert list(collect_errors(empty)) == LOG_COLUMNS


# sessions -----------------------------------------------------------------------------------


def test_enforce_schema():
    df = pd.DataFrame({"b": ["1", "2"], "x": [7, 8], "a": ["nan", "t"]}, index=[4, 9])
    result = enforce_schema(df, {"a": "str", "b": "int", "c": "list"})
    assert list(result) == ["a", "b", "c", "x"]
    assert result["a"].isna().tolist() == [True, False]
    assert result["b"].tolist() == [1, 2]
    assert result["c"].tolist() == [None, None]
    assert result["x"].tolist() == [7, 8]
    assert list(enforce_schema(df[[]], SESSIONS)) == SESSIONS.names
    with pytest.raises(MalformedFileError, match="column b"):
        enforce_schema(df.assign(b="many"), {"b": "int"})


def test_a_schema_of_defaults_fills_what_is_absent_and_changes_nothing_else():
    from iblnm.config import SESSION_SCHEMA

    df = pd.DataFrame({"x": [7, 8], "users": [np.array(["u"]), None], "eid": ["a", "b"]}, [4, 9])
    filled = enforce_schema(df, {**SESSION_SCHEMA, "n": (int, 3)})
    assert list(filled)[:3] == ["x", "users", "eid"]
    assert set(SESSION_SCHEMA) <= set(filled)
    assert filled.index.tolist() == [4, 9]
    assert filled["users"].tolist() == [["u"], []]
    assert filled["brain_region"].tolist() == [[], []]
    assert filled["brain_region"].iloc[0] is not filled["brain_region"].iloc[1]
    assert filled["n"].tolist() == [3, 3]
    assert filled["subject"].isna().all()
    assert "brain_region" not in df


def test_labels_stay_parallel_where_one_is_unknown():
    log = []
    row = pd.Series({"eid": "a", "NM": "5HT", "brain_region": ["VTA", "DR"]})
    assert get_targetNM(row, exlog=log)["target_NM"] == ["VTA-5HT", "DR-5HT"]
    assert [entry["error_type"] for entry in log] == ["InvalidTargetNM"]


def test_logs_of_session_files_and_of_eids_alone(tmp_path):
    write_groups(tmp_path / "a.h5", {"errors": log_of(("a", "BandInversion"))})
    found = collect_session_errors(["a", "b"], tmp_path)
    assert found["logged_errors"].tolist() == [["BandInversion", "QCValidationError"], []]
    assert concat_logs([None, log_of(("a", "X"))])["error_type"].tolist() == ["X"]
    with pytest.raises(ValueError, match="error_type"):
        make_log_entry("a")
    assert make_log_entry("a", KeyError("k"), error_type="Other")["error_type"] == "KeyError"


def test_a_table_of_mixed_columns_is_written_as_text(tmp_path):
    df = pd.DataFrame({"mixed": [1, "two", None], "lists": [["a"], [], ["b"]], "n": [1.5, 2, 3]})
    read = pd.read_parquet(df2pqt(df, tmp_path / "table.pqt"))
    assert read["mixed"].tolist() == ["1", "two", None]
    assert [list(value) for value in read["lists"]] == [["a"], [], ["b"]]
    assert read["n"].tolist() == [1.5, 2.0, 3.0]


def test_quality_of_session_files_is_collected(tmp_path):
    for eid in ("a", "b"):
        qc = pd.DataFrame({"brain_region": ["VTA"], "band": ["GCaMP"], "ar_score": [0.5]})
        write_groups(tmp_path / f"{eid}.h5", {"photometry/qc": qc})
    collected = collect_qc(tmp_path)
    assert list(collected) == ["eid", "brain_region", "band", "ar_score"]
    assert collected["eid"].tolist() == ["a", "b"]
    (tmp_path / "nothing").mkdir()
    assert len(collect_qc(tmp_path / "nothing")) == 0


def test_regions_get_the_names_of_the_project():
    df = pd.DataFrame({"brain_region": [["DRN", "SNC-l"], [], ["VTA"]]})
    assert fix_brain_regions(df)["brain_region"].tolist() == [["DR", "SNc"], [], ["VTA"]]
    assert fill_empty_lists_from_group(df.assign(subject="m").iloc[1:], "brain_region")[
        "brain_region"
    ].tolist() == [["VTA"], ["VTA"]]


def test_of_a_table_a_logged_failure_gives_one_row():
    @exception_logger
    def first(group):
        raise TrueDuplicateSession("two", fallback_row=group.iloc[1])

    @exception_logger
    def second(group):
        raise InvalidTargetNM("none")

    table, log = make_group([], []), []
    assert first(table, exlog=log)["eid"] == "e1"
    assert second(table, exlog=log)["eid"] == "e0"
    assert len(log) == 2


def test_datasets():
    paths = ["alf/task_01/#2024-01-01#/_ibl_trials.table.pqt"]
    assert has_dataset({"datasets": paths}, "extracted_task")
    assert not has_dataset(pd.Series({"datasets": paths}), "raw_task")
    assert has_dataset(paths, "alf/*/_ibl_trials.table.pqt")
    assert not has_dataset(paths, "alf/_ibl_trials.table.pqt")
    flags = add_dataset_flags(pd.DataFrame({"datasets": [paths, [], None]}))
    assert flags["has_extracted_task"].tolist() == [True, False, False]
    assert sum(name.startswith("has_") for name in flags) == len(Settings().dataset_categories)


def test_row_enrichment_raises_or_collects():
    row = pd.Series({"eid": "a", "task_protocol": "_iblrig_tasks_ephysChoiceWorld7", "NM": "DA"})
    assert get_session_type(row)["session_type"] == "ephys"
    assert "session_type" not in row
    bad = pd.Series({"eid": "a", "task_protocol": "ephysChoiceWorld_delay"})
    with pytest.raises(InvalidSessionType, match="delay"):
        get_session_type(bad)
    log = []
    assert get_session_type(bad, exlog=log) is bad
    assert log[0]["error_type"] == "InvalidSessionType"

    row = pd.Series({"eid": "a", "NM": "DA", "brain_region": ["VTA-l", "SNc"]})
    assert get_targetNM(row)["target_NM"] == ["VTA-DA", "SNc-DA"]
    with pytest.raises(InvalidTargetNM, match="VTA-5HT"):
        get_targetNM(pd.Series({"eid": "a", "NM": "5HT", "brain_region": ["VTA"]}))

    row = pd.Series({"start_time": "2024-01-01T10:00:00", "end_time": "2024-01-01T10:30:00"})
    assert get_session_length(row)["session_length"] == 1800
    with pytest.raises(InvalidSessionLength):
        get_session_length(pd.Series({"start_time": "2024-01-01T10:00:00", "end_time": None}))


def test_derive_target_nm_for_sessions_and_recordings():
    sessions = pd.DataFrame({"brain_region": [["VTA-r", "SNc"], []], "NM": ["DA", None]})
    assert derive_target_nm(sessions)["target_NM"].tolist() == [["VTA-DA", "SNc-DA"], []]
    recordings = pd.DataFrame({"region": ["LC", "DR"], "NM": ["NE", None]})
    found = derive_target_nm(recordings, brain_region_col="region")["target_NM"]
    assert found.tolist() == ["LC-NE", None]


def make_group(*errors):
    return pd.DataFrame(
        {
            "eid": [f"e{i}" for i in range(len(errors))],
            "subject": "m",
            "start_time": [f"2024-01-01T{9 + i:02d}:00:00" for i in range(len(errors))],
            "logged_errors": list(errors),
        }
    )


def test_resolve_duplicate_group():
    assert resolve_duplicate_group(make_group([]))["eid"] == "e0"
    one_usable = make_group(["MissingRawData"], ["InvalidStrain"])
    assert resolve_duplicate_group(one_usable)["eid"] == "e1"
    none_usable = make_group(["BandInversion"], ["QCValidationError"])
    assert resolve_duplicate_group(none_usable)["eid"] == "e0"
    both = make_group([], [])[::-1]
    with pytest.raises(TrueDuplicateSession, match="2 usable sessions of m on 2024-01-01") as e:
        resolve_duplicate_group(both)
    assert e.value.fallback_row["eid"] == "e0"
    log = []
    assert resolve_duplicate_group(both, exlog=log)["eid"] == "e0"
    assert [entry["error_type"] for entry in log] == ["TrueDuplicateSession"]
    kept = resolve_duplicate_group(make_group(["X"], []), disqualifying_errors={"X"})
    assert kept["eid"] == "e1"


def test_resolve_duplicates_of_a_table():
    table = pd.concat([make_group([], []), make_group([]).assign(subject="n", eid="n0")])
    log = []
    kept = table.groupby("subject", group_keys=False)[list(table)].apply(
        resolve_duplicate_group, exlog=log
    )
    assert kept["eid"].tolist() == ["e0", "n0"]
    assert len(log) == 1


def test_fill_parallel_lists_from_group():
    df = pd.DataFrame(
        {
            "subject": list("aabbbcddd"),
            "region": [["VTA"], [], ["LC"], ["DR"], [], None, ["VTA"], [], ["VTA"]],
            "side": [["l"], None, ["l"], ["r"], [], [], ["l"], ["r"], []],
        }
    )
    filled = fill_parallel_lists_from_group(df, ["region", "side"])
    vta = ["VTA"]
    assert filled["region"].tolist() == [vta, vta, ["LC"], ["DR"], [], [], vta, [], vta]
    left, right = ["l"], ["r"]
    assert filled["side"].tolist() == [left, left, left, right, [], [], left, right, left]
    assert df["region"][1] == []


def test_validate_parallel_lists():
    df = pd.DataFrame({"eid": ["a", "b"], "x": [[1], [1, 2]], "y": [[3], [4, 5]]})
    assert validate_parallel_lists(df, ["x", "y"]) is df
    df["y"] = [[3], [4]]
    with pytest.warns(UserWarning, match=r"1 of 2 rows .*: b "):
        assert validate_parallel_lists(df, ["x", "y"])["eid"].tolist() == ["a"]


def test_fill_brain_region_from_fibers(tmp_path):
    path = tmp_path / "fibers.csv"
    path.write_text(
        "subject,targeted_region,neuromodulator,X-ml_um,Y-ap_um,Z-dv_um,depth,theta,phi\n"
        "m,DRN,5HT,-300,0,0,4000,0,0\n"
        "m,SNC-r,DA,-900,0,0,4000,0,0\n"
    )
    df = pd.DataFrame(
        {
            "subject": ["m", "m", "n"],
            "brain_region": [[], ["VTA"], []],
            "hemisphere": [[], ["l"], []],
        }
    )
    filled = fill_brain_region_from_fibers(df, path)
    assert filled["brain_region"].tolist() == [["DR", "SNc"], ["VTA"], []]
    assert filled["hemisphere"].tolist() == [["l", "r"], ["l"], []]


def test_aggregate_qc_per_session():
    qc = pd.DataFrame(
        {
            "eid": ["b", "b", "a", "a", "c"],
            "n_unique_samples": [0.5, 0.049, 0.05, 0.3, np.nan],
            "n_band_inversions": [0, 0, 0, 0, np.nan],
            "n_early_samples": [0, 0, 0, 0, 1],
        }
    )
    every = aggregate_qc_per_session(qc).set_index("eid")["passes_basic_qc"]
    assert every.to_dict() == {"b": False, "a": True, "c": False}
    some = aggregate_qc_per_session(qc, require_all=False).set_index("eid")["passes_basic_qc"]
    assert some.to_dict() == {"b": True, "a": True, "c": False}
    empty = aggregate_qc_per_session(qc.iloc[:0])
    assert list(empty) == ["eid", "passes_basic_qc"]
    assert empty.empty


# contrasts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["log", "linear", "rank"])
def test_contrast_codings_go_both_ways(coding):
    contrasts = np.array([0.0, 6.25, 12.5, 25.0, 100.0])
    transform, inverse = get_contrast_coding(coding)
    coded = transform(contrasts)
    assert (np.diff(coded) > 0).all()
    np.testing.assert_allclose(inverse(coded), contrasts, atol=1e-9)


def test_contrast_coding_values():
    assert contrast_transform(100.0) == pytest.approx(np.log(101))
    assert contrast_inverse(np.log(101)) == pytest.approx(100)
    rank, _ = get_contrast_coding("rank")
    assert rank([0.0, 25.0, 100.0]).tolist() == [0, 3, 4]
    assert np.isnan(rank(50.0))
    with pytest.raises(ValueError, match="cubic"):
        get_contrast_coding("cubic")


def test_a_log_that_does_not_exist_is_told_and_a_folder_that_does_not_is_an_error(tmp_path):
    sessions = pd.DataFrame({"eid": ["a"]})
    with pytest.warns(UserWarning, match=r"task_log.pqt does not exist: its errors block nothing"):
        found = collect_session_errors(sessions, tmp_path / "task_log.pqt")
    assert found["logged_errors"].tolist() == [[]]
    for collect in (collect_qc, collect_catalog, collect_errors):
        with pytest.raises(ValueError, match="there is no folder"):
            collect(tmp_path / "nothing")
