"""Everything twice at once on one root: nothing is torn, nothing ends by a lock.

``python benchmarks/bench_at_once.py`` does it with 60 sessions.
"""

from __future__ import annotations

import pytest
from bench.at_once import require_whole, run_at_once

from iblnm.archive.sync_state import open_state
from iblnm.archive.watch import observe, open_source
from iblnm_dagster.partitions import known_sessions

pytestmark = pytest.mark.slow


def test_batches_the_sensors_run_and_catalogs_at_once(settings, instance, tmp_path):
    found = observe(open_source(settings), open_state(settings), settings.sync)
    assert found.complete and found.looks == len(known_sessions(instance))
    run_at_once(settings, tmp_path, 400)
    require_whole(settings, instance, known_sessions(instance))
