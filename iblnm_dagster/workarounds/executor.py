"""Work-around: a run of Dagster 1.13 can wait for ever, at full speed.

After a step, Dagster marks what is to be skipped, then what is to be abandoned. A step below
both a skipped and an abandoned one becomes due for skipping only then, is never marked, and the
in-process executor spins. Here that is a session without photometry whose trials are damaged.
``tests/iblnm_dagster/workarounds/test_executor.py`` says when Dagster no longer needs this.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from dagster._core.execution.plan.active import ActiveExecution


def settle_skipped_and_abandoned_steps() -> None:
    """Make Dagster mark skipped and abandoned steps in turn until none is left."""
    original = ActiveExecution.plan_events_iterator
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def plan_events_iterator(self: ActiveExecution, job_context: Any) -> Iterator[Any]:
        while True:
            yield from original(self, job_context)
            self._update()
            if not (self._pending_skip or self._pending_abandon):
                return

    ActiveExecution.plan_events_iterator = plan_events_iterator
