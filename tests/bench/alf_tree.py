"""A small ONE cache that a test fills, and the files of an ordinary session."""

import datetime
import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from iblnm.archive import connect
from iblnm.config import Settings

REPO = Path(__file__).resolve().parents[2]


def make_signal(*, columns=("G0", "G1"), n_frames=3000, rate=60.0, start=-10.0, seed=0):
    """Interleaved frames of GCaMP and isosbestic, after one start-up frame."""
    rng = np.random.default_rng(seed)
    frames = np.arange(n_frames)
    table = pd.DataFrame({name: rng.normal(1, 0.01, n_frames) for name in columns})
    table["times"] = start + frames / rate
    table["valid"] = frames > 100
    names = np.where(frames % 2 == 1, "GCaMP", "Isosbestic").astype(object)
    names[0] = ""
    table["wavelength"] = np.where(frames % 2 == 1, 470.0, 415.0)
    table["name"] = names
    table["color"] = names
    return table


def make_trials(n=20, *, start=2.0, every=1.5):
    begin = start + every * np.arange(n)
    left = np.arange(n) % 2 == 0
    return pd.DataFrame(
        {
            "intervals_0": begin,
            "intervals_1": begin + every - 0.1,
            "goCue_times": begin + 0.1,
            "response_times": begin + 0.8,
            "choice": np.where(left, 1, -1),
            "stimOn_times": begin + 0.1,
            "contrastLeft": np.where(left, 1.0, np.nan),
            "contrastRight": np.where(left, np.nan, 1.0),
            "feedback_times": begin + 0.8,
            "feedbackType": np.ones(n, dtype=np.int64),
            "rewardVolume": 3.0,
            "probabilityLeft": 0.5,
            "firstMovement_times": begin + 0.4,
        }
    )


class Tree:
    """A small ONE cache that a test fills session by session."""

    def __init__(self, root):
        self.root = root
        self.sessions = []

    def add(
        self,
        files,
        *,
        subject="M1",
        date="2024-03-01",
        number=1,
        lab="lab",
        projects="ibl_fibrephotometry",
        task_protocol="_iblrig_tasks_biasedChoiceWorld",
    ):
        """Write a session; files maps relative path to frame, array, dict (YAML) or bytes."""
        relative = Path(lab, "Subjects", subject, date, f"{number:03d}")
        folder = self.root / relative
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pd.DataFrame):
                content.to_parquet(path)
            elif isinstance(content, np.ndarray):
                np.save(path, content)
            elif isinstance(content, dict):
                path.write_text(yaml.safe_dump(content))
            else:
                path.write_bytes(content)
        eid = str(uuid.uuid3(uuid.NAMESPACE_URL, relative.as_posix()))
        record = {
            "id": eid,
            "lab": lab,
            "subject": subject,
            "date": datetime.date.fromisoformat(date),
            "number": number,
            "task_protocol": task_protocol,
            "projects": projects,
        }
        self.sessions.append((record, folder))
        return eid

    def record(self, endpoint, name, content):
        path = self.root / ".alyx" / endpoint / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) if not isinstance(content, str) else content)

    def write_tables(self):
        from iblutil.io.parquet import save
        from one.alf.cache import DATASETS_COLUMNS, SESSIONS_COLUMNS

        rows = []
        for record, folder in self.sessions:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                rel_path = path.relative_to(folder).as_posix()
                rows.append(
                    {
                        "eid": record["id"],
                        "id": str(uuid.uuid3(uuid.UUID(record["id"]), rel_path)),
                        "rel_path": rel_path,
                        "file_size": path.stat().st_size,
                        "hash": hashlib.md5(path.read_bytes()).hexdigest(),
                        "exists": True,
                        "qc": "NOT_SET",
                    }
                )
        sessions = pd.DataFrame([record for record, _ in self.sessions]).astype(SESSIONS_COLUMNS)
        datasets = pd.DataFrame(rows, columns=list(DATASETS_COLUMNS)).astype(DATASETS_COLUMNS)
        meta = {"date_created": "2026-01-01 00:00", "origin": "tests"}
        save(self.root / "sessions.pqt", sessions.set_index("id"), meta)
        save(self.root / "datasets.pqt", datasets.set_index(["eid", "id"]).sort_index(), meta)

    @property
    def settings(self):
        return Settings(root=self.root / "outputs", one_cache_dir=self.root, _env_file=None)

    def open(self):
        self.write_tables()
        return connect(self.settings)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "archive")


@pytest.fixture
def files():
    """Files of an ordinary session with two fibers, trials and wheel."""
    locations = pd.DataFrame(
        {"fiber": ["fiber_VTA", "fiber_SNc"], "brain_region": ["VTA-l", "SNC-r"]},
        index=pd.Index(["G0", "G1"], name="ROI"),
    )
    signal = make_signal()
    raw = pd.DataFrame(
        {
            "FrameCounter": np.arange(10),
            "SystemTimestamp": 100 + np.arange(10) / 60,
            "LedState": np.array([7, 2, 1, 2, 1, 18, 17, 2, 1, 2], dtype=np.int16),
        }
    )
    return {
        "alf/photometry/photometry.signal.pqt": signal,
        "alf/photometry/photometryROI.locations.pqt": locations,
        "alf/task_00/_ibl_trials.table.pqt": make_trials(),
        "alf/task_00/_ibl_wheel.timestamps.npy": np.arange(0, 40, 0.1),
        "alf/task_00/_ibl_wheel.position.npy": np.sin(np.arange(0, 40, 0.1)),
        "raw_photometry_data/_neurophotometrics_fpData.raw.pqt": raw,
    }


@pytest.fixture
def signal_maker():
    return make_signal


@pytest.fixture
def trials_maker():
    return make_trials


@pytest.fixture(scope="session")
def real_archive(tmp_path_factory):
    """The real recordings, copied so that they stay untouched."""
    source = Path(os.environ.get("IBLNM_REAL_DATA", REPO.parent / "shared" / "data")) / "alf"
    if not (source / "sessions.pqt").is_file():
        pytest.skip(f"no real recordings at {source} (IBLNM_REAL_DATA)")
    target = tmp_path_factory.mktemp("real") / "alf"
    shutil.copytree(source, target)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    settings = Settings(root=target.parent / "out", one_cache_dir=target, _env_file=None)
    return connect(settings), settings
