"""The decorator of cohort assets: run one stage of the cohort, tell what it used."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dagster import AssetsDefinition, Failure, MetadataValue, Output, TableRecord, asset

from iblnm.errors import DataError
from iblnm.schemas import Table
from iblnm.schemas.responses import WideTable
from iblnm_dagster.columns import column_schema

if TYPE_CHECKING:
    from iblnm.data.cohort.result import CohortResult

GROUP = "cohort"
_ACCOUNT_COLUMNS = ["criterion", "n_sessions_removed", "n_sessions", "n_subjects"]


def cohort_asset(
    *, file: str, table: Table | WideTable, deps: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Make an unpartitioned asset from a stage of the cohort.

    Parameters
    ----------
    file : str
        The main table, under ``results/``; the others of the result lie beside it.
    table : Table or WideTable
        Schema of the main table. Assets further down get this table as input.
    deps : sequence of str
        Assets that the stage reads by itself, session by session.

    Notes
    -----
    The function returns a `CohortResult`.
    """

    def decorate(fn: Callable[..., CohortResult]) -> AssetsDefinition:
        @functools.wraps(fn)
        def compute(context, **inputs: Any) -> Iterator[Output]:
            try:
                result = fn(**inputs)
            except DataError as error:
                raise Failure(
                    description=str(error),
                    metadata={"error_type": type(error).__name__},
                    allow_retries=False,
                ) from error
            yield Output(result, metadata=materialisation_metadata(result))

        parameters = list(inspect.signature(fn).parameters.values())
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        compute.__signature__ = inspect.Signature([context, *parameters])
        compute.__annotations__ = {}
        return asset(
            name=fn.__name__,
            description=inspect.getdoc(fn),
            deps=list(deps),
            group_name=GROUP,
            io_manager_key="cohort",
            kinds={"parquet"},
            metadata={
                "file": file,
                "table": table.name,
                "dagster/column_schema": column_schema(table),
            },
        )(compute)

    return decorate


def materialisation_metadata(result: CohortResult) -> dict[str, Any]:
    """What the page shows of a result: counts, headline numbers, selection, notes, choices."""
    metadata: dict[str, Any] = {
        f"{stage} {unit}": number
        for stage, units in result.counts.items()
        for unit, number in units.items()
    }
    metadata |= result.numbers
    metadata |= {f"rows of {stem}": len(table) for stem, table in result.tables.items()}
    metadata["parameters"] = MetadataValue.json(result.parameters)
    if result.notes:
        metadata["notes"] = MetadataValue.md("\n".join(f"* {note}" for note in result.notes))
    if result.removed is not None and len(result.removed):
        rows = result.removed[_ACCOUNT_COLUMNS].astype(object).to_dict("records")
        metadata["selection"] = MetadataValue.table([TableRecord(row) for row in rows])
    return metadata
