"""An Alyx that changes: sessions are saved, replaced and deleted, and stamps move as they do."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from iblnm.demo.alyx import model as demo
from iblnm.demo.alyx.build import from_archive as fill_from_archive
from iblnm.demo.alyx.model import PROJECT

_REGISTERED = (
    "alf/task_00/_ibl_trials.table.pqt",
    "alf/photometry/photometry.signal.pqt",
    "alf/photometry/photometryROI.locations.pqt",
)
_DAYS = 600
_BYTES = 1_000_000
# a name that only an exact filter tells from the project's
_NEIGHBOR = f"{PROJECT}_pilot"


class AlyxModel(demo.AlyxModel):
    """The demo server's model, with a clock and with all changes that users make on Alyx."""

    def set_time(self, now: datetime) -> None:
        """Stop the clock at a time."""
        self._clock = lambda: now

    def advance(self, seconds: float) -> datetime:
        """Move a stopped clock; the new time."""
        self.set_time(self.now() + timedelta(seconds=seconds))
        return self.now()

    def late_commit(self, delay_s: float, **fields: Any) -> str:
        """Register a session whose stamp is already `delay_s` old when it becomes visible."""
        return self.register_session(
            auto_datetime=self.now() - timedelta(seconds=delay_s), **fields
        )

    def update_session(self, eid: str, **fields: Any) -> None:
        """Change fields of a session; its stamp moves."""
        with self.lock:
            session = self.sessions[eid]
            session.fields.update(fields)
            session.listed = None
            session.stamp = self.now()

    def touch_session(self, eid: str) -> None:
        """Save a session without a change: only its stamp moves."""
        self.update_session(eid)

    def add_insertion(self, eid: str, name: str, json: Any, **fields: Any) -> str:
        """Register a probe of a session with what is in its field ``json``; its id."""
        with self.lock:
            known = self.sessions[eid].fields
            info = {key: known[key] for key in ("subject", "lab", "start_time", "number")}
            row = {
                "id": self.new_id(),
                "session": eid,
                "name": name,
                "model": "3B2",
                "serial": "19051016842",
                "chronic_insertion": None,
                "session_info": info,
                "json": json,
                **fields,
            }
            self.insertions[row["id"]] = row
            return row["id"]

    def delete_session(self, eid: str) -> None:
        """Delete a session with its datasets and insertions."""
        with self.lock:
            for dataset in self.sessions.pop(eid).datasets:
                del self.datasets[dataset.id]
            gone = {key for key, row in self.insertions.items() if row["session"] == eid}
            for key in gone:
                del self.insertions[key]
            for key, row in list(self.trajectories.items()):
                if row["probe_insertion"] in gone:
                    del self.trajectories[key]

    def replace_dataset(self, dataset_id: str, content: bytes) -> None:
        """Give a dataset other content under the same id; its stamp moves."""
        with self.lock:
            dataset = self.datasets[dataset_id]
            dataset.content = content
            dataset.size = len(content)
            dataset.hash = hashlib.md5(content, usedforsecurity=False).hexdigest()
            dataset.stamp = self.now()

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset; no stamp tells of it."""
        with self.lock:
            dataset = self.datasets.pop(dataset_id)
            self.sessions[dataset.eid].datasets.remove(dataset)

    def eids(self, project: str | None = None) -> list[str]:
        """Identifiers of the sessions, of one project (exact name) if given."""
        with self.lock:
            return [
                eid
                for eid, session in self.sessions.items()
                if project is None or project in session.fields["projects"]
            ]


def from_archive(cache_dir: Path | str) -> AlyxModel:
    """Model of an archive that has records of Alyx, such as the simulated one."""
    model = AlyxModel()
    fill_from_archive(cache_dir, model)
    return model


def synthetic(
    n_sessions: int,
    *,
    seed: int = 0,
    now: datetime = datetime(2025, 6, 1),
    tied: float = 0.4,
) -> AlyxModel:
    """Model of many sessions without files; its clock stands still at `now`.

    Parameters
    ----------
    n_sessions : int
    seed : int
    now : datetime
        All stamps lie before it.
    tied : float
        Fraction of sessions that share their start time with another.
    """
    model = AlyxModel(seed=seed)
    model.set_time(now)
    generator = random.Random(f"{seed}-sessions")
    n_times = max(1, int(n_sessions * (1 - tied)))
    minutes = generator.sample(range(_DAYS * 24 * 60), n_times)
    starts = [now - timedelta(minutes=1 + minute) for minute in minutes]
    for i in range(n_sessions):
        start = starts[i] if i < n_times else generator.choice(starts)
        stamp = start + generator.random() * (now - start)
        # two sessions of one animal never have the same day and number
        eid = model.register_session(
            subject=f"SYN-{i % 97:03d}",
            number=1 + i // 97 % 900,
            start_time=start,
            auto_datetime=stamp,
            projects=[_NEIGHBOR if i % 20 == 19 else PROJECT],
        )
        for rel_path in _REGISTERED:
            model.add_dataset(
                eid,
                rel_path,
                size=generator.randrange(1, _BYTES),
                hash=f"{generator.getrandbits(128):032x}",
                auto_datetime=stamp,
            )
    return model
