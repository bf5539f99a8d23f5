"""Kills, faults and changes at once: no session is lost, none is run twice for one content.

The large version is ``python benchmarks/bench_sensor.py --simulate 5000``.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_every_session_is_in_exactly_once_per_content(tmp_path):
    from bench.sync_simulation import simulate

    found = simulate(tmp_path, n_sessions=60, n_changes=16, n_kills=2, seed=5)
    assert found.wrong == {}
    assert found.sessions == 60
    assert found.runs >= 60 - found.changes["delete"]
    assert found.kills >= 2
    assert found.faults > 0
    assert found.catch_ups >= 1
