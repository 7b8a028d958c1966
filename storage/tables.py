"""Our own tables: the truth about every budgeted trial.

Times are the database's clock, in seconds since 1970-01-01 UTC (`storage.engine.now_s`).
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

from storage.readable import Unreadable, read_all_readably, unreadable
from storage.states import SlotState, StageState, SweepState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

metadata = MetaData()
VERSION_TABLE = "sweep_alembic_version"
"""Of Alembic; beside `alembic_version`, which is Optuna's."""
Record = TypeVar("Record", bound="DataclassInstance")


def record_of(kind: type[Record], row: Row[Any], **others: Any) -> Record:
    """Make a dataclass's instance of a row's columns of the same names, and of other values.

    Raises:
        RowUnreadable: If something in it cannot be read, or is missing.
    """
    names = kind.__dataclass_fields__.keys() - others.keys()
    values = {name: getattr(row, name) for name in names}
    for name, found in (values | others).items():
        if isinstance(found, Unreadable):
            raise unreadable(row, f"{found.place}: found {found.found}")
        if found is None and name in _required(kind):
            raise unreadable(row, f"{name}: found nothing")
    return kind(**values, **others)


@cache
def _required(kind: "type[DataclassInstance]") -> frozenset[str]:
    """Return the fields of a dataclass that are never None."""
    fields = kind.__dataclass_fields__.values()
    return frozenset(
        field.name
        for field in fields
        if type(None) not in get_args(field.type) and field.type is not Any
    )


def _state(kind: type[StrEnum]) -> Enum:
    """Return a column's type for states, stored as their words."""
    values = [state.value for state in kind]
    return Enum(kind, native_enum=False, length=16, values_callable=lambda _: values)


class _FilePath(TypeDecorator[Path]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Path | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Path | None:
        return None if value is None else Path(value)


class _UtcTime(TypeDecorator[datetime]):
    """Seconds of the database's clock, read as a time with its zone."""

    impl = Float
    cache_ok = True

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("spec", JSON, nullable=False),
    Column("spec_hash", String(64), nullable=False),
    Column("dataset", _FilePath),  # null for a trainer that needs none
    Column("fingerprint", String(64), nullable=False),
    Column("runs", _FilePath, nullable=False),
    Column("model", Text, nullable=False),  # absolute path of the weights, or a model's name
    Column("model_sha256", String(64)),  # of the weights; null where the model has none
    Column("state", _state(SweepState), nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),  # higher first
    Column("created_at", _UtcTime, nullable=False),
)

stages = Table(
    "stages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sweep_id", ForeignKey("sweeps.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", String(100), nullable=False),
    Column("study", String(250), nullable=False, unique=True),
    Column("epochs", Integer, nullable=False),
    Column("state", _state(StageState), nullable=False),
    UniqueConstraint("sweep_id", "position"),
    UniqueConstraint("sweep_id", "name"),
)

slots = Table(
    "slots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("stage_id", ForeignKey("stages.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("label", String(32)),
    Column("params", JSON(none_as_null=True)),
    Column("state", _state(SlotState), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("worker", String(200)),
    Column("owner", JSON(none_as_null=True)),  # ProcessIdentity of the worker
    Column("owner_host", String(200)),  # its ProcessIdentity.machine
    Column("lease_until", Float),
    Column("claim", String(32)),  # of the call that claimed it last, which may come again
    Column("device_kind", String(16)),  # on which its epochs were trained; null without any
    Column("epochs_from", Integer),  # attempt that began its epochs anew; null where none did
    Column("trial_id", Integer),
    Column("trial_number", Integer),
    Column("failure_kind", String(16)),
    Column("message", Text),
    Column("result", JSON(none_as_null=True)),
    Column("value", Float),  # the result's objective
    Column("unprojected", Boolean, nullable=False, server_default=false()),  # Optuna must be told
    Column("started_at", _UtcTime),
    Column("finished_at", _UtcTime),
    UniqueConstraint("stage_id", "ordinal"),
    Index("ix_slots_claim", "stage_id", "state", "ordinal"),
    Index("ix_slots_best", "stage_id", "value"),
    Index(
        "ix_slots_unprojected",
        "stage_id",
        postgresql_where=text("unprojected"),
        sqlite_where=text("unprojected = 1"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("slot_id", ForeignKey("slots.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", String(200), nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("ending", String(16)),  # the slot's final state, or why it went on elsewhere
    Column("message", Text),
)

epochs = Table(
    "epochs",
    metadata,
    Column("slot_id", ForeignKey("slots.id"), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("map50", Float, nullable=False),
    Column("map50_95", Float, nullable=False),
    Column("report", JSON, nullable=False),
    Column("decision", String(16)),  # null until the pruner was asked
    Column("recorded_at", Float, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("device", String(32), nullable=False),
    Column("slot_id", Integer),
    Column("last_seen", Float, nullable=False),
)

read_all_readably(metadata)
