"""The figure assets: files, and what the page shows of them."""

import pytest
from bench.outcomes import simulate_outcomes
from dagster import AssetKey, DagsterInstance

from iblnm.config import Settings
from iblnm.schemas import ERRORS, QC_MATRIX, SESSIONS_TABLE
from iblnm.storage.parquet import write_table
from iblnm_dagster.build import build_defs
from iblnm_dagster.jobs import CATALOG_JOB

pytestmark = pytest.mark.slow

ASSETS = ("qc_dashboard", "dataset_overview")


@pytest.fixture(scope="module")
def materialized(tmp_path_factory):
    root = tmp_path_factory.mktemp("figures")
    settings = Settings(root=root, dagster_url="http://dagster.example:3000")
    matrix, sessions = simulate_outcomes(60, seed=5)
    write_table(matrix, settings.metadata_dir / "qc_matrix.pqt", QC_MATRIX)
    write_table(sessions, settings.metadata_dir / "sessions.pqt", SESSIONS_TABLE)
    failure = {"error_type": "MalformedFileError", "error_message": "no trials table"}
    errors = sessions[["eid"]].head(1).assign(asset="trials", severity="FAILURE", **failure)
    write_table(ERRORS.conform(errors), settings.metadata_dir / "errors.pqt", ERRORS)
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    job = job.get_subset(asset_selection={AssetKey(name) for name in ASSETS})
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    assert result.success
    metadata = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }
    return root, metadata


def test_files_are_where_the_design_says(materialized):
    root, metadata = materialized
    page = root / "figures" / "qc" / "dashboard.html"
    assert metadata["qc_dashboard"]["path"].value == str(page)
    assert '"dagster":"http://dagster.example:3000"' in page.read_text()
    assert '"failures":[[0,"trials","MalformedFileError","no trials table"]]' in page.read_text()
    files = {path.name for path in (root / "figures" / "dataset_overview").iterdir()}
    stages = ("all", "raw", "complete", "passing_qc", "video_ready")
    names = [f"sessions_{stage}" for stage in stages]
    names += ["recordings_per_target", "recordings_per_mouse"]
    assert files == {f"{name}.{kind}" for name in names for kind in ("svg", "pdf", "png")}


@pytest.mark.parametrize("name", ASSETS)
def test_thumbnail_is_markdown_and_small(materialized, name):
    text = materialized[1][name]["preview"].value
    assert text.startswith("![")
    assert "](data:image/png;base64," in text
    assert len(text) < 60_100


def test_both_belong_to_the_catalog():
    job = build_defs(Settings()).resolve_job_def(CATALOG_JOB)
    made = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    assert set(ASSETS) <= made
