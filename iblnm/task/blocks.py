"""Blocks of prior probability: their structure, and their repair from the session's plan.

Biased and ephys sessions start with 90 trials in which the stimulus is on either side with
equal probability; then blocks alternate between a left probability of 0.2 and of 0.8. The
task software registers its plan in the session's JSON: ``LEN_BLOCKS`` (trials per block),
``POSITIONS`` (position of each stimulus, degrees, negative on the left) and, from most
versions, ``BLOCK_PROBABILITY_SET``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from iblnm.config import Thresholds
from iblnm.constants import UNBIASED
from iblnm.errors import MalformedFileError
from iblnm.task.contrasts import compute_trial_contrasts, require_columns

METHOD_VERSION = 1
BIASED_PROBABILITIES = (0.2, 0.8)
# debiasing repeats a side after errors; a run as long as a block happens, most are short
_SHARE_IN_BLOCKS = 0.5
_REQUIRED_KEYS = ("LEN_BLOCKS", "POSITIONS")


@dataclass(frozen=True)
class BlockRepair:
    """Outcome of `repair_blocks`.

    Parameters
    ----------
    trials : DataFrame
        The given trials, or a copy with ``probabilityLeft`` of the plan.
    repaired : bool
        Whether ``probabilityLeft`` was changed.
    note : str
        What was changed, or why nothing was; empty if nothing had to be said.
    """

    trials: pd.DataFrame
    repaired: bool
    note: str


def get_block_lengths(probability_left: np.ndarray) -> np.ndarray:
    """Number of consecutive trials with the same probability.

    Parameters
    ----------
    probability_left : array_like, shape (n,)
        Probability of a left stimulus per trial; consecutive NaN count as one block.

    Returns
    -------
    ndarray of int
        Length of each block, in order; sums to n.

    Examples
    --------
    >>> get_block_lengths([0.5, 0.5, 0.2, 0.8, 0.8])
    array([2, 1, 2])
    """
    p = np.asarray(probability_left, dtype=float)
    if p.size == 0:
        return np.zeros(0, dtype=int)
    same = (p[1:] == p[:-1]) | (np.isnan(p[1:]) & np.isnan(p[:-1]))
    starts = np.concatenate(([0], np.flatnonzero(~same) + 1, [p.size]))
    return np.diff(starts)


def validate_block_structure(
    trials: pd.DataFrame,
    *,
    session_type: str | None = None,
    thresholds: Thresholds | None = None,
) -> dict[str, Any]:
    """Check that blocks are long enough to be blocks.

    Parameters
    ----------
    trials : DataFrame
        Column ``probabilityLeft``.
    session_type : str, optional
        For 'training' the rule is that every trial has 0.5; otherwise that every block but
        the last has at least ``thresholds.min_block_length`` trials.
    thresholds : Thresholds, optional

    Returns
    -------
    dict
        ``valid`` (bool); ``min_block_length`` (int, the shortest block but the last, which
        the end of the session cuts; 0 without trials); ``n_blocks`` (int); ``flagged`` (bool,
        the opposite of ``valid``: the plan in the session's JSON has to decide). Few missing
        probabilities (``thresholds.max_unusable_trial_share``) end no block, more are never
        valid.

    Raises
    ------
    MalformedFileError
        If the table has no column ``probabilityLeft``.

    Examples
    --------
    >>> trials = pd.DataFrame({"probabilityLeft": [0.5] * 90 + [0.2] * 20 + [0.8] * 3})
    >>> validate_block_structure(trials)
    {'valid': True, 'min_block_length': 20, 'n_blocks': 3, 'flagged': False}
    """
    require_columns(trials, ("probabilityLeft",))
    thresholds = thresholds or Thresholds()
    p = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    if np.isnan(p).sum() <= thresholds.max_unusable_trial_share * p.size:
        p = p[~np.isnan(p)]  # a trial that lost its probability ends no block
    lengths = get_block_lengths(p)
    complete = lengths[:-1] if lengths.size > 1 else lengths
    shortest = int(complete.min(initial=p.size))
    valid = p.size > 0 and not np.isnan(p).any()
    if session_type == "training":
        valid = valid and bool((p == UNBIASED).all())
    elif lengths.size > 1:
        valid = valid and shortest >= thresholds.min_block_length
    return {
        "valid": bool(valid),
        "min_block_length": shortest,
        "n_blocks": int(lengths.size),
        "flagged": not valid,
    }


def reconstruct_probability_left(
    n_trials: int,
    len_blocks: list[int],
    positions: list[float],
    block_probability_set: list[float] | None = None,
    *,
    thresholds: Thresholds | None = None,
) -> np.ndarray:
    """Probability of a left stimulus per trial, from the plan in the session's JSON.

    Parameters
    ----------
    n_trials : int
        Trials of the session.
    len_blocks : list of int
        Planned length of each block (``LEN_BLOCKS``).
    positions : list of float
        Planned position of each stimulus, negative on the left (``POSITIONS``).
    block_probability_set : list of float, optional
        Probabilities of the biased blocks (``BLOCK_PROBABILITY_SET``), with or without 0.5;
        0.2 and 0.8 by default.
    thresholds : Thresholds, optional
        ``n_unbiased_trials`` is the length of the unbiased block at the start.

    Returns
    -------
    ndarray, shape (n_trials,), float64

    Raises
    ------
    MalformedFileError
        If the plan cannot be used: not numeric, blocks that are not positive whole numbers,
        fewer planned trials than `n_trials`, other than two biased probabilities, or
        positions that do not tell the two alternations apart.

    Notes
    -----
    Biased blocks alternate, so that a session has two candidate sequences only; the one under
    which the positions of *all* planned blocks are more likely is taken. Deciding each
    block from its own share of left stimuli gets about 1 % of blocks, and every seventh
    session, wrong. A plan whose first block is not as long as the unbiased start may lack
    it: the two sequences without it are candidates then as well.

    Examples
    --------
    >>> reconstruct_probability_left(6, [2, 3, 3], [-35, 35] + [35] * 3 + [-35] * 3, [0.2, 0.8])
    array([0.5, 0.5, 0.2, 0.2, 0.2, 0.8])
    """
    thresholds = thresholds or Thresholds()
    lengths = _whole_numbers(len_blocks, "LEN_BLOCKS")
    on_left = _planned_left(positions)
    low, high = _biased_probabilities(block_probability_set)
    ends = np.cumsum(lengths)
    n_planned = int(min(ends[-1], on_left.size))
    if n_planned < n_trials:
        raise MalformedFileError(
            f"the plan covers {n_planned} trials ({ends[-1]:g} in LEN_BLOCKS, "
            f"{on_left.size} in POSITIONS); the session has {n_trials}"
        )
    block_of = np.searchsorted(ends, np.arange(n_planned), side="right")
    parity = np.arange(lengths.size) % 2
    rising, falling = np.where(parity, high, low), np.where(parity, low, high)
    candidates = [_unbiased_start(rising), _unbiased_start(falling)]
    if lengths[0] < thresholds.n_unbiased_trials:
        candidates += [rising, falling]
    likelihoods = [
        np.where(on_left[:n_planned], np.log(p[block_of]), np.log1p(-p[block_of])).sum()
        for p in candidates
    ]
    sequences = [p[block_of][:n_trials] for p in candidates]
    best = int(np.argmax(likelihoods))
    for likelihood, sequence in zip(likelihoods, sequences, strict=True):
        if np.isclose(likelihood, likelihoods[best]) and not np.array_equal(
            sequence, sequences[best]
        ):
            raise MalformedFileError(
                "POSITIONS are equally likely under both alternations of the blocks; "
                "the sequence cannot be decided"
            )
    return sequences[best]


def validate_block_match(
    trials: pd.DataFrame,
    len_blocks: list[int],
    positions: list[float],
    block_probability_set: list[float] | None = None,
) -> bool:
    """Whether ``probabilityLeft`` of the trials is that of the session's plan.

    Parameters
    ----------
    trials : DataFrame
        Column ``probabilityLeft``.
    len_blocks, positions, block_probability_set
        As `reconstruct_probability_left`.

    Returns
    -------
    bool
        False as well if the plan cannot be used: it then confirms nothing.

    Raises
    ------
    MalformedFileError
        If the table has no column ``probabilityLeft``.
    """
    require_columns(trials, ("probabilityLeft",))
    try:
        planned = reconstruct_probability_left(
            len(trials), len_blocks, positions, block_probability_set
        )
    except MalformedFileError:
        return False
    return _equal(trials, planned)


def repair_blocks(
    trials: pd.DataFrame,
    session_json: Mapping[str, Any] | None,
    *,
    thresholds: Thresholds | None = None,
) -> BlockRepair:
    """Replace a broken ``probabilityLeft`` by that of the session's plan, if the plan allows.

    Parameters
    ----------
    trials : DataFrame
        Columns ``probabilityLeft`` and ``stim_side`` (or ``contrastLeft`` and
        ``contrastRight``) of a biased or ephys session. Not changed.
    session_json : mapping, optional
        The session's JSON on Alyx.
    thresholds : Thresholds, optional

    Returns
    -------
    BlockRepair
        Trials are replaced only if their blocks are too short or have missing
        probabilities, and the planned positions are on the side where the stimulus was in
        every trial. A valid structure that differs from the plan is left and noted.

    Raises
    ------
    MalformedFileError
        If the trials table lacks a column. Whatever the JSON holds raises nothing.
    """
    structure = validate_block_structure(trials, thresholds=thresholds)
    problem = (
        ""
        if structure["valid"]
        else f"blocks are broken (shortest {structure['min_block_length']} trials, "
        f"{structure['n_blocks']} blocks) and not repaired: "
    )
    if len(trials) == 0:
        return BlockRepair(trials, False, "no trials")
    lacking = _missing_keys(session_json)
    if lacking:
        return BlockRepair(trials, False, problem and problem + lacking)
    try:
        planned = reconstruct_probability_left(
            len(trials),
            session_json["LEN_BLOCKS"],
            session_json["POSITIONS"],
            session_json.get("BLOCK_PROBABILITY_SET"),
            thresholds=thresholds,
        )
    except MalformedFileError as error:
        return BlockRepair(trials, False, problem and problem + error.message)
    if _equal(trials, planned):
        note = "short blocks are those of the plan" if structure["flagged"] else ""
        return BlockRepair(trials, False, note)
    n_other = _count_other_side(trials, session_json["POSITIONS"])
    if n_other:
        reason = (
            f"POSITIONS of the plan are on the other side in {n_other} of {len(trials)} trials"
        )
        return BlockRepair(trials, False, problem and problem + reason)
    given = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    n_changed = int(np.sum(~np.isclose(given, planned)))
    if structure["valid"]:
        note = (
            f"probabilityLeft differs from the plan in {n_changed} of {len(trials)} trials; "
            "kept, its blocks are long enough"
        )
        return BlockRepair(trials, False, note)
    note = (
        f"probabilityLeft replaced by the plan of the session's JSON in {n_changed} of "
        f"{len(trials)} trials ({structure['n_blocks']} blocks before, "
        f"{get_block_lengths(planned).size} after)"
    )
    return BlockRepair(trials.assign(probabilityLeft=planned), True, note)


def without_debiasing(
    trials: pd.DataFrame, *, thresholds: Thresholds | None = None
) -> BlockRepair:
    """Left probability of a training session, which has no blocks, as 0.5 throughout.

    Parameters
    ----------
    trials : DataFrame
        Column ``probabilityLeft``. Not changed.
    thresholds : Thresholds, optional

    Returns
    -------
    BlockRepair
        After errors the task of training adapts the probability of the next stimulus
        (debiasing): that is no block, and is replaced by 0.5. Where other probabilities hold
        for as many trials running as a block has, they are blocks, and are kept.
    """
    thresholds = thresholds or Thresholds()
    p = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    adapted = np.flatnonzero(p != UNBIASED)
    if not adapted.size:
        return BlockRepair(trials, False, "")
    lengths = get_block_lengths(p)
    of_trial = np.repeat(lengths, lengths)
    if (of_trial[adapted] >= thresholds.min_block_length).mean() > _SHARE_IN_BLOCKS:
        return BlockRepair(trials, False, "")
    note = (
        f"probabilityLeft was adapted in {adapted.size} of {len(p)} trials (debiasing of "
        "training); 0.5 is used, training has no blocks"
    )
    return BlockRepair(trials.assign(probabilityLeft=UNBIASED), True, note)


def _unbiased_start(probabilities: np.ndarray) -> np.ndarray:
    return np.concatenate(([UNBIASED], probabilities[1:]))


def _equal(trials: pd.DataFrame, planned: np.ndarray) -> bool:
    given = trials["probabilityLeft"].to_numpy(dtype=float, na_value=np.nan)
    return bool(np.allclose(given, planned, rtol=0, atol=1e-6))


def _count_other_side(trials: pd.DataFrame, positions: list[float]) -> int:
    sides = trials if "stim_side" in trials else compute_trial_contrasts(trials)
    known = sides["stim_side"].notna().to_numpy(dtype=bool)
    on_left = (sides["stim_side"] == "left").to_numpy(dtype=bool)
    return int(np.sum((on_left != _planned_left(positions)[: len(trials)]) & known))


def _missing_keys(session_json: Mapping[str, Any] | None) -> str:
    if session_json is None:
        return "the session has no JSON"
    if not isinstance(session_json, Mapping):
        return f"the session's JSON is a {type(session_json).__name__}, not an object"
    missing = [key for key in _REQUIRED_KEYS if session_json.get(key) is None]
    return f"the session's JSON has no {', '.join(missing)}" if missing else ""


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedFileError(f"{name} is not a list of numbers ({error})") from error
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise MalformedFileError(
            f"{name} has shape {numbers.shape} and {int((~np.isfinite(numbers)).sum())} values "
            "that are not finite; a list of finite numbers is expected"
        )
    return numbers


def _whole_numbers(values: Any, name: str) -> np.ndarray:
    numbers = _numbers(values, name)
    bad = (numbers < 1) | (numbers != np.round(numbers))
    if bad.any():
        raise MalformedFileError(
            f"{name} has {int(bad.sum())} values that are no positive whole numbers "
            f"(the first is {numbers[bad][0]:g})"
        )
    return numbers


def _planned_left(positions: Any) -> np.ndarray:
    degrees = _numbers(positions, "POSITIONS")
    if (degrees == 0).any():
        raise MalformedFileError(
            f"POSITIONS has {int((degrees == 0).sum())} values of 0; each must be on one side"
        )
    return degrees < 0


def _biased_probabilities(values: Any) -> tuple[float, float]:
    if values is None:
        return BIASED_PROBABILITIES
    given = np.unique(np.round(_numbers(values, "BLOCK_PROBABILITY_SET"), 9))
    biased = given[given != UNBIASED]
    if biased.size != 2 or biased[0] <= 0 or biased[1] >= 1:
        raise MalformedFileError(
            f"BLOCK_PROBABILITY_SET is {values}; two probabilities between 0 and 1 are expected "
            "beside 0.5"
        )
    return float(biased[0]), float(biased[1])
