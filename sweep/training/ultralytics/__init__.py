"""The built-in trainer: Ultralytics' training, bent to a trial's contract."""
