"""The Optuna side of a sweep: ordinary studies in the same database."""

import warnings

import optuna
from optuna.exceptions import ExperimentalWarning

optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line a trial else
warnings.filterwarnings("ignore", category=ExperimentalWarning)
