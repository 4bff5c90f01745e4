"""The table of public routes."""

from gateway_app.routes import ROUTES

PUBLIC = """
POST /orders, GET /orders/<uuid:order_id>, PATCH /orders/<uuid:order_id>/status, GET /orders,
POST /orders/<uuid:order_id>/cancel, GET /orders/<uuid:order_id>/events, POST /customers,
GET /customers/<uuid:customer_id>, GET /customers, GET /products, GET /products/<uuid:product_id>, POST /products,
PATCH /products/<uuid:product_id>, POST /products/<uuid:product_id>/stock, GET /products/<uuid:product_id>/movements,
POST /check-availability, GET /deliveries, GET /deliveries/<serial_or_uuid:delivery_id>,
GET /deliveries/<serial_or_uuid:delivery_id>/events,
GET /deliveries/order/<uuid:order_id>, PATCH /deliveries/<serial_or_uuid:delivery_id>/status
"""


def test_these_requests_are_public_and_no_others() -> None:
    assert {f"{each.method} {each.path}" for each in ROUTES} == {each.strip() for each in PUBLIC.split(",")}


def test_every_post_that_creates_honours_an_idempotency_key() -> None:
    creating = {each.path for each in ROUTES if each.creates}
    assert creating == {"/orders", "/customers", "/products", "/products/<uuid:product_id>/stock"}


def test_only_requests_that_start_a_saga_can_wait() -> None:
    waiting = {f"{each.method} {each.path}" for each in ROUTES if each.waits}
    assert waiting == {
        "POST /orders",
        "POST /orders/<uuid:order_id>/cancel",
        "PATCH /orders/<uuid:order_id>/status",
    }


def test_no_request_that_changes_something_is_repeated_by_itself_but_a_cancel() -> None:
    repeated = {each.path for each in ROUTES if each.repeatable and not each.reads}
    assert repeated == {"/orders/<uuid:order_id>/cancel"}
