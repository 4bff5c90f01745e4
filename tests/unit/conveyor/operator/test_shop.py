"""`conveyor product`, `stock`, `customer` and `delivery`, against a gateway that answers what it was told."""

import json
from typing import Any

import pytest

from conveyor.client import Refused
from conveyor.shop import shown
from conveyor.shop.naming import NotFound

ID = "0192f0c1-7a5e-7c3a-9d44-0d6f3f1b2a10"
ORDER = "0192f0c1-0000-7c3a-9d44-0d6f3f1b2a10"
AT = "2026-11-22T10:00:00.000000+00:00"
MUG = {
    "id": ID, "sku": "MUG-Stone", "name": "Stone\nmug\x1b[2J", "description": "", "price": "9.80", "currency": "EUR",
    "stock_quantity": 1200, "status": "active", "updated_at": AT,
}  # fmt: skip
ADA = {"id": ID, "name": "Ada", "email": "ada@example.com", "phone": None, "address": "12 Rue\nde", "created_at": AT}
PARCEL = {
    "id": ID, "order_id": ORDER, "status": "IN_TRANSIT", "address": "12 Rue\nde la Paix", "created_at": AT,
    "log": [{"status": "IN_TRANSIT", "timestamp": AT, "location": "Hub", "notes": None}],
}  # fmt: skip


def listing(*items: Any) -> tuple[int, Any]:
    return 200, {"items": list(items), "next_cursor": None}


@pytest.fixture
def shop(told: Any) -> Any:
    movement = {"movement_type": "adjust", "quantity": -3, "order_id": None, "reason": "broken", "created_at": AT}
    told.answers = {
        "GET /products": listing(MUG),
        "GET /products?sku=mug-stone": listing(),
        f"GET /products/{ID}": (200, MUG),
        "POST /products": (201, MUG),
        f"PATCH /products/{ID}": (200, MUG),
        f"POST /products/{ID}/stock": (201, {"movement": movement, "stock_quantity": 1197}),
        f"GET /products/{ID}/movements": listing(movement),
        "GET /customers": listing(ADA),
        f"GET /customers/{ID}": (200, ADA),
        "POST /customers": (201, ADA),
        "GET /deliveries": listing(PARCEL),
        f"GET /deliveries/{ID}": (200, PARCEL),
        f"GET /deliveries/order/{ORDER}": (200, PARCEL),
        f"PATCH /deliveries/{ID}/status": (200, PARCEL),
    }
    return told


def sent(shop: Any, what: str) -> tuple[Any, dict[str, str]]:
    (found,) = [(body, headers) for asked, body, headers in shop.asked if asked == what]
    return found


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("product list --search mug --status Active --sort price --limit 7",
         "GET /products?limit=7&q=mug&status=active&sort=price"),
        ("delivery list --status failed --after 2026-01-01T00:00:00Z --oldest-first",
         "GET /deliveries?limit=20&status=FAILED&created_after=2026-01-01T00%3A00%3A00Z&sort=created_at"),
        ("customer list", "GET /customers?limit=20"),
        ("customer show ADA@example.com", "GET /customers?email=ADA%40example.com"),
        (f"stock ledger {ID}", f"GET /products/{ID}/movements?limit=20"),
        (f"delivery show {ORDER}", f"GET /deliveries/order/{ORDER}"),
    ],
)  # fmt: skip
def test_what_is_asked_of_the_gateway(shop: Any, conveyor: Any, command: str, asked: str) -> None:
    result = conveyor(*command.split())
    assert result.exit_code == 0, result.output
    assert asked in [each for each, _, _ in shop.asked]


@pytest.mark.parametrize("named", ["MUG-Stone", "mug-stone", ID])
def test_a_product_is_found_by_its_id_or_its_sku_in_either_case(shop: Any, conveyor: Any, named: str) -> None:
    result = conveyor("product", "show", named)
    assert result.output.splitlines()[:2] == [r"MUG-Stone  Stone\nmug\x1b[2J", "  price       9.80 EUR"]


def test_skus_that_differ_in_case_alone_are_not_mixed_up(shop: Any, conveyor: Any) -> None:
    shop.answers["GET /products"] = listing(MUG, {**MUG, "sku": "MUG-STONE"})
    assert "MUG-Stone or MUG-STONE" in str(conveyor("product", "show", "mug-stone").exception)


