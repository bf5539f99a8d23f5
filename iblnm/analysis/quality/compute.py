"""Stage: overview of signal and video quality."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.analysis.quality.overview import (
    quality_components,
    quality_trend,
    quality_trend_tests,
    quality_values,
    video_overview,
)
from iblnm.analysis.quality.tables import (
    TABLES,
    VIDEO_OVERVIEW,
)
from iblnm.analysis.recordings import explode_sessions
from iblnm.analysis.result import AnalysisResult, conformed, count_sessions, count_units
from iblnm.config import Settings
from iblnm.pipeline.selection import select_sessions
from iblnm.signal.metrics import metrics


def qc_overview(
    sessions: pd.DataFrame,
    qc_photometry: pd.DataFrame,
    video: pd.DataFrame | None,
    settings: Settings,
    *,
    labels: pd.DataFrame | None = None,
    **criteria: Any,
) -> AnalysisResult:
    """Quality metrics of all recordings: values, principal components, trend in time; videos.

    Parameters
    ----------
    sessions : DataFrame
        The sessions table.
    qc_photometry : DataFrame
        Schema `QC_PHOTOMETRY`.
    video : DataFrame or None
        Schema `VIDEO`.
    settings : Settings
        See `iblnm.config.OverviewSettings`.
    labels, **criteria
        As for `iblnm.pipeline.selection.select_sessions`. By default only excluded subjects are
        left out: an overview of quality must not select by quality.

    Returns
    -------
    AnalysisResult
        Tables as in `TABLES`.
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
    names = overview.quality_metrics or tuple(m.name for m in metrics() if m.in_overview)
    values = quality_values(qc_photometry, recordings, names)
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
    return AnalysisResult(
        tables=conformed(tables, TABLES),
        counts={
            "candidate": count_sessions(sessions),
            "eligible": count_sessions(selected),
            "used": count_units(values, trials=0),
        },
        parameters={
            **overview.model_dump(exclude={"correction"}),
            "quality_metrics": names,
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
