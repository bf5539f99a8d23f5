"""Analysis: effects of contrast, side and reward on whole curves, over animals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.kernels.compute import collect_kernels
from iblnm.analysis.result import AnalysisResult, conformed, count_units
from iblnm.analysis.selected import eligible_recordings, notes_of_reading
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.stats.curves import MIN_ANIMALS, curve_test
from iblnm.analysis.stored import NO_SCALE, Skipped
from iblnm.analysis.trials import ContrastCoding
from iblnm.analysis.waveforms.regression import animal_curves, kernel_effects
from iblnm.analysis.waveforms.tables import TABLES
from iblnm.config import Settings
from iblnm.signal.perievent import mean_of_finite
from iblnm.storage.store import SessionStore

_KEYS = ["target_NM", "event", "term"]


def waveform_inference(
    sessions: pd.DataFrame,
    errors: pd.DataFrame | None,
    performance_table: pd.DataFrame | None,
    store: SessionStore,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Effects of contrast, side and reward over time, with the animal as the unit.

    From the kernels of each recording (see `response_kernels`), all its trials; fibers are
    averaged within sessions, sessions within animals.
    Over animals: p by sign flips with the largest |t| over time, and simultaneous bands. With
    fewer than six animals there are their curves only, as no p under 0.05 is possible.

    Parameters are those of `iblnm.analysis.responses.compute.response_magnitudes`.

    Returns
    -------
    AnalysisResult
        Tables ``waveforms``, ``waveform_tests`` and ``animal_waveforms``.
    """
    selected, recordings, account, counts = eligible_recordings(
        sessions, settings, errors, performance_table, labels, criteria
    )
    effects, n_trials, skipped = collect_effects(recordings, store.h5_dir, settings)
    curves = animal_curves(effects) if len(effects) else effects
    waveforms, tests = infer_curves(curves, settings)
    notes = notes_of_reading(effects, selected, skipped)
    few = tests[tests["note"].notna()] if len(tests) else tests
    if len(few):
        targets = ", ".join(sorted(few["target_NM"].unique()))
        notes.append(
            f"fewer than {MIN_ANIMALS} animals, so no p under 0.05 is possible: {targets}"
        )
    counts["used"] = count_units(effects, trials=n_trials)
    return AnalysisResult(
        tables=conformed(
            {"waveforms": waveforms, "waveform_tests": tests, "animal_waveforms": curves}, TABLES
        ),
        counts=counts,
        parameters={
            "baseline_window": list(settings.signal.baseline_window),
            **settings.kernels.model_dump(),
            "contrasts": list(settings.analysis_contrasts),
            "contrast_coding": "log",
            "correction": settings.models.correction,
            "min_animals": MIN_ANIMALS,
            "seed": settings.models.seed,
            "unit": settings.cohort.unit,
            "selection": account["criterion"].tolist(),
        },
        numbers={"curves": float(len(tests)), "curves with p": float(tests["p"].notna().sum())},
        notes=notes,
        removed=account,
    )


def collect_effects(
    recordings: pd.DataFrame, h5_dir: Path, settings: Settings
) -> tuple[pd.DataFrame, int, Skipped]:
    """Effects over time of each recording and event, and how many trials they rest on."""
    skipped = Skipped()
    center = ContrastCoding("log", settings.analysis_contrasts).center
    parts, trials_of = [], {}
    for recording, _, kernels in collect_kernels(recordings, h5_dir, settings, skipped):
        scale = 1.0 if settings.cohort.unit == "z" else recording["signal_sd"]
        if scale is None:
            key = (str(recording["eid"]), int(recording["fiber_idx"]))
            skipped.recordings[key] = NO_SCALE
            continue
        found = kernel_effects(
            kernels,
            recording["hemisphere"],
            center=center,
            baseline_window=settings.signal.baseline_window,
        )
        trials_of[recording["eid"]] = kernels.magnitude.shape[1]
        parts += [
            _long(
                recording,
                event,
                list(terms),
                kernels.time,
                scale * np.stack(list(terms.values())),
            )
            for event, terms in found.items()
        ]
    table = pd.concat(parts, ignore_index=True) if parts else _no_effects()
    return table, sum(trials_of.values()), skipped


def infer_curves(curves: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean curves with bands and p, and one test per curve.

    Parameters
    ----------
    curves : DataFrame
        See `iblnm.analysis.waveforms.regression.animal_curves`.
    settings : Settings

    Returns
    -------
    waveforms, tests : DataFrame
        Schemas `WAVEFORMS` and `WAVEFORM_TESTS`.
    """
    if curves.empty:
        return TABLES["waveforms"].empty(), TABLES["waveform_tests"].empty()
    waveforms, tests = [], []
    for key, own in curves.groupby(_KEYS, sort=True, observed=True):
        wide = own.pivot_table(index="subject", columns="time", values="effect", dropna=False)
        wide = wide[wide.notna().any(axis=1)]
        named = dict(zip(_KEYS, key, strict=True))
        table, test = _one_curve(wide, settings.models.seed)
        waveforms.append(table.assign(**named))
        tests.append({**named, **test})
    found = pd.DataFrame(tests)
    found["kind"] = found["term"] == "Intercept"
    method = settings.models.correction
    found = correct_p(found, "p", ["event", "kind"], method).drop(columns="kind")
    found["correction"] = f"{method} within event, intercepts apart"
    return pd.concat(waveforms, ignore_index=True), found


def _one_curve(wide: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    time = wide.columns.to_numpy(dtype=float)
    values = wide.to_numpy(dtype=float)
    n_here = np.isfinite(values).sum(axis=0)
    complete = n_here == len(values)
    table = pd.DataFrame(
        {
            "time": time,
            "effect": mean_of_finite(values.T)[0],
            **{name: np.full(len(time), np.nan) for name in ("se", "low", "high", "p")},
            "n_subjects": n_here,
            "note": None,
        }
    )
    # what precedes the event is baseline
    tested = complete & (time > 0)
    test = {"n_subjects": len(values), "n_times": int(tested.sum()), "p": np.nan, "note": None}
    if len(values) < MIN_ANIMALS:
        note = f"{len(values)} animals; with fewer than {MIN_ANIMALS} no p under 0.05 is possible"
        return table.assign(note=note), {**test, "note": note}
    if not tested.any():
        note = "at no time do all animals have enough trials"
        return table.assign(note=note), {**test, "note": note}
    found = curve_test(values[:, tested], seed=seed)
    for name in ("se", "low", "high", "p"):
        table.loc[tested, name] = getattr(found, name)
    return table, {**test, "p": float(found.p.min())}


def _long(
    recording: dict[str, Any], event: str, terms: list[str], time: np.ndarray, effects: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{name: recording[name] for name in ("eid", "subject", "target_NM", "fiber_idx")},
            "event": event,
            "term": np.repeat(np.array(terms, dtype=object), len(time)),
            "time": np.tile(time, len(terms)),
            "effect": effects.ravel(),
        }
    )


def _no_effects() -> pd.DataFrame:
    names = ["eid", "subject", "target_NM", "fiber_idx", "event", "term", "time", "effect"]
    return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
