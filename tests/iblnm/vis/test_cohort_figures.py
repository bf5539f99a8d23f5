"""The list of figures: every entry draws, from files or from nothing, and is saved whole."""

import inspect

import matplotlib
import pandas as pd
import pytest

from iblnm.analysis import lmm, registry, responses
from iblnm.analysis.performance.tables import SESSIONS_TO_STAGE, TARGET_COMPARISONS
from iblnm.analysis.result import AnalysisResult, write_result
from iblnm.config import Settings
from iblnm.schemas.selection import SESSION_SELECTION
from iblnm.storage.parquet import write_table
from iblnm.storage.provenance import Provenance
from iblnm.vis import FIGURES, draw_figure, figures_in, save_cohort_figures, thumbnail
from iblnm.vis.panels import has_data, reason_of


@pytest.fixture
def root(tmp_path):
    return Settings(root=tmp_path, figures={"file_types": ("png", "svg"), "dpi": 40})


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_takes_its_tables_counts_and_options(name):
    figure = FIGURES[name]
    parameters = inspect.signature(figure.function).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    required = [p for p in positional if p.default is p.empty]
    assert len(required) == figure.n_required
    assert len(positional) >= len(figure.files)
    assert {"counts", "settings", *figure.options} <= set(parameters)
    assert inspect.getdoc(figure.function)


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.slow
def test_without_files_the_missing_one_is_named(name, root, reason):
    figure = draw_figure(name, root)
    assert reason(figure) == f"there is no file {FIGURES[name].files[0]}"


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.slow
def test_empty_tables_give_a_reason(name, root, reason):
    for file in FIGURES[name].files:
        table = _schemas().get(file)
        write_table(pd.DataFrame() if table is None else table.empty(), root.root / file)
    assert reason(draw_figure(name, root))


def test_files_of_the_list_are_tables_that_exist():
    files = {file for figure in FIGURES.values() for file in (*figure.files, *figure.count_files)}
    assert files - set(_schemas()) == {"metadata/video.pqt", "data/performance.pqt"}


def _schemas():
    return {
        file: entry.tables[stem]
        for entry in registry.ANALYSES
        for stem, file in entry.files.items()
    }


@pytest.mark.slow
def test_numbers_come_from_the_analysis_and_files_are_saved(root, tmp_path):
    stages = SESSIONS_TO_STAGE.conform(
        pd.DataFrame(
            {
                "subject": ["a", "b"],
                "target_NM": "LC-NE",
                "n_training": 3,
                "n_biased": 1,
                "n_ephys": 0,
                "sessions_to_biased": [3.0, 4.0],
            }
        )
    )
    used = {"subjects": 9, "sessions": 8, "recordings": 9, "trials": 1234}
    origin = Provenance(software={}, parameters={"counts": {"used": used}})
    folder = tmp_path / "results" / "task_performance"
    write_table(stages, folder / "sessions_to_stage.pqt", SESSIONS_TO_STAGE, origin)
    before = dict(matplotlib.rcParams)
    saved = save_cohort_figures("task_performance", root)
    assert list(saved) == ["sessions_to_stage"]
    left = {item.name: item.reason for item in saved.missing}
    assert sorted([*saved, *left]) == sorted(figures_in("task_performance"))
    curves = "there is no file results/task_performance/learning_curves.pqt"
    assert left["learning_curves_fraction_correct"] == curves
    figure, paths = saved["sessions_to_stage"]
    # what is drawn tells the animals, the analysis tells the rest
    title = figure.get_suptitle().replace("\n", " ")
    assert "n = 2 mice, 8 sessions, 9 recordings, 1,234 trials" in title
    assert [path.name for path in paths] == ["sessions_to_stage.png", "sessions_to_stage.svg"]
    assert paths[0].parent == tmp_path / "figures" / "task_performance"
    assert len(list(paths[0].parent.iterdir())) == 2 * len(saved)
    assert len(thumbnail(figure)) < 60_000
    assert dict(matplotlib.rcParams) == before

    tests = TARGET_COMPARISONS.conform(
        pd.DataFrame(
            {
                "measure": ["sessions_to_biased"],
                "test": "kruskal_wallis",
                "group_a": "all",
                "group_b": "all",
                "n_a": 2,
                "n_b": 2,
                "p_corrected": 0.5,
                "correction": "holm",
            }
        )
    )
    write_table(tests, folder / "target_comparisons.pqt", TARGET_COMPARISONS)
    figure = draw_figure("sessions_to_stage", root)
    assert figure.axes[0].get_title(loc="left") == "Kruskal–Wallis p = 0.5 (corrected)"


def test_a_missing_file_leaves_the_figure_of_before_and_an_empty_one_does_not(root):
    table = SESSIONS_TO_STAGE.empty()
    file = root.results_dir / "task_performance" / "sessions_to_stage.pqt"
    drawn = root.figures_dir / "task_performance" / "sessions_to_stage.png"
    drawn.parent.mkdir(parents=True)
    drawn.write_bytes(b"a figure of before")
    saved = save_cohort_figures("task_performance", root)
    assert not saved
    assert drawn.read_bytes() == b"a figure of before"
    assert "sessions_to_stage" in [item.name for item in saved.missing]
    assert [path.name for path in drawn.parent.iterdir()] == [drawn.name]

    write_table(table, file)
    saved = save_cohort_figures("task_performance", root)
    assert list(saved) == ["sessions_to_stage"]
    reason = "the table of sessions to each stage is empty"
    assert saved.without_data == {"sessions_to_stage": reason}
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert "sessions_to_stage" not in [item.name for item in saved.missing]


def test_an_empty_figure_says_what_each_criterion_removed(root):
    account = SESSION_SELECTION.conform(
        pd.DataFrame(
            {
                "step": [1, 2, 3],
                "criterion": ["session type in biased", "no blocking check", "target in LC-NE"],
                "n_sessions_before": [6, 6, 2],
                "n_sessions_removed": [0, 4, 2],
                "n_sessions": [6, 2, 0],
                "n_subjects": [3, 1, 0],
                "setting": [None, None, "IBLNM_ANALYSED_TARGETS"],
            }
        )
    )
    empty = {stem: table.empty() for stem, table in responses.ANALYSIS.tables.items()}
    result = AnalysisResult(empty, notes=["repeats that"], removed=account)
    write_result(result, root.results_dir / "responses", responses.ANALYSIS.tables)
    # an analysis that starts from those responses says what they lost
    later = AnalysisResult({"marginal_means": lmm.ANALYSIS.tables["marginal_means"].empty()})
    write_result(later, root.results_dir / "responses", lmm.ANALYSIS.tables)
    for name in ("psychometric_curves", "marginal_means"):
        said = draw_figure(name, root).texts[-1].get_text()
        assert said.split("\n\n")[1].splitlines() == [
            "6 sessions",
            "- 4 by 'no blocking check': 2 left",
            "- 2 by 'target in LC-NE' (IBLNM_ANALYSED_TARGETS): 0 left",
            "= 0 sessions for the analysis",
        ]
    figure = draw_figure("psychometric_curves", root)
    assert not has_data(figure)
    assert reason_of(figure) == "the table of trials is empty"


def test_an_unknown_figure_is_an_error(root):
    with pytest.raises(KeyError, match="no_such"):
        draw_figure("no_such", root)


@pytest.mark.slow
def test_the_list_imports_no_matplotlib():
    import subprocess
    import sys

    code = (
        "import sys; from iblnm.vis import FIGURES; assert FIGURES; "
        "heavy = {'matplotlib', 'scipy', 'sklearn', 'statsmodels'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
