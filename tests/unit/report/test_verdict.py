from dataclasses import replace

from storage.states import SlotState
from sweep.report.data import read
from sweep.report.sections.models import judgement_section
from sweep.report.verdict import verdict
from tests.factories import BASELINE, BEST, grid, make_retrain, make_search, make_slot, make_sweep


def test_a_finished_sweep(whole):
    found = verdict(whole)

    assert found.title == "Best setting"
    assert found.headline == "AdamW, lr0 0.005, beta1 0.5"
    assert found.search == (
        "Highest mAP50-95 of 43 completed trials (trial 34): mAP50 0.360 and mAP50-95 0.212 on "
        "the validation split, at epoch 5 of 5."
    )
    assert found.test == (
        "Retrained for 100 epochs and judged on the test split (24 images), the best setting is "
        "0.117 above the baseline (SGD, lr0 0.1, momentum 0.937) in mAP50-95."
    )
    assert found.caveats[0] == "Without a score: 1 pruned, 1 failed of 45 search trials."
    assert "one training run each (seed 0) on 24 images" in found.caveats[1]


def test_a_search_that_learned_nothing_has_no_best_setting():
    slots = [make_slot(n, grid()[n], score=0.0) for n in range(3)]
    retrained = [
        make_slot(n, grid()[0], score=0.0, label=label, slot=100 + n)
        for n, label in enumerate(("baseline", "best"))
    ]

    data = read(make_sweep(make_search(slots), make_retrain(retrained)))
    found = verdict(data)

    assert data.best is None
    assert (found.headline, found.search) == ("Nothing was learned", "The search has 3 trials.")
    assert [fact.name for fact in found.facts] == ["Cost"]
    assert "no completed trial of the search (3 in all) scored above 0" in found.caveats[0]


def test_the_best_alone_is_judged_without_a_baseline(whole_sweep):
    search, retrain = whole_sweep.stages
    alone = replace(whole_sweep, stages=(search, replace(retrain, slots=retrain.slots[1:])))

    found = verdict(read(alone))

    assert found.test == (
        "Retrained for 100 epochs and judged on the test split (24 images), the best setting has "
        "mAP50-95 0.375; no baseline was trained beside it."
    )


def test_a_later_retraining_is_the_one_that_is_shown(whole_sweep):
    search, retrain = whole_sweep.stages
    again = replace(retrain, id=3, name="retrain-2", epochs=200)

    both = read(replace(whole_sweep, stages=(search, retrain, again)))
    begun = replace(again, slots=tuple(replace(slot, result=None) for slot in again.slots))
    begun = replace(
        begun, slots=tuple(replace(slot, state=SlotState.RUNNING) for slot in begun.slots)
    )
    one = read(replace(whole_sweep, stages=(search, retrain, begun)))

    assert verdict(both).test.startswith("Retrained for 200 epochs and judged on the test split")
    assert verdict(one).test.startswith("Retrained for 100 epochs and judged on the test split")


def test_hints_stand_among_the_caveats():
    slots = [make_slot(n, point) for n, point in enumerate(grid())]
    slots[35] = make_slot(35, grid()[35], score=0.5)

    found = verdict(read(make_sweep(make_search(slots))))

    assert found.caveats == ("beta1 0.9 of the best trial is the largest tried: try larger.",)


def test_an_unfinished_search_says_so():
    slots = [make_slot(0, grid()[0])]
    slots += [make_slot(n, grid()[n], state=SlotState.QUEUED) for n in range(1, 45)]

    found = verdict(read(make_sweep(make_search(slots), make_retrain([]))))

    assert found.title == "Best setting so far"
    assert found.test == "Baseline and best setting are retrained when the search is done."
    assert found.caveats == (
        "The search is not finished: 1 of 45 trials are settled, so the best setting may change.",
    )


def test_nothing_completed():
    found = verdict(read(make_sweep(make_search([make_slot(0, None, state=SlotState.QUEUED)]))))

    assert found.headline == "No trial has completed yet"
    assert found.test == "This sweep retrains nothing, so nothing was judged on the test split."


def failed(count: int, kind: str, message: str, first: int = 0) -> list:
    return [
        make_slot(
            n, grid()[n], state=SlotState.FAILED, epochs=0, failure_kind=kind, message=message
        )
        for n in range(first, first + count)
    ]


def test_a_search_of_failed_trials_says_so_with_the_reasons():
    slots = [*failed(40, "data", "no dataset here"), *failed(5, "oom", "out of memory", 40)]

    found = verdict(read(make_sweep(make_search(slots), make_retrain([]))))

    assert (found.title, found.headline) == ("Result", "All 45 trials of the search failed")
    assert found.search == ("Why: data: no dataset here (40 trials); oom: out of memory (5 trials)")
    assert found.test == "No trial of the search gave a setting to retrain."
    assert found.facts == ()


def test_one_failed_trial_and_a_mixture_have_their_own_words():
    one = verdict(read(make_sweep(make_search(failed(1, "oom", "full")))))
    pruned = make_slot(1, grid()[1], state=SlotState.PRUNED, epochs=1)
    both = verdict(read(make_sweep(make_search([*failed(1, "oom", "full"), pruned]))))

    assert one.headline == "The only trial of the search failed"
    assert both.headline == "No trial of the search has a score"


def test_what_failed_so_far_is_told_before_the_first_score():
    waiting = make_slot(1, None, state=SlotState.QUEUED)

    found = verdict(read(make_sweep(make_search([*failed(1, "oom", "full"), waiting]))))

    assert found.headline == "No trial has completed yet"
    assert found.search == "Why: oom: full (1 trial)"


def test_a_failed_retraining_is_named_not_hidden():
    failed = make_slot(
        0, BASELINE, state=SlotState.FAILED, label="baseline", failure_kind="diverged", message="x"
    )
    running = make_slot(1, BEST, state=SlotState.RUNNING, label="best")

    found = verdict(read(make_sweep(make_search(), make_retrain([failed, running]))))

    assert found.test == (
        "There is no comparison on the test split: baseline: its training is failed (diverged: x); "
        "best: its training is running."
    )


def test_models_judged_on_the_validation_split_carry_a_warning(whole):
    runs = tuple(
        replace(run, evaluation=run.evaluation.model_copy(update={"split": "val"}))
        for run in whole.retrained
    )
    spec = {**whole.sweep.spec, "retrain": {**whole.sweep.spec["retrain"], "judge_on": "val"}}
    data = replace(whole, retrained=runs, sweep=replace(whole.sweep, spec=spec))

    found = verdict(data)

    assert "judged on the val split (24 images)" in found.test
    assert "so their scores are too high" in " ".join(found.caveats)
    assert "too high" not in " ".join(verdict(whole).caveats)
    assert any("val split" in fact.detail for fact in found.facts)
    assert judgement_section(data)["compared"].split == "val"
    waiting = replace(data, retrained=())
    assert verdict(waiting).test.startswith("There is no comparison on the val split: ")
