"""Optuna's tables without SQL: each call is one transaction, as in its own storage for databases.

Its storage for databases costs more than all that is looked for here. So most worlds have Optuna's
storage in memory behind the same faults; some have the real one (`schedule.Plan.real_optuna`).
"""

import copy
from collections.abc import Callable
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial
from sqlalchemy.exc import OperationalError

from tests.simulation.sqlite_server import SqliteSeat

_READ = frozenset(
    {
        "get_study_id_from_name",
        "get_study_name_from_id",
        "get_study_directions",
        "get_study_user_attrs",
        "get_study_system_attrs",
        "get_all_studies",
        "get_trial",
        "get_all_trials",
        "get_n_trials",
        "get_trial_number_from_id",
        "get_best_trial",
        "get_trial_id_from_study_id_trial_number",
    }
)
_WRITTEN = frozenset(
    {
        "create_new_study",
        "delete_study",
        "set_study_user_attr",
        "set_study_system_attr",
        "create_new_trial",
        "set_trial_param",
        "set_trial_state_values",
        "set_trial_intermediate_value",
        "set_trial_user_attr",
        "set_trial_system_attr",
    }
)


def _call(name: str, *, wrote: bool) -> Callable[..., Any]:
    def call(self: "OptunaInMemory", *args: Any, **kwargs: Any) -> Any:
        return self._transaction(name, getattr(self._shared, name), args, kwargs, wrote=wrote)

    return call


class OptunaInMemory(BaseStorage):
    """One process's access to trials that all share.

    Args:
        shared: The trials.
        seat: Who asks.
    """

    def __init__(self, shared: InMemoryStorage, seat: SqliteSeat) -> None:
        self._shared = shared
        self._seat = seat

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial) -> FrozenTrial:
        def create() -> FrozenTrial:
            trial_id = self._shared.create_new_trial(study_id, template_trial)
            return copy.copy(self._shared.get_trial(trial_id))

        return self._transaction("create_new_trial", create, (), {}, wrote=True)

    def add_trial(self, study_id: int, template: FrozenTrial) -> tuple[int, int]:
        """Make a trial in the transaction that is open; it is gone if that is rolled back."""
        shared = self._shared
        self._seat.server.statement(self._seat.of(), "create_new_trial")
        trial_id = shared.create_new_trial(study_id, template)

        def undo() -> None:
            shared._studies[study_id].trials.pop()
            del shared._trial_id_to_study_id_and_number[trial_id]

        self._seat.server.undoing.append(undo)
        return trial_id, shared.get_trial(trial_id).number

    def _transaction(
        self, name: str, call: Callable[..., Any], args: Any, kwargs: Any, *, wrote: bool
    ) -> Any:
        server, process = self._seat.server, self._seat.of()
        try:
            server.begin(process, writes=wrote)
            try:
                server.statement(process, name)
                return server.commit(process, lambda: call(*args, **kwargs))
            except BaseException:
                server.rollback(process)
                raise
        except type(server.away()) as error:
            gone = OperationalError("Optuna", None, error)
            raise StorageInternalError("an exception is raised during the commit") from gone


for _name in _READ | _WRITTEN:
    setattr(OptunaInMemory, _name, _call(_name, wrote=_name in _WRITTEN))
OptunaInMemory.__abstractmethods__ = frozenset()
