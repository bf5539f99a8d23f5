"""The examples run as they stand, on the demo archive."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
DOCS = EXAMPLES[0].parents[1] / "docs"


def run(script: Path, settings) -> str:
    """Output of an example."""
    environment = {
        **os.environ,
        "IBLNM_ROOT": str(settings.root),
        "IBLNM_ONE_CACHE_DIR": str(settings.cache_dir),
        "IBLNM_FIGURES__FILE_TYPES": '["svg"]',
        "MPLBACKEND": "agg",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
