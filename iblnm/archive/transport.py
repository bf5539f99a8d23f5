"""Calls to a server that end in a given time, are tried again where that helps, and say why not.

Imported inside functions only: requests is heavy.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from iblnm.archive.deadline import Deadline, deadline_session, within
from iblnm.config import RemoteSettings
from iblnm.errors import (
    AuthenticationError,
    MalformedFileError,
    NotFoundError,
    RemoteError,
    RemoteTimeout,
    ServerError,
    ServerUnreachableError,
    TransientError,
)

_CHUNK_BYTES = 1 << 20
_DETAIL_CHARACTERS = 200
# what may take any time has to be faster
_UNRECORDED_RATE = 10.0
_TRANSIENT_STATUS = frozenset({408, 425, 429})
_ADDRESS_REMEDY = (
    "is IBLNM_ALYX_URL the address of an Alyx server, like https://alyx.example.org, without "
    "a further path?"
)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Call:
    """One request.

    Parameters
    ----------
    method, url : str
    label : str
        What the messages call it, for example ``GET /sessions``.
    headers : mapping
    data : str or mapping, optional
        Body: JSON text, or the fields of a form.
    auth : tuple, optional
        User and password of HTTP basic authentication.
    """

    method: str
    url: str
    label: str
    headers: Mapping[str, str] = field(repr=False)
    data: Any = field(default=None, repr=False)
    auth: tuple[str, SecretStr] | None = None


class Transport:
    """Sends calls.

    Parameters
    ----------
    patience : RemoteSettings
    secrets : callable
        Gives the texts that must never be in a message.

    Attributes
    ----------
    clock_ahead_s : float or None
        By how much the clock of the server that answers in JSON was last ahead of this
        machine's, by the date of its answers and whatever its time zone [s].
    """

    def __init__(self, patience: RemoteSettings, secrets: Callable[[], Sequence[str]]):
        self._patience = patience
        self._secrets = secrets
        self._sessions: dict[int, requests.Session] = {}
        self.clock_ahead_s: float | None = None
        # processes that start together must not try again together, so no common seed
        self._jitter = random.SystemRandom()

    def json(self, call: Call, *, max_total_s: float | None = None) -> Any:
        """The JSON that a call answers; None for an empty answer (HTTP 204).

        Parameters
        ----------
        call : Call
        max_total_s : float, optional
            Limit of all attempts and waits; default: that of the settings.

        Raises
        ------
        TransientError
            Still after all attempts: `RemoteTimeout`, `ServerUnreachableError`, `ServerError`.
        RemoteError
            The server refused: `AuthenticationError`, `NotFoundError`, other HTTP 4xx.
        MalformedFileError
            The answer is longer than ``RemoteSettings.max_answer_bytes``, decompressed.
        """
        total_s = self._patience.max_total_s if max_total_s is None else max_total_s
        return self._try(call, lambda left_s: self._read_json(call, left_s), total_s)

    def download(self, call: Call, path: Path, *, size: int | None) -> str:
        """Write the body of an answer to a file.

        Parameters
        ----------
        call : Call
        path : Path
            Overwritten.
        size : int, optional
            Expected size [bytes]: the longer it is the longer it may take, and no more than
            that is read. Without it the limit is ``RemoteSettings.max_unrecorded_bytes``.

        Returns
        -------
        str
            md5 of what was written.

        Raises
        ------
        TransientError, RemoteError
            See `json`.
        MalformedFileError
            There is no expected size, and the file is longer than the limit.
        """
        total_s = self._patience.max_total_s + (size or 0) / self._patience.min_bytes_per_s
        return self._try(call, lambda left_s: self._save(call, path, size, left_s), total_s)

    def redact(self, text: str) -> str:
        """The text without passwords and tokens."""
        for secret in self._secrets():
            if secret:
                text = text.replace(secret, "***")
        return text

    def _try(self, call: Call, attempt: Callable[[float], _T], total_s: float) -> _T:
        started = time.monotonic()
        patience = self._patience
        for n in range(1, patience.max_attempts + 1):
            left_s = total_s - (time.monotonic() - started)
            try:
                return attempt(left_s)
            except TransientError as error:
                backoff = min(patience.max_backoff_s, patience.first_backoff_s * 2 ** (n - 1))
                wait_s = backoff * self._jitter.uniform(0.5, 1.0)
                wait_s = max(wait_s, getattr(error, "retry_after_s", None) or 0.0)
                spent_s = time.monotonic() - started
                if n == patience.max_attempts or spent_s + wait_s >= total_s:
                    times = "once" if n == 1 else f"{n} times"
                    message = f"{error} (tried {times}, {spent_s:.1f} s in all)"
                    raise type(error)(message) from None
            time.sleep(wait_s)
        raise RemoteTimeout(f"{call.label}: no attempt is allowed (IBLNM_REMOTE__MAX_ATTEMPTS)")

    def _read_json(self, call: Call, left_s: float) -> Any:
        deadline = self._deadline(min(self._patience.deadline_s, left_s))

        def read(response: requests.Response) -> bytes:
            when = _moment(response.headers.get("Date", ""))
            if when is not None:
                self.clock_ahead_s = (when - datetime.now(UTC)).total_seconds()
            return self._body(call, response)

        response, body = self._exchange(call, deadline, read)
        self._require_success(call, response, body)
        if response.status_code == requests.codes.no_content:
            return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            kind = "HTML" if _is_html(response, body) else "something else"
            message = f"{call.label}: the answer of {_host(call)} is {kind}, not JSON; "
            raise ServerError(message + _ADDRESS_REMEDY) from None

    def _save(self, call: Call, path: Path, size: int | None, left_s: float) -> str:
        import hashlib

        digest = hashlib.md5(usedforsecurity=False)

        def save(response: requests.Response) -> bytes:
            if not response.ok:
                return self._body(call, response)
            n_bytes = 0
            with path.open("wb") as file:
                # the file as it is, even if a server names an encoding for it
                for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    digest.update(chunk)
                    n_bytes += len(chunk)
                    if size is not None and n_bytes > size:
                        break
                    if size is None and n_bytes > patience.max_unrecorded_bytes:
                        raise _too_long(
                            call, patience.max_unrecorded_bytes, "MAX_UNRECORDED_BYTES"
                        )
            return b""

        patience = self._patience
        rate = patience.min_bytes_per_s * (1 if size is not None else _UNRECORDED_RATE)
        deadline = self._deadline(min(patience.deadline_s, left_s), rate)
        response, body = self._exchange(call, deadline, save, follow=True)
        self._require_success(call, response, body)
        return digest.hexdigest()

    def _body(self, call: Call, response: requests.Response) -> bytes:
        """All of an answer, unless it grows without end when it is decompressed."""
        limit = self._patience.max_answer_bytes
        parts, n_bytes = [], 0
        for part in response.iter_content(_CHUNK_BYTES):
            parts.append(part)
            n_bytes += len(part)
            if n_bytes > limit:
                raise _too_long(call, limit, "MAX_ANSWER_BYTES")
        return b"".join(parts)

    def _deadline(self, seconds: float, min_bytes_per_s: float = float("inf")) -> Deadline:
        patience = self._patience
        return Deadline(
            seconds, patience.connect_timeout_s, patience.stall_timeout_s, min_bytes_per_s
        )

    def _exchange(
        self,
        call: Call,
        deadline: Deadline,
        read: Callable[[requests.Response], bytes],
        *,
        follow: bool = False,
    ) -> tuple[requests.Response, bytes]:
        patience = self._patience
        try:
            with (
                within(deadline),
                self._session().request(
                    call.method,
                    call.url,
                    headers=dict(call.headers),
                    data=call.data,
                    auth=_Auth(call),
                    stream=True,
                    allow_redirects=follow,
                    timeout=(patience.connect_timeout_s, patience.stall_timeout_s),
                ) as response,
            ):
                return response, read(response)
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            message = f"{call.label}: {call.url!r} is no address of a server; {_ADDRESS_REMEDY}"
            raise RemoteError(self.redact(message)) from error
        except requests.exceptions.SSLError as error:
            raise RemoteError(
                f"{call.label}: no trusted connection to {_host(call)} ({_reason(error)}); if its "
                "certificate is your institute's own, set REQUESTS_CA_BUNDLE"
            ) from None
        # the file of a download can fail too, with an OSError that is not of the network
        except (requests.RequestException, HTTPError, HTTPException, TimeoutError) as error:
            raise self._network_error(call, deadline, error) from None

    def _network_error(self, call: Call, deadline: Deadline, error: Exception) -> TransientError:
        reason = self.redact(_reason(error))
        is_unreachable = isinstance(error, requests.exceptions.ConnectTimeout)
        if deadline.left_s <= 0 and not is_unreachable:
            return RemoteTimeout(
                f"{call.label}: no complete answer of {_host(call)} within "
                f"{deadline.seconds:g} s (IBLNM_REMOTE__DEADLINE_S): the server or the network "
                "is overloaded or hangs; try again later"
            )
        is_silent = isinstance(error, requests.Timeout) or "timed out" in reason.lower()
        if is_unreachable or (deadline.received == 0 and not is_silent):
            return ServerUnreachableError(
                f"{call.label}: no connection to {_host(call)} ({reason}): is IBLNM_ALYX_URL "
                "right, the network up, and the VPN, if it needs one?"
            )
        if is_silent:
            return RemoteTimeout(
                f"{call.label}: {_host(call)} was silent for longer than "
                f"{deadline.stall_s:g} s (IBLNM_REMOTE__STALL_TIMEOUT_S)"
            )
        return ServerError(f"{call.label}: the answer of {_host(call)} broke off ({reason})")

    def _require_success(self, call: Call, response: requests.Response, body: bytes) -> None:
        status = response.status_code
        if status < requests.codes.multiple_choices:
            return
        prefix = f"{call.label}: {_host(call)} answered HTTP {status}"
        if status < requests.codes.bad_request:
            target = urlsplit(response.headers.get("Location", ""))
            raise RemoteError(
                f"{prefix}, the server has moved: set IBLNM_ALYX_URL to "
                f"{target.scheme}://{target.hostname}",
                status=status,
            )
        is_html = _is_html(response, body)
        detail = "" if is_html else self.redact(_detail(body))
        message = f"{prefix}: {detail}" if detail else prefix
        if status in _TRANSIENT_STATUS or status >= requests.codes.internal_server_error:
            raise ServerError(message, retry_after_s=_retry_after(response))
        about_credentials = "token" in detail.lower() or "credentials" in detail.lower()
        if status == requests.codes.unauthorized or (
            status == requests.codes.forbidden and about_credentials
        ):
            raise AuthenticationError(message, status=status)
        if status == requests.codes.forbidden:
            message += "; ask the administrator of Alyx for access"
            raise RemoteError(message, status=status)
        if status == requests.codes.not_found and not is_html:
            raise NotFoundError(message, status=status)
        if is_html:
            message += f" with a page in HTML; {_ADDRESS_REMEDY}"
        raise RemoteError(message, status=status)

    def _session(self) -> requests.Session:
        # a process that was forked must not share a connection with its parent
        pid = os.getpid()
        if pid not in self._sessions:
            self._sessions[pid] = deadline_session()
        return self._sessions[pid]


class _Auth(requests.auth.AuthBase):
    """Sets exactly the credentials of the call: requests would take others from ~/.netrc."""

    def __init__(self, call: Call):
        self._call = call

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._call.auth is not None:
            user, password = self._call.auth
            return requests.auth.HTTPBasicAuth(user, password.get_secret_value())(request)
        return request


def _too_long(call: Call, limit: int, setting: str) -> MalformedFileError:
    return MalformedFileError(
        f"{call.label}: the answer of {_host(call)} is longer than {limit} bytes "
        f"(IBLNM_REMOTE__{setting})"
    )


def _host(call: Call) -> str:
    parts = urlsplit(call.url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _reason(error: BaseException) -> str:
    """The innermost reason of an error of requests, without addresses of objects."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = getattr(error, "strerror", None) or str(error)
    return re.sub(r"^\w+\(.*?\): |^<.*?>: ", "", text) or type(error).__name__


def _is_html(response: requests.Response, body: bytes) -> bool:
    kind = response.headers.get("Content-Type", "")
    return "html" in kind or body.lstrip()[:1] == b"<"


def _detail(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace").strip()
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = text
    if isinstance(parsed, dict):
        parsed = parsed.get("detail") or parsed.get("non_field_errors") or parsed
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    return " ".join(str(parsed).split())[:_DETAIL_CHARACTERS].rstrip(".")


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the header asks to wait: a number, or a date (RFC 9110)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    when = _moment(text)
    return None if when is None else max(0.0, (when - datetime.now(UTC)).total_seconds())


def _moment(text: str) -> datetime | None:
    """A date of HTTP, which is one of UTC."""
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
