import pandas as pd
import pytest

from iblnm.archive import (
    fetch_session,
    get_brain_region,
    get_datasets,
    get_extended_qc,
    get_fiber_coordinates,
    get_session_dict,
    get_subject_info,
    list_sessions,
)
from iblnm.archive.sessions import session_type
from iblnm.config import Settings
from iblnm.errors import (
    InvalidNameError,
    MalformedFileError,
    UnknownSessionError,
    UnreadableFileError,
)
from iblnm.io.regions import recording_names, split_region
from iblnm.pipeline.rules import RULES
from iblnm.schemas import SESSIONS

DESCRIPTION = "_ibl_experiment.description.yaml"
LOCATIONS = "alf/photometry/photometryROI.locations.pqt"


def write_fibers(tree, rows):
    columns = ["subject", "targeted_region", "neuromodulator", "X-ml_um"]
    table = pd.DataFrame(rows, columns=columns)
    for name in ("Y-ap_um", "Z-dv_um", "depth", "theta", "phi"):
        table[name] = 0.0
    tree.root.mkdir(exist_ok=True)
    table.to_csv(tree.root / "fibers.csv", index=False)


def add_records(tree, eid, *, subject="M1", strain="Ai148xDATCre", insertions=()):
    tree.record(
        "sessions",
        eid,
        {
            "subject": subject,
            "users": ["someone"],
            "lab": "lab",
            "projects": ["ibl_fibrephotometry"],
            "task_protocol": "_iblrig_tasks_biasedChoiceWorld6.4.2",
            "start_time": "2024-03-01T10:30:00",
            "end_time": "2024-03-01T11:30:15",
            "number": 1,
            "url": f"https://alyx.example.org/sessions/{eid}",
            "qc": "PASS",
            "extended_qc": {"_videoLeft_focus": "PASS"},
            "json": {"LEN_BLOCKS": [90, 20]},
            "probe_insertion": [
                {"id": f"i{n}", "name": row[0]} for n, row in enumerate(insertions)
            ],
        },
    )
    tree.record(
        "subjects",
        subject,
        {
            "nickname": subject,
            "strain": strain,
            "line": "",
            "genotype": [{"allele": "Ai148", "zygosity": 1}],
        },
    )
    for n, (name, x) in enumerate(insertions):
        tree.record("insertions", f"i{n}", {"id": f"i{n}", "session": eid, "name": name})
        trajectory = {"probe_insertion": f"https://alyx.example.org/insertions/i{n}", "x": x}
        tree.record("trajectories", f"t{n}", trajectory)


def fetch(tree, eid):
    row = fetch_session(tree.open(), eid, tree.settings)
    assert len(row) == 1
    SESSIONS.validate(row)
    return row.iloc[0]


@pytest.mark.slow
def test_everything_that_the_record_knows(tree, files):
    eid = tree.add(files)
    add_records(tree, eid, insertions=[("VTA-l", -500.0), ("SNc-r", 1200.0)])
    row = fetch(tree, eid)
    assert row["start_time"] == "2024-03-01T10:30:00"
    assert row["session_length"] == 3615.0
    assert row["session_type"] == "biased"
    assert (row["strain"], row["line"], row["NM"]) == ("Ai148xDATCre", None, "DA")
    assert row["genotype"] == ["Ai148 +/-"]
    assert row["users"] == ["someone"]
    assert row["brain_region"] == ["VTA", "SNc"]
    assert row["recording_name"] == ["VTA", "SNc"]
    assert row["target_NM"] == ["VTA-DA", "SNc-DA"]
    assert row["roi"] == ["G0", "G1"]
    assert row["hemisphere"] == row["hemisphere_suffix"] == row["hemisphere_alyx"] == ["l", "r"]
    assert row["hemisphere_fibers"] == [None, None]
    assert row["n_insertions"] == 2
    assert row["region_source"] == "roi locations"
    assert row["session_json"] == '{"LEN_BLOCKS": [90, 20]}'
    assert row["has_record"]
    assert row["datasets"] == sorted(files)
    sizes = dict(zip(row["datasets"], row["dataset_sizes"], strict=True))
    assert sizes["alf/task_00/_ibl_wheel.position.npy"] == 400 * 8 + 128
    assert all(len(digest) == 32 for digest in row["dataset_hashes"])
    assert row["dataset_revisions"] == [""] * len(files)


