"""Outcomes of all sessions and checks, against the truth of the planted faults."""

from __future__ import annotations

import pandas as pd
import pytest
from dagster import AssetCheckKey, AssetKey
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.pipeline.standing import current_matrix, session_rules
from iblnm.schemas import ERRORS, LABELS, QC_MATRIX, QC_SUMMARY
from iblnm.util import collect_session_errors
from iblnm.validation import RULES
from iblnm_dagster.migration import outcomes_of

pytestmark = pytest.mark.slow


def failing(matrix: pd.DataFrame) -> dict[str, set[str]]:
    bad = matrix[matrix["outcome"].isin(["fail", "warn"])]
    return {eid: set(checks) for eid, checks in bad.groupby("eid")["check"]}


# the whole matrix ---------------------------------------------------------------------------


def test_every_planted_fault_fails_its_checks_and_nothing_else_fails(faulty):
    matrix = faulty.table("qc_matrix")
    found = failing(matrix)
    wrong = {}
    for session in faulty.truth["sessions"]:
        failed = found.get(session["eid"], set())
        missed = set(session["expected_failures"]) - failed
        extra = failed - set(session["expected_failures"]) - set(session["open_checks"])
        if missed or extra:
            wrong[session["eid"], session["defect"]] = {"missed": missed, "extra": extra}
    assert wrong == {}
    clean = [s["eid"] for s in faulty.truth["sessions"] if s["is_clean"]]
    assert len(clean) >= 10
    of_clean = matrix[matrix["eid"].isin(clean)]
    assert set(of_clean["outcome"]) <= {"pass", "not evaluated"}


def test_the_matrix_is_complete_and_says_fail_or_warn_by_severity(faulty):
    matrix = QC_MATRIX.validate(faulty.table("qc_matrix"))
    rules = {rule.name for rule in running_rules()}
    eids = [session["eid"] for session in faulty.truth["sessions"]]
    assert matrix.groupby("eid")["check"].apply(set).to_dict() == dict.fromkeys(eids, rules)
    assert set(matrix.loc[matrix["outcome"] == "warn", "severity"]) == {"WARN"}
    assert set(matrix.loc[matrix["outcome"] == "fail", "severity"]) == {"BLOCK", "ERROR"}
    ran = ~matrix["outcome"].isin(["not run", "not evaluated"])
    assert matrix.loc[ran, "evaluated_at"].notna().all()
    assert matrix["message"].notna().all()


def test_the_number_and_the_limit_that_decided_are_in_the_matrix(faulty):
    matrix = faulty.table("qc_matrix").set_index(["eid", "check"])
    by_defect = {session["defect"]: session for session in faulty.truth["sessions"]}
    for name, planted in (
        ("band_inversion", "n_band_inversions"),
        ("early_samples", "n_early_samples"),
    ):
        row = matrix.loc[(by_defect[name]["eid"], name), :]
        assert (row["value"], row["limit"]) == (by_defect[name][planted], 0.0)
    row = matrix.loc[(by_defect["insufficient_trials"]["eid"], "insufficient_trials"), :]
    assert 0 < row["value"] < row["limit"] == 90
    row = matrix.loc[(by_defect["video_length_error"]["eid"], "video_length_error"), :]
    assert row["value"] > row["limit"] == 120


def test_a_stopped_branch_names_the_check_and_the_other_branches_ran(faulty):
    matrix = faulty.table("qc_matrix").set_index(["eid", "check"])
    eid = next(s["eid"] for s in faulty.truth["sessions"] if s["defect"] == "band_inversion")
    assert matrix.loc[(eid, "isosbestic_fit"), "outcome"] == "not run"
    assert matrix.loc[(eid, "isosbestic_fit"), "message"] == (
        "Stopped by the check band_inversion of photometry_qc."
    )
    assert matrix.loc[(eid, "psychometric_at_bound"), "outcome"] == "pass"
    assert matrix.loc[(eid, "video_length_error"), "outcome"] == "pass"


# what the rows say ----------------------------------------------------------------------------


@pytest.mark.slow
def test_dagster_has_what_was_evaluated_and_only_that(faulty):
    table = open_outcomes(faulty.settings).evaluations()
    assert not table.duplicated(["eid", "check"]).any()
    assert set(table["result"]) == {"pass", "fail", "not evaluated"}
    table = table.set_index(["check", "eid"])
    n = 0
    for rule in session_rules():
        records = faulty.instance.event_log_storage.get_asset_check_execution_history(
            AssetCheckKey(AssetKey(rule.asset), rule.name), limit=1000
        )
        for record in records:
            if record.status not in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES:
                continue
            n += 1
            evaluation = record.evaluation
            row = table.loc[(rule.name, record.partition), :]
            assert row["result"] == ("pass" if evaluation.passed else "fail")
            assert evaluation.description.endswith(row["message"])
            for name in ("value", "limit"):
                number = evaluation.metadata.get(name)
                assert pd.isna(row[name]) if number is None else row[name] == number.value
            waited = pd.Timestamp(row["evaluated_at"], tz="UTC").timestamp()
            assert -1 <= waited - record.create_timestamp < 600
    assert n == (table["result"] != "not evaluated").sum() > 25 * len(faulty.truth["sessions"])


