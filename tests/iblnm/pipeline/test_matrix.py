"""Matrix of outcomes, its summary and the errors in it, on small made-up tables."""

import pandas as pd
import pytest

from iblnm.config import Settings, Thresholds
from iblnm.pipeline import matrix as matrices
from iblnm.pipeline import qc_summary
from iblnm.pipeline.duplicates import duplicate_candidates, duplicate_outcomes
from iblnm.schemas import ERRORS, LABELS, QC_MATRIX, QC_SUMMARY
from iblnm.util import collect_session_errors
from iblnm.validation import RULES

A, B, C, D, E, F, G = (f"00000000-0000-4000-8000-00000000000{i}" for i in range(7))
NAMES = ["invalid_line", "missing_raw_data", "insufficient_trials", "psychometric_at_bound"]
NAMES += ["band_inversion"]
RULES_USED = [RULES[name] for name in NAMES]
NO_ATTEMPTS = pd.DataFrame(columns=["eid", "asset", "state", "error_type", "message"])


def attempts(*rows):
    """Rows (eid, asset, state, error type or None, message or None)."""
    return pd.DataFrame(rows, columns=NO_ATTEMPTS.columns)


def complete(evaluations, eids, attempts=NO_ATTEMPTS):
    return matrices.complete_matrix(evaluations, attempts, eids, RULES_USED)


def evaluation(eid, check, result="pass", value=1.0, severity=None):
    return {
        "eid": eid,
        "check": check,
        "result": result,
        "value": value,
        "limit": 2.0,
        "message": f"{check} of {eid[-1]}",
        "evaluated_at": "2024-05-31T12:00:00",
        "severity": severity,
    }


@pytest.fixture
def evaluations():
    """A passes all; B has a warning and is blocked by its trials; C was never run."""
    return pd.DataFrame(
        [evaluation(A, name) for name in NAMES]
        + [
            evaluation(B, "invalid_line", "fail"),
            evaluation(B, "missing_raw_data"),
            evaluation(B, "insufficient_trials", "fail", 70.0),
        ]
    )


@pytest.fixture
def matrix(evaluations):
    return complete(evaluations, [C, A, B])


def of(matrix, column):
    return matrix.set_index(["eid", "check"])[column]


def test_every_session_has_every_check(matrix):
    QC_MATRIX.validate(matrix)
    assert list(zip(matrix["eid"], matrix["check"], strict=True)) == [
        (eid, name) for eid in (C, A, B) for name in NAMES
    ]
    outcome = of(matrix, "outcome")
    assert (outcome[A] == "pass").all()
    assert (outcome[C] == "not run").all()
    assert outcome[B].tolist() == ["warn", "pass", "fail", "not run", "not run"]
    assert of(matrix, "value")[B, "insufficient_trials"] == 70.0
    assert of(matrix, "severity")[C].tolist() == ["WARN", "ERROR", "BLOCK", "WARN", "BLOCK"]
    assert of(matrix, "asset")[C, "band_inversion"] == "photometry_qc"


def test_what_did_not_run_says_why(evaluations, matrix):
    message = of(matrix, "message")
    assert message[C].unique().tolist() == ["The session was not run yet."]
    stopped = "Stopped by the check insufficient_trials of trials."
    assert message[B, "psychometric_at_bound"] == stopped
    rows = (A, "photometry", "no data", None, "none listed"), (B, "session", "stored", None, None)
    failed = (B, "photometry", "failed", "UnreadableFileError", "truncated")
    known = complete(evaluations[:1], [A, B], attempts(*rows, failed))
    message = of(known, "message")
    assert message[A, "band_inversion"] == "The session has no photometry: none listed."
    assert of(known, "outcome")[A, "band_inversion"] == "not evaluated"
    assert of(known, "outcome")[B, "band_inversion"] == "not run"
    assert message[B, "band_inversion"] == "photometry could not be made: UnreadableFileError."
    assert message[B, "invalid_line"] == "invalid_line of session was not evaluated yet."
    assert message[B, "insufficient_trials"] == "trials was not made yet."


