"""The decorator of per-session assets: partition, storage, failures, skipping, provenance."""

from __future__ import annotations

import functools
import inspect
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    AssetsDefinition,
    Failure,
    MetadataValue,
    Output,
    ResourceParam,
    RetryRequested,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    asset,
)

from iblnm.errors import DataError, IblnmError
from iblnm.schemas import Table
from iblnm.storage.store import SessionStore
from iblnm.validation import RULES
from iblnm_dagster.partitions import SESSION_PARTITIONS
from iblnm_dagster.workarounds.xarray_imports import keep_dask_and_sparse_out

_STORE = inspect.Parameter(
    "store", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=ResourceParam[SessionStore]
)
MAX_RETRIES = 3


def column_schema(table: Table) -> TableSchema:
    """The table's schema as the page shows it."""
    return TableSchema(
        columns=[
            TableColumn(
                column.name,
                column.dtype,
                column.text,
                TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def session_asset(
    *,
    group: str,
    io_manager_key: str,
    metadata: Mapping[str, Any],
    table: Table | None = None,
    network: bool = False,
    guards: Sequence[str] = (),
    kinds: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make an asset with one partition per session from a function.

    The function returns a `Result`; an empty one means that the session has no such data,
    and leaves the partition missing instead of failed. A `DataError` fails the session's
    asset at once: retrying cannot mend data.

    Parameters
    ----------
    group : str
        Group of the asset on the page.
    io_manager_key : str
        Where the asset is stored.
    metadata : mapping
        Definition metadata, read by the IO manager.
    table : Table, optional
        Schema of the stored table.
    network : bool
        Whether the asset talks to the archive: a transient fault is then tried again, up to
        `MAX_RETRIES` times with growing, random waits. Nothing else is. No pool of Dagster
        limits such assets: claiming its slots takes 0.4 CPU-s a session, a quarter of the
        whole, and no more than two sessions are run at a time.
    guards : sequence of str
        Assets further up whose blocking rules must hold: within a run Dagster stops the branch
        itself, but an asset that is materialized alone must not use bad data either.
    kinds : sequence of str
        Labels on the page.
    """
    definition = dict(metadata)
    if table is not None:
        definition |= {"table": table.name, "dagster/column_schema": column_schema(table)}

    def decorate(fn: Callable[..., Any]) -> AssetsDefinition:
        @functools.wraps(fn)
        def compute(context, **inputs: Any) -> Iterator[Output]:
            keep_dask_and_sparse_out()
            store = inputs.pop(_STORE.name, None)
            _require_unblocked(context.partition_key, guards, inputs, store)
            try:
                result = fn(context, **inputs)
            except DataError as error:
                raise Failure(
                    description=_named(error, context.partition_key),
                    metadata={"error_type": type(error).__name__},
                    allow_retries=False,
                ) from error
            except (IblnmError, OSError, ValueError) as error:
                if not (network and _is_transient(error)):
                    raise
                longest_s = inputs["settings"].remote.first_retry_s * 2**context.retry_number
                raise RetryRequested(
                    max_retries=MAX_RETRIES, seconds_to_wait=longest_s * random.random()
                ) from error
            if result.value is None:
                context.log.info(f"nothing to store: {result.note}")
                return
            yield Output(result.value, metadata=_materialisation_metadata(result))

        signature = inspect.signature(fn)
        if guards:
            signature = signature.replace(parameters=[*signature.parameters.values(), _STORE])
        compute.__signature__ = signature
        compute.__annotations__ = {}
        return asset(
            name=fn.__name__,
            description=inspect.getdoc(fn),
            partitions_def=SESSION_PARTITIONS,
            output_required=False,
            io_manager_key=io_manager_key,
            group_name=group,
            metadata=definition,
            kinds=set(kinds),
        )(compute)

    return decorate


def _named(error: DataError, eid: str) -> str:
    return str(error) if error.eid else f"session {eid}: {error}"


def _is_transient(error: Exception) -> bool:
    from iblnm.archive.transient import is_transient

    return is_transient(error)


def _require_unblocked(
    eid: str, guards: Sequence[str], inputs: Mapping[str, Any], store: SessionStore | None
) -> None:
    from iblnm.data.checking import blocking_failures

    for name in guards:
        value = inputs[name] if name in inputs else store.load(name, eid)
        if value is None:
            continue
        for outcome in blocking_failures(name, value, inputs["settings"]):
            raise Failure(
                description=f"stopped by the check {outcome.rule} of {name}: {outcome.message}",
                metadata={"error_type": RULES[outcome.rule].exception.__name__, "blocked": True},
                allow_retries=False,
            )


def _materialisation_metadata(result: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(result.numbers)
    metadata["provenance"] = MetadataValue.json(json.loads(result.provenance.to_json()))
    if result.note:
        metadata["note"] = result.note
    return metadata
