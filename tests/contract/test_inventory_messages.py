"""What one service says of an order, the next one on its chain understands."""

from decimal import Decimal

import msgspec
import pytest
from uuid_utils.compat import uuid7

from delivery.messages import CancelDelivery, CreateDelivery
from inventory.messages import (
    Availability,
    CatalogueEntry,
    CheckAvailability,
    Line,
    Released,
    ReleaseStock,
    Reserved,
    ReserveStock,
)
from sales.messages import InventoryResponse, Recorded, StatusUpdate
from sales.saga import message

PRODUCT = uuid7()
LINES = [{"product_id": str(PRODUCT), "quantity": 2}]
REFUSED = {"outcome": "refused", "reason": "insufficient_stock", "detail": "Lamp (L-1): 3 wanted, 2 in stock."}


def over_the_wire(order, answer=None):
    """The order after a step's answer, as the next step receives it."""
    merged = {**order, **(msgspec.to_builtins(answer) if answer else {})}
    return msgspec.json.decode(
        msgspec.json.encode({name: value for name, value in merged.items() if value is not None})
    )


@pytest.fixture
def placed():
    return message(uuid7(), "place", 1, "c-1", address="12 rue de la Paix, Lyon", lines=LINES)


def test_inventory_reads_the_order_that_sales_places(placed):
    order = msgspec.convert(over_the_wire(placed), CheckAvailability)
    assert order.lines == [Line(PRODUCT, 2)]


def test_sales_reads_the_prices_that_inventory_answers(placed):
    answer = Availability(placed["order_id"], catalogue=[CatalogueEntry(PRODUCT, "Lamp", Decimal("24.90"))])
    response = msgspec.convert(over_the_wire(placed, answer), InventoryResponse)
    assert [(each.product_id, each.price) for each in response.catalogue] == [(PRODUCT, Decimal("24.90"))]


def test_sales_reads_why_inventory_refuses(placed):
    answer = Availability(placed["order_id"], **REFUSED)
    response = msgspec.convert(over_the_wire(placed, answer), InventoryResponse)
    assert {name: getattr(response, name) for name in REFUSED} == REFUSED


def test_the_lines_are_still_there_when_the_order_is_reserved(placed):
    priced = over_the_wire(placed, Recorded(order_id=placed["order_id"]))
    assert msgspec.convert(priced, ReserveStock).lines == [Line(PRODUCT, 2)]


def test_delivery_reads_what_was_reserved_and_no_line_travels_further(placed):
    reserved = over_the_wire(placed, Reserved(placed["order_id"], "ok"))
    assert "lines" not in reserved
    assert msgspec.convert(reserved, CreateDelivery).address == placed["address"]


def test_a_reserve_that_is_refused_reaches_delivery_and_sales_with_its_reason(placed):
    refused = over_the_wire(placed, Reserved(placed["order_id"], **REFUSED))
    for reader in (CreateDelivery, StatusUpdate):
        order = msgspec.convert(refused, reader)
        assert {name: getattr(order, name) for name in REFUSED} == REFUSED


@pytest.mark.parametrize("said", [{}, {"outcome": "refused", "reason": "already_in_transit", "detail": "It left."}])
def test_inventory_reads_how_a_cancel_went_and_sales_reads_it_after_inventory(said):
    cancel = message(uuid7(), "cancel", 1, "c-1")
    msgspec.convert(over_the_wire(cancel), CancelDelivery)
    stopped = over_the_wire({**cancel, **said})
    order = msgspec.convert(stopped, ReleaseStock)
    released = over_the_wire(stopped, Released(order.order_id, order.outcome))
    update = msgspec.convert(released, StatusUpdate)
    assert (update.outcome, update.reason) == (said.get("outcome", "ok"), said.get("reason"))