@pytest.mark.slow
def test_what_could_not_be_evaluated_is_neither_passed_nor_failed(evaluations):
    unknown = evaluation(A, "insufficient_trials", "not evaluated", None)
    rest = evaluations[(evaluations["eid"] == A) & (evaluations["check"] != unknown["check"])]
    matrix = complete(pd.concat([rest, pd.DataFrame([unknown])]), [A])
    assert of(matrix, "outcome")[A, "insufficient_trials"] == "not evaluated"
    assert matrices.session_standings(matrix, ())[A] == "clean"
    assert qc_summary.pass_share(matrix) == (1, 1)
    summary = qc_summary.summarize(matrix, sessions()).set_index(["scope", "check"])
    row = summary.loc[("all", "insufficient_trials")]
    assert (row["n_pass"], row["n_not_evaluated"], row["n_sessions"]) == (0, 1, 1)
    assert pd.isna(row["pass_rate"])


@pytest.mark.slow
def test_severity_is_that_of_what_was_found(evaluations):
    wheel = evaluation(A, "missing_raw_data", "fail", 1.0, severity="WARN")
    trials = evaluation(B, "missing_raw_data", "fail", 1.0, severity="ERROR")
    matrix = complete(pd.DataFrame([wheel, trials]), [A, B])
    assert of(matrix, "outcome")[:, "missing_raw_data"].tolist() == ["warn", "fail"]
    errors = matrices.matrix_errors(matrix)
    assert errors["severity"].tolist() == ["WARN", "ERROR"]
    rows = qc_summary.summarize(matrix, sessions())
    row = rows[(rows["scope"] == "all") & (rows["check"] == "missing_raw_data")]
    assert row[["severity", "n_warn", "n_fail"]].to_numpy().tolist() == [["ERROR", 1, 1]]


def test_an_earlier_evaluation_below_a_block_does_not_count(evaluations):
    stale = pd.DataFrame(
        [evaluation(B, "psychometric_at_bound", "fail"), evaluation(B, "band_inversion", "fail")]
    )
    matrix = complete(pd.concat([evaluations, stale]), [A, B])
    row = matrix.set_index(["eid", "check"]).loc[B, "psychometric_at_bound"]
    assert row["outcome"] == "not run"
    assert row["message"] == "Stopped by the check insufficient_trials of trials."
    assert row[["value", "limit", "evaluated_at"]].isna().all()
    assert of(matrix, "outcome")[B, "band_inversion"] == "fail"
    assert of(matrix, "outcome")[B, "insufficient_trials"] == "fail"


def test_evaluations_of_unknown_sessions_and_checks_are_left_out(evaluations):
    stray = pd.DataFrame(
        [evaluation(C, "invalid_line"), {**evaluation(A, "invalid_line"), "check": "retired"}]
    )
    matrix = complete(pd.concat([evaluations, stray]), [A, B])
    assert len(matrix) == 2 * len(NAMES)


@pytest.mark.slow
def test_an_instance_without_evaluations_gives_a_matrix(evaluations):
    matrix = complete(evaluations[:0], [A])
    assert matrix["outcome"].unique().tolist() == ["not run"]
    none = complete(evaluations[:0], [])
    assert len(QC_MATRIX.validate(none)) == 0
    assert len(QC_SUMMARY.validate(qc_summary.summarize(none, sessions()[:0]))) == 0


def labels(*rows):
    table = pd.DataFrame(rows, columns=["eid", "fiber_idx", "verdict"])
    return LABELS.validate(table.assign(who="me", when="2024-05-31", why="seen"))


@pytest.mark.slow
def test_keep_overrides_a_warning_and_never_a_failure(matrix):
    kept = matrices.apply_labels(matrix, labels((B, None, "keep"), (A, None, "drop")))
    QC_MATRIX.validate(kept)
    assert of(kept, "outcome")[B].tolist() == ["pass", "pass", "fail", "not run", "not run"]
    assert of(kept, "message")[B, "invalid_line"] == "invalid_line of 1"
    assert (of(kept, "label")[B] == "keep").all()
    assert (of(kept, "label")[A] == "drop").all()
    assert (of(kept, "outcome")[A] == "pass").all()
    assert of(kept, "label")[C].isna().all()
    assert of(matrix, "outcome")[B, "invalid_line"] == "warn"
    assert "InvalidLine" not in set(matrices.matrix_errors(kept)["error_type"])


