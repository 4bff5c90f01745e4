"""Why a request about products and stock is refused."""

from chassis.errors import Conflict, NotFound


class ProductNotFound(NotFound):
    """No product has this id."""

    code, title = "product_not_found", "There is no such product"


class SkuTaken(Conflict):
    """Another product has this SKU."""

    code, title = "sku_taken", "The SKU belongs to another product"


class IllegalMove(Conflict):
    """A product cannot go from this status to that one; says ``from``, ``to`` and what is ``allowed``."""

    code, title = "illegal_transition", "The status cannot change like this"


class InsufficientStock(Conflict):
    """More units would be taken than there are; says the ``stock_quantity`` there is."""

    code, title = "insufficient_stock", "Not enough stock"
