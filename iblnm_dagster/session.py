"""The assets of a session, one per declared stage: partition, storage, failures, skipping."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    Failure,
    MetadataValue,
    Output,
    ResourceParam,
    RetryRequested,
    asset,
)

from iblnm.config import Settings
from iblnm.errors import DataError, IblnmError
from iblnm.pipeline.graph import RESPONSES, all_stages, downstream, find_stage, guards
from iblnm.pipeline.outcomes import Attempt, Origin
from iblnm.pipeline.rules import RULES
from iblnm.pipeline.rules.values import as_row
from iblnm.pipeline.stage import Result, Stage
from iblnm.pipeline.staleness import digest_of, origin_of
from iblnm.pipeline.versions import code_version
from iblnm.pipeline.wording import session_words, stored_session_words
from iblnm.storage.store import SessionStore
from iblnm_dagster.columns import column_schema
from iblnm_dagster.migration import outcomes_of
from iblnm_dagster.partitions import SESSION_PARTITIONS
from iblnm_dagster.resources import Archive
from iblnm_dagster.workarounds.xarray_imports import keep_dask_and_sparse_out

MAX_RETRIES = 3
# tells the assets of a session from tables and analyses
SESSION_TAG = ("iblnm/level", "session")
_KINDS = {"session_page": "html", "session_h5": "hdf5", "session_parquet": "parquet"}
_RESOURCES = {"archive": Archive, "settings": Settings, "store": SessionStore}


def build_session_assets(settings: Settings) -> list[AssetsDefinition]:
    """One asset per stage, in the order of the stages."""
    return [session_asset(stage, settings) for stage in all_stages()]


def session_asset(stage: Stage, current: Settings) -> AssetsDefinition:
    """Make an asset with one partition per session from a stage.

    Its code version is that of the settings it is defined under; that of its data is the digest
    of what was made, so that Dagster too calls nothing stale that rests on an equal result.

    A result without a value leaves the partition missing instead of failed. A `DataError` fails
    the session's asset at once: retrying cannot mend data. For a stage that talks to the
    archive, a transient fault is tried again, up to `MAX_RETRIES` times with growing, random
    waits; nothing else is. No pool of Dagster limits such assets: claiming its slots takes
    0.4 CPU-s a session, a quarter of the whole, and no more than two sessions are run at a time.

    The blocking rules of the stage's guards are asked again: within a run Dagster stops the
    branch itself, but an asset that is materialized alone must not use bad data either.
    """
    guarded_by = guards(stage.name)

    def compute(
        context: AssetExecutionContext,
        archive: Archive | None = None,
        store: SessionStore | None = None,
        *,
        settings: Settings,
        **values: Any,
    ) -> Iterator[Output]:
        keep_dask_and_sparse_out()
        eid = context.partition_key

        def words() -> str:
            return stored_session_words(SessionStore(settings), eid)

        outcomes = outcomes_of(context.instance, settings)
        row = as_row(values["session"]) if "session" in values else None
        origin = origin_of(stage, eid, row, outcomes, settings)
        blocked = _blocked(
            eid,
            stage,
            lambda name: values[name] if name in values else store.load(name, eid),
            settings,
        )
        if blocked is not None:
            outcomes.record_attempt(replace(blocked, origin=origin))
            raise Failure(
                description=f"{words()}: {blocked.message}",
                metadata={
                    "error_type": blocked.error_type,
                    "blocked": True,
                    "message": blocked.message,
                },
                allow_retries=False,
            )
        try:
            with outcomes.failures_recorded(eid, stage.name, origin):
                one = archive.one if stage.uses_archive else None
                result = stage.run(values, one=one, eid=eid, settings=settings)
        except DataError as error:
            raise Failure(
                description=f"{words()}: {error}" + ("" if error.eid else f" (session {eid})"),
                metadata={
                    "error_type": type(error).__name__,
                    "message": str(error) if error.eid else f"session {eid}: {error}",
                },
                allow_retries=False,
            ) from error
        except (IblnmError, OSError, ValueError) as error:
            if not (stage.uses_archive and _is_transient(error)):
                raise
            longest_s = settings.remote.first_retry_s * 2**context.retry_number
            raise RetryRequested(
                max_retries=MAX_RETRIES, seconds_to_wait=longest_s * random.random()
            ) from error
        if result.value is None:
            outcomes.record_attempt(
                Attempt(eid, stage.name, "no data", message=result.note, origin=origin)
            )
            # what an earlier run made of files that are no more, and what rests on it
            resting = [name for name in downstream(stage.name) if not find_stage(name).is_page]
            SessionStore(settings).remove((stage.name, *resting), eid)
            outcomes.forget(eid, resting)
            context.log.info(f"nothing to store: {result.note}")
            return
        if stage.name == "session":
            tags = {"iblnm/session": session_words(result.value)}
            context.instance.add_run_tags(context.run_id, tags)
            origin = origin_of(stage, eid, as_row(result.value), outcomes, settings)
        with outcomes.failures_recorded(eid, stage.name, origin):
            # of what was made: what is read back from a file need not have the same types
            origin = replace(origin, digest=digest_of(stage, result.value))
        metadata = _materialization_metadata(result, origin)
        if stage.is_page or stage.name == RESPONSES:
            metadata["viewer"] = MetadataValue.url(f"{settings.viewer_url}/sessions/{eid}")
        if stage.is_page:
            place = (settings.root / stage.folder / f"{eid}.html").resolve()
            metadata["report"] = MetadataValue.url(place.as_uri())
        version = DataVersion(origin.digest)
        yield Output(result.value, metadata=metadata, data_version=version)

    resources = ["settings"]
    if stage.uses_archive:
        resources.append("archive")
    if guarded_by:
        resources.append("store")
    compute.__signature__ = _signature(stage.inputs, resources)
    compute.__annotations__ = {}
    return asset(
        name=stage.name,
        description=stage.description,
        code_version=code_version(stage, current),
        partitions_def=SESSION_PARTITIONS,
        output_required=False,
        io_manager_key=_io_manager_key(stage),
        group_name=stage.group,
        metadata=_definition_metadata(stage),
        kinds={_KINDS[_io_manager_key(stage)]} | ({"alyx"} if stage.uses_archive else set()),
        tags=dict([SESSION_TAG]),
        # a page shows what the other stages made or could not make, so that it waits for
        # none of them, and comes last
        op_tags={"dagster/priority": "-1"} if stage.is_page else None,
    )(compute)


def _io_manager_key(stage: Stage) -> str:
    if stage.is_page:
        return "session_page"
    return "session_h5" if stage.folder is None else "session_parquet"


def _signature(inputs: Sequence[str], resources: Sequence[str]) -> inspect.Signature:
    """Signature of an asset's function, as Dagster reads it."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ["context", *inputs]
    return inspect.Signature(
        [inspect.Parameter(name, kind) for name in names]
        + [
            inspect.Parameter(name, kind, annotation=ResourceParam[_RESOURCES[name]])
            for name in resources
        ]
    )


