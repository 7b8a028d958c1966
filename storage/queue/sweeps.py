"""Sweeps: stored at submit with their whole budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.engine import now_s, reading, writing
from storage.errors import SweepExists, SweepNotFound
from storage.queue.stages import NewStage, insert_stage
from storage.states import SweepState
from storage.tables import sweeps


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a sweep was asked to do, as stored."""

    id: int
    name: str
    spec: Mapping[str, Any]
    spec_hash: str
    dataset: Path | None
    """Folder of the prepared dataset; None for a trainer that needs none."""
    fingerprint: str
    runs: Path
    model: str
    model_sha256: str | None
    state: SweepState


def create(
    engine: Engine,
    *,
    name: str,
    spec: Mapping[str, Any],
    spec_hash: str,
    dataset: Path | None,
    fingerprint: str,
    runs: Path,
    model: str,
    model_sha256: str | None,
    new_stages: Sequence[NewStage],
) -> bool:
    """Store a sweep with its stages and slots; False when one of this name is there already.

    Everything in one transaction: a sweep is there with its whole budget, or not at all.
    """
    try:
        with writing(engine) as connection:
            sweep_id = connection.execute(
                insert(sweeps)
                .values(
                    name=name,
                    spec=dict(spec),
                    spec_hash=spec_hash,
                    dataset=None if dataset is None else str(dataset),
                    fingerprint=fingerprint,
                    runs=str(runs),
                    model=model,
                    model_sha256=model_sha256,
                    state=SweepState.ACTIVE,
                    created_at=now_s(),
                )
                .returning(sweeps.c.id)
            ).scalar_one()
            for stage in new_stages:
                insert_stage(connection, sweep_id, stage)
    except IntegrityError:
        return False
    return True


def add_stage(engine: Engine, sweep: str, stage: NewStage) -> None:
    """Append a stage to a sweep and make the sweep active again.

    Raises:
        SweepNotFound: If there is no sweep of this name.
        SweepExists: If the sweep has a stage of this name.
    """
    submission = get(engine, sweep)
    try:
        with writing(engine) as connection:
            insert_stage(connection, submission.id, stage)
            connection.execute(
                update(sweeps)
                .where(sweeps.c.id == submission.id, sweeps.c.state == SweepState.DONE)
                .values(state=SweepState.ACTIVE)
            )
    except IntegrityError as error:
        raise SweepExists(f"sweep {sweep!r} has a stage {stage.name!r} already") from error


def get(engine: Engine, name: str) -> Submission:
    """Read what a sweep was asked to do.

    Raises:
        SweepNotFound: If there is no sweep of this name.
    """
    with reading(engine) as connection:
        row = connection.execute(select(sweeps).where(sweeps.c.name == name)).first()
        if row is None:
            known = connection.execute(select(sweeps.c.name).order_by(sweeps.c.id)).scalars().all()
            raise SweepNotFound(
                f"no sweep {name!r} in this database; "
                + (f"there are: {', '.join(known)}" if known else "it holds none yet")
            )
    return Submission(
        id=row.id,
        name=row.name,
        spec=row.spec,
        spec_hash=row.spec_hash,
        dataset=None if row.dataset is None else Path(row.dataset),
        fingerprint=row.fingerprint,
        runs=Path(row.runs),
        model=row.model,
        model_sha256=row.model_sha256,
        state=SweepState(row.state),
    )


def names(engine: Engine) -> list[str]:
    """List all sweeps, oldest first."""
    with reading(engine) as connection:
        return list(connection.execute(select(sweeps.c.name).order_by(sweeps.c.id)).scalars())


def active(engine: Engine) -> list[str]:
    """List the sweeps that workers serve, oldest first."""
    with reading(engine) as connection:
        query = select(sweeps.c.name).where(sweeps.c.state == SweepState.ACTIVE)
        return list(connection.execute(query.order_by(sweeps.c.id)).scalars())
