import pytest

from storage.snapshot.records import SweepRecord
from sweep.report.data import ReportData, read
from tests.factories import make_whole_sweep


@pytest.fixture(scope="session")
def whole_sweep(tmp_path_factory) -> SweepRecord:
    """A finished sweep with dataset and evaluations on disk."""
    return make_whole_sweep(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def whole(whole_sweep) -> ReportData:
    return read(whole_sweep)
