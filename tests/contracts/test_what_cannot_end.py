"""What cannot end is refused before hours are spent, by `validate` and `submit` alike."""

import json
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.snapshot.reader import read_sweep
from sweep.errors import InputError
from sweep.spec.sweep_file import MAX_SEED, SweepSpec
from sweep.submission import disk, retrain
from sweep.submission.estimate import estimate
from sweep.submission.submit import load, submit

Content = dict[str, Any]


def sweep_file(**changes: Any) -> Content:
    return {
        "name": "one",
        "dataset": "tree.yaml",
        "model": "yolov8n.yaml",
        "train": {"imgsz": 64, "optimizer": "SGD"},
        "search": {"epochs": 1, "space": {"lr0": [0.1, 0.01]}},
        "retrain": {"epochs": 1, "baseline": {"lr0": 0.1}},
        **changes,
    }


def tree(folder: Path, **boxes: int) -> Content:
    """Write a YOLO tree with so many boxes of class 0 in each split, one an image.

    A negative number is that of images without boxes.
    """
    for split, count in boxes.items():
        for number in range(abs(count)):
            image, label = (
                folder / "tree" / part / split / f"{number}.{ending}"
                for part, ending in (("images", "png"), ("labels", "txt"))
            )
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            seed = (list(boxes).index(split), number)
            pixels = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
            cv2.imwrite(str(image), pixels)
            label.write_text("0 0.5 0.5 0.4 0.4\n" if count > 0 else "")
    data = {split: f"images/{split}" for split in boxes} | {"names": ["thing", "other"]}
    (folder / "tree" / "data.yaml").write_text(yaml.safe_dump(data))
    return {"name": "tree", "source": {"yolo": "tree/data.yaml"}, "size": 64}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, content: Content, dataset: Content) -> Path:
    (folder / "tree.yaml").write_text(yaml.safe_dump(dataset))
    file = folder / "one.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def refusals(folder: Path, content: Content, dataset: Content) -> tuple[str | None, str | None]:
    """Return what `validate` and `submit` say; None where they take it."""
    file = write(folder, content, dataset)

    def told(command: Callable[[], object]) -> str | None:
        try:
            command()
        except InputError as error:
            return str(error)
        return None

    database = f"sqlite:///{folder / 'sweep.db'}"
    validate = told(lambda: estimate(file))
    return validate, told(lambda: submit(database, load(file), file, progress=lambda *_: None))


def train(**changes: Any) -> Content:
    return sweep_file(train={"imgsz": 64, "optimizer": "SGD", **changes})


def space(**changes: Any) -> Content:
    return sweep_file(search={"epochs": 1, "space": {"lr0": [0.1, 0.01], **changes}})


def without(key: str, content: Content) -> Content:
    return {name: value for name, value in content.items() if name != key}


WHOLE = {"train": 4, "val": 2, "test": 2}
REFUSED: list[tuple[Content, dict[str, int], Content, str]] = [
    (sweep_file(), {"train": 4, "val": 2}, {}, "retrain: the dataset's test split has no images"),
    (sweep_file(), WHOLE | {"test": -2}, {}, "test split has images without boxes alone"),
    (sweep_file(), WHOLE | {"val": -2}, {}, "val: none of its images has a box"),
    (sweep_file(), WHOLE | {"train": -2}, {}, "train: none of its images has a box"),
    (
        sweep_file(),
        WHOLE,
        {"split": {"train": 0.5, "val": 0.5, "test": 0}},
        "so the retrained models cannot be judged on it; add some, or write `judge_on: val` there",
    ),
    (sweep_file(), WHOLE, {"size": 100}, "size: found 100, which no `imgsz` fits"),
    (
        sweep_file(model="yolov8n-seg.yaml"),
        WHOLE,
        {},
        "model: 'yolov8n-seg.yaml' is a segmentation",
    ),
    (sweep_file(model="yolov11n.yaml"), WHOLE, {}, "did you mean 'yolo11n.yaml'?"),
    (sweep_file(model="mine.pt"), WHOLE, {}, "model: 'mine.pt': no such file"),
    (sweep_file(model="tree/data.yaml"), WHOLE, {}, "no architecture"),
    (
        {**train(imgsz=96), "model": "yolov8n-p6.yaml"},
        WHOLE,
        {},
        "train.imgsz: 'imgsz' is 96, not a multiple of 64, as yolov8n-p6.yaml needs: use 64 or 128",
    ),
    (train(freeze=23), WHOLE, {}, "all layers of yolov8n.yaml, so nothing would be trained"),
    (train(freeze=24), WHOLE, {}, "but yolov8n.yaml has the layers 0 to 22"),
    (train(freeze=[0, 23]), WHOLE, {}, "but yolov8n.yaml has the layers 0 to 22"),
    (space(freeze=[[0], [99]]), WHOLE, {}, "search.space.freeze: 'freeze' is [99], but"),
    (train(classes=[0, 2]), WHOLE, {}, "train.classes: found class 2; allowed: 0 thing, 1 other"),
    (train(classes=[1]), WHOLE, {}, "train.classes: found [1], but the dataset has no box of it"),
    (space(classes=[[0], [5]]), WHOLE, {}, "search.space.classes: found class 5"),
]


