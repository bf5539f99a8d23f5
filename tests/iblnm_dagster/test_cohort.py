"""The analyses of the cohort through the graph, on an archive with planted responses."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
from bench import planted
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterEventType
from scipy.stats import binom

from iblnm.analysis import registry
from iblnm.config import Settings
from iblnm.errors import IblnmError, MissingFileError
from iblnm.storage.parquet import read_provenance, read_table
from iblnm.vis import FIGURES
from iblnm_dagster.analyse import analyse
from iblnm_dagster.build import build_defs
from iblnm_dagster.cohort import cohort_names
from iblnm_dagster.instance import open_instance
from iblnm_dagster.jobs import COHORT_JOB

pytestmark = pytest.mark.slow

# the folders whose figures are quickly drawn; tests/iblnm/vis draws all
DRAWN = ("movement_encoding", "qc_overview", "video")


def made_cheap(settings: Settings) -> Settings:
    """The settings with few permutations, figures of one type, and the unit of the truth."""
    few = {"n_permutations": 19, "n_bootstrap": 19}
    return settings.model_copy(
        update={
            "figures": settings.figures.model_copy(update={"file_types": ("svg",)}),
            "discrimination": settings.discrimination.model_copy(update=few),
            "cohort": settings.cohort.model_copy(update={"unit": "dff"}),
            "models": settings.models.model_copy(update={"n_permutations": 99}),
            "encoding": settings.encoding.model_copy(update=few),
        }
    )


@pytest.fixture(scope="module")
def analyzed(faulty):
    """The faulty archive with its cohort analyzed."""
    settings = made_cheap(faulty.settings)
    job = build_defs(settings).resolve_job_def(COHORT_JOB)
    tables = {name for name in cohort_names() if not name.endswith("_figures")}
    result = job.execute_in_process(
        instance=faulty.instance,
        raise_on_error=False,
        asset_selection=[AssetKey(n) for n in tables | {f"{name}_figures" for name in DRAWN}],
    )
    assert result.success, [
        result.failure_data_for_node(key) for key in result.get_failed_step_keys()
    ]
    return settings, result


def materialized(result) -> dict[str, dict]:
    """Metadata of each asset that was made, by its name."""
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.all_events
        if event.event_type == DagsterEventType.ASSET_MATERIALIZATION
    }


def test_every_table_of_the_design_is_written_and_of_its_schema(analyzed):
    settings, result = analyzed
    made = materialized(result)
    graph = build_defs(settings).resolve_asset_graph()
    for name in made:
        metadata = graph.get(AssetKey(name)).metadata
        if "file" not in metadata:
            continue
        path = settings.root / metadata["file"]
        table = registry.tables()[metadata["table"]].validate(read_table(path))
        assert len(table) == made[name]["dagster/row_count"], name
    assert {
        "response_kernels",
        "response_magnitudes",
        "trial_regressors",
        "response_matrix",
        "response_similarity",
        "target_decoding",
        "response_lmm",
        "movement_encoding",
        "task_encoding",
        "task_performance",
        "qc_overview",
    } <= set(made)


def test_counts_shrink_from_candidate_to_used_and_are_in_the_file_and_on_the_page(
    analyzed, faulty
):
    settings, result = analyzed
    made = materialized(result)["response_magnitudes"]
    origin = read_provenance(settings.results_dir / "responses" / "responses.pqt")
    counts = origin.parameters["counts"]
    assert made["candidate sessions"] == len(faulty.truth["sessions"])
    for unit in ("sessions", "recordings", "subjects", "trials"):
        numbers = [counts[stage][unit] for stage in ("candidate", "eligible", "used")]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers == [made[f"{stage} {unit}"] for stage in ("candidate", "eligible", "used")]
    table = read_table(settings.results_dir / "responses" / "responses.pqt")
    assert table["eid"].nunique() == counts["used"]["sessions"]


def test_a_check_warns_where_few_trials_have_a_whole_window(analyzed, faulty):
    settings, _ = analyzed
    origin = read_provenance(settings.results_dir / "responses" / "responses.pqt")
    share = {
        (row["target_NM"], row["event"]): row["share"]
        for row in origin.parameters["remaining_trials"]
    }
    (record,) = faulty.instance.event_log_storage.get_asset_check_execution_history(
        AssetCheckKey(AssetKey("response_magnitudes"), "few_whole_windows"), limit=1
    )
    # the demo's movements take less than the window
    assert min(share, key=share.get)[1] == "firstMovement_times"
    assert not record.evaluation.passed
    assert record.evaluation.severity == AssetCheckSeverity.WARN
    assert record.evaluation.metadata["value"].value == min(share.values()) < 1 / 3
    assert min(share[key] for key in share if key[1] != "firstMovement_times") > 1 / 3


def test_only_sessions_without_a_blocking_failure_are_used(analyzed, faulty):
    settings, _ = analyzed
    matrix = faulty.table("qc_matrix")
    blocked = set(matrix.loc[(matrix.severity == "BLOCK") & (matrix.outcome == "fail"), "eid"])
    assert len(blocked) >= 5
    used = set(read_table(settings.results_dir / "responses" / "responses.pqt")["eid"])
    assert used
    assert not used & blocked


def by_chance(n: int) -> float:
    """How many of n intervals of 95 % may leave the truth out; more happens once in a hundred."""
    return binom.ppf(0.99, n, 0.05)


def test_the_planted_coefficients_are_inside_the_intervals_of_the_models(analyzed, faulty):
    settings, _ = analyzed
    folder = settings.results_dir / "responses"
    table = read_table(folder / "lmm_coefficients.pqt").set_index(planted.KEYS)
    assert table.index.get_level_values("target_NM").nunique() >= 4
    population = planted.of_population(faulty.truth).reindex(table.index)
    assert population.notna().all()
    outside = (population < table["ci_low"]) | (population > table["ci_high"])
    assert outside.sum() <= by_chance(len(outside))
    # of the animals that there are
    own = planted.of_animals(faulty.truth, read_table(folder / "responses.pqt"))
    own = own.reindex(table.index)
    far = own.abs() > 1.5 * table["se"]
    assert far.sum() >= 10
    assert (np.sign(table["estimate"]) == np.sign(own))[far].mean() > 0.9
    assert own[own != 0].corr(table.loc[own != 0, "estimate"]) > 0.7
    assert (table["p_corrected"].dropna() >= table["p"][table["p_corrected"].notna()]).all()


def test_a_reaction_time_tells_the_response_where_that_was_planted_and_not_elsewhere(
    analyzed, faulty
):
    settings, _ = analyzed
    timing = {
        (target, name): slope
        for target, own in faulty.truth["coefficients"]["timing"].items()
        for name, slope in own.items()
    }
    folder = settings.results_dir / "movement_encoding"
    tests = read_table(folder / "movement_tests.pqt")
    p = tests[tests["predictor"] == "timing"].set_index(["target_NM", "timing_col"])["p"]
    found = {key for key in p.index if timing[key]}
    assert {target for target, _ in found} == {"VTA-DA", "NBM-ACh"}
    slopes = read_table(folder / "movement_slopes.pqt").groupby(["target_NM", "timing_col"])
    mean = slopes["timing_coef"].mean()
    for key in found:
        assert p[key] <= 0.05, key
        assert mean[key] * timing[key] > 0, key
    others = p.drop(list(found))
    assert len(others) >= 5
    assert (others < 0.05).sum() <= by_chance(len(others))
    wheel = read_table(folder / "wheel_models.pqt").dropna(subset="animal_p")
    # nothing that moves the wheel was planted but the reaction times of those two targets
    known = [bool(timing.get(key)) for key in zip(wheel["target_NM"], wheel["dv"], strict=True)]
    null = wheel.loc[~np.array(known), "animal_p"]
    assert len(null) >= 20
    assert (null < 0.05).sum() <= by_chance(len(null))


def test_left_out_animals_are_decoded_no_better_than_animals_that_differ_can_be(analyzed):
    """Animals of a target differ by more than the targets do, as real ones."""
    settings, _ = analyzed
    accuracy = read_table(settings.results_dir / "responses" / "decoding_accuracy.pqt")
    overall = accuracy[accuracy["measure"] == "balanced_accuracy"].iloc[0]
    n_targets = accuracy["target_NM"].nunique()
    assert n_targets >= 4
    assert overall["low"] <= overall["value"] <= overall["high"]
    assert overall["high"] > 1 / n_targets
    assert overall["value"] < 0.9


def test_folders_of_figures_are_drawn_with_a_preview(analyzed):
    settings, result = analyzed
    made = materialized(result)
    for folder in DRAWN:
        shown = made[f"{folder}_figures"]
        files = {path.stem for path in (settings.figures_dir / folder).glob("*.svg")}
        previews = {name for name, value in shown.items() if str(value).startswith("![")}
        assert files == previews
        assert len(files) == shown["figures"] + shown["figures without data"] > 0
        assert "not drawn" not in shown


def test_the_asset_that_is_named_for_a_missing_file_writes_it(analyzed):
    _, result = analyzed
    made = materialized(result)
    for figure in FIGURES.values():
        for file in figure.files[: figure.n_required]:
            if file.startswith("results/"):
                assert f"rows of {PurePosixPath(file).stem}" in made[registry.producer(file)], file


def test_an_analysis_whose_input_was_never_made_says_what_to_materialize(small_settings, instance):
    job = build_defs(small_settings).resolve_job_def(COHORT_JOB)
    result = job.execute_in_process(
        instance=instance, raise_on_error=False, asset_selection=[AssetKey("response_matrix")]
    )
    assert not result.success
    failed = [e for e in result.all_events if e.event_type == DagsterEventType.STEP_FAILURE]
    assert len(failed) == 1
    error = failed[0].step_failure_data.error
    while error.cause:
        error = error.cause
    assert error.cls_name == MissingFileError.__name__
    assert "materialize response_magnitudes first" in error.message


def test_one_analysis_is_made_with_what_it_starts_from(faulty):
    told = []
    settings = made_cheap(faulty.settings)
    assert analyse(settings, faulty.instance, ["response_matrix"], report=told.append)
    steps = [line.rsplit(maxsplit=2)[0] for line in told if line.startswith("[")]
    assert [step.strip() for step in steps] == [
        "[1/3] response_kernels",
        "[2/3] response_magnitudes",
        "[3/3] response_matrix",
    ]
    # what the selection left is said once for both
    (at,) = [i for i, line in enumerate(told) if line.startswith("sessions of")]
    assert told[at] == "sessions of response_kernels, response_magnitudes, response_matrix:"
    counts = [int(line.split()[1]) for line in told[at + 1 :] if line.startswith("  - ")]
    (left,) = [int(line.split()[1]) for line in told if line.startswith("  = ")]
    assert int(told[at + 1].split()[0]) - sum(counts) == left > 0


def test_what_cannot_be_analyzed_is_refused(small_settings, instance, tmp_path):
    with pytest.raises(IblnmError, match="no such analysis: respons; there are response_kern"):
        analyse(small_settings, instance, ["respons"])
    empty = small_settings.model_copy(update={"root": tmp_path / "other"})
    with open_instance(empty) as unused, pytest.raises(IblnmError, match="no sessions to analyse"):
        analyse(empty, unused)


def test_an_empty_catalog_gives_empty_tables_and_figures_that_say_so(small_settings, instance):
    from iblnm_dagster.jobs import CATALOG_JOB

    settings = made_cheap(small_settings)
    defs = build_defs(settings)
    assert defs.resolve_job_def(CATALOG_JOB).execute_in_process(instance=instance).success
    names = [
        "response_kernels",
        "response_magnitudes",
        "trial_regressors",
        "movement_encoding",
        "response_lmm",
    ]
    result = defs.resolve_job_def(COHORT_JOB).execute_in_process(
        instance=instance,
        asset_selection=[AssetKey(n) for n in [*names, "movement_encoding_figures"]],
    )
    assert result.success
    made = materialized(result)
    assert made["response_magnitudes"]["dagster/row_count"] == 0
    drawing = (settings.figures_dir / "movement_encoding" / "wheel_models.svg").read_text()
    assert "no data" in drawing.lower()
    assert json.dumps(made["response_lmm"]["parameters"])
    assert pd.read_parquet(settings.results_dir / "responses" / "lmm_coefficients.pqt").empty
