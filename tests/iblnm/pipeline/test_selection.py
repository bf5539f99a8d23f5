"""Selection of sessions: every criterion, in order, with its account."""

from __future__ import annotations

import pandas as pd
import pytest

from iblnm.analysis.recordings import explode_sessions
from iblnm.config import Settings
from iblnm.errors import DataError
from iblnm.pipeline.selection import account_in_words, blocking_errors, select_sessions
from iblnm.schemas import LABELS
from iblnm.schemas.selection import SESSION_SELECTION
from iblnm.validation import ParallelLists

DATASETS = ["alf/_ibl_trials.table.pqt", "alf/photometry/photometry.signal.pqt"]
CONTRASTS = [0.0, 6.25, 12.5, 25.0, 100.0]


@pytest.fixture
def settings(tmp_path):
    return Settings(root=tmp_path)


def _session(eid, **changes):
    return {
        "eid": eid,
        "subject": eid,
        "start_time": "2024-01-01T10:00:00",
        "number": 1,
        "lab": "lab-a",
        "session_type": "biased",
        "NM": "DA",
        "brain_region": ["VTA"],
        "hemisphere": ["l"],
        "target_NM": ["VTA-DA"],
        "datasets": DATASETS,
        "n_recordings": 1,
        "label": None,
        "excluded": [],
        **changes,
    }


# what is wrong with a session, by eid, and the criterion that finds it
FAULTS = {
    "type": ({"session_type": "habituation"}, "session type"),
    "no-type": ({"session_type": None}, "session type"),
    "subject": ({"subject": "SP066"}, "subject not among"),
    "label": ({"label": "drop"}, "verdict drop"),
    "lists": ({"target_NM": ["VTA-DA", "SNc-DA"]}, "equal length"),
    "datasets": ({"datasets": DATASETS[:1]}, "trials and photometry"),
    "blocked": ({}, "blocking check"),
    "failed": ({}, "blocking check"),
    "target": ({"target_NM": ["PPT-ACh"]}, "target in"),
    "dropped-fiber": ({"excluded": [0]}, "target in"),
    "novice": ({"session_type": "training"}, "training sessions"),
    "unknown-performance": ({"session_type": "training"}, "training sessions"),
    "contrasts": ({}, "contrasts"),
    "later": ({"subject": "good", "start_time": "2024-01-01T12:00:00"}, "subject's day"),
}


@pytest.fixture
def catalog():
    faulty = [_session(eid, **changes) for eid, (changes, _) in FAULTS.items()]
    other_day = _session("other-day", subject="good", start_time="2024-01-02T10:00:00")
    return pd.DataFrame([*faulty, _session("good"), other_day])


@pytest.fixture
def errors():
    rows = [
        ("blocked", "BandInversion", "photometry_qc", "BLOCK"),
        ("failed", "UnreadableFileError", "responses", "FAILURE"),
        # neither blocks: an asset that no analysis of responses needs, a warning, raw files
        ("good", "TransientError", "video_qc", "FAILURE"),
        ("good", "MissingIsosbestic", "photometry", "WARN"),
        ("good", "MissingRawData", "session", "ERROR"),
    ]
    return pd.DataFrame(rows, columns=["eid", "error_type", "asset", "severity"])


@pytest.fixture
def performance(catalog):
    table = pd.DataFrame({"eid": catalog["eid"], "fraction_correct": 0.6})
    odd = [*CONTRASTS, 50.0]
    table["contrasts"] = [odd if eid == "contrasts" else CONTRASTS for eid in table["eid"]]
    table.loc[table["eid"] == "novice", "fraction_correct"] = 0.69
    return table[table["eid"] != "unknown-performance"]


