"""Sales' HTTP routes: load, call, dump."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import url_for
from flask_smorest import Blueprint

from chassis.database import transaction
from chassis.web import check_version, correlation_id, database, etag, request_key
from sales import queries, service
from sales.schemas import (
    CancelIn,
    CustomerFilters,
    CustomerIn,
    CustomerList,
    CustomerOut,
    EventList,
    OrderFilters,
    OrderIn,
    OrderList,
    OrderOut,
    StatusIn,
)
from sales.status import ENDED, OrderStatus

Answer = tuple[Any, int, dict[str, str]]

blueprint = Blueprint("sales", __name__, description="Orders and customers")


@blueprint.post("/orders")
@blueprint.arguments(OrderIn)
@blueprint.response(201, OrderOut)
def place_order(draft: Mapping[str, Any]) -> Answer:
    """Take an order. It is stored before the answer, and checked, reserved and dispatched afterwards."""
    with transaction(database()) as session:
        order, replayed = service.place_order(session, draft, request_key(), correlation_id())
    return _created(order, "sales.show_order", replayed, order_id=order["id"])


@blueprint.get("/orders")
@blueprint.arguments(OrderFilters, location="query")
@blueprint.response(200, OrderList)
def list_orders(filters: Mapping[str, Any]) -> Any:
    """A page of orders, newest first unless asked otherwise."""
    with transaction(database()) as session:
        return queries.list_orders(session, filters)


@blueprint.get("/orders/<uuid:order_id>")
@blueprint.response(200, OrderOut)
def show_order(order_id: UUID) -> Answer:
    """An order."""
    with transaction(database()) as session:
        return _tagged(queries.order_with_items(session, order_id), 200)


@blueprint.get("/orders/<uuid:order_id>/events")
@blueprint.response(200, EventList)
def show_events(order_id: UUID) -> Any:
    """An order's timeline, oldest first: what happened, when, by whom and why."""
    with transaction(database()) as session:
        return {"items": queries.events_of(session, order_id), "next_cursor": None}


@blueprint.put("/orders/<uuid:order_id>/status")
@blueprint.arguments(StatusIn)
@blueprint.response(202, OrderOut)
def change_status(wanted: Mapping[str, Any], order_id: UUID) -> Answer:
    """Cancel an order, or move its parcel on. 202: asked for, and under way; 200: it is that already."""
    status = OrderStatus(wanted["status"])
    with transaction(database()) as session:
        if status == OrderStatus.CANCELLED:
            order = service.request_cancel(session, order_id, correlation_id(), check_version=check_version)
            return _tagged(order, 200 if order["status"] in ENDED else 202)
        order, asked = service.request_move(session, order_id, status, correlation_id(), check_version=check_version)
        return _tagged(order, 202 if asked else 200)


@blueprint.post("/orders/<uuid:order_id>/cancel")
@blueprint.arguments(CancelIn, required=False)
@blueprint.response(202, OrderOut)
def cancel_order(why: Mapping[str, Any] | None, order_id: UUID) -> Answer:
    """Cancel an order, at any moment before its parcel leaves. 202: under way; 200: cancelled already."""
    reason = (why or {}).get("reason")
    with transaction(database()) as session:
        order = service.request_cancel(session, order_id, correlation_id(), reason=reason, check_version=check_version)
    return _tagged(order, 200 if order["status"] in ENDED else 202)


@blueprint.post("/customers")
@blueprint.arguments(CustomerIn)
@blueprint.response(201, CustomerOut)
def register_customer(details: Mapping[str, Any]) -> Answer:
    """A new customer."""
    with transaction(database()) as session:
        row, replayed = service.register_customer(session, details, request_key())
    return _created(row._mapping, "sales.show_customer", replayed, customer_id=row.id)


@blueprint.get("/customers")
@blueprint.arguments(CustomerFilters, location="query")
@blueprint.response(200, CustomerList)
def list_customers(filters: Mapping[str, Any]) -> Any:
    """A page of customers, newest first; by e-mail address where one is given."""
    with transaction(database()) as session:
        return queries.list_customers(session, filters)


@blueprint.get("/customers/<uuid:customer_id>")
@blueprint.response(200, CustomerOut)
def show_customer(customer_id: UUID) -> Any:
    """A customer."""
    with transaction(database()) as session:
        return queries.customer(session, customer_id)


def _created(body: Any, endpoint: str, replayed: bool, **where: Any) -> Answer:
    headers = {"Location": url_for(endpoint, **where)}
    if "version" in body:
        headers["ETag"] = etag(body["version"])
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return body, 201, headers


def _tagged(order: Mapping[str, Any], status: int) -> Answer:
    return order, status, {"ETag": etag(order["version"])}
