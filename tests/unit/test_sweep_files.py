"""Which files are a sweep's own, and that their removal can be cut off anywhere."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import paths
from sweep.worker.sweep_files import find_files, remove_files

SLOTS = frozenset({1, 2, 12})
OURS = (
    *("search/trial-0000/slot-1", "search/trial-0000/attempt-1/weights/best.pt"),
    *("search/trial-0000/attempt-2/state.ckpt", "search/trial-0001/slot-2"),
    *("search/trial-0001/train-copy.log", "search/trial-0001/z/x"),
    *("retrain/best/slot-12", "retrain/best/attempt-1/train.log", "000002/1/results.csv"),
    *("workers/host-0.log", "sweep.yaml", ".best.lock", "best.pt.0a1b2c3d.part"),
)
BEST = ("best.pt", "best.yaml")
REPORTS = ("report.html", "tables/trials.csv", "SGD_50.csv", "report.html.0a1b2c3d.part")
FOREIGN = (
    *("notes.txt", "search/trial-0002/slot-3", "search/readme", "plots/a.png", "000009/1/x"),
    *("search/trial-0003/x", "search/trial-0004/slot-1", "search/trial-0004/slot-9"),
)


def lay(folder: Path) -> Path:
    """Lay all these files out; return the folder of runs."""
    for place, names in (("runs", (*OURS, *BEST, *FOREIGN)), ("reports", (*REPORTS, "talk.pdf"))):
        for name in names:
            path = folder / place / "one" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder / "runs"


def there(runs: Path) -> set[str]:
    return {
        str(path.relative_to(runs.parent))
        for path in runs.parent.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def stay(*, everything: bool) -> set[str]:
    kept = {f"runs/one/{name}" for name in FOREIGN} | {"reports/one/talk.pdf"}
    if everything:
        return kept
    return kept | {f"runs/one/{name}" for name in BEST} | {f"reports/one/{n}" for n in REPORTS}


@pytest.mark.parametrize("everything", [False, True])
def test_a_sweep_s_own_files_go_and_all_others_stay(tmp_path: Path, everything: bool) -> None:
    runs = lay(tmp_path)
    remove_files(find_files(runs, "one", SLOTS), everything=everything)
    assert there(runs) == stay(everything=everything)


def test_a_sweep_that_wrote_nothing_has_no_files(tmp_path: Path) -> None:
    found = find_files(tmp_path / "runs", "one", SLOTS)
    assert not any(vars(found).values())
    remove_files(found, everything=True)


class Ended(BaseException):
    """The process ended here."""


def test_a_removal_cut_off_at_each_file_goes_on(tmp_path: Path) -> None:
    for after in range(40):
        runs = lay(tmp_path / str(after))
        _cut_off(runs, everything=True, after=after)
        remove_files(find_files(runs, "one", SLOTS), everything=True)
        assert there(runs) == stay(everything=True), f"after {after}"


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 25), max_size=5), everything=st.booleans())
def test_a_removal_cut_off_again_and_again_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], everything: bool
) -> None:
    runs = lay(tmp_path_factory.mktemp("cut"))
    for cut in cuts:
        _cut_off(runs, everything=everything, after=cut)
    remove_files(find_files(runs, "one", SLOTS), everything=everything)
    assert there(runs) == stay(everything=everything)


def _cut_off(runs: Path, *, everything: bool, after: int) -> None:
    """Remove so many files and folders, then end as a killed process does."""
    left = after

    def counted(remove: Callable[..., None]) -> Callable[..., None]:
        def removing(*arguments: object, **options: object) -> None:
            nonlocal left
            if left == 0:
                raise Ended
            left -= 1
            remove(*arguments, **options)

        return removing

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Ended):
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        remove_files(find_files(runs, "one", SLOTS), everything=everything)


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    runs = lay(tmp_path)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (runs / "one/search/trial-0000/attempt-1/link").symlink_to(tmp_path / "precious")
    remove_files(find_files(runs, "one", SLOTS), everything=True)
    assert (tmp_path / "precious" / "file").exists()
    assert not (runs / "one/search/trial-0000").exists()


def test_names_are_those_that_the_program_writes() -> None:
    folders = paths.RunFolders(
        runs=Path("runs"), sweep="one", stage="search", slot=1, number=0, label=None
    )
    assert folders.attempt(2) == Path("runs/one/search/trial-0000/attempt-2")
