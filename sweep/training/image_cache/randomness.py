"""Every random number of a training, as a function of where in the training it is drawn.

What is drawn for an image, an order or a step depends on the trial's seed and on the epoch alone,
not on how long a process has lived. So a training can go on in another process, and trials that
share seed and augmentation see the same images.
"""

import random
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What random numbers are for; each has its own, at the same place."""

    ORDER = 0
    IMAGE = 1
    STEP = 2


def reseed(purpose: Purpose, seed: int, epoch: int, number: int) -> None:
    """Set the generators of Python, NumPy and PyTorch to a place in a training.

    Args:
        purpose: What is drawn there.
        seed: Of the trial, at least 0.
        epoch: From 0.
        number: Of the image or the batch, from 0.
    """
    for_python, for_numpy, for_torch = _words(purpose, seed, epoch, number)
    random.seed(for_python)
    np.random.seed(for_numpy)  # Ultralytics draws from the global generator
    # `torch.manual_seed` takes a millisecond where no GPU is in use: it notes the seed for every
    # kind of GPU, with a traceback.
    torch.default_generator.manual_seed(for_torch)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(for_torch)


def order(seed: int, epoch: int, images: int) -> list[int]:
    """Return the indices of all images in the order of an epoch, from 0."""
    generator = np.random.default_rng(_words(Purpose.ORDER, seed, epoch, 0))
    return [int(index) for index in generator.permutation(images)]


def _words(purpose: Purpose, seed: int, epoch: int, number: int) -> list[int]:
    sequence = np.random.SeedSequence([purpose, seed, epoch, number])
    return [int(word) for word in sequence.generate_state(3)]
