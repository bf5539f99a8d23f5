"""A folder of figures whose tables are missing: what the page says."""

from __future__ import annotations

import pytest
from dagster import AssetKey, materialize

from iblnm.analysis import registry
from iblnm.analysis.performance.tables import SESSIONS_TO_STAGE
from iblnm.config import Settings
from iblnm.storage.parquet import write_table
from iblnm.vis import FIGURES
from iblnm_dagster.cohort import cohort_assets


def test_every_file_that_a_figure_needs_has_an_asset():
    files = {
        asset.metadata_by_key[asset.key]["file"]: asset.key.to_user_string()
        for asset in cohort_assets()
        if "file" in asset.metadata_by_key[asset.key]
    }
    names = {*files.values(), "video"}
    for figure in FIGURES.values():
        for file in figure.files[: figure.n_required]:
            main = files.get(file)
            assert registry.producer(file) in names, file
            assert main is None or registry.producer(file) == main, file


@pytest.mark.slow
def test_the_page_names_what_was_not_drawn_and_what_to_materialize(tmp_path):
    settings = Settings(root=tmp_path, figures={"file_types": ("png",), "dpi": 40})
    stages = SESSIONS_TO_STAGE.empty()
    write_table(stages, settings.results_dir / "task_performance" / "sessions_to_stage.pqt")
    asset = next(a for a in cohort_assets() if a.key == AssetKey("task_performance_figures"))
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
