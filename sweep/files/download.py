"""One file from the web: bounded in bytes, time and tries, whole or not at all."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import requests
import urllib3

from sweep.files.atomic_write import atomic_write
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
Progress = Callable[[int, int | None], None]
"""Told the bytes so far and in all, None where the server does not say."""


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
        # A compressed body could be a bomb, and images and weights are compressed already.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = "detsweep"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
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
        progress: Progress | None = None,
    ) -> None:
        """Fetch `url` to `target`, which is there only when it is whole, checked and on the disk.

        The caller is the only one that writes to `target`.

        Args:
            url: An http or https address.
            target: The file; its folder exists.
            max_bytes: A longer body is refused as soon as that is known.
            max_s: How long all attempts together may take, however the server spends the time.
            check: Raises FetchError if the file is not what it should be.
            progress: Called in this thread; after a failed attempt from the beginning.

        Raises:
            FetchError: If it could not be had.
            OSError: If it cannot be written.
        """
        with atomic_write(target, part=target.with_name(f".{target.name}.part")) as file:
            with TimeLimit(max_s) as limit:
                self._limits.add(limit)
                try:
                    _Fetch(
                        session=self._session,
                        stopped=self._stopped,
                        url=url,
                        file=file,
                        max_bytes=max_bytes,
                        limit=limit,
                        progress=progress,
                    ).run()
                except FetchError as error:
                    if limit.over:
                        raise FetchError(f"took longer than {max_s:g} s") from error
                    raise
                finally:
                    self._limits.remove(limit)
            file.flush()
            check(Path(file.name))


@dataclass(frozen=True, kw_only=True)
class _Fetch:
    """One file being fetched."""

    session: requests.Session
    stopped: Stopped
    url: str
    file: BinaryIO
    max_bytes: int
    limit: TimeLimit
    progress: Progress | None

    def run(self) -> None:
        """Try until the file is whole.

        Not by the retries of urllib3: they are over when the body begins, and sleep through an
        interruption and the end of the time.
        """
        backoff_s = BACKOFF_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._attempt()
            except _Interrupted as error:
                asked_s = error.retry_after_s
                if asked_s is not None and asked_s > MAX_RETRY_AFTER_S:
                    raise FetchError(f"{error}, and asks to wait {asked_s:.0f} s") from error
                # Spread, so that files that failed together do not come back together.
                wait_s = backoff_s * random.uniform(0.5, 1) if asked_s is None else asked_s
                if attempt == ATTEMPTS or self.limit.left_s < wait_s:
                    last = "at the last of" if attempt == ATTEMPTS else "without time for all"
                    raise FetchError(f"{error}, {last} {ATTEMPTS} attempts") from error
                if self.stopped(wait_s):
                    raise FetchError("interrupted") from error
                backoff_s *= 2
            else:
                return

    def _attempt(self) -> None:
        try:
            with self.session.get(
                self.url, stream=True, timeout=(CONNECT_S, SILENCE_S)
            ) as response:
                _refuse_status(response)
                self._receive(response)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _Interrupted(f"broke off ({_in_short(error)})") from error
        except (requests.RequestException, ValueError) as error:
            raise FetchError(f"cannot be asked for: {_in_short(error)}") from error

    def _receive(self, response: requests.Response) -> None:
        length, received = _length(response), 0
        if length is not None and length > self.max_bytes:
            raise FetchError(f"has {length} bytes; {self.max_bytes} are allowed")
        self.file.seek(0)
        self.file.truncate()
        try:
            # Unlike `read`, this returns what has come, so that `stopped` is asked soon.
            while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                received += len(chunk)
                if received > self.max_bytes:
                    raise FetchError(f"is longer than the {self.max_bytes} bytes allowed")
                if self.stopped(0):
                    raise FetchError("interrupted")
                self.file.write(chunk)
                if self.progress is not None:
                    self.progress(received, length)
            whole = not self.limit.over
        except urllib3.exceptions.HTTPError:
            whole = False
        if not whole:
            raise _Interrupted(f"ended after {received} of {length or 'unknown'} bytes")


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