def test_a_tree_without_records_has_nulls(tree, files):
    eid = tree.add(files, task_protocol="")
    row = fetch(tree, eid)
    for name in ("end_time", "session_length", "session_type", "task_protocol", "strain", "line"):
        assert row[name] is None, name
    for name in ("url", "qc", "extended_qc", "session_json", "n_insertions", "revision"):
        assert row[name] is None, name
    assert row["users"] == row["genotype"] == []
    assert not row["has_record"]
    assert row["start_time"] == "2024-03-01"
    assert row["hemisphere_alyx"] == [None, None]
    assert row["NM"] == "DA"  # both targets are dopaminergic
    assert row["target_NM"] == ["VTA-DA", "SNc-DA"]


def test_genotype_decides_the_neuromodulator_of_a_target(tree, files):
    eid = tree.add(files)
    add_records(tree, eid, strain="Ai148xSERTCre")
    row = fetch(tree, eid)
    assert row["NM"] == "5HT"
    assert row["target_NM"] == ["VTA-5HT", "SNc-5HT"]


@pytest.mark.slow
def test_targets_of_two_kinds_leave_the_neuromodulator_unknown(tree, files):
    files[LOCATIONS]["brain_region"] = ["DRN", "LC"]
    row = fetch(tree, tree.add(files))
    assert row["NM"] is None
    assert row["target_NM"] == ["DR-5HT", "LC-NE"]
    files[LOCATIONS]["brain_region"] = ["DLS", "LC"]
    row = fetch(tree, tree.add(files, number=2))
    assert row["target_NM"] == [None, "LC-NE"]


def test_description_comes_before_locations(tree, files):
    fibers = {"G1": {"location": "NBM-l"}, "G0": {"location": "NBM-r"}}
    files[DESCRIPTION] = {"devices": {"neurophotometrics": {"fibers": fibers}}}
    row = fetch(tree, tree.add(files))
    assert row["region_source"] == "experiment description"
    named = dict(zip(row["roi"], row["hemisphere"], strict=True))
    assert named == {"G0": "r", "G1": "l"}
    assert row["brain_region"] == ["NBM", "NBM"]
    assert row["recording_name"] == ["NBM", "NBM_1"]


def test_a_side_of_the_locations_that_contradicts_the_description_is_told(tree, files):
    fibers = {"G0": {"location": "VTA-l"}, "G1": {"location": "SNc"}}
    files[DESCRIPTION] = {"devices": {"neurophotometrics": {"fibers": fibers}}}
    files[LOCATIONS]["brain_region"] = ["VTA-r", "SNc-r"]
    row = fetch(tree, tree.add(files))
    assert row["hemisphere"] == row["hemisphere_suffix"] == ["l", "r"]
    assert row["hemisphere_locations"] == ["r", "r"]
    outcome = RULES["hemisphere_mismatch"].evaluate(tree.settings, session_row=row)
    assert (outcome.passed, outcome.value) == (False, 1.0)
    assert "VTA (suffix l" in outcome.message
    assert "locations r" in outcome.message


@pytest.mark.parametrize(
    "description",
    [
        b"",
        {"devices": {"neurophotometrics": {"fibers": {}}}},
        {"devices": {"neurophotometrics": {"fibers": None}}},
        {"devices": {"neurophotometrics": {"fibers": {"G0": {"location": ""}, "G1": None}}}},
        {"devices": {"neurophotometrics": None}},
        {"devices": None},
        {"devices": ["cameras"]},
        {"procedures": ["x"]},
    ],
)
@pytest.mark.slow
def test_empty_descriptions_fall_through(tree, files, description):
    files[DESCRIPTION] = description
    assert fetch(tree, tree.add(files))["region_source"] == "roi locations"


