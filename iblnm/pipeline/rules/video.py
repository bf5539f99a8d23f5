"""Rules about the left camera's video."""

from __future__ import annotations

from typing import Any

from iblnm.config import Settings
from iblnm.pipeline.rules.outcome import Finding, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get

_ASSET: dict[str, Any] = {"asset": "video_qc", "level": "video", "severity": "WARN"}


def _loadable(row: Row) -> bool:
    loadable = get(row, "timestamps_loadable")
    return get(row, "video_length") is not None if loadable is None else bool(loadable)


class MissingVideoTimestamps(RuleError):
    """The frame times of the video cannot be read."""


@rule(
    MissingVideoTimestamps,
    **_ASSET,
    description="The times of the video's frames are registered and can be read.",
    remedy=("Extract the camera's times, or leave them: nothing of the photometry needs them."),
)
def missing_video_timestamps(video: Row) -> Finding:
    row = as_row(video)
    if _loadable(row):
        return Finding(True, None, "The frame times can be read.")
    reason = get(row, "note") or "they are not registered"
    return Finding(False, None, f"The frame times cannot be read: {reason}.")


class VideoLengthError(RuleError):
    """Video and session differ in length."""


@rule(
    VideoLengthError,
    **_ASSET,
    threshold=lambda s: s.thresholds.max_video_length_difference_s,
    unit="s",
    description="Video and session last about as long.",
    remedy=(
        "Compare the times of the camera with those of the session: the camera may have been "
        "stopped early or be on another clock."
    ),
)
def video_length_error(video: Row, settings: Settings) -> Finding:
    row = as_row(video)
    if not _loadable(row):
        return not_evaluated("no frame times, see missing_video_timestamps")
    session, length = get(row, "session_length"), get(row, "video_length")
    difference = get(row, "length_discrepancy")
    if difference is None and session is not None and length is not None:
        difference = session - length
    if difference is None:
        return not_evaluated("the length of the session is unknown, see invalid_session_length")
    limit = settings.thresholds.max_video_length_difference_s
    value = abs(float(difference))
    return Finding(
        value < limit,
        value,
        f"Session and video differ by {value:.1f} s; less than {limit:g} s is expected.",
    )


def _verdict(video: Row, check: str, words: str, settings: Settings) -> Finding:
    row = as_row(video)
    verdict = get(row, f"qc_{check}") or get(row, f"qc_videoLeft_{check}")
    value = settings.qc_scores.get(str(verdict))
    if verdict is None:
        return Finding(False, None, f"Alyx has no verdict on {words}; PASS is expected.")
    return Finding(
        verdict == "PASS", value, f"Alyx's verdict on {words} is {verdict}; PASS is expected."
    )


class VideoTimestampsQCError(RuleError):
    """Alyx's verdict on the frame times is not PASS."""


@rule(
    VideoTimestampsQCError,
    **_ASSET,
    threshold=lambda s: s.qc_scores["PASS"],
    unit="score",
    description="Alyx's quality control passed the times of the video's frames.",
    remedy=(
        "Look at the verdict on Alyx and extract the camera's times again; nothing of the "
        "photometry needs them."
    ),
)
def video_timestamps_qc_error(video: Row, settings: Settings) -> Finding:
    return _verdict(video, "timestamps", "the frame times", settings)


class VideoDroppedFramesQCError(RuleError):
    """Alyx's verdict on dropped frames is not PASS."""


@rule(
    VideoDroppedFramesQCError,
    **_ASSET,
    threshold=lambda s: s.qc_scores["PASS"],
    unit="score",
    description="Alyx's quality control found no dropped video frames.",
    remedy=(
        "Do not use the video where frame numbers matter; nothing of the photometry needs them."
    ),
)
def video_dropped_frames_qc_error(video: Row, settings: Settings) -> Finding:
    return _verdict(video, "dropped_frames", "dropped frames", settings)


class VideoPinStateQCError(RuleError):
    """Alyx's verdict on the synchronization pin is not PASS."""


@rule(
    VideoPinStateQCError,
    **_ASSET,
    threshold=lambda s: s.qc_scores["PASS"],
    unit="score",
    description="Alyx's quality control passed the synchronization pin of the camera.",
    remedy="Look at the camera's synchronization cable; nothing of the photometry needs it.",
)
def video_pin_state_qc_error(video: Row, settings: Settings) -> Finding:
    return _verdict(video, "pin_state", "the synchronization pin", settings)
