"""A sweep that is deleted is gone whole, whatever cuts it off, and nothing else is touched."""

from pathlib import Path

import optuna
import pytest
from sqlalchemy import Engine, func, select, update

from storage import failpoints
from storage.database import Database
from storage.engine import reading, writing
from storage.errors import CommandRefused, LeaseLost, SweepNotFound
from storage.optuna.studies import OWNER
from storage.queue import commands, deleting, retrying, sweeps, workers
from storage.snapshot.reader import read_summary, read_sweep
from storage.states import SlotState, SweepState
from storage.tables import attempts, epochs, metadata, slots, stages
from sweep import paths
from sweep.submission.deleting import delete, plan
from sweep.worker import sweep_files
from tests.contracts.test_queue import ME, NOBODY, RESULT, claimed, let_lease_expire
from tests.submission import submit

pytestmark = pytest.mark.slow


@pytest.fixture
def database(storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.chdir(tmp_path)
    return Database.open(storage_url)


def begin(database: Database, name: str = "one", *, budget: int = 3, trained: int = 2) -> None:
    """Queue a sweep of which some trials were trained, with files as they leave them."""
    assert submit(database.engine, name, budget=budget, retrain=True)
    study = f"{name}/search"
    database.studies.ensure(study, metric="map50_95", attributes={OWNER: name})
    for number in range(trained):
        lease = claimed(database.queue, names=[name])
        trial_id, made = database.studies.make_trial(
            study, slot=lease.slot.id, params={}, distributions={}
        )
        database.queue.record_trial(lease, trial_id=trial_id, number=made, params={"lr0": 0.1})
        database.queue.record_epoch(lease, epoch=1, map50=0.1, map50_95=0.1, report={"seconds": 1})
        database.queue.close(database.queue.settle(lease, SlotState.COMPLETE, result=RESULT))
        folders = paths.RunFolders(
            runs=paths.RUNS,
            sweep=name,
            stage="search",
            slot=lease.slot.id,
            number=number,
            label=None,
        )
        folders.make()
        for file in ("weights/best.pt", "train.log", "results.csv"):
            path = folders.attempt(1) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x" * 100)
    folder = paths.RUNS / name
    for file in (paths.SWEEP_FILE, paths.BEST_WEIGHTS, paths.BEST_SETTINGS, paths.BEST_LOCK):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x")
    for log in (folder / paths.LOGS / "w-0.log", Path(paths.REPORTS) / name / paths.REPORT_PAGE):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("x")
    tables = Path(paths.REPORTS) / name / paths.REPORT_TABLES
    tables.mkdir(exist_ok=True)
    (tables / "trials.csv").touch()


def contents(engine: Engine) -> dict[str, int]:
    with reading(engine) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def files() -> set[str]:
    return {
        str(path)
        for folder in (paths.RUNS, Path(paths.REPORTS))
        for path in folder.rglob("*")
        if path.is_file()
    }


KEPT = {
    *(f"runs/one/{name}" for name in (paths.BEST_WEIGHTS, paths.BEST_SETTINGS)),
    *(f"reports/one/{name}" for name in (paths.REPORT_PAGE, "tables/trials.csv")),
}


def test_a_look_changes_nothing_and_says_what_would_go(database: Database) -> None:
    begin(database)
    before = contents(database.engine), files()

    found = plan(database, "one")

    assert (contents(database.engine), files()) == before
    assert found.rows == {"sweeps": 1, "slots": 3, "stages": 2, "attempts": 2, "epochs": 2}
    assert found.studies == {"one/search": 2}
    assert {len(trials) for path, trials in found.removes.items() if path.name == "search"} == {2}
    assert {path.name for path in found.stays} == {"best.pt", "best.yaml", "report.html", "tables"}


@pytest.mark.parametrize("everything", [False, True])
def test_a_deleted_sweep_is_gone_and_its_name_free(database: Database, everything: bool) -> None:
    begin(database)
    begin(database, "two")
    two = {path for path in files() if path.split("/")[1] == "two"}

    delete(database, "one", everything=everything)

    assert sweeps.names(database.engine) == ["two"]
    assert files() == two | (set() if everything else KEPT)
    assert Path("runs/one").exists() is not everything
    studies = optuna.get_all_study_names(database.studies._storage)
    assert studies == ["two/search"]
    assert contents(database.engine) == {
        **dict.fromkeys(("sweeps",), 1),
        **{"slots": 3, "stages": 2, "attempts": 2, "epochs": 2, "workers": 0},
    }
    begin(database)
    assert read_summary(database.engine, "one").stages[0].done == 2


def test_what_was_kept_can_be_deleted_later_and_a_typing_error_is_told(database: Database) -> None:
    begin(database)
    delete(database, "one")
    assert plan(database, "one").state == "deleted"
    assert files() == KEPT
    delete(database, "one")
    assert files() == KEPT, "again changes nothing"
    delete(database, "one", everything=True)
    assert files() == set()
    with pytest.raises(SweepNotFound, match="no sweep 'one'"):
        delete(database, "one", everything=True)


def test_what_another_database_left_of_the_name_is_not_touched(database: Database) -> None:
    begin(database)
    before = files()
    with writing(database.engine) as connection:
        for table in (epochs, attempts, slots, stages):
            connection.execute(table.delete())
        connection.execute(sweeps.sweeps.delete())
    for study in database.studies.owned_by("one"):
        database.studies.remove(study)

    with pytest.raises(SweepNotFound):
        delete(database, "one", everything=True)

    assert files() == before


class Ended(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("step", failpoints.STEPS_OF_DELETION)
def test_a_deletion_cut_off_at_any_step_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch, step: str, everything: bool
) -> None:
    begin(database)

    def reached(here: str) -> None:
        if here == step:
            raise Ended

    with monkeypatch.context() as patch, pytest.raises(Ended):
        patch.setattr(failpoints, "reached", reached)
        delete(database, "one", everything=everything)
    nobody_serves_it(database)
    if step != failpoints.ROWS_REMOVED:
        assert read_summary(database.engine, "one").state is SweepState.DELETING
        delete(database, "one", everything=everything)

    assert set(contents(database.engine).values()) == {0}
    assert files() == (set() if everything else KEPT)
    assert database.studies.owned_by("one") == {}


def nobody_serves_it(database: Database) -> None:
    assert database.queue.claim("w", ME) is None
    assert sweeps.active(database.engine) == []
    assert sweeps.ending(database.engine) == []
    assert database.queue.unclosed() == []


def test_a_half_deleted_sweep_takes_no_command(database: Database) -> None:
    begin(database)
    deleting.mark(database.engine, "one")
    for command in (commands.pause, commands.resume, commands.cancel, retrying.retry):
        with pytest.raises(CommandRefused, match="delet"):
            command(database.engine, "one")


def test_a_large_sweep_is_removed_in_parts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "_BATCH", 2)
    begin(database, budget=5)
    deleting.mark(database.engine, "one")
    left = []
    while deleting.remove_slots(database.engine, "one"):
        left.append(contents(database.engine)["slots"])
    assert left == [3, 1, 0]


