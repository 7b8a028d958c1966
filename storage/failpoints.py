"""Named steps at which a test has this process killed, to prove that nothing is lost there.

`SWEEP_KILL_AT=STEP` kills the process with SIGKILL when it reaches the step; `STEP:group` kills
its process group, trainings included.
"""

import os
import signal

VARIABLE = "SWEEP_KILL_AT"
_STEP, _, _WHOM = os.environ.get(VARIABLE, "").partition(":")

CLAIMED = "claimed"
TRIAL_MADE = "trial-made"
TRIAL_RECORDED = "trial-recorded"
EPOCH_RECORDED = "epoch-recorded"
DECIDED = "decided"
SETTLED = "settled"
TOLD = "told"
CLOSED = "closed"
STEPS = (
    *(CLAIMED, TRIAL_MADE, TRIAL_RECORDED, EPOCH_RECORDED),
    *(DECIDED, SETTLED, TOLD, CLOSED),
)

DELETION_MARKED = "deletion-marked"
FILES_REMOVED = "files-removed"
STUDIES_REMOVED = "studies-removed"
SLOTS_REMOVED = "slots-removed"
ROWS_REMOVED = "rows-removed"
STEPS_OF_DELETION = (
    *(DELETION_MARKED, FILES_REMOVED, STUDIES_REMOVED, SLOTS_REMOVED),
    ROWS_REMOVED,
)


def reached(step: str) -> None:
    """Come to a step; nothing happens there but in a test of crashes."""
    if step == _STEP:
        os.killpg(0, signal.SIGKILL) if _WHOM == "group" else os.kill(os.getpid(), signal.SIGKILL)
