"""The Optuna side of a sweep: ordinary studies in the same database."""
