"""Rules about the continuity of the signal: gaps, the clock, frames, a detector that stands."""

from __future__ import annotations

from typing import Any

import pandas as pd

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.photometry import worst
from iblnm.pipeline.rules.registry import RuleError, rule


def _worst_of(reference: pd.DataFrame, column: str) -> tuple[float, str] | None:
    """Largest value of a column and the recording that has it."""
    if column not in reference:
        return None
    values = pd.to_numeric(reference[column]).astype(float)
    if not values.notna().any():
        return None
    row = reference.loc[values.idxmax()]
    return float(values.max()), _text(row["recording_name"]) or str(row["column"])


def _at_most(
    reference: pd.DataFrame, column: str, limit: float, *, unknown: str, sentence: str
) -> Finding:
    """Finding on the largest value of a column; the sentence names {value} and {recording}."""
    found = _worst_of(reference, column)
    if found is None:
        return not_evaluated(unknown)
    value, recording = found
    return Finding(value <= limit, value, sentence.format(value=value, recording=recording))


class IncompleteSignal(RuleError):
    """Gaps cover too much of the task."""


@rule(
    IncompleteSignal,
    asset="photometry",
    level="recording",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_missing_share,
    unit="fraction",
    description=(
        "Valid samples cover the task: gaps (lost frames, invalid marks, a detector that stood "
        "still) touch few of its trials, which are missing, and little of its time."
    ),
    remedy=(
        "See in the viewer where the gaps are. Trials in them are missing in every analysis; "
        "if most of the task is gone, label the session drop."
    ),
)
def incomplete_signal(reference: pd.DataFrame, settings: Settings) -> Finding:
    missing = _worst_of(reference, "missing_share")
    if missing is None:
        return not_evaluated("what is missing is not known")
    (time_share, name), limit = missing, settings.thresholds.max_missing_share
    table, trial_share, words = [], 0.0, ""
    for row in reference.itertuples():
        known = not pd.isna(row.n_trials) and row.n_trials
        table.append(
            {
                "recording": _text(row.recording_name) or row.column,
                "time missing": _number(row.missing_share),
                "gaps": _number(row.n_gaps),
                "longest gap [s]": _number(row.longest_gap_s),
                "trials": _number(row.n_trials),
                "trials touched": _number(row.n_trials_missing),
            }
        )
        share = row.n_trials_missing / row.n_trials if known else 0.0
        if share > trial_share:
            trial_share = float(share)
            words = (
                f"; {int(row.n_trials_missing)} of {int(row.n_trials)} trials of "
                f"{_text(row.recording_name) or row.column} are touched ({share:.1%})"
            )
    text = _worst_of(reference, "n_text")
    if text is not None and text[0]:
        words += f"; {text[0]:.0f} values of {text[1]} are text and no numbers"
    value = max(time_share, trial_share)
    longest = _worst_of(reference, "longest_gap_s")
    return Finding(
        value <= limit,
        value,
        f"{time_share:.1%} of the time of {name} is without signal (longest gap "
        f"{longest[0] if longest else 0.0:.1f} s){words}; at most {limit:.0%} is accepted.",
        metadata={"recordings": table},
    )


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _number(value: Any) -> float:
    return 0.0 if pd.isna(value) else float(value)


class ClockOutOfOrder(RuleError):
    """The clock of the signal stands still or goes back."""


@rule(
    ClockOutOfOrder,
    asset="photometry",
    level="photometry",
    severity="ERROR",
    threshold=lambda _: 0.0,
    unit="frames",
    description=(
        "The times of the frames increase; frames with a time that is repeated or goes back are "
        "missing, and where the clock was set back only the longest stretch is used."
    ),
    remedy=(
        "Find out what set the clock back (computer time, two files joined) and extract "
        "again; what is used meanwhile is the longest stretch in order."
    ),
)
def clock_out_of_order(reference: pd.DataFrame) -> Finding:
    found = _worst_of(reference, "n_out_of_order")
    if found is None:
        return not_evaluated("the order of the frames is not known")
    back = _worst_of(reference, "largest_back_s")
    return Finding(
        found[0] == 0,
        found[0],
        f"{found[0]:.0f} frames have no time that is known (missing, repeated, or after the clock "
        f"went back, by {back[0] if back else 0.0:.3f} s at most); 0 are expected.",
    )


class ClockJump(RuleError):
    """The frames pause: they were lost, or the clock jumped forward."""


