"""Planted faults: what each does to a session, and which checks must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

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


def _invalid_region(draft: Draft) -> None:
    draft.rename("DLS-" + draft.fibers[0].hemisphere)


def _other_side(draft: Draft) -> None:
    fiber = draft.fibers[0]
    draft.rename(f"{fiber.region}-{'r' if fiber.hemisphere == 'l' else 'l'}")


def _no_suffix_two_sides(draft: Draft) -> None:
    draft.names = [fiber.region for fiber in draft.fibers]
    for insertion in draft.insertions:
        insertion.update(name=draft.fibers[0].region, json={})


def _no_side(draft: Draft) -> None:
    draft.names = [fiber.region for fiber in draft.fibers]
    for insertion in draft.insertions:
        insertion.update(name=draft.fibers[0].region, json={}, chronic_insertion=None)
    draft.trajectories.clear()


def _no_region(draft: Draft) -> None:
    draft.names = ["" for _ in draft.fibers]


def _no_insertion(draft: Draft) -> None:
    draft.insertions.clear()
    draft.trajectories.clear()


def _two_types(draft: Draft) -> None:
    draft.task_protocol = "_iblrig_tasks_ephysChoiceWorld_RPE8.12.5"


def _ends_before(draft: Draft) -> None:
    draft.end = draft.plan.start - timedelta(seconds=60)


def _one_location_missing(draft: Draft) -> None:
    draft.names[1] = ""


def _omit(*patterns: str) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        draft.omitted = patterns

    return apply


def _flip_choice(draft: Draft) -> None:
    draft.trials["choice"] = -draft.trials["choice"]


def _lose_movements(draft: Draft) -> None:
    lost = draft.rng.random(len(draft.trials)) < 0.2
    draft.trials.loc[lost, "firstMovement_times"] = np.nan


def _break_blocks(draft: Draft) -> None:
    """Three runs of four trials with the other probability, inside blocks."""
    p = draft.trials["probabilityLeft"].to_numpy().copy()
    changes = np.flatnonzero(np.diff(p) != 0) + 1
    for start in changes[:2] + 8:
        p[start : start + 4] = np.round(1 - p[start], 1)
    draft.trials["probabilityLeft"] = p


def _break_blocks_other_plan(draft: Draft) -> None:
    _break_blocks(draft)
    draft.session_json["POSITIONS"] = [-x for x in draft.session_json["POSITIONS"]]


def _break_blocks_no_plan(draft: Draft) -> None:
    _break_blocks(draft)
    draft.session_json = None


def _early_movements(draft: Draft) -> None:
    index = draft.trials.index[draft.trials["choice"] != 0]
    index = draft.rng.choice(index, size=int(0.12 * len(draft.trials)), replace=False)
    stim = draft.trials.loc[index, "stimOn_times"]
    draft.trials.loc[index, "firstMovement_times"] = (stim - 0.08).round(6)


def _column_without_region(draft: Draft) -> None:
    extra = draft.frames.columns[draft.fibers[0].roi][::-1].copy()
    draft.frames.columns[draft.fibers[0].roi[:-1] + "3"] = extra


def _contradicting_locations(draft: Draft) -> None:
    draft.location_names = ["SI-l" if draft.fibers[0].region != "SI" else "LC-l"]
    draft.location_names += draft.names[1:]


def _starts_late(draft: Draft) -> None:
    first = np.searchsorted(draft.frames.times, draft.trials["stimOn_times"].iloc[20] + 0.5)
    draft.cut_frames(int(first))


def _repeat_leds(draft: Draft) -> None:
    at = (np.linspace(0.2, 0.8, 3) * len(draft.frames.state)).astype(int)
    draft.frames.state[at] = draft.frames.state[at - 1]
    draft.truth["n_band_inversions"] = 2 * len(at)


def _early_frames(draft: Draft) -> None:
    at = (np.linspace(0.2, 0.8, 5) * len(draft.frames.state)).astype(int)
    draft.frames.raw_times[at] -= 0.004
    draft.truth["n_early_samples"] = len(at)


def _long_session(draft: Draft) -> None:
    draft.end += timedelta(minutes=10)


def _no_camera_times(draft: Draft) -> None:
    draft.omitted = ("alf/*_ibl_leftCamera.times.npy",)


def _verdict(check: str, value: Any) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        draft.extended_qc[f"_videoLeft_{check}"] = value

    return apply


def _truncate_signal(draft: Draft) -> None:
    draft.truncated = "alf/photometry/photometry.signal.pqt"


def _lose_column(draft: Draft) -> None:
    draft.trials = draft.trials.drop(columns="feedback_times")


def _lose_wheel(draft: Draft) -> None:
    draft.wheel_position = np.full_like(draft.wheel_position, np.nan)


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
        _invalid_region,
        n_fibers=1,
    ),
    Defect(
        "missing_hemi_suffix",
        ("missing_hemi_suffix",),
        "Both fibres are called NBM; table and Alyx have one on each side, so that no source "
        "tells which is which.",
        _no_suffix_two_sides,
        has_two_sides=True,
    ),
    Defect(
        "hemisphere_mismatch",
        ("hemisphere_mismatch",),
        "The region's suffix names the side opposite to that of the fibre table and Alyx.",
        _other_side,
        n_fibers=1,
    ),
    Defect(
        "missing_insertion",
        ("missing_insertion",),
        "Alyx has no insertion for the session.",
        _no_insertion,
    ),
    Defect(
        "invalid_session_type",
        ("invalid_session_type",),
        "The protocol is a variant with RPE in its name.",
        _two_types,
        session_types=("ephys",),
    ),
    Defect(
        "invalid_session_length",
        ("invalid_session_length", "video_length_error"),
        "The session ends a minute before it starts; its negative length differs from that of "
        "the video as well.",
        _ends_before,
    ),
    Defect(
        "parallel_lists",
        ("ambiguous_region_mapping",),
        "The description names two fibres, of which one has no location: the second column "
        "belongs to no region. Whether the lists differ in length depends on how a reader "
        "stores the unnamed fibre.",
        _one_location_missing,
        open_checks=("parallel_lists",),
        n_fibers=2,
        has_two_sides=False,
    ),
    Defect(
        "data_not_listed",
        ("data_not_listed",),
        "No video is registered.",
        _omit("raw_video_data/*"),
    ),
    Defect(
        "missing_raw_trials",
        ("missing_raw_data",),
        "No raw task data are registered.",
        _omit("*/_iblrig_taskData.raw.jsonable"),
    ),
    Defect(
        "missing_raw_photometry",
        ("missing_raw_data",),
        "No raw frames are registered.",
        _omit("raw_photometry_data/*fpData.raw.pqt"),
    ),
    Defect(
        "missing_raw_wheel",
        ("missing_raw_data",),
        "No raw wheel positions are registered.",
        _omit("*/_iblrig_encoderPositions.raw.ssv"),
    ),
    Defect(
        "missing_extracted_trials",
        ("missing_extracted_data",),
        "The task was recorded but not extracted.",
        _omit("alf/*_ibl_trials.table.pqt"),
    ),
    Defect(
        "missing_extracted_photometry",
        ("missing_extracted_data",),
        "Photometry was recorded but not extracted.",
        _omit("alf/photometry/*"),
    ),
    Defect(
        "missing_extracted_wheel",
        ("missing_extracted_data",),
        "The wheel was recorded but not extracted.",
        _omit("alf/*_ibl_wheel.*"),
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
        _flip_choice,
        needs_full_contrasts=True,
    ),
    Defect(
        "incomplete_event_times",
        ("incomplete_event_times",),
        "A fifth of the first movements was not detected.",
        _lose_movements,
        needs_full_contrasts=True,
    ),
    Defect(
        "repairable_blocks",
        (),
        "Short runs of a wrong left probability; the session's JSON has the true plan, after "
        "the repair nothing is wrong.",
        _break_blocks,
        session_types=_BLOCKED,
    ),
    Defect(
        "block_structure_bug",
        ("block_structure_bug",),
        "Short runs of a wrong left probability; the plan in the session's JSON is another "
        "session's, so that it cannot repair them.",
        _break_blocks_other_plan,
        session_types=_BLOCKED,
    ),
    Defect(
        "missing_block_info",
        ("missing_block_info",),
        "Short runs of a wrong left probability; the session's JSON is empty.",
        _break_blocks_no_plan,
        session_types=_BLOCKED,
    ),
    Defect(
        "negative_reaction_time",
        ("negative_reaction_time",),
        "The first movement precedes the stimulus in 12 % of the trials.",
        _early_movements,
        needs_full_contrasts=True,
    ),
    Defect(
        "column_without_region",
        ("ambiguous_region_mapping",),
        "The signal has a column that no source names.",
        _column_without_region,
        n_fibers=2,
    ),
    Defect(
        "contradicting_locations",
        ("ambiguous_region_mapping",),
        "The locations name another region for a column than the description.",
        _contradicting_locations,
    ),
    Defect(
        "trials_not_in_photometry_time",
        ("trials_not_in_photometry_time",),
        "The recording starts after the first twenty trials.",
        _starts_late,
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
        _repeat_leds,
    ),
    Defect(
        "early_samples",
        ("early_samples",),
        "Five raw frames came 4 ms early.",
        _early_frames,
    ),
    Defect(
        "few_unique_samples",
        ("few_unique_samples",),
        "A digitiser of a hundred times coarser step.",
        options={"quantum": 2e-5},
    ),
    Defect(
        "isosbestic_fit",
        ("isosbestic_fit",),
        "The artefact has opposite signs in the two bands: the slope is negative.",
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
        _no_camera_times,
    ),
    Defect(
        "video_length_error",
        ("video_length_error",),
        "The session was closed ten minutes after the camera stopped.",
        _long_session,
    ),
    Defect(
        "video_timestamps_qc_error",
        ("video_timestamps_qc_error",),
        "Alyx's verdict on the camera times is FAIL.",
        _verdict("timestamps", "FAIL"),
    ),
    Defect(
        "video_dropped_frames_qc_error",
        ("video_dropped_frames_qc_error",),
        "Alyx's verdict on dropped frames is FAIL, with 214 frames.",
        _verdict("dropped_frames", ["FAIL", 214, 0]),
    ),
    Defect(
        "video_pin_state_qc_error",
        ("video_pin_state_qc_error",),
        "Alyx's verdict on the pin state is WARNING.",
        _verdict("pin_state", ["WARNING", 151, 0]),
    ),
    Defect(
        "truncated_signal",
        (),
        "The signal file on disk is shorter than the table and the hash say.",
        _truncate_signal,
        assets=("photometry",),
    ),
    Defect(
        "trials_without_column",
        (),
        "The trials table has no feedback_times; the photometry's task window needs it too.",
        _lose_column,
        assets=("photometry", "trials"),
    ),
    Defect(
        "wheel_of_nan",
        (),
        "All wheel positions are NaN.",
        _lose_wheel,
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
        "A serotonin line with a fibre in VTA; the impossible label is left to this check by "
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
        "A dopamine line with a fibre in VTA and one in DR: DR-DA is no target.",
        subject={
            "nickname": "DX-target",
            "fibers": (("VTA-DA", "l"), ("DR-5HT", "r")),
        },
    ),
    Defect(
        "missing_brain_region",
        ("ambiguous_region_mapping", "missing_brain_region"),
        "No source names a region, so that the signal's column belongs to none either.",
        _no_region,
        subject={
            "nickname": "DX-region",
            "fibers": (("LC-NE", "l"),),
            "in_table": False,
        },
    ),
    Defect(
        "missing_hemisphere",
        ("missing_hemisphere",),
        "No source knows the side: no suffix, no row in the fibre table, no trajectory.",
        _no_side,
        subject={
            "nickname": "DX-hemisphere",
            "fibers": (("LC-NE", "r"),),
            "in_table": False,
        },
    ),
)

__all__ = ["DEFECTS", "Defect"]
