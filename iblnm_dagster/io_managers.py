"""Where assets are stored: session files in HDF5, tables in parquet; nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import (
    DagsterInvariantViolationError,
    InputContext,
    IOManager,
    MetadataValue,
    OutputContext,
    UPathIOManager,
)
from upath import UPath

from iblnm.analysis import registry
from iblnm.config import Settings
from iblnm.errors import IblnmError, MalformedFileError, MissingFileError
from iblnm.pipeline.graph import find_stage, is_stage
from iblnm.pipeline.outcomes import Attempt, Origin, failed_attempt
from iblnm.pipeline.stage import Stage
from iblnm.schemas import TABLES
from iblnm.storage.provenance import Provenance
from iblnm_dagster.migration import outcomes_of

TABLE = "iblnm/input_table"
"""Metadata of an input: the stem of the table of the analysis, if it is not the main one."""


class RefusingIOManager(IOManager):
    """Default of the graph: an asset without a declared place on disk is a mistake."""

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        raise NotImplementedError(
            f"{context.op_def.name} declares no io_manager_key: say where it is stored"
        )

    def load_input(self, context: InputContext) -> Any:
        raise NotImplementedError(f"{context.name} comes from an asset without an io_manager_key")


class _SessionFiles(UPathIOManager):
    """Files keyed by eid, where the asset's stage says."""

    def __init__(self, settings: Settings):
        super().__init__(base_path=UPath(settings.root))
        self._settings = settings
        self._h5_dir = settings.sessions_h5_dir
        self._h5_folder = self._h5_dir.relative_to(settings.root).as_posix()

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store the value, and that it is stored or why not."""
        eid, asset = context.partition_key, context.asset_key.to_user_string()
        outcomes = outcomes_of(context.step_context.instance, self._settings)
        made = _provenance(context)
        origin = Origin(made.made_with, made.made_from, made.digest)
        with outcomes.failures_recorded(eid, asset, origin):
            super().handle_output(context, obj)
        outcomes.record_attempt(Attempt(eid, asset, "stored", origin=origin))

    def load_input(self, context: InputContext) -> Any:
        """Load the value; if it cannot be read, the asset that needs it could not be made."""
        try:
            return super().load_input(context)
        except IblnmError as error:
            self._record_unreadable_input(context, error)
            raise

    def _record_unreadable_input(self, context: InputContext, error: IblnmError) -> None:
        try:
            step = context.step_context
        except DagsterInvariantViolationError:  # loaded by somebody outside of a run
            return
        if is_stage(step.op_def.name):
            (eid,) = context.asset_partition_keys
            outcomes = outcomes_of(step.instance, self._settings)
            attempt = failed_attempt(eid, step.op_def.name, error)
            needed = context.asset_key.to_user_string()
            if isinstance(error, MissingFileError) and not outcomes.is_stored(eid, needed):
                message = f"the session has no {needed} to make it from"
                attempt = Attempt(eid, step.op_def.name, "no data", message=message)
            outcomes.record_attempt(attempt)

    def load_partitions(self, context: InputContext) -> Any:
        """Load one session; whole-cohort tables go through the session store instead."""
        (eid,) = context.asset_partition_keys
        return self.load_from_path(context, self._get_paths_for_partitions(context)[eid])

    def get_asset_relative_path(self, context: InputContext | OutputContext) -> UPath:
        return UPath(_stage_of(context).folder or self._h5_folder)

    def get_path_for_partition(
        self, context: InputContext | OutputContext, path: UPath, partition: str
    ) -> UPath:
        from iblnm.storage.names import validate_eid

        return path / validate_eid(partition)


class SessionParquetIOManager(_SessionFiles):
    """One parquet table per session, replaced whole.

    A stage that declares an ``h5_group`` too is also kept in the session's HDF5 file.
    """

    extension = ".pqt"

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        from iblnm.storage.h5 import write_groups
        from iblnm.storage.parquet import write_table

        stage, provenance = _stage_of(context), _provenance(context)
        write_table(obj, Path(path), stage.table, provenance)
        if stage.h5_group is not None:
            write_groups(self._h5_dir / f"{path.stem}.h5", {stage.h5_group: obj}, provenance)

    def load_from_path(self, context: InputContext, path: UPath) -> Any:
        from iblnm.storage.recent import read_recent

        table = read_recent(Path(path), _stage_of(context).table)
        if table.empty:
            raise MalformedFileError("0 rows: materialize it again", path=path.name)
        return table


class SessionH5IOManager(_SessionFiles):
    """One group of the session's HDF5 file, in an atomic rewrite of the file."""

    extension = ".h5"

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        from iblnm.storage.h5 import write_groups

        write_groups(Path(path), {_stage_of(context).h5_group: obj}, _provenance(context))

    def load_from_path(self, context: InputContext, path: UPath) -> Any:
        from iblnm.storage.h5 import list_groups, read_group

        group = _stage_of(context).h5_group
        if group not in list_groups(Path(path)):
            raise MissingFileError(f"{group} is not stored: materialize it first", path=path.name)
        return read_group(Path(path), group)


