"""Scores of the chains on planted recordings, and their ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.corrections.protocol import (
    CASES,
    EVENT,
    PROTOCOL_SEED,
    Case,
    Planted,
    plant,
)
from iblnm.analysis.corrections.tables import CHAIN_RANKING, CORRECTION_BENCHMARK
from iblnm.analysis.corrections.traits import Traits
from iblnm.analysis.trials import early_responses
from iblnm.config import Settings
from iblnm.errors import MalformedFileError
from iblnm.signal.chains import Chain
from iblnm.signal.perievent import extract_responses, sample_at

METHOD_VERSION = 1
SCORES = ("bias", "trial_correlation", "trial_error", "artifact_left")


def run_benchmark(
    traits: Sequence[Traits],
    chains: Sequence[Chain],
    settings: Settings,
    *,
    cases: Sequence[Case] = CASES,
) -> pd.DataFrame:
    """Cases × chains × seeds.

    Parameters
    ----------
    traits : sequence of Traits
        Of the archive's recordings; each seed draws one of them.
    chains : sequence of Chain
    settings : Settings
        ``chains``, ``signal``.
    cases : sequence of Case

    Returns
    -------
    DataFrame
        Schema `CORRECTION_BENCHMARK`; empty without traits.
    """
    rows = []
    for seed in range(settings.chains.benchmark_seeds if traits else 0):
        drawn = traits[int(np.random.default_rng([PROTOCOL_SEED, 1, seed]).integers(len(traits)))]
        key = {"seed": seed, "drawn_eid": drawn.eid, "drawn_fiber_idx": drawn.fiber_idx}
        for case in cases:
            planted = plant(case, drawn, seed, settings.signal.fs)
            truth = planted_responses(planted, settings)
            rows += [
                {
                    **key,
                    "case": case.name,
                    "chain": chain.name,
                    **score(planted, truth, chain, settings),
                }
                for chain in chains
            ]
    return (
        CORRECTION_BENCHMARK.conform(pd.DataFrame(rows)) if rows else CORRECTION_BENCHMARK.empty()
    )


def planted_responses(planted: Planted, settings: Settings) -> np.ndarray:
    """Early response of each trial without bleaching, artifacts and noise (n_trials,), dF/F."""
    at = planted.signal.index.to_numpy()
    return _early(at, planted.response, planted.trials, settings)


def score(planted: Planted, truth: np.ndarray, chain: Chain, settings: Settings) -> dict[str, Any]:
    """How near a chain comes to what was planted.

    Parameters
    ----------
    planted : Planted
    truth : ndarray (n_trials,)
        See `planted_responses`.
    chain : Chain
    settings : Settings

    Returns
    -------
    dict
        Columns of `CORRECTION_BENCHMARK`; a ``note`` where the chain gave nothing.
    """
    try:
        corrected = chain.correct(settings.chains)(
            planted.signal, planted.reference, settings.signal
        )
    except MalformedFileError as error:
        return {"note": error.message}
    times, dff = corrected["time"].to_numpy(), corrected["dff"].to_numpy()
    found = _early(times, dff, planted.trials, settings)
    known = np.isfinite(found) & np.isfinite(truth)
    found, truth = found[known], truth[known]
    return {
        "bias": float(found.mean() / truth.mean() - 1.0),
        "trial_correlation": float(np.clip(np.corrcoef(found, truth)[0, 1], -1.0, 1.0)),
        "trial_error": float(np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2))),
        "artifact_left": _artifact_left(times, dff, planted),
    }


def rank_chains(benchmark: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and places by the error of single trials.

    Parameters
    ----------
    benchmark : DataFrame
        Schema `CORRECTION_BENCHMARK`.

    Returns
    -------
    DataFrame
        Schema `CHAIN_RANKING`, in the order of cases and chains.
    """
    if benchmark.empty:
        return CHAIN_RANKING.empty()
    keys = ["case", "chain"]
    grouped = benchmark.groupby(keys, sort=False)
    means = grouped[list(SCORES)].mean()
    means["n_seeds"] = grouped["trial_error"].count()
    means["rank"] = means.groupby("case", sort=False)["trial_error"].rank(method="min")
    return CHAIN_RANKING.conform(means.reset_index())


def _early(
    times: np.ndarray, values: np.ndarray, trials: pd.DataFrame, settings: Settings
) -> np.ndarray:
    signal = settings.signal
    responses = extract_responses(
        times, values, trials, events=[EVENT], window=signal.response_window, fs=signal.fs
    )
    return early_responses(
        responses,
        trials,
        event_order=[EVENT],
        baseline_window=signal.baseline_window,
        window=signal.early_window,
    )[0][0]


def _artifact_left(times: np.ndarray, dff: np.ndarray, planted: Planted) -> float:
    """Coefficient of the planted artifact beside that of the response."""
    at = planted.signal.index.to_numpy()
    design = np.column_stack(
        [
            sample_at(at, planted.artifact, times),
            sample_at(at, planted.response, times),
            np.ones(len(times)),
        ]
    )
    known = np.isfinite(design).all(axis=1) & np.isfinite(dff)
    return float(np.linalg.lstsq(design[known], dff[known], rcond=None)[0][0])