@pytest.mark.parametrize(
    ("content", "boxes", "dataset", "expected"), REFUSED, ids=[line for *_, line in REFUSED]
)
def test_both_refuse_it_in_the_same_line_and_leave_nothing(
    folder: Path, content: Content, boxes: dict[str, int], dataset: Content, expected: str
) -> None:
    found = tree(folder, **boxes)
    validate, run = refusals(folder, content, {**found, **dataset})
    assert validate is not None
    assert expected in validate
    assert "\n" not in validate
    assert run == validate
    assert sorted(path.name for path in folder.iterdir()) == ["one.yaml", "tree", "tree.yaml"]


def test_judging_on_the_validation_split_is_the_way_out(folder: Path) -> None:
    content = sweep_file(retrain={"epochs": 1, "baseline": {"lr0": 0.1}, "judge_on": "val"})
    dataset = tree(folder, train=4, val=2)
    assert refusals(folder, content, dataset) == (None, None)
    assert "baseline and best, judged on val" in estimate(folder / "one.yaml").as_text()


def test_a_retraining_by_hand_that_could_not_be_judged_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, dataset = without("retrain", sweep_file()), tree(folder, train=4, val=2)
    assert refusals(folder, content, dataset) == (None, None)
    engine = Database.open(f"sqlite:///{folder / 'sweep.db'}").engine
    monkeypatch.setattr(retrain, "_require_best", lambda *_: None)
    with pytest.raises(InputError, match="one: its dataset's test split has no images"):
        retrain.add_retrain_stage(engine, "one")
    assert len(read_sweep(engine, "one").stages) == 1


def test_a_spec_made_in_a_program_is_checked_as_a_file_is(folder: Path) -> None:
    spec = SweepSpec.model_validate(sweep_file(trainer="nowhere:train", model="none"))
    with pytest.raises(InputError, match="trainer: trainer 'nowhere:train'"):
        submit("sqlite:///sweep.db", spec, folder / "one.yaml", progress=lambda *_: None)
    assert not (folder / "sweep.db").exists()


def test_images_that_are_enlarged_are_pointed_out(folder: Path) -> None:
    dataset = tree(folder, **WHOLE)
    assert estimate(write(folder, sweep_file(), dataset)).note == ""
    larger = write(folder, train(imgsz=128), dataset)
    assert "note: imgsz 128 is larger than the dataset's size, 64" in estimate(larger).as_text()
    unsaid = write(folder, sweep_file(train={"optimizer": "SGD"}), dataset)
    assert "imgsz 640 is larger than the dataset's size, 64" in estimate(unsaid).note


def test_too_little_disk_is_refused_with_the_estimate(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tree(folder, **WHOLE)
    file = write(folder, sweep_file(), dataset)
    told = estimate(file)
    assert told.need is not None
    # Four trainings of 3.2 million parameters: best.pt and last.pt in half precision.
    weights = 4 * 2 * 2 * 3_157_200
    assert weights < told.need.runs < weights + 150e6
    assert told.need.prepared == pytest.approx(8 * 64 * 64 * 3.5)
    assert told.as_json()["disk_gb"] == round(told.need.total / 1e9, 3)
    assert "disk: about 0.2 GB, and at most 20 GB for augmented images" in told.as_text()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, told.need.total - 1))
    validate, run = refusals(folder, sweep_file(), dataset)
    assert validate is not None
    assert validate.startswith(f"{file}: the sweep needs about 0.2 GB below {folder}, where 0.2 GB")
    assert run == validate
    assert not (folder / "sweep.db").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, told.need.total + 1))
    assert refusals(folder, sweep_file(), dataset) == (None, None)


@pytest.mark.parametrize("model", ["yolov8n.pt", "yolov5su.pt", "yolov10b.yaml", "yolov8-p2.yaml"])
def test_a_bigger_sweep_needs_more_disk(folder: Path, model: str) -> None:
    spec = SweepSpec.model_validate(sweep_file(model=model))
    bigger = SweepSpec.model_validate({**space(momentum=[0.8, 0.9]), "model": model})
    small, large = (disk.disk_need(found, folder / "one.yaml", None, 0) for found in (spec, bigger))
    assert small is not None
    assert large is not None
    assert 0 < small.runs < large.runs
    assert small.prepared == 0


