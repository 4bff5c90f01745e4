"""HTTP routes of inventory: load, call, dump."""

from typing import Any
from uuid import UUID

from flask import url_for
from marshmallow import RAISE
from sqlalchemy.orm import Session

from chassis.blueprints import Blueprint
from chassis.changing import changing
from chassis.conditions import check_version, conditional, etag
from chassis.database import transaction
from chassis.documents import IDEMPOTENCY_KEY, IF_MATCH, REPLAYED, text_header
from chassis.errors import Stale
from chassis.idempotency import IdempotencyKeyReused
from chassis.openapi import refuses
from chassis.web import database, request_key
from inventory import queries, schemas, service
from inventory.errors import IllegalTransition, InsufficientStock, ProductNotFound, SkuLookalike, SkuTaken
from inventory.messages import Line

blueprint = Blueprint("products", __name__, description="The catalogue, its stock and the stock's ledger")

_ETAG_NOTE = "the product's version. It counts edits: stock that moves does not make it stale"
_ETAG = {"ETag": text_header(_ETAG_NOTE, '"2"')}
_REPLAYED = {"Idempotent-Replayed": REPLAYED}
_IF_MATCH = {
    **IF_MATCH,
    "description": "the ETag of the product that the edit was made on; a later edit answers 412, a sale does not",
}

Answer = tuple[Any, dict[str, str]]


@blueprint.get("/products")
@blueprint.arguments(schemas.ProductQuery, location="query", unknown=RAISE)
@blueprint.response(200, schemas.ProductPage, example={"items": [schemas.PRODUCT], "next_cursor": None})
def list_products(query: dict[str, Any]) -> dict[str, Any]:
    """Browse the catalogue"""
    with transaction(database()) as session:
        return queries.list_products(session, **query)


@blueprint.post("/products", parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.NewProduct)
@blueprint.response(201, schemas.Product, example=schemas.PRODUCT, headers={**_ETAG, **_REPLAYED})
@refuses(blueprint, SkuTaken, SkuLookalike, IdempotencyKeyReused)
def create_product(body: dict[str, Any]) -> Answer:
    """Add a product to the catalogue

    A SKU that differs from another product's only in case, width or alphabet is refused, unless `allow_lookalikes`.
    """
    key = request_key()
    product, replayed = changing(lambda session: service.create_product(session, body, key))
    location = url_for("products.show_product", product_id=product.id)
    return product, {"Location": location, "ETag": etag(product.version), **_replay(replayed)}


@blueprint.get("/products/<uuid:product_id>")
@blueprint.response(200, schemas.Product, example=schemas.PRODUCT, headers=_ETAG)
@refuses(blueprint, ProductNotFound)
def show_product(product_id: UUID) -> Answer:
    """A product and its stock"""
    with transaction(database()) as session:
        return _shown(queries.find_product(session, product_id))


@blueprint.patch("/products/<uuid:product_id>", parameters=[_IF_MATCH])
@blueprint.arguments(schemas.ProductChanges)
@blueprint.response(200, schemas.Product, example=schemas.PRODUCT, headers=_ETAG)
@refuses(blueprint, ProductNotFound, IllegalTransition, Stale)
@conditional
def change_product(body: dict[str, Any], product_id: UUID) -> Answer:
    """Change price, status or texts

    Orders that were priced before keep their price; stock that is held stays held. `discontinued` is final.
    """

    def change(session: Session) -> Answer:
        check_version(service.lock_product(session, product_id).version)
        return _shown(service.change_product(session, product_id, body))

    return changing(change)


@blueprint.post("/products/<uuid:product_id>/stock", parameters=[IDEMPOTENCY_KEY])
@blueprint.arguments(schemas.StockAdjustment)
@blueprint.response(
    201, schemas.StockChanged, example={"movement": schemas.MOVEMENT, "stock_quantity": 37}, headers=_REPLAYED
)
@refuses(blueprint, ProductNotFound, InsufficientStock, IdempotencyKeyReused)
def adjust_stock(body: dict[str, Any], product_id: UUID) -> Answer:
    """Book units that were counted, received or written off"""
    key = request_key()
    changed, replayed = changing(lambda session: service.adjust_stock(session, product_id, **body, request=key))
    return changed, _replay(replayed)


@blueprint.get("/products/<uuid:product_id>/movements")
@blueprint.arguments(schemas.PageQuery, location="query", unknown=RAISE)
@blueprint.response(200, schemas.MovementPage, example={"items": [schemas.MOVEMENT], "next_cursor": None})
@refuses(blueprint, ProductNotFound)
def list_movements(query: dict[str, Any], product_id: UUID) -> dict[str, Any]:
    """A product's stock ledger, newest entry first"""
    with transaction(database()) as session:
        return queries.list_movements(session, product_id, **query)


@blueprint.post("/check-availability")
@blueprint.arguments(schemas.AvailabilityQuestion)
@blueprint.response(200, schemas.AvailabilityAnswer, example=schemas.AVAILABILITY)
def check_availability(body: dict[str, list[Line]]) -> dict[str, Any]:
    """Could this be ordered now, and at what price?

    A look, not a promise: nothing is kept aside. An order is decided on when it is placed.
    """
    with transaction(database()) as session:
        return queries.check_lines(session, body["items"])


def _shown(product: Any) -> Answer:
    return product, {"ETag": etag(product.version)}


def _replay(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}
