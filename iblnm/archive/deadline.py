"""HTTP whose every call ends in a given time, however slowly the server answers.

A time-out of requests limits one read from the socket: a server that sends a byte now and then
is waited for without end. Here every read is given what is left of the call's own time.
Imported inside functions only: requests is heavy.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context


@dataclass
class Deadline:
    """The time that one call may take.

    Parameters
    ----------
    seconds : float
        From now.
    connect_s : float
        Within it, for finding the host and connecting.
    stall_s : float
        Within it, without any byte.
    min_bytes_per_s : float
        Every byte received extends the deadline by the inverse of this: a large file may take
        as long as it needs at that rate. Infinite (the default): the deadline is fixed.
    """

    seconds: float
    connect_s: float = 10.0
    stall_s: float = 30.0
    min_bytes_per_s: float = float("inf")
    received: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        allowed = self.seconds + self.received / self.min_bytes_per_s
        return allowed - (time.monotonic() - self.started)

    def wait_s(self, longest: float) -> float:
        """Seconds that the next wait may take.

        Raises
        ------
        TimeoutError
            If none are left.
        """
        left = self.left_s
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return min(left, longest)


_DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[Deadline]:
    """Give every read of this thread, on connections of `deadline_session`, that deadline."""
    token = _DEADLINE.set(deadline)
    try:
        yield deadline
    finally:
        _DEADLINE.reset(token)


def deadline_session() -> requests.Session:
    """Session of requests whose calls obey `within`; proxies and certificates as usual."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


def _receive(sock: Any, receive: Callable[..., int], *args: Any) -> int:
    deadline = _DEADLINE.get()
    if deadline is None:
        return receive(*args)
    sock.settimeout(deadline.wait_s(deadline.stall_s))
    n_bytes = receive(*args)
    deadline.received += n_bytes
    return n_bytes


class _Socket(socket.socket):
    def recv_into(self, *args: Any) -> int:
        return _receive(self, super().recv_into, *args)


class _TLSSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any) -> int:
        return _receive(self, super().recv_into, *args)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        deadline = _DEADLINE.get()
        if deadline is None:
            return super()._new_conn()
        wait_s = deadline.wait_s(deadline.connect_s)
        self.timeout = wait_s
        # the resolver has no time-out of ours: it is waited for from outside
        plain = _in_thread(super()._new_conn, wait_s)
        sock = _Socket(plain.family, plain.type, plain.proto, plain.detach())
        # a TLS handshake takes its time, as a whole, from the socket
        sock.settimeout(deadline.wait_s(deadline.connect_s))
        return sock


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=_tls_context(), **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=_tls_context(), **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


def _tls_context() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.sslsocket_class = _TLSSocket
    return context


def _in_thread(function: Callable[[], Any], wait_s: float) -> Any:
    """Result of a function, waited for no longer than `wait_s`; its thread ends by itself."""
    results: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            results.put((function(), None))
        except (OSError, ValueError, HTTPError) as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = results.get(timeout=wait_s)
    except queue.Empty:
        raise TimeoutError("the host was not found, or did not connect, in time") from None
    if error is not None:
        raise error
    return value
