"""Notes and accounts of analyses, as figures and the command tell them."""

from __future__ import annotations

import pytest

from iblnm.analysis import encoding
from iblnm.analysis.account import stored_account, stored_notes, why_empty
from iblnm.analysis.result import AnalysisResult, write_result

NOTES = [
    "stimOn_times, ica: not converged",
    "feedback_times, ica: not converged",
    *(f"stimOn_times, plain, {target}: 8 complete recordings" for target in "ABCDE"),
]


@pytest.fixture
def root(tmp_path):
    empty = {stem: table.empty() for stem, table in encoding.ANALYSIS.tables.items()}
    folder = tmp_path / "results" / encoding.ANALYSIS.folder
    write_result(AnalysisResult(empty, notes=NOTES), folder, encoding.ANALYSIS.tables)
    return tmp_path


def test_the_notes_about_what_a_figure_shows_are_told(root):
    assert stored_account(encoding.ANALYSIS, root) == []
    of_ica = why_empty(encoding.ANALYSIS, root, ["stimOn_times", "ica"])
    assert of_ica == ["stimOn_times, ica: not converged"]
    of_plain = stored_notes(encoding.ANALYSIS, root, ["plain"])
    assert of_plain == [*NOTES[2:5], "and 2 notes more"]
    assert stored_notes(encoding.ANALYSIS, root)[-1] == "and 4 notes more"


def test_an_analysis_that_was_never_made_has_nothing_to_tell(tmp_path):
    assert why_empty(encoding.ANALYSIS, tmp_path) == []