def test_a_sweep_that_a_worker_is_at_is_not_deleted(database: Database) -> None:
    submit(database.engine)
    lease = claimed(database.queue, NOBODY)
    before = contents(database.engine)

    with pytest.raises(CommandRefused, match=r"workers are at it: worker; run `sweep cancel one`"):
        delete(database, "one")
    assert plan(database, "one").holders == ("worker",)
    commands.cancel(database.engine, "one")
    with pytest.raises(CommandRefused, match=r"at it: worker; wait until their epochs"):
        delete(database, "one")
    assert contents(database.engine) == before

    settled = database.queue.settle(lease, SlotState.CANCELLED)
    with pytest.raises(CommandRefused, match="at it: worker"):
        delete(database, "one")  # it tells Optuna now
    database.queue.close(settled)
    delete(database, "one")


@pytest.mark.parametrize("how", ["expired", "dead"])
def test_a_worker_that_is_gone_holds_no_sweep(database: Database, how: str) -> None:
    submit(database.engine)
    dead = type(ME)(**{**vars(ME), "started_at": ME.started_at - 100})
    lease = claimed(database.queue, NOBODY if how == "expired" else dead)
    if how == "expired":
        let_lease_expire(database.engine, lease)

    delete(database, "one")

    for late in (
        lambda: database.queue.renew(lease),
        lambda: database.queue.sweep_state(lease),
        lambda: database.queue.settle(lease, SlotState.COMPLETE, result=RESULT),
    ):
        with pytest.raises(LeaseLost):
            late()


