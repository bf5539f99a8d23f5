"""The stages of a session computed and stored without Dagster."""

from __future__ import annotations

from typing import Any

from iblnm.config import Settings
from iblnm.pipeline.graph import all_stages
from iblnm.storage import write_groups, write_table
from iblnm.storage.store import SessionStore


def store_stages(one: Any, eid: str, settings: Settings) -> dict[str, Any]:
    """Compute every stage but the pages, store what has a value; values by stage."""
    values: dict[str, Any] = {}
    for stage in all_stages():
        if stage.is_page or any(values.get(name) is None for name in stage.inputs):
            continue
        result = stage.run(values, one=one, eid=eid, settings=settings)
        values[stage.name] = result.value
        if result.value is None:
            continue
        if stage.folder is not None:
            path = settings.root / stage.folder / f"{eid}.pqt"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(result.value, path, stage.table)
        if stage.h5_group is not None:
            path = SessionStore(settings).h5_path(eid)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_groups(path, {stage.h5_group: result.value}, result.provenance)
    return values
