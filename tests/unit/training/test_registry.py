"""From a trainer's name to the trainer."""

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.testing import instant_trainer
from sweep.training import registry


def test_a_trainer_is_found_by_module_and_name() -> None:
    assert registry.resolve("sweep.testing:instant_trainer") is instant_trainer


def test_modules_in_the_current_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_trainer_here.py").write_text("def train(job, on_epoch): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert registry.resolve("my_trainer_here:train").__module__ == "my_trainer_here"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ultralitics", "did you mean 'ultralytics'"),
        ("", "neither built in nor"),
        ("sweep.testing", "package.module:callable"),
        ("sweep.testing:", "package.module:callable"),
        (":train", "package.module:callable"),
        ("sweep.no_such_module:train", "No module named 'sweep.no_such_module'"),
        ("..:train", "cannot be imported"),
        ("sweep.testing:instant_trianer", "did you mean 'instant_trainer'"),
        ("sweep.testing:Fault2", "no callable"),
    ],
)
def test_what_cannot_train_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        registry.check(name)
    assert "\n" not in str(error.value)


def test_a_module_that_raises_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_trainer.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="ZeroDivisionError: division by zero"):
        registry.check("broken_trainer:train")


def test_checking_the_built_in_trainer_imports_no_torch() -> None:
    code = (
        "import sys; from sweep.training import registry; registry.check('ultralytics');"
        "assert not {'torch', 'ultralytics'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
