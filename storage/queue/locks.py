"""In which order rows are locked, so that no two transactions wait for each other.

    sweep -> stages -> slots -> attempts, epochs

A transaction that locks rows of several of these tables does it in this order; a row of `workers`
is written by its worker alone. What decides by the state of a sweep, or changes what is left to do
in it, takes the sweep's row first, by a statement of its own (`lock_sweep`): cancelling, pausing,
resuming, deleting, adding, opening and finishing stages, queueing slots again, and giving a slot
back. A claim, a renewal, an epoch and a result touch the rows of one slot, whoever owns it, and
take no sweep: a sweep's workers do not wait for each other.

On PostgreSQL a statement sees what was committed before it began, not what it waited for. So
nothing may be concluded from a statement that waited; the lock is a statement before.
On SQLite a transaction that writes has the whole database.
"""

from sqlalchemy import Connection, bindparam, select

from storage.errors import SweepNotFound
from storage.readable import require_readable
from storage.states import SweepState
from storage.tables import sweeps


def lock_sweep(connection: Connection, sweep_id: int) -> SweepState:
    """Keep others from changing a sweep's state and stages in this transaction; return its state.

    Raises:
        SweepNotFound: If it is gone.
        RowUnreadable: If its state cannot be read.
    """
    sweep = connection.execute(_LOCK, {"of_sweep": sweep_id}).first()
    if sweep is None:
        raise SweepNotFound(f"the sweep with the id {sweep_id} is gone")
    require_readable(sweep)
    return SweepState(sweep.state)


_LOCK = (
    select(sweeps.c.id, sweeps.c.state)
    .where(sweeps.c.id == bindparam("of_sweep"))
    .with_for_update()
)
