"""Which history a root has: two that take turns would each make the tables of its own runs."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from iblnm.config import Settings
from iblnm.errors import SettingsError
from iblnm.storage.atomic import locked, write_whole
from iblnm.storage.postgres import VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from dagster import DagsterInstance

_KEY = "iblnm/history"


def require_own_history(
    settings: Settings, folder: Path, instance: DagsterInstance | None
) -> None:
    """See to it that the history of the settings is the one that the root has.

    A root that has its history in SQLite may begin one in PostgreSQL. From then on the root
    names that database by a number that is also in the database, for machines may have several
    names for one server.

    Parameters
    ----------
    settings : Settings
    folder : Path
        Where the root keeps what Dagster needs.
    instance : DagsterInstance or None
        With its history in PostgreSQL; None if the settings have it in SQLite.

    Raises
    ------
    SettingsError
        If the root has another history, in PostgreSQL.
    """
    path = folder / "history.json"
    recorded = _read(path)
    if instance is None:
        if recorded is not None:
            raise SettingsError(_told(settings, path, f"{VARIABLE} is not set"))
        return
    storage = instance.run_storage
    found = storage.get_cursor_values({_KEY}).get(_KEY)
    if recorded is None:
        with locked(path):  # of several that begin at once, one gives the number
            recorded = _read(path)
            found = storage.get_cursor_values({_KEY}).get(_KEY)
            if recorded is None:
                recorded = found or uuid.uuid4().hex
                storage.set_cursor_values({_KEY: recorded})
                with write_whole(path) as temporary:
                    temporary.write_text(json.dumps({"history": recorded}) + "\n")
                return
    if found != recorded:
        raise SettingsError(
            _told(settings, path, f"{settings.pg_url_file} ({VARIABLE}) is the address of another")
        )


def _read(path: Path) -> str | None:
    try:
        return json.loads(path.read_text())["history"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path} cannot be read: delete it if there is one history") from None


def _told(settings: Settings, path: Path, now: str) -> str:
    return (
        f"the history of {settings.root} is in a PostgreSQL database, and {now}: name the first "
        f"one there, or choose another root (IBLNM_ROOT). If that database is gone, delete {path}"
    )
