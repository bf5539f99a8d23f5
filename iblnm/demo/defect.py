"""What a planted fault is: what it does to a session, and which checks must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iblnm.demo.cohort import SessionPlan
    from iblnm.demo.draft import Draft

N_SUBJECTS, SESSIONS_PER_SUBJECT = 20, 4
"""Size of the demo."""
SMALLEST = "7 subjects of 5 sessions or 10 of 4"
"""Cohorts in which every fault finds its place."""


@dataclass(frozen=True)
class Defect:
    """One kind of fault.

    Parameters
    ----------
    name : str
    checks : tuple of str
        Checks that fail because of it, consequences included.
    note : str
        What was done, and why each check fails.
    apply : callable, optional
        Changes the draft of the session.
    assets : tuple of str
        Assets that cannot be computed.
    open_checks : tuple of str
        Checks whose outcome the data do not decide.
    options : dict
        Options of the simulation.
    plan : dict
        Fields of the session's plan.
    subject : dict, optional
        The fault is the mouse's: it gets one of its own.
    session_types : tuple of str
        Types that suit it.
    n_fibers : int, optional
    is_same_day : bool
        Adds a second session on the day of a session without fault.
    """

    name: str
    checks: tuple[str, ...]
    note: str
    apply: Callable[[Draft], None] | None = None
    assets: tuple[str, ...] = ()
    open_checks: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    subject: dict[str, Any] | None = None
    session_types: tuple[str, ...] = ("training", "biased", "ephys")
    n_fibers: int | None = None
    has_two_sides: bool | None = None
    needs_full_contrasts: bool = False
    is_same_day: bool = False

    def fits(self, plan: SessionPlan) -> bool:
        """Whether the fault can be planted in a session."""
        fibers = plan.subject.fibers
        two_sides = len({target for target, _ in fibers}) < len(fibers)
        return (
            plan.session_type in self.session_types
            and self.n_fibers in (None, len(fibers))
            and self.has_two_sides in (None, two_sides)
            and not (self.needs_full_contrasts and plan.is_early)
            and not (self.is_same_day and (plan.is_early or not plan.has_isosbestic))
        )
