"""Shared by all tests: databases that a test may fill."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from storage.database import Database
from storage.deadlines import hurry_when
from sweep import paths
from tests.command import Command
from tests.postgres import Postgres

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def stream_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the images that trainings share out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.IMAGE_CACHE_VARIABLE, str(tmp_path_factory.mktemp("stream")))
        yield


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Let each test hear Ctrl-C: a command ignores it at its end, a shell in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    hurry_when(lambda: False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of this process."""
    server = Postgres(fsync="off")
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'sweep.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
def engine(storage_url: str) -> Iterator[Engine]:
    engine = Database.open(storage_url).engine
    yield engine
    engine.dispose()


@pytest.fixture
def sweep(tmp_path: Path) -> Command:
    return Command(tmp_path)
