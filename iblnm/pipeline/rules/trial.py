"""Rules about the trials table and the behavior in it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from iblnm.config import Settings
from iblnm.constants import BLOCK_TASKS, UNBIASED
from iblnm.pipeline.rules.outcome import Finding, Outcome, not_evaluated
from iblnm.pipeline.rules.registry import RuleError, rule
from iblnm.pipeline.rules.values import Row, as_row, get, join

_PLAN_KEYS = ("LEN_BLOCKS", "POSITIONS")
_NEEDED_COLUMNS = ("intervals_0", "stim_side", "choice", "feedbackType")


class InsufficientTrials(RuleError):
    """Too few trials."""


@rule(
    InsufficientTrials,
    asset="trials",
    level="trials",
    severity="BLOCK",
    threshold=lambda s: float(s.thresholds.min_trials),
    unit="trials",
    description="The mouse did enough trials for its behavior and responses to be described.",
    remedy=(
        "Nothing can be added: the photometry is shown, the behavior is not used. How many "
        "trials are needed is a setting (thresholds.min_trials)."
    ),
)
def insufficient_trials(trials: pd.DataFrame, settings: Settings) -> Finding:
    limit, n_lost = settings.thresholds.min_trials, int(_unusable(trials).sum())
    n = len(trials) - n_lost
    lost = f", {n_lost} more lack side, choice, outcome or start" if n_lost else ""
    return Finding(n >= limit, float(n), f"{n} trials{lost}; at least {limit} are needed.")


def _unusable(trials: pd.DataFrame) -> np.ndarray:
    columns = [name for name in _NEEDED_COLUMNS if name in trials]
    return trials[columns].isna().any(axis=1).to_numpy()


class UnusableTrials(RuleError):
    """Too many trials lack what a trial needs."""


@rule(
    UnusableTrials,
    asset="trials",
    level="trials",
    severity="BLOCK",
    threshold=lambda s: s.thresholds.max_unusable_trial_share,
    unit="fraction of trials",
    description=(
        "Nearly all trials have a side, a choice, an outcome and a start after the one before; "
        "those that have not are missing."
    ),
    remedy=(
        "Look at the trials table: it may be doubled, cut, or of another task. Extract the "
        "trials again from the raw task data."
    ),
)
def unusable_trials(trials: pd.DataFrame, settings: Settings) -> Finding:
    if trials.empty:
        return not_evaluated("no trials, see insufficient_trials")
    lost = _unusable(trials)
    share, limit = float(lost.mean()), settings.thresholds.max_unusable_trial_share
    counts = {name: int(trials[name].isna().sum()) for name in _NEEDED_COLUMNS if name in trials}
    return Finding(
        share <= limit,
        share,
        f"{int(lost.sum())} of {len(trials)} trials lack side, choice, outcome or start and are "
        f"missing; at most {limit:.0%} are accepted.",
        metadata={"missing": [{"column": k, "trials": v} for k, v in counts.items()]},
    )


class ChoiceSign(RuleError):
    """Choices do not follow the sign convention of the trials table."""


@rule(
    ChoiceSign,
    asset="trials",
    level="trials",
    severity="BLOCK",
    threshold=lambda _: 0.0,
    unit="trials",
    description=(
        "On correct trials with a visible stimulus the choice is towards it: -1 for a stimulus "
        "on the right, +1 for one on the left."
    ),
    remedy=(
        "The sign of choice or the sides are turned round: extract the trials again with the "
        "extractor of this rig's version."
    ),
)
def choice_sign(trials: pd.DataFrame) -> Finding:
    contrast = trials["signed_contrast"].to_numpy(dtype=float)
    choice = trials["choice"].to_numpy(dtype=float)
    decisive = (trials["feedbackType"].to_numpy(dtype=float) == 1) & (np.abs(contrast) > 0)
    decisive &= np.isfinite(choice)
    n = int(decisive.sum())
    if not n:
        return not_evaluated("no correct trial with a contrast above zero")
    n_wrong = int((np.sign(choice[decisive]) != -np.sign(contrast[decisive])).sum())
    return Finding(
        n_wrong == 0,
        float(n_wrong),
        f"{n_wrong} of {n} correct trials with contrast above zero have a choice away from the "
        "stimulus; 0 are expected.",
    )


class IncompleteEventTimes(RuleError):
    """An event has no time in too many trials.

    Parameters
    ----------
    message : str or sequence of str
        A sequence is taken as `missing_events`.
    missing_events : sequence of str
        The events concerned.
    """

    def __init__(
        self,
        message: str | Sequence[str] = "",
        missing_events: Sequence[str] = (),
        *,
        outcome: Outcome | None = None,
    ):
        if not isinstance(message, str):
            missing_events, message = message, f"events without a time: {', '.join(message)}"
        super().__init__(message, outcome=outcome)
        if outcome is not None and not missing_events:
            missing_events = outcome.metadata.get("missing_events", ())
        self.missing_events = list(missing_events)


@rule(
    IncompleteEventTimes,
    asset="trials",
    level="trials",
    severity="WARN",
    threshold=lambda s: s.thresholds.min_event_completeness,
    unit="fraction of trials",
    description=(
        "Stimulus, first movement and feedback have a time in nearly all trials; an event "
        "that has not is left out of the responses."
    ),
    remedy=(
        "Extract the trials again, or do without the event: the message names it. First "
        "movements need a wheel."
    ),
)
def incomplete_event_times(trials: pd.DataFrame, settings: Settings) -> Finding:
    if trials.empty:
        return not_evaluated("no trials, see insufficient_trials")
    limit = settings.thresholds.min_event_completeness
    present = {
        event: float(trials[event].notna().mean()) if event in trials else 0.0
        for event in settings.response_events
    }
    missing = [event for event, fraction in present.items() if fraction < limit]
    metadata = {
        "missing_events": missing,
        "events": [{"event": k, "fraction present": v} for k, v in present.items()],
    }
    words = join(f"{event} in {fraction:.1%}" for event, fraction in present.items())
    return Finding(
        not missing,
        min(present.values()),
        f"Present: {words} of {len(trials)} trials; at least {limit:.0%} are needed.",
        metadata=metadata,
    )


def _plan(row: Row) -> dict:
    """The session's JSON if it holds the block plan; empty otherwise."""
    value = get(row, "session_json")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return {}
    complete = isinstance(value, dict) and all(value.get(key) for key in _PLAN_KEYS)
    return value if complete else {}


