"""Stage: overview of signal and video quality."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.analysis.quality_overview import (
    quality_components,
    quality_trend,
    quality_trend_tests,
    quality_values,
    video_overview,
)
from iblnm.config import Settings
from iblnm.data.cohort.result import CohortResult, count_units
from iblnm.data.cohort.session_counts import count_sessions
from iblnm.data.recording_table import explode_sessions
from iblnm.data.selection import select_sessions
from iblnm.schemas.quality import (
    QC_COMPONENTS,
    QC_SCORES,
    QC_TREND,
    QC_TREND_TESTS,
    QC_VALUES,
    VIDEO_OVERVIEW,
)
from iblnm.schemas.responses import SESSION_SELECTION

SCHEMAS = {
    "qc_values": QC_VALUES,
    "qc_scores": QC_SCORES,
    "qc_components": QC_COMPONENTS,
    "qc_trend": QC_TREND,
    "qc_trend_tests": QC_TREND_TESTS,
    "video_overview": VIDEO_OVERVIEW,
    "session_selection": SESSION_SELECTION,
}


def qc_overview(
    sessions: pd.DataFrame,
    quality: pd.DataFrame,
    settings: Settings,
    *,
    video: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> CohortResult:
    """Distribution, components and change in time of the quality metrics.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table.
    quality : DataFrame
        Schema `QC_PHOTOMETRY`.
    settings : Settings
        See `iblnm.config.OverviewSettings`.
    video : DataFrame, optional
        Schema `VIDEO`.
    labels, **criteria
        As for `iblnm.data.selection.select_sessions`. By default only excluded subjects are
        left out: an overview of quality must not select by quality.

    Returns
    -------
    CohortResult
        Tables as in `SCHEMAS`.
    """
    overview = settings.overview
    own = {
        "session_types": False,
        "qc_blockers": False,
        "targets": False,
        "min_performance": False,
        "required_contrasts": False,
        "deduplicate": False,
        **criteria,
    }
    selected, account = select_sessions(
        sessions.drop(columns="datasets", errors="ignore"),
        labels=False if labels is None else labels,
        settings=settings,
        **own,
    )
    recordings = explode_sessions(selected)
    values = quality_values(quality, recordings, overview.quality_metrics)
    scores, components = quality_components(values, n_components=overview.n_components)
    tables = {
        "qc_values": values,
        "qc_scores": scores,
        "qc_components": components,
        "qc_trend": quality_trend(values),
        "qc_trend_tests": quality_trend_tests(
            values,
            correction=overview.trend_correction,
            confidence=overview.confidence,
            min_subjects=overview.min_trend_subjects,
        ),
        "video_overview": VIDEO_OVERVIEW.empty() if video is None else video_overview(video),
        "session_selection": account,
    }
    untested = tables["qc_trend_tests"]
    untested = untested[untested["p"].isna()]["target_NM"].drop_duplicates().tolist()
    return CohortResult(
        tables={name: SCHEMAS[name].conform(table) for name, table in tables.items()},
        schemas=dict(SCHEMAS),
        counts={
            "candidate": count_sessions(sessions),
            "eligible": count_sessions(selected),
            "used": count_units(values, trials=0),
        },
        parameters={
            **overview.model_dump(exclude={"correction"}),
            "selection": account["criterion"].tolist(),
        },
        numbers={
            "recordings": float(values[["eid", "fiber_idx"]].drop_duplicates().shape[0]),
            "values": float(len(values)),
        },
        notes=_notes(untested, overview.min_trend_subjects),
        removed=account,
    )


def _notes(untested: list[str], min_subjects: int) -> list[str]:
    if not untested:
        return []
    return [
        f"no test of the trend with fewer than {min_subjects} animals, or of a metric that does "
        f"not vary: {', '.join(untested)}"
    ]
