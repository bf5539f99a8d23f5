"""Analysis: effects of contrast, side and reward on whole curves, over animals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from iblnm.analysis.result import AnalysisResult, conformed, count_units
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.stats.curves import MIN_ANIMALS, curve_test
from iblnm.analysis.stored import NO_SCALE
from iblnm.analysis.waveforms.regression import animal_curves
from iblnm.analysis.waveforms.tables import TABLES
from iblnm.config import Settings
from iblnm.signal.perievent import mean_of_finite

_KEYS = ["target_NM", "event", "term"]


def waveform_inference(kernel_effects: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Effects of contrast, side and reward over time, with the animal as the unit.

    From the kernels of each recording (see `response_kernels`), all its trials; fibers are
    averaged within sessions, sessions within animals.
    Over animals: p by sign flips with the largest |t| over time, and simultaneous bands. With
    fewer than six animals there are their curves only, as no p under 0.05 is possible.

    Parameters
    ----------
    kernel_effects : DataFrame
        Schema `iblnm.analysis.kernels.tables.KERNEL_EFFECTS`.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Tables ``waveforms``, ``waveform_tests`` and ``animal_waveforms``.
    """
    effects, without = in_unit(kernel_effects, settings)
    curves = animal_curves(effects)
    waveforms, tests = infer_curves(curves, settings)
    notes = [f"{without} recordings left out: {NO_SCALE}"] if without else []
    if effects.empty:
        notes.append("No recording has kernels.")
    few = tests[tests["note"].notna()] if len(tests) else tests
    if len(few):
        targets = ", ".join(sorted(few["target_NM"].unique()))
        notes.append(
            f"fewer than {MIN_ANIMALS} animals, so no p under 0.05 is possible: {targets}"
        )
    return AnalysisResult(
        tables=conformed(
            {"waveforms": waveforms, "waveform_tests": tests, "animal_waveforms": curves}, TABLES
        ),
        counts={
            "candidates": _count(kernel_effects),
            "used": _count(effects),
        },
        parameters={
            "correction": settings.models.correction,
            "min_animals": MIN_ANIMALS,
            "seed": settings.models.seed,
            "unit": settings.cohort.unit,
        },
        numbers={"curves": float(len(tests)), "curves with p": float(tests["p"].notna().sum())},
        notes=notes,
    )


def in_unit(effects: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, int]:
    """Effects in the unit of the cohort, of recordings of a known target.

    Parameters
    ----------
    effects : DataFrame
        Schema `iblnm.analysis.kernels.tables.KERNEL_EFFECTS`.
    settings : Settings
        ``cohort.unit``.

    Returns
    -------
    effects : DataFrame
    without : int
        Recordings that are left out, as the scale of their signal is not known.
    """
    effects = effects[effects["target_NM"].notna()]
    if settings.cohort.unit == "z":
        return effects, 0
    known = effects["signal_sd"].notna()
    without = len(effects.loc[~known, ["eid", "fiber_idx"]].drop_duplicates())
    kept = effects[known]
    return kept.assign(effect=kept["effect"] * kept["signal_sd"]), without


def _count(effects: pd.DataFrame) -> dict[str, int]:
    trials = effects.drop_duplicates("eid")["n_trials"].sum()
    return count_units(effects, trials=int(trials))


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
