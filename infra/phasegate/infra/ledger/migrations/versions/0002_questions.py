"""Agents ask people questions, messages may be urgent, and what was used is asked before every model call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the format forward."""
    op.add_column("messages", sa.Column("urgent", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "questions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_questions_run_id"), "questions", ["run_id"], unique=False)
    columns = ["run_id", "attempt_id", "input_tokens", "cached_input_tokens", "output_tokens", "cost_usd"]
    op.create_index("ix_exchanges_usage", "exchanges", columns, unique=False)
