"""A turn is stored once: what came of it in a row of its own, and of its exchange what no other row says."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the format forward."""
    op.create_table(
        "turns",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_turns_run_id"), "turns", ["run_id"], unique=False)
    op.add_column("exchanges", sa.Column("packed", sa.Integer(), nullable=False, server_default="0"))