def test_each_fault_is_found_by_its_criterion(catalog, errors, performance, settings):
    selected, account = select_sessions(
        catalog, errors=errors, performance=performance, settings=settings
    )
    assert selected["eid"].tolist() == ["good", "other-day"]
    pd.testing.assert_frame_equal(SESSION_SELECTION.validate(account), account)
    found = {eid: row.criterion for row in account.itertuples() for eid in row.eids_removed}
    assert set(found) == set(FAULTS)
    for eid, (_, criterion) in FAULTS.items():
        assert criterion in found[eid], eid
    assert account["n_sessions_before"].iloc[0] == len(catalog)
    assert account["n_sessions"].iloc[-1] == 2
    removed = account["n_sessions_before"] - account["n_sessions_removed"]
    assert (removed == account["n_sessions"]).all()
    assert account["n_sessions"][:-1].tolist() == account["n_sessions_before"][1:].tolist()
    assert account["n_subjects"].iloc[-1] == 1
    by_setting = account.dropna(subset=["setting"]).set_index("setting")["criterion"]
    assert by_setting["IBLNM_ANALYSED_TARGETS"].startswith("target in ")
    for name in by_setting.index:
        field, _, inner = name.removeprefix("IBLNM_").lower().partition("__")
        value = getattr(settings, field)
        assert not inner or hasattr(value, inner), name
    assert len(by_setting) == 5
    assert "first of the subject's day: 3 - 1 = 2 sessions of 1 subjects" in account_in_words(
        account
    )


ALL_OFF = dict.fromkeys(
    (
        "session_types",
        "exclude_subjects",
        "qc_blockers",
        "targets",
        "min_performance",
        "required_contrasts",
        "deduplicate",
        "labels",
    ),
    False,
)


def test_false_leaves_a_criterion_out(catalog, errors, performance, settings):
    selected, account = select_sessions(
        catalog, errors=errors, performance=performance, settings=settings, **ALL_OFF
    )
    assert set(catalog["eid"]) - set(selected["eid"]) == {"lists", "datasets"}
    assert len(account) == 2


@pytest.mark.parametrize(
    ("criteria", "kept"),
    [
        ({"session_types": ["training"]}, {"novice", "unknown-performance"}),
        ({"lab": "lab-b"}, set()),
        ({"targets": ["PPT-ACh"]}, {"target"}),
        ({"min_performance": 0.69, "session_types": ["training"]}, {"novice"}),
        ({"session_types": "training"}, {"novice", "unknown-performance"}),
        ({"session_types": "habituation", "exclude_subjects": "nobody"}, {"type"}),
        ({"session_types": "habituation", "exclude_subjects": "type"}, set()),
        ({"targets": "PPT-ACh"}, {"target"}),
        ({"required_contrasts": 100}, set()),
        ({"qc_blockers": "BandInversion", "session_types": "ephys"}, set()),
    ],
)
def test_a_criterion_can_be_set(catalog, errors, performance, settings, criteria, kept):
    selected, _ = select_sessions(
        catalog, errors=errors, performance=performance, settings=settings, **ALL_OFF | criteria
    )
    assert set(selected["eid"]) == kept


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ({"session_types": "bias"}, "no such session type: 'bias'; known are .*biased, ephys"),
        ({"targets": ["VTA-DA", "VTA-DAA"]}, "no such target: 'VTA-DAA'; known are .*VTA-DA"),
    ],
)
def test_a_name_that_nobody_knows_is_refused(catalog, errors, settings, criteria, words):
    with pytest.raises(DataError, match=words):
        select_sessions(catalog, errors=errors, settings=settings, **ALL_OFF | criteria)


def test_an_error_that_nobody_knows_is_told_and_blocks_nothing(catalog, errors, settings):
    criteria = ALL_OFF | {"qc_blockers": ["BandInversoin", "own_label"]}
    with pytest.warns(UserWarning, match="BandInversoin.*own_label.*mean 'BandInversion'"):
        selected, _ = select_sessions(catalog, errors=errors, settings=settings, **criteria)
    assert "blocked" in set(selected["eid"])


@pytest.mark.parametrize(
    ("start", "kept"),
    [
        ("2024-01-02", {"late-1", "late-2"}),
        ("2024-01-02T12:00:00+03:00", {"late-1", "late-2"}),
        ("2024-01-02T12:00:00Z", set()),
    ],
)
def test_a_first_day_keeps_subjects_with_all_their_sessions(settings, start, kept):
    days = {"early-1": "01", "early-2": "05", "late-1": "02", "late-2": "03"}
    rows = [
        _session(eid, subject=eid[:-2], start_time=f"2024-01-{day}T10:00:00")
        for eid, day in days.items()
    ]
    selected, _ = select_sessions(
        pd.DataFrame(rows), settings=settings, **ALL_OFF | {"start_time_min": start}
    )
    assert set(selected["eid"]) == kept


