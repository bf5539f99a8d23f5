"""Analysis: repeated-measures analysis of variance of the responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from iblnm.analysis.anova.contrasts import contrasts_over_animals, recording_effects
from iblnm.analysis.anova.repeated import (
    missing_cells,
    repeated_measures_anova,
    subject_cell_means,
)
from iblnm.analysis.anova.tables import (
    ANOVA_MISSING_CELLS,
    CONTRASTS,
    FACTORIAL,
    RESPONSE_ANOVA,
)
from iblnm.analysis.derived import with_derived
from iblnm.analysis.result import AnalysisResult, count_stages
from iblnm.analysis.stats.corrections import correct_p
from iblnm.analysis.trials import ContrastCoding, analyzed_trials
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

    With outcome, where mice lack cells of the full factorial, contrasts over mice instead.

    Parameters
    ----------
    response_magnitudes : DataFrame
        Schema `iblnm.analysis.responses.tables.RESPONSE_MAGNITUDES`, all trials.
    settings : Settings
    response_col : str
    min_subjects, min_trials : int, optional
        Mice per ANOVA, and trials per cell (of contrasts: per outcome and recording); of the
        settings by default.
    events : sequence of str, optional
        Those of the table by default.

    Returns
    -------
    AnalysisResult
        Tables ``response_anova`` and ``anova_missing_cells``.

    Notes
    -----
    The outcome is a factor of responses to feedback only: before, there is none. A mouse
    that lacks a cell of the full factorial is named with the cell in ``anova_missing_cells``.
    Before feedback it is left out of that ANOVA. With outcome most mice lack some, as they make
    no errors at high contrast: unless all are complete, the effects are those of two stages
    (``method`` contrasts), each mouse's regressions on contrast (one slope), side and outcome,
    then t over mice. p is corrected (after Greenhouse & Geisser) over targets and effects of
    one event.
    """
    chosen = settings.discrimination
    min_subjects = chosen.anova_min_subjects if min_subjects is None else min_subjects
    min_trials = chosen.anova_min_trials if min_trials is None else min_trials
    trials, selection = analyzed_trials(response_magnitudes, settings, response_col)
    trials = with_derived(trials)
    trials = trials[trials["side"].notna() & trials["target_NM"].notna()]
    coding = ContrastCoding("log", settings.analysis_contrasts)
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
        n, n_all = complete["subject"].nunique(), part["subject"].nunique()
        own, method = part[part["subject"].isin(complete["subject"])], FACTORIAL
        if _OUTCOME in within and n < n_all:
            method = CONTRASTS
            found = recording_effects(part, response_col, coding, min_trials=min_trials)
            own = part[_pairs(part).isin(_pairs(found))]
            n = found["subject"].nunique()
            notes.append(
                f"{target}, {event}: {len(incomplete)} of {n_all} mice lack a combination of "
                "contrast, side and outcome; in place of the full factorial there are contrasts "
                f"of the effects of {n} mice"
            )
        if n < min_subjects:
            needed = (
                f"{min_trials} trials in every cell"
                if method == FACTORIAL
                else f"{min_trials} trials of each outcome in a recording that has all effects"
            )
            notes.append(
                f"{target}, {event}: {n} of {n_all} mice have {needed}; {min_subjects} are needed."
            )
            continue
        try:
            if method == FACTORIAL:
                table = repeated_measures_anova(complete, response_col, "subject", within)
            else:
                table = contrasts_over_animals(found)
        except DataError as error:
            notes.append(f"{target}, {event}: {error}")
            continue
        effects.append(table.assign(target_NM=target, event=event, method=method))
        used.append(own)
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


def _pairs(table: pd.DataFrame) -> pd.Series:
    pairs = zip(table["eid"], table["fiber_idx"], strict=True)
    return pd.Series(list(pairs), index=table.index, dtype=object)


def _stack(parts: list[pd.DataFrame], schema: Any) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return schema.conform(pd.concat(filled)) if filled else schema.empty()
