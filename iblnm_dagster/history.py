"""Which history a root has: two that take turns would each make the tables of its own runs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from iblnm.errors import SettingsError
from iblnm.storage.atomic import locked, write_whole
from iblnm.storage.postgres import VARIABLE

if TYPE_CHECKING:
    from dagster._core.storage.runs import RunStorage

_KEY = "iblnm/history"


def require_own_history(
    folder: Path, address_file: Path | None = None, runs: RunStorage | None = None
) -> None:
    """See to it that the history that is opened is the one that the root has.

    A root that has its history in SQLite may begin one in PostgreSQL. From then on the root
    names that database by a number that is also in the database, for machines may have several
    names for one server.

    Parameters
    ----------
    folder : Path
        Where the root keeps what Dagster needs.
    address_file, runs : Path and RunStorage, optional
        The file with the address of PostgreSQL, and the runs there; neither for SQLite.

    Raises
    ------
    SettingsError
        If the root has another history, in PostgreSQL.
    """
    path = folder / "history.json"
    recorded = _read(path)
    if runs is None:
        if recorded is not None:
            raise SettingsError(_told(path, f"{VARIABLE} is not set"))
        return
    found = runs.get_cursor_values({_KEY}).get(_KEY)
    if recorded is None:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(path):  # of several that begin at once, one gives the number
            recorded = _read(path)
            found = runs.get_cursor_values({_KEY}).get(_KEY)
            if recorded is None:
                recorded = found or uuid.uuid4().hex
                runs.set_cursor_values({_KEY: recorded})
                with write_whole(path) as temporary:
                    temporary.write_text(json.dumps({"history": recorded}) + "\n")
                return
    if found != recorded:
        raise SettingsError(_told(path, f"{address_file} ({VARIABLE}) is the address of another"))


def _read(path: Path) -> str | None:
    try:
        return json.loads(path.read_text())["history"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path} cannot be read: delete it if there is one history") from None


def _told(path: Path, now: str) -> str:
    return (
        f"the history of {path.parent.parent} is in a PostgreSQL database, and {now}: name the "
        f"first one there, or choose another root (IBLNM_ROOT). If that database is gone, delete "
        f"{path}"
    )
