"""A limit on how long fetching a file may take, whatever the server sends meanwhile.

The timeouts of requests, like a socket's, are for silence: a server that sends a byte now and then,
of its headers or its body, keeps them from ever running out.
"""

import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Self

import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class TimeLimit:
    """Breaks this thread's connection off when the time is over. A context manager.

    Args:
        limit_s: Counted from when the block is entered.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until = 0.0
        self._timer = threading.Timer(limit_s, self.end)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.over = False
        """Whether the time is over, or `end` was called: what was received may be cut short."""

    @property
    def left_s(self) -> float:
        """Seconds until the time is over."""
        return self._until - time.monotonic()

    def __enter__(self) -> Self:
        self._until = time.monotonic() + self._limit_s
        self._timer.start()
        _current.set(self)
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()
        _current.set(None)
        with self._lock:
            self._socket = None  # another file may be fetched through it next

    def end(self) -> None:
        """Break off now, from any thread."""
        with self._lock:
            self.over = True
            self._break_off()

    def apply_to(self, connected: socket.socket) -> None:
        """Break off this one when the time is over, rather than the one before."""
        with self._lock:
            self._socket = connected
            if self.over:
                self._break_off()

    def _break_off(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not the method of a TLS socket, which is not made for a call from another thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_current: ContextVar[TimeLimit | None] = ContextVar("current", default=None)
"""The limit of this thread."""


class _Http(HTTPConnection):
    def getresponse(self) -> Any:
        limit = _current.get()
        if limit is not None and self.sock is not None:
            limit.apply_to(self.sock)
        return super().getresponse()


class _Https(_Http, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class LimitedAdapter(requests.adapters.HTTPAdapter):
    """Makes connections that heed the time limit of the thread that uses them."""

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        """Have the session's connections made here."""
        super().init_poolmanager(*arguments, **settings)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        """Have connections through a proxy made here, too, but for SOCKS, which has its own."""
        manager = super().proxy_manager_for(proxy, **settings)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager
