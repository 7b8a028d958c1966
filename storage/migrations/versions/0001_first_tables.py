"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("dataset", sa.Text),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("runs", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_sha256", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "stages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sweep_id", sa.Integer, sa.ForeignKey("sweeps.id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("study", sa.String(250), nullable=False, unique=True),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.UniqueConstraint("sweep_id", "position"),
        sa.UniqueConstraint("sweep_id", "name"),
    )
    op.create_table(
        "slots",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("stage_id", sa.Integer, sa.ForeignKey("stages.id"), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("label", sa.String(32)),
        sa.Column("params", sa.JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("worker", sa.String(200)),
        sa.Column("owner", sa.JSON),
        sa.Column("owner_host", sa.String(200)),
        sa.Column("lease_until", sa.Float),
        sa.Column("trial_id", sa.Integer),
        sa.Column("trial_number", sa.Integer),
        sa.Column("failure_kind", sa.String(16)),
        sa.Column("message", sa.Text),
        sa.Column("result", sa.JSON),
        sa.Column("value", sa.Float),
        sa.Column("unprojected", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sa.UniqueConstraint("stage_id", "ordinal"),
    )
    op.create_index("ix_slots_claim", "slots", ["stage_id", "state", "ordinal"])
    op.create_index("ix_slots_best", "slots", ["stage_id", "value"])
    op.create_index(
        "ix_slots_unprojected",
        "slots",
        ["stage_id"],
        postgresql_where=sa.text("unprojected"),
        sqlite_where=sa.text("unprojected = 1"),
    )
    op.create_table(
        "attempts",
        sa.Column("slot_id", sa.Integer, sa.ForeignKey("slots.id"), primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", sa.String(200), nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("ending", sa.String(16)),
        sa.Column("message", sa.Text),
    )
    op.create_table(
        "epochs",
        sa.Column("slot_id", sa.Integer, sa.ForeignKey("slots.id"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("map50", sa.Float, nullable=False),
        sa.Column("map50_95", sa.Float, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("decision", sa.String(16)),
        sa.Column("recorded_at", sa.Float, nullable=False),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("slot_id", sa.Integer),
        sa.Column("last_seen", sa.Float, nullable=False),
    )
