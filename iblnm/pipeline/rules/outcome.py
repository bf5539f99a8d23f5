"""What the evaluation of a rule returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """What a rule function saw; `Rule.evaluate` adds the rule's name and severity.

    Parameters
    ----------
    passed : bool
    value : float or None
        The number that decided, None where there is none.
    message : str
        The value and the limit, in words.
    limit : float, optional
        Only where the rule's own threshold is not the number the value was held to.
    metadata : dict
        Small tables as lists of dicts, texts and numbers.
    evaluated : bool
        False where the rule had nothing to look at; then it is not broken either.
    severity : {'ERROR', 'WARN'}, optional
        Only where it depends on what was found; by default that of the rule.
    """

    passed: bool
    value: float | None
    message: str
    limit: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    evaluated: bool = True
    severity: Literal["ERROR", "WARN"] | None = None


@dataclass(frozen=True)
class Outcome:
    """One rule evaluated on one session.

    Parameters
    ----------
    rule : str
        Name of the rule.
    passed : bool
    severity : {'BLOCK', 'ERROR', 'WARN'}
        Severity of the rule, also when it passed, or that of what it found.
    value : float or None
        The number that decided, in the rule's unit.
    limit : float or None
        The number it was held to.
    message : str
        Value and limit, in words, or why the rule could not be evaluated.
    metadata : dict
        Small tables as lists of dicts, texts and numbers.
    evaluated : bool
        False where the rule had nothing to look at, or what it looks at cannot be known.
    """

    rule: str
    passed: bool
    severity: str
    value: float | None
    limit: float | None
    message: str
    metadata: dict[str, Any] = field(default_factory=dict)
    evaluated: bool = True

    @property
    def result(self) -> str:
        """``pass``, ``fail`` or ``not evaluated``."""
        if not self.evaluated:
            return "not evaluated"
        return "pass" if self.passed else "fail"


def number(value: Any) -> float | None:
    """A finite float, or None."""
    value = float(value)
    return value if math.isfinite(value) else None


def not_evaluated(reason: str) -> Finding:
    """The rule has nothing to look at, it cannot be known, or another rule names the fault."""
    return Finding(
        True, None, f"Not evaluated: {reason}.", metadata={"note": reason}, evaluated=False
    )


def unknown_without_record(what: str) -> Finding:
    """What only Alyx could tell, of a session that has no record of it."""
    return not_evaluated(f"{what} is not known, as the archive has no Alyx record of the session")
