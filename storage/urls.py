"""Database URLs: which can serve, and how one is shown without its password."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import DatabaseRefused
from storage.filesystems import network_file_system

_ALLOWED = "allowed: sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE"
_SCHEMES = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
}
_USER = re.compile(r"[^:/]*(?::[^@]*)?@")
"""What SQLAlchemy takes as user and password: up to the first `@`."""
_PORTS = range(1, 65536)


def parse(url: str) -> URL:
    """Read a database URL.

    Raises:
        DatabaseRefused: If it names no database that can serve. The message shows no part of the
            URL that may be a password.
    """
    try:
        url.encode()
    except UnicodeEncodeError as error:
        raise DatabaseRefused(f"--storage: this URL is not UTF-8; {_ALLOWED}") from error
    scheme, separator, rest = url.partition("://")
    if not separator:
        shown = "this" if {":", "@"} & set(url) else repr(url)
        raise DatabaseRefused(f"--storage: {shown} is no database URL; {_ALLOWED}")
    _check_scheme(scheme)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        if _SCHEMES[scheme] == "postgresql":
            _check_user(rest)
        raise DatabaseRefused(
            f"--storage: the port of this {scheme} URL is no number (it is not shown, as it may be "
            f"part of a password); {_ALLOWED}"
        ) from error
    if _SCHEMES[scheme] == "postgresql":
        _check_user(rest)
        _check_server(parsed)
    else:
        _check_file(parsed)
    return parsed


def shown(url: str) -> str:
    """Return a URL that `parse` took for people to read: without password and arguments."""
    parsed = make_url(url)
    if is_sqlite(url):
        return f"sqlite:///{parsed.database}"
    return parsed.set(query={}).render_as_string(hide_password=True)


def is_sqlite(url: str) -> bool:
    """Whether the URL names an SQLite database."""
    return make_url(url).get_backend_name() == "sqlite"


def is_missing(url: str) -> bool:
    """Whether the URL names an SQLite file that is not there yet.

    Raises:
        DatabaseRefused: If it names no database that can serve.
    """
    parsed = parse(url)
    return is_sqlite(url) and not Path(str(parsed.database)).exists()


def driver_url(url: str) -> str:
    """Return the URL with the driver we ship named; SQLAlchemy's own default has changed."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _check_scheme(scheme: str) -> None:
    if scheme in _SCHEMES:
        return
    backend = scheme.partition("+")[0]
    if backend in _SCHEMES:
        raise DatabaseRefused(
            f"--storage: {scheme}:// names a driver that is not supported; write {backend}://, "
            "which takes the driver that this program is tested with"
        )
    if near := difflib.get_close_matches(backend, ["sqlite", "postgresql"], n=1):
        raise DatabaseRefused(
            f"--storage: {scheme!r} is no kind of database; did you mean {near[0]}://? {_ALLOWED}"
        )
    raise DatabaseRefused(
        f"--storage: {scheme} cannot keep the queue's promises "
        f"(it was not proven to lock rows as the queue needs); {_ALLOWED}"
    )


def _check_user(rest: str) -> None:
    """Refuse a name or password that SQLAlchemy would take for a host, and messages would show."""
    user = _USER.match(rest)
    if "@" in rest[user.end() if user else 0 :]:
        raise DatabaseRefused(
            "--storage: this URL has an '@' too many; in a user, a password or an argument write "
            "%40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %"
        )


def _check_server(parsed: URL) -> None:
    if parsed.port is not None and parsed.port not in _PORTS:
        raise DatabaseRefused(
            "--storage: the port is out of range (it is not shown, as it may be part of a "
            f"password); allowed: {_PORTS[0]} to {_PORTS[-1]}"
        )
    if parsed.query:
        _check_arguments(parsed.query, allowed=_libpq_options())


def _check_file(parsed: URL) -> None:
    if parsed.username or parsed.password or parsed.host or parsed.port:
        raise DatabaseRefused(
            "--storage: an SQLite URL has three slashes before a relative path and four before an "
            "absolute one: sqlite:///sweep.db, sqlite:////data/sweep.db"
        )
    if parsed.database in (None, "", ":memory:"):
        raise DatabaseRefused(
            "--storage: a database in memory cannot be shared by workers; "
            "name a file, e.g. sqlite:///sweep.db"
        )
    _check_arguments(parsed.query, allowed=())
    path = Path(str(parsed.database))
    try:
        folder, is_folder = path.resolve().parent, path.is_dir()
        there = folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle
        cause = getattr(error, "strerror", None) or error
        raise DatabaseRefused(
            f"--storage: {path} cannot be looked at ({cause}); name another file"
        ) from error
    if is_folder:
        raise DatabaseRefused(f"--storage: {path} is a folder; name a file in it")
    if not there:
        raise DatabaseRefused(f"--storage: folder {folder} does not exist; make it or name another")
    if (kind := network_file_system(folder)) is not None:
        raise DatabaseRefused(
            f"--storage: {folder} is on a network file system ({kind}), where SQLite's locks "
            "cannot be relied on; take a local folder, or PostgreSQL for several machines"
        )


def _check_arguments(found: Iterable[str], *, allowed: Iterable[str]) -> None:
    legal = sorted(allowed)
    for name in found:
        if name in legal:
            continue
        if not legal:
            raise DatabaseRefused(
                f"--storage: an SQLite URL takes no arguments, found {name!r} after the '?'; "
                "write %3F for a ? in a file's name"
            )
        near = difflib.get_close_matches(name, legal, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DatabaseRefused(
            f"--storage: {name!r} after the '?' is no argument of a PostgreSQL connection; "
            f"{hint}allowed: {', '.join(legal)}"
        )


def _libpq_options() -> list[str]:
    try:
        from psycopg import pq
    except ImportError as error:
        raise no_driver(error) from error
    return [option.keyword.decode() for option in pq.Conninfo.get_defaults()]


def no_driver(error: ImportError) -> DatabaseRefused:
    """Return what to raise where PostgreSQL's driver cannot be imported."""
    return DatabaseRefused(
        f"--storage: PostgreSQL needs a driver ({error}); pip install 'detsweep[postgresql]'"
    )
