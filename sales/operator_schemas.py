"""HTTP bodies and queries of operators: who acts and why, and the messages that nobody could work on."""

from marshmallow import Schema, fields, validate

from chassis.fields import Body, Id, Text
from sales.schemas import ORDER, PageQuery

_ACTOR = {"example": "ada", "description": "who does this, for the record"}
_STATES = ["waiting", "replayed", "dropped"]

ACTION = {"at": "2026-11-22T10:05:00.100000+00:00", "actor": "ada", "action": "replayed", "reason": None}
SUMMARY = {
    "message_id": "0192f0c2-1b7e-7d11-8c55-5d2e9b8f7a01",
    "order_id": ORDER["id"],
    "queue": "stock_queue",
    "task": "inventory.reserve_stock",
    "reason": "its worker died at it",
    "count": 3,
    "first_seen": "2026-11-22T10:00:01.300000+00:00",
    "last_seen": "2026-11-22T10:00:01.300000+00:00",
    "state": "replayed",
    "settled_by": "ada",
    "settled_at": ACTION["at"],
    "settled_reason": None,
}
MESSAGE = {
    **SUMMARY,
    "body": {"bundle": [{"order_id": ORDER["id"], "kind": "place", "no": 0}], "links": []},
    "headers": {"id": SUMMARY["message_id"], "origin": "relay"},
    "actions": [ACTION],
    "flagged_orders": [],
}


class By(Body):
    """Who acts."""

    actor = Text(most=200, required=True, metadata=_ACTOR)


class MaybeBecause(By):
    """Who acts, and maybe why."""

    reason = Text(most=1_000, allow_none=True, metadata={"example": "the shelf is back"})


class Because(By):
    """Who acts, and why."""

    reason = Text(most=1_000, required=True, metadata={"example": "the customer was told by telephone"})


class QuarantineFilters(PageQuery):
    """Which messages."""

    state = fields.String(validate=validate.OneOf(_STATES))
    order_id = Id()


class MessageSummary(Schema):
    """A message that nobody could work on, without what it carries."""

    message_id = fields.String(required=True)
    order_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "null where it is of several orders, or of none"}
    )
    queue = fields.String(required=True)
    task = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True, metadata={"description": "why nobody could work on it"})
    count = fields.Integer(required=True, metadata={"description": "how often it was tried"})
    first_seen = fields.AwareDateTime(required=True)
    last_seen = fields.AwareDateTime(required=True)
    state = fields.String(required=True, metadata={"enum": _STATES})
    settled_by = fields.String(required=True, allow_none=True)
    settled_at = fields.AwareDateTime(required=True, allow_none=True)
    settled_reason = fields.String(required=True, allow_none=True)


class QuarantinePage(Schema):
    """Messages that nobody could work on, last seen first, and where the list goes on."""

    items = fields.List(fields.Nested(MessageSummary), required=True)
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "null on the last page"})


class ActionOut(Schema):
    """What somebody did with a message."""

    at = fields.AwareDateTime(required=True)
    actor = fields.String(required=True)
    action = fields.String(required=True, metadata={"enum": _STATES[1:]})
    reason = fields.String(required=True, allow_none=True)


class MessageOut(MessageSummary):
    """A message that nobody could work on, whole."""

    body = fields.Raw(required=True, metadata={"description": "`bundle` and `links`; `text` or `base64` of a stranger"})
    headers = fields.Raw(required=True)
    actions = fields.List(
        fields.Nested(ActionOut),
        required=True,
        metadata={"description": "who replayed or dropped it, oldest first; it may have come back since"},
    )
    flagged_orders = fields.List(
        fields.UUID(),
        required=True,
        metadata={"description": "its orders that need attention still; `POST /orders/{order_id}/resume` clears that"},
    )
