"""Planted faults: what each does to a session, and which checks must notice."""

from __future__ import annotations

from iblnm.demo import faults, signal_faults
from iblnm.demo.behavior import Psychometric
from iblnm.demo.defect import Defect

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
        "The trials table has no feedback_times; the photometry is used without a task window.",
        faults.lose_column,
        assets=("trials",),
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
    Defect(
        "unusable_trials",
        ("unusable_trials",),
        "Neither choice nor outcome of a fifth of the trials was written.",
        faults.lose_choices,
        needs_full_contrasts=True,
    ),
    Defect(
        "ambiguous_task",
        ("ambiguous_task",),
        "A second trials table, of a task of the same length, stands in another collection.",
        faults.second_task,
        needs_full_contrasts=True,
    ),
    Defect(
        "missing_signal_column",
        ("missing_signal_column",),
        "The description names two fibers; the signal has the column of the first alone.",
        signal_faults.lose_column,
        n_fibers=2,
        has_two_sides=False,
    ),
    Defect(
        "clock_out_of_order",
        ("clock_out_of_order",),
        "The clock of the signal went back by a tenth of a second for a frame at four places.",
        signal_faults.set_back_clock,
    ),
    Defect(
        "repeated_frames",
        ("repeated_frames",),
        "Three frames of the signal follow one of the same band at once.",
        signal_faults.repeat_frames,
    ),
    Defect(
        "incomplete_signal",
        ("incomplete_signal",),
        "A seventh of the signal is marked invalid.",
        signal_faults.mark_invalid,
    ),
    Defect(
        "still_signal",
        ("still_signal",),
        "The detector stood still for twelve seconds.",
        signal_faults.stand_still,
    ),
    Defect(
        "saturated_signal",
        ("saturated_signal",),
        "The signal stood at the top of the detector's range for two seconds.",
        signal_faults.saturate,
    ),
    Defect(
        "late_samples",
        ("late_samples",),
        "The camera paused for five seconds; the raw frames after it came late.",
        signal_faults.pause_camera,
    ),
    Defect(
        "not_extracted",
        ("missing_extracted_data",),
        "The day of a recording: trials, wheel and photometry are there as they were logged; "
        "the camera's clock drifts.",
        faults.omit("alf/*_ibl_trials.table.pqt", "alf/*_ibl_wheel.*", "alf/photometry/*"),
        subject={},
    ),
    Defect(
        "imprecise_synchronization",
        ("imprecise_synchronization", "missing_extracted_data"),
        "Photometry was not extracted, and the camera's stamps of the pulses jitter by 9 ms.",
        signal_faults.pulses_jitter,
        subject={},
    ),
    Defect(
        "mislabeled_bands",
        ("mislabeled_bands",),
        "The names of the two bands are interchanged; their wavelengths are right.",
        signal_faults.interchange_names,
    ),
    Defect(
        "wheel_ends",
        ("incomplete_wheel",),
        "The wheel's file ends half way through the session.",
        faults.end_wheel,
    ),
    Defect(
        "clock_jump",
        ("clock_jump",),
        "The clock of the extracted signal jumped forward by four seconds half way.",
        signal_faults.jump_forward,
    ),
)

__all__ = ["DEFECTS", "Defect"]
