"""An e-mail address belongs to one customer: the oldest one that has it.

A unique index on customers would break the release before, which registers a second customer with an address while it is
still at work. So who owns which address is a table of its own, which that release neither reads nor fills. The rows of
doubles stay as they are; the younger ones own no address, and `conveyor customer doubles` lists them.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_OWNERS = """
    INSERT INTO customer_emails (email, customer_id)
    SELECT DISTINCT ON (lower(email)) lower(email), id FROM customers WHERE email !~ '[^ -~]'
    ORDER BY lower(email), created_at, id
"""


def upgrade() -> None:
    op.create_table(
        "customer_emails",
        sa.Column("email", sa.Text(), nullable=False, comment="case-folded"),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_customer_emails_customer_id_customers")
        ),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_customer_emails")),
    )
    op.execute(_OWNERS)
    if not op.get_context().as_sql:
        _own_other_addresses(op.get_bind())


def _own_other_addresses(connection: sa.Connection) -> None:
    """Those that are not ASCII: how the database folds their case depends on how it was set up."""
    others = connection.execute(
        sa.text("SELECT id, email FROM customers WHERE email ~ '[^ -~]' ORDER BY created_at, id")
    )
    for customer in others.all():
        connection.execute(
            sa.text("INSERT INTO customer_emails (email, customer_id) VALUES (:email, :id) ON CONFLICT DO NOTHING"),
            {"email": unicodedata.normalize("NFC", customer.email).casefold(), "id": customer.id},
        )


def downgrade() -> None:
    op.drop_table("customer_emails")
