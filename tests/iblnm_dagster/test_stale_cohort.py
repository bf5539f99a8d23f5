"""Analyses that are out of date, and from where their tables and figures come."""

import re
from pathlib import Path

import pandas as pd
import pytest
from bench.settings_reads import watched
from dagster import DagsterRunStatus, RunsFilter
from threadpoolctl import threadpool_limits

from iblnm.analysis import registry
from iblnm.analysis.staleness import figure_origin, find_stale_analyses
from iblnm.analysis.tracing import trace_figure, trace_session, why
from iblnm.config import Settings
from iblnm.errors import DataError, InvalidNameError
from iblnm.pipeline.outcomes import open_outcomes
from iblnm.storage.parquet import read_provenance, read_table
from iblnm.storage.store import SessionStore
from iblnm.vis import save_figure
from iblnm.vis.cohort_figures import draw_figure
from iblnm_dagster.analyse import analyse
from iblnm_dagster.build import build_defs
from iblnm_dagster.jobs import COHORT_JOB
from iblnm_dagster.partitions import known_sessions
from iblnm_dagster.running.nightly import NIGHTLY_JOB
from iblnm_dagster.running.side_by_side import run_side_by_side
from iblnm_dagster.running.worker import Worker
from iblnm_dagster.selection import WORKER_TAG
from iblnm_dagster.tables import update_tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cohort(small_archive, tmp_path_factory):
    """Settings, instance and eids of a root with sessions and two analyses."""
    from iblnm_dagster.instance import open_instance
    from iblnm_dagster.resources import Archive
    from iblnm_dagster.selection import discover_sessions

    root = tmp_path_factory.mktemp("cohort")
    settings = Settings(root=root, one_cache_dir=small_archive[0])
    with open_instance(settings) as instance:
        discover_sessions(instance, Archive(settings))
        eids = known_sessions(instance)
        worker = Worker(settings, instance)
        for eid in eids:
            assert worker.run(eid).status == "passed"
        assert analyse(settings, instance, ["response_matrix"], report=lambda _: None)
        yield settings, instance, eids


def digests(settings):
    origins = open_outcomes(settings).origins()
    return {(row.eid, row.asset): row.digest for row in origins.itertuples()}


def test_another_window_makes_magnitudes_again_and_no_session(cohort):
    settings, instance, _ = cohort
    outcomes = open_outcomes(settings)
    assert find_stale_analyses(settings, outcomes) == []
    signal = settings.signal.model_copy(update={"early_window": (0.1, 0.3)})
    other = settings.model_copy(update={"signal": signal})
    found = find_stale_analyses(other, outcomes)
    assert [item.asset for item in found] == ["response_kernels", "response_magnitudes"]
    assert {item.why for item in found} == {"signal.early_window [0.1, 0.35] → [0.1, 0.3]"}
    before, told = digests(settings), []
    assert analyse(other, instance, report=told.append, stale=True)
    made = [line.split()[1] for line in told if line.startswith("[")]
    assert made == ["response_kernels", "response_magnitudes", "response_matrix"]
    assert digests(settings) == before
    main = settings.root / registry.analysis("response_magnitudes").files["responses"]
    assert read_provenance(main).made_with["signal.early_window"] == [0.1, 0.3]
    assert find_stale_analyses(other, outcomes) == []
    # back again, for the tests that follow
    assert analyse(settings, instance, report=lambda _: None, stale=True)


def test_a_version_that_changes_nothing_stops_at_its_own_table(cohort, monkeypatch):
    from iblnm.pipeline import versions

    settings, instance, _ = cohort
    known, told = versions.method_version, []
    monkeypatch.setattr(
        versions, "method_version", lambda name: known(name) + name.endswith("magnitudes")
    )
    assert analyse(settings, instance, report=told.append, stale=True)
    made = [line.split()[1] for line in told if line.startswith("[")]
    assert made == ["response_magnitudes"]


def test_a_figure_leads_to_its_raw_files(cohort):
    settings, _, _ = cohort
    figure = draw_figure("response_vectors", settings)
    stem = settings.figures_dir / "responses" / "response_vectors"
    files = registry.figures()["response_vectors"].files
    paths = save_figure(figure, stem, origin=figure_origin(settings, files))
    used = set(read_table(settings.root / "results/responses/responses.pqt")["eid"])
    for path in paths:
        lines = trace_figure(path, settings)
        assert any(
            re.match(r" +results/responses/response_matrix.pqt [0-9a-f]{16}", x) for x in lines
        )
        assert any("results/responses/responses.pqt" in line for line in lines)
        assert not any("today it is" in line for line in lines)
        assert sum("photometry.signal.pqt" in line and "md5" in line for line in lines) == len(
            used
        )
    plain = save_figure(figure, settings.figures_dir / "plain", types=("pdf",))[0]
    with pytest.raises(DataError, match="does not say"):
        trace_figure(plain, settings)


