"""HTTP routes of sales for operators, not public: what could not be worked on, orders that hang. Load, call, dump."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import RAISE
from sqlalchemy.orm import Session

from chassis.blueprints import Blueprint
from chassis.changing import changing
from chassis.conditions import check_version, conditional, etag
from chassis.database import transaction
from chassis.documents import IF_MATCH
from chassis.errors import Stale
from chassis.openapi import refuses
from chassis.refusing import correlation_id
from chassis.web import database
from sales import faults, operator_schemas, quarantined, schemas, service
from sales.errors import (
    AlreadySettled,
    IllegalTransition,
    MessageNotFound,
    NothingToResume,
    NotReplayable,
    OrderNotFound,
)
from sales.status import ENDED

blueprint = Blueprint("operators", __name__, description="For operators: what hangs, and what to do with it")

#: An id may be anything that some sender thought of.
_MESSAGE = "/quarantine/<path:message_id>"

Answer = tuple[Any, int, dict[str, str]]


@blueprint.get("/quarantine")
@blueprint.arguments(operator_schemas.QuarantineFilters, location="query", unknown=RAISE)
@blueprint.response(
    200, operator_schemas.QuarantinePage, example={"items": [operator_schemas.SUMMARY], "next_cursor": None}
)
def list_quarantine(filters: Mapping[str, Any]) -> Any:
    """Messages that nobody could work on, last seen first"""
    with transaction(database()) as session:
        return quarantined.list_quarantine(session, filters)


@blueprint.get(_MESSAGE)
@blueprint.response(200, operator_schemas.MessageOut, example=operator_schemas.MESSAGE)
@refuses(blueprint, MessageNotFound)
def show_message(message_id: str) -> Any:
    """A message that nobody could work on, whole"""
    with transaction(database()) as session:
        return quarantined.message_in_full(session, message_id)


@blueprint.post(f"{_MESSAGE}/replay")
@blueprint.arguments(operator_schemas.By)
@blueprint.response(200, operator_schemas.MessageOut, example=operator_schemas.MESSAGE)
@refuses(blueprint, MessageNotFound, NotReplayable, AlreadySettled)
def replay_message(by: Mapping[str, str], message_id: str) -> Any:
    """Send a message again

    It is sent on its own, and its orders need attention no longer, unless another message about them waits. Of a
    message that was replayed before nothing is sent, and the answer shows who did; one that was dropped is refused.
    """

    def replay(session: Session) -> Any:
        faults.replay_message(session, message_id, by["actor"])
        return quarantined.message_in_full(session, message_id)

    return changing(replay)


@blueprint.post(f"{_MESSAGE}/drop")
@blueprint.arguments(operator_schemas.Because)
@blueprint.response(200, operator_schemas.MessageOut, example=operator_schemas.MESSAGE)
@refuses(blueprint, MessageNotFound, AlreadySettled)
def drop_message(why: Mapping[str, str], message_id: str) -> Any:
    """Settle a message that is not needed any more

    Its orders keep their flags, `flagged_orders` names them. One that was dropped before stays as it is, one that was
    replayed is refused.
    """

    def drop(session: Session) -> Any:
        faults.drop_message(session, message_id, why["actor"], why["reason"])
        return quarantined.message_in_full(session, message_id)

    return changing(drop)


@blueprint.post("/orders/<uuid:order_id>/resume")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.arguments(operator_schemas.MaybeBecause)
@blueprint.response(202, schemas.OrderOut, example=schemas.ORDER, description="its chain was sent again")
@blueprint.alt_response(200, schema=schemas.OrderOut, example=schemas.ORDER, description="nothing was under way")
@refuses(blueprint, OrderNotFound, NothingToResume, Stale)
@conditional
def resume_order(why: Mapping[str, Any], order_id: UUID) -> Answer:
    """Let an order go on that needed attention

    Its flag is cleared, and its chain sent again where it has not ended. Refused where neither is to be done.
    """

    def resume(session: Session) -> Answer:
        check_version(service.hold_order(session, order_id).version)
        return _tagged(service.resume(session, order_id, why["actor"], why.get("reason")))

    return changing(resume)


@blueprint.post("/orders/<uuid:order_id>/compensate")
@blueprint.doc(parameters=[IF_MATCH])
@blueprint.arguments(operator_schemas.Because)
@blueprint.response(202, schemas.OrderOut, example=schemas.CANCELLING, description="under way")
@blueprint.alt_response(200, schema=schemas.OrderOut, example=schemas.CANCELLED, description="it is cancelled already")
@refuses(blueprint, OrderNotFound, IllegalTransition, Stale)
@conditional
def compensate_order(why: Mapping[str, str], order_id: UUID) -> Answer:
    """Give up on an order

    Whatever it hangs in, its cancel chain stops the parcel, gives the stock back and ends it as Cancelled.
    """

    def compensate(session: Session) -> Answer:
        check_version(service.hold_order(session, order_id).version)
        return _tagged(service.compensate(session, order_id, why["actor"], why["reason"], correlation_id()))

    return changing(compensate)


def _tagged(order: Mapping[str, Any]) -> Answer:
    return order, 200 if order["status"] in ENDED else 202, {"ETag": etag(order["version"])}
