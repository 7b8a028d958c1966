"""The work that every row of `bench/peers.py` does: a few trainings, read from `task.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """Trainings that differ in optimizer and learning rate only."""

    data: str
    """Ultralytics' `data.yaml`."""
    epochs: int
    imgsz: int
    batch: int
    trials: tuple[tuple[str, float], ...]
    """Optimizer and lr0 of each training."""
    processes: int
    """How many train at the same time, where a row lets several."""

    @classmethod
    def read(cls, path: str) -> "Task":
        """Read what `write` wrote."""
        found = json.loads(Path(path).read_text())
        return cls(**{**found, "trials": tuple(map(tuple, found["trials"]))})

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(vars(self)))

    def settings(self, number: int) -> dict[str, Any]:
        """Return what Ultralytics is told for a training; it writes into `trial<number>` here."""
        optimizer, lr0 = self.trials[number]
        return {
            **{"data": self.data, "epochs": self.epochs, "imgsz": self.imgsz},
            **{"batch": self.batch, "nbs": self.batch, "optimizer": optimizer, "lr0": lr0},
            **{"device": "cpu", "plots": False},
            **{"project": str(Path.cwd()), "name": f"trial{number}"},
        }
