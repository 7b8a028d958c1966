"""From a dataset file to a folder that a training can read."""