class SessionPageIOManager(_SessionFiles):
    """One HTML page per session, replaced whole."""

    extension = ".html"

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        from iblnm.viewer.report import save_report

        save_report(obj, Path(path))

    def load_from_path(self, context: InputContext, path: UPath) -> Any:
        return Path(path).read_text(encoding="utf-8")


class TableIOManager(IOManager):
    """A table over all sessions: one parquet file at the path the asset declares."""

    def __init__(self, settings: Settings):
        self._root = settings.root

    def _path(self, context: InputContext | OutputContext) -> Path:
        return self._root / _metadata_of(context)["file"]

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        from iblnm.storage.digest import value_digest
        from iblnm.storage.parquet import write_table

        path = self._path(context)
        table = _table_of(context)
        write_table(obj, path, table, Provenance(digest=value_digest(obj)))
        context.add_output_metadata(
            {"path": MetadataValue.path(str(path)), "dagster/row_count": len(obj)}
        )

    def load_input(self, context: InputContext) -> Any:
        from iblnm.storage.parquet import read_table

        return _table_of(context).restore(read_table(self._path(context)))


class CohortIOManager(IOManager):
    """The tables of an analysis under ``results/``; as input its main table, or a named one."""

    def __init__(self, settings: Settings):
        self._root = settings.root
        self._settings = settings

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        from iblnm.analysis.result import write_result
        from iblnm.analysis.staleness import made_from
        from iblnm.pipeline.versions import made_with

        declared = registry.analysis(context.asset_key.to_user_string())
        path = self._root / declared.files[declared.main]
        outcomes = outcomes_of(context.step_context.instance, self._settings)
        paths = write_result(
            obj,
            path.parent,
            declared.tables,
            made_with=made_with(declared, self._settings),
            made_from=made_from(declared, self._settings, outcomes),
        )
        files = "\n".join(f"* `{written}`" for written in paths.values())
        context.add_output_metadata(
            {
                "files": MetadataValue.md(files),
                "dagster/row_count": len(obj.tables[path.stem]),
            }
        )

    def load_input(self, context: InputContext) -> Any:
        from iblnm.storage.parquet import read_table

        declared = registry.analysis(context.asset_key.to_user_string())
        stem = (context.definition_metadata or {}).get(TABLE, declared.main)
        path = self._root / declared.files[stem]
        if not path.exists():
            raise MissingFileError(
                f"not made yet: materialize {context.asset_key.to_user_string()} first", path=path
            )
        return declared.tables[stem].restore(read_table(path))


def _table_of(context: InputContext | OutputContext) -> Any:
    name = _metadata_of(context)["table"]
    if name in TABLES:
        return TABLES[name]
    from iblnm.layers.tables import catalog_tables

    return catalog_tables()[name]


def _stage_of(context: InputContext | OutputContext) -> Stage:
    return find_stage(context.asset_key.path[-1])


def _metadata_of(context: InputContext | OutputContext) -> dict[str, Any]:
    if isinstance(context, InputContext) and context.upstream_output is not None:
        return dict(context.upstream_output.definition_metadata or {})
    return dict(context.definition_metadata or {})


def _provenance(context: OutputContext) -> Provenance:
    value = context.output_metadata.get("provenance")
    if value is None:
        return Provenance()
    return Provenance.from_content(getattr(value, "value", value))
