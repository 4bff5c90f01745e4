"""Deliveries and their log."""

import sqlalchemy as sa
from alembic import op

from chassis.migrations import create_chassis_tables, drop_chassis_tables

revision = "0001"
down_revision = None

STATUSES = "status IN ('PENDING', 'IN_TRANSIT', 'DELIVERED', 'FAILED', 'CANCELLED')"


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), comment="null: cancelled before it was created"),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False, comment="counts moves"),
        sa.Column("cancel_no", sa.Integer(), server_default="0", nullable=False, comment="highest cancel number seen"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("order_id", name="uq_deliveries_order_id"),
        sa.CheckConstraint(STATUSES, name=op.f("ck_deliveries_status")),
        sa.CheckConstraint("address IS NOT NULL OR status = 'CANCELLED'", name=op.f("ck_deliveries_address")),
    )
    op.create_table(
        "delivery_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("location", sa.Text()),
        sa.Column("notes", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_logs"),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_delivery_logs_delivery_id_deliveries"),
        sa.CheckConstraint(STATUSES, name=op.f("ck_delivery_logs_status")),
    )
    op.create_index("ix_delivery_logs_delivery_id_id", "delivery_logs", ["delivery_id", "id"])
    create_chassis_tables()


def downgrade() -> None:
    drop_chassis_tables()
    op.drop_table("delivery_logs")
    op.drop_table("deliveries")
