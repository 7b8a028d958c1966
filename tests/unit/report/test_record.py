"""What the report says the numbers rest on."""

from sweep.report.data import read
from sweep.report.sections.record import provenance_section
from tests.factories import grid, make_search, make_slot, make_sweep


def pairs(*slots):
    return dict(provenance_section(read(make_sweep(make_search(list(slots)))))["pairs"])


def test_trials_that_began_anew_are_told():
    first = make_slot(0, grid()[0], attempt=2)
    second = make_slot(1, grid()[1], attempt=3, epochs_from=2)
    assert "Begun anew" not in pairs(first)
    assert pairs(first, second)["Begun anew"].startswith(
        "trial 1 of search in attempt 2: could not go on from the epochs before"
    )
