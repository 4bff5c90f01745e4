"""Every customer's address has an owner: also of those whom 0.1 has registered while 0.2 was taking its place.

From 0.2 on whoever registers owns the address, or is refused, so that none is left behind this.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_NOT_OWNING = sa.text(
    "SELECT id, email FROM customers"
    " WHERE NOT EXISTS (SELECT FROM customer_emails WHERE customer_id = customers.id) ORDER BY created_at, id"
)
_OWN = sa.text("INSERT INTO customer_emails (email, customer_id) VALUES (:email, :id) ON CONFLICT DO NOTHING")


def upgrade() -> None:
    if op.get_context().as_sql:
        return
    connection = op.get_bind()
    for customer in connection.execute(_NOT_OWNING).all():
        # As the service folds it: how the database would depends on its locale.
        folded = unicodedata.normalize("NFC", customer.email).casefold()
        connection.execute(_OWN, {"email": folded, "id": customer.id})


def downgrade() -> None:
    """Who owns an address keeps it: the release before takes a customer for the owner all the same."""
