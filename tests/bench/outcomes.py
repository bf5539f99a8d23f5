"""Simulated outcomes of many sessions: the tables of the dashboard without the sessions."""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd

from iblnm.config import Settings, get_settings
from iblnm.pipeline.groups import running_rules
from iblnm.schemas import QC_MATRIX, SESSIONS_TABLE

_LABS = ("cortexlab", "mainenlab", "wittenlab", "hoferlab", "danlab")
_SESSIONS_PER_SUBJECT = 13
_OUTCOMES = np.array(["pass", "broken", "not run"])


def simulate_outcomes(
    n_sessions: int,
    *,
    seed: int = 0,
    share_broken: float = 0.04,
    share_not_run: float = 0.05,
    settings: Settings | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A matrix of outcomes and the sessions it is about.

    Parameters
    ----------
    n_sessions : int
    seed : int
    share_broken, share_not_run : float
        Shares of the cells; outcomes are independent.
    settings : Settings, optional
        Targets and session types.

    Returns
    -------
    matrix : DataFrame
        Schema `QC_MATRIX`, all rules by all sessions.
    sessions : DataFrame
        Schema `SESSIONS_TABLE`, in order of start time.
    """
    settings = settings or get_settings()
    random = np.random.default_rng(seed)
    eids = [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(n_sessions)]
    sessions = _sessions(eids, settings, random)
    rules = running_rules()
    names = [rule.name for rule in rules]
    n_rules = len(names)
    state = random.choice(
        _OUTCOMES,
        size=(n_sessions, n_rules),
        p=[1 - share_broken - share_not_run, share_broken, share_not_run],
    )
    severity = np.array([rule.severity for rule in rules])
    outcome = np.where(
        state == "broken", np.where(severity == "WARN", "warn", "fail")[None, :], state
    ).ravel()
    value = np.round(random.gamma(2.0, 40.0, size=outcome.size), 6)
    ran = outcome != "not run"
    limit = np.tile(np.arange(n_rules, dtype=float), n_sessions)
    check = np.tile(names, n_sessions)
    matrix = pd.DataFrame(
        {
            "eid": np.repeat(eids, n_rules),
            "check": check,
            "asset": np.tile([rule.asset for rule in rules], n_sessions),
            "severity": np.tile(severity, n_sessions),
            "outcome": outcome,
            "value": np.where(ran, value, np.nan),
            "limit": np.where(ran, limit, np.nan),
            "message": [
                f"The session has no data for {name}, or it was not run yet."
                if result == "not run"
                else f"{name.replace('_', ' ').capitalize()}: the value is {number:.4f} "
                f"in this session; at most {bound:g} is expected."
                for name, result, number, bound in zip(check, outcome, value, limit, strict=True)
            ],
            "label": None,
            "evaluated_at": np.where(ran, "2025-03-01T12:00:00", None),
        }
    )
    return QC_MATRIX.conform(matrix), sessions


def _sessions(eids: list[str], settings: Settings, random: np.random.Generator) -> pd.DataFrame:
    n_sessions = len(eids)
    subject = np.arange(n_sessions) // _SESSIONS_PER_SUBJECT
    day = np.arange(n_sessions) % _SESSIONS_PER_SUBJECT
    start = pd.Timestamp("2023-01-09T10:00:00") + pd.to_timedelta(subject * 5 + day, unit="D")
    targets = list(settings.target_colors)
    types = np.array(settings.analysed_session_types)
    frame = pd.DataFrame(
        {
            "eid": eids,
            "subject": [f"SIM-{number:03d}" for number in subject],
            "start_time": start.strftime("%Y-%m-%dT%H:%M:%S"),
            "number": 1,
            "lab": [_LABS[number % len(_LABS)] for number in subject],
            "session_type": types[np.minimum(day * len(types) // _SESSIONS_PER_SUBJECT, 2)],
            "target_NM": [[targets[number % len(targets)]] for number in subject],
            "n_recordings": 1,
            "day_n": day,
            "session_n": day + 1.0,
            "datasets": [
                _datasets(settings, complete) for complete in random.random(n_sessions) < 0.9
            ],
        }
    )
    for name in SESSIONS_TABLE.names:
        if name not in frame:
            frame[name] = None
    frame["excluded"] = [[] for _ in eids]
    order = ["start_time", "eid"]
    return SESSIONS_TABLE.conform(frame).sort_values(order, ignore_index=True)


def _datasets(settings: Settings, complete: bool) -> list[str]:
    return [
        patterns[0].replace("*", "00")
        for category, patterns in settings.dataset_categories.items()
        if complete or not category.startswith("extracted")
    ]