def test_a_product_that_is_not_there_is_said_with_a_command_that_helps(shop: Any, conveyor: Any) -> None:
    shop.answers["GET /products?sku=nope"] = listing()
    result = conveyor("stock", "ledger", "nope")
    assert isinstance(result.exception, NotFound)
    assert "`conveyor product list --search`" in str(result.exception)


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("product add MUG --name Mug --price 9.80", "POST /products"),
        (f"stock adjust {ID} --add 1 --reason because", f"POST /products/{ID}/stock"),
        ("customer add --name Grace --email grace@example.com --address Yard", "POST /customers"),
    ],
)
@pytest.mark.parametrize("given", [None, "monday"])
def test_what_creates_has_a_key_so_that_it_can_be_sent_again(
    shop: Any, conveyor: Any, command: str, asked: str, given: str | None
) -> None:
    result = conveyor(*command.split(), *(["--key", given] if given else []))
    assert result.exit_code == 0
    key = sent(shop, asked)[1]["Idempotency-Key"]
    assert key == given if given else len(key) == 36


def test_a_product_is_added_as_it_is_described(shop: Any, conveyor: Any) -> None:
    result = conveyor("product", "add", "MUG", "--name", "Mug", "--price", "9.80", "--stock", "4")
    body, _headers = sent(shop, "POST /products")
    assert result.exit_code == 0
    assert body == {"sku": "MUG", "name": "Mug", "price": "9.80", "stock_quantity": 4, "status": "active"}


@pytest.mark.parametrize("price", ["1e2", "-1", "1_000", " 5", "NaN", "٣", "5,00", ""])
def test_a_price_is_a_plain_decimal_number(conveyor: Any, price: str) -> None:
    assert conveyor("product", "add", "MUG", "--name", "Mug", f"--price={price}").exit_code == 2


@pytest.mark.parametrize("price", ["1e2", "NaN", "-1", "٣"])
def test_the_price_that_the_customer_saw_is_one_too(conveyor: Any, price: str) -> None:
    result = conveyor("order", "place", "--customer", ID, "--item", "MUG-Stone=1", "--price", f"MUG-Stone={price}")
    assert result.exit_code == 2


def test_only_what_is_named_changes(shop: Any, conveyor: Any) -> None:
    conveyor("product", "change", "MUG-Stone", "--price", "10.50")
    assert sent(shop, f"PATCH /products/{ID}")[0] == {"price": "10.50"}
    assert conveyor("product", "change", "MUG-Stone").exit_code == 2


def test_a_product_is_not_discontinued_without_being_asked(shop: Any, conveyor: Any) -> None:
    assert conveyor("product", "change", "MUG-Stone", "--status", "discontinued").exit_code == 1
    assert not [each for each, _, _ in shop.asked if each.startswith("PATCH")]
    assert conveyor("product", "change", "MUG-Stone", "--status", "discontinued", "--yes").exit_code == 0
    assert sent(shop, f"PATCH /products/{ID}")[0] == {"status": "discontinued"}


@pytest.mark.parametrize(
    ("flags", "units"),
    [(["--add", "5"], 5), (["--remove", "3"], -3), (["--counted", "1197"], -3), (["--counted", "0"], -1200)],
)
def test_stock_is_booked_with_its_reason(shop: Any, conveyor: Any, flags: list[str], units: int) -> None:
    result = conveyor("stock", "adjust", "MUG-Stone", *flags, "--reason", "because")
    assert sent(shop, f"POST /products/{ID}/stock")[0] == {"quantity": units, "reason": "because"}
    assert result.output == "MUG-Stone: -3, 1,197 in stock\n"


@pytest.mark.parametrize("flags", [[], ["--add", "1", "--remove", "1"], ["--add", "0"]])
def test_one_way_of_booking_is_named(conveyor: Any, flags: list[str]) -> None:
    assert conveyor("stock", "adjust", "MUG-Stone", *flags, "--reason", "because").exit_code == 2


def test_a_count_that_agrees_books_nothing(shop: Any, conveyor: Any) -> None:
    result = conveyor("stock", "adjust", "MUG-Stone", "--counted", "1200", "--reason", "stock-taking")
    assert (result.exit_code, "nothing was booked" in result.output) == (0, True)
    assert not [each for each, _, _ in shop.asked if each.startswith("POST")]


@pytest.mark.parametrize(("available", "code"), [(True, 0), (False, 3)])
def test_availability_is_told_by_the_exit_code(shop: Any, conveyor: Any, available: bool, code: int) -> None:
    line = {
        "available": available,
        "price": "9.80",
        "stock_quantity": 1,
        "reason": "insufficient_stock",
        "detail": "no",
    }
    shop.answers["POST /check-availability"] = (200, {"available": available, "items": [line]})
    assert conveyor("stock", "check", "MUG-Stone=2").exit_code == code


