"""What `iblnm analyse` says while it computes and at its end."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from dagster import DagsterEventType, MetadataValue

from iblnm.analysis import movement, responses
from iblnm.analysis.result import AnalysisResult, write_result
from iblnm.config import Settings
from iblnm.pipeline.selection import select_sessions
from iblnm.schemas import SESSIONS_TABLE
from iblnm_dagster.progress import Progress, report_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(kind: DagsterEventType, step: str, **metadata):
    materialization = SimpleNamespace(metadata=metadata)
    data = SimpleNamespace(materialization=materialization)
    inner = SimpleNamespace(event_type=kind, step_key=step, step_materialization_data=data)
    return SimpleNamespace(dagster_event=inner)


def run(report):
    with Progress(12, report) as progress:
        progress.show(SimpleNamespace(dagster_event=None))
        progress.show(event(DagsterEventType.STEP_START, "response_lmm"))
        progress.show(event(DagsterEventType.STEP_SUCCESS, "response_lmm"))
        progress.show(event(DagsterEventType.STEP_START, "video_figures"))
        text = MetadataValue.md("* video: the table of videos is empty")
        materialized = {"without data": text}
        kind = DagsterEventType.ASSET_MATERIALIZATION
        progress.show(event(kind, "video_figures", **materialized))
        progress.show(event(DagsterEventType.STEP_FAILURE, "video_figures"))
    return progress.notes


def test_lines_without_a_terminal(capsys):
    told = []
    notes = run(told.append)
    assert [line.split()[:-2] for line in told] == [
        ["[", "1/12]", "response_lmm"],
        ["[", "2/12]", "failed:", "video_figures"],
    ]
    assert notes == {"video_figures": "* video: the table of videos is empty"}
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_what_is_computed(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    run(lambda line: None)
    shown = screen.getvalue()
    assert "response_lmm:" in shown
    assert "video_figures:" in shown
    assert "1/12" in shown


@pytest.fixture
def settings(tmp_path) -> Settings:
    """A root whose selection left no session."""
    settings = Settings(root=tmp_path)
    _, account = select_sessions(
        SESSIONS_TABLE.empty(), settings=settings, required_contrasts=False, qc_blockers=False
    )
    empty = {stem: table.empty() for stem, table in responses.ANALYSIS.tables.items()}
    result = AnalysisResult(empty, notes=["None of 0 sessions has data"], removed=account)
    write_result(result, settings.results_dir / "responses", responses.ANALYSIS.tables)
    folder = settings.results_dir / "movement_encoding"
    tables = movement.ANALYSIS.tables
    empty = {stem: table.empty() for stem, table in tables.items()}
    write_result(AnalysisResult(empty, notes=["0 animals"]), folder, tables)
    return settings


def test_the_account_stands_once_and_figures_with_the_same_reason_together(settings):
    text = "* one: no rows\n* two: no rows\n* three: there is no file x; materialize y first"
    names = ["response_magnitudes", "movement_encoding", "movement_encoding_figures"]
    lines = list(report_lines(settings, names, {"movement_encoding_figures": text}))
    assert lines == [
        "sessions of response_magnitudes, movement_encoding:",
        "  0 sessions",
        "  = 0 sessions for the analysis",
        "movement_encoding_figures, without data:",
        "  one, two: no rows",
        "  three: there is no file x; materialize y first",
    ]
