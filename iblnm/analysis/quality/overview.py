"""Quality metrics over the cohort: long form, principal components, change in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.analysis.stats.corrections import correct_p
from iblnm.io.stamps import local_times
from iblnm.task.contrasts import require_columns

METHOD_VERSION = 1
WHO = ("subject", "lab", "target_NM", "brain_region", "session_type", "start_time")
RECORDING = ("eid", "fiber_idx", "band")
DAYS_PER_UNIT = 30.0
MIN_SUBJECTS = 4
MIN_METRICS = 2


def quality_values(
    quality: pd.DataFrame, recordings: pd.DataFrame, metrics: Sequence[str]
) -> pd.DataFrame:
    """Metrics in long form with what is known of each recording.

    Parameters
    ----------
    quality : DataFrame
        Schema `iblnm.schemas.QC_PHOTOMETRY`.
    recordings : DataFrame
        One row per recording: ``eid``, ``fiber_idx`` and the columns `WHO`.
    metrics : sequence of str

    Returns
    -------
    DataFrame
        ``eid``, ``fiber_idx``, ``band``, the columns `WHO`, ``metric``, ``value``; recordings
        in both tables, finite values only.

    Raises
    ------
    MalformedFileError
        If a column is missing.
    """
    require_columns(quality, (*RECORDING, *metrics))
    require_columns(recordings, ("eid", "fiber_idx", *WHO))
    merged = quality[[*RECORDING, *metrics]].merge(
        recordings[["eid", "fiber_idx", *WHO]], on=["eid", "fiber_idx"], validate="many_to_one"
    )
    long = merged.melt([*RECORDING, *WHO], list(metrics), "metric", "value")
    return long[np.isfinite(long["value"].to_numpy(dtype=float, na_value=np.nan))].reset_index(
        drop=True
    )


def quality_components(
    values: pd.DataFrame, *, n_components: int = 3
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Principal components of the standardized metrics of each band.

    Parameters
    ----------
    values : DataFrame
        From `quality_values`. Metrics that a band lacks, or that do not vary in it, are left
        out of its components; then recordings without some metric are.
    n_components : int

    Returns
    -------
    scores : DataFrame
        ``eid``, ``fiber_idx``, ``band``, the columns `WHO`, ``component`` (from 1), ``score``.
    components : DataFrame
        ``band``, ``component``, ``metric``, ``loading``, ``explained_variance_ratio``,
        ``n_recordings``. The largest loading of a component is positive.

    Notes
    -----
    `sklearn.decomposition.PCA` (full SVD) of z-scores.
    """
    from sklearn.decomposition import PCA

    scores, components = [], []
    for band, own in values.groupby("band", sort=True):
        wide = own.pivot_table(index=["eid", "fiber_idx"], columns="metric", values="value")
        wide = wide.loc[:, wide.notna().mean() > 0.5].dropna()
        wide = wide.loc[:, wide.std() > 0]
        if wide.shape[1] < MIN_METRICS or len(wide) <= MIN_METRICS:
            continue
        z = (wide - wide.mean()) / wide.std()
        n = min(n_components, wide.shape[1], len(wide) - 1)
        pca = PCA(n_components=n, svd_solver="full").fit(z.to_numpy())
        loadings = pca.components_
        sign = np.sign(loadings[np.arange(n), np.abs(loadings).argmax(axis=1)])
        projected = pd.DataFrame(
            (z.to_numpy() - pca.mean_) @ (loadings * sign[:, None]).T,
            index=wide.index,
            columns=pd.RangeIndex(1, n + 1, name="component"),
        )
        scores.append(
            projected.melt(value_name="score", ignore_index=False).reset_index().assign(band=band)
        )
        components.append(
            pd.DataFrame(
                {
                    "band": band,
                    "component": np.repeat(np.arange(1, n + 1), wide.shape[1]),
                    "metric": np.tile(wide.columns, n),
                    "loading": (loadings * sign[:, None]).ravel(),
                    "explained_variance_ratio": np.repeat(
                        pca.explained_variance_ratio_, wide.shape[1]
                    ),
                    "n_recordings": len(wide),
                }
            )
        )
    columns = [*RECORDING, *WHO, "component", "score"]
    if not scores:
        names = ["band", "component", "metric", "loading", "explained_variance_ratio"]
        return pd.DataFrame(columns=columns), pd.DataFrame(columns=[*names, "n_recordings"])
    who = values[["eid", "fiber_idx", *WHO]].drop_duplicates(["eid", "fiber_idx"])
    joined = pd.concat(scores, ignore_index=True).merge(who, on=["eid", "fiber_idx"])
    return joined[columns], pd.concat(components, ignore_index=True)


