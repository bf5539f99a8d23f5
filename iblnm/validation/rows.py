"""Validators of a session's row: they raise the typed exception of the first broken rule.

Each takes a row (Series, mapping, one-row frame) or a session object, returns it when it is
valid, and collects instead of raising when it is given an ``exlog`` list.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iblnm.validation.error_log import exception_logger
from iblnm.validation.registry import RULES


def _validator(name: str, rules: tuple[str, ...], subject: str = "session_row") -> Callable:
    def validate(session: Any) -> Any:
        for entry in rules:
            RULES[entry].check(**{subject: session})
        return session

    validate.__name__ = validate.__qualname__ = name
    lines = [
        f"{RULES[entry].exception.__name__}\n    If this does not hold: {RULES[entry].description}"
        for entry in rules
    ]
    validate.__doc__ = (
        f"Hold a session to the rules {', '.join(rules)}.\n\nRaises\n------\n" + "\n".join(lines)
    )
    return exception_logger(validate)


validate_subject = _validator("validate_subject", ("invalid_subject",))
validate_strain = _validator("validate_strain", ("invalid_strain",))
validate_line = _validator("validate_line", ("invalid_line",))
validate_neuromodulator = _validator("validate_neuromodulator", ("invalid_neuromodulator",))
validate_brain_region = _validator(
    "validate_brain_region", ("missing_brain_region", "invalid_brain_region")
)
validate_insertion = _validator("validate_insertion", ("missing_insertion",))
validate_session_type = _validator("validate_session_type", ("invalid_session_type",))
validate_target_nm = _validator("validate_target_nm", ("invalid_target_nm",))
validate_session_length = _validator("validate_session_length", ("invalid_session_length",))
validate_lists = _validator("validate_lists", ("parallel_lists",))
validate_datasets = _validator(
    "validate_datasets", ("missing_raw_data", "missing_extracted_data", "data_not_listed")
)
validate_video_timestamps = _validator(
    "validate_video_timestamps", ("missing_video_timestamps",), "video"
)
validate_video_length = _validator("validate_video_length", ("video_length_error",), "video")
validate_video_timestamps_qc = _validator(
    "validate_video_timestamps_qc", ("video_timestamps_qc_error",), "video"
)
validate_video_dropped_frames_qc = _validator(
    "validate_video_dropped_frames_qc", ("video_dropped_frames_qc_error",), "video"
)
validate_video_pin_state_qc = _validator(
    "validate_video_pin_state_qc", ("video_pin_state_qc_error",), "video"
)


@exception_logger
def validate_hemisphere(session: Any, fiber_lookup: dict | None = None) -> Any:
    """Hold a session to the rules about the sides of its fibres.

    Parameters
    ----------
    session : Series, mapping or session object
    fiber_lookup : dict, optional
        (subject, bare region) to 'l', 'r' or a set of both; takes the place of what the row
        says about the fibre table.

    Raises
    ------
    HemisphereMismatch, MissingHemiSuffix, MissingHemisphere
    """
    for name in ("hemisphere_mismatch", "missing_hemi_suffix", "missing_hemisphere"):
        RULES[name].check(session_row=session, fiber_lookup=fiber_lookup)
    return session