def test_a_verdict_on_a_fiber_leaves_the_session_as_it_is(matrix):
    labeled = matrices.apply_labels(matrix, labels((B, 0, "keep")))
    pd.testing.assert_series_equal(labeled["outcome"], matrix["outcome"])
    assert labeled["label"].isna().all()


def test_errors_are_the_failed_checks_and_are_read_by_the_library(matrix, tmp_path):
    errors = ERRORS.validate(matrices.matrix_errors(matrix))
    assert list(
        errors[["eid", "error_type", "error_message", "asset", "severity"]].itertuples(
            index=False, name=None
        )
    ) == [
        (B, "InvalidLine", "invalid_line of 1", "session", "WARN"),
        (B, "InsufficientTrials", "insufficient_trials of 1", "trials", "BLOCK"),
    ]
    errors.to_parquet(tmp_path / "errors.pqt")
    found = collect_session_errors(pd.DataFrame({"eid": [A, B]}), [tmp_path / "errors.pqt"])
    assert found["logged_errors"].tolist() == [[], ["InsufficientTrials", "InvalidLine"]]


def sessions(**columns):
    return pd.DataFrame(
        {
            "eid": [A, B],
            "subject": ["m1", "m2"],
            "lab": ["x", None],
            "target_NM": [["VTA-DA", "VTA-DA"], ["VTA-DA", "LC-NE"]],
            "start_time": ["2024-05-31T10:00:00", "2024-06-01T10:00:00"],
            **columns,
        }
    )


@pytest.mark.slow
def test_summary_counts_per_lab_target_and_month(matrix):
    summary = QC_SUMMARY.validate(qc_summary.summarize(matrix, sessions()))
    keyed = summary.set_index(["scope", "group", "check"])
    assert set(keyed.index.droplevel("check")) == {
        ("all", "all"),
        ("lab", "x"),
        ("lab", "unknown"),
        ("target", "VTA-DA"),
        ("target", "LC-NE"),
        ("target", "unknown"),
        ("month", "2024-05"),
        ("month", "2024-06"),
        ("month", "unknown"),
    }
    counts = ["n_sessions", "n_pass", "n_warn", "n_fail", "n_not_run"]
    assert keyed.loc[("all", "all", "invalid_line"), counts].tolist() == [3, 1, 1, 0, 1]
    assert keyed.loc[("all", "all", "invalid_line"), "pass_rate"] == 0.5
    assert keyed.loc[("all", "all", "insufficient_trials"), counts].tolist() == [3, 1, 0, 1, 1]
    # B and C: the lab of B is not known, C is not in the table at all
    assert keyed.loc[("lab", "unknown", "invalid_line"), counts].tolist() == [2, 0, 1, 0, 1]
    assert keyed.loc[("lab", "unknown", "invalid_line"), "pass_rate"] == 0.0
    # two fibers in one target are one session
    assert keyed.loc[("target", "VTA-DA", "invalid_line"), counts].tolist() == [2, 1, 1, 0, 0]
    assert keyed.loc[("target", "LC-NE", "band_inversion"), counts].tolist() == [1, 0, 0, 0, 1]
    assert pd.isna(keyed.loc[("target", "LC-NE", "band_inversion"), "pass_rate"])
    assert keyed.loc[("month", "2024-05", "band_inversion"), "pass_rate"] == 1.0


def test_pass_share_counts_blocking_and_failing_checks_of_evaluated_sessions(matrix):
    assert qc_summary.pass_share(matrix) == (1, 2)
    outcome = qc_summary.evaluate_pass_share(matrix, Thresholds(min_pass_share=0.5))
    assert outcome.passed
    assert (outcome.value, outcome.limit) == (0.5, 0.5)
    assert not qc_summary.evaluate_pass_share(matrix, Thresholds(min_pass_share=0.51)).passed
    only_warned = matrices.apply_labels(matrix, labels((A, None, "keep")))
    only_warned.loc[
        (only_warned["eid"] == A) & (only_warned["check"] == "invalid_line"), "outcome"
    ] = "warn"
    assert qc_summary.pass_share(only_warned) == (1, 2)
    not_run = qc_summary.evaluate_pass_share(matrix[matrix["eid"] == C], Thresholds())
    assert not_run.passed
    assert not_run.value is None


