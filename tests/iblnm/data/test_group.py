"""The group of sessions: catalog, filters, iteration, memory."""

from __future__ import annotations

import shutil
import weakref

import numpy as np
import pandas as pd
import pytest

from iblnm.config import SESSION_SCHEMA, Settings
from iblnm.data import PhotometrySessionGroup
from iblnm.errors import DataError
from iblnm.pipeline.selection import account_in_words
from iblnm.schemas import ERRORS, PERFORMANCE, QC_MATRIX
from iblnm.storage import write_table
from iblnm.validation import LOG_COLUMNS

LAZY = (
    "events",
    "response_magnitudes",
    "response_features",
    "similarity_matrix",
    "decoder",
    "response_traces",
    "response_traces_tpts",
    "mean_traces",
    "trial_timing",
    "peak_velocity",
    "performance",
    "psychometric_features",
    "glm_response_features",
    "cca_result",
    "cohort_cca_results",
    "cohort_cca_data",
    "cohort_cca_cross_projections",
    "cohort_cca_weight_similarities",
    "lmm_results",
    "lmm_coefficients",
    "lmm_re_formula",
    "wheel_lmm_results",
    "wheel_lmm_summary",
    "glm_pca_result",
    "anova_results",
)


def test_from_a_path_or_a_table(cohort, tmp_path, capsys):
    path = tmp_path / "sessions.pqt"
    write_table(cohort.catalog, path)
    groups = [
        PhotometrySessionGroup.from_catalog(catalog, settings=cohort.settings)
        for catalog in (path, str(path), cohort.catalog)
    ]
    printed = capsys.readouterr().out
    assert printed.count(account_in_words(groups[0].account)) == 3
    for group in groups:
        assert len(group) == 8
        recordings = group.recordings
        assert recordings["target_NM"].tolist()[:4] == ["VTA-DA", "SNc-DA"] * 2
        assert recordings["fiber_idx"].tolist() == [0, 1, 0, 1, 0, 0, 0, 0]
        assert recordings["hemisphere"].tolist()[:2] == ["l", "r"]


@pytest.mark.slow
def test_a_table_of_recordings_gives_the_same_group(cohort):
    whole = PhotometrySessionGroup(cohort.catalog, settings=cohort.settings)
    fibers = ["brain_region", "hemisphere", "target_NM"]
    lists = [name for name in ("recording_name", "roi") if name in cohort.catalog]
    exploded = cohort.catalog.drop(columns=lists).explode(fibers)
    same = PhotometrySessionGroup(exploded, settings=cohort.settings)
    names = ["eid", "fiber_idx", *fibers]
    pd.testing.assert_frame_equal(same.recordings[names], whole.recordings[names])
    assert len(same.get_response_magnitudes()) == len(whole.get_response_magnitudes())


def test_a_session_without_disqualifying_errors_is_preferred(cohort):
    catalog = cohort.catalog.assign(start_time="2024-01-01T10:00:00", number=[1, 2] * 3)
    catalog["logged_errors"] = [["BandInversion"], []] * 3
    group = PhotometrySessionGroup(catalog, settings=cohort.settings)
    assert group.deduplicate()["eid"].tolist() == catalog["eid"].iloc[::2].tolist()
    group.filter_sessions(qc_blockers=False, deduplicate=False, verbose=False)
    assert set(group.sessions["eid"]) <= set(catalog["eid"].iloc[1::2])


def test_criteria_reach_the_selection(cohort):
    group = PhotometrySessionGroup.from_catalog(
        cohort.catalog, settings=cohort.settings, session_types=("ephys",), targetnms=["SNc-DA"]
    )
    assert len(group) == 1
    assert group.recordings["fiber_idx"].tolist() == [1]
    assert group.sessions["brain_region"].tolist() == [["VTA", "SNc"]]


def test_a_single_name_is_one_value(cohort):
    group = PhotometrySessionGroup.from_catalog(
        cohort.catalog, settings=cohort.settings, session_types="ephys", targetnms="SNc-DA"
    )
    assert group.recordings["fiber_idx"].tolist() == [1]
    with pytest.raises(DataError, match="no such session type: 'bias'; known are"):
        group.filter_sessions(session_types="bias")
    features = group.get_response_features(events="feedback_times")
    assert len(features) == 1


