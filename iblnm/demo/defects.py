"""Planted faults: what each does to a session, and which checks must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from iblnm.demo import faults
from iblnm.demo.behavior import Psychometric

if TYPE_CHECKING:
    from iblnm.demo.cohort import SessionPlan
    from iblnm.demo.draft import Draft


@dataclass(frozen=True)
class Defect:
    """One kind of fault.

    Parameters
    ----------
    name : str
    checks : tuple of str
        Checks that fail because of it, consequences included.
    note : str
        What was done, and why each check fails.
    apply : callable, optional
        Changes the draft of the session.
    assets : tuple of str
        Assets that cannot be computed.
    open_checks : tuple of str
        Checks whose outcome the data do not decide.
    options : dict
        Options of the simulation.
    plan : dict
        Fields of the session's plan.
    subject : dict, optional
        The fault is the mouse's: it gets one of its own.
    session_types : tuple of str
        Types that suit it.
    n_fibers : int, optional
    is_same_day : bool
        Adds a second session on the day of a session without fault.
    """

    name: str
    checks: tuple[str, ...]
    note: str
    apply: Callable[[Draft], None] | None = None
    assets: tuple[str, ...] = ()
    open_checks: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    subject: dict[str, Any] | None = None
    session_types: tuple[str, ...] = ("training", "biased", "ephys")
    n_fibers: int | None = None
    has_two_sides: bool | None = None
    needs_full_contrasts: bool = False
    is_same_day: bool = False

    def fits(self, plan: SessionPlan) -> bool:
        """Whether the fault can be planted in a session."""
        fibers = plan.subject.fibers
        two_sides = len({target for target, _ in fibers}) < len(fibers)
        return (
            plan.session_type in self.session_types
            and self.n_fibers in (None, len(fibers))
            and self.has_two_sides in (None, two_sides)
            and not (self.needs_full_contrasts and plan.is_early)
            and not (self.is_same_day and (plan.is_early or not plan.has_isosbestic))
        )


_BLOCKED = ("biased", "ephys")


_NO_ISOSBESTIC = {
    "has_isosbestic": False,
    "rate_hz": 50.0,
    "is_old_layout": True,
}

DEFECTS: tuple[Defect, ...] = (
    Defect(
        "invalid_brain_region",
        ("invalid_brain_region",),
        "The description and the locations say DLS, no target of the project; the target has "
        "no label for it, which invalid_target_nm leaves to this check.",
        faults.invalid_region,
        n_fibers=1,
    ),
    Defect(
        "missing_hemi_suffix",
        ("missing_hemi_suffix",),
        "Both fibers are called NBM; table and Alyx have one on each side, so that no source "
        "tells which is which.",
        faults.no_suffix_two_sides,
        has_two_sides=True,
    ),
    Defect(
        "hemisphere_mismatch",
        ("hemisphere_mismatch",),
        "The region's suffix names the side opposite to that of the fiber table and Alyx.",
        faults.other_side,
        n_fibers=1,
    ),
    Defect(
        "missing_insertion",
        ("missing_insertion",),
        "Alyx has no insertion for the session.",
        faults.no_insertion,
    ),
    Defect(
        "invalid_session_type",
        ("invalid_session_type",),
        "The protocol is a variant with RPE in its name.",
        faults.two_types,
        session_types=("ephys",),
    ),
    Defect(
        "invalid_session_length",
        ("invalid_session_length", "video_length_error"),
        "The session ends a minute before it starts; its negative length differs from that of "
        "the video as well.",
        faults.ends_before,
    ),
    Defect(
        "parallel_lists",
        ("parallel_lists", "ambiguous_region_mapping"),
        "The description names two fibers, of which one has no location: there are more columns "
        "than regions, and the second column belongs to none.",
        faults.one_location_missing,
        n_fibers=2,
        has_two_sides=False,
    ),
    Defect(
        "data_not_listed",
        ("data_not_listed",),
        "The table of fiber locations is not registered.",
        faults.omit("alf/photometry/photometryROI.locations.pqt"),
    ),
    Defect(
        "missing_raw_video",
        ("missing_raw_data",),
        "No video is registered.",
        faults.omit("raw_video_data/*"),
    ),
    Defect(
        "missing_raw_trials",
        ("missing_raw_data",),
        "Neither raw nor extracted task data are registered.",
        faults.omit("*/_iblrig_taskData.raw.jsonable", "alf/*_ibl_trials.table.pqt"),
    ),
    Defect(
        "missing_raw_photometry",
        ("missing_raw_data",),
        "Neither raw frames nor an extracted signal are registered.",
        faults.omit("raw_photometry_data/*fpData.raw.pqt", "alf/photometry/*"),
    ),
    Defect(
        "missing_raw_wheel",
        ("missing_raw_data",),
        "Neither raw nor extracted wheel positions are registered.",
        faults.omit("*/_iblrig_encoderPositions.raw.ssv", "alf/*_ibl_wheel.*"),
    ),
    Defect(
        "missing_extracted_trials",
        ("missing_extracted_data",),
        "The task was recorded but not extracted.",
        faults.omit("alf/*_ibl_trials.table.pqt"),
    ),
    Defect(
        "missing_extracted_photometry",
        ("missing_extracted_data",),
        "Photometry was recorded but not extracted.",
        faults.omit("alf/photometry/*"),
    ),
    Defect(
        "missing_extracted_wheel",
        ("missing_extracted_data",),
        "The wheel was recorded but not extracted.",
        faults.omit("alf/*_ibl_wheel.*"),
    ),
    Defect(
        "insufficient_trials",
        ("insufficient_trials",),
        "70 trials.",
        plan={"n_trials": 70},
        session_types=("training",),
        needs_full_contrasts=True,
    ),
    Defect(
        "choice_sign",
        ("choice_sign",),
        "The sign of all choices is reversed.",
        faults.flip_choice,
        needs_full_contrasts=True,
    ),
    Defect(
        "incomplete_event_times",
        ("incomplete_event_times",),
        "A fifth of the first movements was not detected.",
        faults.lose_movements,
        needs_full_contrasts=True,
    ),
    Defect(
        "repairable_blocks",
        (),
        "Short runs of a wrong left probability; the session's JSON has the true plan, after "
        "the repair nothing is wrong.",
        faults.break_blocks,
        session_types=_BLOCKED,
    ),
    Defect(
        "block_structure_bug",
        ("block_structure_bug",),
        "Short runs of a wrong left probability; the plan in the session's JSON is another "
        "session's, so that it cannot repair them.",
        faults.break_blocks_other_plan,
        session_types=_BLOCKED,
    ),
    Defect(
        "missing_block_info",
        ("missing_block_info",),
        "Short runs of a wrong left probability; the session's JSON is empty.",
        faults.break_blocks_no_plan,
        session_types=_BLOCKED,
    ),
    Defect(
        "negative_reaction_time",
        ("negative_reaction_time",),
        "The first movement precedes the stimulus in 12 % of the trials.",
        faults.early_movements,
        needs_full_contrasts=True,
    ),
    Defect(
        "column_without_region",
        ("ambiguous_region_mapping",),
        "The signal has a column that no source names.",
        faults.column_without_region,
        n_fibers=2,
    ),
    Defect(
        "contradicting_locations",
        ("ambiguous_region_mapping",),
        "The locations name another region for a column than the description.",
        faults.contradicting_locations,
    ),
    Defect(
        "trials_not_in_photometry_time",
        ("trials_not_in_photometry_time",),
        "The recording starts after the first twenty trials.",
        faults.starts_late,
        open_checks=("incomplete_signal",),
    ),
    *(
        Defect(
            f"missing_isosbestic_{i}",
            ("missing_isosbestic",),
            "Frames without LED instead of the isosbestic band, 50 Hz, older columns.",
            plan=_NO_ISOSBESTIC,
            session_types=(kind,),
            needs_full_contrasts=True,
        )
        for i, kind in enumerate(("training", "biased", "ephys"))
    ),
    Defect(
        "band_inversion",
        ("band_inversion",),
        "Three raw frames carry the LED state of the frame before.",
        faults.repeat_leds,
    ),
    Defect(
        "early_samples",
        ("early_samples",),
        "Five raw frames came 4 ms early.",
        faults.early_frames,
    ),
    Defect(
        "few_unique_samples",
        ("few_unique_samples",),
        "A digitizer of a hundred times coarser step.",
        options={"quantum": 2e-5},
    ),
    Defect(
        "isosbestic_fit",
        ("isosbestic_fit",),
        "The artifact has opposite signs in the two bands: the slope is negative.",
        options={"anticorrelated": True},
    ),
    Defect(
        "psychometric_at_bound",
        ("psychometric_at_bound",),
        "A mouse that guesses: the flat curve is fitted with lapses and threshold at their "
        "bounds.",
        plan={"psychometric": Psychometric(0.0, 30.0, 0.5, 0.5)},
        needs_full_contrasts=True,
    ),
    Defect(
        "missing_video_timestamps",
        ("missing_video_timestamps",),
        "No camera times were extracted.",
        faults.no_camera_times,
    ),
    Defect(
        "video_length_error",
        ("video_length_error",),
        "The session was closed ten minutes after the camera stopped.",
        faults.long_session,
    ),
    Defect(
        "video_timestamps_qc_error",
        ("video_timestamps_qc_error",),
        "Alyx's verdict on the camera times is FAIL.",
        faults.verdict("timestamps", "FAIL"),
    ),
    Defect(
        "video_dropped_frames_qc_error",
        ("video_dropped_frames_qc_error",),
        "Alyx's verdict on dropped frames is FAIL, with 214 frames.",
        faults.verdict("dropped_frames", ["FAIL", 214, 0]),
    ),
    Defect(
        "video_pin_state_qc_error",
        ("video_pin_state_qc_error",),
        "Alyx's verdict on the pin state is WARNING.",
        faults.verdict("pin_state", ["WARNING", 151, 0]),
    ),
    Defect(
        "truncated_signal",
        (),
        "The signal file on disk is shorter than the table and the hash say.",
        faults.truncate_signal,
        assets=("photometry",),
    ),
    Defect(
        "trials_without_column",
        (),
        "The trials table has no feedback_times; the photometry's task window needs it too.",
        faults.lose_column,
        assets=("photometry", "trials"),
    ),
    Defect(
        "wheel_of_nan",
        (),
        "All wheel positions are NaN.",
        faults.lose_wheel,
        assets=("wheel_velocity",),
    ),
    Defect(
        "true_duplicate_session",
        ("true_duplicate_session",),
        "A second usable session on the day of another; the first of the day is kept.",
        session_types=("ephys",),
        is_same_day=True,
    ),
    Defect(
        "invalid_subject",
        ("invalid_subject",),
        "A mouse of the exclusion list.",
        subject={"nickname": "photometry_test_subject_A", "fibers": (("VTA-DA", "l"),)},
    ),
    Defect(
        "invalid_strain",
        ("invalid_strain",),
        "A strain that is not accepted; it still tells the neuromodulator.",
        subject={
            "nickname": "DX-strain",
            "fibers": (("VTA-DA", "r"),),
            "strain": "Ai148xDATCre",
        },
    ),
    Defect(
        "invalid_line",
        ("invalid_line",),
        "A line that is not accepted; it still tells the neuromodulator.",
        subject={
            "nickname": "DX-line",
            "fibers": (("NBM-ACh", "r"),),
            "line": "Ai148-G6f-cdh x Chat-cre",
        },
    ),
    Defect(
        "invalid_neuromodulator",
        ("invalid_neuromodulator",),
        "A serotonin line with a fiber in VTA; the impossible label is left to this check by "
        "invalid_target_nm.",
        subject={
            "nickname": "DX-neuromodulator",
            "fibers": (("VTA-DA", "l"),),
            "line": "Ai148xSert",
        },
    ),
    Defect(
        "invalid_target_nm",
        ("invalid_target_nm",),
        "A dopamine line with a fiber in VTA and one in DR: DR-DA is no target.",
        subject={
            "nickname": "DX-target",
            "fibers": (("VTA-DA", "l"), ("DR-5HT", "r")),
        },
    ),
    Defect(
        "missing_brain_region",
        ("ambiguous_region_mapping", "missing_brain_region"),
        "No source names a region, so that the signal's column belongs to none either.",
        faults.no_region,
        subject={
            "nickname": "DX-region",
            "fibers": (("LC-NE", "l"),),
            "in_table": False,
        },
    ),
    Defect(
        "missing_hemisphere",
        ("missing_hemisphere",),
        "No source knows the side: no suffix, no row in the fiber table, no trajectory.",
        faults.no_side,
        subject={
            "nickname": "DX-hemisphere",
            "fibers": (("LC-NE", "r"),),
            "in_table": False,
        },
    ),
)

__all__ = ["DEFECTS", "Defect"]
