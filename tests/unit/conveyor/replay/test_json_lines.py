"""An order book as JSON lines: an order on each, as our own API takes it."""

import json

import pytest

from conveyor.replay.answers import Answers
from conveyor.replay.book import Book
from conveyor.replay.opened import read_book

ITEM = {"sku": "MUG", "name": "Stone mug", "quantity": 2, "price": "7.50"}
OWN = {"customer_id": "0192f0bf-2d11-7b0c-8a55-3c1f9a7e6d02", "items": [{"product_id": "p-1", "quantity": 3}]}


def book(*orders: object) -> Book:
    lines = [each if isinstance(each, str) else json.dumps(each) for each in orders]
    return read_book("\n".join(lines).encode())


def order(number: str | None = "1", **more: object) -> dict[str, object]:
    return {"number": number, "customer": "ada@example.com", "items": [ITEM], **more}


def test_ids_of_this_shop_are_sent_as_they_stand(gateway, run, tmp_path) -> None:
    file = tmp_path / "orders.jsonl"
    own = {**OWN, "items": [{"product_id": "p-1", "quantity": 3, "price": "7.50"}], "delivery_address": "Oslo"}
    file.write_text(f"{json.dumps(own)}\n\n{json.dumps(own)}\n")
    gateway.products["p-1"] = {"id": "p-1", "sku": "MUG", "stock_quantity": 10}
    result = run(file)
    assert result.exit_code == 0, result.output
    assert [{name: each[name] for name in own} for each in gateway.orders.values()] == [own, own]
    assert not gateway.customers
    assert gateway.products["p-1"]["stock_quantity"] == 4


def test_names_of_the_other_system_make_products_and_customers() -> None:
    read = book(order("A", delivery_address="Oslo"), order("B", items=[{"sku": "MUG", "quantity": 1}]))
    assert [(each.number, each.customer, each.country) for each in read.invoices] == [
        ("A", "ada@example.com", "Oslo"),
        ("B", "ada@example.com", ""),
    ]
    assert (read.products["MUG"].name, str(read.products["MUG"].price), read.products["MUG"].demand) == (
        "Stone mug",
        "7.50",
        3,
    )


def test_an_order_without_a_number_is_its_line() -> None:
    assert [each.number for each in book(order(None), "", order(None)).invoices] == ["line 1", "line 3"]


def test_the_same_order_twice_is_sent_once_and_another_under_its_number_is_refused() -> None:
    assert len(book(order(), order("2"), order()).invoices[0].items) == 1
    assert len(book(order(), order()).invoices[0].items) == 1
    other = book(order(), order("2"), order(customer="bob@example.com"))
    assert [each.number for each in other.invoices] == ["2"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"),
        ('{"a": 1} x', "no JSON"),
        (order(items=[]), "items: an order has a list of at least one line"),
        (order(items=["MUG"]), "items.0: a line is an object"),
        (order(items=[{"quantity": 1}]), "items.0: neither sku nor product_id"),
        (order(items=[{**ITEM, "quantity": 0}]), "items.0.quantity: a whole number from 1 to 100,000"),
        (order(items=[{**ITEM, "quantity": 1.0}]), "items.0.quantity"),
        (order(items=[{**ITEM, "quantity": True}]), "items.0.quantity"),
        (order(items=[ITEM, {**ITEM, "price": "cheap"}]), "items.1.price: an amount"),
        (order(items=[{**ITEM, "price": "NaN"}]), "items.0.price: an amount"),
        (order(number=8.01235e15), "number: a text or a whole number"),
        (order(number="8.01235E+15"), "number is in scientific notation"),
        (order(status="Cancelled"), "cancelled: status is Cancelled"),
        (order(created_at=5), "created_at: a text"),
        ("7", "no order: a JSON object is"),
    ],
)
def test_a_line_that_is_no_order_is_refused_by_field_and_rule_and_stops_no_other(line: object, why: str) -> None:
    read = book(order("9"), line)
    assert [each.number for each in read.invoices] == ["9"]
    assert [each.reason[: len(why)] for each in read.rejects] == [why]


def test_the_rejects_can_be_corrected_and_read_again(gateway, run, tmp_path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join(json.dumps(each) for each in (order("1"), order("2", items=[{**ITEM, "quantity": 0}]))))
    run(file)
    rejects = tmp_path / "orders.rejects.csv"
    rejects.write_text(rejects.read_text().replace('""quantity"": 0', '""quantity"": 4'))
    assert [each.number for each in read_book(rejects.read_bytes(), Answers()).invoices] == ["2"]