def test_stock_is_listed_from_the_fewest_on(shop: Any, conveyor: Any) -> None:
    shop.answers["GET /products"] = listing(
        MUG, {**MUG, "sku": "PEN", "stock_quantity": 3}, {**MUG, "sku": "INK", "stock_quantity": 3}
    )
    lines = conveyor("stock", "list").output.splitlines()
    assert [line.split()[1] for line in lines] == ["SKU", "INK", "PEN", "MUG-Stone"]
    assert len(conveyor("stock", "list", "--below", "10").output.splitlines()) == 3


def test_a_parcel_is_moved_by_the_id_of_its_order_too(shop: Any, conveyor: Any) -> None:
    result = conveyor("delivery", "move", ORDER, "in_transit", "--location", "Hub")
    assert sent(shop, f"PATCH /deliveries/{ID}/status")[0] == {"status": "IN_TRANSIT", "location": "Hub", "notes": None}
    assert result.output.splitlines()[0] == f"{ID}  IN_TRANSIT"


def test_a_scan_may_have_a_time_and_a_name_of_its_own(shop: Any, conveyor: Any) -> None:
    conveyor("delivery", "move", ID, "DELIVERED", "--at", "2026-11-22T09:30:00Z", "--event-id", "e-1")
    body, _ = sent(shop, f"PATCH /deliveries/{ID}/status")
    assert (body["occurred_at"], body["event_id"]) == ("2026-11-22T09:30:00Z", "e-1")


def test_a_scan_is_shown_at_the_time_at_which_it_happened_and_when_it_came(shop: Any, conveyor: Any) -> None:
    late = {**PARCEL["log"][0], "occurred_at": "2026-11-22T09:00:00.000000+00:00"}
    shop.answers[f"GET /deliveries/{ID}"] = (200, {**PARCEL, "log": [PARCEL["log"][0], late]})
    assert conveyor("delivery", "show", ID).output.splitlines()[-2:] == [
        "  2026-11-22 10:00:00.000  IN_TRANSIT  Hub",
        "  2026-11-22 09:00:00.000  IN_TRANSIT  Hub (came 2026-11-22 10:00:00.000)",
    ]


def test_a_log_that_is_longer_than_what_comes_with_its_delivery_is_shown_whole(shop: Any, conveyor: Any) -> None:
    scans = [{**PARCEL["log"][0], "notes": f"scan {number}"} for number in range(150)]
    shop.answers[f"GET /deliveries/{ID}"] = (200, {**PARCEL, "log": scans[-100:]})
    shop.answers[f"GET /deliveries/{ID}/events"] = (200, {"items": scans[:100], "next_cursor": "c"})
    shop.answers[f"GET /deliveries/{ID}/events?limit=100&cursor=c"] = listing(*scans[100:])
    lines = conveyor("delivery", "show", ID).output.splitlines()
    assert [line.partition("scan ")[2] for line in lines if "scan " in line] == [str(each) for each in range(150)]


def test_a_refused_move_says_what_is_allowed(shop: Any, conveyor: Any) -> None:
    refusal = {"code": "illegal_transition", "detail": "no", "allowed": ["IN_TRANSIT", "CANCELLED"]}
    shop.answers[f"PATCH /deliveries/{ID}/status"] = (409, refusal)
    result = conveyor("delivery", "move", ID, "DELIVERED")
    assert isinstance(result.exception, Refused)
    assert "what is allowed now: IN_TRANSIT, CANCELLED" in result.output


@pytest.mark.parametrize(
    "command",
    ["product list", "product show MUG-Stone", "stock list", "stock ledger MUG-Stone", "customer list",
     "customer show ada@example.com", "delivery list", f"delivery show {ID}",
     "stock adjust MUG-Stone --add 1 --reason x"],
)  # fmt: skip
def test_json_is_json(shop: Any, conveyor: Any, command: str) -> None:
    result = conveyor(*command.split(), "--json")
    assert json.loads(result.output)
    assert result.output.isascii()


def test_columns_are_as_wide_as_they_must_be_and_numbers_stand_to_the_right() -> None:
    rows = [("A", "9.80 EUR", 5, None), ("LONG", "119.00 EUR", 1200, "two\nlines")]
    assert list(shown.table(("sku", "price", "stock", "note"), rows)) == [
        "sku        price  stock  note",
        "A       9.80 EUR      5  -",
        "LONG  119.00 EUR  1,200  two lines",
    ]
    assert list(shown.table(("sku",), [])) == ["sku"]
