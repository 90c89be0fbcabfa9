"""A run has the time from which it must be executed, and a lease the time at which it was released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_LEASES = sa.table("leases", sa.column("run_id"), sa.column("expires_at"), sa.column("released_at"))
_RUNS = sa.table("runs", sa.column("id"), sa.column("reason"))
_RELEASED = "1970-01-01T00:00:00.000000+00:00"
"""Expiry by which earlier formats marked a released lease."""


def upgrade() -> None:
    """Bring the format forward.

    A run that slept, or was measured at an open gate, said so in its reason, and its lease stays unreleased here. So
    the next engine executes it once, which writes the run's time.
    """
    op.add_column("runs", sa.Column("wake_at", sa.Text(), nullable=True))
    op.add_column("leases", sa.Column("released_at", sa.Text(), nullable=True))
    sleeping = sa.select(_RUNS.c.id).where(_RUNS.c.reason.contains('"until":', autoescape=True))
    op.execute(
        sa.update(_LEASES)
        .where(_LEASES.c.expires_at == _RELEASED, _LEASES.c.run_id.not_in(sleeping))
        .values(released_at=_LEASES.c.expires_at)
    )
