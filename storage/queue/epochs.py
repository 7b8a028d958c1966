"""The committed epochs of a slot, and what was decided on each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from storage.engine import now_s, upsert
from storage.queue.slots import Slot
from storage.states import SweepState
from storage.tables import epochs, sweeps


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a worker learns when it commits an epoch."""

    decision: str | None
    """What was already decided on this epoch, by an earlier attempt; None if nothing was."""
    sweep: SweepState
    """Whether the sweep goes on."""


@dataclass(frozen=True, kw_only=True)
class StoredEpoch:
    """An epoch that was committed for a slot."""

    epoch: int
    map50: float
    map50_95: float
    decision: str | None
    """None when its worker died before it could decide."""


def record(
    connection: Connection,
    slot: Slot,
    *,
    epoch: int,
    map50: float,
    map50_95: float,
    report: Mapping[str, Any],
) -> Standing:
    """Commit an epoch unless it is there; an earlier attempt's stays as it is."""
    connection.execute(
        upsert(connection, epochs)
        .values(
            slot_id=slot.id,
            epoch=epoch,
            map50=map50,
            map50_95=map50_95,
            report=dict(report),
            recorded_at=now_s(),
        )
        .on_conflict_do_nothing()
    )
    decided = select(epochs.c.decision).where(epochs.c.slot_id == slot.id, epochs.c.epoch == epoch)
    state = select(sweeps.c.state).where(sweeps.c.id == slot.sweep_id)
    decision, sweep = connection.execute(
        select(decided.scalar_subquery(), state.scalar_subquery())
    ).one()
    return Standing(decision=decision, sweep=SweepState(sweep))


def decide(connection: Connection, slot: Slot, *, epoch: int, decision: str) -> None:
    """Commit what was decided after an epoch."""
    connection.execute(
        update(epochs)
        .where(epochs.c.slot_id == slot.id, epochs.c.epoch == epoch)
        .values(decision=decision)
    )


def stored(connection: Connection, slot: int) -> list[StoredEpoch]:
    """List a slot's committed epochs, in order."""
    columns = (epochs.c.epoch, epochs.c.map50, epochs.c.map50_95, epochs.c.decision)
    rows = connection.execute(
        select(*columns).where(epochs.c.slot_id == slot).order_by(epochs.c.epoch)
    )
    return [StoredEpoch(**row) for row in rows.mappings()]
