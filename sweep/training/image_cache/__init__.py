"""Augmented images as a function of (seed, epoch, index), shared by a host's trainings."""