def test_an_empty_group_says_once_what_left_it_empty(group, recwarn):
    group.filter_sessions(session_types="biased", lab="elsewhere", verbose=False)
    assert group.get_response_magnitudes().empty
    assert group.get_mean_traces().empty
    assert group.fit_lmm() == {}
    told = [str(entry.message) for entry in recwarn if "no recordings" in str(entry.message)]
    assert told == ["the group has no recordings: 'lab in elsewhere' removed the last 3"]
    group.filter_sessions(verbose=False)
    group.filter(np.zeros(len(group)))
    with pytest.warns(UserWarning, match="no recordings: filter"):
        group.get_trial_timing()


def test_filters_start_from_the_whole_catalog(group, cohort, capsys):
    account = group.filter_sessions(session_types=["ephys"], targetnms=["LC-NE"])
    assert account_in_words(account) in capsys.readouterr().out
    assert (len(group.sessions), len(group)) == (1, 1)
    group.filter_sessions(session_types=["biased"], verbose=False)
    assert (len(group.sessions), len(group)) == (3, 4)
    assert capsys.readouterr().out == ""
    pd.testing.assert_frame_equal(group._catalog, cohort.catalog)


def test_a_mask_keeps_recordings_and_their_sessions(group):
    assert group.filter(group.recordings["NM"] == "DA") is group
    assert (len(group), len(group.sessions)) == (4, 2)
    # text may be missing, and a comparison with it is neither true nor false
    side = group.recordings["hemisphere"].astype("string")
    side.iloc[0] = pd.NA
    group.filter(side == "l")
    assert group.recordings["fiber_idx"].tolist() == [0]
    group.explode_recordings()
    assert len(group) == 2
    with pytest.raises(ValueError, match="3 values for 2 recordings"):
        group.filter([True, False, True])


def test_indexing_and_iteration(group, cohort):
    recording, session = group[1]
    assert (recording["brain_region"], recording["fiber_idx"]) == ("SNc", 1)
    assert session.eid == recording["eid"] == cohort.catalog["eid"].iloc[0]
    assert session is group[0][1]
    assert group[-1][0]["eid"] == cohort.catalog["eid"].iloc[-1]
    with pytest.raises(IndexError):
        group[8]
    pairs = list(group)
    assert len(pairs) == len(group) == 8
    assert all(session.eid == recording["eid"] for recording, session in pairs)
    assert pairs[0][1] is pairs[1][1]


@pytest.mark.slow
def test_a_slice_is_a_group_of_its_own(group):
    group.get_response_magnitudes()
    part = group[1:4]
    assert isinstance(part, PhotometrySessionGroup)
    assert part.recordings["fiber_idx"].tolist() == [1, 0, 1]
    assert len(part.sessions) == 2
    keys = part.response_magnitudes[["eid", "fiber_idx"]].drop_duplicates()
    assert len(keys) == 3
    assert part[0][1] is group[1][1]
    # neither changes with the other
    part.filter(part.recordings["fiber_idx"] == 0)
    assert (len(part), len(group), len(group.sessions)) == (1, 8, 6)
    assert len(group.response_magnitudes[["eid", "fiber_idx"]].drop_duplicates()) == 8
    backwards = [recording["eid"] for recording, _ in group[::-4]]
    assert backwards == group.recordings["eid"].iloc[::-4].tolist()
    assert len(group[8:]) == 0


def test_a_function_of_the_recordings_is_a_mask(group):
    assert len(group.filter(lambda table: table["target_NM"] == "SNc-DA")) == 2
    with pytest.raises(ValueError, match="mask of 1 values for 2"):
        group.filter(lambda table: [True])


def test_sessions_come_with_what_is_stored(group, cohort):
    _, session = group[0]
    responses, trials = cohort.truth[session.eid, 0]
    np.testing.assert_array_equal(session.responses["VTA"], responses)
    np.testing.assert_array_equal(session.trials["stimOn_times"], trials["stimOn_times"])
    assert session.wheel_velocity.shape == (120, 50)
    assert session.NM == "DA"


def test_a_session_without_file_has_no_data(cohort, tmp_path):
    group = PhotometrySessionGroup(cohort.catalog, h5_dir=tmp_path, settings=cohort.settings)
    _, session = group[0]
    assert session.trials is None
    assert session.responses == {}
    session.load_h5(cohort.h5_path(session.eid))
    assert len(session.trials) == 120


