"""`conveyor order`, against a gateway that answers what it was told."""

import json
from typing import Any

import pytest

from conveyor.client import Refused, Unreachable
from conveyor.order.follow import StillOpen
from conveyor.shop.naming import NotFound

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
ADA = "0192f0c1-0000-7c3a-9d44-0d6f3f1b2a10"
LAMP = "0192f0c1-1111-7c3a-9d44-0d6f3f1b2a10"


def an_order(status: str = "Pending", **more: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "customer_id": ADA,
        "status": status,
        "reason": None,
        "reason_detail": None,
        "total_amount": None,
        "currency": "EUR",
        "delivery_address": "12 Rue\nde la Paix",
        "delivery_status": None,
        "needs_attention": False,
        "attention_reason": None,
        "attention": None,
        "created_at": "2026-11-22T10:00:00.000000+00:00",
        "items": [{"product_id": LAMP, "sku": None, "product_name": None, "quantity": 2, "price": None}],
        **more,
    }


def an_event(kind: str, second: float, before: str | None, after: str) -> dict[str, Any]:
    at = f"2026-11-22T10:00:{second:09.6f}+00:00"
    why = {"code": None, "reason": None}
    return {"at": at, "kind": kind, "number": 0, "from_status": before, "to_status": after, **why}


PLACED = an_event("placed", 0, None, "Pending")
SHIPPED = an_event("delivery", 0.25, "Pending", "Pending Shipment")


FLAGGED = {
    "needs_attention": True,
    "attention_reason": "Nobody can work on it.",
    "attention": {
        "code": "step_failed",
        "detail": "Nobody can work on it.",
        "since": "2026-11-22T10:00:01.000000+00:00",
        "next": f"conveyor quarantine list --order {ID}",
    },
}


@pytest.fixture
def shop(told: Any) -> Any:
    told.answers = {
        "GET /customers?email=ada%40example.com": (200, {"items": [{"id": ADA}], "next_cursor": None}),
        "GET /customers": (200, {"items": [], "next_cursor": None}),
        "GET /products?sku=LAMP": (200, {"items": [{"id": LAMP}], "next_cursor": None}),
        "GET /products": (200, {"items": [], "next_cursor": None}),
        "POST /orders": (201, an_order()),
    }
    return told


def sent(shop: Any, what: str) -> tuple[Any, dict[str, str]]:
    (found,) = [(body, headers) for asked, body, headers in shop.asked if asked == what]
    return found


def test_an_order_is_placed_for_names_that_people_know(shop: Any, conveyor: Any) -> None:
    result = conveyor("order", "place", "--customer", "ada@example.com", "--item", "LAMP=2", "--price", "LAMP=9.80")
    body, headers = sent(shop, "POST /orders")
    assert body == {"customer_id": ADA, "items": [{"product_id": LAMP, "quantity": 2, "price": "9.80"}]}
    assert "Prefer" not in headers
    assert "Idempotency-Key" not in headers
    assert result.exit_code == 0
    assert result.output == f"{ID}  Pending\nIt is under way: conveyor order watch {ID}\n"


def test_a_price_belongs_to_its_item_however_the_sku_is_typed(shop: Any, conveyor: Any) -> None:
    conveyor("order", "place", "--customer", "ada@example.com", "--item", "LAMP=2", "--price", "lamp=9.80")
    assert sent(shop, "POST /orders")[0]["items"] == [{"product_id": LAMP, "quantity": 2, "price": "9.80"}]


def test_ids_are_taken_as_they_are(shop: Any, conveyor: Any) -> None:
    conveyor("order", "place", "--customer", ADA, "--item", f"{LAMP}=2", "--address", "elsewhere")
    assert [asked for asked, _, _ in shop.asked] == ["POST /orders"]
    assert sent(shop, "POST /orders")[0]["delivery_address"] == "elsewhere"


def test_waiting_and_a_key_are_passed_on(shop: Any, conveyor: Any) -> None:
    place = ("order", "place", "--customer", ADA, "--item", f"{LAMP}=2")
    result = conveyor(*place, "--wait", "7", "--key", "again")
    _, headers = sent(shop, "POST /orders")
    assert (headers["Prefer"], headers["Idempotency-Key"]) == ("wait=7", "again")
    assert "placed before" in result.output


def test_an_order_that_was_rejected_while_waiting_has_an_exit_code_of_its_own(shop: Any, conveyor: Any) -> None:
    shop.answers["POST /orders"] = (201, an_order("Rejected", reason="insufficient_stock"))
    result = conveyor("order", "place", "--customer", ADA, "--item", f"{LAMP}=2", "--wait", "7")
    assert (result.exit_code, result.output) == (3, f"{ID}  Rejected (insufficient_stock)\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--customer", "bob@example.com", "--item", "LAMP=1"), "no customer bob@example.com"),
        (("--customer", ADA, "--item", "SHELF=1"), "no product SHELF"),
    ],
)
def test_an_unknown_name_is_said_and_nothing_is_placed(
    shop: Any, conveyor: Any, arguments: tuple[str, ...], message: str
) -> None:
    result = conveyor("order", "place", *arguments)
    assert isinstance(result.exception, NotFound)
    assert message in str(result.exception)
    assert "POST /orders" not in [asked for asked, _, _ in shop.asked]


