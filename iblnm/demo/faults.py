"""What each planted fault changes in the draft of a session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from iblnm.demo.draft import Draft


def invalid_region(draft: Draft) -> None:
    draft.rename("DLS-" + draft.fibers[0].hemisphere)


def other_side(draft: Draft) -> None:
    fiber = draft.fibers[0]
    draft.rename(f"{fiber.region}-{'r' if fiber.hemisphere == 'l' else 'l'}")


def no_suffix_two_sides(draft: Draft) -> None:
    draft.names = [fiber.region for fiber in draft.fibers]
    for insertion in draft.insertions:
        insertion.update(name=draft.fibers[0].region, json={})


def no_side(draft: Draft) -> None:
    draft.names = [fiber.region for fiber in draft.fibers]
    for insertion in draft.insertions:
        insertion.update(name=draft.fibers[0].region, json={}, chronic_insertion=None)
    draft.trajectories.clear()


def no_region(draft: Draft) -> None:
    draft.names = ["" for _ in draft.fibers]


def no_insertion(draft: Draft) -> None:
    draft.insertions.clear()
    draft.trajectories.clear()


def two_types(draft: Draft) -> None:
    draft.task_protocol = "_iblrig_tasks_ephysChoiceWorld_RPE8.12.5"


def ends_before(draft: Draft) -> None:
    draft.end = draft.plan.start - timedelta(seconds=60)


def one_location_missing(draft: Draft) -> None:
    draft.names[1] = ""


def omit(*patterns: str) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        draft.omitted = patterns

    return apply


def flip_choice(draft: Draft) -> None:
    draft.trials["choice"] = -draft.trials["choice"]


def lose_movements(draft: Draft) -> None:
    lost = draft.rng.random(len(draft.trials)) < 0.2
    draft.trials.loc[lost, "firstMovement_times"] = np.nan


def break_blocks(draft: Draft) -> None:
    """Three runs of four trials with the other probability, inside blocks."""
    p = draft.trials["probabilityLeft"].to_numpy().copy()
    changes = np.flatnonzero(np.diff(p) != 0) + 1
    for start in changes[:2] + 8:
        p[start : start + 4] = np.round(1 - p[start], 1)
    draft.trials["probabilityLeft"] = p


def break_blocks_other_plan(draft: Draft) -> None:
    break_blocks(draft)
    draft.session_json["POSITIONS"] = [-x for x in draft.session_json["POSITIONS"]]


def break_blocks_no_plan(draft: Draft) -> None:
    break_blocks(draft)
    draft.session_json = None


def lose_choices(draft: Draft) -> None:
    lost = np.arange(len(draft.trials)) % 5 == 2
    draft.trials.loc[lost, ["choice", "feedbackType"]] = np.nan
    draft.truth["unusable_trial_share"] = float(lost.mean())


def second_task(draft: Draft) -> None:
    draft.other_task = "" if draft.plan.task_collection else "task_00"


def early_movements(draft: Draft) -> None:
    index = draft.trials.index[draft.trials["choice"] != 0]
    index = draft.rng.choice(index, size=int(0.12 * len(draft.trials)), replace=False)
    stim = draft.trials.loc[index, "stimOn_times"]
    draft.trials.loc[index, "firstMovement_times"] = (stim - 0.08).round(6)


def column_without_region(draft: Draft) -> None:
    extra = draft.frames.columns[draft.fibers[0].roi][::-1].copy()
    draft.frames.columns[draft.fibers[0].roi[:-1] + "3"] = extra


def contradicting_locations(draft: Draft) -> None:
    draft.location_names = ["SI-l" if draft.fibers[0].region != "SI" else "LC-l"]
    draft.location_names += draft.names[1:]


def starts_late(draft: Draft) -> None:
    first = np.searchsorted(draft.frames.times, draft.trials["stimOn_times"].iloc[20] + 0.5)
    draft.cut_frames(int(first))


def repeat_leds(draft: Draft) -> None:
    at = (np.linspace(0.2, 0.8, 3) * len(draft.frames.state)).astype(int)
    draft.frames.state[at] = draft.frames.state[at - 1]
    draft.truth["n_band_inversions"] = 2 * len(at)


def early_frames(draft: Draft) -> None:
    at = (np.linspace(0.2, 0.8, 5) * len(draft.frames.state)).astype(int)
    draft.frames.raw_times[at] -= 0.004
    draft.truth["n_early_samples"] = len(at)


def long_session(draft: Draft) -> None:
    draft.end += timedelta(minutes=10)


def no_camera_times(draft: Draft) -> None:
    draft.omitted = ("alf/*_ibl_leftCamera.times.npy",)


def verdict(check: str, value: Any) -> Callable[[Draft], None]:
    def apply(draft: Draft) -> None:
        draft.extended_qc[f"_videoLeft_{check}"] = value

    return apply


def truncate_signal(draft: Draft) -> None:
    draft.truncated = "alf/photometry/photometry.signal.pqt"


def lose_column(draft: Draft) -> None:
    draft.trials = draft.trials.drop(columns="feedback_times")


def end_wheel(draft: Draft) -> None:
    half = len(draft.wheel_times) // 2
    draft.wheel_times, draft.wheel_position = draft.wheel_times[:half], draft.wheel_position[:half]


def lose_wheel(draft: Draft) -> None:
    draft.wheel_position = np.full_like(draft.wheel_position, np.nan)
