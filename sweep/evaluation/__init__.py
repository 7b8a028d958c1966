"""Judging a trained model on a split it has not seen."""