def test_two_customers_with_one_address_are_not_guessed_between(shop: Any, conveyor: Any) -> None:
    shop.answers["GET /customers"] = (200, {"items": [{"id": ADA}, {"id": LAMP}], "next_cursor": None})
    result = conveyor("order", "place", "--customer", "twins@example.com", "--item", "LAMP=1")
    assert isinstance(result.exception, NotFound)
    assert f"{ADA}, {LAMP}" in str(result.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--item", "LAMP"),
        ("--item", "=3"),
        ("--item", "LAMP=two"),
        ("--item", "LAMP=-1"),
        ("--item", "LAMP=1", "--price", "LAMP=cheap"),
        ("--item", "LAMP=1", "--price", "SHELF=1.00"),
        ("--item", "LAMP=1", "--wait", "31"),
        (),
    ],
)
def test_a_wrong_command_line_is_refused_before_anybody_is_asked(
    shop: Any, conveyor: Any, arguments: tuple[str, ...]
) -> None:
    result = conveyor("order", "place", "--customer", ADA, *arguments)
    assert result.exit_code == 2
    assert shop.asked == []


def test_the_gateways_rules_are_told_field_by_field(shop: Any, conveyor: Any) -> None:
    problem = {
        "code": "invalid",
        "detail": "one field",
        "errors": [{"field": "items.0.quantity", "message": "too few"}],
    }
    shop.answers["POST /orders"] = (422, problem)
    result = conveyor("order", "place", "--customer", ADA, "--item", f"{LAMP}=0")
    assert isinstance(result.exception, Refused)
    assert "items.0.quantity: too few" in str(result.exception)


def test_an_order_is_shown_with_its_lines_and_its_timeline(shop: Any, conveyor: Any) -> None:
    shop.answers[f"GET /orders/{ID}"] = (200, an_order("Pending Shipment", total_amount="5.00", **FLAGGED))
    shop.answers[f"GET /orders/{ID}/events"] = (200, {"items": [PLACED, SHIPPED], "next_cursor": None})
    assert conveyor("order", "show", ID).output.splitlines() == [
        f"{ID}  Pending Shipment, 5.00 EUR, NEEDS ATTENTION",
        "needs attention: Nobody can work on it. (step_failed, since 2026-11-22 10:00:01.000)",
        f"  what to do next: conveyor quarantine list --order {ID}",
        f"customer {ADA}, placed 2026-11-22 10:00:00.000",
        "to 12 Rue de la Paix",
        f"       2 x {LAMP}  not priced",
        "  10:00:00.000     +0.000 s  placed                -> Pending",
        "  10:00:00.250     +0.250 s  delivery              Pending -> Pending Shipment",
    ]
    assert [each["kind"] for each in json.loads(conveyor("order", "show", ID, "--json").output)["events"]] == [
        "placed",
        "delivery",
    ]


SENTENCE = "Arc lamp (LAMP-ARC): 9 wanted, 5 in stock."
REJECTED = {"reason": "insufficient_stock", "reason_detail": SENTENCE}
LINE = {"product_id": LAMP, "sku": "LAMP-ARC", "product_name": "Arc lamp", "quantity": 9, "price": None}
REFUSED = {**an_event("rejected", 0.5, "Pending", "Rejected"), "code": "insufficient_stock", "reason": SENTENCE}


def test_a_rejected_order_is_shown_with_its_reason_as_code_and_sentence_and_with_what_was_wanted(
    shop: Any, conveyor: Any
) -> None:
    shop.answers[f"GET /orders/{ID}"] = (200, an_order("Rejected", items=[LINE], **REJECTED))
    shop.answers[f"GET /orders/{ID}/events"] = (200, {"items": [PLACED, REFUSED], "next_cursor": None})
    shown = conveyor("order", "show", ID).output.splitlines()
    assert shown[0] == f"{ID}  Rejected (insufficient_stock): {SENTENCE}"
    assert shown[3:] == [
        "       9 x LAMP-ARC  Arc lamp  not priced",
        "  10:00:00.000     +0.000 s  placed                -> Pending",
        f"  10:00:00.500     +0.500 s  rejected              Pending -> Rejected  {SENTENCE}  (insufficient_stock)",
    ]


@pytest.mark.parametrize("command", ["place", "list", "watch"])
def test_wherever_a_rejected_order_is_told_its_reason_is_code_and_sentence(
    shop: Any, conveyor: Any, command: str
) -> None:
    rejected = an_order("Rejected", **REJECTED)
    shop.answers |= {
        "POST /orders": (201, rejected),
        "GET /orders": (200, {"items": [rejected], "next_cursor": None}),
        f"GET /orders/{ID}": (200, rejected),
        f"GET /orders/{ID}/events": (200, {"items": [PLACED], "next_cursor": None}),
    }
    more = {"place": ("--customer", ADA, "--item", f"{LAMP}=9"), "watch": (ID,), "list": ()}[command]
    told = conveyor("order", command, *more).output.splitlines()[-1]
    assert "insufficient_stock" in told
    assert SENTENCE in told


