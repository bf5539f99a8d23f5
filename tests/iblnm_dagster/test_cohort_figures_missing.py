"""A folder of figures whose tables are missing: what the page says."""

from __future__ import annotations

from dagster import AssetKey, materialize

from iblnm.config import Settings
from iblnm.schemas.cohort import COHORT_TABLES
from iblnm.storage.parquet import write_table
from iblnm.vis import FIGURES
from iblnm_dagster.assets.cohort import COHORT_ASSETS, figures
from iblnm_dagster.assets.cohort.figures import producer


def test_every_file_that_a_figure_needs_has_an_asset():
    files = {
        asset.metadata_by_key[asset.key]["file"]: asset.key.to_user_string()
        for asset in COHORT_ASSETS
        if "file" in asset.metadata_by_key[asset.key]
    }
    names = {*files.values(), "video"}
    for figure in FIGURES.values():
        for file in figure.files[: figure.n_required]:
            main = files.get(file.removeprefix("results/"))
            assert producer(file) in names, file
            assert main is None or producer(file) == main, file


def test_the_page_names_what_was_not_drawn_and_what_to_materialize(tmp_path):
    settings = Settings(root=tmp_path, figures={"file_types": ("png",), "dpi": 40})
    stages = COHORT_TABLES["sessions_to_stage"].empty()
    write_table(stages, settings.results_dir / "task_performance" / "sessions_to_stage.pqt")
    asset = next(a for a in figures.ASSETS if a.key == AssetKey("task_performance_figures"))
    result = materialize([asset], resources={"settings": settings})
    metadata = result.asset_materializations_for_node(asset.node_def.name)[0].metadata
    assert metadata["figures"].value == 0
    assert metadata["figures without data"].value == 1
    note = metadata["not drawn"].value
    assert len(note.splitlines()) == 5
    assert (
        "* learning_curves_nogo_fraction: there is no file "
        "results/task_performance/learning_curves.pqt; materialize task_performance first"
    ) in note
    assert (
        "* psychometric_curves: there is no file results/responses/responses.pqt; "
        "materialize response_magnitudes first"
    ) in note
    assert metadata["sessions_to_stage"].value.startswith("![sessions_to_stage](data:image/png")
