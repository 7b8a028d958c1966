import csv

from sweep.report.tables import write_tables
from tests.factories import make_search, make_slot, make_sweep


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_tables_are_named_as_in_the_published_study(whole_sweep, tmp_path):
    paths = write_tables(whole_sweep, tmp_path)

    assert [path.name for path in paths] == [
        *("SGD_50.csv", "ADAM_50.csv", "ADAMW_50.csv"),
        *("SGD_50-95.csv", "ADAM_50-95.csv", "ADAMW_50-95.csv"),
        *("trials.csv", "epochs.csv"),
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_grid_has_rates_as_rows_and_momenta_as_columns(whole_sweep, tmp_path):
    write_tables(whole_sweep, tmp_path)

    assert rows(tmp_path / "ADAMW_50-95.csv")[:3] == [
        ["lr0/beta1", "0.1", "0.5", "0.9"],
        ["0.01", "0.168", "0.1954", "0.168"],
        ["0.005", "0.1823", "0.212", "0.1823"],
    ]
    assert rows(tmp_path / "SGD_50.csv")[0][0] == "lr0/momentum"
    assert rows(tmp_path / "ADAM_50.csv")[1][3] == ""  # the failed trial


def test_trials_and_epochs_are_complete(whole_sweep, tmp_path):
    write_tables(whole_sweep, tmp_path)

    trials = rows(tmp_path / "trials.csv")
    best = dict(zip(trials[0], trials[1 + 34], strict=True))
    assert len(trials) == 1 + 47
    assert best["map50_95"] == "0.212"
    assert best["effective_beta1"] == "0.5"
    failed = dict(zip(trials[0], trials[1 + 17], strict=True))
    assert (failed["map50"], failed["failure"], failed["attempts"]) == ("", "oom", "2")
    epochs = rows(tmp_path / "epochs.csv")
    assert len(epochs) == 1 + 43 * 5 + 1 + 2 + 2 * 100
    assert epochs[0][-4:] == ["val/cls_loss", "train/dfl_loss", "val/dfl_loss", "lr/pg0"]


def test_a_sweep_over_ranges_has_no_grids(tmp_path):
    space = {"lr0": {"low": 1e-4, "high": 0.1, "log": True}}
    sweep = make_sweep(make_search([make_slot(0, {"lr0": 0.01})]), space=space)

    assert [path.name for path in write_tables(sweep, tmp_path)] == ["trials.csv", "epochs.csv"]


def test_a_fixed_optimizer_names_the_table(tmp_path):
    space = {"lr0": {"choices": [0.1, 0.01]}, "momentum": {"choices": [0.9]}}
    sweep = make_sweep(
        make_search([make_slot(0, {"lr0": 0.1, "momentum": 0.9})]),
        space=space,
        train={"optimizer": "SGD"},
    )

    assert write_tables(sweep, tmp_path)[0].name == "SGD_50.csv"
