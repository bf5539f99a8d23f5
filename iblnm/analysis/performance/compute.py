"""Stage: learning curves, sessions to each stage, psychometric trajectories, comparisons."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.analysis.performance.learning import (
    MEASURES,
    compare_targets,
    learning_curve_means,
    learning_curves,
    number_sessions,
    psychometric_trajectories,
    sessions_to_stage,
    subject_targets,
)
from iblnm.analysis.performance.tables import (
    TABLES,
)
from iblnm.analysis.recordings import explode_sessions
from iblnm.analysis.result import AnalysisResult, conformed, count_sessions
from iblnm.config import Settings
from iblnm.pipeline.rules import RULES
from iblnm.pipeline.selection import select_sessions

CURVE_MEASURES = ("bias", "threshold", "lapse_left", "lapse_right")
TRAINED = ("biased", "ephys")
UNBIASED_BLOCK = 50


def task_performance(
    sessions: pd.DataFrame,
    performance_table: pd.DataFrame,
    errors: pd.DataFrame | None,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Learning curves, sessions to each stage, psychometric trajectories per target.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table. All training counts, also sessions without photometry or below
        the fraction correct that responses need.
    performance_table : DataFrame
        Schema `PERFORMANCE`.
    errors : DataFrame or None
        As for `iblnm.pipeline.selection.select_sessions`.
    settings : Settings
        See `iblnm.config.OverviewSettings`.
    labels, **criteria
        As for `iblnm.pipeline.selection.select_sessions`; by default only the rules about trials
        leave a session out.

    Returns
    -------
    AnalysisResult
        Tables as in `TABLES`. An animal with fibers in two targets counts in both.
    """
    overview = settings.overview
    own = {
        "qc_blockers": trial_errors(),
        "targets": False,
        "min_performance": False,
        "required_contrasts": False,
        **criteria,
    }
    if errors is None:
        own["qc_blockers"] = criteria.get("qc_blockers", False)
    # behavior does not need the photometry that the list of datasets is searched for
    behavior = sessions.drop(columns="datasets", errors="ignore")
    selected, account = select_sessions(
        behavior,
        errors=errors,
        performance=performance_table,
        labels=labels,
        settings=settings,
        **own,
    )
    recordings = explode_sessions(selected)
    targets = subject_targets(recordings, settings.analysed_targets)
    numbered = number_sessions(selected)
    curves = learning_curves(numbered, performance_table, targets)
    stages = sessions_to_stage(numbered, targets)
    fits = psychometric_trajectories(numbered, performance_table, targets)
    tables = {
        "learning_curves": curves,
        "learning_curve_means": learning_curve_means(curves, confidence=overview.confidence),
        "sessions_to_stage": stages,
        "psychometric_trajectories": fits,
        "target_comparisons": compare_targets(
            measures_to_compare(curves, stages, fits),
            correction=overview.correction,
            confidence=overview.confidence,
        ),
        "session_selection": account,
    }
    used = curves["eid"].unique()
    eligible = numbered.loc[numbered["subject"].isin(targets["subject"]), "eid"]
    return AnalysisResult(
        tables=conformed(tables, TABLES),
        counts={
            "candidate": count_sessions(sessions, performance=performance_table),
            "eligible": count_sessions(sessions, eligible, performance_table),
            "used": count_sessions(sessions, used, performance_table),
        },
        parameters={
            **overview.model_dump(include={"correction", "confidence"}),
            "targets": list(settings.analysed_targets),
            "selection": account["criterion"].tolist(),
            "measures of trained animals": "mean over biased and ephys sessions, 50/50 block",
        },
        numbers={
            "animals": float(curves["subject"].nunique()),
            "sessions": float(len(used)),
            "animals in several targets": float(_n_shared(targets)),
        },
        notes=_notes(targets, selected, settings),
        removed=account,
    )


def trial_errors() -> set[str]:
    """Names of the errors of the blocking rules about trials."""
    return {
        rule.exception.__name__
        for rule in RULES.values()
        if rule.severity == "BLOCK" and rule.asset == "trials"
    }


def measures_to_compare(
    curves: pd.DataFrame, stages: pd.DataFrame, fits: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Tables with one or more values per animal for each measure that targets are compared in.

    Parameters
    ----------
    curves, stages, fits : DataFrame
        From `iblnm.analysis.performance.learning`.

    Returns
    -------
    dict of str to DataFrame
        Sessions to each stage; of biased and ephys sessions the fractions, the parameters of
        the unbiased block and the shift of the bias between blocks.
    """
    trained = curves[curves["session_type"].isin(TRAINED)]
    unbiased = fits[fits["session_type"].isin(TRAINED) & (fits["block"] == UNBIASED_BLOCK)]
    return {
        # an animal that was first seen later tells nothing about the stage before
        "sessions_to_biased": stages[stages["n_training"] > 0],
        "biased_sessions_to_ephys": stages[stages["n_biased"] > 0],
        **dict.fromkeys(MEASURES, trained),
        **dict.fromkeys((*CURVE_MEASURES, "bias_shift"), unbiased),
    }


def _n_shared(targets: pd.DataFrame) -> int:
    return int((targets.groupby("subject").size() > 1).sum())


def _notes(targets: pd.DataFrame, selected: pd.DataFrame, settings: Settings) -> list[str]:
    notes = []
    if len(selected) and targets.empty:
        notes.append(
            f"no animal of {len(selected)} selected sessions has a fiber in the analyzed targets "
            f"{', '.join(settings.analysed_targets)} (IBLNM_ANALYSED_TARGETS)"
        )
    shared = _n_shared(targets)
    if shared:
        notes.append(
            f"{shared} animals have fibers in several targets and count in each; the tests take "
            "them as independent"
        )
    if targets["target_NM"].nunique() < 2:
        notes.append(f"{targets['target_NM'].nunique()} targets; comparing needs 2")
    return notes
