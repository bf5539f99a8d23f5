"""Trials tables with planted behavior, and the real ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import erf

CONTRASTS = np.array([0.0, 0.0625, 0.125, 0.25, 1.0])
REAL_TRIALS = {
    "CQ002": "alf/cortexlab/Subjects/CQ002/2024-11-05/001/alf/task_00/_ibl_trials.table.pqt",
    "fip_40": "alf/wittenlab/Subjects/fip_40/2023-05-18/001/alf/_ibl_trials.table.pqt",
    "ZM_335": "alf/mainenlab/Subjects/ZM_335/2018-12-13/001/alf/_ibl_trials.table.pqt",
}


@pytest.fixture
def plan():
    """Makes the plan that the task registers: LEN_BLOCKS, POSITIONS, and its probabilities."""

    def make(seed=0, *, first="low", n_blocks=12):
        rng = np.random.default_rng(seed)
        lengths = [90, *rng.integers(20, 100, n_blocks - 1)]
        biased = [0.2, 0.8] if first == "low" else [0.8, 0.2]
        levels = [0.5, *(biased[i % 2] for i in range(n_blocks - 1))]
        p = np.repeat(levels, lengths)
        positions = np.where(rng.random(p.size) < p, -35, 35)
        return [int(n) for n in lengths], positions.tolist(), p

    return make


@pytest.fixture
def make_trials():
    """Makes ALF trials of an animal with the given curve in every kind of block."""

    def make(p_left, *, seed=0, curves=None, nogo=0.0, positions=None, contrasts=CONTRASTS):
        rng = np.random.default_rng(seed)
        p_left = np.asarray(p_left, dtype=float)
        n = p_left.size
        on_left = rng.random(n) < p_left if positions is None else np.asarray(positions)[:n] < 0
        contrast = rng.choice(contrasts, n)
        signed = np.where(on_left, -contrast, contrast) * 100
        curves = curves or {}
        bias, threshold, g1, g2 = np.array(
            [curves.get(round(p, 1), (0.0, 20.0, 0.05, 0.05)) for p in p_left]
        ).T
        p_right = g1 + (1 - g1 - g2) * (erf((signed - bias) / threshold) + 1) / 2
        choice = np.where(rng.random(n) < p_right, -1.0, 1.0)
        choice[rng.random(n) < nogo] = 0.0
        correct = np.where(on_left, choice == 1, choice == -1)
        stimulus = 5.0 * np.arange(n) + 1
        return pd.DataFrame(
            {
                "intervals_0": stimulus - 0.5,
                "stimOn_times": stimulus,
                "firstMovement_times": stimulus + rng.uniform(0.1, 0.4, n),
                "feedback_times": stimulus + rng.uniform(0.5, 2.0, n),
                "choice": choice,
                "contrastLeft": np.where(on_left, contrast, np.nan),
                "contrastRight": np.where(on_left, np.nan, contrast),
                "feedbackType": np.where(correct, 1.0, -1.0),
                "probabilityLeft": p_left,
            }
        )

    return make


@pytest.fixture(params=sorted(REAL_TRIALS))
def real_trials(request, real_data) -> tuple[str, pd.DataFrame]:
    """Each of the real trials tables, with its subject."""
    return request.param, pd.read_parquet(real_data / REAL_TRIALS[request.param])
