"""Who replayed or dropped a message of the quarantine stays on record when the message comes back."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "quarantine_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine_actions")),
        sa.CheckConstraint("action IN ('replayed', 'dropped')", name=op.f("ck_quarantine_actions_action")),
    )
    op.create_index(op.f("ix_quarantine_actions_message_id"), "quarantine_actions", ["message_id"], unique=False)
    # What was settled before is on record in the messages themselves, until these come back.
    op.execute(
        "INSERT INTO quarantine_actions (message_id, at, actor, action, reason)"
        " SELECT message_id, settled_at, settled_by, state, settled_reason FROM quarantine"
        " WHERE state <> 'waiting' AND settled_at IS NOT NULL AND settled_by IS NOT NULL ORDER BY settled_at"
    )


def downgrade() -> None:
    op.drop_table("quarantine_actions")
