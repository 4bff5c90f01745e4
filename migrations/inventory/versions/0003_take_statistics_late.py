"""Foreign keys are checked by the index, however small the table was when the connection began."""

from chassis.migrations import take_statistics_as_ever, take_statistics_late

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    take_statistics_late("products")


def downgrade() -> None:
    take_statistics_as_ever("products")
