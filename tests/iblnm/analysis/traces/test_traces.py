from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from iblnm.analysis.traces.means import mean_traces, stack_traces
from iblnm.analysis.traces.tables import MEAN_TRACES
from iblnm.analysis.trials import prepare_traces
from iblnm.signal.perievent import mask_subsequent_events, subtract_baseline

RECORDING = {
    "eid": "a",
    "subject": "m1",
    "target_NM": "VTA-DA",
    "brain_region": "VTA",
    "fiber_idx": 0,
}


@pytest.fixture(scope="module")
def simulated(loops):
    return loops.simulate(5, 300)


def test_prepared_as_by_the_functions_of_one_session(simulated):
    responses, trials = simulated
    before = responses.copy(deep=True)
    expected = subtract_baseline(mask_subsequent_events(responses, trials))
    np.testing.assert_allclose(prepare_traces(responses, trials), expected, atol=1e-12)
    assert responses.identical(before)


def test_means_and_counts_of_each_condition(simulated):
    responses, trials = simulated
    table = mean_traces(RECORDING, responses, trials)
    prepared = subtract_baseline(mask_subsequent_events(responses, trials))
    chosen = (
        (trials["probabilityLeft"] == 0.5)
        & (trials["choice"] != 0)
        & (trials["response_time"] > 0.05)
    )
    assert len(table) == 3 * 10 * 60
    for (event, contrast, feedback), cell in table.groupby(["event", "contrast", "feedbackType"]):
        own = chosen & (trials["contrast"] == contrast) & (trials["feedbackType"] == feedback)
        traces = prepared.sel(event=event).to_numpy()[own.to_numpy()]
        n_trials = np.isfinite(traces).sum(axis=0)
        np.testing.assert_array_equal(cell["n_trials"], n_trials)
        with np.errstate(invalid="ignore"):
            expected = np.where(n_trials, np.nansum(traces, axis=0) / n_trials, np.nan)
        np.testing.assert_allclose(cell["response"], expected, atol=1e-12)
    stim = table[(table["event"] == "stimOn_times") & (table["time"] > 0)]
    assert stim.groupby("time")["n_trials"].sum().is_monotonic_decreasing


def test_another_block_has_other_trials(simulated):
    responses, trials = simulated
    biased = mean_traces(RECORDING, responses, trials, probability_left=0.8)
    all_blocks = mean_traces(RECORDING, responses, trials, probability_left=None)
    first = mean_traces(RECORDING, responses, trials)
    at = -0.5
    n = [t.loc[np.isclose(t["time"], at), "n_trials"].sum() for t in (first, biased, all_blocks)]
    assert n[0] + n[1] == n[2]
    assert min(n) > 0


def test_table_of_the_schema(simulated):
    responses, trials = simulated
    other = {**RECORDING, "fiber_idx": 1}
    table = stack_traces(mean_traces(r, responses, trials) for r in (RECORDING, other))
    MEAN_TRACES.validate(table)
    assert set(table["fiber_idx"]) == {0, 1}
    nothing = mean_traces(RECORDING, responses, trials.assign(choice=0.0))
    pd.testing.assert_frame_equal(nothing, MEAN_TRACES.empty())
    pd.testing.assert_frame_equal(stack_traces([nothing]), MEAN_TRACES.empty())