@pytest.mark.slow
def test_fiber_table_comes_last(tree, files):
    write_fibers(
        tree, [("M1", "DRN", "5HT", 300.0), ("M1", "MR", "5HT", None), ("M2", "LC", "", 1)]
    )
    del files[LOCATIONS]
    row = fetch(tree, tree.add(files))
    assert row["region_source"] == "fiber table"
    assert row["brain_region"] == ["DR", "MR"]
    assert row["hemisphere"] == ["r", None]
    assert row["roi"] == [None, None]
    other = fetch(tree, tree.add({"a.b.c": b"x"}, subject="M3"))
    assert other["brain_region"] == []
    assert other["region_source"] is None
    assert other["n_recordings"] == 0


@pytest.mark.slow
def test_sides_of_the_fiber_table(tree, files):
    write_fibers(
        tree, [("M1", "VTA", "DA", 500.0), ("M1", "SNC", "DA", -900.0), ("M1", "SNc", "DA", 900.0)]
    )
    eid = tree.add(files)
    row = fetch(tree, eid)
    assert row["hemisphere_suffix"] == ["l", "r"]
    # the table contradicts the name of the first, and has the second on both sides
    assert row["hemisphere_fibers"] == ["r", "r"]
    assert row["hemisphere"] == ["l", "r"]
    flipped = tree.settings.model_copy(update={"right_is_positive_ml": False})
    row = fetch_session(tree.open(), eid, flipped).iloc[0]
    assert row["hemisphere_fibers"] == ["l", "r"]
    files[LOCATIONS]["brain_region"] = ["VTA", "SNc"]
    row = fetch(tree, tree.add(files, number=2))
    assert row["hemisphere_suffix"] == [None, None]
    assert row["hemisphere"] == row["hemisphere_fibers"] == ["r", None]


@pytest.mark.slow
def test_sides_on_alyx(tree, files):
    files[LOCATIONS]["brain_region"] = ["VTA", "SNc"]
    eid = tree.add(files)
    add_records(tree, eid, insertions=[("G1", 800.0), ("G0", -800.0)])
    assert fetch(tree, eid)["hemisphere"] == ["l", "r"]
    unnamed = tree.add(files, number=2)
    add_records(tree, unnamed, insertions=[("fiber00", 800.0), ("fiber01", -800.0)])
    assert fetch(tree, unnamed)["hemisphere_alyx"] == ["r", "l"]
    fewer = tree.add(files, number=3)
    add_records(tree, fewer, insertions=[("fiber00", 800.0)])
    row = fetch(tree, fewer)
    assert row["hemisphere_alyx"] == [None, None]
    assert row["n_insertions"] == 1
    none = tree.add(files, number=4)
    add_records(tree, none)
    assert fetch(tree, none)["n_insertions"] == 0


def test_insertions_found_without_a_list_and_by_chronic_insertion(tree, files):
    files[LOCATIONS]["brain_region"] = ["VTA", "SNc"]
    eid = tree.add(files)
    tree.record("sessions", eid, {"subject": "M1"})
    insertion = {"id": "i7", "session": eid, "name": "VTA", "chronic_insertion": "c1"}
    tree.record("insertions", "i7", insertion)
    tree.record("insertions", "i8", {"id": "i8", "session": "other", "name": "SNc"})
    tree.record("trajectories", "t1", {"chronic_insertion": "c1", "x": -1.0})
    row = fetch(tree, eid)
    assert row["n_insertions"] == 1
    assert row["hemisphere_alyx"] == ["l", None]


