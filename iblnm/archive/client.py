"""The REST client of ONE, with every remote call under a deadline.

The library's own client waits without end, keeps tokens in files of the user's home that
parallel processes spoil, and answers from a stale cache when the server is down. Its public
methods stay. Imported inside functions only: ONE is heavy.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import requests
from iblutil.io.params import from_dict
from one.webclient import AlyxClient
from pydantic import SecretStr

from iblnm.archive.remote import Page
from iblnm.archive.transport import Call, Transport
from iblnm.config import Settings
from iblnm.errors import (
    AuthenticationError,
    IblnmError,
    MissingFileError,
    NotFoundError,
    RemoteError,
    UnreadableFileError,
)
from iblnm.io.text import read_text
from iblnm.storage.atomic import write_whole

_READ_ACTIONS = ("list", "read")
_TOKEN = re.compile(r"[!-~]+")
_ENDPOINT = re.compile(r"[\w-]+")


class Client(AlyxClient):
    """REST client with deadlines, retries and typed errors.

    Parameters
    ----------
    settings : Settings
        With address and credentials. Nothing is asked until the first call.
    """

    def __init__(self, settings: Settings):
        # not the base class: it reads and writes parameter files in the user's home
        self._settings = settings
        self.base_url = str(settings.alyx_url).rstrip("/")
        self.silent = True
        self.user = settings.alyx_user
        self.cache_mode = None
        self.default_expiry = timedelta(0)
        self._rest_schemes = None
        self._obj_id = id(self)
        self._par = from_dict(
            {
                "ALYX_URL": self.base_url,
                "ALYX_LOGIN": settings.alyx_user or "",
                "HTTP_DATA_SERVER": settings.data_server.rstrip("/"),
                "HTTP_DATA_SERVER_LOGIN": settings.data_user,
                "HTTP_DATA_SERVER_PWD": None,
                "CACHE_DIR": str(settings.cache_dir),
            }
        )
        self.rest_cache_dir = settings.cache_dir / ".rest"
        self._headers = dict(self._base_headers)
        self._token: dict[str, str] | None = None
        self._login = threading.Lock()
        self._transport = Transport(settings.remote, self._secrets)

    @property
    def is_logged_in(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    @property
    def clock_ahead_s(self) -> float | None:
        """By how much Alyx's clock is ahead of this machine's; see `Transport`."""
        return self._transport.clock_ahead_s

    def authenticate(self, *_: Any, force: bool = False, **__: Any) -> None:
        """Log in with the credentials of the settings, unless that was done.

        Parameters
        ----------
        force : bool
            Also if there is a token.

        Raises
        ------
        AuthenticationError
            The credentials were refused.
        MissingFileError, UnreadableFileError
            The token file is missing or empty.
        """
        with self._login:
            if self._token is None or force:
                self._log_in()

    def logout(self) -> None:
        """Forget the token."""
        self._token = None
        self._headers.pop("Authorization", None)

    def ask(
        self,
        endpoint: str,
        action: str,
        id: str | None = None,
        *,
        max_total_s: float | None = None,
        **params: Any,
    ) -> Any:
        """Records of Alyx; see `iblnm.archive.remote.rest`."""
        if action not in _READ_ACTIONS:
            raise ValueError(f"action {action!r}: only 'list' and 'read' are asked")
        if action == "read":
            path = f"/{endpoint}/{quote(str(id), safe='')}"
            return self._send("GET", path, max_total_s=max_total_s)
        query = {name: _joined(value) for name, value in params.items()}
        path = f"/{endpoint}?{urlencode(query)}" if query else f"/{endpoint}"
        answer = self._send("GET", path, max_total_s=max_total_s)
        if isinstance(answer, dict) and "results" in answer:
            return Page(answer["results"], int(answer["count"]))
        if isinstance(answer, list):
            return Page(answer, len(answer))
        raise RemoteError(f"GET /{endpoint}: a list was expected, not {str(answer)[:50]!r}")

    def download(self, url: str, path: Path, *, size: int | None = None) -> str:
        """Download a file and give its md5; `path` is overwritten."""
        settings = self._settings
        auth = None
        if settings.data_user and settings.data_password and _is_within(url, settings.data_server):
            auth = (settings.data_user, settings.data_password)
        parts = urlsplit(url, allow_fragments=False)
        # revisions are folders named #...#, which an address would take for a fragment
        address = parts._replace(path=quote(parts.path, safe="/%")).geturl()
        name = parts.path.rstrip("/").rpartition("/")[2]
        call = Call("GET", address, f"download of {name}", {}, auth=auth)
        try:
            return self._transport.download(call, path, size=size)
        except AuthenticationError as error:
            raise AuthenticationError(
                f"{error}; set IBLNM_DATA_SERVER, IBLNM_DATA_USER and IBLNM_DATA_PASSWORD",
                status=error.status,
            ) from None

    def download_file(self, url: str | Iterable[str], **kwargs: Any) -> Any:
        """Download files, as the library's own methods ask for them."""
        if not isinstance(url, str):
            folders = kwargs.pop("target_dir", None)
            urls = list(url)
            folders = [folders] * len(urls) if not isinstance(folders, list) else folders
            pairs = zip(urls, folders, strict=True)
            files = [self.download_file(u, target_dir=f, **kwargs) for u, f in pairs]
            return tuple(zip(*files, strict=True)) if kwargs.get("return_md5") else files
        path = Path(kwargs.get("target_dir") or self.cache_dir) / url.rpartition("/")[2]
        with write_whole(path) as temporary:
            md5 = self.download(url, temporary)
        return (path, md5) if kwargs.get("return_md5") else path

    def download_cache_tables(self, *_: Any, **__: Any) -> list[Path]:
        """Not offered: sessions are asked one by one."""
        raise IblnmError("the tables of all sessions are not downloaded; ask Alyx by `rest`")

    def _generic_request(
        self, reqfunction: Any, rest_query: str, data: Any = None, files: Any = None, **_: Any
    ) -> Any:
        """What the library's own methods send; its errors for what it handles itself."""
        if files is not None:
            raise IblnmError("no files are sent to Alyx")
        path = "/" + rest_query.removeprefix(self.base_url).lstrip("/")
        headers = {}
        if path.startswith("/api/schema"):
            headers = {"Accept": "application/vnd.oai.openapi+json", "Accept-Version": "3.0"}
        elif path.startswith("/docs"):
            headers = {"Accept": "application/coreapi+json"}
        text = json.dumps(data, default=str) if isinstance(data, dict | list) else data
        try:
            return self._send(reqfunction.__name__.upper(), path, data=text, headers=headers)
        except NotFoundError as error:
            response = requests.Response()
            response.status_code = requests.codes.not_found
            raise requests.HTTPError(str(error), response=response) from None

    def rest(self, url: Any = None, action: Any = None, id: Any = None, **kwargs: Any) -> Any:
        """As in the library; reading does not fetch the description of all endpoints first."""
        if isinstance(url, str) and _ENDPOINT.fullmatch(url) and action in _READ_ACTIONS:
            for name in ("no_cache", "expires", "data", "files"):
                kwargs.pop(name, None)
            if action == "list" and id is not None:
                return list(self.ask(url, "list", django=f"pk,{id}", **kwargs))
            if action == "read" and id is not None:
                try:
                    return self.ask(url, "read", str(id).rstrip("/").rpartition("/")[2])
                except NotFoundError as error:
                    response = requests.Response()
                    response.status_code = requests.codes.not_found
                    raise requests.HTTPError(str(error), response=response) from None
        return super().rest(url, action, id, **kwargs)

    def _send(
        self,
        method: str,
        path: str,
        *,
        data: str | None = None,
        headers: dict[str, str] | None = None,
        max_total_s: float | None = None,
    ) -> Any:
        label = f"{method} {path.partition('?')[0]}"
        if not self.is_logged_in:
            self.authenticate()
        used = self._token
        try:
            return self._request(method, path, label, data, headers, max_total_s)
        except AuthenticationError:
            self._renew(used)
        try:
            return self._request(method, path, label, data, headers, max_total_s)
        except AuthenticationError as error:
            after = "" if self._settings.alyx_token_file else ", also after a new login"
            message = f"{error}{after}: {self._remedy()}"
            raise AuthenticationError(message, status=error.status) from None

    def _request(
        self,
        method: str,
        path: str,
        label: str,
        data: str | None,
        headers: dict[str, str] | None,
        max_total_s: float | None,
    ) -> Any:
        sent = {**self._headers, "Content-Type": "application/json", **(headers or {})}
        call = Call(method, self.base_url + path, label, sent, data)
        return self._exchange(call, max_total_s)

    def _exchange(self, call: Call, max_total_s: float | None = None) -> Any:
        try:
            return self._transport.json(call, max_total_s=max_total_s)
        except RemoteError as error:
            path = urlsplit(self.base_url).path
            if error.status != requests.codes.forbidden or not path:
                raise
            hint = f"check also that IBLNM_ALYX_URL has no path: {path} is one"
            raise type(error)(f"{error}; {hint}", status=error.status) from None

    def _renew(self, refused: dict[str, str] | None) -> None:
        with self._login:
            if self._token == refused:  # else another thread has renewed it meanwhile
                self._log_in()

    def _log_in(self) -> None:
        settings = self._settings
        if settings.alyx_token_file is not None:
            token = _read_token(settings.alyx_token_file)
        else:
            token = self._fetch_token()
        self._token = {"token": token}
        self._headers = {**self._base_headers, "Authorization": f"Token {token}"}

    def _fetch_token(self) -> str:
        settings = self._settings
        credentials = {
            "username": settings.alyx_user,
            "password": settings.alyx_password.get_secret_value(),
        }
        headers = {"Accept": "application/json"}
        call = Call("POST", f"{self.base_url}/auth-token", "login", headers, credentials)
        try:
            answer = self._exchange(call)
        except NotFoundError as error:
            raise RemoteError(
                f"{error}; is IBLNM_ALYX_URL the address of an Alyx server?", status=error.status
            ) from None
        except RemoteError as error:
            if error.status not in (400, 401, 403):
                raise
            raise AuthenticationError(
                f"{error} (user {settings.alyx_user!r}): {self._remedy()}", status=error.status
            ) from None
        token = answer.get("token") if isinstance(answer, dict) else None
        if not token or not isinstance(token, str):
            raise RemoteError(f"login: {self.base_url} gave no token; is it an Alyx server?")
        return token

    def _remedy(self) -> str:
        file = self._settings.alyx_token_file
        if file is None:
            return "check IBLNM_ALYX_USER and IBLNM_ALYX_PASSWORD"
        return (
            f"put the token that {self.base_url}/auth-token gives for your user and password into "
            f"{file} (IBLNM_ALYX_TOKEN_FILE)"
        )

    def _secrets(self) -> list[str]:
        settings = self._settings
        passwords: list[SecretStr | None] = [settings.alyx_password, settings.data_password]
        users = [settings.alyx_user, settings.data_user]
        pairs = [
            (user, value.get_secret_value())
            for user, value in zip(users, passwords, strict=True)
            if value is not None
        ]
        # as a server may echo the header of basic authentication
        basic = [base64.b64encode(f"{user}:{word}".encode()).decode() for user, word in pairs]
        return [*basic, *(word for _, word in pairs), *(self._token or {}).values()]

    def __repr__(self) -> str:
        return f"Client({self.base_url}, user {self.user})"


def _joined(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _is_within(url: str, server: str) -> bool:
    return url == server or url.startswith(server.rstrip("/") + "/")


def _read_token(path: Path) -> str:
    known_as = f"{path} (IBLNM_ALYX_TOKEN_FILE)"
    try:
        token = read_text(path).strip()
    except MissingFileError as error:
        raise MissingFileError(f"no such token file: {known_as}", path=path) from error
    except UnreadableFileError as error:
        message = f"the token file cannot be read: {known_as}: {error.message}"
        raise UnreadableFileError(message, path=path) from error
    if not token:
        raise UnreadableFileError(f"the token file is empty: {known_as}", path=path)
    if not _TOKEN.fullmatch(token):
        message = f"the token file does not hold a token, which is one word: {known_as}"
        raise UnreadableFileError(message, path=path)
    return token
