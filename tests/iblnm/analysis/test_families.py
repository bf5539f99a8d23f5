"""Every corrected p says over which tests it was corrected."""

from __future__ import annotations

import pytest

from iblnm.analysis import registry
from iblnm.schemas.core import Table

TABLES = {
    name: schema
    for name, schema in registry.tables().items()
    if isinstance(schema, Table) and "p_corrected" in schema.names
}


@pytest.mark.parametrize("name", TABLES)
def test_the_family_is_in_the_description(name):
    (column,) = (c for c in TABLES[name].columns if c.name == "p_corrected")
    assert "over " in column.description or "only test" in column.description
    assert "its family" not in column.description


def test_all_analyses_with_tests_are_there():
    assert set(TABLES) >= {
        "lmm_coefficients",
        "contrast_slopes",
        "interaction_effects",
        "movement_tests",
        "movement_slopes",
        "wheel_models",
        "response_anova",
        "waveform_tests",
        "similarity_contrasts",
        "target_comparisons",
    }