def _definition_metadata(stage: Stage) -> dict[str, Any]:
    metadata: dict[str, Any] = {"folder": stage.folder or "data/sessions"}
    if stage.h5_group is not None:
        metadata["h5_group"] = stage.h5_group
    if stage.table is not None:
        metadata |= {
            "table": stage.table.name,
            "dagster/column_schema": column_schema(stage.table),
        }
    return metadata


def _is_transient(error: Exception) -> bool:
    from iblnm.archive.transient import is_transient

    return is_transient(error)


def _blocked(
    eid: str, stage: Stage, load: Callable[[str], Any], settings: Settings
) -> Attempt | None:
    """The attempt that a rule forbids, if one does."""
    from iblnm.pipeline.checking import blocking_failures

    for name in guards(stage.name):
        for outcome in blocking_failures(name, load, settings):
            return Attempt(
                eid,
                stage.name,
                "blocked",
                RULES[outcome.rule].exception.__name__,
                f"stopped by the check {outcome.rule} of {name}: {outcome.message}",
            )
    return None


def _materialization_metadata(result: Result, origin: Origin) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(result.numbers)
    provenance = replace(result.provenance, **vars(origin))
    metadata["provenance"] = MetadataValue.json(json.loads(provenance.to_json()))
    if result.note:
        metadata["note"] = result.note
    return metadata
