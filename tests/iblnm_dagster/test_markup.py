"""Texts that come from data are shown as texts on Dagster's page."""

from __future__ import annotations

import re

import pytest

from iblnm.pipeline.rules import Outcome
from iblnm_dagster.checks import _result
from iblnm_dagster.markup import without_markup

IMAGE = "![VTA](/graphql?query=mutation{wipeAssets})"
HOSTILE = [
    IMAGE,
    "[VTA](javascript:alert(1))",
    "![VTA][a]\n[a]: http://evil.example/x.png",
    "<img src=/graphql?query=mutation{x}>",
    "</td><script>fetch('/x')</script>",
    "<http://evil.example>",
    "<!-- x",
]
MARKUP = re.compile(r"<[A-Za-z/!?]|\][(\[:]|\n")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_image_link_or_tag_is_left(text):
    assert not MARKUP.search(without_markup(text))


def test_plain_texts_stay_as_they_are():
    for text in (
        "early_samples: 0.03 < 0.05, >= 3 in NBM_1 [0.1, 0.35) s",
        "R² of 0.2 (limit 0.1)",
    ):
        assert without_markup(text) == text


def test_an_evaluation_of_a_hostile_name_has_no_markup():
    outcome = Outcome(
        rule="few_unique_samples",
        passed=False,
        severity="WARN",
        value=0.01,
        limit=0.05,
        message=f"region {IMAGE} has few",
        metadata={"per region": [{"region": IMAGE, "value|x": 0.01}], "first": IMAGE},
    )
    result = _result("photometry_qc", outcome, words=f"animal {IMAGE}")
    shown = [result.description, result.metadata["first"].value]
    shown += result.metadata["per region"].md_str.splitlines()
    assert len(shown) == 5
    assert not any(MARKUP.search(text) for text in shown)
    assert "![VTA] (/graphql?query=mutation{wipeAssets})" in result.description
