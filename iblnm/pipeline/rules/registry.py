"""The one registry of rules: from it come the library's validators and the asset checks.

A rule is one decorated function, with its exception beside it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from iblnm.config import Settings
from iblnm.errors import IblnmError
from iblnm.pipeline.rules.outcome import Finding, Outcome

Level = Literal["session", "recording", "trials", "photometry", "video", "cohort"]
Severity = Literal["BLOCK", "ERROR", "WARN"]


class RuleError(IblnmError):
    """A rule that data broke.

    Parameters
    ----------
    message : str
        What is wrong, with the value and the limit.
    outcome : Outcome, optional
        The evaluation that failed, where there was one.
    """

    def __init__(self, message: str = "", *, outcome: Outcome | None = None):
        super().__init__(message)
        self.outcome = outcome


class MissingResponses(RuleError):
    """No peri-event responses are stored for the session."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Parameters
    ----------
    name : str
        The exception's name in snake case; also the name of the asset check.
    exception : type
        What the library raises when the rule is broken.
    asset : str
        The asset it judges.
    level : str
        What one evaluation is about.
    severity : {'BLOCK', 'ERROR', 'WARN'}
    threshold : callable or None
        From settings to the limit, in `unit`.
    unit : str
        Unit of value and limit.
    description : str
        One sentence, in words of the experiment.
    function : callable
        Pure; takes what its parameters name, and ``settings``; returns a `Finding`.
    other_limits : callable or None
        From settings to the limits that findings of the rule name instead of `threshold`.
    remedy : str
        What to do about a session that breaks it, in a sentence or two.
    validator : str
        The library's ``validate_{validator}`` holds a row to this rule; by default the name of
        the rule without ``invalid``, ``missing`` or ``error``.
    """

    name: str
    exception: type[RuleError]
    asset: str
    level: Level
    severity: Severity
    threshold: Callable[[Settings], float | None] | None
    unit: str
    description: str
    function: Callable[..., Finding]
    other_limits: Callable[[Settings], tuple[float, ...]] | None = None
    validator: str = ""
    remedy: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the rule looks at."""
        return tuple(name for name in inspect.signature(self.function).parameters)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Assets that are not computed for a session that breaks the rule."""
        from iblnm.pipeline.graph import downstream

        return downstream(self.asset) if self.severity == "BLOCK" else ()

    def limit(self, settings: Settings) -> float | None:
        """The threshold under these settings."""
        return None if self.threshold is None else self.threshold(settings)

    def is_limit(self, limit: float, settings: Settings) -> bool:
        """Whether an evaluation under these settings may have had this limit.

        True where the rule has no limit that follows from settings alone.
        """
        current = self.limit(settings)
        others = () if self.other_limits is None else self.other_limits(settings)
        return current is None or limit in (current, *others)

    def evaluate(self, settings: Settings, **inputs: Any) -> Outcome:
        """Apply the rule.

        Parameters
        ----------
        settings : Settings
        **inputs
            At least what the rule looks at; the rest is ignored.

        Returns
        -------
        Outcome

        Raises
        ------
        TypeError
            If an input that the rule needs is absent.
        """
        offered = {**inputs, "settings": settings}
        finding = self.function(**{k: offered[k] for k in self.inputs if k in offered})
        limit = self.limit(settings) if finding.limit is None else finding.limit
        return Outcome(
            rule=self.name,
            passed=bool(finding.passed),
            severity=finding.severity or self.severity,
            value=None if finding.value is None else float(finding.value),
            limit=limit,
            message=finding.message,
            metadata=finding.metadata,
            evaluated=finding.evaluated,
        )

    def check(self, settings: Settings, **inputs: Any) -> Outcome:
        """Apply the rule and raise its exception if it is broken."""
        outcome = self.evaluate(settings, **inputs)
        raise_failed(outcome)
        return outcome


RULES: dict[str, Rule] = {}


def rule(
    exception: type[RuleError],
    *,
    asset: str,
    level: Level,
    severity: Severity,
    description: str,
    remedy: str = "",
    threshold: Callable[[Settings], float | None] | None = None,
    other_limits: Callable[[Settings], tuple[float, ...]] | None = None,
    unit: str = "",
    validator: str | None = None,
) -> Callable[[Callable[..., Finding]], Callable[..., Finding]]:
    """Register a function as the rule of an exception."""

    def register(function: Callable[..., Finding]) -> Callable[..., Finding]:
        name = snake_case(exception.__name__)
        if name in RULES:
            raise ValueError(f"rule {name} is defined twice")
        RULES[name] = Rule(
            name,
            exception,
            asset,
            level,
            severity,
            threshold,
            unit,
            description,
            function,
            other_limits,
            validator or re.sub(r"^(invalid|missing)_|_error$", "", name),
            remedy,
        )
        return function

    return register


def rules_for(asset: str) -> list[Rule]:
    """Rules that judge an asset, in the order of their definition."""
    return [entry for entry in RULES.values() if entry.asset == asset]


def evaluate(asset: str, settings: Settings, **inputs: Any) -> list[Outcome]:
    """Evaluate all rules of one asset.

    Parameters
    ----------
    asset : str
        ``session`` (give ``session_row``), ``sessions`` (``sessions``), ``trials`` (``trials``,
        ``session_row``), ``photometry`` (``reference``, ``session_row``), ``photometry_qc``
        (``qc``), ``preprocessed`` (``preprocessed``: datasets by recording name, or their
        attributes), ``performance`` (``performance``) or ``video_qc`` (``video``).
    settings : Settings
        Thresholds and lists.
    **inputs
        Rows as Series, dict or one-row DataFrame; tables as DataFrames.

    Returns
    -------
    list of Outcome
        One per rule; nothing is raised for broken rules.
    """
    return [entry.evaluate(settings, **inputs) for entry in rules_for(asset)]


def raise_failed(*outcomes: Outcome) -> None:
    """Raise the typed exception of the first outcome that failed, if any."""
    for outcome in outcomes:
        if not outcome.passed:
            raise RULES[outcome.rule].exception(outcome.message, outcome=outcome)


def error_types(names: Iterable[str]) -> set[str]:
    """Names of errors together with those of their special cases.

    Lets a selection by an umbrella name find what is logged under the exact one.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    set of str

    Examples
    --------
    >>> sorted(error_types({"QCValidationError"}))
    ['BandInversion', 'EarlySamples', 'QCValidationError']
    """
    names, known = set(names), exceptions()
    umbrellas = tuple(known[name] for name in names & set(known))
    return names | {name for name, kind in known.items() if issubclass(kind, umbrellas)}


def umbrella_types(names: Iterable[str]) -> set[str]:
    """Names of errors together with the umbrella names they fall under.

    Examples
    --------
    >>> sorted(umbrella_types({"EarlySamples"}))
    ['EarlySamples', 'QCValidationError']
    """
    known = exceptions()
    found = set(names)
    for name in found & set(known):
        mro = known[name].__mro__
        found.update(base.__name__ for base in mro[: mro.index(RuleError)])
    return found


def exceptions() -> dict[str, type[RuleError]]:
    """What rules raise, and the umbrella types of these, by name."""
    raised = [base for entry in RULES.values() for base in entry.exception.__mro__]
    kinds = (RuleError, MissingResponses, *raised)
    return {kind.__name__: kind for kind in kinds if issubclass(kind, RuleError)}


def snake_case(name: str) -> str:
    """Name of an exception as name of a rule.

    Examples
    --------
    >>> snake_case("VideoTimestampsQCError"), snake_case("InvalidTargetNM")
    ('video_timestamps_qc_error', 'invalid_target_nm')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
