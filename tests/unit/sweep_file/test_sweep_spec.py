"""The sweep file: what is legal, and one line for everything else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sweep.errors import InputError
from sweep.spec.sweep_file import SweepSpec, differences

CONFIGS = Path(__file__).parents[3] / "configs"


def content(**changes: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "dataset": "shapes.yaml",
        "model": "yolov8n.yaml",
        "train": {"imgsz": 128, "batch": 8},
        "search": {
            "epochs": 3,
            "space": {"optimizer": ["SGD", "AdamW"], "lr0": [0.01, 1e-3]},
        },
        "retrain": {"epochs": 9, "baseline": {"optimizer": "SGD", "lr0": 0.1}},
    } | changes


def search(**changes: Any) -> dict[str, Any]:
    return {"search": content()["search"] | changes}


def space(**changes: Any) -> dict[str, Any]:
    return search(space=content()["search"]["space"] | changes)


def write(tmp_path: Path, found: dict[str, Any]) -> Path:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(found, sort_keys=False))
    return file


def test_json_makes_an_equal_spec_with_the_same_hash(tmp_path: Path) -> None:
    spec = SweepSpec.load(write(tmp_path, content()))
    again = SweepSpec.model_validate(spec.to_json())
    assert again == spec
    assert again.hash() == spec.hash()


def test_the_hash_tells_any_change(tmp_path: Path) -> None:
    variants = (content(), content(**search(epochs=4)), content(seed=1))
    hashes = {SweepSpec.load(write(tmp_path, found)).hash() for found in variants}
    assert len(hashes) == 3


def test_a_spec_cannot_be_changed(tmp_path: Path) -> None:
    spec = SweepSpec.load(write(tmp_path, content()))
    with pytest.raises(ValidationError):
        spec.name = "two"


def test_taco_grid_is_the_published_study() -> None:
    spec = SweepSpec.load(CONFIGS / "taco-grid.yaml")
    assert spec.search.space["lr0"].choices == (0.01, 0.005, 0.001, 0.0005, 0.0001)
    assert spec.search.space["optimizer"].choices == ("SGD", "Adam", "AdamW")
    assert spec.search.space["momentum"].choices == (0.1, 0.5, 0.9)
    assert (spec.search.epochs, spec.search.sampler, spec.model) == (5, "grid", "yolov8n.pt")
    assert (spec.train["imgsz"], spec.schedule) == (640, "ultralytics")
    assert spec.retrain is not None
    assert spec.retrain.epochs == 100
    assert spec.retrain.baseline == {"optimizer": "SGD", "lr0": 0.1, "momentum": 0.937}


WRONG = [
    (content(datset="x"), "datset: unknown key; did you mean 'dataset'?"),
    (search(epoch=3), "search.epoch: unknown key; did you mean 'epochs'?"),
    (search(epochs="three"), "search.epochs: found 'three'"),
    (search(epochs=0), "search.epochs: found 0"),
    (search(space={}), "search.space: is empty"),
    (search(sampler="bayes"), "search.sampler: found 'bayes'; "),
    (search(sampler="tpe"), "search: sampler tpe needs `trials`"),
    (search(trials=5), "search: a grid has as many trials as points"),
    (search(pruner="medain"), "did you mean 'median'?"),
    (space(lr0=[-0.1]), "search.space.lr0: 'lr0' is -0.1"),
    (space(lr0=0.1), "search.space.lr0: found 0.1; should be a list of choices"),
    (space(lr0=[]), "search.space.lr0: has no choices"),
    (space(lr0=[0.1, 0.1]), "names a choice twice"),
    (space(lr0={"low": 0.1, "high": 0.01}), "low 0.1 is not below high 0.01"),
    (space(lr0={"low": 0.01, "high": 0.1}), "space.lr0 has endlessly many values"),
    (space(lr0={"low": 0.01, "hihg": 0.1}), "lr0.hihg: unknown key; did you mean 'high'?"),
    (space(mosiac=[0.0]), "did you mean 'mosaic'?"),
    (space(optimizer=["auto"]), "ignores lr0 and momentum"),
    (space(momentum={"choices": [0.9], "when": {"optimiser": ["SGD"]}}), "'optimizer'"),
    (
        space(momentum={"choices": [0.9], "when": {"optimizer": ["Sgd"]}}),
        "search.space: momentum.when.optimizer: found 'Sgd', which it never has; allowed: 'SGD',",
    ),
    (space(batch=[8, 16]), "'batch' stands under train and in search.space"),
    (content(train={"imgsz": 100}), "train.imgsz: 'imgsz' is 100, not a multiple of 32"),
    (content(train={"epochs": 7}), "train.epochs: 'epochs' is not for a sweep file to set"),
    (content(retrain={"epochs": 9, "baseline": {}}), "retrain.baseline.optimizer: must name"),
    (content(name="a b"), "name: found 'a b'; write up to 80 letters"),
    (space(lr0=[float("nan")]), "search.space.lr0: found nan; write a finite number"),
    (content(train={"box": float("inf")}), "train.box: found inf; write a finite number"),
    (content(train={"freeze": [0, -1]}), "train.freeze: 'freeze' is [0, -1], allowed is the num"),
    (content(train={"freeze": "[0, 1]"}), "the text of a list; write it without quotes"),
    (space(freeze=[[0, 1], [0.5]]), "search.space.freeze: 'freeze' is [0.5], allowed is the"),
    (content(train={"imgsz": [640]}), "is [640], allowed is a whole number; write 640 without"),
    (search(epochs="3"), "search.epochs: found '3'; should be a whole number; write it without"),
    (search(epochs=True), "search.epochs: found 'true'; should be a whole number"),
    (content(objective="f1"), "objective: found 'f1'; allowed: map50, map50_95"),
    (content(dataset=None), "dataset: missing"),
]


@pytest.mark.parametrize(("found", "expected"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_file_gives_one_line_with_the_mend(
    tmp_path: Path, found: dict[str, Any], expected: str
) -> None:
    file = write(tmp_path, content() | found)
    with pytest.raises(InputError) as raised:
        SweepSpec.load(file)
    line = str(raised.value)
    assert expected in line
    assert line.startswith(f"{file}: ")
    assert "\n" not in line


def test_a_custom_trainer_may_have_settings_of_its_own_and_no_dataset(tmp_path: Path) -> None:
    found = content(trainer="mine:train", train={"anything": "goes"}) | search(
        space={"depth": [1, 2]}
    )
    del found["dataset"]
    assert SweepSpec.load(write(tmp_path, found)).train == {"anything": "goes"}


def test_differences_name_each_changed_field() -> None:
    old = {"search": {"epochs": 4, "seed": 0}, "name": "one", "train": {"batch": 8}}
    new = {"search": {"epochs": 5, "seed": 0}, "name": "one", "train": {}}
    assert differences(old, new) == ["search.epochs: 4 -> 5", "train.batch: 8 -> (left out)"]


TEXTS = """\
name: 007
dataset: 2024-01-01
model: yolov8n.yaml
trainer: {trainer}
train: {{optimizer: SGD, cos_lr: yes, lr0: 1e-2, weight_decay: .5e-3}}
search: {{epochs: 3, pruner: null, space: {{{space}}}}}
"""


def test_text_is_taken_as_written_and_numbers_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(TEXTS.format(trainer="ultralytics", space="momentum: [9e-1, 0.5]"))
    spec = SweepSpec.load(file)
    assert (spec.name, spec.dataset, spec.search.pruner) == ("007", "2024-01-01", "none")
    assert spec.train == {"optimizer": "SGD", "cos_lr": True, "lr0": 0.01, "weight_decay": 0.0005}
    assert spec.search.space["momentum"].choices == (0.9, 0.5)


@pytest.mark.parametrize("word", ["yes", "NO", "on", "1_0", "0x1F"])
def test_choices_of_ones_own_trainer_are_clear_or_in_quotes(tmp_path: Path, word: str) -> None:
    file = tmp_path / "one.yaml"
    text = TEXTS.replace("yes", "true")
    file.write_text(text.format(trainer="mine:train", space=f"blur: [light, {word}]"))
    with pytest.raises(InputError, match=f"search.space.blur: found {word}, .* put it in quotes$"):
        SweepSpec.load(file)
    file.write_text(text.format(trainer="mine:train", space=f"blur: [light, '{word}', 2024-01-01]"))
    assert SweepSpec.load(file).search.space["blur"].choices == ("light", word, "2024-01-01")


@pytest.mark.parametrize("epochs", ["yes", "010", "1:30"])
def test_what_is_no_number_is_not_taken_for_one(tmp_path: Path, epochs: str) -> None:
    file = tmp_path / "one.yaml"
    text = TEXTS.format(trainer="ultralytics", space="momentum: [0.9]")
    file.write_text(text.replace("epochs: 3", f"epochs: {epochs}"))
    with pytest.raises(InputError, match=f"search.epochs: found '?{epochs}"):
        SweepSpec.load(file)
