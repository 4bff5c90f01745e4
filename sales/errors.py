"""What can go wrong in sales and nowhere else.

AppError
├── NotFound  404
│   ├── OrderNotFound      there is no order with this id
│   ├── CustomerNotFound   there is no customer with this id
│   └── MessageNotFound    there is no message with this id in the quarantine
├── Conflict  409
│   ├── IllegalTransition  an order that is this cannot be asked to become that
│   └── NotReplayable      a message that no step of ours could work on
├── Invalid  422
│   └── UnknownCustomer    the order names a customer that does not exist
└── Unavailable  503
    └── TooManyOpenOrders  as many orders are under way as there may be
"""

from collections.abc import Sequence
from uuid import UUID

from chassis import errors
from chassis.errors import Conflict, Invalid, NotFound, Unavailable


class OrderNotFound(NotFound):
    """There is no order with this id."""

    code, title = "order_not_found", "No such order"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}.")


class CustomerNotFound(NotFound):
    """There is no customer with this id."""

    code, title = "customer_not_found", "No such customer"

    def __init__(self, customer_id: UUID) -> None:
        super().__init__(f"There is no customer {customer_id}.")


class UnknownCustomer(Invalid):
    """The order names a customer that does not exist."""

    code, title = "unknown_customer", "Unknown customer"

    def __init__(self, customer_id: UUID) -> None:
        message = f"there is no customer {customer_id}"
        super().__init__(f"customer_id: {message}", errors=[{"field": "customer_id", "message": message}])


class IllegalTransition(errors.IllegalTransition):
    """An order cannot go from its status to the one that was asked for."""

    code, title = "illegal_transition", "Not possible in this status"
    example = {"from": "Pending Shipment", "to": "Delivered", "allowed": ["Cancelled", "In Transit"]}

    def __init__(self, current: str, wanted: str, allowed: Sequence[str]) -> None:
        names = [str(each) for each in allowed]
        detail = f"An order that is {current} cannot become {wanted}; allowed: {' or '.join(names) or 'nothing'}."
        super().__init__(detail, current, wanted, names)


class TooManyOpenOrders(Unavailable):
    """As many orders are under way as there may be. Nothing was changed; send this one again in a while."""

    code, title = "too_many_open_orders", "Too many orders are under way"

    def __init__(self, most: int) -> None:
        detail = f"{most} orders are under way, and no more may be. Nothing was changed; try again in a while."
        super().__init__(detail, retry_after=10)


class MessageNotFound(NotFound):
    """There is no message with this id in the quarantine."""

    code, title = "message_not_found", "No such message in quarantine"

    def __init__(self, message_id: str) -> None:
        super().__init__(f"There is no message {message_id} in the quarantine.")


class NotReplayable(Conflict):
    """The message is not one that a step of ours could work on, so sending it again would change nothing."""

    code, title = "not_replayable", "Not a message of ours"

    def __init__(self, message_id: str, why: str) -> None:
        super().__init__(f"Message {message_id} cannot be replayed: {why}. `conveyor quarantine drop` settles it.")
