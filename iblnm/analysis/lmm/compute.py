"""Analysis: mixed models of the responses, with what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pandas as pd

from iblnm.analysis.lmm.marginal import (
    FACTORS,
    compute_interaction_effects,
    contrast_slopes,
    marginal_means,
)
from iblnm.analysis.lmm.model import LMMResult, fit_best_random_effects
from iblnm.analysis.lmm.tables import (
    LMM_COEFFICIENTS,
    TABLES,
)
from iblnm.analysis.result import AnalysisResult, conformed, count_stages
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.trials import analyzed_trials, code_trials
from iblnm.config import Settings
from iblnm.errors import DataError

Fits = dict[tuple[str, str], LMMResult]
_ESTIMATES = ["estimate", "se", "df", "z", "p", "p_wald", "ci_low", "ci_high"]


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
        See `iblnm.analysis.lmm.model.fit_best_random_effects`.

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
                fibers=models.fibers,
            )
        except DataError as error:
            notes.append(f"{target}, {event}: {error}")
    return fits, notes


def coefficient_table(fits: Fits, method: str, min_subjects_for_p: int = 0) -> pd.DataFrame:
    """Fixed effects of all fits, corrected within event, the intercepts apart.

    Parameters
    ----------
    fits : dict of (target, event) to LMMResult
    method : str
        Of correction.
    min_subjects_for_p : int
        Fits of fewer animals have no p.

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
        rows.append(without_p(own, fit, min_subjects_for_p))
    if not rows:
        return LMM_COEFFICIENTS.empty()
    table = pd.concat(rows, ignore_index=True)
    table["kind"] = (table["term"] == "Intercept").map({True: "intercepts", False: "effects"})
    table = correct_p(table, "p", ["event", "kind"], method)
    table["correction"] = f"{method} within event, intercepts apart"
    return LMM_COEFFICIENTS.conform(table)


def response_lmm(response_magnitudes: pd.DataFrame, settings: Settings) -> AnalysisResult:
    """Mixed model of the early response per target and event, with what follows from it.

    Coefficients, marginal means, slopes on contrast, interactions, quality of each fit.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Tables ``lmm_coefficients``, ``lmm_fits``, ``marginal_means``, ``contrast_slopes`` and
        ``interaction_effects``. Everything but ``lmm_fits`` leaves out fits that did not
        converge, or has no estimates for them.
    """
    models = settings.models
    wanted = response_magnitudes["event"].isin(models.events)
    magnitudes = response_magnitudes[wanted]
    trials, selection = analyzed_trials(magnitudes, settings)
    fits, notes = fit_responses(trials, settings)
    notes += [
        f"{target}, {event}: {fit.note}" for (target, event), fit in fits.items() if fit.note
    ]
    good = {key: fit for key, fit in fits.items() if fit.is_converged}
    tables = {
        "lmm_coefficients": coefficient_table(fits, models.correction, models.min_subjects_for_p),
        "lmm_fits": pd.DataFrame([_fit_row(*key, fit) for key, fit in fits.items()]),
        "marginal_means": _stack(
            [(key, marginal_means(fit, f)) for key, fit in good.items() for f in _in(fit)]
        ),
        "contrast_slopes": _corrected(
            [
                (key, without_p(contrast_slopes(fit), fit, models.min_subjects_for_p))
                for key, fit in good.items()
            ],
            ["event", "factor"],
            models.correction,
        ),
        "interaction_effects": _corrected(
            [
                (
                    key,
                    without_p(
                        compute_interaction_effects(fit, y, x), fit, models.min_subjects_for_p
                    ),
                )
                for key, fit in good.items()
                for y, x in permutations(_in(fit), 2)
            ],
            ["event", "y_factor", "x_factor"],
            models.correction,
        ),
    }
    few = [
        " at ".join(key) for key, fit in good.items() if fit.n_subjects < models.min_subjects_for_p
    ]
    if few:
        notes.append(f"no p with fewer than {models.min_subjects_for_p} animals: {', '.join(few)}")
    averaged = [f"{' at '.join(key)}: {f.n_averaged}" for key, f in good.items() if f.n_averaged]
    if averaged:
        notes.append(
            "recordings that share trials with another fiber of their session, so that both were "
            f"averaged: {'; '.join(averaged)}"
        )
    used, _ = code_trials(
        trials[_keys(trials).isin(list(good))],
        "response_early",
        models.contrast_coding,
        contrasts=settings.analysis_contrasts,
    )
    singular = [" at ".join(key) for key, fit in good.items() if fit.is_singular]
    if singular:
        notes.append(
            "the animals differ by less than the noise explains, so a variance between them is "
            f"estimated as zero (singular fit, kept): {', '.join(singular)}"
        )
    return AnalysisResult(
        tables=conformed(tables, TABLES),
        counts=count_stages(magnitudes, trials, used),
        parameters={
            **models.model_dump(),
            "contrasts": list(settings.analysis_contrasts),
            **selection,
        },
        numbers={
            "fits": float(len(fits)),
            "not converged": float(len(fits) - len(good)),
            "singular": float(sum(fit.is_singular for fit in fits.values())),
        },
        notes=notes or _empty_note(fits, f"{models.min_subjects} subjects per target"),
    )


def without_p(table: pd.DataFrame, fit: LMMResult, min_subjects: int) -> pd.DataFrame:
    """A table of a fit, without its p where the fit has fewer animals than a p needs."""
    if fit.n_subjects >= min_subjects:
        return table
    known = [name for name in ("p", "p_wald") if name in table]
    return table.assign(**dict.fromkeys(known, float("nan")))


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
        "n_averaged": fit.n_averaged,
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
        "fiber_correlation": fit.fiber_correlation,
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


def _keys(trials: pd.DataFrame) -> pd.Series:
    pairs = zip(trials["target_NM"], trials["event"], strict=True)
    return pd.Series(list(pairs), index=trials.index, dtype=object)


def _empty_note(fits: Fits, limit: str) -> list[str]:
    return [] if fits else [f"no target has trials; at least {limit} are needed"]