@pytest.mark.slow
def test_five_thousand_recordings_hold_few_sessions(tmp_path):
    n = 2500
    sessions = pd.DataFrame(
        {
            "eid": [f"{i:08d}-0000-4000-8000-000000000000" for i in range(n)],
            "subject": [f"m{i % 50}" for i in range(n)],
            "brain_region": [["VTA", "SNc"]] * n,
            "hemisphere": [["l", "r"]] * n,
            "target_NM": [["VTA-DA", "SNc-DA"]] * n,
        }
    )
    settings = Settings(root=tmp_path, cohort={"max_cached_sessions": 3})
    group = PhotometrySessionGroup(sessions, settings=settings)
    assert len(group) == 5000
    alive = weakref.WeakSet()
    opened, most = 0, 0
    open_session = group._cache._open

    def count(eid):
        nonlocal opened
        opened += 1
        # before one more is opened, so that it does not count itself
        assert len(alive) <= 2
        return open_session(eid)

    group._cache._open = count
    for _, session in group:
        alive.add(session)
        most = max(most, len(alive))
    assert opened == n
    assert most == 3
    del session
    group.process(lambda ps: alive.add(ps))
    assert len(alive) <= 3


def test_at_least_one_session_is_cached(cohort, tmp_path):
    settings = Settings(root=tmp_path, cohort={"max_cached_sessions": 0})
    with pytest.raises(ValueError, match="at least 1"):
        PhotometrySessionGroup(cohort.catalog, settings=settings)


def test_repeated_sessions_are_refused(cohort):
    twice = pd.concat([cohort.catalog, cohort.catalog.iloc[:1]])
    with pytest.raises(DataError, match="1 sessions are listed more than once"):
        PhotometrySessionGroup(twice, settings=cohort.settings)


# results -----------------------------------------------------------------------------------


def test_results_start_as_none(group):
    assert [name for name in LAZY if getattr(group, name) is not None] == []


@pytest.mark.slow
def test_tables_are_cut_with_the_recordings_and_models_forgotten(group):
    group.get_response_magnitudes()
    group.get_trial_timing()
    group.decoder = object()
    group.filter(group.recordings["target_NM"] == "SNc-DA")
    assert group.decoder is None
    magnitudes = group.response_magnitudes
    assert set(magnitudes["target_NM"]) == {"SNc-DA"}
    assert set(magnitudes["fiber_idx"]) == {1}
    assert len(group.trial_timing) == 240
    # sessions come back: a table without them would be taken for whole
    group.filter_sessions(verbose=False)
    assert group.response_magnitudes is None
    assert group.trial_timing is None


def test_the_first_session_of_a_day_stays(cohort):
    catalog = cohort.catalog.assign(start_time="2024-01-01T10:00:00", number=[2, 1] * 3)
    group = PhotometrySessionGroup(catalog, settings=cohort.settings)
    log = group.deduplicate()
    assert group.sessions["eid"].tolist() == catalog["eid"].iloc[1::2].tolist()
    assert log.columns.tolist() == LOG_COLUMNS
    assert log["eid"].tolist() == catalog["eid"].iloc[::2].tolist()
    assert set(log["error_type"]) == {"TrueDuplicateSession"}
    assert catalog["eid"].iloc[1] in log["error_message"].iloc[0]
    assert group.deduplicate().empty


# files of the root -------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path, cohort):
    """A root of its own with errors, performance and labels."""
    settings = Settings(root=tmp_path / "root")
    settings.metadata_dir.mkdir(parents=True)
    settings.data_dir.mkdir(parents=True)
    eids = cohort.catalog["eid"]
    performance = pd.DataFrame({"eid": eids, "n_trials": 100, "fraction_correct": 0.9})
    performance["contrasts"] = [[0.0, 6.25, 12.5, 25.0, 100.0]] * 5 + [[100.0]]
    write_table(performance, settings.data_dir / "performance.pqt", PERFORMANCE)
    label = f"{eids[1]},,drop,someone,2024-01-01,artifact\n"
    header = "eid,fiber_idx,verdict,who,when,why\n"
    settings.labels_fpath.write_text(header + label, encoding="utf-8")
    return settings


def _eids(settings, cohort):
    group = PhotometrySessionGroup.from_catalog(cohort.catalog, settings=settings, verbose=False)
    return [cohort.catalog["eid"].tolist().index(eid) for eid in group.sessions["eid"]]


