"""A permission may hold for the rest of a stage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the format forward."""
    op.add_column("decisions", sa.Column("for_stage", sa.Integer(), nullable=False, server_default="0"))
