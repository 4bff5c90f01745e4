"""What `conveyor reconcile --repair` has mended in this database."""

from chassis.migrations import create_repairs_table, drop_repairs_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_repairs_table()


def downgrade() -> None:
    drop_repairs_table()
