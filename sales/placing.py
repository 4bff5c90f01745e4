"""New orders are taken: each with its lines, its saga and its first message, or not at all.

Takes a session, never commits. Works on all the requests that came at the same moment (chassis.group_commit), with the
same few statements for one as for sixty.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from chassis.database import recordset
from chassis.errors import AppError
from chassis.idempotency import RequestKey, insert_once, replay_of
from chassis.outbox import MOST_LINES, MOST_ORDERS
from chassis.settings import settings
from chassis.together import RowHeld
from sales import chains
from sales.backlog import Backlog
from sales.chains import Beginning
from sales.errors import CustomerNotFound, TooManyOpenOrders, UnknownCustomer
from sales.models import customers, orders
from sales.queries import customer, order_with_items
from sales.status import OrderStatus
from sales.timeline import Event, Kind, add_events

S = OrderStatus


@dataclass(frozen=True, slots=True)
class Draft:
    """A request for an order: its body (``customer_id``, ``items``, maybe ``delivery_address``), and whose it is."""

    body: Mapping[str, Any]
    key: RequestKey | None
    correlation_id: str

    @property
    def size(self) -> int:
        """In lines: so many that what fits into one message fits into one transaction."""
        return max(len(self.body["items"]), MOST_LINES // MOST_ORDERS)


@dataclass(frozen=True, slots=True)
class Placed:
    """The order as it is now; ``replayed`` when this very request made it before."""

    order: dict[str, Any]
    replayed: bool


def place_order(
    session: Session, body: Mapping[str, Any], key: RequestKey | None, correlation_id: str
) -> tuple[dict[str, Any], bool]:
    """``place_orders`` for one: the order, and whether it was made before. Raises its refusal."""
    [outcome] = place_orders(session, [Draft(body, key, correlation_id)], wait=True)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.order, outcome.replayed


def place_orders(session: Session, drafts: Sequence[Draft], *, wait: bool) -> list[Placed | AppError | RowHeld]:
    """Take these orders and set their sagas going; or find those that these very requests made before.

    An order, its saga row and its message are one transaction: an order that was answered for is never lost. A request
    that is refused has changed nothing: UnknownCustomer, IdempotencyKeyReused, TooManyOpenOrders. Unless ``wait``, so
    has one whose customer's row another transaction holds (RowHeld), and nothing else is waited for longer than
    ``PATIENCE``: then the database's error is raised.
    """
    backlog: Backlog | None = session.info.get("backlog")
    known: dict[RequestKey, UUID] = {}  # copies of one request are one order, and are asked for once
    ids = [known.setdefault(draft.key, uuid7()) if draft.key else uuid7() for draft in drafts]
    asked = dict(zip(ids, drafts, strict=True))
    refused_or_replayed: dict[UUID, Placed | AppError | RowHeld] = {}
    if backlog is not None and (room := backlog.take(session, len(asked), in_turn=not wait)) < len(asked):
        refused_or_replayed.update(_too_many(session, asked, room, TooManyOpenOrders(backlog.most)))
        asked = {order_id: draft for order_id, draft in asked.items() if order_id not in refused_or_replayed}
    made = _insert_orders(session, asked, wait=wait) if asked else {}
    # In one order in every group, as above.
    for order_id in sorted(asked.keys() - made.keys(), key=lambda each: str(asked[each].key)):
        outcome = _insert_alone(session, order_id, asked[order_id], wait=wait)
        if isinstance(outcome, Placed | AppError | RowHeld):
            refused_or_replayed[order_id] = outcome
        else:
            made[order_id] = outcome
    placed = _begin(session, [(made[order_id], draft) for order_id, draft in asked.items() if order_id in made])
    return list(_outcomes(ids, {**refused_or_replayed, **placed}))


def _too_many(
    session: Session, asked: Mapping[UUID, Draft], room: int, refusal: TooManyOpenOrders
) -> dict[UUID, Placed | AppError | RowHeld]:
    """Those for whom there is no room, and those that were made before, which need none."""
    outcomes: dict[UUID, Placed | AppError | RowHeld] = {}
    for order_id, draft in asked.items():
        outcome = _if_made_before(session, draft, refusal)
        if outcome is refusal and room > 0:
            room -= 1
        else:
            outcomes[order_id] = outcome
    return outcomes


def _outcomes(
    ids: Iterable[UUID], by_order: Mapping[UUID, Placed | AppError | RowHeld]
) -> Iterator[Placed | AppError | RowHeld]:
    """Each request's outcome; a second request for the same order is a replay of the first."""
    given: set[UUID] = set()
    for order_id in ids:
        outcome = by_order[order_id]
        yield replace(outcome, replayed=True) if isinstance(outcome, Placed) and order_id in given else outcome
        given.add(order_id)


#: How long a group waits, in all, for anything but customers: for copies of a request that are under way elsewhere.
PATIENCE = "500ms"

