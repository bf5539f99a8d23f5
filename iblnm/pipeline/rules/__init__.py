"""Every rule of the project: one decorated function each, with its exception beside it.

A rule is a pure function with a typed exception (`RULES`). The library raises the exception,
the pipeline shows the `Outcome` as an asset check.
"""

from iblnm.pipeline.rules import (  # noqa: F401 their import registers the rules, in this order
    cohort,
    continuity,
    dataset,
    photometry,
    session,
    side,
    synchronization,
    trial,
    video,
    wheel,
)
from iblnm.pipeline.rules.cohort import disqualifying_errors, duplicates, usable_sessions
from iblnm.pipeline.rules.dataset import missing_modalities
from iblnm.pipeline.rules.outcome import Finding, Outcome
from iblnm.pipeline.rules.registry import (
    RULES,
    Rule,
    RuleError,
    error_types,
    evaluate,
    exceptions,
    raise_failed,
    rule,
    rules_for,
    umbrella_types,
)

__all__ = [
    "RULES",
    "Finding",
    "Outcome",
    "Rule",
    "RuleError",
    "disqualifying_errors",
    "duplicates",
    "error_types",
    "evaluate",
    "exceptions",
    "missing_modalities",
    "raise_failed",
    "rule",
    "rules_for",
    "umbrella_types",
    "usable_sessions",
]