def test_the_estimate_of_a_trainer_of_ones_own_is_not_made_up(folder: Path) -> None:
    content = without("dataset", sweep_file(trainer="sweep.testing:instant_trainer", model="none"))
    file = write(folder, content, {})
    assert estimate(file).need is None
    assert "disk" not in estimate(file).as_text()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (space(momentum={"low": 0.0, "high": 1.0, "step": 1e-9}), "a grid of 2000000000 points"),
        (sweep_file(seed=MAX_SEED + 1), "seed: found 4294967296; should be"),
        (space(imgsz={"low": 64, "high": 128, "step": 16}) | {"train": {"optimizer": "SGD"}}, "80"),
        (space(close_mosaic={"low": 0, "high": 4, "step": 0.5}), "is 0.5, allowed is a whole"),
        (
            without("train", sweep_file())
            | {
                "search": {
                    "epochs": 1,
                    "space": {
                        "lr0": [0.1, 0.01],
                        "optimizer": {"choices": ["SGD"], "when": {"lr0": [0.1]}},
                    },
                }
            },
            "search.space.optimizer.when: a trial without it has no optimizer",
        ),
    ],
)
def test_what_no_trial_could_run_with_is_refused(
    folder: Path, content: Content, expected: str
) -> None:
    with pytest.raises(InputError) as error:
        load(write(folder, content, {}))
    assert expected in str(error.value)


def test_every_seed_makes_every_sampler() -> None:
    from sweep.search.samplers import planned_points, sampler_for

    for sampler in ("random", "tpe"):
        search = {"epochs": 1, "sampler": sampler, "trials": 2, "seed": MAX_SEED}
        found = SweepSpec.model_validate(
            {**space(), "search": {**search, "space": {"lr0": [0.1, 0.2]}}}
        ).search
        assert len(planned_points(found)) == 2
        sampler_for(found, 1)


def test_a_sweep_that_an_older_version_stored_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = without("dataset", sweep_file(trainer="sweep.testing:instant_trainer", model="none"))
    file, url = write(folder, content, {}), f"sqlite:///{folder / 'sweep.db'}"

    def stored(spec: SweepSpec) -> Content:
        found = spec.model_dump(mode="json", exclude_none=True)
        return {**found, "retrain": without("judge_on", found["retrain"])}

    with monkeypatch.context() as older:
        older.setattr(SweepSpec, "to_json", stored)
        assert submit(url, load(file), file, progress=lambda *_: None).new
    again = submit(url, load(file), file, progress=lambda *_: None)
    assert not again.new
    assert "judge_on" not in json.dumps(read_sweep(again.database.engine, "one").spec)
    file.write_text(yaml.safe_dump({**content, "seed": 3}))
    with pytest.raises(InputError, match="other settings: seed: 0 -> 3; put them back"):
        submit(url, load(file), file, progress=lambda *_: None)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Content]]]:
    made = {}
    for name, boxes in {
        "whole": WHOLE,
        "no test": {"train": 4, "val": 2},
        "background": WHOLE | {"test": -2},
        "no val boxes": WHOLE | {"val": -2},
    }.items():
        folder = tmp_path_factory.mktemp("tree")
        made[name] = (folder, tree(folder, **boxes))
    yield made


VALUES: dict[str, list[Any]] = {
    "imgsz": [64, 96, 100, "64", [64]],
    "freeze": [None, 3, 22, 23, [0, 1], [40], ["22.cv2"], [], "x"],
    "classes": [0, [0], [0, 1], [1], [9], ["thing"]],
    "scale": [0.5, [0.5, 1.5], [1.5, 0.5], 2],
    "batch": [2, 0, 64, 0.5],
}


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    which=st.sampled_from(["whole", "no test", "background", "no val boxes"]),
    model=st.sampled_from(["yolov8n.yaml", "yolov8n-p6.yaml", "yolov8n-cls.yaml", "yolo8n.yaml"]),
    size=st.sampled_from([64, 96, 100]),
    fixed=st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in VALUES.items()}),
    searched=st.sampled_from([{}, {"freeze": [[0], [1]]}, {"classes": [[0], [7]]}, {"bach": [1]}]),
    judge_on=st.sampled_from([None, "test", "val", "vall"]),
)
def test_what_validate_calls_right_submit_takes(
    *,
    trees: dict[str, tuple[Path, Content]],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    model: str,
    size: int,
    fixed: Content,
    searched: Content,
    judge_on: str | None,
) -> None:
    folder, dataset = trees[which]
    monkeypatch.chdir(folder)
    (folder / "sweep.db").unlink(missing_ok=True)
    content: Content = sweep_file(model=model, train={"optimizer": "SGD", **fixed})
    content["search"] = {"epochs": 1, "space": {"lr0": [0.1], **searched}}
    content["retrain"] = None
    if judge_on is not None:
        content["retrain"] = {"epochs": 1, "baseline": {"lr0": 0.1}, "judge_on": judge_on}
    validate, run = refusals(folder, content, {**dataset, "size": size})
    assert validate == run
