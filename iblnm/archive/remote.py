"""The door to a remote Alyx: every call ends in time, and every fault has a type and a remedy."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from iblnm.constants import LOOPBACK
from iblnm.errors import IblnmError, NotFoundError

if TYPE_CHECKING:
    from iblnm.config import Settings

_HTTP_NOT_FOUND = 404


class Page(list):
    """Records of one answer, and how many there are in all.

    Parameters
    ----------
    records : iterable of dict
    count : int
        Records that match the query; more than are here if they did not fit into one answer.
    """

    def __init__(self, records: Iterable[Any], count: int):
        super().__init__(records)
        self.count = count


def rest(
    one: Any,
    endpoint: str,
    action: str,
    id: str | None = None,
    *,
    max_total_s: float | None = None,
    **params: Any,
) -> Any:
    """Ask Alyx for records.

    Parameters
    ----------
    one : ONE
        Any client in remote mode; of `open_remote` for the deadlines and retries of the
        settings.
    endpoint : str
        For example ``sessions``.
    action : {'list', 'read'}
        'list' gives one answer and never follows its ``next``: rows can be lost between
        pages, so ask by windows for which `Page.count` is no more than the limit.
    id : str, optional
        Identifier of the record to read.
    max_total_s : float, optional
        Limit of all attempts and waits together [s]; default: that of the settings.
    **params
        The query: ``limit``, ``django``, ``subject``, ... A list is joined by commas.

    Returns
    -------
    dict or Page
        A record, or a list of records.

    Raises
    ------
    NotFoundError
        'read': no such record.
    RemoteTimeout, ServerUnreachableError, ServerError
        All kinds of `TransientError`: still so after all attempts.
    AuthenticationError, RemoteError
        Refused; trying again does not help.
    """
    client = one.alyx
    if hasattr(client, "ask"):
        return client.ask(endpoint, action, id, max_total_s=max_total_s, **params)
    return _ask_foreign(client, endpoint, action, id, params)


def open_remote(settings: Settings) -> Any:
    """Connect to the Alyx of the settings and log in.

    Parameters
    ----------
    settings : Settings
        Address, credentials, cache folder and patience.

    Returns
    -------
    ONE
        A client with the methods of ONE; keep one per process. It keeps nothing in the user's
        home, and no answers on disk.

    Raises
    ------
    IblnmError
        Address or credentials are missing.
    AuthenticationError, RemoteError, TransientError
        See `rest`.
    """
    if not settings.alyx_url:
        raise IblnmError("IBLNM_ONE_MODE=remote needs IBLNM_ALYX_URL")
    if settings.alyx_token_file is None and not settings.alyx_password:
        raise IblnmError(
            "IBLNM_ONE_MODE=remote needs IBLNM_ALYX_PASSWORD or IBLNM_ALYX_TOKEN_FILE, and both "
            "are missing or empty"
        )
    if settings.alyx_token_file is None and not settings.alyx_user:
        raise IblnmError("IBLNM_ALYX_PASSWORD needs IBLNM_ALYX_USER")
    for sentence in exposed_credentials(settings):
        warnings.warn(sentence, stacklevel=2)
    from iblnm.archive.remote_one import RemoteOne

    client = RemoteOne(settings)
    client.alyx.authenticate()
    return client


def exposed_credentials(settings: Settings) -> list[str]:
    """What others can read of the credentials: a file that is open to all, a plain connection."""
    found = []
    for name, url in (("ALYX_URL", settings.alyx_url), ("DATA_SERVER", settings.data_server)):
        parts = urlsplit(url or "")
        if parts.scheme == "http" and parts.hostname and parts.hostname not in LOOPBACK:
            found.append(
                f"IBLNM_{name}: {parts.hostname} is asked by plain http, so that all on the way "
                "read password and token; use https"
            )
    file = settings.alyx_token_file
    if file is not None and os.name == "posix" and file.is_file():
        mode = file.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            found.append(
                f"IBLNM_ALYX_TOKEN_FILE: others can read {file}; `chmod 600 {file}` keeps it yours"
            )
    return found


def _ask_foreign(
    client: Any, endpoint: str, action: str, id: str | None, params: dict[str, Any]
) -> Any:
    """The same from a client of the user's own, which knows no deadlines."""
    import requests

    if action == "list":
        answer = client.rest(endpoint, action, no_cache=True, **params)
        # the client's list would fetch what is missing, page by page, when it is gone through
        return Page(answer[: getattr(answer, "limit", None)], len(answer))
    try:
        return client.rest(endpoint, action, id=id, no_cache=True)
    except requests.HTTPError as error:
        if getattr(error.response, "status_code", None) == _HTTP_NOT_FOUND:
            raise NotFoundError(f"GET /{endpoint}/{id}: not found", status=404) from error
        raise