# To store an order is to lock its customer's row against its deletion, and whoever holds that row FOR UPDATE keeps
# orders waiting. A customer who cannot be locked at once is left out, and the orders of all others are made.
_INSERT = (
    "INSERT INTO orders"
    " (id, customer_id, status, currency, delivery_address, client, idempotency_key, request_hash)"
    " SELECT asked.id, customers.id, 'Pending', :currency, coalesce(asked.address, customers.address),"
    " asked.client, asked.key, asked.digest FROM json_to_recordset(:asked) AS asked"
    " (id uuid, customer_id uuid, address text, client text, key text, digest text)"
    " JOIN customers ON customers.id = asked.customer_id"
    # In the order of the index that copies of a request wait on, so that two groups never wait for each other.
    " ORDER BY asked.client, asked.key, asked.id"
    " FOR KEY SHARE OF customers {skip_locked} ON CONFLICT DO NOTHING RETURNING *"
)
#: By whether held rows are waited for.
_INSERT_ORDERS = {
    True: text(_INSERT.format(skip_locked="")),
    # Two statements in one round trip.
    False: text(f"SET LOCAL lock_timeout = '{PATIENCE}'; {_INSERT.format(skip_locked='SKIP LOCKED')}"),
}


def _insert_orders(session: Session, asked: Mapping[UUID, Draft], *, wait: bool) -> dict[UUID, Row[Any]]:
    """The rows of new orders, by id.

    Those of unknown customers, and of keys that were used before, are missing; unless ``wait``, of held customers too.
    """
    rows = [
        {
            "id": order_id,
            "customer_id": draft.body["customer_id"],
            "address": draft.body.get("delivery_address"),
            "client": draft.key and draft.key.client,
            "key": draft.key and draft.key.key,
            "digest": draft.key and draft.key.digest,
        }
        for order_id, draft in asked.items()
    ]
    inserted = session.execute(_INSERT_ORDERS[wait], {"asked": recordset(rows), "currency": settings().currency})
    return {row.id: row for row in inserted}


def _insert_alone(
    session: Session, order_id: UUID, draft: Draft, *, wait: bool
) -> Row[Any] | Placed | AppError | RowHeld:
    """The row of an order that was not made with the others: it was made before, its key is old, or it is refused."""
    try:
        home = customer(session, draft.body["customer_id"]).address
        if not wait and not _is_free(session, draft.body["customer_id"]):
            return _if_made_before(session, draft, RowHeld())
        values = {
            "id": order_id,
            "customer_id": draft.body["customer_id"],
            "status": S.PENDING,
            "currency": settings().currency,
            "delivery_address": draft.body.get("delivery_address") or home,
        }
        row, replayed = insert_once(session, orders, values, draft.key)
    except CustomerNotFound:
        return UnknownCustomer(draft.body["customer_id"])
    except AppError as refusal:
        return refusal
    return Placed(order_with_items(session, row.id), replayed=True) if replayed else row


def _is_free(session: Session, customer_id: UUID) -> bool:
    """Whether this customer's row could be locked at once as an order needs it; it is locked then."""
    row = select(customers.c.id).where(customers.c.id == customer_id)
    return session.execute(row.with_for_update(key_share=True, read=True, skip_locked=True)).first() is not None


_INSERT_ITEMS = text(
    "INSERT INTO order_items (order_id, product_id, quantity, price) SELECT order_id, product_id, quantity, price"
    " FROM ROWS FROM (json_to_recordset(:items) AS (order_id uuid, product_id uuid, quantity int, price numeric))"
    " WITH ORDINALITY AS item (order_id, product_id, quantity, price, turn) ORDER BY turn"
)


def _begin(session: Session, made: Iterable[tuple[Row[Any], Draft]]) -> dict[UUID, Placed]:
    """What belongs to new orders beside their rows: lines, message, saga, timeline."""
    beginnings = [Beginning(order, _items(order.id, draft), draft.correlation_id) for order, draft in made]
    if not beginnings:
        return {}
    session.execute(_INSERT_ITEMS, {"items": recordset(item for each in beginnings for item in each.items)})
    chains.send_place(session, beginnings)
    add_events(
        session,
        [
            Event(each.order.id, Kind.PLACED, 0, "customer", None, S.PENDING, None, each.correlation_id)
            for each in beginnings
        ],
    )
    return {
        each.order.id: Placed({**each.order._mapping, "items": each.items, **_UNEXPLAINED}, replayed=False)
        for each in beginnings
    }


#: Nothing has happened to a new order that would have to be explained.
_UNEXPLAINED = {"reason_detail": None, "attention": None, "attention_reason": None}


def _items(order_id: UUID, draft: Draft) -> list[dict[str, Any]]:
    """An order's lines as they are stored, without name and price: a price here is what the customer saw."""
    unknown = {"sku": None, "product_name": None, "price": None}
    return [{"order_id": order_id, **unknown, **line} for line in draft.body["items"]]


def _if_made_before(session: Session, draft: Draft, otherwise: AppError | RowHeld) -> Placed | AppError | RowHeld:
    """The order that this request made before, which needs no room and locks nothing; else what is given."""
    try:
        found = replay_of(session, orders, draft.key) if draft.key else None
    except AppError as reused:
        return reused
    return Placed(order_with_items(session, found.id), replayed=True) if found else otherwise
