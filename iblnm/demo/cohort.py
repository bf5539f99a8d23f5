"""Who is recorded where and when: subjects, fibers, and the calendar of sessions."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from iblnm.demo.behavior import EARLY_CONTRASTS, FULL_CONTRASTS, Psychometric
from iblnm.demo.defect import SMALLEST
from iblnm.demo.photometry import Fiber

if TYPE_CHECKING:
    from iblnm.demo.defects import Defect

LABS = ("cortexlab", "mainenlab", "wittenlab")
_LINES = {"DA": "Ai148xDat", "5HT": "Ai148xSert", "NE": "Ai148xDbh", "ACh": "Ai148xChat"}
_STRAINS = ("C57BL/6J", "B6.Cg", "B6.129S2")
_FIRST_DAY = datetime(2024, 1, 8, 9, 30)

# (target, side) of the fibers of each mouse: five mice for each of five targets
_IMPLANTS = (
    (("VTA-DA", "l"),),
    (("DR-5HT", "l"), ("MR-5HT", "r")),
    (("LC-NE", "l"),),
    (("NBM-ACh", "l"), ("NBM-ACh", "r")),
    (("VTA-DA", "r"), ("SNc-DA", "l")),
    (("NBM-ACh", "r"), ("SI-ACh", "l")),
    (("LC-NE", "r"),),
    (("DR-5HT", "r"), ("MR-5HT", "l")),
    (("DR-5HT", "l"), ("MR-5HT", "r")),
    (("VTA-DA", "l"), ("SNc-DA", "r")),
    (("LC-NE", "l"),),
    (("VTA-DA", "r"), ("SNc-DA", "l")),
    (("NBM-ACh", "l"), ("PPT-ACh", "r")),
    (("LC-NE", "r"),),
    (("DR-5HT", "r"), ("MR-5HT", "l")),
    (("NBM-ACh", "r"), ("PPT-ACh", "l")),
    (("NBM-ACh", "l"), ("SI-ACh", "r")),
    (("LC-NE", "l"),),
    (("VTA-DA", "l"), ("SNc-DA", "r")),
    (("DR-5HT", "l"), ("MR-5HT", "r")),
)
# sessions of training and of biased blocks among five, for mice of different pace
_PACES = ((3, 1), (2, 2), (1, 2), (1, 1))
# entry point relative to bregma [µm]: |x|, y, z, depth
_COORDINATES = {
    "VTA": (500, -3300, -100, 4400),
    "SNc": (1500, -3100, -100, 4300),
    "DR": (200, -4600, 0, 3200),
    "MR": (300, -4300, 0, 4500),
    "LC": (900, -5400, -200, 3500),
    "NBM": (1900, -800, -100, 4200),
    "SI": (1600, 100, -100, 4900),
    "PPT": (1200, -4700, -100, 3600),
}


@dataclass(frozen=True)
class Subject:
    """A mouse and its implant."""

    nickname: str
    lab: str
    strain: str
    line: str
    fibers: tuple[tuple[str, str], ...]
    index: int
    in_table: bool = True
    is_chronic: bool = False


@dataclass
class SessionPlan:
    """A session before it is simulated."""

    subject: Subject
    index: int
    start: datetime
    number: int
    session_type: str
    n_trials: int
    psychometric: Psychometric
    contrasts: tuple[float, ...] = FULL_CONTRASTS
    rate_hz: float = 30.0
    has_isosbestic: bool = True
    region_source: str = "experiment description"
    has_suffix: bool = True
    is_old_layout: bool = False
    task_collection: str = ""
    defect: Defect | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def relative_path(self) -> str:
        subject = self.subject
        day = self.start.date().isoformat()
        return f"{subject.lab}/Subjects/{subject.nickname}/{day}/{self.number:03d}"

    @property
    def is_early(self) -> bool:
        return self.contrasts == EARLY_CONTRASTS

    @property
    def fibers(self) -> tuple[Fiber, ...]:
        pattern = "Region{}G" if self.is_old_layout else "G{}"
        return tuple(
            Fiber(target, side, pattern.format(i))
            for i, (target, side) in enumerate(self.subject.fibers)
        )


def frozen_uuid(seed: int, *names: object) -> str:
    """A version-4 UUID that depends on the names only."""
    text = "/".join(map(str, ("iblnm-demo", seed, *names)))
    digest = hashlib.md5(text.encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def make_subject(
    index: int,
    *,
    nickname: str | None = None,
    fibers: tuple[tuple[str, str], ...] | None = None,
    **changes: Any,
) -> Subject:
    """Mouse number `index` of the cohort; implants repeat after twenty."""
    fibers = fibers or _IMPLANTS[index % len(_IMPLANTS)]
    subject = Subject(
        nickname=nickname or f"DM-{index + 1:03d}",
        lab=LABS[index % len(LABS)],
        strain=_STRAINS[index % len(_STRAINS)],
        line=_LINES[fibers[0][0].split("-")[1]],
        fibers=fibers,
        index=index,
        is_chronic=index % 2 == 1,
    )
    return replace(subject, **changes)


def plan_session(
    subject: Subject, position: int, n_sessions: int, duration_s: float, seed: int
) -> SessionPlan:
    """Session number `position` of a mouse: type by its pace, behavior by its experience."""
    pace = _PACES[subject.index % len(_PACES)]
    share = (position + 0.5) / n_sessions * 5
    stages = np.cumsum(pace)
    session_type = ("training", "biased", "ephys")[int(np.searchsorted(stages, share))]
    sequence = np.random.SeedSequence([seed, 1, subject.index, position])
    rng = np.random.default_rng(sequence)
    is_first = subject.index == 0 and position == 0
    is_early = session_type == "training" and position == 0 and pace[0] > 1 and not is_first
    start = _FIRST_DAY + timedelta(
        days=7 * subject.index + position, seconds=int(rng.integers(4 * 3600))
    )
    skill = min(1.0, 0.35 + 0.65 * position / max(1, n_sessions - 1))
    has_blocks = session_type != "training"
    psychometric = Psychometric(
        bias=round(float(rng.uniform(-4, 4)), 3),
        threshold=round(float(27 - 7 * skill + rng.uniform(-1, 1)), 3),
        lapse_left=round(float(0.10 - 0.04 * skill + rng.uniform(-0.005, 0.005)), 4),
        lapse_right=round(float(0.10 - 0.04 * skill + rng.uniform(-0.005, 0.005)), 4),
        bias_shift=round(float(rng.uniform(9, 14)), 3) if has_blocks else 0.0,
    )
    if is_early:
        psychometric = replace(psychometric, lapse_left=0.18, lapse_right=0.17)
    per_second = (0.28 if has_blocks else 0.14) + 0.03 * float(rng.random())
    n_trials = max(int(per_second * duration_s), min(110, int(duration_s / 2.6)))
    is_single = len(subject.fibers) == 1
    layout = (subject.index * 5 + position) % 11
    return SessionPlan(
        subject=subject,
        index=0,
        start=start,
        number=1,
        session_type=session_type,
        n_trials=n_trials,
        psychometric=psychometric,
        contrasts=EARLY_CONTRASTS if is_early else FULL_CONTRASTS,
        rate_hz={4: 15.0, 9: 50.0}.get(layout, 30.0),
        region_source=(
            "roi locations"
            if layout in (3, 8)
            else "fiber table"
            if layout == 6 and is_single
            else "experiment description"
        ),
        has_suffix=layout not in (1, 6) or not is_single,
        is_old_layout=layout in (3, 6),
        task_collection="task_00" if subject.index % 2 else "",
    )


def fiber_table(subjects: list[Subject]) -> pd.DataFrame:
    """The fiber table of these mice; positive X is the right hemisphere."""
    rows = []
    for subject in subjects:
        for target, side in subject.fibers if subject.in_table else ():
            x, y, z, depth = fiber_coordinates(target, side)
            surgery = _FIRST_DAY + timedelta(days=7 * subject.index - 60)
            rows.append(
                {
                    "subject": subject.nickname,
                    "targeted_region": target.split("-")[0],
                    "neuromodulator": target.split("-")[1],
                    "X-ml_um": x,
                    "Y-ap_um": y,
                    "Z-dv_um": z,
                    "depth": depth,
                    "theta": 0,
                    "phi": 180,
                    "roll": 0,
                    "expression": "transgenic",
                    "fiber_diameter_um": 200,
                    "fiber_length_mm": 5,
                    "numerical_aperture": 0.39,
                    "fiber_tip": "flat",
                    "surgery_date": surgery.date().isoformat(),
                    "notes": "",
                }
            )
    return pd.DataFrame(rows)


def fiber_coordinates(target: str, side: str) -> tuple[int, int, int, int]:
    """Entry point x, y, z relative to bregma and depth of a target [µm]."""
    x, y, z, depth = _COORDINATES[target.split("-")[0]]
    return (x if side == "r" else -x), y, z, depth


def make_cohort(
    seed: int,
    n_subjects: int,
    sessions_per_subject: int,
    duration_s: float,
    defects: list[Defect],
) -> list[SessionPlan]:
    """Plan all sessions; a defect takes a session in the middle of a mouse's list, or adds one.

    The earliest session has no fault, so that the first row of a table can be opened and shown.

    Returns
    -------
    list of SessionPlan
        In order of their start; each has its index.
    """
    plans = [
        plan_session(make_subject(i), position, sessions_per_subject, duration_s, seed)
        for i in range(n_subjects)
        for position in range(sessions_per_subject)
    ]
    earliest = plans[0]
    free = [
        plan
        for i, plan in enumerate(plans)
        if plan is earliest or plan.is_early or i % sessions_per_subject in (1, 2)
    ]
    n_added: dict[str, int] = {}
    for number, defect in enumerate(defects):
        if defect.subject is None:
            plan = None
            if not defect.is_same_day:
                plan = next((p for p in free if defect.fits(p)), None)
                free = [p for p in free if p is not plan]
            if plan is None or plan is earliest:
                # the first row of a table is what a newcomer opens: the fault goes elsewhere
                like = _like(plans, defect, n_added, n_subjects, sessions_per_subject)
                plan = _added(like, defect, n_added, sessions_per_subject)
                if defect.is_same_day:
                    # no other fault may spoil the first session of that day
                    free = [p for p in free if p is not like]
        else:
            subject = make_subject(n_subjects + number, **defect.subject)
            plan = plan_session(subject, 3, 5, duration_s, seed)
        plan.has_suffix = True
        plan.region_source = "experiment description"
        plan.defect = defect
        plan.options.update(defect.options)
        for name, value in defect.plan.items():
            setattr(plan, name, value)
        if not any(plan is other for other in plans):
            plans.append(plan)
    plans.sort(key=lambda plan: (plan.start, plan.subject.nickname, plan.number))
    for index, plan in enumerate(plans):
        plan.index = index
    return plans


def _like(
    plans: list[SessionPlan],
    defect: Defect,
    n_added: dict[str, int],
    n_subjects: int,
    sessions_per_subject: int,
) -> SessionPlan:
    """A session that suits the defect, of the mouse with the fewest that were added."""
    suited = [plan for plan in plans if plan.defect is None and defect.fits(plan)]
    suited.sort(key=lambda plan: n_added.get(plan.subject.nickname, 0))
    if not suited:
        raise ValueError(
            f"defect {defect.name} needs a session that {n_subjects} subjects of "
            f"{sessions_per_subject} sessions do not have: build at least {SMALLEST}, or "
            "defects=False"
        )
    return suited[0]


def _added(
    like: SessionPlan, defect: Defect, n_added: dict[str, int], sessions_per_subject: int
) -> SessionPlan:
    """A further session of a mouse, for the defect."""
    name = like.subject.nickname
    n_added[name] = n_added.get(name, 0) + 1
    if defect.is_same_day:
        return replace(like, start=like.start + timedelta(hours=2), number=2, options={})
    days = sessions_per_subject - 1 + n_added[name]
    first = _FIRST_DAY + timedelta(days=7 * like.subject.index + days, hours=1)
    return replace(like, start=first, options={})