def _block_fault(trials: pd.DataFrame, row: Row, settings: Settings) -> Finding:
    """The finding about the blocks themselves, whichever rule names it."""
    from iblnm.task.blocks import validate_block_match, validate_block_structure

    kind = get(row, "session_type")
    if trials.empty:
        return not_evaluated("no trials, see insufficient_trials")
    if kind == "training":
        n = int((trials["probabilityLeft"].dropna() != UNBIASED).sum())
        return Finding(
            n == 0,
            float(n),
            f"{n} of {len(trials)} trials of a training session have a left probability other "
            f"than {UNBIASED}; 0 are expected.",
            limit=0.0,
        )
    if kind not in BLOCK_TASKS:
        return not_evaluated(f"a session of type {kind} has no blocks of its own")
    limits = settings.thresholds
    structure = validate_block_structure(trials, thresholds=limits)
    shortest, n_blocks = structure["min_block_length"], structure["n_blocks"]
    note = trials.attrs.get("block_repair") or ""
    metadata = {"repair": note} if note else {}
    words = f"{n_blocks} blocks, the shortest but the last of {shortest} trials"
    expected = f"at least {limits.min_block_length} are expected, or the blocks of the plan"
    plan = _plan(row)
    if plan and validate_block_match(
        trials, plan["LEN_BLOCKS"], plan["POSITIONS"], plan.get("BLOCK_PROBABILITY_SET")
    ):
        return Finding(True, float(shortest), f"{words}, as in the plan.", metadata=metadata)
    message = f"{words}; {expected}.{' Repair: ' + note + '.' if note else ''}"
    return Finding(bool(structure["valid"]), float(shortest), message, metadata=metadata)


class BlockStructureBug(RuleError):
    """The blocks of the task are not those of its protocol."""


