"""The registry, the exceptions and the collection of broken rules."""

import subprocess
import sys

import pandas as pd
import pytest

import iblnm.validation as validation
from iblnm.config import Settings, Thresholds
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.rules import umbrella_types
from iblnm.pipeline.rules.registry import snake_case
from iblnm.validation import (
    RULES,
    BandInversion,
    DataNotListed,
    IncompleteEventTimes,
    InvalidBrainRegion,
    InvalidSubject,
    MissingBrainRegion,
    QCValidationError,
    RuleError,
    TrueDuplicateSession,
    error_types,
    evaluate,
    exception_logger,
    make_log_entry,
    validate_brain_region,
    validate_datasets,
    validate_hemisphere,
    validate_subject,
    validate_video_length,
)

SETTINGS = Settings(_env_file=None)


@pytest.mark.parametrize("rule", running_rules(), ids=lambda rule: rule.name)
def test_a_rule_is_complete(rule):
    assert rule.name == snake_case(rule.exception.__name__)
    assert issubclass(rule.exception, RuleError)
    assert rule.description.endswith(".")
    assert rule.description.count(". ") == 0
    assert rule.severity in ("BLOCK", "ERROR", "WARN")
    assert bool(rule.blocks) == (rule.severity == "BLOCK")
    assert rule.level in ("session", "recording", "trials", "photometry", "video", "cohort")
    limit = rule.limit(SETTINGS)
    assert limit is None or isinstance(limit, float)
    assert getattr(validation, rule.exception.__name__) is rule.exception


def test_a_missing_input_is_a_programming_error():
    with pytest.raises(TypeError):
        evaluate("trials", SETTINGS, session_row={})


def test_limits_come_from_the_settings():
    loose = Settings(_env_file=None, thresholds=Thresholds(min_trials=5))
    trials = pd.DataFrame({"choice": [1.0] * 5})
    assert RULES["insufficient_trials"].evaluate(loose, trials=trials).passed
    assert not RULES["insufficient_trials"].evaluate(SETTINGS, trials=trials).passed
    assert RULES["insufficient_trials"].limit(loose) == 5.0


# the library's face ------------------------------------------------------------------------

GOOD = {"eid": "a", "brain_region": ["VTA"]}
BAD = {"eid": "b", "brain_region": ["DLS"]}


def test_a_validator_returns_a_valid_row_and_raises_for_a_broken_one():
    row = pd.Series(GOOD)
    assert validate_brain_region(row) is row
    with pytest.raises(InvalidBrainRegion, match="DLS") as raised:
        validate_brain_region(pd.Series(BAD))
    assert raised.value.outcome.rule == "invalid_brain_region"
    assert (raised.value.outcome.value, raised.value.outcome.limit) == (1, 0)
    with pytest.raises(MissingBrainRegion):
        validate_brain_region({"eid": "c", "brain_region": []})


def test_exlog_collects_and_gives_the_original_row_back():
    log = []
    row = pd.Series(BAD)
    assert validate_brain_region(row, exlog=log) is row
    (entry,) = log
    assert list(entry) == ["eid", "error_type", "error_message", "traceback"]
    assert entry["eid"] == "b"
    assert entry["error_type"] == "InvalidBrainRegion"
    assert "DLS" in entry["error_message"]
    assert "InvalidBrainRegion" in entry["traceback"]


def test_exlog_with_apply_keeps_all_rows():
    table = pd.DataFrame([GOOD, BAD])
    log = []
    result = table.apply(validate_brain_region, axis="columns", exlog=log)
    assert result["eid"].tolist() == ["a", "b"]
    assert [entry["eid"] for entry in log] == ["b"]


def test_exlog_may_be_the_second_argument():
    log = []
    validate_subject({"eid": "a", "subject": "SP066"}, log)
    assert [entry["error_type"] for entry in log] == ["InvalidSubject"]


def test_programming_errors_always_propagate():
    @exception_logger
    def validate_nothing(session):
        return session["eid"] + 1

    log = []
    with pytest.raises(TypeError):
        validate_nothing({"eid": "a"}, exlog=log)
    with pytest.raises(KeyError):
        exception_logger(lambda session: session["absent"])({"eid": "a"}, exlog=log)
    assert log == []


def test_a_validator_of_ones_own_is_collected_too():
    @exception_logger
    def validate_lab(session):
        raise InvalidSubject("unknown lab")

    log = []
    session = {"eid": "a"}
    assert validate_lab(session, exlog=log) is session
    assert log[0]["error_message"] == "unknown lab"
    with pytest.raises(InvalidSubject, match="unknown lab"):
        validate_lab(session)


def test_validate_hemisphere_takes_a_lookup():
    session = {"eid": "a", "subject": "m", "brain_region": ["VTA-l"], "hemisphere": ["l"]}
    assert validate_hemisphere(session) is session
    with pytest.raises(validation.HemisphereMismatch, match="suffix l, fibers r"):
        validate_hemisphere(session, fiber_lookup={("m", "VTA"): "r"})
    log = []
    validate_hemisphere(session, {("m", "VTA"): "r"}, exlog=log)
    assert [entry["error_type"] for entry in log] == ["HemisphereMismatch"]
    log = []
    for sides in ([], [""], None):
        row = pd.Series({"eid": "a", "brain_region": ["VTA"], "hemisphere": sides})
        assert validate_hemisphere(row, exlog=log) is row
    assert [entry["error_type"] for entry in log] == ["MissingHemisphere"] * 3


def test_validate_datasets_and_video_raise_their_types():
    with pytest.raises(DataNotListed):
        validate_datasets({"eid": "a", "datasets": []})
    with pytest.raises(validation.VideoLengthError, match="130"):
        validate_video_length({"eid": "a", "video_length": 1.0, "length_discrepancy": 130.0})


def test_exceptions_carry_what_scripts_read():
    assert IncompleteEventTimes("x", ["feedback_times"]).missing_events == ["feedback_times"]
    trials = pd.DataFrame({"stimOn_times": [1.0], "feedback_times": [2.0]})
    with pytest.raises(IncompleteEventTimes) as raised:
        RULES["incomplete_event_times"].check(SETTINGS, trials=trials)
    assert raised.value.missing_events == ["firstMovement_times"]
    assert TrueDuplicateSession("x", "row").fallback_row == "row"
    assert issubclass(BandInversion, QCValidationError)


def test_umbrella_names_of_errors():
    assert error_types(["DataNotListed"]) == {
        "DataNotListed",
        "MissingRawData",
        "MissingExtractedData",
    }
    assert error_types(["InvalidSubject", "KeyError"]) == {"InvalidSubject", "KeyError"}
    assert umbrella_types(["BandInversion", "KeyError"]) == {
        "BandInversion",
        "QCValidationError",
        "KeyError",
    }


def test_make_log_entry_without_an_exception():
    entry = make_log_entry("a", error=ValueError("bad"))
    assert entry == {
        "eid": "a",
        "error_type": "ValueError",
        "error_message": "bad",
        "traceback": None,
    }


@pytest.mark.slow
def test_importing_the_rules_is_cheap():
    code = (
        "import sys, iblnm.validation; "
        "heavy = {'scipy', 'xarray', 'h5py', 'one', 'pyarrow.parquet', 'pandera', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
