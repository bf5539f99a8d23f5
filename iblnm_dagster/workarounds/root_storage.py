"""The storage of a root's history: SQLite below it, or PostgreSQL where the settings say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagster import Field, StringSource
from dagster._core.storage.base_storage import DagsterStorage

from iblnm_dagster.history import require_own_history
from iblnm_dagster.workarounds.sqlite_storage import SqliteStorage, folder_of_root


class RootStorage(SqliteStorage):
    """What ``dagster.yaml`` names; it opens one of the two.

    The configuration has the folder of SQLite, and at most the name of the file with the address
    of PostgreSQL, never the address. Without either word on that file, as in the ``dagster.yaml``
    of a root, the settings decide (``IBLNM_PG_URL_FILE``).
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Form of the configuration."""
        return {"base_dir": StringSource, "address_file": Field(StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> DagsterStorage:
        """Open the storage, for plain `dagster` too.

        Raises
        ------
        SettingsError
            If the root has its history elsewhere; see `iblnm_dagster.history`.
        """
        folder = folder_of_root(config_value)
        file = config_value.get("address_file")
        if file is None:
            from iblnm.config import get_settings

            file = get_settings().pg_url_file
        if not file:
            require_own_history(folder)
            return SqliteStorage.from_config_value(inst_data, {"base_dir": str(folder)})
        from iblnm_dagster.workarounds.postgres_storage import PostgresStorage

        storage = PostgresStorage(Path(file), inst_data)
        require_own_history(folder, Path(file), storage.run_storage)
        return storage
