"""Which trainings share images, and when sharing is of no use."""

from pathlib import Path
from typing import Any

import pytest

from sweep import paths
from sweep.spec.sweep_file import SweepSpec
from sweep.stages.plan import STAGES
from sweep.worker.image_sharing import image_cache_place
from tests.mounts import mount

GRID = {"optimizer": ["SGD", "AdamW"], "lr0": [0.1, 0.01, 0.001]}


def spec(space: dict[str, Any] = GRID, *, search: Any = None, **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "s",
            "dataset": "d.yaml",
            "train": {} if "optimizer" in space else {"optimizer": "SGD"},
            "search": {"epochs": 2, "space": space, **(search or {})},
            **changes,
        }
    )


def sharing(
    found: SweepSpec, stage: str = "search", params: Any = None, settings: Any = ()
) -> int | None:
    """Return how many trainings of a stage share images; None where they do not."""
    place = image_cache_place(found, STAGES[stage].trainings_alike(found, params, settings))
    return None if place is None else place.trainings


def test_trials_that_search_no_augmentation_share_all_images() -> None:
    assert sharing(spec()) == 6
    assert sharing(spec({"lr0": {"low": 0.1, "high": 1}}, search=TPE)) == 8


TPE = {"sampler": "tpe", "trials": 8}


def test_trials_share_with_those_of_the_same_augmentation() -> None:
    assert sharing(spec({**GRID, "mosaic": [0.0, 1.0]})) == 6
    assert sharing(spec({"lr0": {"low": 0.1, "high": 1}, "imgsz": [320, 640]}, search=TPE)) == 4


@pytest.mark.parametrize(
    "found",
    [
        spec({"lr0": [0.1]}),
        spec({"mosaic": [0.0, 0.5, 1.0]}),
        spec({"lr0": [0.1, 0.2], "degrees": {"low": 0.0, "high": 90.0}}, search=TPE),
        spec({"lr0": [0.1, 0.2], "mosaic": [0.0, 0.1, 0.2, 0.3, 0.4]}, search=TPE),
        spec(stream_gb=0),
    ],
    ids=["one trial", "all different", "endlessly many", "few of each", "switched off"],
)
def test_where_it_cannot_help_nothing_is_kept(found: SweepSpec) -> None:
    assert sharing(found) is None


def test_retrainings_share_when_their_augmentation_is_the_same() -> None:
    baseline, best = {"optimizer": "SGD", "lr0": 0.1}, {"optimizer": "AdamW"}
    assert sharing(spec(), "retrain", best, [baseline, best]) == 2
    assert sharing(spec(), "retrain", baseline, [baseline, {**best, "mosaic": 0.0}]) is None


def test_the_folder_and_the_cap_are_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(paths.IMAGE_CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    place = image_cache_place(spec(stream_gb=3), 2)
    assert place is not None
    assert (place.folder, place.disk_cap_gb) == (Path("/cache/detsweep/stream"), 3)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert paths.image_cache_folder() == (Path.home() / ".cache/detsweep/stream").resolve()
    monkeypatch.setenv(paths.IMAGE_CACHE_VARIABLE, "/scratch/images")
    assert paths.image_cache_folder() == Path("/scratch/images")


def test_a_network_file_system_holds_no_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount("server:/home /home nfs4 rw 0 0\n", tmp_path, monkeypatch)
    monkeypatch.setenv(paths.IMAGE_CACHE_VARIABLE, "/home/me/stream")
    assert sharing(spec()) is None
