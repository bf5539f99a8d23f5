"""Evaluating the rules of a stage for one session, from what is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from iblnm.config import Settings
from iblnm.errors import MissingFileError
from iblnm.pipeline.graph import inputs_of_rules
from iblnm.pipeline.rules import Outcome, evaluate, rules_for
from iblnm.storage.store import SessionStore


def evaluate_stored(
    store: SessionStore, asset: str, eid: str, settings: Settings
) -> list[Outcome]:
    """Outcomes of all rules of one stored asset.

    Raises
    ------
    MissingFileError
        If the asset was never stored for this session.
    """
    inputs = {name: store.load(source, eid) for name, source in inputs_of_rules(asset).items()}
    for name, source in inputs_of_rules(asset).items():
        if inputs[name] is None:
            raise MissingFileError(f"{source} is not stored: materialize it first", eid=eid)
    return evaluate(asset, settings, **inputs)


def evaluate_values(asset: str, values: Mapping[str, Any], settings: Settings) -> list[Outcome]:
    """Outcomes of all rules of one asset, from values by stage; none where one is absent."""
    inputs = {name: values.get(source) for name, source in inputs_of_rules(asset).items()}
    if any(value is None for value in inputs.values()):
        return []
    return evaluate(asset, settings, **inputs)


def blocking_failures(asset: str, load: Callable[[str], Any], settings: Settings) -> list[Outcome]:
    """Failed rules of severity BLOCK of one asset of a session.

    Parameters
    ----------
    asset : str
    load : callable
        From the name of a stage to its value, or None if there is none. Called once for each
        stage that a blocking rule looks at.
    settings : Settings

    Returns
    -------
    list of Outcome
        Rules that look at something that is not there are left out.
    """
    sources = inputs_of_rules(asset)
    value = cache(load)
    failures = []
    for rule in rules_for(asset):
        if rule.severity != "BLOCK":
            continue
        inputs = {name: value(sources[name]) for name in rule.inputs if name in sources}
        if any(entry is None for entry in inputs.values()):
            continue
        outcome = rule.evaluate(settings, **inputs)
        if not outcome.passed:
            failures.append(outcome)
    return failures
