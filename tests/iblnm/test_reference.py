"""The reference says what is declared, all of it and once."""

from __future__ import annotations

import dataclasses
import re

import pytest
from click.testing import CliRunner

from iblnm.config import Settings, Thresholds
from iblnm.pipeline.groups import running_rules
from iblnm.pipeline.rules import RULES
from iblnm.pipeline.stages import STAGES
from iblnm.reference import reference_pages, rule_address, rule_pages, without_sentence
from iblnm.reference.sentences import attribute_sentences, settings_of
from iblnm.schemas import PERFORMANCE
from iblnm.signal.metrics import metrics

SETTINGS = Settings(_env_file=None, thresholds=Thresholds(min_trials=123))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference_pages(SETTINGS)


def names_of(page: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)


def test_everything_declared_is_named_once(pages):
    assert names_of(pages["rules"]) == [rule.name for rule in running_rules()]
    assert names_of(pages["metrics"]) == [metric.name for metric in metrics()]
    assert names_of(pages["stages"]) == [stage.name for stage in STAGES]
    tables = re.findall(r"^## `(\w+)`$", pages["tables"], re.MULTILINE)
    assert len(tables) == len(set(tables))
    assert {"sessions", "performance", "response_magnitudes"} <= set(tables)


def test_limits_are_those_under_the_settings(pages):
    (line,) = (line for line in pages["rules"].splitlines() if "`insufficient_trials`" in line)
    assert "| trials | BLOCK | 123 trials |" in line
    assert "responses, performance, wheel_velocity" in line.rsplit("| ", 1)[1]


def test_columns_have_type_unit_and_range(pages):
    section = pages["tables"].split("## `performance`")[1].split("\n## ")[0]
    assert names_of(section) == PERFORMANCE.names
    (line,) = (line for line in section.splitlines() if "`psych_50_threshold`" in line)
    assert "| float | % contrast | yes | at least 0 |" in line


def test_no_cell_breaks_its_table(pages):
    for page in pages.values():
        for block in re.split(r"\n\n", page):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1


def test_the_command_prints_or_writes_the_pages(tmp_path, monkeypatch, pages):
    from iblnm_dagster import declared

    monkeypatch.setattr(declared, "get_settings", lambda: SETTINGS)
    shown = CliRunner().invoke(declared.reference, [])
    assert shown.exit_code == 0
    assert "# Rules" in shown.output
    assert "`insufficient_trials`" in shown.output
    done = CliRunner().invoke(declared.reference, ["--to", str(tmp_path / "made")])
    assert done.exit_code == 0
    written = {path.stem: path.read_text() for path in (tmp_path / "made").iterdir()}
    assert written == pages


def test_rules_columns_metrics_and_settings_have_their_sentence(monkeypatch):
    assert without_sentence() == []
    silent = dataclasses.replace(RULES["choice_sign"], remedy="")
    monkeypatch.setitem(RULES, "choice_sign", silent)
    assert without_sentence() == ["remedy of rule choice_sign"]


def test_every_setting_is_there_with_its_default(pages):
    listed = re.findall(r"^\| `([\w.]+)` \|", pages["settings"], re.MULTILINE)
    assert sorted(listed) == sorted(name for name, _, _ in settings_of())
    (line,) = (x for x in pages["settings"].splitlines() if "`signal.lowpass_hz`" in x)
    assert line.endswith("| `0.01` |")
    assert attribute_sentences(Thresholds)["min_trials"] in pages["settings"]


def test_the_page_of_a_rule_says_limit_consequence_and_remedy():
    pages = rule_pages(SETTINGS)
    assert {"insufficient_trials", "spikes_clusters_mismatch"} <= set(pages)
    page = pages["insufficient_trials"]
    assert "**Limit** 123 trials" in page
    assert "**Blocks** `responses`, `performance`, `wheel_velocity`" in page
    assert RULES["insufficient_trials"].remedy in page
    own = SETTINGS.model_copy(update={"documentation_url": "http://lab.example/docs/"})
    assert rule_address(own, "choice_sign") == (
        "http://lab.example/docs/reference/rules/choice_sign.html"
    )
