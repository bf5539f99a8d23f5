"""Rules about the photometry signal, its raw frames and its correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.constants import REFERENCE_BAND
from iblnm.io.fibers import describe_fiber_table
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get, get_list, join


class AmbiguousRegionMapping(RuleError):
    """A signal column maps to no region of the session, or to several."""


@rule(
    AmbiguousRegionMapping,
    asset="photometry",
    level="recording",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="columns",
    description="Every column of the signal belongs to exactly one region of the session.",
    remedy=(
        "Compare the columns of the signal with the regions in the experiment description and "
        "in photometryROI.locations; correct whichever is wrong."
    ),
)
def ambiguous_region_mapping(
    reference: pd.DataFrame, settings: Settings, session_row: Row | None = None
) -> Finding:
    unmapped = set(reference.loc[reference["recording_name"].isna(), "column"])
    for names in reference["unmapped_columns"]:
        unmapped.update(get_list({"names": names}, "names"))
    fibers = reference["fiber_idx"].dropna()
    unmapped.update(reference.loc[fibers.index[fibers.duplicated(keep=False)], "column"])
    table = [
        {
            "column": row.column,
            "recording": _text(row.recording_name),
            "side": _text(row.hemisphere),
        }
        for row in reference.itertuples()
    ]
    n = len(unmapped)
    if n:
        message = (
            f"{n} of {len(reference)} signal columns do not belong to exactly one region: "
            f"{join(sorted(unmapped))}. {_reason(session_row)}{describe_fiber_table(settings)}"
        )
    elif reference["brain_region"].isna().all():
        message = (
            f"No source names a region, see missing_brain_region; the {len(reference)} recordings "
            "have the names of their columns."
        )
    else:
        message = f"Each of {len(reference)} signal columns belongs to one region."
    return Finding(n == 0, float(n), message, metadata={"columns": table})


def _reason(session_row: Row | None) -> str:
    """What the session says of its regions, in words."""
    if session_row is None:
        return ""
    row = as_row(session_row)
    regions = get_list(row, "brain_region")
    names = dict(enumerate(get_list(row, "recording_name")))
    refused = [region for i, region in enumerate(regions) if region and names.get(i) is None]
    if refused:
        return (
            f"{join(map(repr, refused))} cannot be the name of a recording: letters, digits, "
            "'_', '.' and '-' are expected, and one region for each fiber. "
        )
    if not regions:
        return "No source names a region, see missing_brain_region. "
    columns = get_list(row, "roi")
    pairs = [
        f"{columns[i]} is {region}" if i < len(columns) and columns[i] else str(region)
        for i, region in enumerate(regions)
    ]
    source = get(row, "region_source")
    return f"The session names {join(pairs)}{f' ({source})' if source else ''}. "


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


class MissingSignalColumn(RuleError):
    """A fiber of the session has no column in the signal."""


@rule(
    MissingSignalColumn,
    asset="photometry",
    level="recording",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="columns",
    description=(
        "Every signal column that the description or the locations name is in the file; a fiber "
        "without one has no recording, and the others are processed."
    ),
    remedy=(
        "Correct the name of the column in the description or the locations, or extract the "
        "signal again with all of its columns."
    ),
)
def missing_signal_column(reference: pd.DataFrame) -> Finding:
    absent = get_list(reference.iloc[0], "absent_columns")
    present = join(reference["column"])
    if absent:
        return Finding(
            False,
            float(len(absent)),
            f"{len(absent)} columns that a region is named for are not in the file: "
            f"{join(absent)}; it has {present}.",
        )
    return Finding(True, 0.0, f"Every named column is in the file: {present}.")


class TrialsNotInPhotometryTime(RuleError):
    """The recording does not cover the trials."""


@rule(
    TrialsNotInPhotometryTime,
    asset="photometry",
    level="photometry",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="s",
    description="The recording begins before the first stimulus and ends after the last feedback.",
    remedy=(
        "See whether the photometry was started late or stopped early, or is on another clock "
        "(then the pulses were not matched): synchronize and extract again, or label the "
        "session drop."
    ),
)
def trials_not_in_photometry_time(reference: pd.DataFrame) -> Finding:
    first = reference.iloc[0]
    if get(first, "clock") == "camera":
        return not_evaluated("the photometry is on the camera's own clock")
    stim, feedback = get(first, "first_stim_on_s"), get(first, "last_feedback_s")
    if stim is None or feedback is None:
        return not_evaluated("the session has no trials")
    # one fiber that stops early is its own fault; the task is covered as far as any covers it
    ends = reference[["first_sample_s", "last_sample_s"]].astype(float).dropna()
    if ends.empty:
        return Finding(False, float(feedback - stim), "No sample of the recording is valid.")
    begin, end = float(ends["first_sample_s"].min()), float(ends["last_sample_s"].max())
    outside = max(begin - stim, feedback - end, 0.0)
    return Finding(
        outside == 0,
        float(outside),
        f"Valid samples from {begin:.2f} to {end:.2f} s, first stimulus at {stim:.2f} s, last "
        f"feedback at {feedback:.2f} s: {outside:.2f} s of the task lie outside the recording, "
        "0 s are expected.",
    )


class MissingIsosbestic(RuleError):
    """The recording has no isosbestic band."""


@rule(
    MissingIsosbestic,
    asset="photometry",
    level="photometry",
    severity="WARN",
    threshold=lambda _: 1.0,
    unit="bands",
    description=(
        "The recording has an isosbestic band; without it movement artifacts cannot be subtracted."
    ),
    remedy=(
        "Nothing can be added afterwards. Look in the viewer for steps at movements before "
        "the response is believed; the correction path is the signal alone."
    ),
)
def missing_isosbestic(reference: pd.DataFrame) -> Finding:
    bands = get_list(reference.iloc[0], "bands")
    n = bands.count(REFERENCE_BAND)
    return Finding(
        n > 0,
        float(n),
        f"Bands: {join(bands)}; {n} are isosbestic, 1 is expected.",
    )


def worst(qc: pd.DataFrame, column: str) -> float | None:
    if column not in qc or not qc[column].notna().any():
        return None
    return float(pd.to_numeric(qc[column]).max())


def _raw_frames(qc: pd.DataFrame, column: str, words: str) -> Finding:
    n = worst(qc, column)
    if n is None:
        return not_evaluated("raw frames are not registered")
    return Finding(n == 0, n, f"{n:.0f} {words}; 0 are expected.")


class QCValidationError(RuleError):
    """Raw frames fail their quality control: band inversions, early samples, or both."""


class BandInversion(QCValidationError):
    """Consecutive raw frames were taken with the same LED."""


@rule(
    BandInversion,
    asset="photometry_qc",
    level="photometry",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="frames",
    description="No two consecutive raw frames were taken with the same LED.",
    remedy=(
        "Look at the raw frames around the first inversion in the viewer: the camera lost "
        "frames, or the states of the LEDs were swapped. Extract the session again from the "
        "raw frames, or label it drop."
    ),
)
def band_inversion(qc: pd.DataFrame) -> Finding:
    return _raw_frames(qc, "n_band_inversions", "consecutive frames have the same LED")


class EarlySamples(QCValidationError):
    """Raw frames came earlier than their interval."""


@rule(
    EarlySamples,
    asset="photometry_qc",
    level="photometry",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="frames",
    description="No raw frame came earlier than the usual interval allows.",
    remedy=(
        "Look at the intervals of the raw frames: two acquisitions may have written into one "
        "file, or the clock jumped. Extract again, or label the session drop."
    ),
)
def early_samples(qc: pd.DataFrame, settings: Settings) -> Finding:
    tolerance = settings.thresholds.early_sample_tolerance_s * 1e3
    words = f"frames came more than {tolerance:g} ms before the median interval"
    return _raw_frames(qc, "n_early_samples", words)


class FewUniqueSamples(RuleError):
    """A signal takes too few distinct values."""


@rule(
    FewUniqueSamples,
    asset="photometry_qc",
    level="photometry",
    severity="WARN",
    threshold=lambda s: s.thresholds.min_unique_fraction,
    unit="fraction of samples",
    description="The signal takes many distinct values; few mean a clipped or dead detector.",
    remedy=(
        "Look at the signal in the viewer: a flat or stepped trace means a detector that is "
        "clipped, off, or set to too few bits. Mask what is bad, or label the fiber drop."
    ),
)
def few_unique_samples(qc: pd.DataFrame, settings: Settings) -> Finding:
    known = qc.dropna(subset=["n_unique_samples"]) if "n_unique_samples" in qc else qc.iloc[:0]
    if known.empty:
        return not_evaluated("no quality metrics")
    limit = settings.thresholds.min_unique_fraction
    table = [
        {"region": row.brain_region, "band": row.band, "unique": float(row.n_unique_samples)}
        for row in known.itertuples()
    ]
    lowest = min(table, key=lambda entry: entry["unique"])
    return Finding(
        lowest["unique"] >= limit,
        lowest["unique"],
        f"{lowest['unique']:.3f} of the samples of {lowest['region']}, {lowest['band']}, are "
        f"distinct; at least {limit:g} are needed.",
        metadata={"signals": table},
    )


class IsosbesticFit(RuleError):
    """The regression on the isosbestic band cannot be trusted."""


@rule(
    IsosbesticFit,
    asset="preprocessed",
    level="photometry",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_iso_slope_disagreement,
    other_limits=lambda s: (0.0, s.thresholds.min_iso_r2),
    unit="relative difference",
    description=(
        "The signal follows its isosbestic reference with a positive slope, and a robust fit "
        "finds about the same slope."
    ),
    remedy=(
        "Compare signal and reference in the viewer: where the reference does not follow, the "
        "correction adds noise or turns artifacts round. Mask artifacts that pull the fit, or "
        "do without the reference for this session."
    ),
)
def isosbestic_fit(preprocessed: Mapping[str, Any], settings: Settings) -> Finding:
    fits = []
    for name, recording in preprocessed.items():
        attrs = getattr(recording, "attrs", recording)
        slope, r2, robust = (
            float(attrs.get(key, np.nan)) for key in ("iso_slope", "iso_r2", "iso_slope_robust")
        )
        if attrs.get("correction") != "signal_only" and np.isfinite(slope):
            difference = abs(robust - slope) / abs(slope) if slope else np.inf
            fits.append(
                {
                    "region": name,
                    "slope": slope,
                    "r2": r2,
                    "robust slope": robust,
                    "difference": difference,
                }
            )
    if not fits:
        return not_evaluated("no isosbestic correction, see missing_isosbestic")
    limits = settings.thresholds
    metadata = {"fits": fits}
    flattest = min(fits, key=lambda fit: fit["slope"])
    if flattest["slope"] <= 0:
        return Finding(
            False,
            flattest["slope"],
            f"The slope of {flattest['region']} on its reference is {flattest['slope']:.3f}; more "
            "than 0 is expected.",
            limit=0.0,
            metadata=metadata,
        )
    loosest = min(fits, key=lambda fit: fit["r2"])
    if loosest["r2"] < limits.min_iso_r2:
        return Finding(
            False,
            loosest["r2"],
            f"The reference explains {loosest['r2']:.3f} of the variance of "
            f"{loosest['region']}; at least {limits.min_iso_r2:g} is expected.",
            limit=limits.min_iso_r2,
            metadata=metadata,
        )
    worst = max(fits, key=lambda fit: fit["difference"])
    limit = limits.max_iso_slope_disagreement
    return Finding(
        not worst["difference"] > limit,
        None if np.isnan(worst["difference"]) else worst["difference"],
        f"Ordinary and robust slope of {worst['region']} are {worst['slope']:.3f} and "
        f"{worst['robust slope']:.3f}, {worst['difference']:.1%} apart; at most {limit:.0%} is "
        "accepted.",
        metadata=metadata,
    )
