"""What can go wrong here and nowhere else.

AppError
├── NotFound  404
│   └── DeliveryNotFound   there is no such delivery, or none of this order
└── Conflict  409
    ├── IllegalTransition  this status does not follow the one that the delivery has
    ├── CancelTheOrder     a delivery is cancelled by cancelling its order
    ├── DeliveryExists     the order has a delivery
    └── DeliveryCancelled  the order was cancelled, before or after its delivery was made
"""

from collections.abc import Iterable

from chassis import errors
from chassis.errors import Conflict, NotFound


class DeliveryNotFound(NotFound):
    """There is no such delivery, or none of this order."""

    code, title = "delivery_not_found", "There is no such delivery"


class IllegalTransition(errors.IllegalTransition):
    """This status does not follow the one that the delivery has."""

    code, title = "illegal_transition", "The delivery cannot go there from where it is"
    example = {"from": "PENDING", "to": "DELIVERED", "allowed": ["IN_TRANSIT", "CANCELLED"]}

    def __init__(self, current: str, to: str, allowed: Iterable[str]) -> None:
        names = [str(each) for each in allowed]
        detail = f"A delivery cannot go from {current} to {to}; from {current} it can go to {_listed(names)}."
        super().__init__(detail, current, to, names)


class CancelTheOrder(Conflict):
    """A delivery is cancelled by cancelling its order, which also gives the stock back."""

    code, title = "cancel_the_order", "Cancel the order instead"
    example = {"order_id": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3"}


class DeliveryExists(Conflict):
    """The order has a delivery."""

    code, title = "delivery_exists", "The order has a delivery"
    example = {"delivery_id": "01920f3e-7f02-7c11-8d46-02a7b3c4d5e6"}


class DeliveryCancelled(Conflict):
    """The order was cancelled, before or after its delivery was made."""

    code, title = "delivery_cancelled", "The delivery was cancelled"
    example = {"delivery_id": "01920f3e-7f02-7c11-8d46-02a7b3c4d5e6"}


def _listed(names: list[str]) -> str:
    return " or ".join(names) if names else "nothing else"
