"""Changes of a demo server at random, and the history of every session's content."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_LONGEST_DELAY_S = 3.0
_OTHER_PROJECT = "ibl_fibrephotometry_pilot"


@dataclass
class Traffic:
    """Changes of a model at random, and the history of every session's content.

    Parameters
    ----------
    model : AlyxModel
    n_sessions : int
        Registered before the first tick and during the simulation together.
    seed : int
    """

    model: object
    n_sessions: int
    seed: int
    versions: dict[str, list[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    changes: Counter = field(default_factory=Counter)
    latest: dict[str, str] = field(default_factory=dict)
    """Kind of the latest change, by session."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._starts: list[datetime] = []
        self._before: dict[str, str] = {}

    @property
    def left(self) -> int:
        """Sessions still to be registered."""
        return self.n_sessions - len(self.versions)

    def register(self, *, delay_s: float = 0.0) -> None:
        """A session of any age, which often starts exactly when another does."""
        draw = self._random
        if self._starts and draw.random() < 0.4:
            start = draw.choice(self._starts)
        else:
            start = datetime(2023, 1, 1) + timedelta(minutes=draw.randrange(600 * 24 * 60))
        self._starts.append(start)
        stamp = self.model.now() - timedelta(seconds=delay_s)
        n = len(self.versions)
        with self.model.lock:
            eid = self.model.register_session(
                subject=f"SIM-{n % 97:03d}",
                number=1 + n // 97,
                start_time=start,
                auto_datetime=stamp,
            )
            self._add_dataset(eid, stamp)
            if n % 20 == 0:
                self.model.register_session(start_time=start, projects=[_OTHER_PROJECT])
        self._seen(eid)

    def change(self) -> None:
        """One change of any kind."""
        draw = self._random
        kinds = {
            "register": 8 if self.left else 0,
            "late commit": 2 if self.left else 0,
            "no-op save": 4,
            "dataset": 3,
            "late dataset": 1,
            "field": 2,
            "back again": 1,
            "quality without a stamp": 1,
            "stamp of a clock ahead": 1,
            "delete": 1,
        }
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        self.changes[kind] += 1
        delay_s = draw.random() * _LONGEST_DELAY_S
        if kind in ("register", "late commit"):
            self.register(delay_s=delay_s if kind == "late commit" else 0.0)
            return
        eid = draw.choice([eid for eid in self.versions if eid not in self.deleted])
        self.latest[eid] = kind
        now = self.model.now()
        if kind == "no-op save":
            self.model.touch_session(eid)
        elif kind == "dataset":
            self._add_dataset(eid, now)
        elif kind == "late dataset":
            self._add_dataset(eid, now - timedelta(seconds=delay_s))
        elif kind == "field":
            with self.model.lock:
                self._before[eid] = self.model.sessions[eid].fields["qc"]
                self.model.update_session(eid, qc=draw.choice(["PASS", "FAIL", "WARNING"]))
        elif kind == "quality without a stamp":
            with self.model.lock:
                dataset = draw.choice(self.model.sessions[eid].datasets)
                dataset.qc = "PASS" if dataset.qc == "CRITICAL" else "CRITICAL"
        elif kind == "stamp of a clock ahead":
            self._add_dataset(eid, now + timedelta(days=1))
            with self.model.lock:
                self.model.sessions[eid].stamp = now + timedelta(days=1)
        elif kind == "back again":
            self.model.update_session(eid, qc=self._before.get(eid, "NOT_SET"))
        else:
            self.model.delete_session(eid)
            self.deleted.add(eid)
            return
        self._seen(eid)

    def _add_dataset(self, eid: str, stamp: datetime) -> None:
        self.model.add_dataset(
            eid,
            f"alf/_sim_{self._random.randrange(10**9)}.table.pqt",
            size=1,
            hash=f"{self._random.getrandbits(128):032x}",
            auto_datetime=stamp,
        )

    def _seen(self, eid: str) -> None:
        versions = self.versions.setdefault(eid, [])
        content = self.content(eid)
        if versions[-1:] != [content]:
            versions.append(content)

    def content(self, eid: str) -> str:
        """Fingerprint of a session as it is now."""
        from iblnm.archive.changes import record_fingerprint
        from iblnm.demo.alyx.endpoints import ENDPOINTS

        with self.model.lock:
            detail = ENDPOINTS["sessions"].detail(self.model, self.model.sessions[eid], "")
        return record_fingerprint(detail)
