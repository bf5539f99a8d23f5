"""The connection to ONE that the settings describe."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from iblnm.archive.own_tables import need_tables
from iblnm.config import get_settings
from iblnm.errors import UnreadableFileError

if TYPE_CHECKING:
    from pathlib import Path

    from iblnm.config import Settings


def connect(settings: Settings) -> Any:
    """Open the archive of the settings.

    Parameters
    ----------
    settings : Settings
        ``one_mode`` 'local' opens the folder `cache_dir`; without a configured folder that
        is the demo archive, which is built first if it is missing. 'remote' connects to
        `alyx_url` with a password or a token file.

    Returns
    -------
    ONE
        A new client; keep one per process.

    Raises
    ------
    MissingFileError
        If the local folder or its tables do not exist.
    IblnmError
        If an address or credentials are missing, or are not accepted; see `open_remote`.
    """
    if settings.one_mode == "remote":
        from iblnm.archive.remote import open_remote

        return open_remote(settings)
    if settings.is_demo:
        from iblnm.demo import ensure_demo

        ensure_demo(settings)
    client = _open_local(settings.cache_dir, need_tables(settings))
    client.revision_before = settings.revision_before
    client.verified_dir = settings.root / ".verified"
    client.file_limits = settings.files
    return client


def _get_default_connection() -> Any:
    """Open the archive of the current settings."""
    return connect(get_settings())


def _open_local(cache_dir: Path, tables: Path) -> Any:
    import pyarrow as pa
    from one.api import One

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="No cache tables found")
        try:
            # the factory ONE() would look up Alyx parameters in the user's home for this folder
            client = One(cache_dir=cache_dir, tables_dir=tables, mode="local")
        except (UserWarning, pa.ArrowException, OSError, KeyError) as error:
            raise UnreadableFileError(
                f"the ONE tables of {tables} cannot be read: {error}",
                path=tables / "sessions.pqt",
            ) from error
    # ONE leaves out a table that is not its own, and no session would have any file
    loaded = client._cache["_meta"]["raw"]
    for name in ("sessions", "datasets"):
        if "date_created" not in loaded.get(name, {}):
            raise UnreadableFileError(
                f"no table of ONE in {tables}: its metadata have no date_created; make it "
                "with one.alf.cache.make_parquet_db, or save it with iblutil.io.parquet.save",
                path=tables / f"{name}.pqt",
            )
    return client
