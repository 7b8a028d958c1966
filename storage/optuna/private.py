"""Every private or undocumented part of Optuna that this program relies on, and why.

A new version of Optuna may change them without a word, so pyproject.toml keeps it below the next
one, and tests/contracts/test_optuna_private.py says which function here to look at.
"""

import json
from typing import Any

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, and_, delete, event, func, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.orm import Session

from storage.outage import away, gone


def create_trial(storage: RDBStorage, study_id: int, template: FrozenTrial) -> FrozenTrial:
    """Store a trial like `template` in one transaction; return it with its number and id.

    Relies on `RDBStorage._create_new_trial`. The public `create_new_trial` returns the id alone,
    and to read the number then costs six more statements.
    """
    return storage._create_new_trial(study_id, template_trial=template)


def add_trial(
    storage: RDBStorage, connection: Connection, study_id: int, template: FrozenTrial
) -> tuple[int, int]:
    """Store a trial like `template` in a transaction of ours; return its id and number.

    Relies on `RDBStorage._get_prepared_new_trial` and on the model of a study. All that is public
    commits on a connection of its own, so that a trial and what our tables say of it could not
    come to be together.

    Args:
        storage: Optuna's tables.
        connection: To the same database, in a transaction that writes.
        study_id: The study; others can add no trial to it until the transaction ends.
        template: The trial.

    Raises:
        KeyError: If there is no such study.
        ValueError: If the study has another kind of distribution for one of the settings.
    """
    with Session(bind=connection, join_transaction_mode="rollback_only") as session:
        models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
        trial: Any = storage._get_prepared_new_trial(study_id, template, session)
        session.commit()  # writes it; the transaction is ours to end
        return trial.trial_id, trial.number


def delete_trials(storage: RDBStorage, study_id: int, *, most: int) -> bool:
    """Delete at most so many trials of a study in one transaction; False if it has none left.

    Relies on the models of RDBStorage's tables. Public is only `delete_study`, which loads all that
    hangs on each trial first and then deletes it one by one, 20 ms a trial, all in one transaction:
    on SQLite no worker could write meanwhile.
    """
    trials = models.TrialModel.__table__
    with storage.engine.begin() as connection:
        some = select(trials.c.trial_id).where(trials.c.study_id == study_id).limit(most)
        found = list(connection.execute(some).scalars())
        for table in reversed(models.BaseModel.metadata.sorted_tables):
            for key in table.foreign_keys:
                if key.references(trials):
                    connection.execute(delete(table).where(key.parent.in_(found)))
        connection.execute(delete(trials).where(trials.c.trial_id.in_(found)))
    return bool(found)


def delete_study(storage: RDBStorage, study_id: int) -> None:
    """Delete a study that has no trials.

    Relies on the models of RDBStorage's tables. The public one reads what it deletes, and so fails
    where somebody spoilt it.
    """
    studies = models.StudyModel.__table__
    with storage.engine.begin() as connection:
        for table in reversed(models.BaseModel.metadata.sorted_tables):
            for key in table.foreign_keys:
                if key.references(studies):
                    connection.execute(delete(table).where(key.parent == study_id))
        connection.execute(delete(studies).where(studies.c.study_id == study_id))


def count_trials(storage: RDBStorage, study_id: int) -> int:
    """Count the trials of a study; 0 where there is no such study.

    Relies on the models of RDBStorage's tables. The public `get_n_trials` reads all trials.
    """
    trials = models.TrialModel.__table__
    query = select(func.count()).where(trials.c.study_id == study_id)
    with storage.engine.begin() as connection:
        return int(connection.execute(query).scalar_one())


def attribute_of_studies(storage: RDBStorage, key: str) -> dict[str, Any]:
    """Return a user attribute of every study, by the study's name; None where it has none.

    Relies on the models of RDBStorage's tables. The public `get_all_studies` reads all of each, so
    what is spoilt in one study would keep a user from the others.
    """
    studies, attributes = models.StudyModel.__table__, models.StudyUserAttributeModel.__table__
    own = and_(attributes.c.study_id == studies.c.study_id, attributes.c.key == key)
    query = select(studies.c.study_name, attributes.c.value_json).outerjoin(attributes, own)
    with storage.engine.begin() as connection:
        rows = connection.execute(query).all()
    return {str(row.study_name): _decoded(row.value_json) for row in rows}


def _decoded(found: Any) -> Any:
    try:
        return json.loads(found)
    except (TypeError, ValueError):  # nothing, or spoilt
        return None


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

    And on `Study._thread_local`: there a study keeps the trials that its sampler looks at, until
    the next `Study.ask`. Without that, a sampler that was asked once would never hear of another
    trial, and what it chooses would depend on when this process asked it first.
    """
    study._thread_local.cached_all_trials = None
    study.get_trials(deepcopy=False)
    return Trial(study, trial_id)


def use_pruner(study: Study, pruner: BasePruner) -> None:
    """Let a study have a pruner, as it is after it was asked.

    Relies on `HyperbandPruner._try_initialization`. Optuna shows samplers the trials of one bracket
    alone (those of 5.0 read past that), but a pruner that was not asked yet has no brackets: what
    they choose would depend on what this process did before.
    """
    if isinstance(pruner, HyperbandPruner) and not pruner._pruners:
        pruner._try_initialization(study)
    study.pruner = pruner


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