@pytest.mark.parametrize(("ends_as", "code"), [("Pending Shipment", 0), ("Rejected", 3)])
def test_watching_prints_each_event_once_until_the_order_has_ended(
    shop: Any, conveyor: Any, ends_as: str, code: int
) -> None:
    shop.answers[f"GET /orders/{ID}"] = [(200, an_order()), (200, an_order()), (200, an_order(ends_as))]
    until_now = (200, {"items": [PLACED], "next_cursor": None})
    then = (200, {"items": [PLACED, {**SHIPPED, "to_status": ends_as}], "next_cursor": None})
    shop.answers[f"GET /orders/{ID}/events"] = [until_now, until_now, then]
    result = conveyor("order", "watch", ID, "--json")
    assert [json.loads(line)["kind"] for line in result.output.splitlines()] == ["placed", "delivery"]
    assert result.exit_code == code


def test_watching_gives_up_when_told_to(shop: Any, conveyor: Any) -> None:
    shop.answers[f"GET /orders/{ID}"] = (200, an_order("Cancelling"))
    shop.answers[f"GET /orders/{ID}/events"] = (200, {"items": [PLACED], "next_cursor": None})
    result = conveyor("order", "watch", ID, "--timeout", "0.1")
    assert isinstance(result.exception, StillOpen)
    assert "still Cancelling after 0.1 s" in str(result.exception)
    assert "placed" in result.output


@pytest.mark.parametrize(("status", "code"), [("Cancelling", 0), ("Cancelled", 0), ("In Transit", 3)])
def test_the_exit_code_of_a_cancel_says_whether_the_parcel_was_kept(
    shop: Any, conveyor: Any, status: str, code: int
) -> None:
    shop.answers[f"POST /orders/{ID}/cancel"] = (202, an_order(status))
    result = conveyor("order", "cancel", ID, "--reason", "too late", "--wait", "5")
    body, headers = sent(shop, f"POST /orders/{ID}/cancel")
    assert (body, headers["Prefer"]) == ({"reason": "too late"}, "wait=5")
    assert result.exit_code == code


def test_a_cancel_that_is_not_allowed_says_what_is(shop: Any, conveyor: Any) -> None:
    problem = {"code": "illegal_transition", "detail": "It is In Transit.", "allowed": ["Delivered"]}
    shop.answers[f"POST /orders/{ID}/cancel"] = (409, problem)
    result = conveyor("order", "cancel", ID)
    assert isinstance(result.exception, Refused)
    assert "what is allowed now: Delivered" in result.output


def test_a_list_takes_no_more_than_was_asked_for_over_all_pages(shop: Any, conveyor: Any) -> None:
    page = {"items": [an_order(), an_order()], "next_cursor": "on"}
    shop.answers["GET /orders"] = (200, page)
    result = conveyor("order", "list", "--limit", "3", "--json")
    assert len(json.loads(result.output)) == 3
    assert [asked for asked, _, _ in shop.asked] == ["GET /orders?limit=3", "GET /orders?limit=3&cursor=on"]


def test_filters_are_passed_on(shop: Any, conveyor: Any) -> None:
    shop.answers["GET /orders"] = (200, {"items": [], "next_cursor": None})
    flags = ("--status", "pending shipment", "--customer", "ada@example.com", "--attention", "--oldest-first")
    result = conveyor("order", "list", *flags, "--after", "2026-11-22T00:00:00Z")
    (asked,) = [asked for asked, _, _ in shop.asked if asked.startswith("GET /orders")]
    assert asked == (
        f"GET /orders?limit=20&status=Pending+Shipment&customer_id={ADA}&needs_attention=true"
        "&created_after=2026-11-22T00%3A00%3A00Z&sort=created_at"
    )
    assert result.output == "No orders are like that.\n"


@pytest.mark.parametrize("what", ["order", "delivery", "product"])
def test_a_list_of_nothing_is_a_line_and_no_failure(shop: Any, conveyor: Any, what: str) -> None:
    many = {"order": "orders", "delivery": "deliveries", "product": "products"}[what]
    shop.answers[f"GET /{many}"] = (200, {"items": [], "next_cursor": None})
    result = conveyor(what, "list")
    assert (result.exit_code, result.output) == (0, f"There are no {many}.\n")
    result = conveyor(what, "list", "--json")
    assert (result.exit_code, result.output) == (0, "[]\n")


def test_no_gateway_is_said_in_one_sentence(conveyor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_GATEWAY_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("conveyor.shop.options.PATIENCE", 0)
    result = conveyor("order", "list")
    assert isinstance(result.exception, Unreachable)
    assert "does not answer" in str(result.exception)