@rule(
    ClockJump,
    asset="photometry",
    level="photometry",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_pause_s,
    unit="s",
    description=(
        "The frames come without a pause; after one it is not known whether frames were lost, "
        "which costs the trials beside it, or the clock jumped forward, which puts all later "
        "frames too late against the trials."
    ),
    remedy=(
        "Compare the responses before and after the pause in the viewer: a response that comes "
        "later by the length of the pause tells of the clock. Then extract again, or mask what "
        "follows in labels.csv."
    ),
)
def clock_jump(reference: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.thresholds.max_pause_s
    return _at_most(
        reference,
        "longest_pause_s",
        limit,
        unknown="the time between frames is not known",
        sentence=f"{{value:.2f}} s pass between two frames; at most {limit:g} s is accepted.",
    )


class RepeatedFrames(RuleError):
    """Frames follow one of the same band at once."""


@rule(
    RepeatedFrames,
    asset="photometry",
    level="photometry",
    severity="ERROR",
    threshold=lambda _: 0.0,
    unit="frames",
    description=(
        "The bands of the signal alternate frame by frame; of two frames of one band at once it "
        "is not known which belongs to the cycle, and both are missing."
    ),
    remedy=(
        "Two acquisitions or a doubled file: extract again from the raw frames that are whole."
    ),
)
def repeated_frames(reference: pd.DataFrame) -> Finding:
    return _at_most(
        reference,
        "n_repeated",
        0.0,
        unknown="the order of the frames is not known",
        sentence="{value:.0f} frames come at once after one of the same band; 0 are expected.",
    )


class MislabeledBands(RuleError):
    """Names of the bands and wavelengths of the light contradict each other."""


@rule(
    MislabeledBands,
    asset="photometry",
    level="photometry",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="frames",
    description=(
        "Each frame's wavelength is that of its band, 470 nm for GCaMP, 405 or 415 nm for its "
        "isosbestic; interchanged, the signal would be subtracted from its own reference."
    ),
    remedy=(
        "Look at the channels of the raw frames (LED states) and at the signal in the viewer: the "
        "band with responses is GCaMP. Correct the names or the wavelengths and extract again."
    ),
)
def mislabeled_bands(reference: pd.DataFrame) -> Finding:
    return _at_most(
        reference,
        "n_mislabeled",
        0.0,
        unknown="the signal file has no wavelengths",
        sentence="{value:.0f} frames have a wavelength that contradicts the name of their band; "
        "0 are expected.",
    )


class StillSignal(RuleError):
    """The signal does not change for too long."""


@rule(
    StillSignal,
    asset="photometry",
    level="recording",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_still_s,
    unit="s",
    description=(
        "The signal changes all the time; where it stands still for longer the detector was "
        "off or the acquisition hung, and the samples are missing."
    ),
    remedy=(
        "Look whether the detector was unplugged or the acquisition hung. The stretch is "
        "missing already; if it covers the task, label the session drop."
    ),
)
def still_signal(reference: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.thresholds.max_still_s
    return _at_most(
        reference,
        "still_s",
        limit,
        unknown="stretches of equal values are not known",
        sentence="{recording} stands still for up to {value:.1f} s; "
        f"at most {limit:g} s is accepted.",
    )


class SaturatedSignal(RuleError):
    """The signal stands at the top of its range."""


@rule(
    SaturatedSignal,
    asset="photometry",
    level="recording",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_saturated_s,
    unit="s",
    description=(
        "The signal does not stand at the top of its range, where the detector is saturated; "
        "such samples are missing."
    ),
    remedy=(
        "The samples are missing already. For the next recording lower LED power or gain; if "
        "much of the task is saturated, label the fiber drop."
    ),
)
def saturated_signal(reference: pd.DataFrame, settings: Settings) -> Finding:
    limit = settings.thresholds.max_saturated_s
    return _at_most(
        reference,
        "saturated_s",
        limit,
        unknown="the time at the top of the range is not known",
        sentence="{recording} stands at the top of its range for {value:.1f} s in all; at most "
        f"{limit:g} s is accepted.",
    )


class LateSamples(RuleError):
    """Raw frames came late: others were lost, or the acquisition hung."""


@rule(
    LateSamples,
    asset="photometry_qc",
    level="photometry",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_lost_share,
    unit="fraction of frames",
    description=(
        "Raw frames come at the usual interval; a late one tells of frames that were lost or of "
        "a clock that jumped."
    ),
    remedy=(
        "Look at the load of the acquisition computer and the camera's log; where frames are "
        "lost the trials beside them are missing."
    ),
)
def late_samples(qc: pd.DataFrame, settings: Settings) -> Finding:
    n, share = worst(qc, "n_late_samples"), worst(qc, "lost_frame_fraction")
    if n is None or share is None:
        return not_evaluated("raw frames are not registered")
    limit, tolerance = settings.thresholds.max_lost_share, settings.thresholds
    return Finding(
        share <= limit,
        share,
        f"{n:.0f} frames came more than {tolerance.early_sample_tolerance_s * 1e3:g} ms after the "
        f"median interval, in which {share:.2%} of the frames would have had their place; at most "
        f"{limit:.2%} is accepted.",
    )