def test_failures_are_those_planted(faulty):
    failures = open_outcomes(faulty.settings).attempts("failed")
    planted = {
        (session["eid"], asset)
        for session in faulty.truth["sessions"]
        for asset in session["expected_asset_failures"]
    }
    assert set(zip(failures["eid"], failures["asset"], strict=True)) == planted
    by_defect = {session["defect"]: session["eid"] for session in faulty.truth["sessions"]}
    types = failures.set_index(["eid", "asset"])["error_type"]
    assert types[by_defect["truncated_signal"], "photometry"] == "UnreadableFileError"
    assert types[by_defect["trials_without_column"], "trials"] == "MalformedFileError"
    assert types[by_defect["wheel_of_nan"], "wheel_velocity"] == "MalformedFileError"
    assert failures["traceback"].str.contains("iblnm").all()


@pytest.mark.slow
def test_a_root_from_before_takes_its_outcomes_from_the_history(faulty, tmp_path):
    old = faulty.settings.model_copy(update={"root": tmp_path})
    migrated = outcomes_of(faulty.instance, old)
    known = open_outcomes(faulty.settings)
    keys = ["eid", "check"]
    expected = known.evaluations().set_index(keys).sort_index()
    found = migrated.evaluations().set_index(keys).sort_index()
    evaluated = expected[expected["result"] != "not evaluated"]
    columns = ["result", "value", "limit", "message"]
    pd.testing.assert_frame_equal(found.loc[evaluated.index, columns], evaluated[columns])
    names = ["eid", "asset", "error_type", "message"]
    failures = [
        store.attempts("failed")[names].sort_values(names, ignore_index=True)
        for store in (migrated, known)
    ]
    pd.testing.assert_frame_equal(*failures)
    written = migrated.place.stat().st_mtime_ns
    assert outcomes_of(faulty.instance, old).place.stat().st_mtime_ns == written


# tables made from it ------------------------------------------------------------------------


def test_errors_are_what_fails_now_and_the_library_reads_them(faulty):
    errors = ERRORS.validate(faulty.table("errors"))
    matrix = faulty.table("qc_matrix")
    rows = errors[errors["severity"] != "FAILURE"]
    names = {rule.exception.__name__: rule.name for rule in RULES.values()}
    assert {
        (eid, names[error]) for eid, error in zip(rows["eid"], rows["error_type"], strict=True)
    } == {(eid, check) for eid, checks in failing(matrix).items() for check in checks}
    assert (errors["severity"] == "FAILURE").sum() == sum(
        len(session["expected_asset_failures"]) for session in faulty.truth["sessions"]
    )
    found = collect_session_errors(
        faulty.table("sessions"), [faulty.settings.metadata_dir / "errors.pqt"]
    ).set_index("eid")["logged_errors"]
    by_defect = {session["defect"]: session["eid"] for session in faulty.truth["sessions"]}
    assert found[by_defect["band_inversion"]] == ["BandInversion", "QCValidationError"]
    assert found[by_defect["truncated_signal"]] == ["UnreadableFileError"]
    assert found[by_defect["true_duplicate_session"]] == ["TrueDuplicateSession"]
    clean = [s["eid"] for s in faulty.truth["sessions"] if s["is_clean"]]
    assert all(found[eid] == [] for eid in clean)


def test_summary_adds_up(faulty):
    summary = QC_SUMMARY.validate(faulty.table("qc_summary"))
    n = len(faulty.truth["sessions"])
    counts = ["n_pass", "n_warn", "n_fail", "n_not_evaluated", "n_not_run"]
    assert (summary[counts].sum(axis=1) == summary["n_sessions"]).all()
    totals = summary[summary["scope"].isin(["all", "lab", "month"])]
    assert (totals.groupby(["scope", "check"])["n_sessions"].sum() == n).all()
    of_all = summary[summary["scope"] == "all"].set_index("check")
    matrix = faulty.table("qc_matrix")
    assert of_all["n_warn"].sum() == (matrix["outcome"] == "warn").sum()
    assert of_all["n_fail"].sum() == (matrix["outcome"] == "fail").sum()
    assert of_all.loc["band_inversion", "n_fail"] == 1
    targets = set(summary.loc[summary["scope"] == "target", "group"])
    assert {"VTA-DA", "DR-5HT", "NBM-ACh"} <= targets


def test_a_label_stands_in_the_matrix_and_in_the_sessions(faulty):
    by_defect = {session["defect"]: session["eid"] for session in faulty.truth["sessions"]}
    warned, blocked = by_defect["few_unique_samples"], by_defect["band_inversion"]
    labels = LABELS.validate(
        pd.DataFrame({"eid": [warned, blocked], "verdict": ["keep", "keep"]}).assign(
            who="me", when="2024-05-31", why="looked at it"
        )
    )
    eids = [session["eid"] for session in faulty.truth["sessions"]]
    matrix = current_matrix(
        open_outcomes(faulty.settings), eids, faulty.table("sessions"), labels, faulty.settings
    ).set_index(["eid", "check"])
    assert matrix.loc[(warned, "few_unique_samples"), "outcome"] == "pass"
    assert matrix.loc[(blocked, "band_inversion"), "outcome"] == "fail"
    assert set(matrix["label"].dropna().index.get_level_values("eid")) == {warned, blocked}
