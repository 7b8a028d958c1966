"""A trainer that saves its state after every epoch and goes on from there.

Tests copy this file beside their sweep file. Under `train:`, `kill` names whom the trainer kills
while it writes its second checkpoint of the trial with `kill_lr0`, the first time: the `child`
(itself), its `supervisor`, or `both` at once.
"""

import os
import signal
from pathlib import Path

import psutil

from sweep import Decision, EpochReport, OnEpoch, TrialJob, TrialResult
from sweep.testing import instant_trainer

CHECKPOINT = "state.ckpt"


def train(job: TrialJob, on_epoch: OnEpoch) -> TrialResult:
    """Make up the epochs that no earlier attempt saved."""
    saved = max(map(_saved_epoch, job.earlier), default=0)

    def relay(report: EpochReport) -> Decision:
        if report.epoch <= saved:
            return Decision.CONTINUE
        decision = on_epoch(report)
        if decision is not Decision.PRUNE:
            _save(job, report.epoch)
        return decision

    return instant_trainer(job, relay)


def _saved_epoch(folder: Path) -> int:
    checkpoint = folder / CHECKPOINT
    return int(checkpoint.read_text()) if checkpoint.exists() else 0


def _save(job: TrialJob, epoch: int) -> None:
    part = (job.run_folder / CHECKPOINT).with_suffix(".part")
    with part.open("w") as file:
        file.write("0")  # half of it
        file.flush()
        if job.attempt == 1 and epoch == 2 and job.params["lr0"] == job.settings.get("kill_lr0"):
            _kill(str(job.settings["kill"]))
        file.seek(0)
        file.write(str(epoch))
    part.replace(job.run_folder / CHECKPOINT)


def _kill(whom: str) -> None:
    if whom == "both":
        os.killpg(0, signal.SIGKILL)
    # Between the supervisor and us is the server that forks trainings.
    victim = os.getpid() if whom == "child" else psutil.Process(os.getppid()).ppid()
    os.kill(victim, signal.SIGKILL)