def test_errors_performance_and_labels_of_the_root(root, cohort):
    errors = pd.DataFrame({"eid": cohort.catalog["eid"][:1], "error_type": "BandInversion"})
    path = root.metadata_dir / "errors.pqt"
    write_table(errors.assign(asset="photometry_qc", severity="BLOCK"), path, ERRORS)
    assert _eids(root, cohort) == [2, 3, 4]


def test_without_errors_the_failed_checks_count(root, cohort):
    rows = [
        {"check": "band_inversion", "asset": "photometry_qc", "severity": "BLOCK"},
        {"check": "missing_isosbestic", "asset": "photometry", "severity": "WARN"},
    ]
    matrix = pd.DataFrame(rows).assign(
        eid=cohort.catalog["eid"][:2], outcome=["fail", "warn"], message="x"
    )
    write_table(matrix, root.metadata_dir / "qc_matrix.pqt", QC_MATRIX)
    assert _eids(root, cohort) == [2, 3, 4]


def test_a_catalog_has_all_columns_of_the_schema(cohort):
    needed = ["eid", "subject", "start_time", "session_type", "NM"]
    lists = ["brain_region", "hemisphere", "target_NM"]
    group = PhotometrySessionGroup.from_catalog(
        cohort.catalog[[*needed, *lists]].assign(mine=1),
        settings=cohort.settings,
        session_types=False,
        qc_blockers=False,
        targetnms=False,
        min_performance=False,
        required_contrasts=False,
        verbose=False,
    )
    assert set(SESSION_SCHEMA) <= set(group.sessions)
    assert group.sessions["users"].map(len).tolist() == [0] * 6
    assert (group.sessions["mine"] == 1).all()
    assert group.recordings["recording_name"].tolist()[:2] == ["VTA", "SNc"]


def test_two_recordings_in_one_place_are_refused(cohort):
    rows = cohort.catalog.explode(["brain_region", "hemisphere", "target_NM"])
    rows = rows.drop(columns="recording_name")
    with pytest.raises(DataError, match="2 recordings have the fiber_idx of another"):
        PhotometrySessionGroup(rows.assign(fiber_idx=0), settings=cohort.settings)


def test_a_session_without_fibers_has_no_recording_however_the_catalog_is_given(cohort):
    fibers = ["brain_region", "hemisphere", "target_NM", "recording_name"]
    others = {name: [[], *cohort.catalog[name].tolist()[1:]] for name in fibers}
    catalog = cohort.catalog.assign(**others)
    group = PhotometrySessionGroup(catalog, settings=cohort.settings)
    exploded = PhotometrySessionGroup(catalog.explode(fibers), settings=cohort.settings)
    assert exploded.sessions["brain_region"].tolist()[0] == []
    assert len(exploded.sessions) == len(group.sessions) == 6
    pd.testing.assert_frame_equal(
        exploded.recordings[["eid", *fibers, "fiber_idx"]].reset_index(drop=True),
        group.recordings[["eid", *fibers, "fiber_idx"]].reset_index(drop=True),
    )


def test_what_is_assigned_is_in_use(cohort):
    group = PhotometrySessionGroup(cohort.catalog, settings=cohort.settings)
    group.recordings = group.recordings[group.recordings["target_NM"] == "SNc-DA"]
    assert len(group) == len(group.sessions) == 2
    assert set(group.get_response_magnitudes()["target_NM"]) == {"SNc-DA"}
    group.sessions = cohort.catalog.tail(1)
    assert group.response_magnitudes is None
    assert group.recordings["eid"].tolist() == cohort.catalog["eid"].tolist()[-1:]


@pytest.mark.parametrize(
    "name",
    ["get_response_magnitudes", "get_mean_traces", "get_trial_regressors", "get_trial_timing"],
)
def test_nothing_read_is_an_error_and_never_an_empty_table(cohort, tmp_path, name):
    group = PhotometrySessionGroup(cohort.catalog, h5_dir=tmp_path, settings=cohort.settings)
    with pytest.raises(DataError, match=r"nothing could be read of 8 recordings in .*no trials"):
        getattr(group, name)()
    with pytest.raises(DataError, match="none of the 6 sessions in use has a file in"):
        group.load_response_traces()
    for eid in cohort.catalog["eid"][:5]:
        shutil.copy(cohort.h5_path(eid), tmp_path)
    with pytest.warns(UserWarning, match="1 left out, no trials"):
        assert getattr(group, name)()["eid"].nunique() == 5
