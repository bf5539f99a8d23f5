from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("bleaching", "isosbestic", "perievent", "qc", "resample", "windows")


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_docstrings(name):
    result = doctest.testmod(import_module(f"iblnm.signal.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
