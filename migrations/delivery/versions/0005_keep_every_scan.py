"""Every scan of a courier is in the log, with the time at which it happened and the courier's name for it.

What the release before writes happened when it was written: its entries leave the new columns empty, and a timestamp
stands for the time. The indexes have scans only, so that an order that is placed pays for none of them; two of them find
a scan that comes again, which the lock of its delivery keeps from being written twice.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for name, kind, comment in (
        ("occurred_at", sa.DateTime(timezone=True), "when it happened; null: at its timestamp"),
        ("courier_time", sa.DateTime(timezone=True), "when it happened, in the courier's own words"),
        ("event_id", sa.Text(), "the courier's name for this scan"),
    ):
        op.add_column("delivery_logs", sa.Column(name, kind, comment=comment))
    op.create_index(
        "ix_delivery_logs_latest",
        "delivery_logs",
        ["delivery_id", sa.text('coalesce(occurred_at, "timestamp")')],
        postgresql_where=sa.text("status IN ('IN_TRANSIT', 'FAILED')"),
    )
    for name in ("event_id", "courier_time"):
        op.create_index(
            f"ix_delivery_logs_{name}",
            "delivery_logs",
            ["delivery_id", name],
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )


def downgrade() -> None:
    for index in ("courier_time", "event_id", "latest"):
        op.drop_index(f"ix_delivery_logs_{index}", "delivery_logs")
    for name in ("event_id", "courier_time", "occurred_at"):
        op.drop_column("delivery_logs", name)
