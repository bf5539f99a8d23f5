"""The examples run as they stand, on the demo archive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iblnm.config import Settings
from iblnm.schemas import SESSIONS_TABLE
from iblnm.storage.parquet import write_table

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
DOCS = EXAMPLES[0].parents[1] / "docs"


def run(script: Path, settings, *arguments: str, code: int = 0) -> str:
    """What an example prints, or where it fails, what it says."""
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
        "IBLNM_FIGURES__FILE_TYPES": '["svg"]',
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


@pytest.mark.slow
def test_a_figure_from_the_catalog(faulty):
    printed = run(EXAMPLES[0], faulty.settings)
    assert "first of the subject's day" in printed
    assert "DR-5HT" in printed
    drawn = {path.stem for path in (faulty.settings.figures_dir / "examples").glob("*.svg")}
    assert {"mean_traces", "response_vectors"} <= drawn


@pytest.mark.slow
def test_a_session_from_its_raw_signal_to_the_responses(small_settings):
    printed = run(EXAMPLES[1], small_settings)
    assert "problems: none" in printed
    assert "reward:" in printed
    assert (small_settings.figures_dir / "examples" / "session_to_psth.svg").exists()


@pytest.mark.slow
def test_an_example_says_which_session_can_be_shown(small_settings, small_archive):
    said = run(EXAMPLES[1], small_settings, "nonsense", code=1)
    eids = {session["eid"] for session in small_archive[1]["sessions"]}
    words = said.strip().rpartition(" ")
    assert words[0] == "session nonsense is not in the archive; one that has all is"
    assert words[2] in eids
    other = sorted(eids)[-1]
    assert other in run(EXAMPLES[1], small_settings, other)


@pytest.mark.slow
def test_an_example_without_recordings_says_what_removed_them(tmp_path):
    settings = Settings(root=tmp_path, one_cache_dir=tmp_path / "alf")
    path = settings.metadata_dir / "sessions.pqt"
    write_table(SESSIONS_TABLE.empty(), path)
    said = run(EXAMPLES[0], settings, code=1)
    assert "the selection above leaves no recording" in said


def test_there_are_the_two_examples_of_the_readme():
    readme = (EXAMPLES[0].parents[1] / "README.md").read_text()
    assert [path.name for path in EXAMPLES] == ["catalog_to_figure.py", "session_to_psth.py"]
    assert all(f"examples/{path.name}" in readme for path in EXAMPLES)


PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_documentation_lead_somewhere(page):
    path = DOCS.parent / page
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|^\[[^]]+\]: (\S+)", text, flags=re.M):
        link = "".join(target)
        assert link.startswith("http") or (path.parent / link).exists(), link


def test_the_readme_is_for_ten_minutes():
    assert len((DOCS.parent / "README.md").read_text().splitlines()) <= 120
