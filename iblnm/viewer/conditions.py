"""Groups of trials whose responses are compared, and their means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.config import SignalSettings

if TYPE_CHECKING:
    import xarray as xr

_THIRDS = ("first third", "middle third", "last third")
_SPEEDS = ("fast", "middle", "slow")


@dataclass(frozen=True)
class Grouping:
    """One way to divide trials.

    Parameters
    ----------
    name : str
    label : str
    labels : tuple of str
        Of the groups.
    members : ndarray of int (n_trials,)
        Group of each trial, −1 for none.
    ordered : bool
        Whether the groups have an order, for colors that have one too.
    """

    name: str
    label: str
    labels: tuple[str, ...]
    members: np.ndarray
    ordered: bool


def groupings(trials: pd.DataFrame, hemisphere: str | None) -> list[Grouping]:
    """The ways to divide the trials of a session, for a fiber of one side.

    Parameters
    ----------
    trials : DataFrame
        Derived columns as `iblnm.task.add_trial_columns` makes them.
    hemisphere : {'l', 'r', None}
        Side of the fiber; without it stimuli are told apart as left and right.
    """
    contrast = _numbers(trials, "contrast")
    levels = np.unique(contrast[np.isfinite(contrast)])
    feedback = _numbers(trials, "feedbackType")
    position = np.arange(len(trials)) * 3 // max(len(trials), 1)
    return [
        Grouping(
            "contrast",
            "contrast",
            tuple(f"{level:g} %" for level in levels),
            _positions(contrast, levels),
            True,
        ),
        Grouping(
            "outcome",
            "outcome",
            ("correct", "error"),
            np.select([feedback == 1, feedback == -1], [0, 1], -1),
            False,
        ),
        _sides(trials, hemisphere),
        _speeds(_numbers(trials, "reaction_time")),
        Grouping("time", "time in session", _THIRDS, position, True),
    ]


def condition_means(
    responses: xr.DataArray, trials: pd.DataFrame, groups: list[Grouping], signal: SignalSettings
) -> dict[str, Any]:
    """Mean and standard error of each group, with and without baseline and mask.

    Parameters
    ----------
    responses : DataArray (event, trial, time)
    trials : DataFrame
    groups : list of Grouping
    signal : SignalSettings
        Window of the baseline.

    Returns
    -------
    dict
        By name of grouping ``mean`` and ``sem``, arrays (event, baseline off/on, mask off/on,
        group, time), and ``n``, array (event, group) of trials that have the event.
    """
    from iblnm.signal.perievent import mask_subsequent_events, subtract_baseline

    rows = responses["trial"].to_numpy()
    shown = []
    for base in (responses, subtract_baseline(responses, signal.baseline_window)):
        for variant in (base, mask_subsequent_events(base, trials)):
            shown.append(variant.transpose("event", "trial", "time").to_numpy())
    values = np.stack(shown, axis=1)
    belongs = np.concatenate(
        [grouping.members[rows] == np.arange(len(grouping.labels))[:, None] for grouping in groups]
    ).astype(float)
    mean, sem = grouped_mean_and_sem(values, belongs)
    has_event = np.isfinite(values[:, 0]).any(axis=-1).astype(float)
    count = np.rint(has_event @ belongs.T).astype(int)
    variants = (len(values), 2, 2)
    result, first = {}, 0
    for grouping in groups:
        own = slice(first, first := first + len(grouping.labels))
        result[grouping.name] = {
            "mean": mean[:, :, own].reshape(*variants, *mean[:, :, own].shape[2:]),
            "sem": sem[:, :, own].reshape(*variants, *sem[:, :, own].shape[2:]),
            "n": count[:, own],
        }
    return result


def grouped_mean_and_sem(values: np.ndarray, belongs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`iblnm.vis.panels.mean_and_sem` of many overlapping groups of trials, by sums.

    Parameters
    ----------
    values : ndarray (..., trial, time)
        NaN are missing samples.
    belongs : ndarray (group, trial)
        1 where a trial is in a group, else 0.

    Returns
    -------
    mean, sem : ndarray (..., group, time)
        NaN where no value is; ``sem`` NaN where there is only one.
    """
    valid = np.isfinite(values)
    # about their mean, sums of squares lose no digits
    center = values[valid].mean() if valid.any() else 0.0
    about = np.where(valid, values - center, 0.0)
    n = belongs @ valid.astype(float)
    some, several = np.where(n > 0, n, np.nan), np.where(n > 1, n, np.nan)
    mean = (belongs @ about) / some
    variance = (belongs @ np.square(about) - some * mean**2) / (several - 1)
    return mean + center, np.sqrt(np.maximum(variance, 0.0) / several)


def _sides(trials: pd.DataFrame, hemisphere: str | None) -> Grouping:
    side = trials["stim_side"].to_numpy(dtype=object) if "stim_side" in trials else np.array([])
    if len(side) != len(trials):
        side = np.full(len(trials), None)
    if hemisphere in ("l", "r"):
        first, labels = (
            ("right" if hemisphere == "l" else "left"),
            ("contralateral", "ipsilateral"),
        )
    else:
        first, labels = "left", ("left", "right")
    second = "left" if first == "right" else "right"
    members = np.select([side == first, side == second], [0, 1], -1)
    return Grouping("side", "side of stimulus", labels, members, False)


def _speeds(reaction: np.ndarray) -> Grouping:
    valid = np.isfinite(reaction)
    members = np.full(len(reaction), -1)
    labels = _SPEEDS
    if valid.sum() >= len(_SPEEDS):
        limits = np.quantile(reaction[valid], (1 / 3, 2 / 3))
        members[valid] = np.searchsorted(limits, reaction[valid])
        low, high = (f"{limit:.2g}" for limit in limits)
        labels = (f"≤ {low} s", f"{low} to {high} s", f"> {high} s")
    return Grouping("reaction", "reaction time", labels, members, True)


def _positions(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    at = np.searchsorted(levels, values)
    return np.where(np.isfinite(values), at, -1)


def _numbers(trials: pd.DataFrame, name: str) -> np.ndarray:
    if name not in trials:
        return np.full(len(trials), np.nan)
    return trials[name].to_numpy(dtype=float, na_value=np.nan)