@pytest.mark.slow
def test_position_among_the_sessions_of_the_subject(tree, files):
    dates = ["2024-03-01", "2024-03-01", "2024-03-05"]
    eids = [tree.add(files, date=d, number=n) for d, n in zip(dates, (1, 2, 1), strict=True)]
    tree.add(files, subject="M11", date="2020-01-01")
    rows = [fetch(tree, eid) for eid in eids]
    assert [row["day_n"] for row in rows] == [0, 0, 4]
    assert [row["session_n"] for row in rows] == [1, 2, 3]


def test_list_is_ordered_and_restricted_to_the_project(tree, files):
    late = tree.add(files, date="2024-03-09")
    second = tree.add(files, number=2)
    first = tree.add(files, number=1)
    free = tree.add(files, subject="M0", date="2018-01-01", projects="")
    tree.add(files, subject="M5", projects="ibl_fibrephotometry_pilot")
    shared = tree.add(files, subject="M6", date="2025-01-01", projects="x,ibl_fibrephotometry")
    tree.record("sessions", first, {"start_time": "2024-03-01T18:00:00"})
    tree.record("sessions", second, {"start_time": "2024-03-01T09:00:00"})
    one = tree.open()
    listed = list_sessions(one, "ibl_fibrephotometry")
    assert listed["eid"].tolist() == [free, second, first, late, shared]
    assert listed["start_time"].tolist()[1] == "2024-03-01T09:00:00"
    assert len(list_sessions(one)) == 6
    assert list_sessions(one, "nothing")["eid"].tolist() == [free]


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("_iblrig_tasks_biasedChoiceWorld6.4.2", "biased"),
        ("trainingChoiceWorld", "training"),
        ("Histology", "histology"),
        ("passiveChoiceWorld, ephysChoiceWorld", "ephys"),
        ("trainingChoiceWorld/ephysChoiceWorld", None),
        ("trainingChoiceWorld_RPE", None),
        ("biasedChoiceWorld_delay", None),
        ("DELAYbiasedChoiceWorld", None),
        ("spontaneous", None),
        ("", None),
        (None, None),
    ],
)
def test_session_types(protocol, expected):
    assert session_type(protocol, Settings(_env_file=None)) == expected


def test_names_of_regions():
    fixes = {"DRN": "DR", "SNC": "SNc"}
    assert split_region(" SNC-R ", fixes) == ("SNc", "r")
    assert split_region("DRN", fixes) == ("DR", None)
    assert split_region("VTA_l", fixes) == ("VTA", "l")
    assert split_region("-l", fixes) == ("-l", None)
    for text in ("left DRN", "DRN left", "DRN (L)", "Left-DRN", "l DRN", "(left) DRN"):
        assert split_region(text, fixes) == ("DR", "l")
    assert split_region("leftDRN", fixes) == ("leftDRN", None)
    names = recording_names(["NBM_1", "NBM", "NBM", "a/b", "a/b"])
    assert names == ["NBM_1", "NBM", "NBM_2", None, None]


@pytest.mark.parametrize("eid", ["../../etc", "", "not-a-uuid"])
def test_invalid_eids_are_refused(tree, files, eid):
    tree.add(files)
    with pytest.raises(InvalidNameError):
        fetch_session(tree.open(), eid, tree.settings)


def test_unknown_session(tree, files):
    tree.add(files)
    with pytest.raises(UnknownSessionError, match="no such session"):
        fetch_session(tree.open(), "96268231-87d4-3791-b39f-6e3059cfa72e", tree.settings)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\ufeff{}x"])
def test_malformed_records(tree, files, content):
    eid = tree.add(files)
    tree.record("sessions", eid, content)
    with pytest.raises(UnreadableFileError, match=rf"{eid}\.json"):
        fetch_session(tree.open(), eid, tree.settings)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"a: [1", UnreadableFileError),
        (b"\xff\xfe\x00", UnreadableFileError),
        (b"- a\n- b\n", MalformedFileError),
        (b"devices: {neurophotometrics: {fibers: [G0, G1]}}", MalformedFileError),
    ],
)
def test_malformed_descriptions(tree, files, content, error):
    files[DESCRIPTION] = content
    eid = tree.add(files)
    with pytest.raises(error, match=rf"session {eid}, _ibl_experiment"):
        fetch_session(tree.open(), eid, tree.settings)


