"""Which folders an attempt goes on from."""

from pathlib import Path

from storage.queue.leases import Lease
from storage.queue.slots import Slot
from sweep.worker.run_folders import attempt_folders


def lease(attempt: int, number: int | None) -> Lease:
    slot = Slot(
        id=12,
        sweep_id=1,
        sweep="one",
        stage_id=1,
        stage="search",
        study="one/search",
        stage_epochs=2,
        ordinal=0,
        label=None,
        params={},
        trial_id=None,
        trial_number=number,
    )
    return Lease(slot=slot, attempt=attempt, worker="worker", lost=0)


def test_an_attempt_goes_on_from_those_before_it_newest_first(tmp_path: Path) -> None:
    trial = tmp_path / "one" / "search" / "trial-0003"
    first = attempt_folders(tmp_path, lease(1, None), 3)
    assert (first.own, first.earlier) == (trial / "attempt-1", ())
    third = attempt_folders(tmp_path, lease(3, 3), 3)
    assert third.own == trial / "attempt-3"
    assert third.earlier == (trial / "attempt-2", trial / "attempt-1"), "also if not there yet"


def test_an_attempt_of_a_sweep_begun_before_goes_on_from_its_old_folder(tmp_path: Path) -> None:
    old = tmp_path / "one" / "000012" / "1"
    old.mkdir(parents=True)
    second = attempt_folders(tmp_path, lease(2, 3), 3)
    assert second.own == tmp_path / "one" / "search" / "trial-0003" / "attempt-2"
    assert second.earlier == (old,)


def test_a_trial_that_was_made_again_goes_on_under_its_new_number(tmp_path: Path) -> None:
    first = attempt_folders(tmp_path, lease(1, None), 3)
    first.own.mkdir()
    again = attempt_folders(tmp_path, lease(2, 3), 0)
    assert again.own == tmp_path / "one" / "search" / "trial-0000" / "attempt-2"
    assert again.earlier == (first.own,)


def test_a_disk_that_takes_no_folder_is_left_to_the_training(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    assert attempt_folders(tmp_path, lease(1, None), 3).own.name == "attempt-1"
