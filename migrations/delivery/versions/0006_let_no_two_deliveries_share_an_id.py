"""No two deliveries are shown with one id: what 0004 could not say yet, while 0.1 was still at work.

The release before gives every delivery an id of its own. Whoever writes waits until the index is built.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

#: The release that stopped leaving the id to the default.
CONTRACTS = "0.2.0"


def upgrade() -> None:
    op.create_index("uq_deliveries_public_id", "deliveries", ["public_id"], unique=True)
    op.drop_index("ix_deliveries_public_id", "deliveries")


def downgrade() -> None:
    op.create_index("ix_deliveries_public_id", "deliveries", ["public_id"])
    op.drop_index("uq_deliveries_public_id", "deliveries")
