"""Which files of a session an output was made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from iblnm.archive.datasets import without_revision
from iblnm.config import Settings
from iblnm.constants import EXTRACTED, RAW
from iblnm.io.photometry import SIGNAL
from iblnm.io.task_files import (
    RAW_TASK_FILES,
    known_collection,
    raw_collection,
    raw_trials_collections,
    task_collections,
)
from iblnm.pipeline.rules.values import listed_categories
from iblnm.storage.provenance import Provenance


def dataset_provenance(
    session: pd.Series,
    categories: tuple[str, ...],
    settings: Settings,
    parameters: dict[str, Any] | None = None,
) -> Provenance:
    """What was made of files of some categories, of the task that the session stands for."""
    task = known_collection(session)
    others = {*task_collections(session.datasets)} - {task} if task else set()

    def is_used(name: str) -> bool:
        listed = listed_categories({"datasets": [name]}, settings)
        return bool(listed & {*categories}) and not {*task_collections([name])} & others

    return Provenance(parameters=parameters or {}, inputs=_inputs(session, is_used))


def task_provenance(
    session: pd.Series,
    category: str,
    source: str,
    settings: Settings,
    parameters: dict[str, Any],
) -> Provenance:
    """What trials or a wheel were made of: files of a category, or the rig's raw files."""
    if source == EXTRACTED:
        return dataset_provenance(session, (category,), settings, parameters)
    task = known_collection(session)
    tasks = raw_trials_collections(session.datasets) if task is None else [task]
    names = {f"{raw_collection(name)}/{file}" for name in tasks for file in RAW_TASK_FILES}
    inputs = _inputs(session, lambda name: without_revision(name) in names)
    return Provenance(parameters=parameters, inputs=inputs)


def _inputs(session: pd.Series, is_used: Callable[[str], bool]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "revision": session.dataset_revisions[i],
            "size": session.dataset_sizes[i],
            "hash": session.dataset_hashes[i],
        }
        for i, name in enumerate(session.datasets)
        if is_used(name)
    ]


def reference_provenance(reference: pd.DataFrame, parameters: dict[str, Any]) -> Provenance:
    """What was made of the signal that a reference names."""
    first = reference.iloc[0]
    signal = {
        # a file of raw frames lies in a folder of its own name, without revision
        "name": "/".join(Path(first.signal_path).parts[-2:]) if first.source == RAW else SIGNAL,
        "revision": None if pd.isna(first.signal_revision) else first.signal_revision,
        "size": None if pd.isna(first.signal_size) else int(first.signal_size),
        "hash": None if pd.isna(first.signal_hash) else first.signal_hash,
    }
    return Provenance(parameters=parameters, inputs=[signal])
