"""Evaluating the rules of an asset for one session, from what is stored."""

from __future__ import annotations

from typing import Any

from iblnm.config import Settings
from iblnm.errors import MissingFileError
from iblnm.storage.store import SessionStore
from iblnm.validation import Outcome, evaluate, rules_for

_INPUTS: dict[str, dict[str, str]] = {
    "session": {"session_row": "session"},
    "trials": {"trials": "trials", "session_row": "session"},
    "photometry": {"reference": "photometry", "session_row": "session"},
    "photometry_qc": {"qc": "photometry_qc"},
    "preprocessed": {"preprocessed": "preprocessed"},
    "performance": {"performance": "performance"},
    "video_qc": {"video": "video_qc"},
}


def evaluate_stored(
    store: SessionStore, asset: str, eid: str, settings: Settings
) -> list[Outcome]:
    """Outcomes of all rules of one stored asset.

    Raises
    ------
    MissingFileError
        If the asset was never stored for this session.
    """
    inputs: dict[str, Any] = {}
    for name, source in _INPUTS[asset].items():
        inputs[name] = store.load(source, eid)
        if inputs[name] is None:
            raise MissingFileError(f"{source} is not stored: materialize it first", eid=eid)
    return evaluate(asset, settings, **inputs)


def blocking_failures(asset: str, value: Any, settings: Settings) -> list[Outcome]:
    """Failed rules of severity BLOCK that judge one asset's value.

    Parameters
    ----------
    asset : {'trials', 'photometry', 'photometry_qc'}
    value : DataFrame
        The asset of one session.
    settings : Settings
    """
    name = next(name for name, source in _INPUTS[asset].items() if source == asset)
    outcomes = (
        rule.evaluate(settings, **{name: value})
        for rule in rules_for(asset)
        if rule.severity == "BLOCK"
    )
    return [outcome for outcome in outcomes if not outcome.passed]
