"""Cost of the regression of a session's signals on all its events.

Run: python benchmarks/bench_kernels.py

A simulated session of 60 minutes, 700 trials and two fibers, as `response_kernels` fits it: 15
kernels of 76 lags, five penalties, three folds.
"""

from __future__ import annotations

import numpy as np
from _common import cpu_seconds, row
from bench.signal_cohort import simulate_recording

from iblnm.analysis.kernels.regression import fit_kernels

EFFECTS = {"stimOn_times": {"Intercept": 0.02}, "feedback_times": {"Intercept": 0.02}}


def main() -> None:
    """Print the cost of one session."""
    recording = simulate_recording(np.random.default_rng(0), EFFECTS, n_trials=700)
    times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
    signals = np.stack([z, z[::-1]])
    row("length of the session", (times[-1] - times[0]) / 60, "min")
    cost = cpu_seconds(lambda: fit_kernels(times, signals, recording.trials))
    row("kernels of two fibers", cost, "CPU-s", "limit 1")


if __name__ == "__main__":
    main()
