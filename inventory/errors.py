"""What can go wrong here and nowhere else.

AppError
├── NotFound  404
│   └── ProductNotFound    there is no such product
└── Conflict  409
    ├── SkuTaken           another product has this SKU
    ├── SkuLookalike       another product's SKU looks like this one
    ├── IllegalTransition  this status does not follow the one that the product has
    └── InsufficientStock  more units would be taken away than there are
"""

from collections.abc import Iterable

from chassis import errors
from chassis.errors import Conflict, NotFound


class ProductNotFound(NotFound):
    """There is no such product."""

    code, title = "product_not_found", "There is no such product"


class SkuTaken(Conflict):
    """Another product has this SKU."""

    code, title = "sku_taken", "Another product has this SKU"


class SkuLookalike(Conflict):
    """Another product's SKU differs from this one only in case, width or alphabet; the answer names that product."""

    code, title = "sku_lookalike", "Another product's SKU looks like this one"
    example = {"product_id": "01920f3e-7d4c-7bb2-a3c5-d8e9f0a1b2c3", "sku": "LAMP-BLUE"}


class IllegalTransition(errors.IllegalTransition):
    """This status does not follow the one that the product has."""

    code, title = "illegal_transition", "The product cannot get there from where it is"
    example = {"from": "discontinued", "to": "active", "allowed": []}

    def __init__(self, current: str, to: str, allowed: Iterable[str]) -> None:
        names = [str(each) for each in allowed]
        ways = " or ".join(names) if names else "nothing else"
        detail = f"A product cannot go from {current} to {to}; from {current} it can go to {ways}."
        super().__init__(detail, current, to, names)


class InsufficientStock(Conflict):
    """More units would be taken away than there are; says the ``stock_quantity`` there is."""

    code, title = "insufficient_stock", "Not enough stock"
    example = {"stock_quantity": 2, "quantity": -3}
