"""How near the demo archive is to real recordings.

Run: IBLNM_REAL_DATA=... python benchmarks/bench_realism.py [number of demo animals]

One line per property: smallest, middle and largest value over the real recordings that have
trials, and over those of the demo. Both go through the same stages. A note says where the middle
of the demo is outside the range of the real ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import temporary_root

from iblnm.config import Settings
from iblnm.constants import FEEDBACK_EVENT, STIMULUS_EVENT

REAL = {
    "CQ002": "96268231-87d4-3791-b39f-6e3059cfa72e",
    "fip_40": "ab7da640-14f6-3bd3-8ae2-4ba9a67bade1",
}
N_ANIMALS = 10
SLOPE_HZ, WHITE_HZ = (0.1, 3.0), (8.0, 14.0)
NAMES = {
    "slope": "slope of the spectrum, 0.1 to 3 Hz (log / log)",
    "white": "share of white noise (8 to 14 Hz, over the band)",
    "kurtosis": "excess kurtosis of the corrected signal",
    "reference_r2": "r² of the isosbestic reference",
    "effect": "|d| of the outcome, single trials at feedback",
    "explained": "variance of single trials that the outcome explains",
    "whole": "trials with a whole window after the stimulus",
    "bleaching": "first minute of the signal relative to the last",
    "sd": "standard deviation of the corrected signal [% dF/F]",
}


def session_properties(settings: Settings, eid: str) -> list[dict[str, float]]:
    """Properties of each recording of a session."""
    from iblnm.analysis.trials import early_responses
    from iblnm.archive.connection import connect
    from iblnm.data import stages
    from iblnm.io import load_photometry

    one = connect(settings)
    row = stages.session_metadata(one, eid, settings).value.iloc[0]
    trials = stages.trials_table(one, row, settings).value
    reference = stages.photometry_reference(one, row, settings).value
    signals = stages.preprocessed_signal(reference, settings).value
    responses = stages.peri_event_responses(signals, trials, settings).value
    bands = load_photometry(reference)["GCaMP"]
    found = []
    for name, recording in signals.items():
        events = list(responses[name]["event"].to_numpy())
        magnitude, n_samples = early_responses(responses[name], trials)
        at_stimulus = n_samples[events.index(STIMULUS_EVENT)]
        rows = responses[name]["trial"].to_numpy()
        outcome = trials["feedbackType"].to_numpy()[rows]
        answered = trials["choice"].to_numpy()[rows] != 0
        at_feedback = magnitude[events.index(FEEDBACK_EVENT)]
        found.append(
            {
                **signal_properties(recording),
                **outcome_properties(at_feedback[answered], outcome[answered]),
                "whole": float((at_stimulus[answered] == at_stimulus.max()).mean()),
                "bleaching": bleaching(bands[name].dropna()),
            }
        )
    return found


def signal_properties(recording: Any) -> dict[str, float]:
    """Spectrum, distribution, reference and size of a corrected signal."""
    from scipy.signal import welch
    from scipy.stats import kurtosis

    signal = recording["signal"].to_numpy()
    signal = signal[np.isfinite(signal)]
    frequency, power = welch(signal, fs=float(recording.attrs["fs"]), nperseg=1024)
    low = (frequency >= SLOPE_HZ[0]) & (frequency <= SLOPE_HZ[1])
    high = (frequency >= WHITE_HZ[0]) & (frequency <= WHITE_HZ[1])
    slope = np.polyfit(np.log10(frequency[low]), np.log10(power[low]), 1)[0]
    return {
        "slope": float(slope),
        "white": float(power[high].mean() * frequency[-1] / signal.var()),
        "kurtosis": float(kurtosis(signal)),
        "reference_r2": float(recording.attrs["iso_r2"]),
        "sd": 100 * float(recording.attrs["sd"]),
    }


def outcome_properties(magnitude: np.ndarray, outcome: np.ndarray) -> dict[str, float]:
    """Effect size of the outcome, and what it explains of single trials."""
    known = np.isfinite(magnitude)
    groups = [magnitude[known & (outcome == value)] for value in (1, -1)]
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    n = sum(map(len, groups))
    total = ((magnitude[known] - magnitude[known].mean()) ** 2).sum()
    return {
        "effect": float(abs(groups[0].mean() - groups[1].mean()) / np.sqrt(within / (n - 2))),
        "explained": float(1 - within / total),
    }


def bleaching(band: pd.Series) -> float:
    """Mean of the first minute relative to the last."""
    times = band.index.to_numpy()
    first, last = band[times < times[0] + 60], band[times > times[-1] - 60]
    return float(first.mean() / last.mean())


def demo_properties(n_animals: int) -> pd.DataFrame:
    """Properties of the recordings of a demo archive without faults, one session an animal."""
    from iblnm.demo import build_archive

    with temporary_root() as folder:
        truth = build_archive(
            folder / "alf",
            n_subjects=n_animals,
            sessions_per_subject=1,
            defects=False,
        )
        settings = Settings(root=folder / "root", one_cache_dir=folder / "alf")
        eids = [session["eid"] for session in truth["sessions"]]
        return pd.DataFrame([r for eid in eids for r in session_properties(settings, eid)])


def real_properties(folder: Path) -> pd.DataFrame:
    """Properties of the real recordings that have trials."""
    settings = Settings(root=folder, one_cache_dir=folder / "alf")
    return pd.DataFrame([r for eid in REAL.values() for r in session_properties(settings, eid)])


def spread(values: pd.Series) -> str:
    """Smallest, middle and largest."""
    known = values.dropna()
    if known.empty:
        return "–"
    return " / ".join(f"{value:.3g}" for value in (known.min(), known.median(), known.max()))


def main() -> None:
    demo = demo_properties(int(sys.argv[1]) if len(sys.argv) > 1 else N_ANIMALS)
    given = os.environ.get("IBLNM_REAL_DATA")
    real = real_properties(Path(given)) if given else demo.iloc[:0]
    print(f"smallest / middle / largest of {len(real)} real and {len(demo)} demo recordings\n")
    print("| property | real | demo | |\n| --- | --- | --- | --- |")
    for name, words in NAMES.items():
        low, high = real[name].min(), real[name].max()
        outside = not low <= demo[name].median() <= high and np.isfinite(low)
        print(
            f"| {words} | {spread(real[name])} | {spread(demo[name])} | "
            f"{'middle outside' if outside else ''} |"
        )


if __name__ == "__main__":
    main()
