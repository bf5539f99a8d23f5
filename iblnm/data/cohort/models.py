"""Stages: mixed models of responses, movement encoding with slopes and wheel models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from iblnm.analysis.corrections import correct_p
from iblnm.analysis.marginal import (
    FACTORS,
    compute_contrast_slopes,
    compute_interaction_effects,
    compute_marginal_means,
)
from iblnm.analysis.mixed_models import LMMResult, fit_best_random_effects
from iblnm.analysis.movement import fit_movement_lmm_per_contrast, loso_cv_movement_lmm
from iblnm.analysis.movement_permutation import movement_permutation_test
from iblnm.analysis.trials import analysed_trials
from iblnm.analysis.wheel_models import fit_wheel_lmm
from iblnm.config import Settings
from iblnm.constants import STIMULUS_EVENT
from iblnm.data.cohort.result import CohortResult, count_units
from iblnm.errors import DataError
from iblnm.schemas.core import Table
from iblnm.schemas.models import (
    CONTRAST_SLOPES,
    INTERACTION_EFFECTS,
    LMM_COEFFICIENTS,
    LMM_FITS,
    MARGINAL_MEANS,
    MOVEMENT_ENCODING,
    MOVEMENT_SLOPES,
    MOVEMENT_TESTS,
    WHEEL_MODELS,
)

Fits = dict[tuple[str, str], LMMResult]
_ESTIMATES = ["estimate", "se", "df", "z", "p", "p_wald", "ci_low", "ci_high"]
_LMM_TABLES = {
    "lmm_coefficients": LMM_COEFFICIENTS,
    "lmm_fits": LMM_FITS,
    "marginal_means": MARGINAL_MEANS,
    "contrast_slopes": CONTRAST_SLOPES,
    "interaction_effects": INTERACTION_EFFECTS,
}
_MOVEMENT_TABLES = {
    "movement_encoding": MOVEMENT_ENCODING,
    "movement_tests": MOVEMENT_TESTS,
    "movement_slopes": MOVEMENT_SLOPES,
    "wheel_models": WHEEL_MODELS,
}


def fit_responses(
    trials: pd.DataFrame,
    settings: Settings,
    *,
    response_col: str = "response_early",
    min_subjects: int | None = None,
    re_formulas: Sequence[str] | None = None,
    contrast_coding: str | None = None,
    events: Sequence[str] | None = None,
) -> tuple[Fits, list[str]]:
    """Mixed model of every target and event of selected trials.

    Parameters
    ----------
    trials : DataFrame
        Columns of the table of response magnitudes.
    settings : Settings
        Defaults of the other parameters, see `iblnm.config.ModelSettings`.
    response_col, min_subjects, re_formulas, contrast_coding, events
        See `iblnm.analysis.mixed_models.fit_best_random_effects`.

    Returns
    -------
    fits : dict of (target, event) to LMMResult
    notes : list of str
        Targets and events that could not be fitted, with the limit they miss.
    """
    models = settings.models
    needed = models.min_subjects if min_subjects is None else min_subjects
    fits, notes = {}, []
    trials = trials[trials["event"].isin(events or models.events)]
    for (target, event), own in trials.groupby(["target_NM", "event"], sort=True):
        n = own["subject"].nunique()
        if n < needed:
            notes.append(f"{target}, {event}: {n} subjects, {needed} are needed")
            continue
        try:
            fits[target, event] = fit_best_random_effects(
                own,
                response_col,
                re_formulas=re_formulas or models.re_formulas,
                contrast_coding=contrast_coding or models.contrast_coding,
                contrasts=settings.analysis_contrasts,
                loglik_tolerance=models.loglik_tolerance,
                se_tolerance=models.se_tolerance,
            )
        except DataError as error:
            notes.append(f"{target}, {event}: {error}")
    return fits, notes


def coefficient_table(fits: Fits, method: str) -> pd.DataFrame:
    """Fixed effects of all fits, corrected within event, the intercepts apart.

    Parameters
    ----------
    fits : dict of (target, event) to LMMResult
    method : str
        Of correction.

    Returns
    -------
    DataFrame
        Schema `LMM_COEFFICIENTS`; estimates of fits that did not converge are missing.
    """
    rows = []
    for (target, event), fit in fits.items():
        own = fit.coefficients.assign(target_NM=target, event=event, **_quality(fit))
        if not fit.is_converged:
            own[_ESTIMATES] = float("nan")
        rows.append(own)
    if not rows:
        return LMM_COEFFICIENTS.empty()
    table = pd.concat(rows, ignore_index=True)
    table["kind"] = (table["term"] == "Intercept").map({True: "intercepts", False: "effects"})
    table = correct_p(table, "p", ["event", "kind"], method)
    table["correction"] = f"{method} within event, intercepts apart"
    return LMM_COEFFICIENTS.conform(table)


def response_lmm(magnitudes: pd.DataFrame, settings: Settings) -> CohortResult:
    """Mixed models of the responses of a cohort, with what follows from them.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    settings : Settings

    Returns
    -------
    CohortResult
        Tables ``lmm_coefficients``, ``lmm_fits``, ``marginal_means``, ``contrast_slopes`` and
        ``interaction_effects``. Everything but ``lmm_fits`` leaves out fits that did not
        converge, or has no estimates for them.
    """
    models = settings.models
    magnitudes = magnitudes[magnitudes["event"].isin(models.events)]
    trials, selection = analysed_trials(magnitudes, settings)
    fits, notes = fit_responses(trials, settings)
    notes += [
        f"{target}, {event}: {fit.note}" for (target, event), fit in fits.items() if fit.note
    ]
    good = {key: fit for key, fit in fits.items() if fit.is_converged}
    tables = {
        "lmm_coefficients": coefficient_table(fits, models.correction),
        "lmm_fits": pd.DataFrame([_fit_row(*key, fit) for key, fit in fits.items()]),
        "marginal_means": _stack(
            [(key, compute_marginal_means(fit, f)) for key, fit in good.items() for f in _in(fit)]
        ),
        "contrast_slopes": _corrected(
            [(key, compute_contrast_slopes(fit)) for key, fit in good.items()],
            ["event", "factor"],
            models.correction,
        ),
        "interaction_effects": _corrected(
            [
                (key, compute_interaction_effects(fit, y, x))
                for key, fit in good.items()
                for y, x in permutations(_in(fit), 2)
            ],
            ["event", "y_factor", "x_factor"],
            models.correction,
        ),
    }
    used = trials[_keys(trials).isin(list(good))]
    singular = [" at ".join(key) for key, fit in good.items() if fit.is_singular]
    if singular:
        notes.append(
            "the animals differ by less than the noise explains, so a variance between them is "
            f"estimated as zero (singular fit, kept): {', '.join(singular)}"
        )
    return CohortResult(
        tables={name: _conformed(tables[name], schema) for name, schema in _LMM_TABLES.items()},
        schemas=dict(_LMM_TABLES),
        counts=_counts(magnitudes, trials, used),
        parameters={**_parameters(settings), **selection},
        numbers={
            "fits": float(len(fits)),
            "not converged": float(len(fits) - len(good)),
            "singular": float(sum(fit.is_singular for fit in fits.values())),
        },
        notes=notes or _empty_note(fits, f"{models.min_subjects} subjects per target"),
    )


def movement_encoding(
    magnitudes: pd.DataFrame, regressors: pd.DataFrame | None, settings: Settings
) -> CohortResult:
    """What contrast and timing explain of stimulus responses, and these of movements.

    Parameters
    ----------
    magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    regressors : DataFrame, optional
        Schema `TRIAL_REGRESSORS`, for the peak velocity; without it that variable is left out.
    settings : Settings

    Returns
    -------
    CohortResult
        Tables ``movement_encoding``, ``movement_tests``, ``movement_slopes`` and
        ``wheel_models``.
    """
    models = settings.models
    magnitudes = magnitudes[magnitudes["event"] == STIMULUS_EVENT]
    trials, selection = analysed_trials(magnitudes, settings)
    trials = with_peak_velocity(trials, regressors)
    needed = {
        "min_subjects": models.min_movement_subjects,
        "min_trials": models.min_movement_trials,
        "contrast_coding": models.contrast_coding,
        "contrasts": settings.analysis_contrasts,
    }
    encoding, tests, slopes, notes = [], [], [], []
    for target, own in trials.groupby("target_NM", sort=True):
        for timing in models.timings:
            loso = loso_cv_movement_lmm(own, "response_early", timing, **needed)
            if loso.empty:
                notes.append(
                    f"{target}, {timing}: fewer than {needed['min_subjects']} subjects with "
                    f"{needed['min_trials']} usable trials"
                )
                continue
            encoding.append(loso)
            tests.append(
                movement_permutation_test(
                    own,
                    "response_early",
                    timing,
                    n_permutations=models.n_permutations,
                    seed=models.seed,
                    **needed,
                )
            )
            slopes.append(
                fit_movement_lmm_per_contrast(
                    own,
                    "response_early",
                    timing,
                    models.min_subjects,
                    min_trials=models.min_movement_trials,
                )
            )
    wheel = fit_wheel_models(trials, settings)
    family = ["timing_col"]
    method = models.correction
    tables = {
        "movement_encoding": _concat(encoding),
        "movement_tests": _concat(tests, "p", [*family, "predictor"], method),
        "movement_slopes": _concat(slopes, "timing_p", family, method),
        "wheel_models": wheel,
    }
    targets = tables["movement_encoding"].get("target_NM", pd.Series(dtype=object)).unique()
    return CohortResult(
        tables={name: _conformed(tables[name], sch) for name, sch in _MOVEMENT_TABLES.items()},
        schemas=dict(_MOVEMENT_TABLES),
        counts=_counts(magnitudes, trials, trials[trials["target_NM"].isin(targets)]),
        parameters={**_parameters(settings), **selection},
        numbers={
            "targets": float(len(targets)),
            "wheel models": float(len(wheel)),
        },
        notes=notes,
    )


def fit_wheel_models(
    trials: pd.DataFrame,
    settings: Settings,
    *,
    response_col: str = "response_early",
    min_subjects: int | None = None,
) -> pd.DataFrame:
    """Wheel models of every target, contrast and variable of selected stimulus trials.

    Parameters
    ----------
    trials : DataFrame
        Columns of the table of response magnitudes and the variables of the settings that
        are to be explained; variables that are not there are left out.
    settings : Settings
    response_col : str
    min_subjects : int, optional

    Returns
    -------
    DataFrame
        Schema `WHEEL_MODELS`; p corrected within each variable.
    """
    models = settings.models
    found = []
    variables = [name for name in models.wheel_variables if name in trials]
    for (target, contrast), own in trials.groupby(["target_NM", "contrast"], sort=True):
        for variable in variables:
            row = fit_wheel_lmm(
                own,
                variable,
                response_col,
                target_nm=target,
                contrast=contrast,
                min_subjects=models.min_subjects if min_subjects is None else min_subjects,
                min_trials=models.min_movement_trials,
            )
            if row is not None:
                found.append(row)
    if not found:
        return WHEEL_MODELS.empty()
    table = correct_p(pd.DataFrame(found), "lrt_pvalue", ["dv"], models.correction)
    return WHEEL_MODELS.conform(table)


def with_peak_velocity(trials: pd.DataFrame, regressors: pd.DataFrame | None) -> pd.DataFrame:
    """Trials with the column ``peak_velocity`` of the trial regressors, where there are any."""
    if regressors is None or "peak_velocity" in trials:
        return trials
    own = regressors[["eid", "trial", "peak_velocity"]]
    return trials.merge(own, on=["eid", "trial"], how="left", validate="many_to_one")


def _quality(fit: LMMResult) -> dict[str, Any]:
    return {
        "converged": fit.is_converged,
        "singular": fit.is_singular,
        "loglik_gap": fit.loglik_gap,
        "se_gap": fit.se_gap,
        "re_formula": fit.re_formula,
        "n_trials": fit.n_trials,
        "n_sessions": fit.n_sessions,
        "n_recordings": fit.n_recordings,
        "n_subjects": fit.n_subjects,
    }


def _fit_row(target: str, event: str, fit: LMMResult) -> dict[str, Any]:
    variances = {name: float(fit.cov_random.loc[name, name]) for name in fit.cov_random}
    return {
        "target_NM": target,
        "event": event,
        **_quality(fit),
        "formula": fit.formula,
        "contrast_coding": fit.contrast_coding,
        "contrast_center": fit.contrast_center,
        "method": fit.method,
        "r2_marginal": fit.r2_marginal,
        "r2_conditional": fit.r2_conditional,
        "residual_variance": fit.residual_variance,
        "intercept_variance": variances.get("Intercept"),
        "slope_variance": variances.get("contrast"),
        "log_likelihood": fit.log_likelihood,
        "n_dropped": fit.n_dropped,
        "note": fit.note or None,
    }


def _in(fit: LMMResult) -> list[str]:
    """Factors of a model."""
    named = {name for term in fit.terms for name in term.split(":")}
    return [factor for factor in FACTORS if factor in named]


def _stack(parts: list[tuple[tuple[str, str], pd.DataFrame]]) -> pd.DataFrame:
    tables = [table.assign(target_NM=key[0], event=key[1]) for key, table in parts]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _corrected(
    parts: list[tuple[tuple[str, str], pd.DataFrame]], family: list[str], method: str
) -> pd.DataFrame:
    table = _stack(parts)
    return table if table.empty else correct_p(table, "p", family, method)


def _concat(
    tables: list[pd.DataFrame],
    p_col: str | None = None,
    family: Sequence[str] = (),
    method: str = "holm",
) -> pd.DataFrame:
    tables = [table for table in tables if not table.empty]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table if p_col is None else correct_p(table, p_col, family, method)


def _conformed(table: pd.DataFrame, schema: Table) -> pd.DataFrame:
    return schema.empty() if table.empty else schema.conform(table)


def _keys(trials: pd.DataFrame) -> pd.Series:
    pairs = zip(trials["target_NM"], trials["event"], strict=True)
    return pd.Series(list(pairs), index=trials.index, dtype=object)


def _counts(
    candidate: pd.DataFrame, eligible: pd.DataFrame, used: pd.DataFrame
) -> dict[str, dict[str, int]]:
    return {
        "candidate": count_units(candidate),
        "eligible": count_units(eligible),
        "used": count_units(used),
    }


def _parameters(settings: Settings) -> dict[str, Any]:
    return {
        **settings.models.model_dump(),
        "contrasts": list(settings.analysis_contrasts),
    }


def _empty_note(fits: Fits, limit: str) -> list[str]:
    return [] if fits else [f"no target has trials; at least {limit} are needed"]