def test_every_session_stands_at_one_place_the_worst_that_holds(evaluations):
    rest = [*(evaluation(D, name) for name in NAMES), evaluation(E, "invalid_line")]
    warned = [evaluation(F, name, "fail" if name == "invalid_line" else "pass") for name in NAMES]
    table = pd.concat([evaluations, pd.DataFrame([*rest, *warned])])
    made = attempts((E, "session", "stored", None, None))
    matrix = complete(table, [A, B, C, D, E, F, G], made)
    new_rule = "missing_raw_data of session was not evaluated yet."
    assert of(matrix, "message")[E, "missing_raw_data"] == new_rule
    standing = matrices.session_standings(matrix, {D, G})
    assert standing.to_dict() == {
        A: "clean",
        B: "failure",
        C: "none",
        D: "failure",
        E: "incomplete",
        F: "warnings",
        G: "failure",
    }
    assert set(standing) == set(matrices.STANDINGS)
    kept = pd.DataFrame([{"eid": F, "fiber_idx": None, "verdict": "keep"}])
    kept = LABELS.conform(kept.assign(who="a", when="2024-01-01", why="x"))
    labeled = matrices.apply_labels(matrix, kept)
    assert matrices.session_standings(labeled, ())[F] == "clean"


def test_evaluations_under_another_limit_are_found(tmp_path):
    rows = [
        ("insufficient_trials", 90.0),
        ("insufficient_trials", 430.0),
        ("block_structure_bug", 10.0),
        ("block_structure_bug", 0.0),
        ("isosbestic_fit", 0.5),
        ("isosbestic_fit", 0.0),
        ("missing_insertion", 2.0),
        ("choice_sign", None),
    ]
    matrix = pd.DataFrame(rows, columns=["check", "limit"]).assign(eid=A)
    settings = Settings(root=tmp_path)
    found = qc_summary.other_limits(matrix, settings)
    assert found.to_numpy().tolist() == [[A, "insufficient_trials", 430.0, 90.0]]
    thresholds = {"min_trials": 430, "min_block_length": 12, "max_iso_slope_disagreement": 0.4}
    changed = settings.model_copy(
        update={"thresholds": settings.thresholds.model_copy(update=thresholds)}
    )
    found = qc_summary.other_limits(matrix, changed)
    assert found[["check", "limit"]].to_numpy().tolist() == [
        ["insufficient_trials", 90.0],
        ["block_structure_bug", 10.0],
        ["isosbestic_fit", 0.5],
    ]


@pytest.mark.slow
def test_duplicates_are_judged_among_usable_sessions(evaluations):
    eids = [A, B, C, C[:-1] + "3"]
    table = pd.DataFrame(
        {
            "eid": eids,
            "subject": "m1",
            "number": [1, 2, 3, 1],
            "start_time": ["2024-05-31T10:00:00"] * 3 + ["2024-06-01T10:00:00"],
        }
    )

    def outcomes(sessions, failures=NO_ATTEMPTS, evaluations=evaluations):
        candidates = duplicate_candidates(
            sessions, evaluations[evaluations["result"] == "fail"], failures
        )
        found = duplicate_outcomes(sessions["eid"], candidates, Settings(), "now")
        return QC_MATRIX.validate(found).set_index("eid")

    # B is blocked: the second usable session of the day is C
    found = outcomes(table)
    assert found["outcome"].to_dict() == dict(
        zip(eids, ["pass", "pass", "warn", "pass"], strict=True)
    )
    assert found["value"].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert A in found.loc[C, "message"]
    everything = outcomes(table, evaluations=evaluations[:0])
    assert everything["value"].tolist() == [0.0, 1.0, 2.0, 0.0]
    # neither a session whose signal is damaged nor one that a human dropped is usable
    failures = pd.DataFrame({"eid": [A], "asset": ["photometry"], "error_type": ["X"]})
    assert (outcomes(table, failures)["outcome"] == "pass").all()
    wheel = failures.assign(asset="wheel_velocity")
    assert outcomes(table, wheel).loc[C, "outcome"] == "warn"
    dropped = table.assign(label=pd.array(["drop", None, None, None], dtype="string"))
    assert (outcomes(dropped)["outcome"] == "pass").all()
