"""Deliveries are shown with a UUID, and listed by time and by status.

The default is for workers of the release before: what they insert gets an id of this kind, too. The index is not unique,
because that release does not know of it; ids that nobody chooses do not collide.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "deliveries",
        sa.Column(
            "public_id",
            sa.Uuid(),
            server_default=sa.func.gen_random_uuid(),
            nullable=False,
            comment="the id that is shown",
        ),
    )
    op.create_index("ix_deliveries_public_id", "deliveries", ["public_id"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at", "public_id"])
    op.create_index("ix_deliveries_status_created_at", "deliveries", ["status", "created_at", "public_id"])


def downgrade() -> None:
    for index in ("status_created_at", "created_at", "public_id"):
        op.drop_index(f"ix_deliveries_{index}", "deliveries")
    op.drop_column("deliveries", "public_id")
