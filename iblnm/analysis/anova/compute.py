"""Analysis: repeated-measures analysis of variance of the responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from iblnm.analysis.anova.repeated import (
    missing_cells,
    repeated_measures_anova,
    subject_cell_means,
)
from iblnm.analysis.anova.tables import ANOVA_MISSING_CELLS, RESPONSE_ANOVA
from iblnm.analysis.result import AnalysisResult, count_stages
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.trials import analyzed_trials
from iblnm.config import Settings
from iblnm.errors import DataError

_FACTORS = ("contrast", "side")
_OUTCOME_EVENT, _OUTCOME = "feedback_times", "feedbackType"


def response_anova(
    response_magnitudes: pd.DataFrame,
    settings: Settings,
    *,
    response_col: str = "response_early",
    min_subjects: int | None = None,
    min_trials: int | None = None,
    events: Sequence[str] | None = None,
) -> AnalysisResult:
    """Repeated-measures analysis of variance of contrast, side and outcome per target.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`, all trials.
    settings : Settings
    response_col : str
    min_subjects, min_trials : int, optional
        Complete mice per ANOVA, and trials per cell; of the settings by default.
    events : sequence of str, optional
        Those of the table by default.

    Returns
    -------
    AnalysisResult
        Tables ``response_anova`` and ``anova_missing_cells``.

    Notes
    -----
    The outcome is a factor of responses to feedback only: before, there is none. A mouse
    that lacks a cell of the full factorial is left out of that ANOVA, and named with the
    cell in ``anova_missing_cells``. p is corrected (after Greenhouse & Geisser) over targets
    and effects of one event.
    """
    chosen = settings.discrimination
    min_subjects = chosen.anova_min_subjects if min_subjects is None else min_subjects
    min_trials = chosen.anova_min_trials if min_trials is None else min_trials
    trials, selection = analyzed_trials(response_magnitudes, settings, response_col)
    trials = trials[trials["side"].notna() & trials["target_NM"].notna()]
    effects, lacking, used, notes = [], [], [], []
    for (target, event), part in trials.groupby(["target_NM", "event"], sort=True):
        if events is not None and event not in events:
            continue
        within = [*_FACTORS, *([_OUTCOME] if event == _OUTCOME_EVENT else [])]
        levels = [sorted(part[name].dropna().unique()) for name in within]
        cells = subject_cell_means(part, response_col, "subject", within, min_trials)
        absent = missing_cells(cells, "subject", within, levels)
        empty = sorted(set(part["subject"]) - set(cells["subject"]))
        lacking.append(absent.assign(target_NM=target, event=event))
        incomplete = {*absent["subject"], *empty}
        complete = cells[~cells["subject"].isin(incomplete)]
        n = complete["subject"].nunique()
        if n < min_subjects:
            notes.append(
                f"{target}, {event}: {n} of {part['subject'].nunique()} mice have "
                f"{min_trials} trials in every cell; {min_subjects} are needed."
            )
            continue
        try:
            table = repeated_measures_anova(complete, response_col, "subject", within)
        except DataError as error:
            notes.append(f"{target}, {event}: {error}")
            continue
        effects.append(table.assign(target_NM=target, event=event))
        used.append(part[part["subject"].isin(complete["subject"])])
    if trials.empty:
        notes.append("No trial is left by the selection; the tables are empty.")
    anova = _stack(effects, RESPONSE_ANOVA)
    if len(anova):
        anova = RESPONSE_ANOVA.conform(correct_p(anova, "p_gg", ["event"], chosen.correction))
    return AnalysisResult(
        tables={
            "response_anova": anova,
            "anova_missing_cells": _stack(lacking, ANOVA_MISSING_CELLS),
        },
        counts=count_stages(response_magnitudes, trials, pd.concat(used) if used else None),
        parameters={
            "response_col": response_col,
            "min_subjects": min_subjects,
            "min_trials": min_trials,
            "correction": chosen.correction,
            **selection,
        },
        numbers={"effects": float(len(anova))},
        notes=notes,
    )


def _stack(parts: list[pd.DataFrame], schema: Any) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return schema.conform(pd.concat(filled)) if filled else schema.empty()