def quality_trend(values: pd.DataFrame) -> pd.DataFrame:
    """Quartiles per target, band, metric and month, with the numbers behind them.

    Parameters
    ----------
    values : DataFrame
        From `quality_values`; recordings without target or start are left out.

    Returns
    -------
    DataFrame
        Schema `iblnm.analysis.quality.tables.QC_TREND`.
    """
    known = values[values["target_NM"].notna() & values["start_time"].notna()]
    month = local_times(known["start_time"]).dt.strftime("%Y-%m")
    by = ["target_NM", "band", "metric", "month"]
    grouped = known.assign(month=month).groupby(by, sort=True)
    return pd.DataFrame(
        {
            "median": grouped["value"].median(),
            "q25": grouped["value"].quantile(0.25),
            "q75": grouped["value"].quantile(0.75),
            "n_recordings": grouped["value"].size(),
            "n_sessions": grouped["eid"].nunique(),
            "n_subjects": grouped["subject"].nunique(),
        }
    ).reset_index()


def quality_trend_tests(
    values: pd.DataFrame,
    *,
    correction: str = "fdr_bh",
    confidence: float = 0.95,
    min_subjects: int = MIN_SUBJECTS,
) -> pd.DataFrame:
    """Does a metric change over the months? The animal is the unit.

    Parameters
    ----------
    values : DataFrame
        From `quality_values`.
    correction : str
        Method of ``statsmodels.stats.multitest.multipletests``, over all tests made.
    confidence : float
    min_subjects : int
        Fewer animals are not tested; their row has no numbers.

    Returns
    -------
    DataFrame
        Schema `iblnm.analysis.quality.tables.QC_TREND_TESTS`.

    Notes
    -----
    Each animal gives its median value at the median day of its recordings: within an animal
    time is confounded with the age of the implant. ``scipy.stats.theilslopes`` and
    ``scipy.stats.kendalltau``.
    """
    from scipy import stats

    known = values[values["target_NM"].notna() & values["start_time"].notna()]
    day = local_times(known["start_time"])
    known = known.assign(_day=(day - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1))
    rows = []
    for (target, band, metric), own in known.groupby(["target_NM", "band", "metric"]):
        animals = own.groupby("subject")[["_day", "value"]].median()
        row = {
            "target_NM": target,
            "band": band,
            "metric": metric,
            "n_subjects": len(animals),
            "n_recordings": len(own),
        }
        if len(animals) >= min_subjects and np.ptp(animals.to_numpy(), axis=0).all():
            x, y = animals["_day"].to_numpy() / DAYS_PER_UNIT, animals["value"].to_numpy()
            slope = stats.theilslopes(y, x, confidence)
            tau = stats.kendalltau(x, y)
            row |= {
                "slope": slope.slope,
                "ci_low": slope.low_slope,
                "ci_high": slope.high_slope,
                "kendall_tau": tau.statistic,
                "p": tau.pvalue,
            }
        rows.append(row)
    names = ["target_NM", "band", "metric", "slope", "ci_low", "ci_high", "kendall_tau", "p"]
    table = pd.DataFrame(rows, columns=[*names, "n_subjects", "n_recordings"])
    return correct_p(table, "p", method=correction)


def video_overview(video: pd.DataFrame) -> pd.DataFrame:
    """How many sessions and animals have each value of the video quality checks.

    Parameters
    ----------
    video : DataFrame
        Schema `iblnm.schemas.VIDEO`.

    Returns
    -------
    DataFrame
        Schema `iblnm.analysis.quality.tables.VIDEO_OVERVIEW`.
    """
    columns = [name for name in video.columns if name.startswith("qc_")]
    long = video.assign(session_type=video["session_type"].fillna("unknown")).melt(
        ["eid", "subject", "session_type"], columns, "qc_column", "value"
    )
    long["value"] = long["value"].fillna("missing")
    grouped = long.groupby(["qc_column", "value", "session_type"], sort=True)
    return pd.DataFrame(
        {"n_sessions": grouped["eid"].nunique(), "n_subjects": grouped["subject"].nunique()}
    ).reset_index()
