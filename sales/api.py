"""HTTP routes of sales: load, call, dump."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import current_app, url_for
from marshmallow import RAISE
from sqlalchemy.orm import Session

from chassis.blueprints import Blueprint
from chassis.changing import changing
from chassis.conditions import check_version, conditional, etag
from chassis.database import transaction
from chassis.documents import IDEMPOTENCY_KEY, IF_MATCH, REPLAYED
from chassis.errors import Stale
from chassis.group_commit import GroupCommit
from chassis.idempotency import IdempotencyKeyReused
from chassis.openapi import refuses
from chassis.reading import ReadTogether
from chassis.refusing import correlation_id
from chassis.web import database, request_key
from sales import queries, schemas, service
from sales.errors import (
    CustomerNotFound,
    EmailTaken,
    IllegalTransition,
    OrderNotFound,
    TooManyOpenOrders,
    UnknownCustomer,
)
from sales.placing import Draft, Placed
from sales.status import ENDED, OrderStatus

blueprint = Blueprint("sales", __name__, description="Customers, their orders, and what becomes of these")

_REPLAYED = {"Idempotent-Replayed": REPLAYED}

Answer = tuple[Any, int, dict[str, str]]


@blueprint.post("/orders")
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.OrderIn)
@blueprint.response(201, schemas.OrderOut, example=schemas.PLACED, headers=_REPLAYED)
@refuses(blueprint, UnknownCustomer, IdempotencyKeyReused, TooManyOpenOrders)
def place_order(draft: Mapping[str, Any]) -> Answer:
    """Take an order

    It is stored before the answer, and checked, priced, reserved and dispatched afterwards.
    """
    placed = _place(Draft(draft, request_key(), correlation_id()))
    location = url_for("sales.show_order", order_id=placed.order["id"])
    return placed.order, 201, {"Location": location, "ETag": etag(placed.order["version"]), **_replay(placed.replayed)}


@blueprint.get("/orders")
@blueprint.arguments(schemas.OrderFilters, location="query", unknown=RAISE)
@blueprint.response(200, schemas.OrderPage, example={"items": [schemas.ORDER], "next_cursor": None})
def list_orders(filters: Mapping[str, Any]) -> Any:
    """Orders, newest first unless asked otherwise

    Each comes with the first of its lines and `items_count`; `GET /orders/{order_id}` has all of them.
    """
    with transaction(database()) as session:
        return queries.list_orders(session, filters)


@blueprint.get("/orders/<uuid:order_id>")
@blueprint.response(200, schemas.OrderOut, example=schemas.ORDER)
@refuses(blueprint, OrderNotFound)
def show_order(order_id: UUID) -> Answer:
    """An order"""
    return _tagged(_show(order_id), 200)


@blueprint.get("/orders/<uuid:order_id>/events")
@blueprint.arguments(schemas.EventsQuery, location="query", unknown=RAISE)
@blueprint.response(200, schemas.Timeline, example={"items": [schemas.EVENT], "next_cursor": None})
@refuses(blueprint, OrderNotFound)
def show_events(filters: Mapping[str, Any], order_id: UUID) -> Any:
    """An order's timeline: what happened, when, by whom and why, oldest first"""
    with transaction(database()) as session:
        return queries.list_events(session, order_id, filters)


@blueprint.put("/orders/<uuid:order_id>/status")
@blueprint.arguments(schemas.StatusIn)
@blueprint.response(202, schemas.OrderOut, example=schemas.ORDER, description="asked for")
@blueprint.alt_response(200, schema=schemas.OrderOut, example=schemas.ORDER, description="it is that already")
@refuses(blueprint, OrderNotFound, IllegalTransition, Stale)
@conditional
def change_status(wanted: Mapping[str, str], order_id: UUID) -> Answer:
    """Cancel an order, or move its parcel on

    The parcel is delivery's: this asks for the move, and the order follows when delivery has made it.
    """
    status = OrderStatus(wanted["status"])
    if status == OrderStatus.CANCELLED:
        return _cancel(order_id)

    def move(session: Session) -> tuple[dict[str, Any], bool]:
        check_version(service.hold_order(session, order_id).version)
        return service.request_move(session, order_id, status, correlation_id())

    order, asked = changing(move)
    return _tagged(order, 202 if asked else 200)


@blueprint.post("/orders/<uuid:order_id>/cancel")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.arguments(schemas.CancelIn, required=False)
@blueprint.response(202, schemas.OrderOut, example=schemas.CANCELLING, description="under way")
@blueprint.alt_response(200, schema=schemas.OrderOut, example=schemas.CANCELLED, description="it is cancelled already")
@refuses(blueprint, OrderNotFound, IllegalTransition, Stale)
@conditional
def cancel_order(why: Mapping[str, str | None], order_id: UUID) -> Answer:
    """Cancel an order, at any moment before its parcel leaves

    Cancelling again changes nothing and shows the cancel that exists.
    """
    return _cancel(order_id, why.get("reason"))


@blueprint.post("/customers")
@blueprint.doc(parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.CustomerIn)
@blueprint.response(201, schemas.CustomerOut, example=schemas.CUSTOMER, headers=_REPLAYED)
@refuses(blueprint, IdempotencyKeyReused, EmailTaken)
def register_customer(details: Mapping[str, Any]) -> Answer:
    """Register a customer

    An e-mail address belongs to one customer, whatever the case of its letters.
    """
    key = request_key()
    customer, replayed = changing(lambda session: service.register_customer(session, details, key))
    location = url_for("sales.show_customer", customer_id=customer.id)
    return customer, 201, {"Location": location, **_replay(replayed)}


@blueprint.get("/customers")
@blueprint.arguments(schemas.CustomerFilters, location="query", unknown=RAISE)
@blueprint.response(200, schemas.CustomerPage, example={"items": [schemas.CUSTOMER], "next_cursor": None})
def list_customers(filters: Mapping[str, Any]) -> Any:
    """Customers, newest first; by e-mail address where one is given"""
    with transaction(database()) as session:
        return queries.list_customers(session, filters)


@blueprint.get("/customers/<uuid:customer_id>")
@blueprint.response(200, schemas.CustomerOut, example=schemas.CUSTOMER)
@refuses(blueprint, CustomerNotFound)
def show_customer(customer_id: UUID) -> Any:
    """A customer"""
    with transaction(database()) as session:
        return queries.customer(session, customer_id)


def _place(draft: Draft) -> Placed:
    """Together with the requests that came at the same moment."""
    placing: GroupCommit[Draft, Placed] = current_app.extensions["placing"]
    return placing(draft)


def _show(order_id: UUID) -> dict[str, Any]:
    """Together with the orders that others look for at the same moment."""
    showing: ReadTogether[UUID, dict[str, Any]] = current_app.extensions["showing"]
    return showing(order_id)


def _cancel(order_id: UUID, reason: str | None = None) -> Answer:
    def cancel(session: Session) -> dict[str, Any]:
        check_version(service.hold_order(session, order_id).version)
        return service.request_cancel(session, order_id, correlation_id(), reason=reason)

    order = changing(cancel)
    return _tagged(order, 200 if order["status"] in ENDED else 202)


def _tagged(order: Mapping[str, Any], status: int) -> Answer:
    return order, status, {"ETag": etag(order["version"])}


def _replay(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}
