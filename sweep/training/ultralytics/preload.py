"""Loaded in the fork server, for its effect: what every training needs, once for all of them.

Of the modules that torch and Ultralytics load only when they are used, the ones that cost time are
named here; a test holds the server at one thread.
"""

import gc

import thop  # type: ignore[import-untyped]  # noqa: F401 - counts a model's operations
import torch._inductor.config  # noqa: F401 - torch.use_deterministic_algorithms loads it: 2 s
import torchvision.ops  # type: ignore[import-untyped]  # noqa: F401 - suppression of boxes

import sweep.training.ultralytics.trainer  # noqa: F401

gc.freeze()  # what is loaded stays: no training's collector need look at it