def test_a_late_worker_writes_nothing_into_a_sweep_that_took_the_place(database: Database) -> None:
    submit(database.engine, budget=1)
    late = claimed(database.queue, NOBODY)
    let_lease_expire(database.engine, late)
    delete(database, "one")
    submit(database.engine, budget=1)
    new = database.queue.claim("other", ME)
    assert new is not None
    if database.engine.dialect.name == "sqlite":
        assert new.slot.id == late.slot.id, "the database gives the id again"

    with pytest.raises(LeaseLost):
        database.queue.settle(late, SlotState.FAILED)

    database.queue.renew(new)


def test_the_slots_of_a_marked_sweep_are_lost_at_once(database: Database) -> None:
    submit(database.engine)
    lease = claimed(database.queue, NOBODY)
    let_lease_expire(database.engine, lease)
    deleting.mark(database.engine, "one")
    with pytest.raises(LeaseLost):
        database.queue.sweep_state(lease)
    with pytest.raises(LeaseLost):
        database.queue.renew(lease)


def test_two_deletions_do_not_meet(database: Database) -> None:
    begin(database)
    with (
        deleting.alone(database.engine, "one"),
        pytest.raises(CommandRefused, match="another process is deleting a sweep"),
    ):
        delete(Database.open(database.url), "one")
    delete(database, "one")


def test_foreign_studies_and_files_stay(database: Database) -> None:
    begin(database)
    storage = database.studies._storage
    optuna.create_study(storage=storage, study_name="one/notebook")
    optuna.create_study(storage=storage, study_name="mine").set_user_attr(OWNER, "one")
    foreign = {
        *("runs/one/notes.txt", "runs/one/search/trial-0007/slot-99999/x"),
        *("runs/one/plots/a.png", "reports/one/talk.pdf"),
    }
    for file in foreign:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    other = Path("runs/one/search/trial-0008")
    other.mkdir()
    (other / "slot-99998").touch()

    found = delete(database, "one", everything=True)

    assert files() == foreign | {str(other / "slot-99998")}
    assert set(optuna.get_all_study_names(storage)) == {"one/notebook", "mine"}
    assert {path.name for path in found.stays} == {
        *("notes.txt", "plots", "talk.pdf", "trial-0007", "trial-0008")
    }


def test_links_are_removed_and_not_followed(database: Database, tmp_path: Path) -> None:
    begin(database)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").touch()
    (attempt,) = Path("runs/one/search").glob("trial-0001/attempt-1")
    (attempt / "link").symlink_to(tmp_path / "elsewhere")
    delete(database, "one", everything=True)
    assert (tmp_path / "elsewhere" / "precious").exists()
    assert files() == set()


def test_the_dataset_that_others_share_stays(database: Database, tmp_path: Path) -> None:
    dataset = tmp_path / "prepared" / "tiny-1"
    dataset.mkdir(parents=True)
    (dataset / "report.json").write_text('{"fingerprint": "f1"}')
    for name in ("one", "two"):
        submit(database.engine, name)
    with writing(database.engine) as connection:
        connection.execute(
            update(sweeps.sweeps).values(dataset=dataset, fingerprint="f1", runs=tmp_path / "runs")
        )
    assert plan(database, "one").stays[dataset] == "prepared dataset, used by two"
    delete(database, "one")
    assert plan(database, "two").stays[dataset] == "prepared dataset, no other sweep here uses it"
    delete(database, "two", everything=True)
    assert dataset.is_dir()


def test_a_worker_at_a_deleted_slot_is_shown_at_none(database: Database) -> None:
    submit(database.engine)
    lease = claimed(database.queue, NOBODY)
    workers.seen(database.engine, "worker", host="h", device="cpu", slot=lease.slot.id)
    let_lease_expire(database.engine, lease)
    delete(database, "one")
    submit(database.engine)
    (worker,) = read_sweep(database.engine, "one").workers
    assert worker.slot is None


def test_what_cannot_be_removed_is_told_and_the_rest_is_done_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.errors import SweepError

    begin(database)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with (
        monkeypatch.context() as patch,
        pytest.raises(SweepError, match="Permission denied") as told,
    ):
        patch.setattr(sweep_files, "_remove", refuse)
        delete(database, "one")
    assert "run `sweep delete one --yes` again" in str(told.value)
    assert "one" in sweeps.names(database.engine)
    delete(database, "one")
    assert files() == KEPT
