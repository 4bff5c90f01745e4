"""The states of a product and of a reservation, and every move a product may make."""

from enum import StrEnum

from inventory.errors import IllegalTransition


class ProductStatus(StrEnum):
    """Only an active product can be ordered; whatever its status, stock that is held for an order stays held."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DISCONTINUED = "discontinued"


#: ``inactive`` is a pause, ``discontinued`` is the end: a product that could come back was only paused.
MOVES: dict[ProductStatus, tuple[ProductStatus, ...]] = {
    ProductStatus.ACTIVE: (ProductStatus.INACTIVE, ProductStatus.DISCONTINUED),
    ProductStatus.INACTIVE: (ProductStatus.ACTIVE, ProductStatus.DISCONTINUED),
    ProductStatus.DISCONTINUED: (),
}


def check_move(current: ProductStatus, to: ProductStatus) -> None:
    """Refuse every move that the table does not name. Raises IllegalTransition.

    Staying where it is, is no move: a PATCH may name the status that the product has.
    """
    if to != current and to not in MOVES[current]:
        raise IllegalTransition(current, to, MOVES[current])


class ReservationState(StrEnum):
    """What was decided about an order's stock. ``refused`` and ``released`` are final; so is a tombstone."""

    HELD = "held"
    REFUSED = "refused"
    RELEASED = "released"


class MovementType(StrEnum):
    """Why units moved: taken for an order, given back by it, or counted by a person."""

    RESERVE = "reserve"
    RELEASE = "release"
    ADJUST = "adjust"
