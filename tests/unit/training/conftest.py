"""A dataset small enough to train on in a second."""

import pytest

from sweep.data.dataset_file import DatasetSpec
from sweep.data.prepare import prepare
from sweep.data.prepared import PreparedDataset

TINY = """
name: tiny
source: {synthetic: shapes, images: 30}
size: 64
split: {train: 0.6, val: 0.3, test: 0.1, seed: 0}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """18 images to train on, 9 to validate on, 3 to test on, 64 px each."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.yaml").write_text(TINY)
    return prepare(DatasetSpec.load(folder / "tiny.yaml"), folder)
