"""What is estimated against what is planted, from signals through the whole chain.

Run: python benchmarks/statistics_signals.py [n_recordings]

Recordings of 400 trials (`bench.signal_cohort`, seeds from 1,000; the estimates were chosen on
others): two bands with bleaching, artifact, shot and slow noise, trial gains with sd 0.5 for every
second one, corrected, resampled and cut as the pipeline does it. Planted in dF/F: stimulus (0.020,
contrast 0.006 per log unit, side 0.008, contrast:side 0.002), movement 0.006, feedback (0.020,
reward 0.020), and in the second study contrast −0.002 and side 0.004 at feedback. Per estimate
the mean error of each coefficient over recordings with its standard error, in thousandths of
dF/F, and the root mean square over coefficients.

- kernel: one regression on all events (`response_kernels`), the default of the models
- whole: mean of the whole early window minus the baseline (`cohort.response` early)
- any: the same of the samples that the next event leaves (`cohort.min_coverage` 0, as before)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from _common import row
from bench.signal_cohort import CENTER, Noise, Recording, simulate_recording

from iblnm.analysis.kernels.regression import fit_kernels
from iblnm.analysis.trials import early_responses
from iblnm.constants import ANY_SAMPLE, TRIAL_EVENTS

FIRST_SEED = 1_000
STUDIES = {
    "nothing of the stimulus at feedback": {},
    "contrast and side at feedback": {"contrast": -0.002, "side": 0.004},
}
TERMS = {
    "stimOn_times": ("Intercept", "contrast", "side", "contrast:side"),
    "feedback_times": ("Intercept", "contrast", "side", "reward"),
}


def planted(feedback: dict[str, float]) -> dict[str, dict[str, float]]:
    """Effects of a study."""
    return {
        "stimOn_times": {
            "Intercept": 0.02,
            "contrast": 0.006,
            "side": 0.008,
            "contrast:side": 0.002,
        },
        "firstMovement_times": {"Intercept": 0.006},
        "feedback_times": {"Intercept": 0.02, "reward": 0.02, **feedback},
    }


def errors_of(recording: Recording, effects: dict) -> Iterator[dict[str, object]]:
    """Estimated minus planted, per estimate, event and term."""
    times, z = recording.signal["time"].to_numpy(), recording.signal["signal"].to_numpy()
    trials, responses = recording.trials, recording.responses
    estimates = {
        "kernel": fit_kernels(times, z[None], trials)[0].magnitude,
        "whole": early_responses(responses, trials)[0],
        "any": early_responses(responses, trials, min_coverage=ANY_SAMPLE)[0],
    }
    contra = (trials["stim_side"] == "right").to_numpy() == (recording.meta["hemisphere"] == "l")
    factors = {
        "Intercept": np.ones(len(trials)),
        "contrast": np.log1p(trials["contrast"].to_numpy(float)) - CENTER,
        "side": contra - 0.5,
        "reward": np.where(trials["feedbackType"] == 1, 0.5, -0.5),
    }
    for name, magnitude in estimates.items():
        for event, terms in TERMS.items():
            y = magnitude[TRIAL_EVENTS.index(event)]
            design = np.column_stack(
                [np.prod([factors[part] for part in term.split(":")], axis=0) for term in terms]
            )
            known = np.isfinite(y)
            beta = np.linalg.lstsq(design[known], y[known], rcond=None)[0]
            for term, value in zip(terms, beta * recording.signal.attrs["sd"], strict=True):
                error = 1000 * (value - effects[event].get(term, 0.0))
                yield {"estimate": name, "event": event, "term": term, "error": error}


def main() -> None:
    """Print the errors of every study."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    for study, feedback in STUDIES.items():
        effects, rows = planted(feedback), []
        for seed in range(FIRST_SEED, FIRST_SEED + n):
            recording = simulate_recording(
                np.random.default_rng(seed),
                effects,
                n_trials=400,
                hemisphere="lr"[seed % 2],
                noise=Noise(trial_gain_sd=0.5 * (seed % 2)),
            )
            rows += list(errors_of(recording, effects))
        table = pd.DataFrame(rows)
        for (event, term, estimate), own in table.groupby(["event", "term", "estimate"])["error"]:
            label = f"{study}: {event.removesuffix('_times')}, {term}, {estimate}"
            row(label, own.mean(), "", f"± {own.std() / np.sqrt(len(own)):.2f}, n {len(own)}")
        for (event, estimate), own in table.groupby(["event", "estimate"]):
            means = own.groupby("term")["error"].mean()
            label = f"{study}: {event.removesuffix('_times')}, all, {estimate}"
            row(label, float(np.sqrt((means**2).mean())), "", "root mean square of the biases")


if __name__ == "__main__":
    main()
