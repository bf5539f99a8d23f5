"""Analysis: signals regressed on all events of their sessions together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.kernels.effects import kernel_effects
from iblnm.analysis.kernels.regression import Kernels, fit_kernels
from iblnm.analysis.kernels.tables import TABLES
from iblnm.analysis.result import AnalysisResult, conformed, count_units
from iblnm.analysis.selected import eligible_recordings, notes_of_reading
from iblnm.analysis.stored import Skipped, iterate_sessions
from iblnm.analysis.trials import ContrastCoding
from iblnm.config import Settings
from iblnm.constants import OPPOSITE_SIDE, TRIAL_EVENTS
from iblnm.storage.store import SessionStore

_SIGNALS = "photometry/preprocessed"
_CODING = "log"
_OF_RECORDING = ("eid", "subject", "target_NM", "brain_region", "fiber_idx")


def response_kernels(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Kernels of stimulus, movement and feedback from one regression per recording.

    The responses to events that follow each other overlap; here each has the others'
    contribution removed, so that no window is cut and no baseline lies on a response. Also the
    magnitude of each trial, from its kernel and what no event explains.

    Parameters are those of `iblnm.analysis.responses.compute.response_magnitudes`.

    Returns
    -------
    AnalysisResult
        Tables ``kernel_magnitudes``, ``kernels``, ``kernel_effects`` and ``kernel_fits``.
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    skipped = Skipped()
    found: dict[str, list[pd.DataFrame]] = {stem: [] for stem in TABLES}
    for recording, correction, kernels in collect_kernels(
        recordings, store.h5_dir, settings, skipped
    ):
        found["kernel_magnitudes"].append(magnitude_rows(recording, kernels))
        found["kernels"].append(kernel_rows(recording, kernels))
        found["kernel_effects"] += effect_rows(recording, kernels, settings)
        found["kernel_fits"].append(_fit_row(recording, correction, kernels))
    tables = conformed(
        {
            stem: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
            for stem, parts in found.items()
        },
        TABLES,
    )
    fits = tables["kernel_fits"]
    trials = len(tables["kernel_magnitudes"][["eid", "trial"]].drop_duplicates())
    counts["used"] = count_units(fits, trials=trials)
    return AnalysisResult(
        tables=tables,
        counts=counts,
        parameters={
            **settings.kernels.model_dump(),
            "early_window": list(settings.signal.early_window),
            "baseline_window": list(settings.signal.baseline_window),
            "contrasts": list(settings.analysis_contrasts),
            "contrast_coding": _CODING,
            "selection": account["criterion"].tolist(),
        },
        numbers={
            "recordings": float(len(fits)),
            "median variance predicted": float(fits["r2"].median()) if len(fits) else 0.0,
        },
        notes=notes_of_reading(fits, selected, skipped),
        removed=account,
    )


def collect_kernels(
    recordings: pd.DataFrame, h5_dir: Path, settings: Settings, skipped: Skipped
) -> Iterator[tuple[dict[str, Any], str | None, Kernels]]:
    """Kernels of the recordings of a table, one session in memory at a time.

    Yields
    ------
    recording : dict
        The row, with ``signal_sd`` [dF/F per z] of its signal.
    correction : str or None
        Of its signal.
    kernels : Kernels
    """
    for own, data in iterate_sessions(recordings, h5_dir, "trials", _SIGNALS, skipped=skipped):
        known = []
        for recording in own.to_dict("records"):
            signal = data[_SIGNALS].get(recording["recording_name"])
            if signal is None:
                key = (str(recording["eid"]), int(recording["fiber_idx"]))
                skipped.recordings[key] = f"no signal of {recording['recording_name']} stored"
            else:
                known.append((recording, signal))
        for group in _with_same_times(known):
            times = group[0][1]["time"].to_numpy()
            fitted = fit_kernels(
                times,
                np.stack([signal["signal"].to_numpy() for _, signal in group]),
                data["trials"],
                window=settings.signal.early_window,
                baseline_window=settings.signal.baseline_window,
                kernel_window=settings.kernels.window,
                penalties=settings.kernels.penalties,
                n_folds=settings.kernels.n_folds,
            )
            for (recording, signal), kernels in zip(group, fitted, strict=True):
                if kernels is None:
                    key = (str(recording["eid"]), int(recording["fiber_idx"]))
                    skipped.recordings[key] = "too few samples for its kernels"
                    continue
                own = {**recording, "signal_sd": signal.attrs.get("sd")}
                yield own, signal.attrs.get("correction"), kernels


def magnitude_rows(recording: dict[str, Any], kernels: Kernels) -> pd.DataFrame:
    """Rows of `KERNEL_MAGNITUDES` of one recording."""
    n_events, n_trials = kernels.magnitude.shape
    return pd.DataFrame(
        {
            "eid": recording["eid"],
            "fiber_idx": recording["fiber_idx"],
            "event": np.repeat(np.array(TRIAL_EVENTS, dtype=object), n_trials),
            "trial": np.tile(np.arange(n_trials), n_events),
            "response_kernel": kernels.magnitude.ravel(),
            "n_samples": kernels.n_samples.ravel(),
        }
    )


def kernel_rows(recording: dict[str, Any], kernels: Kernels) -> pd.DataFrame:
    """Rows of `KERNELS` of one recording."""
    contra = OPPOSITE_SIDE.get(str(recording.get("hemisphere")))
    parts = []
    for condition, kernel in zip(kernels.conditions, kernels.kernels, strict=True):
        side = None
        if contra is not None and condition.stim_side is not None:
            side = "contra" if condition.stim_side == contra else "ipsi"
        parts.append(
            pd.DataFrame(
                {
                    **{name: recording.get(name) for name in _OF_RECORDING},
                    "event": condition.event,
                    "contrast": condition.contrast,
                    "stim_side": condition.stim_side,
                    "side": side,
                    "feedbackType": condition.feedback,
                    "modulator": condition.modulator,
                    "n_events": len(condition.times),
                    "time": kernels.time,
                    "kernel": kernel,
                }
            ).astype({"stim_side": object, "side": object, "modulator": object})
        )
    return pd.concat(parts, ignore_index=True)


def effect_rows(
    recording: dict[str, Any], kernels: Kernels, settings: Settings
) -> list[pd.DataFrame]:
    """Rows of `KERNEL_EFFECTS` of one recording, by event."""
    found = kernel_effects(
        kernels,
        recording["hemisphere"],
        center=ContrastCoding(_CODING, settings.analysis_contrasts).center,
        baseline_window=settings.signal.baseline_window,
    )
    own = {name: recording[name] for name in ("eid", "subject", "target_NM", "fiber_idx")}
    return [
        pd.DataFrame(
            {
                **own,
                "event": event,
                "term": np.repeat(np.array(list(terms), dtype=object), len(kernels.time)),
                "time": np.tile(kernels.time, len(terms)),
                "effect": np.concatenate(list(terms.values())),
                "signal_sd": recording["signal_sd"],
                "n_trials": kernels.magnitude.shape[1],
            }
        )
        for event, terms in found.items()
    ]


def _fit_row(recording: dict[str, Any], correction: str | None, kernels: Kernels) -> pd.DataFrame:
    row = {
        **{name: recording.get(name) for name in _OF_RECORDING},
        "correction": correction,
        "n_conditions": len(kernels.conditions),
        "penalty": kernels.penalty,
        "r2": kernels.r2,
    }
    return pd.DataFrame([row])


def _with_same_times(known: list[tuple[dict[str, Any], Any]]) -> list[list[tuple]]:
    groups: dict[bytes, list[tuple]] = {}
    for recording, signal in known:
        groups.setdefault(signal["time"].to_numpy().tobytes(), []).append((recording, signal))
    return list(groups.values())
