"""Every private or undocumented part of Optuna that this program relies on, and why.

A new version of Optuna may change them without a word, so pyproject.toml keeps it below the next
one, and tests/contracts/test_optuna_private.py says which function here to look at.
"""

from typing import Any

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from storage.outage import away, gone


def create_trial(storage: RDBStorage, study_id: int, template: FrozenTrial) -> FrozenTrial:
    """Store a trial like `template` in one transaction; return it with its number and id.

    Relies on `RDBStorage._create_new_trial`. The public `create_new_trial` returns the id alone,
    and to read the number then costs six more statements.
    """
    return storage._create_new_trial(study_id, template_trial=template)


def id_of(trial: FrozenTrial) -> int:
    """Return the id by which a storage knows a trial.

    Relies on `FrozenTrial._trial_id`. Public is the number in the study alone, and to look the id
    up by it costs a statement a trial.
    """
    return int(trial._trial_id)


def open_trial(study: Study, trial_id: int) -> Trial:
    """Return a running trial whose sampler and pruner can be asked.

    Relies on the constructor of `Trial`, which Optuna tells its users not to call (public is only
    `Study.ask`, which makes another trial), and on the study's storage, which caches: only trials
    that it has read can be given settings, and `get_trials` makes it read all.
    """
    study.get_trials(deepcopy=False)
    return Trial(study, trial_id)


def suggest_value(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    """Ask a trial's sampler for one setting.

    Relies on `Trial._suggest`. Public are `suggest_categorical`, `suggest_float` and `suggest_int`,
    which take a distribution apart and put it together again.
    """
    return trial._suggest(name, distribution)


def use_engine(storage: RDBStorage, engine: Engine, *, read_only: bool = False) -> None:
    """Let a storage use the connections of our engine instead of its own.

    Relies on `RDBStorage.engine` and `RDBStorage.scoped_session`, from which every session of it
    comes. Its constructor takes a URL and makes an engine of its own: a worker would need twice
    the connections, and its transactions on SQLite would not take the write lock in time.
    """
    storage.scoped_session.remove()
    storage.engine.dispose()
    # Optuna's transactions read and then write, so on SQLite they take the write lock at once.
    begin = "DEFERRED" if read_only else "IMMEDIATE"
    storage.engine = engine.execution_options(sqlite_begin=begin)
    storage.scoped_session.configure(bind=storage.engine)

    @event.listens_for(storage.engine, "handle_error")
    def _tell_lost_answers(context: ExceptionContext) -> None:
        # Optuna makes a trial up to five times where a commit got no answer, and each may be there.
        # The caller repeats it, who knows to look for what is there. A commit has no statement.
        error = context.sqlalchemy_exception
        if error is None or context.statement is not None or context.is_pre_ping:
            return
        if away(error):
            raise gone(error) from error
