"""Running a session again: after its input was mended, after a threshold or a label changed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from iblnm.errors import MalformedFileError
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.pipeline.standing import session_rules
from iblnm_dagster.running.worker import Worker

pytestmark = pytest.mark.slow

SHIPPED_LABELS = Path(__file__).resolve().parents[2] / "metadata" / "labels.csv"


def path_of(settings, eid, name):
    from iblnm.archive import connect

    return next(connect(settings).eid2path(eid).rglob(name))


def read_tables(settings):
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt")
    errors = pd.read_parquet(settings.metadata_dir / "errors.pqt")
    return matrix.set_index(["eid", "check"]), errors


def test_mending_the_input_turns_the_check_green(settings, instance, catalog, register):
    eid = instance.get_dynamic_partitions("eid")[0]
    assert Worker(settings, instance).run(eid).status == "passed"
    catalog(settings, instance)
    before, errors_before = read_tables(settings)
    path = path_of(settings, eid, "_ibl_trials.table.pqt")
    trials = pd.read_parquet(path)
    trials.assign(choice=-trials["choice"]).to_parquet(path)
    register(settings.cache_dir, path)

    assert Worker(settings, instance).run(eid).status == "blocked"
    catalog(settings, instance)
    matrix, errors = read_tables(settings)
    assert matrix.loc[(eid, "choice_sign"), "outcome"] == "fail"
    assert matrix.loc[(eid, "choice_sign"), "value"] > 0.9
    assert errors.loc[errors["eid"] == eid, "error_type"].tolist() == ["ChoiceSign"]
    stopped = "Stopped by the check choice_sign of trials."
    assert matrix.loc[(eid, "psychometric_at_bound"), "message"] == stopped
    # the evaluation of the performance that is still stored is known, and does not count
    evaluated = open_outcomes(settings).evaluations().set_index(["eid", "check"])["value"]
    assert (
        evaluated[eid, "psychometric_at_bound"]
        == before.loc[(eid, "psychometric_at_bound"), "value"]
    )
    assert pd.isna(matrix.loc[(eid, "psychometric_at_bound"), "value"])
    others = matrix.drop(index=eid, level="eid")
    assert others["outcome"].unique().tolist() == ["not run"]

    trials.to_parquet(path)
    register(settings.cache_dir, path)
    assert Worker(settings, instance).run(eid).status == "passed"
    catalog(settings, instance)
    matrix, errors = read_tables(settings)
    columns = ["outcome", "value", "limit", "message"]
    pd.testing.assert_frame_equal(matrix[columns], before[columns])
    assert matrix.loc[(eid, "choice_sign"), "outcome"] == "pass"
    pd.testing.assert_frame_equal(errors, errors_before)


def test_mending_a_damaged_file_takes_the_session_off_the_errors(settings, instance, catalog):
    eid = instance.get_dynamic_partitions("eid")[0]
    path = path_of(settings, eid, "photometry.signal.pqt")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert Worker(settings, instance).run(eid).status == "failed"
    catalog(settings, instance)
    matrix, errors = read_tables(settings)
    failed = errors[errors["severity"] == "FAILURE"]
    assert failed[["eid", "asset"]].to_numpy().tolist() == [[eid, "photometry"]]
    assert matrix.loc[(eid, "band_inversion"), "message"] == (
        f"photometry could not be made: {failed['error_type'].iloc[0]}."
    )
    path.write_bytes(whole)
    Worker(settings, instance).run(eid)
    catalog(settings, instance)
    matrix, errors = read_tables(settings)
    assert "FAILURE" not in set(errors["severity"])
    assert matrix.loc[(eid, "band_inversion"), "outcome"] == "pass"


def test_a_new_threshold_is_applied_without_computing_signals(settings, instance, catalog):
    eid = instance.get_dynamic_partitions("eid")[0]
    Worker(settings, instance).run(eid)
    stored = settings.sessions_h5_dir / f"{eid}.h5"
    before = (stored.stat().st_mtime_ns, stored.read_bytes())
    strict = settings.model_copy(
        update={"thresholds": settings.thresholds.model_copy(update={"min_trials": 10_000})}
    )

    outcome = Worker(strict, instance, check="insufficient_trials").run(eid)
    assert outcome.status == "blocked"
    table = open_outcomes(settings).evaluations().set_index(["eid", "check"])
    row = table.loc[eid, "insufficient_trials"]
    assert (row["result"], row["limit"]) == ("fail", 10_000)
    assert len(table) == len(session_rules())

    # the limit of another rule, and all rules together
    strict = settings.model_copy(
        update={"thresholds": settings.thresholds.model_copy(update={"min_unique_fraction": 1.0})}
    )
    outcome = Worker(strict, instance, checks_only=True).run(eid)
    assert outcome.status == "passed"
    catalog(settings, instance)
    matrix, errors = read_tables(settings)
    assert "FewUniqueSamples" in set(errors["error_type"])
    assert "InsufficientTrials" not in set(errors["error_type"])
    assert matrix.loc[(eid, "few_unique_samples"), "limit"] == 1.0
    assert matrix.loc[(eid, "insufficient_trials"), "outcome"] == "pass"
    assert (stored.stat().st_mtime_ns, stored.read_bytes()) == before


def test_checks_alone_leave_a_session_without_data_as_it_is(settings, instance):
    eid = instance.get_dynamic_partitions("eid")[0]
    assert Worker(settings, instance, checks_only=True).run(eid).status == "passed"
    assert open_outcomes(settings).evaluations().empty


def test_labels_are_read_at_each_materialization(settings, instance, catalog):
    eid, other = instance.get_dynamic_partitions("eid")[:2]
    for name in (eid, other):
        Worker(settings, instance, assets=("session",)).run(name)
    catalog(settings, instance)
    sessions = pd.read_parquet(settings.metadata_dir / "sessions.pqt").set_index("eid")
    assert sessions["label"].isna().all()
    header = "eid,fiber_idx,verdict,who,when,why\n"
    settings.labels_fpath.write_text(
        f"{header}{eid},,drop,me,2024-05-31,noise\n{other},0,drop,me,2024-05-31,noise\n"
    )
    result = catalog(settings, instance)
    sessions = pd.read_parquet(settings.metadata_dir / "sessions.pqt").set_index("eid")
    assert sessions.loc[eid, "label"] == "drop"
    assert list(sessions.loc[eid, "excluded"]) == list(range(sessions.loc[eid, "n_recordings"]))
    assert pd.isna(sessions.loc[other, "label"])
    assert list(sessions.loc[other, "excluded"]) == [0]
    matrix = pd.read_parquet(settings.metadata_dir / "qc_matrix.pqt").set_index("eid")
    assert set(matrix.loc[eid, "label"]) == {"drop"}
    materialized = result.asset_materializations_for_node("labels")[0].metadata
    shipped = sum(",drop," in line for line in SHIPPED_LABELS.read_text().splitlines())
    assert materialized["drop"].value == 2 + shipped
    settings.labels_fpath.write_text(f"{header}{eid},,dorp,me,2024-05-31,noise\n")
    with pytest.raises(MalformedFileError, match=r"labels\.csv: line 2: verdict is 'dorp'"):
        catalog(settings, instance)