def test_the_columns_of_the_catalog_decide_over_the_tables(catalog, performance, settings):
    catalog = catalog[catalog["eid"].isin(["good", "novice", "other-day"])].copy()
    catalog["logged_errors"] = [
        ["BandInversion"] if eid == "good" else [] for eid in catalog["eid"]
    ]
    catalog["fraction_correct"] = [0.9 if eid == "novice" else 0.1 for eid in catalog["eid"]]
    none = pd.DataFrame({"eid": ["other-day"], "error_type": ["BandInversion"]})
    selected, _ = select_sessions(catalog, errors=none, performance=performance, settings=settings)
    assert set(selected["eid"]) == {"novice", "other-day"}


def test_performance_is_held_to_a_number_or_to_one_for_each_type(catalog, performance, settings):
    def kept(limit):
        criteria = ALL_OFF | {"min_performance": limit}
        selected, _ = select_sessions(
            catalog, performance=performance, settings=settings, **criteria
        )
        return set(selected["eid"])

    everyone = kept(False)
    assert everyone - kept(0.65) == everyone - {"novice"}
    assert everyone - kept({"training": 0.65}) == {"unknown-performance"}
    assert everyone - kept({"training": 0.7, "biased": 0.5}) == {"novice", "unknown-performance"}


def test_names_of_the_tables_are_known(catalog, errors, settings):
    own = catalog.assign(session_type="opto", target_NM=[["BF-ACh"]] * len(catalog))
    odd = errors.assign(error_type="OSError")
    criteria = {"session_types": "opto", "targets": "BF-ACh", "qc_blockers": "OSError"}
    selected, _ = select_sessions(own, errors=odd, settings=settings, **ALL_OFF | criteria)
    assert set(catalog["eid"]) - set(selected["eid"]) >= {"blocked", "failed", "good"}
    assert "other-day" in set(selected["eid"])
    for names in ("UnreadableFileError", {"QCValidationError", "VideoLengthError"}):
        criteria = {"qc_blockers": names}
        select_sessions(catalog, errors=errors, settings=settings, **ALL_OFF | criteria)


def test_one_contrast_is_a_set_of_one(catalog, performance, settings):
    contrasts = [[100.0] if eid == "good" else CONTRASTS for eid in performance["eid"]]
    one = performance.assign(contrasts=contrasts)
    for given in (100, 100.0, [100]):
        criteria = ALL_OFF | {"required_contrasts": given}
        selected, _ = select_sessions(catalog, performance=one, settings=settings, **criteria)
        assert selected["eid"].tolist() == ["good"]


def test_an_umbrella_name_stands_for_all_under_it(catalog, errors, settings):
    for names, gone in (
        ({"QCValidationError"}, {"blocked"}),
        ({"BandInversion", "MissingRawData"}, {"blocked", "good"}),
        ({"EarlySamples"}, set()),
    ):
        selected, _ = select_sessions(
            catalog, errors=errors, settings=settings, **ALL_OFF | {"qc_blockers": names}
        )
        assert set(catalog["eid"]) - set(selected["eid"]) == gone | {"lists", "datasets"}
    assert {"BandInversion", "EarlySamples", "InsufficientTrials"} <= blocking_errors()
    assert "MissingRawData" not in blocking_errors()


def test_errors_in_the_table_itself(catalog, settings):
    logged = catalog.assign(logged_errors=[["ChoiceSign"]] + [[]] * (len(catalog) - 1))
    selected, _ = select_sessions(logged, settings=settings, **ALL_OFF | {"qc_blockers": None})
    assert "type" not in set(selected["eid"])
    assert "good" in set(selected["eid"])