def test_figures_of_all_sessions_lead_to_their_raw_files(cohort):
    settings, instance, eids = cohort
    assert analyse(settings, instance, ["qc_overview"], report=lambda _: None)
    update_tables(build_defs(settings), instance)
    # a table without sessions, beside one that has them; and one of the catalog alone
    folder, named = settings.figures_dir, {}
    values = read_table(settings.root / "results/qc_overview/qc_values.pqt")
    for name, used in (("qc_trend", set(values["eid"])), ("video", set(eids))):
        origin = figure_origin(settings, registry.figures()[name].files)
        figure = draw_figure(name, settings)
        (path,) = save_figure(figure, folder / name, types=("png",), origin=origin)
        named[path] = used
    named |= dict.fromkeys(
        [*folder.glob("dataset_overview/*"), folder / "qc/dashboard.html"], eids
    )
    assert len(named) > 20
    for path, used in named.items():
        lines = trace_figure(path, settings)
        assert f"  {len(used)} sessions" in lines, path
        assert not any("today it is" in line for line in lines)
        n_signals = sum("photometry.signal.pqt" in line and "md5" in line for line in lines)
        assert n_signals == len(used)


def test_a_session_leads_to_what_was_made_of_it(cohort):
    settings, _, eids = cohort
    assert trace_session(eids[0][:13].upper(), settings) == trace_session(eids[0], settings)
    with pytest.raises(InvalidNameError):
        trace_session("zz", settings)
    text = "\n".join(trace_session(eids[0], settings))
    assert f"responses: stored {digests(settings)[eids[0], 'responses']}" in text
    assert "alf/_ibl_trials.table.pqt: " in text
    used = set(read_table(settings.root / "results/responses/responses.pqt")["eid"])
    assert ("results/responses/responses.pqt" in text) == (eids[0] in used)


def test_why_names_the_criterion_the_checks_and_the_label(cohort):
    settings, _, eids = cohort
    reason = why(eids[0], settings, "response_vectors")
    assert eids[0] in reason[0]
    assert any(line.startswith("  responses: ") for line in reason)
    with pytest.raises(DataError, match="no such figure: nothing"):
        why(eids[0], settings, "nothing")


@pytest.mark.parametrize("name", ["response_magnitudes", "trial_regressors", "response_matrix"])
def test_an_analysis_reads_no_setting_that_it_does_not_declare(cohort, name):
    settings, _, _ = cohort
    declared, read = registry.analysis(name), set()
    given = {"store": SessionStore(settings), "settings": watched(settings, read.add)}
    from iblnm.analysis.staleness import input_file

    for wanted in declared.inputs:
        given[wanted] = read_table(settings.root / input_file(wanted))
    declared.compute(**{n: given[n] for n in (*declared.inputs, *declared.resources)})
    places = {"root", "one_cache_dir", "one_mode"}
    undeclared = {
        entry
        for entry in read - places
        if not any(entry == own or entry.startswith(f"{own}.") for own in declared.settings_read)
    }
    assert not undeclared


def test_side_by_side_gives_the_same_tables_in_order_of_need(cohort):
    settings, instance, _ = cohort
    names = ("response_magnitudes", "response_matrix", "response_anova", "trial_regressors")
    files = [file for name in names for file in registry.analysis(name).files.values()]
    with threadpool_limits(2):
        assert analyse(settings, instance, names, report=lambda _: None)
    alone = {file: read_table(settings.root / file) for file in files}
    told = []
    assert analyse(settings, instance, names, report=told.append, workers=2)
    order = [line.split("] ")[1].split()[0] for line in told if line.startswith("[")]
    assert sorted(order) == sorted([*names, "response_kernels"])
    first = order.index("response_magnitudes")
    assert first < min(order.index("response_matrix"), order.index("response_anova"))
    for file, table in alone.items():
        pd.testing.assert_frame_equal(read_table(settings.root / file), table)
    assert find_stale_analyses(settings, open_outcomes(settings)) == []


def test_the_run_of_every_night_makes_them_side_by_side(cohort, monkeypatch):
    settings, instance, _ = cohort
    names = ["response_kernels", "response_magnitudes", "mean_traces"]
    monkeypatch.setattr("iblnm_dagster.analyse.cohort_names", lambda: names)
    monkeypatch.setattr("iblnm_dagster.running.side_by_side.default_workers", lambda: 2)
    before = {run.run_id for run in instance.get_runs(RunsFilter(job_name=COHORT_JOB))}
    job = build_defs(settings).resolve_job_def(NIGHTLY_JOB)
    assert job.execute_in_process(instance=instance).success
    runs = instance.get_runs(RunsFilter(job_name=COHORT_JOB))
    made = [run for run in runs if run.run_id not in before]
    assert {key.to_user_string() for run in made for key in run.asset_selection} == set(names)
    assert len({run.tags[WORKER_TAG] for run in made}) == 2
    assert {run.status for run in made} == {DagsterRunStatus.SUCCESS}


def test_side_by_side_what_starts_from_a_failure_is_skipped_and_told(cohort, tmp_path):
    import shutil

    settings, _, _ = cohort
    # the last test of the module: closing copies of open databases takes the locks of this process
    root = Path(shutil.copytree(settings.root, tmp_path / "root"))
    other = settings.model_copy(update={"root": root})
    (root / "metadata" / "errors.pqt").write_bytes(b"no table")
    told = []
    upstream = {
        "response_magnitudes": set(),
        "response_matrix": {"response_magnitudes"},
        "response_similarity": {"response_matrix"},
    }
    assert not run_side_by_side(
        other, list(upstream), upstream, workers=2, on_start=lambda _: None, on_end=told.append
    )
    states = {ended.name: ended.state for ended in told}
    assert states == {
        "response_magnitudes": "failed",
        "response_matrix": "skipped",
        "response_similarity": "skipped",
    }
    assert "errors.pqt" in told[0].problem
