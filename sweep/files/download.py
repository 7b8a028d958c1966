"""One file from the web: bounded in bytes, time and tries, whole or not at all."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
import urllib3

from sweep.files.time_limit import LimitedAdapter, TimeLimit

ATTEMPTS = 5
BACKOFF_S = 1.0
"""Before the second attempt; doubled before each further one."""
MAX_RETRY_AFTER_S = 120.0
"""A server that asks to wait for longer is left alone until the next run."""
CONNECT_S, SILENCE_S = 10.0, 30.0
"""How long connecting may take, and how long a server may send nothing."""

_CHUNK_BYTES = 1 << 16
_GONE = {404, 410}
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}

Stopped = Callable[[float], bool]
"""Waits for the given seconds; true at once when the work is to end."""


class FetchError(Exception):
    """A file could not be had. Report the message beside the file's name."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        """Whether it makes no sense to try again: the server has no such file any more."""


class Remote:
    """Fetches files; any number of threads may use it. A context manager.

    Args:
        stopped: Waits between attempts.
    """

    def __init__(self, stopped: Stopped | None = None) -> None:
        self._stopped = stopped or threading.Event().wait
        self._limits: set[TimeLimit] = set()
        self._session = requests.Session()
        # No other scheme has an adapter: redirects, too, are followed to these only.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, LimitedAdapter())
        self._session.max_redirects = 5
        # A compressed body could be a bomb, and images are compressed already.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = "detsweep (dataset preparation)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._session.close()

    def interrupt(self) -> None:
        """Break off what other threads are fetching; they raise FetchError at once."""
        for limit in self._limits.copy():
            limit.end()

    def fetch(
        self,
        url: str,
        target: Path,
        *,
        max_bytes: int,
        max_s: float,
        check: Callable[[Path], None],
    ) -> None:
        """Fetch `url` to `target`, which is there only when it is whole, checked and on the disk.

        The caller is the only one that writes to `target`.

        Args:
            url: An http or https address.
            target: The file; its folder exists.
            max_bytes: A longer body is refused as soon as that is known.
            max_s: How long all attempts together may take, however the server spends the time.
            check: Raises FetchError if the file is not what it should be.

        Raises:
            FetchError: If it could not be had.
            OSError: If it cannot be written.
        """
        part = target.with_name(f".{target.name}.part")
        try:
            with TimeLimit(max_s) as limit:
                self._limits.add(limit)
                try:
                    self._fetch_to(url, part, max_bytes, limit)
                except FetchError as error:
                    if limit.over:
                        raise FetchError(f"took longer than {max_s:g} s") from error
                    raise
                finally:
                    self._limits.remove(limit)
            check(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _fetch_to(self, url: str, part: Path, max_bytes: int, limit: TimeLimit) -> None:
        backoff_s = BACKOFF_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._attempt(url, part, max_bytes, limit)
            except _Interrupted as error:
                asked_s = error.retry_after_s
                if asked_s is not None and asked_s > MAX_RETRY_AFTER_S:
                    raise FetchError(f"{error}, and asks to wait {asked_s:.0f} s") from error
                # Spread, so that files that failed together do not come back together.
                wait_s = backoff_s * random.uniform(0.5, 1) if asked_s is None else asked_s
                if attempt == ATTEMPTS or limit.left_s < wait_s:
                    last = "at the last of" if attempt == ATTEMPTS else "without time for all"
                    raise FetchError(f"{error}, {last} {ATTEMPTS} attempts") from error
                if self._stopped(wait_s):
                    raise FetchError("interrupted") from error
                backoff_s *= 2
            else:
                return

    def _attempt(self, url: str, part: Path, max_bytes: int, limit: TimeLimit) -> None:
        try:
            with self._session.get(url, stream=True, timeout=(CONNECT_S, SILENCE_S)) as response:
                _refuse_status(response)
                length = _length(response)
                if length is not None and length > max_bytes:
                    raise FetchError(f"has {length} bytes; {max_bytes} are allowed")
                part.unlink(missing_ok=True)
                with part.open("xb") as file:
                    received = 0
                    # Unlike `read`, this returns what has come, so that `stopped` is asked soon.
                    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                        received += len(chunk)
                        if received > max_bytes:
                            raise FetchError(f"is longer than the {max_bytes} bytes allowed")
                        if self._stopped(0):
                            raise FetchError("interrupted")
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _Interrupted(f"broke off ({_in_short(error)})") from error
        except (requests.RequestException, ValueError) as error:
            raise FetchError(f"cannot be asked for: {_in_short(error)}") from error
        if limit.over or (length is not None and received < length):
            raise _Interrupted(f"broke off after {received} of {length or 'unknown'} bytes")


class _Interrupted(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _refuse_status(response: requests.Response) -> None:
    status = response.status_code
    if status in _TRY_AGAIN:
        raise _Interrupted(f"the server answered {status}", _retry_after_s(response))
    if status != 200:
        raise FetchError(f"the server answered {status}", gone=status in _GONE)


def _retry_after_s(response: requests.Response) -> float | None:
    """Return what the header Retry-After asks for, in seconds or as a date."""
    try:
        return urllib3.Retry().get_retry_after(response.raw)
    except (urllib3.exceptions.HTTPError, ValueError, OverflowError):
        return None


def _length(response: requests.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _in_short(error: Exception) -> str:
    """Return an error's kind; its text holds addresses of objects, and the URL once more."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return type(reason or error).__name__
