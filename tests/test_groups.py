"""Tests that share a costly fixture are run by one worker."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("part", [1, 2])
def test_a_module_is_a_group_of_the_workers(request, part):
    # pytest-xdist 3.8 names groups in `_nodeid`, which pytest 9.2 no longer looks at: without an
    # error each test is then given to any worker, and each worker makes every fixture
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("not run by several workers (-n 2 --dist loadgroup)")
    assert request.node.nodeid.endswith("@tests/test_groups.py")