def test_labels_replace_the_verdicts_of_the_table(catalog, settings):
    rows = [
        {"eid": "good", "fiber_idx": None, "verdict": "drop"},
        {"eid": "other-day", "fiber_idx": 0, "verdict": "drop"},
    ]
    labels = LABELS.conform(pd.DataFrame(rows).assign(who="a", when="2024-01-01", why="x"))
    criteria = ALL_OFF | {"targets": None, "labels": labels}
    selected, account = select_sessions(catalog, settings=settings, **criteria)
    assert {"good", "other-day"}.isdisjoint(selected["eid"])
    assert {"label", "dropped-fiber"} <= set(selected["eid"])
    first = account[account["criterion"].str.contains("verdict")].iloc[0]
    assert first["eids_removed"] == ["good"]


def test_a_default_without_its_table_removes_nothing_and_says_so(catalog, settings):
    _, account = select_sessions(catalog, settings=settings)
    silent = account[account["criterion"].str.contains("not applied")]
    assert silent["n_sessions_removed"].sum() == 0
    assert sorted(name.split(": no ")[1] for name in silent["criterion"]) == [
        "contrasts)",
        "fraction_correct)",
        "logged_errors)",
    ]


@pytest.mark.parametrize(
    ("criteria", "column"),
    [
        ({"qc_blockers": {"BandInversion"}}, "logged_errors"),
        ({"min_performance": 0.5}, "fraction_correct"),
        ({"required_contrasts": [0.0, 100.0]}, "contrasts"),
    ],
)
def test_an_explicit_criterion_without_its_table_is_refused(catalog, settings, criteria, column):
    with pytest.raises(DataError, match=f"{column} is unknown"):
        select_sessions(catalog, settings=settings, **ALL_OFF | criteria)


def test_a_bad_duplicate_does_not_stand_in_the_way_of_a_good_one(settings):
    first = _session("first", subject="m", session_type="passive")
    second = _session("second", subject="m", start_time="2024-01-01T12:00:00")
    selected, _ = select_sessions(pd.DataFrame([second, first]), settings=settings)
    assert selected["eid"].tolist() == ["second"]


def test_of_one_start_time_the_lower_number_is_first(settings):
    table = pd.DataFrame(
        [_session("b", subject="m", number=2), _session("a", subject="m", number=1)]
    )
    assert select_sessions(table, settings=settings)[0]["eid"].tolist() == ["a"]


def test_no_sessions_are_no_error(catalog, settings):
    selected, account = select_sessions(catalog.iloc[:0], settings=settings)
    assert selected.empty
    assert account["n_sessions"].eq(0).all()


def test_recordings_keep_the_number_of_their_fiber():
    row = _session(
        "a",
        brain_region=["NBM", "NBM", "SI"],
        hemisphere=["l", "r", None],
        target_NM=["NBM-ACh", "NBM-ACh", "SI-ACh"],
        excluded=[0],
    )
    sessions = pd.DataFrame([row])
    table = explode_sessions(sessions)
    assert table["fiber_idx"].tolist() == [1, 2]
    assert table["recording_name"].tolist() == ["NBM_1", "SI"]
    assert table["hemisphere"].tolist() == ["r", None]
    assert explode_sessions(sessions, ["SI-ACh"])["fiber_idx"].tolist() == [2]
    assert sessions["brain_region"].iloc[0] == ["NBM", "NBM", "SI"]
    assert explode_sessions(sessions, ["LC-NE"]).empty


def test_lists_of_different_length_are_refused():
    row = _session("a", hemisphere=["l", "r"])
    with pytest.raises(ParallelLists, match="session a has 1 regions, but 2 of hemisphere"):
        explode_sessions(pd.DataFrame([row]))
    unknown = _session("a", hemisphere=None)
    assert explode_sessions(pd.DataFrame([unknown]))["hemisphere"].tolist() == [None]


def test_a_session_gone_from_the_archive_is_not_analyzed(catalog, errors, performance, settings):
    options = {"errors": errors, "performance": performance, "settings": settings}
    before, _ = select_sessions(catalog, **options)
    gone = before["eid"].iloc[0]
    marks = pd.array([None] * len(catalog), dtype="string")
    marked = catalog.assign(withdrawn=marks)
    marked.loc[marked["eid"] == gone, "withdrawn"] = "2026-01-02T03:04:05"
    kept, account = select_sessions(marked, **options)
    assert set(before["eid"]) - set(kept["eid"]) == {gone}
    row = account[account["criterion"] == "not withdrawn from the archive"].iloc[0]
    assert row["eids_removed"] == [gone]


