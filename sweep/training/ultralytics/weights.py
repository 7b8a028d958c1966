"""`best.pt` and `last.pt`: the moving average of the weights, in the form of a finished training.

Ultralytics writes them with the optimizer's state, for which a trial has `state.ckpt`, copies the
whole model each time, and strips them when the training is over, with another reading and writing
of each. What is in them then is written here at once.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from ultralytics import __version__
from ultralytics.utils import DEFAULT_CFG_DICT, GIT

from sweep.files.atomic_write import atomic_write
from sweep.training.ultralytics.running import RunningTraining

Columns = Mapping[str, Sequence[float]]
"""`results.csv` by column."""


class WeightsFiles:
    """Writes the weights of one training.

    Args:
        training: After its first epoch: what it then says of its model holds to the end.
    """

    def __init__(self, training: RunningTraining) -> None:
        self._training = training
        model = deepcopy(training.ema.ema).half().to(memory_format=torch.contiguous_format)
        model.criterion = None
        model.args = dict(model.args)
        self._model = model

    def write(self, path: Path, results: Columns) -> None:
        """Write the weights as they are now, whole or not at all.

        Args:
            path: Of the file.
            results: Of all epochs so far.
        """
        with atomic_write(path) as file:
            torch.save(self._content(results), file)

    def _content(self, results: Columns) -> dict[str, Any]:
        training = self._training
        averages = training.ema.ema.state_dict()
        for name, target in self._model.state_dict().items():
            target.copy_(averages[name])
            if target.is_floating_point():
                torch.nan_to_num_(target)  # what 16 bits cannot hold
        settings = {**DEFAULT_CFG_DICT, **vars(training.args)}
        nothing = ("best_fitness", "stopper", "ema", "updates", "modelopt", "optimizer", "scaler")
        return {
            "epoch": -1,  # the training is over
            "model": self._model,
            **dict.fromkeys(nothing),
            "train_args": {name: settings[name] for name in DEFAULT_CFG_DICT},
            "train_metrics": {**training.metrics, "fitness": training.fitness},
            "train_results": results,
            "date": datetime.now().astimezone().isoformat(),
            "version": __version__,
            "git": {
                "root": str(GIT.root),
                **{name: getattr(GIT, name) for name in ("branch", "commit", "message", "origin")},
            },
            "license": "AGPL-3.0 (https://ultralytics.com/license)",
            "docs": "https://docs.ultralytics.com",
        }


def add_results(path: Path, results: Columns) -> None:
    """Put the results of all epochs into a weights file that was written before the last one."""
    content = torch.load(path, map_location="cpu", weights_only=False)
    with atomic_write(path) as file:
        torch.save({**content, "train_results": results}, file)
