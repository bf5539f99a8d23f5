"""What each planted fault changes in the photometry of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from iblnm.demo.draft import Draft


def lose_column(draft: Draft) -> None:
    del draft.frames.columns[draft.fibers[1].roi]


def _places(draft: Draft, n: int) -> np.ndarray:
    """Indices of n frames, spread over the session, that belong to a band."""
    band = draft.frames.band
    wanted = (np.linspace(0.2, 0.8, n) * len(band)).astype(int)
    own = np.flatnonzero((band[1:] != "") & (band[:-1] != "")) + 1
    return own[np.searchsorted(own, wanted)]


def set_back_clock(draft: Draft) -> None:
    draft.frames.times[_places(draft, 4)] -= 0.1


def repeat_frames(draft: Draft) -> None:
    at = _places(draft, 3)
    draft.frames.band[at] = draft.frames.band[at - 1]


def interchange_names(draft: Draft) -> None:
    draft.frames.names = {"GCaMP": "Isosbestic", "Isosbestic": "GCaMP"}


def _stretch(draft: Draft, start: float, length_s: float) -> slice:
    """Frames of a length [s] from a fraction of the session."""
    times = draft.frames.times
    begin = times[int(start * len(times))]
    return slice(*np.searchsorted(times, [begin, begin + length_s]))


def mark_invalid(draft: Draft) -> None:
    draft.frames.valid[_stretch(draft, 0.4, 0.15 * draft.length_s)] = False


def stand_still(draft: Draft) -> None:
    stretch = _stretch(draft, 0.5, 12.0)
    for values in draft.frames.columns.values():
        for band in set(draft.frames.band[stretch]):
            own = stretch.start + np.flatnonzero(draft.frames.band[stretch] == band)
            values[own] = values[own[0]]


def saturate(draft: Draft) -> None:
    stretch = _stretch(draft, 0.5, 2.0)
    values = draft.frames.columns[draft.fibers[0].roi]
    own = stretch.start + np.flatnonzero(draft.frames.band[stretch] == "GCaMP")
    values[own] = values.max() * 1.05


def pause_camera(draft: Draft) -> None:
    draft.frames.raw_times[len(draft.frames.raw_times) // 2 :] += 5.0


def jump_forward(draft: Draft) -> None:
    draft.frames.times[len(draft.frames.times) // 2 :] += 4.0


def pulses_jitter(draft: Draft) -> None:
    """The camera's log has to do for the clock, and its stamps are inexact."""
    draft.omitted = ("alf/photometry/*",)
    draft.pulse_jitter_s = 9e-3
