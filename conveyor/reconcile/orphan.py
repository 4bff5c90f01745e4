"""Orders that sales does not know, after its database was restored: what a person decides about them, on record.

Customer and prices are nowhere else, so nothing here is decided by us. An order that was settled this way is not
reported any more.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from uuid_utils.compat import uuid7

from chassis.errors import ConveyorError
from chassis.repairs import Repair, record_repair, repairs
from chassis.settings import Settings
from conveyor.databases import Readable
from conveyor.reconcile.facts import Facts, these_orders
from conveyor.reconcile.hold import Held, in_hand, open_databases
from delivery import service as delivery
from delivery.messages import CancelDelivery
from inventory import service as inventory
from inventory.messages import ReleaseStock

KEPT, GIVEN_UP = "orphan_kept", "orphan_given_up"


class NoOrphan(ConveyorError):
    """Sales knows this order, or nobody does."""

    def __init__(self, facts: Facts) -> None:
        whose = "sales knows it: conveyor order compensate" if facts.sales else "no database has heard of it"
        super().__init__(f"order {facts.order_id} is no orphan: {whose}")


class ParcelHasLeft(ConveyorError):
    """The parcel of this order cannot be stopped any more."""

    def __init__(self, order_id: str, detail: str | None) -> None:
        super().__init__(f"order {order_id} cannot be given up: {detail} Keep it: conveyor orphan keep")


class GivenUp(ConveyorError):
    """This order was given up, and cannot be kept any more."""

    def __init__(self, order_id: str, decided: Row[Any]) -> None:
        when = f"{decided.at:%Y-%m-%d %H:%M:%S}"
        super().__init__(f"order {order_id} was given up by {decided.actor} at {when}: there is nothing left to keep")


def keep(settings: Settings, order_id: UUID, actor: str, reason: str) -> bool:
    """Everything stays as it is: the parcel goes out or has arrived, its stock is gone.

    False, and nothing is done, where that was decided before. Raises NoOrphan, GivenUp.
    """
    with _orphan(settings, order_id) as (held, facts):
        decided = _decided(held, order_id)
        if decided is not None and decided.kind == GIVEN_UP:
            raise GivenUp(str(order_id), decided)
        if decided is None:
            record_repair(held.sales, _decision(KEPT, facts, actor, reason))
        return decided is None


def give_up(settings: Settings, order_id: UUID, actor: str, reason: str) -> bool:
    """The parcel stays here and the stock goes back, as if the order were cancelled. One that was kept may be given up.

    False, and nothing is done, where it was given up before. Raises NoOrphan, ParcelHasLeft.
    """
    with _orphan(settings, order_id) as (held, facts):
        decided = _decided(held, order_id)
        if decided is not None and decided.kind == GIVEN_UP and _is_undone(facts):
            return False
        (answer,) = delivery.cancel_delivery(
            held.delivery, [CancelDelivery(order_id=order_id, no=_next_cancel(held, order_id))]
        )
        if answer.outcome != "ok":
            raise ParcelHasLeft(str(order_id), answer.detail)
        inventory.release_stock(held.inventory, [ReleaseStock(order_id)])
        decision = _decision(GIVEN_UP, facts, actor, reason)
        for session in (held.sales, held.inventory, held.delivery):
            record_repair(session, decision)
        return True


def settled_orphans(databases: Readable) -> set[str]:
    """The ids of the orders that somebody has decided about."""
    with databases.reading("sales") as connection:
        decided = select(repairs.c.subject).where(repairs.c.kind.in_((KEPT, GIVEN_UP)))
        return set(connection.execute(decided).scalars())


@contextmanager
def _orphan(settings: Settings, order_id: UUID) -> Iterator[tuple[Held, Facts]]:
    with closing(open_databases(settings)) as databases, in_hand(databases.sessions, str(order_id), keep=True) as held:
        (facts,) = list(these_orders(held, [str(order_id)])) or [Facts(str(order_id), None, None, None)]
        if facts.sales or not (facts.inventory or facts.delivery):
            raise NoOrphan(facts)
        yield held, facts


def _decided(held: Held, order_id: UUID) -> Row[Any] | None:
    """What somebody decided last about this order."""
    decisions = select(repairs).where(repairs.c.subject == str(order_id), repairs.c.kind.in_((KEPT, GIVEN_UP)))
    return held.sales.execute(decisions.order_by(repairs.c.id.desc()).limit(1)).one_or_none()


def _is_undone(facts: Facts) -> bool:
    """Whether nothing is held and nothing goes out: a decision is on record in each database, and all may not have got
    it."""
    held = facts.inventory is not None and facts.inventory.state == "held"
    return not held and (facts.delivery is None or facts.delivery.status == "CANCELLED")


def _next_cancel(held: Held, order_id: UUID) -> int:
    """A number that no cancel of this order has had."""
    query = text("SELECT coalesce(max(cancel_no), 0) + 1 FROM deliveries WHERE order_id = :order_id")
    return int(held.delivery.execute(query, {"order_id": order_id}).scalar_one())


def _decision(kind: str, facts: Facts, actor: str, reason: str) -> Repair:
    stock = facts.inventory.state if facts.inventory else "none"
    parcel = facts.delivery.status if facts.delivery else "none"
    return Repair(actor, uuid7(), kind, facts.order_id, f"reservation {stock}, delivery {parcel}", reason)
