"""Analysis: what contrast and timing add, slopes on timing, models of the wheel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.movement.cross_validation import (
    cross_validate_movement,
    fit_timing_slopes,
)
from iblnm.analysis.movement.permutation import movement_permutation_test
from iblnm.analysis.movement.tables import (
    TABLES,
    WHEEL_MODELS,
)
from iblnm.analysis.movement.wheel import fit_wheel_model
from iblnm.analysis.result import AnalysisResult, conformed, count_stages
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.trials import analyzed_trials, code_trials
from iblnm.config import Settings
from iblnm.constants import STIMULUS_EVENT


def movement_encoding(
    response_magnitudes: pd.DataFrame, trial_regressors: pd.DataFrame | None, settings: Settings
) -> AnalysisResult:
    """What contrast and timing add to the prediction of a left-out animal's responses.

    Also slopes on timing per contrast, and models of the wheel with and without the response.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `RESPONSE_MAGNITUDES`, all trials.
    trial_regressors : DataFrame or None
        Schema `TRIAL_REGRESSORS`, for the peak velocity; without it that variable is left out.
    settings : Settings

    Returns
    -------
    AnalysisResult
        Tables ``movement_encoding``, ``movement_tests``, ``movement_slopes`` and
        ``wheel_models``.
    """
    models = settings.models
    magnitudes = response_magnitudes[response_magnitudes["event"] == STIMULUS_EVENT]
    trials, selection = analyzed_trials(magnitudes, settings)
    trials = with_peak_velocity(trials, trial_regressors)
    needed = {
        "min_subjects": models.min_movement_subjects,
        "min_trials": models.min_movement_trials,
        "contrast_coding": models.contrast_coding,
        "contrasts": settings.analysis_contrasts,
    }
    encoding, tests, slopes, notes = [], [], [], []
    for target, own in trials.groupby("target_NM", sort=True):
        for timing in models.timings:
            loso = cross_validate_movement(own, "response_early", timing, **needed)
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
                    alpha=settings.figures.alpha,
                    null=models.timing_null,
                    **needed,
                )
            )
            slopes.append(
                fit_timing_slopes(
                    own,
                    "response_early",
                    timing,
                    models.min_subjects,
                    min_trials=models.min_movement_trials,
                    n_shifts=models.n_permutations if models.timing_null == "shifts" else 0,
                    seed=models.seed,
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
    # models take trials whose contrast, side and outcome are known
    usable, _ = code_trials(trials, "response_early")
    coded, _ = code_trials(
        trials,
        "response_early",
        models.contrast_coding,
        contrasts=settings.analysis_contrasts,
    )
    used_by = {
        "movement_encoding": trials_of_fits(
            coded, tables["movement_encoding"], "timing_col", ["target_NM", "subject"]
        ),
        "movement_slopes": trials_of_fits(usable, tables["movement_slopes"], "timing_col"),
        "wheel_models": trials_of_fits(usable, wheel, "dv", is_time=False),
    }
    return AnalysisResult(
        tables=conformed(tables, TABLES),
        counts=count_stages(magnitudes, trials, used_by["movement_encoding"], used_by),
        parameters={
            **models.model_dump(),
            "contrasts": list(settings.analysis_contrasts),
            **selection,
        },
        numbers={
            "targets": float(len(targets)),
            "wheel models": float(len(wheel)),
        },
        notes=notes,
    )


def trials_of_fits(
    trials: pd.DataFrame,
    fits: pd.DataFrame,
    variable: str,
    keys: Sequence[str] = ("target_NM", "contrast"),
    *,
    is_time: bool = True,
) -> pd.DataFrame:
    """Trials that at least one fit uses.

    Parameters
    ----------
    trials : DataFrame
        `keys` and the variables.
    fits : DataFrame
        One row per fit: `keys` and, in the column `variable`, the variable that a trial needs.
    variable : str
    keys : sequence of str
    is_time : bool
        Whether its logarithm is taken, so that it has to be positive.
    """
    used = pd.Series(False, index=trials.index)
    if fits.empty:
        return trials[used]
    own = pd.MultiIndex.from_frame(trials[list(keys)])
    for name, rows in fits.groupby(variable):
        values = trials[name].to_numpy(dtype=float, na_value=np.nan)
        known = (values > 0) & np.isfinite(values) if is_time else np.isfinite(values)
        used |= known & own.isin(pd.MultiIndex.from_frame(rows[list(keys)]))
    return trials[used]


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
        Schema `WHEEL_MODELS`; p over animals corrected within each variable.
    """
    models = settings.models
    found = []
    variables = [name for name in models.wheel_variables if name in trials]
    for (target, contrast), own in trials.groupby(["target_NM", "contrast"], sort=True):
        for variable in variables:
            row = fit_wheel_model(
                own,
                variable,
                response_col,
                target_nm=target,
                contrast=contrast,
                min_subjects=models.min_subjects if min_subjects is None else min_subjects,
                min_trials=models.min_movement_trials,
                min_subjects_for_p=models.min_subjects_for_p,
            )
            if row is not None:
                found.append(row)
    if not found:
        return WHEEL_MODELS.empty()
    table = correct_p(pd.DataFrame(found), "animal_p", ["dv"], models.correction)
    return WHEEL_MODELS.conform(table)


def with_peak_velocity(trials: pd.DataFrame, regressors: pd.DataFrame | None) -> pd.DataFrame:
    """Trials with the column ``peak_velocity`` of the trial regressors, where there are any."""
    if regressors is None or "peak_velocity" in trials:
        return trials
    own = regressors[["eid", "trial", "peak_velocity"]]
    return trials.merge(own, on=["eid", "trial"], how="left", validate="many_to_one")


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
