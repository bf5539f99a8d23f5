"""The work-around for runs that never end."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.execution.plan.active import ActiveExecution

from iblnm_dagster.workarounds.executor import settle_skipped_and_abandoned_steps

MAX_WAITS = 50


class Spinning(RuntimeError):
    pass


@dg.asset(output_required=False)
def a_skipped():
    yield from ()


@dg.asset
def b_failing():
    raise ValueError("on purpose")


@dg.asset(deps=[b_failing])
def abandoned(): ...


@dg.asset(deps=[a_skipped, abandoned])
def below_both(): ...


@pytest.fixture
def waits(monkeypatch) -> list[int]:
    """One entry per wait of a run; a run that waits too often is stopped."""
    calls = []

    def count(_):
        calls.append(1)
        if len(calls) > MAX_WAITS:
            raise Spinning

    monkeypatch.setattr(ActiveExecution, "sleep_til_ready", count)
    return calls


def _run() -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [a_skipped, b_failing, abandoned, below_both],
        raise_on_error=False,
        instance=dg.DagsterInstance.ephemeral(),
    )


@pytest.mark.slow
def test_a_step_below_a_skipped_and_an_abandoned_one_ends_the_run(waits):
    settle_skipped_and_abandoned_steps()
    settle_skipped_and_abandoned_steps()
    result = _run()
    assert not result.success
    events = {event.step_key for event in result.all_events if event.is_step_skipped}
    assert "below_both" in events
    assert waits == []


@pytest.mark.slow
def test_stock_dagster_still_spins(waits, monkeypatch):
    """When this fails, Dagster ends such runs: drop the work-around."""
    patched = ActiveExecution.plan_events_iterator
    stock = getattr(patched, "__wrapped__", patched)
    monkeypatch.setattr(ActiveExecution, "plan_events_iterator", stock)
    _run()
    assert len(waits) > MAX_WAITS
