"""Copies chosen sessions of a remote Alyx, so that they can be worked with off line.

Records are written beside the ALF tree, ``.alyx/<endpoint>/<id>.json``, each in the shape of
the REST detail; the tables of ONE are brought up to date, so that local mode opens the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from iblnm.archive.cache_tables import update_cache_tables
from iblnm.archive.journal import Journal
from iblnm.archive.mirror_copy import NEEDED, Copy, MirrorReport
from iblnm.archive.sessions import list_sessions
from iblnm.errors import ArchiveMismatchError, IblnmError
from iblnm.storage.atomic import locked, write_whole

__all__ = ["NEEDED", "MirrorReport", "choose_sessions", "mirror_sessions"]
RESUME_WITHIN_S = 24 * 3600.0
_STAMP_OF_THE_DEMO = "demo.json"
_LOCK_TIMEOUT_S = 5.0

Progress = Callable[[int, int], None]


def choose_sessions(one: Any, project: str | None, since: date | None = None) -> list[str]:
    """Sessions of a project, in order of their start.

    Parameters
    ----------
    one : ONE
    project : str or None
        Exact name; None for all.
    since : date, optional
        Only those that started on this day or later.
    """
    table = list_sessions(one, project)
    if since is not None:
        table = table[table["date"].fillna("") >= since.isoformat()]
    return table["eid"].tolist()


def mirror_sessions(
    one: Any,
    eids: Sequence[str],
    folder: Path | str,
    *,
    datasets: bool = False,
    progress: Progress | None = None,
    resume_within_s: float = RESUME_WITHIN_S,
) -> MirrorReport:
    """Copy sessions into a folder that local mode opens.

    Every file is written whole. What was finished is noted in ``.alyx/mirror.jsonl`` until the
    end: the same call after an interruption goes on where it was and asks nothing twice. A call
    after a complete one asks for all records again and rewrites those that changed.

    Parameters
    ----------
    one : ONE
        Client of `iblnm.archive.remote.open_remote`.
    eids : sequence of str
    folder : Path
        Root of the archive; other sessions in it stay.
    datasets : bool
        Also the files that the pipeline opens (`NEEDED`), each with the size and hash that
        Alyx records; those that are there and intact are not fetched again.
    progress : callable, optional
        Called with the number of sessions done and in total.
    resume_within_s : float
        An older interrupted run is begun anew: its records may have changed.

    Returns
    -------
    MirrorReport

    Raises
    ------
    ArchiveMismatchError
        If the folder holds the simulated archive or the records of another server.
    TransientError, RemoteError
        If the server cannot be reached or refuses, see `iblnm.archive.remote.rest`; a failure of
        the server for single sessions is theirs.
    """
    folder = Path(folder)
    server = _public(one.alyx.base_url)
    _require_own(folder, server)
    with locked(folder / ".alyx" / "mirror", timeout_s=_LOCK_TIMEOUT_S):
        journal = Journal(
            folder / ".alyx" / "mirror.jsonl", f"mirror of {server}", max_age_s=resume_within_s
        )
        with journal:
            copy = Copy(one, folder, journal)
            for done, eid in enumerate(eids, start=1):
                copy.session(eid, datasets)
                if progress is not None:
                    progress(done, len(eids))
            copy.require_server()
            details = (copy.detail(eid) for eid in copy.report.eids)
            update_cache_tables(folder, details, server)
        journal.complete()
    return copy.report


def _public(address: str) -> str:
    """An address without user and password, which must not be written anywhere."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _require_own(folder: Path, server: str) -> None:
    if (folder / _STAMP_OF_THE_DEMO).exists():
        raise ArchiveMismatchError(
            f"{folder} holds the simulated archive; choose another folder (IBLNM_ONE_CACHE_DIR "
            "or --to)"
        )
    path = folder / ".alyx" / "mirror.json"
    if not path.is_file():
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps({"server": server}) + "\n")
        return
    try:
        known = json.loads(path.read_text())["server"]
    except (ValueError, KeyError, TypeError) as error:
        raise IblnmError(f"{path} is no record of a mirror ({error})") from error
    if known != server:
        raise ArchiveMismatchError(
            f"{folder} mirrors {known}, not {server}; choose another folder (IBLNM_ONE_CACHE_DIR "
            "or --to)"
        )