@rule(
    BlockStructureBug,
    asset="trials",
    level="trials",
    severity="WARN",
    threshold=lambda s: float(s.thresholds.min_block_length),
    other_limits=lambda _: (0.0,),
    unit="trials",
    description=(
        "The blocks of left and right probability are those of the task, as recorded or as "
        "repaired from the session's plan; if not, fits per block stay empty."
    ),
    remedy=(
        "Nothing, if blocks do not matter to you; otherwise repair the plan of the session on "
        "Alyx, and run iblnm batch again."
    ),
)
def block_structure_bug(trials: pd.DataFrame, session_row: Row, settings: Settings) -> Finding:
    row = as_row(session_row)
    finding = _block_fault(trials, row, settings)
    if finding.passed or get(row, "session_type") not in BLOCK_TASKS or _plan(row):
        return finding
    return not_evaluated("the blocks are broken and there is no plan, see missing_block_info")


class MissingBlockInfo(BlockStructureBug):
    """The blocks are broken, and the session has no plan to repair them from."""


@rule(
    MissingBlockInfo,
    asset="trials",
    level="trials",
    severity="WARN",
    threshold=lambda s: float(s.thresholds.min_block_length),
    other_limits=lambda _: (0.0,),
    unit="trials",
    description=(
        "Where the blocks are broken, the session's record on Alyx holds the plan to repair "
        "them from."
    ),
    remedy=("Add the plan of the blocks (len_blocks, positions) to the session's record on Alyx."),
)
def missing_block_info(trials: pd.DataFrame, session_row: Row, settings: Settings) -> Finding:
    row = as_row(session_row)
    finding = _block_fault(trials, row, settings)
    if finding.passed or get(row, "session_type") not in BLOCK_TASKS:
        return Finding(True, None, "No block plan is needed.")
    if _plan(row):
        return not_evaluated("there is a plan, see block_structure_bug")
    return Finding(
        False,
        finding.value,
        f"{finding.message} The session's JSON lacks {join(_PLAN_KEYS)}.",
        metadata=finding.metadata,
    )


class NegativeReactionTime(RuleError):
    """Too many movements begin before the stimulus."""


@rule(
    NegativeReactionTime,
    asset="trials",
    level="trials",
    severity="WARN",
    threshold=lambda s: s.thresholds.max_negative_reaction_fraction,
    unit="fraction of trials",
    description="The first movement seldom comes before the stimulus.",
    remedy=(
        "Look at the wheel around the stimulus: a mouse that moves all the time, or an offset "
        "of the clocks. Do not use reaction times of this session in the second case."
    ),
)
def negative_reaction_time(trials: pd.DataFrame, settings: Settings) -> Finding:
    reaction = (trials["firstMovement_times"] - trials["stimOn_times"]).dropna()
    if reaction.empty:
        return not_evaluated("no trial has both times, see incomplete_event_times")
    limit = settings.thresholds.max_negative_reaction_fraction
    fraction = float((reaction < 0).mean())
    return Finding(
        fraction <= limit,
        fraction,
        f"The first movement precedes the stimulus in {fraction:.1%} of {len(reaction)} trials; "
        f"at most {limit:.0%} are accepted.",
    )


class PsychometricAtBound(RuleError):
    """A psychometric parameter lies on its bound."""


@rule(
    PsychometricAtBound,
    asset="performance",
    level="trials",
    severity="WARN",
    threshold=lambda _: 0.0,
    unit="fits",
    description="No parameter of a psychometric fit lies on the bound of its range.",
    remedy=(
        "Do not use the parameter on its bound: the contrasts of this session or block do not "
        "determine it."
    ),
)
def psychometric_at_bound(performance: Row) -> Finding:
    row = as_row(performance)
    fits = {
        str(name): get(row, name)
        for name in row.keys()  # noqa: SIM118 a Series iterates over its values
        if str(name).endswith("_at_bound") and get(row, name) is not None
    }
    if not fits:
        return not_evaluated("no psychometric fit")
    at_bound = [name.removesuffix("_at_bound") for name, value in fits.items() if value]
    found = f": {join(at_bound)}" if at_bound else ""
    return Finding(
        not at_bound,
        float(len(at_bound)),
        f"{len(at_bound)} of {len(fits)} fits have a parameter on its bound{found}; 0 are "
        "expected.",
    )
