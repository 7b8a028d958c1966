"""Whether the best trial's lead is more than what one epoch does to it."""

import itertools
import math
from collections.abc import Iterator, Sequence

from storage.snapshot.records import SlotRecord
from sweep.report.trials import TITLES
from sweep.stages.ranking import score
from sweep.training.contract import Objective

_FEWEST_EPOCHS = 4
"""Of fewer epochs nothing can be said about how much scores move from one to the next."""
_NAMED = 3


def noise(complete: Sequence[SlotRecord], best: SlotRecord, objective: Objective) -> Iterator[str]:
    """Yield a sentence where the best trial's lead over the next ones says nothing."""
    title = TITLES[objective]
    others = sorted(
        (slot for slot in complete if slot is not best),
        key=lambda slot: score(slot, objective),
        reverse=True,
    )
    top = score(best, objective)
    level = [slot for slot in others if f"{score(slot, objective):.3f}" == f"{top:.3f}"]
    if level:
        yield f"{_trials(best, level)} score the same, {title} {top:.3f}: none of them is ahead."
        return
    near = list(itertools.takewhile(lambda slot: _within_noise(best, slot, objective), others))
    if not near:
        return
    lead, moves = top - score(near[0], objective), _moves(best, near[0], objective)
    yield (
        f"{_trials(best, near)} are within noise of each other in {title}: the best leads the "
        f"second by {lead:.3f}, and from one epoch to the next its lead changed by {moves:.3f} "
        "(root mean square, second half of the training). Other seeds and other images would "
        "change it too."
    )


def _within_noise(best: SlotRecord, other: SlotRecord, objective: Objective) -> bool:
    """Whether a lead is below two standard deviations of what epochs alone do to it.

    The standard deviation is estimated from successive differences (von Neumann et al., The mean
    square successive difference, 1941), which a common trend of both curves leaves alone. It knows
    nothing of other seeds, so a greater lead is no proof.
    """
    moves = _moves(best, other, objective)
    lead = score(best, objective) - score(other, objective)
    return moves is not None and lead <= 2 * moves / math.sqrt(2)


def _moves(best: SlotRecord, other: SlotRecord, objective: Objective) -> float | None:
    """Return the root mean square change of a lead from epoch to epoch; None of too few epochs."""
    values = [
        {epoch.epoch: float(getattr(epoch, objective)) for epoch in slot.epochs}
        for slot in (best, other)
    ]
    leads = [values[0][epoch] - values[1][epoch] for epoch in sorted(values[0].keys() & values[1])]
    if len(leads) < _FEWEST_EPOCHS:
        return None
    late = leads[-max(_FEWEST_EPOCHS, math.ceil(len(leads) / 2)) :]
    return math.sqrt(
        sum((after - before) ** 2 for before, after in itertools.pairwise(late)) / (len(late) - 1)
    )


def _trials(best: SlotRecord, others: Sequence[SlotRecord]) -> str:
    """Name trials: `Trials 3, 1 and 7`, of many the first ones."""
    numbers = [str(slot.trial_number) for slot in (best, *others)]
    if len(numbers) > _NAMED:
        return f"Trials {', '.join(numbers[:_NAMED])} and {len(numbers) - _NAMED} more"
    return f"Trials {', '.join(numbers[:-1])} and {numbers[-1]}"
