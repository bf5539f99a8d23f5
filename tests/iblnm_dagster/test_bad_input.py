"""Damaged files of every kind, through the graph: typed failures, never a broken run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iblnm import errors
from iblnm.config import Settings
from iblnm.pipeline.outcomes import open_outcomes
from iblnm_dagster.running.worker import BLOCKED, BROKEN, FAILED, PASSED, Worker

pytestmark = pytest.mark.slow

SIGNAL = "photometry.signal.pqt"
LOCATIONS = "photometryROI.locations.pqt"
TRIALS = "_ibl_trials.table.pqt"
POSITION = "_ibl_wheel.position.npy"
STAMPS = "_ibl_wheel.timestamps.npy"
RAW = "_neurophotometrics_fpData.raw.pqt"
DESCRIPTION = "_ibl_experiment.description.yaml"


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda path: change(pd.read_parquet(path)).to_parquet(path)


def _array(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda path: np.save(path, change(np.load(path)))


def _all_numbers(value: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(**dict.fromkeys(df.select_dtypes("number"), value))

    return change


ANY = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": _half,
    "noise": _noise,
    "missing": Path.unlink,
}
TABLE = {
    "not a number": _table(_all_numbers(np.nan)),
    "constant": _table(_all_numbers(1.0)),
    "text": _table(lambda df: df.astype(str)),
    "one row": _table(lambda df: df.iloc[:1]),
    "no rows": _table(lambda df: df.iloc[:0]),
    "doubled": _table(lambda df: pd.concat([df, df])),
    "one column": _table(lambda df: df[[df.columns[0]]]),
    "backwards": _table(lambda df: df.iloc[::-1]),
}
ARRAY = {
    "not a number": _array(lambda a: a * np.nan),
    "text": _array(lambda a: a.astype(str)),
    "one sample": _array(lambda a: a[:1]),
    "no samples": _array(lambda a: a[:0]),
    "two dimensions": _array(lambda a: a.reshape(-1, 1)),
    "too short": _array(lambda a: a[:-5]),
    "objects": lambda path: np.save(path, np.array([{}, 1], dtype=object), allow_pickle=True),
}
YAML = {
    "a list": lambda path: path.write_text("[1, 2]"),
    "fibers in a list": lambda path: path.write_text(
        "devices: {neurophotometrics: {fibers: [1, 2]}}"
    ),
}
CASES = [
    (name, kind, damage)
    for names, kinds in (
        ((SIGNAL, TRIALS, RAW), ANY | TABLE),
        ((LOCATIONS,), ANY),
        ((POSITION, STAMPS), ANY | ARRAY),
        ((DESCRIPTION,), ANY | YAML),
    )
    for name in names
    for kind, damage in kinds.items()
]
# what a file is read by, and what would have to be blocked
READERS = {
    SIGNAL: ("photometry", "photometry_qc", "preprocessed"),
    LOCATIONS: ("photometry", "photometry_qc", "preprocessed"),
    RAW: ("photometry", "photometry_qc", "preprocessed"),
    TRIALS: ("trials", "performance", "wheel_velocity"),
    POSITION: ("trials", "wheel_velocity"),
    STAMPS: ("trials", "wheel_velocity"),
    DESCRIPTION: ("photometry",),
}
# what is damaged so is data all the same: a rule judges it, or it is no fault
NOT_A_FAILURE = {
    (TRIALS, "one row"): BLOCKED,
    # a second copy of every trial or frame is missing; what is left says whether it is enough
    (TRIALS, "doubled"): BLOCKED,
    (TRIALS, "backwards"): BLOCKED,
    (SIGNAL, "doubled"): PASSED,
    (RAW, "constant"): BLOCKED,
    (RAW, "doubled"): BLOCKED,
    (DESCRIPTION, "empty"): PASSED,
    # a column of numbers is these numbers
    (POSITION, "two dimensions"): PASSED,
    (STAMPS, "two dimensions"): PASSED,
}


def _rewrite(path: Path, datasets: pd.DataFrame) -> None:
    """Write ONE's table with the metadata that it had."""
    table = pa.Table.from_pandas(datasets)
    metadata = {**pq.read_schema(path).metadata, **table.schema.metadata}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _damage(cache: Path, session: dict, name: str, damage: Callable[[Path], None]) -> None:
    """Damage a file and record its new size and hash, so that its content is judged."""
    folder = cache / session["path"]
    damage(next(folder.rglob(name)))
    datasets = pd.read_parquet(cache / "datasets.pqt")
    for key, rel_path in datasets.loc[[session["eid"]], "rel_path"].items():
        path = folder / rel_path
        if path.exists():
            content = path.read_bytes()
            datasets.loc[key, "file_size"] = len(content)
            datasets.loc[key, "hash"] = hashlib.md5(content).hexdigest()
    _rewrite(cache / "datasets.pqt", datasets)


@pytest.mark.parametrize(
    ("name", "kind", "damage"), CASES, ids=[f"{name}-{kind}" for name, kind, _ in CASES]
)
def test_a_damaged_file_is_a_readable_failure_of_its_session(
    name, kind, damage, settings, instance, small_archive
):
    session = small_archive[1]["sessions"][0]
    _damage(settings.cache_dir, session, name, damage)
    assets = ("session", *READERS[name])
    outcome = Worker(settings, instance, assets=assets, checks=False).run(session["eid"])
    expected = NOT_A_FAILURE.get((name, kind), FAILED)
    assert outcome.status == expected, outcome.problems
    if expected == FAILED:
        for failure in open_outcomes(settings).attempts("failed").itertuples():
            assert hasattr(errors, failure.error_type), failure
            assert session["eid"] in failure.message
            assert len(failure.message) < 1000


def test_a_changed_size_is_told_from_a_changed_content(settings, instance, small_archive):
    session = small_archive[1]["sessions"][0]
    path = next((settings.cache_dir / session["path"]).rglob(SIGNAL))
    size = path.stat().st_size
    _half(path)
    Worker(settings, instance).run(session["eid"])
    (failure,) = open_outcomes(settings).attempts("failed").itertuples()
    assert failure.asset == "photometry"
    assert f"{size // 2} bytes on disk, {size} bytes" in failure.message


def test_what_is_stored_survives_damage_and_other_sessions_go_on(
    settings, instance, small_archive
):
    first, second = (session["eid"] for session in small_archive[1]["sessions"][:2])
    worker = Worker(settings, instance)
    assert worker.run(first).status == PASSED
    stored = settings.sessions_h5_dir / f"{first}.h5"
    before = stored.read_bytes()
    _damage(settings.cache_dir, small_archive[1]["sessions"][0], DESCRIPTION, _noise)
    # a new client: the archive's tables are read once per process
    worker = Worker(Settings(root=settings.root, one_cache_dir=settings.cache_dir), instance)
    assert worker.run(first).status == FAILED
    assert stored.read_bytes() == before
    assert worker.run(second).status == PASSED


def test_a_session_without_photometry_and_with_damaged_trials_ends(
    settings, instance, small_archive
):
    session = small_archive[1]["sessions"][0]
    datasets = pd.read_parquet(settings.cache_dir / "datasets.pqt")
    photometry = datasets["rel_path"].str.contains("photometry")
    _rewrite(settings.cache_dir / "datasets.pqt", datasets[~photometry])
    _damage(settings.cache_dir, session, TRIALS, _noise)
    outcome = Worker(settings, instance).run(session["eid"])
    assert outcome.status == FAILED
    assert outcome.status != BROKEN
