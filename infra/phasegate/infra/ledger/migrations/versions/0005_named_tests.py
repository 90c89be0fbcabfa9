"""A decision at gate `change` may name tests: amendments that are struck, or regressions that are accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the format forward."""
    op.add_column("decisions", sa.Column("tests", sa.Text(), nullable=False, server_default="[]"))
