"""What can go wrong in sales and nowhere else.

AppError
├── NotFound  404
│   ├── OrderNotFound      there is no order with this id
│   ├── CustomerNotFound   there is no customer with this id
│   └── MessageNotFound    there is no message with this id in the quarantine
├── Conflict  409
│   ├── IllegalTransition  an order that is this cannot be asked to become that
│   ├── EmailTaken         another customer has this e-mail address
│   ├── NothingToResume    an order that has ended and needs no attention
│   ├── AlreadySettled     a message that somebody has settled in the other way
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


class EmailTaken(Conflict):
    """Another customer has this e-mail address, in this spelling of its case or in another."""

    code, title = "email_taken", "The e-mail address belongs to another customer"

    def __init__(self, email: str) -> None:
        errors = [{"field": "email", "message": "belongs to another customer"}]
        super().__init__(f"Another customer has the e-mail address {email}.", errors=errors)


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


class NothingToResume(Conflict):
    """The order has ended and needs no attention, so there is nothing to let go on."""

    code, title = "nothing_to_resume", "Nothing to resume"
    example = {"order_status": "Delivered"}

    def __init__(self, order_id: UUID, status: str) -> None:
        super().__init__(
            f"Order {order_id} is {status} and needs no attention: there is nothing to resume.",
            order_status=str(status),
        )


class AlreadySettled(Conflict):
    """The message was replayed and cannot be dropped any more, or was dropped and cannot be replayed."""

    code, title = "already_settled", "The message was settled before"
    example = {"state": "dropped", "settled_by": "ada"}

    def __init__(self, message_id: str, state: str, actor: str | None) -> None:
        detail = f"Message {message_id} was {state} by {actor or 'somebody'}; nothing was done."
        super().__init__(detail, state=state, settled_by=actor)


class NotReplayable(Conflict):
    """The message is not one that a step of ours could work on, so sending it again would change nothing."""

    code, title = "not_replayable", "Not a message of ours"

    def __init__(self, message_id: str, why: str) -> None:
        super().__init__(f"Message {message_id} cannot be replayed: {why}. `conveyor quarantine drop` settles it.")