def test_malformed_locations(tree, files):
    good = files[LOCATIONS]
    for number, (bad, error) in enumerate(
        [
            (good.rename(columns={"brain_region": "region"}), MalformedFileError),
            (pd.concat([good, good]), MalformedFileError),
            (b"", UnreadableFileError),
        ],
        start=1,
    ):
        files[LOCATIONS] = bad
        eid = tree.add(files, number=number)
        with pytest.raises(error, match="photometryROI"):
            fetch_session(tree.open(), eid, tree.settings)


def test_notebook_functions(tree, files, monkeypatch):
    from iblnm.archive import enrich

    eid = tree.add(files)
    add_records(tree, eid)
    one = tree.open()
    monkeypatch.setattr(enrich, "get_settings", lambda: tree.settings)
    session = pd.Series({"eid": eid, "mine": 3}, name=7)
    assert get_brain_region(session, one=one)["brain_region"] == ["VTA", "SNc"]
    assert get_subject_info(session, one=one)["NM"] == "DA"
    assert get_session_dict(session, one=one)["users"] == ["someone"]
    verdicts = get_extended_qc(session, one=one)
    assert (verdicts["qc_session"], verdicts["qc_videoLeft_focus"]) == ("PASS", "PASS")

    class Alyx:
        def rest(self, *_, **__):
            return {"qc": "FAIL", "extended_qc": {"task": "PASS", "_videoLeft_pin": ["FAIL", 3]}}

    double = type("Double", (), {"alyx": Alyx()})()
    verdicts = get_extended_qc(session, one=double)
    known = ["qc_session", "qc_task", "qc_videoLeft_pin"]
    assert verdicts[known].tolist() == ["FAIL", "PASS", "FAIL"]
    found = get_datasets(session, one=one)
    assert len(found["datasets"]) == len(files)
    assert (found["mine"], found.name) == (3, 7)
    assert list(session.index) == ["eid", "mine"]


def test_coordinates_of_fibers_are_those_of_their_tips(tree, files):
    eid = tree.add(files)
    add_records(tree, eid, insertions=[("fiber_VTA", -500.0)])
    one = tree.open()
    bare = {"x": -500.0, "y": -3100.0, "z": 0.0, "depth": 4400.0, "theta": 0.0, "phi": 180.0}
    tree.record("trajectories", "t0", {"probe_insertion": "i0", **bare})
    own = {**bare, "probe_name": "fiber_VTA", "session": {"subject": "M1"}}
    other = {**own, "session": {"subject": "M2"}}
    given = get_fiber_coordinates("M1", [own, other])
    assert given == [{"subject": "M1", "fiber": "fiber_VTA", "coords": [-500.0, -3100.0, -4400.0]}]
    assert get_fiber_coordinates("M1", one=one) == given
    assert get_fiber_coordinates("M3", one=one) == []


@pytest.mark.real
def test_real_sessions(real_archive):
    one, settings = real_archive
    listed = list_sessions(one, settings.project)
    assert listed["subject"].tolist() == [
        "ZM_335",
        "ZFM-03059",
        "fip_40",
        "ZFM-06275",
        "CQ002",
        "ZFM-08488",
    ]
    rows = {
        row.subject: fetch_session(one, row.eid, settings).iloc[0] for row in listed.itertuples()
    }
    assert rows["CQ002"]["brain_region"] == ["SI", "PPT"]
    assert rows["CQ002"]["target_NM"] == ["SI-ACh", "PPT-ACh"]
    assert rows["CQ002"]["region_source"] == "roi locations"
    assert rows["fip_40"]["roi"] == ["Region0G", "Region1G", "Region2G"]
    assert rows["ZM_335"]["session_type"] == "training"
    assert rows["ZM_335"]["brain_region"] == []
