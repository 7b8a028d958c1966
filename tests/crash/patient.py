"""A trainer that stays at each epoch for a quarter of a second, until told to hurry.

Tests copy this file beside their sweep file; trainings hurry once a file `hurry` lies there. So a
test finds them at work however slow its own commands are, and need not wait for them in the end.
"""

import time
from pathlib import Path

from sweep import Decision, EpochReport, OnEpoch, TrialJob, TrialResult
from sweep.testing import instant_trainer

TRAINER = "patient:train"
HURRY = "hurry"
_STAY_S = 0.25


def train(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
    """Make up the epochs, one after the other."""

    def relay(report: EpochReport) -> Decision:
        if not Path(HURRY).exists():
            time.sleep(_STAY_S)
        return on_epoch(report)

    return instant_trainer(job, relay)
