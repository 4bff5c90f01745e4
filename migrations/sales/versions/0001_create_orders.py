"""Customers, orders and their lines, timeline, sagas and quarantine."""

import sqlalchemy as sa
from alembic import op

from chassis.migrations import create_chassis_tables, drop_chassis_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_index(
        op.f("ix_customers_client_idempotency_key"),
        "customers",
        ["client", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_customers_email", "customers", [sa.literal_column("lower(email)")], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_quarantine")),
        sa.CheckConstraint("state IN ('waiting', 'replayed', 'dropped')", name=op.f("ck_quarantine_state")),
    )
    op.create_index("ix_quarantine_order_id", "quarantine", ["order_id"], unique=False)
    op.create_index("ix_quarantine_state_last_seen", "quarantine", ["state", "last_seen"], unique=False)
    op.create_table(
        "orders",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="a code: why it was rejected or cancelled"),
        sa.Column(
            "total_amount",
            sa.Numeric(precision=20, scale=2),
            nullable=True,
            comment="null until the catalogue has named its prices",
        ),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("delivery_address", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_hash", sa.Text(), nullable=True),
        sa.Column("needs_attention", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("delivery_status", sa.Text(), nullable=True, comment="the newest that delivery has told"),
        sa.Column("delivery_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "delivery_asked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the sweeper last asked delivery about it",
        ),
        sa.Column(
            "version", sa.Integer(), server_default=sa.text("1"), nullable=False, comment="counts changes, for ETag"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_orders_customer_id_customers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.CheckConstraint(
            "status IN ('Pending', 'Pending Shipment', 'In Transit', 'Delivered', 'Delivery Failed', 'Cancelling', 'Cancelled', 'Rejected')",
            name=op.f("ck_orders_status"),
        ),
    )
    op.create_index(
        "ix_orders_attention", "orders", ["created_at", "id"], unique=False, postgresql_where=sa.text("needs_attention")
    )
    op.create_index(
        op.f("ix_orders_client_idempotency_key"),
        "orders",
        ["client", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("ix_orders_created_at", "orders", ["created_at", "id"], unique=False)
    op.create_index("ix_orders_customer_id_created_at", "orders", ["customer_id", "created_at", "id"], unique=False)
    op.create_index(
        "ix_orders_shipped",
        "orders",
        [sa.text("GREATEST(updated_at, delivery_asked_at)")],
        unique=False,
        postgresql_where=sa.text("status IN ('Pending Shipment', 'In Transit')"),
    )
    op.create_index("ix_orders_status_created_at", "orders", ["status", "created_at", "id"], unique=False)
    op.create_table(
        "order_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "number", sa.Integer(), nullable=False, comment="with the kind, what makes a re-sent event the same event"
        ),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
    )
    op.create_index("uq_order_events_order_id_kind_number", "order_events", ["order_id", "kind", "number"], unique=True)
    op.create_table(
        "order_items",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("product_id", sa.UUID(), nullable=False),
        sa.Column(
            "product_name", sa.Text(), nullable=True, comment="as the catalogue had it when the order was priced"
        ),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column(
            "price",
            sa.Numeric(precision=12, scale=2),
            nullable=True,
            comment="the one the customer saw, if told; then the catalogue's",
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_items_order_id_orders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_items")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_order_items_quantity")),
    )
    op.create_index(op.f("ix_order_items_order_id"), "order_items", ["order_id"], unique=False)
    op.create_table(
        "order_sagas",
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False, comment="0 for place; numbers the cancel requests"),
        sa.Column("correlation_id", sa.Text(), nullable=True),
        sa.Column(
            "outbox_id",
            sa.BigInteger(),
            nullable=True,
            comment="the row that last sent the chain: not re-sent while it waits",
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="re-sends of a chain that was lost",
        ),
        sa.Column(
            "sends", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="all re-sends, for the back-off"
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the chain was sent last",
        ),
        sa.Column(
            "deadline",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the sweeper looks at it; null once closed",
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "reached_end",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="closed by its last step: what was sent before it has got through, or is lost",
        ),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_sagas_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_sagas")),
        sa.CheckConstraint("kind IN ('place', 'cancel')", name=op.f("ck_order_sagas_kind")),
    )
    op.create_index(
        "ix_order_sagas_reached_end",
        "order_sagas",
        ["kind", "started_at"],
        unique=False,
        postgresql_where=sa.text("reached_end"),
    )
    op.create_index("ix_order_sagas_kind_closed_at", "order_sagas", ["kind", "closed_at"], unique=False)
    op.create_index(
        "ix_order_sagas_deadline",
        "order_sagas",
        ["deadline"],
        unique=False,
        postgresql_where=sa.text("deadline IS NOT NULL"),
    )
    create_chassis_tables()


def downgrade() -> None:
    drop_chassis_tables()
    for table in ("quarantine", "order_sagas", "order_events", "order_items", "orders", "customers"):
        op.drop_table(table)
