"""Rules about metadata against the truth of an archive with every planted fault."""

import pandas as pd
import pytest

from iblnm.archive import connect
from iblnm.config import Settings
from iblnm.demo import build_archive
from iblnm.demo.defects import DEFECTS
from iblnm.pipeline.stages import session_metadata
from iblnm.validation import RULES, evaluate, rules_for


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    cache = tmp_path_factory.mktemp("faulty") / "alf"
    truth = build_archive(cache, duration_s=300.0)
    settings = Settings(one_cache_dir=cache, root=tmp_path_factory.mktemp("root"))
    one = connect(settings)
    sessions = truth["sessions"]
    sessions = list(sessions.values()) if isinstance(sessions, dict) else sessions
    rows = [session_metadata(one, entry["eid"], settings).value for entry in sessions]
    return settings, sessions, rows


def test_each_fault_of_the_metadata_is_caught_by_the_check_meant_for_it(faulty):
    settings, sessions, rows = faulty
    names = {rule.name for rule in rules_for("session")}
    found, expected = {}, {}
    for entry, row in zip(sessions, rows, strict=True):
        outcomes = evaluate("session", settings, session_row=row)
        found[entry["eid"], entry["defect"]] = {o.rule for o in outcomes if not o.passed}
        expected[entry["eid"], entry["defect"]] = names & set(entry["expected_failures"])
    assert found == expected
    planted = {check for defect in DEFECTS for check in defect.checks}
    assert set().union(*found.values()) == names & planted


def test_the_duplicate_is_found_among_all_sessions(faulty):
    settings, sessions, rows = faulty
    outcome = RULES["true_duplicate_session"].evaluate(
        settings, sessions=pd.concat(rows, ignore_index=True)
    )
    planted = [e for e in sessions if "true_duplicate_session" in e["expected_failures"]]
    assert not outcome.passed
    assert outcome.value == len(planted) == 1
    extra = [e["eid"] for e in outcome.metadata["sessions"] if not e["kept"]]
    assert extra == [planted[0]["eid"]]
