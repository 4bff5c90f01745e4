"""HTTP routes of delivery: load, call, dump."""

from typing import Any
from uuid import UUID

from flask import current_app, url_for
from marshmallow import RAISE

from chassis.blueprints import Blueprint
from chassis.conditions import conditional, etag, version_check
from chassis.database import transaction
from chassis.documents import IF_MATCH, REPLAYED, text_header
from chassis.errors import Stale
from chassis.group_commit import GroupCommit
from chassis.openapi import refuses
from chassis.refusing import correlation_id
from chassis.web import database
from delivery import queries, schemas, service
from delivery.errors import CancelTheOrder, DeliveryCancelled, DeliveryExists, DeliveryNotFound, IllegalTransition
from delivery.models import DeliveryId
from delivery.scans import Report, Scan

blueprint = Blueprint("deliveries", __name__, description="Deliveries and their log")

_ETAG = {"ETag": text_header("the delivery's version", '"2"')}
#: The serial that deliveries were shown with once, or the id that they are shown with now.
_ID = "serial_or_uuid:delivery_id"

Answer = tuple[dict[str, Any], dict[str, str]]


@blueprint.post("/deliveries")
@blueprint.arguments(schemas.NewDelivery)
@blueprint.response(201, schemas.Delivery, example=schemas.EXAMPLE, headers=_ETAG)
@refuses(blueprint, DeliveryExists, DeliveryCancelled)
def open_delivery(body: dict[str, Any]) -> Answer:
    """Dispatch an order by hand

    Internal: orders are dispatched by their saga, which takes a delivery that it finds as its own.
    """
    with transaction(database()) as session:
        delivery = queries.find_delivery(session, service.open_delivery(session, **body))
    location = url_for("deliveries.show_delivery", delivery_id=delivery["public_id"])
    return delivery, {"Location": location, "ETag": etag(delivery["version"])}


@blueprint.get("/deliveries")
@blueprint.arguments(schemas.DeliveryFilters, location="query", unknown=RAISE)
@blueprint.response(200, schemas.DeliveryPage, example={"items": [schemas.SUMMARY], "next_cursor": None})
def list_deliveries(filters: dict[str, Any]) -> dict[str, Any]:
    """Deliveries without their logs, newest first unless asked otherwise"""
    with transaction(database()) as session:
        return queries.list_deliveries(session, filters)


@blueprint.get(f"/deliveries/<{_ID}>")
@blueprint.response(200, schemas.Delivery, example=schemas.EXAMPLE, headers=_ETAG)
@refuses(blueprint, DeliveryNotFound)
def show_delivery(delivery_id: DeliveryId) -> Answer:
    """A delivery and its log

    The id may be the one that answers carry, or the serial number that deliveries had at first.
    """
    with transaction(database()) as session:
        return _shown(queries.find_delivery(session, delivery_id))


@blueprint.get("/deliveries/order/<uuid:order_id>")
@blueprint.response(200, schemas.Delivery, example=schemas.EXAMPLE, headers=_ETAG)
@refuses(blueprint, DeliveryNotFound)
def show_delivery_of_order(order_id: UUID) -> Answer:
    """The delivery of an order and its log"""
    with transaction(database()) as session:
        return _shown(queries.find_delivery_of_order(session, order_id))


@blueprint.get(f"/deliveries/<{_ID}>/events")
@blueprint.arguments(schemas.EventsQuery, location="query", unknown=RAISE)
@blueprint.response(200, schemas.Events, example={"items": [schemas.ENTRY], "next_cursor": None})
@refuses(blueprint, DeliveryNotFound)
def show_log(filters: dict[str, Any], delivery_id: DeliveryId) -> dict[str, Any]:
    """A delivery's log: its dispatch, every scan and every move, in the order in which they came"""
    with transaction(database()) as session:
        return queries.list_log(session, delivery_id, filters)


@blueprint.patch(f"/deliveries/<{_ID}>/status", parameters=[IF_MATCH])
@blueprint.arguments(schemas.Scan)
@blueprint.response(
    200, schemas.ScannedDelivery, example=schemas.SCANNED_EXAMPLE, headers={**_ETAG, "Idempotent-Replayed": REPLAYED}
)
@refuses(blueprint, DeliveryNotFound, IllegalTransition, CancelTheOrder, Stale)
@conditional
def move_delivery(body: dict[str, Any], delivery_id: DeliveryId) -> Answer:
    """Report a scan of the parcel

    Every scan is kept, in whatever order they arrive. The latest decides what the parcel is, and DELIVERED stays; the
    order follows. One that comes again (the same `event_id`, or the same status, location and `occurred_at`) is kept
    once.
    """
    done = _follow(Report(delivery_id, Scan(**body), correlation_id(), version_check(parts=True)))
    return done, {"ETag": etag(done["version"]), **({"Idempotent-Replayed": "true"} if done["repeated"] else {})}


def _follow(report: Report) -> dict[str, Any]:
    """Together with the reports that came at the same moment."""
    following: GroupCommit[Report, dict[str, Any]] = current_app.extensions["following"]
    return following(report)


def _shown(delivery: dict[str, Any]) -> Answer:
    """With a tag of its own for each log: not every scan raises the version."""
    version, entries = delivery["version"], delivery["entries"]
    return delivery, {"ETag": etag(version, entries if entries != version else None)}
