"""Trials and events under the names of IBL's Brain-Wide Map on DANDI.

The columns are those of dandiset 000409. A column that no trial has a value of is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from iblnm.constants import UNBIASED

NOT_KNOWN = "unknown"
_CHOICES = {1.0: "clockwise", -1.0: "counter_clockwise", 0.0: "none"}


@dataclass(frozen=True)
class TrialColumn:
    """One column of the trials.

    Parameters
    ----------
    name : str
    source : str
        Column of the stored trials that it is made of.
    description : str
    convert : callable, optional
        From the stored column; by default it is taken as it is.
    is_event : bool
        Whether its times are a table of events too.
    """

    name: str
    source: str
    description: str
    convert: Callable[[pd.Series], list | np.ndarray] | None = None
    is_event: bool = False

    def values(self, trials: pd.DataFrame) -> list | np.ndarray:
        """Of every trial."""
        stored = trials[self.source]
        if self.convert is not None:
            return self.convert(stored)
        return further_values(stored)


def choice_names(choice: pd.Series) -> list[str]:
    """How the wheel was turned: ALF's 1 is clockwise, a choice of the left.

    Examples
    --------
    >>> choice_names(pd.Series([1.0, -1.0, 0.0, np.nan]))
    ['clockwise', 'counter_clockwise', 'none', 'unknown']
    """
    return [_CHOICES.get(value, NOT_KNOWN) for value in choice]


def rewarded(feedback: pd.Series) -> np.ndarray:
    """Whether a trial was rewarded; float with NaN where it is not known of every trial."""
    values = feedback.to_numpy(dtype=np.float64)
    if np.isfinite(values).all():
        return values > 0
    return np.where(np.isfinite(values), (values > 0).astype(np.float64), np.nan)


def block_types(probability: pd.Series) -> list[str]:
    """Type of the block by the probability of a stimulus on the left.

    Examples
    --------
    >>> block_types(pd.Series([0.5, 0.8, 0.2]))
    ['unbiased', 'left_block', 'right_block']
    """
    return [
        NOT_KNOWN
        if not np.isfinite(p)
        else "unbiased"
        if p == UNBIASED
        else "left_block"
        if p > UNBIASED
        else "right_block"
        for p in probability
    ]


def block_indices(probability: pd.Series) -> np.ndarray:
    """Number of the block of every trial, from 0; trials without a probability stay in theirs.

    Examples
    --------
    >>> block_indices(pd.Series([0.5, 0.5, 0.8, 0.8, 0.2])).tolist()
    [0, 0, 1, 1, 2]
    """
    known = probability.ffill().bfill().to_numpy(dtype=np.float64)
    changed = np.r_[False, (known[1:] != known[:-1]) & np.isfinite(known[1:])]
    return np.cumsum(changed)


TRIAL_COLUMNS = (
    TrialColumn(
        "gabor_stimulus_onset_time",
        "stimOn_times",
        "Onset of the visual stimulus [s].",
        is_event=True,
    ),
    TrialColumn(
        "gabor_stimulus_offset_time",
        "stimOff_times",
        "End of the visual stimulus [s].",
        is_event=True,
    ),
    TrialColumn("auditory_cue_time", "goCue_times", "Onset of the go cue [s].", is_event=True),
    TrialColumn(
        "wheel_movement_onset_time",
        "firstMovement_times",
        "First movement of the wheel [s].",
        is_event=True,
    ),
    TrialColumn(
        "choice_registration_time",
        "response_times",
        "When the choice was registered, or its time was over [s].",
        is_event=True,
    ),
    TrialColumn(
        "feedback_time",
        "feedback_times",
        "Onset of the feedback: reward, or noise after an error [s].",
        is_event=True,
    ),
    TrialColumn("gabor_stimulus_contrast", "contrast", "Contrast of the stimulus [percent]."),
    TrialColumn("gabor_stimulus_side", "stim_side", "Side of the stimulus: left, right."),
    TrialColumn(
        "mouse_wheel_choice",
        "choice",
        "How the wheel was turned: clockwise (the left was chosen), counter_clockwise (the "
        "right), none (no choice in time).",
        choice_names,
    ),
    TrialColumn("is_mouse_rewarded", "feedbackType", "Whether the trial was rewarded.", rewarded),
    TrialColumn("reward_volume_uL", "rewardVolume", "Volume of the reward [uL]."),
    TrialColumn("probability_left", "probabilityLeft", "Probability of a stimulus on the left."),
    TrialColumn(
        "block_type",
        "probabilityLeft",
        "Type of the block: unbiased, left_block, right_block.",
        block_types,
    ),
    TrialColumn("block_index", "probabilityLeft", "Number of the block, from 0.", block_indices),
)
"""The columns of the trials, in their order."""
START, STOP = "intervals_0", "intervals_1"
# said by the columns above
_SAID = {"contrastLeft", "contrastRight", "signed_contrast", "choice_side", START, STOP}


def further_columns(trials: pd.DataFrame) -> list[str]:
    """Stored columns that no column of `TRIAL_COLUMNS` says; they keep their names."""
    said = _SAID | {column.source for column in TRIAL_COLUMNS}
    return [name for name in trials.columns if name not in said and trials[name].notna().any()]


def further_values(stored: pd.Series) -> list[str] | np.ndarray:
    """A stored column as it can be written: text, truth values or float64."""
    if pd.api.types.is_bool_dtype(stored) and not stored.isna().any():
        return stored.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(stored):
        return stored.to_numpy(dtype=np.float64, na_value=np.nan)
    return [NOT_KNOWN if pd.isna(value) else str(value) for value in stored]
