"""Where a slot was begun, from which attempt its epochs count, and by which call it was claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("slots", sa.Column("claim", sa.String(32)))
    op.add_column("slots", sa.Column("device_kind", sa.String(16)))
    op.add_column("slots", sa.Column("epochs_from", sa.Integer))
