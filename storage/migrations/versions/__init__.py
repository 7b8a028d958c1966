"""The history of our tables, as Alembic's revisions."""