def test_matrix_rule_selection_and_group_use_the_same_session_of_a_day():
    """The first training session of the day is below the limit: the second is used."""
    from iblnm.data import PhotometrySessionGroup
    from iblnm.pipeline.duplicates import duplicate_candidates, duplicate_outcomes
    from iblnm.pipeline.rules import RULES
    from iblnm.pipeline.selection import with_performance

    settings = Settings()
    eids = [f"{i:08d}-0000-4000-8000-000000000000" for i in range(4)]
    sessions = pd.DataFrame(
        {
            "eid": eids,
            "subject": "m1",
            "session_type": "training",
            "number": [1, 2, 3, 1],
            "start_time": ["2024-05-31T10:00:00"] * 3 + ["2024-06-01T10:00:00"],
            "brain_region": [["VTA"]] * 4,
            "hemisphere": [["l"]] * 4,
            "target_NM": [["VTA-DA"]] * 4,
        }
    )
    contrasts = list(settings.analysis_contrasts)
    performance = pd.DataFrame(
        {"eid": eids, "fraction_correct": [0.5, 0.9, 0.9, 0.9], "contrasts": [contrasts] * 4}
    )
    kept, _ = select_sessions(sessions, performance=performance, settings=settings)
    assert kept["eid"].tolist() == [eids[1], eids[3]]
    known = with_performance(sessions, performance)
    nothing = pd.DataFrame({"eid": [], "check": [], "outcome": [], "asset": [], "error_type": []})
    candidates = duplicate_candidates(known, nothing, nothing)
    matrix = duplicate_outcomes(eids, candidates, settings, "now").set_index("eid")
    assert matrix["outcome"].tolist() == ["warn", "pass", "warn", "pass"]
    assert f"{eids[1]} is used" in matrix.loc[eids[0], "message"]
    assert f"{eids[1]} is used" in matrix.loc[eids[2], "message"]
    outcome = RULES["true_duplicate_session"].evaluate(settings, sessions=candidates)
    assert outcome.value == 2.0
    assert [row["eid"] for row in outcome.metadata["sessions"] if row["kept"]] == [eids[1]]
    group = PhotometrySessionGroup(sessions, settings=settings, performance=performance)
    group.filter_sessions(deduplicate=False, verbose=False)
    left_out = group.deduplicate()
    assert group.sessions["eid"].tolist() == [eids[1], eids[3]]
    assert left_out["eid"].tolist() == [eids[0], eids[2]]
    assert left_out["error_message"].str.contains(f"{eids[1]} is used").all()
    group.filter_sessions(min_performance=False, deduplicate=False, verbose=False)
    assert group.sessions["eid"].tolist() == [eids[1], eids[3]]


@pytest.mark.parametrize(("severity", "used"), [("WARN", ["a", "b"]), ("ERROR", ["b"])])
def test_a_missing_video_does_not_make_a_session_unusable(severity, used):
    from iblnm.pipeline.duplicates import duplicate_candidates
    from iblnm.pipeline.rules.cohort import usable_sessions

    sessions = pd.DataFrame({"eid": ["a", "b"], "subject": "m1"})
    broken = pd.DataFrame({"eid": ["a"], "check": ["missing_raw_data"], "severity": [severity]})
    failures = pd.DataFrame({"eid": [], "asset": []})
    candidates = duplicate_candidates(sessions, broken, failures)
    usable = candidates["eid"][usable_sessions(candidates, Settings())].tolist()
    assert usable == used


def test_a_day_of_which_nothing_is_analyzed_keeps_its_first_session():
    from iblnm.pipeline.rules.cohort import duplicates

    sessions = pd.DataFrame(
        {
            "eid": ["a", "b"],
            "subject": "m1",
            "session_type": "passive",
            "start_time": ["2024-05-31T12:00:00", "2024-05-31T10:00:00"],
        }
    )
    found = duplicates(sessions, [True, True], Settings())
    assert found["eid"].tolist() == ["b", "a"]
    assert found["kept"].tolist() == [True, False]
