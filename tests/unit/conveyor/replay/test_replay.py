"""A replay from the command to the report, through a gateway in this process."""

import csv
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chassis.errors import ConveyorError
from conveyor.client import Gateway, Unreachable
from conveyor.replay.book import Invoice, Item
from conveyor.replay.command import replay
from conveyor.replay.prepare import Ids, email_of
from conveyor.replay.send import Sender, Sent, Unsent
from conveyor.replay.wait import endings

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = (
    "500001,MUG,Stone mug,2,2026-01-05 09:00:00,7.50,501,Norway\n"
    "500001,TRAY,Birch tray,1,2026-01-05 09:00:00,19.00,501,Norway\n"
    "500001,POST,POSTAGE,1,2026-01-05 09:00:00,18.00,501,Norway\n"
    "500002,MUG,Stone mug,3,2026-01-05 09:05:00,7.50,,Italy\n"
    "500003,MUG,Stone mug,4,2026-01-05 09:10:00,7.50,501,Norway\n"
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + LINES)
    return path


def stock(gateway) -> dict[str, int]:
    return {each["sku"]: each["stock_quantity"] for each in gateway.products.values()}


def count(result: Result, name: str) -> str:
    """The number that the report gives this name."""
    return next(line[len(name) :].split()[0] for line in result.output.splitlines() if line.startswith(name + " "))


def test_every_invoice_becomes_one_order_without_prices(gateway, run, book) -> None:
    result = run(book)
    assert result.exit_code == 0, result.output
    assert (count(result, "sent"), count(result, "confirmed"), count(result, "not ended")) == ("3", "3", "0")
    ids = {each["sku"]: each["id"] for each in gateway.products.values()}
    orders = sorted((order["items"] for order in gateway.orders.values()), key=lambda items: items[0]["quantity"])
    assert orders[0] == [{"product_id": ids["MUG"], "quantity": 2}, {"product_id": ids["TRAY"], "quantity": 1}]
    assert {order["delivery_address"] for order in gateway.orders.values()} == {"Norway", "Italy"}


def test_the_catalogue_has_the_books_prices_and_enough_for_all(gateway, run, book) -> None:
    run(book)
    assert {each["sku"]: each["price"] for each in gateway.products.values()} == {"MUG": "7.50", "TRAY": "19.00"}
    assert stock(gateway) == {"MUG": 0, "TRAY": 0}
    assert sorted(each["name"] for each in gateway.customers.values()) == ["Customer 501", "Guest"]


def test_the_same_run_again_makes_nothing_new(gateway, run, book) -> None:
    run(book, "--stock", "50")
    before = (len(gateway.orders), len(gateway.customers), stock(gateway), list(gateway.adjustments))
    again = run(book, "--stock", "50")
    assert again.exit_code == 0, again.output
    assert (count(again, "sent"), count(again, "replayed answers"), count(again, "confirmed")) == ("3", "3", "3")
    assert (len(gateway.orders), len(gateway.customers), stock(gateway), gateway.adjustments) == before


def test_the_same_run_again_leaves_the_stock_alone_even_where_nothing_had_to_be_set(gateway, run, book) -> None:
    run(book, "--stock", "50")
    for product in gateway.products.values():
        product["stock_quantity"] = 50
    run(book, "--run", "second", "--stock", "50")
    assert gateway.adjustments == []
    sold = stock(gateway)
    run(book, "--run", "second", "--stock", "50")
    assert stock(gateway) == sold


def test_another_name_makes_another_run_with_the_stock_set_anew(gateway, run, book) -> None:
    run(book, "--stock", "50")
    result = run(book, "--run", "second", "--stock", "9")
    assert count(result, "replayed answers") == "0"
    assert len(gateway.orders) == 6
    assert stock(gateway) == {"MUG": 0, "TRAY": 8}
    assert sorted(gateway.adjustments) == [
        ("MUG", 9 - 41, "replay second: stock set to 9"),
        ("TRAY", 9 - 49, "replay second: stock set to 9"),
    ]


def test_stock_that_is_sold_meanwhile_is_read_again_before_it_is_set(gateway, run, book) -> None:
    run(book, "--stock", "50")
    find = gateway.find

    def outdated(path: str, query: dict[str, str]):
        status, body = find(path, query)
        if path == "/products" and "limit" in query:
            body = {**body, "items": [{**each, "stock_quantity": 1000} for each in body["items"]]}
        return status, body

    gateway.find = outdated
    run(book, "--run", "second", "--stock", "9")
    assert sorted(quantity for _, quantity, _ in gateway.adjustments) == [9 - 49, 9 - 41]


def test_a_customer_whose_key_was_forgotten_is_found_by_address(gateway, run, book) -> None:
    run(book)
    gateway.answers.clear()
    assert count(run(book), "sent") == "3"
    assert len(gateway.customers) == 2


def test_enough_for_all_fills_up_what_is_short_and_takes_nothing_away(gateway, run, book) -> None:
    run(book, "--stock", "10")
    run(book, "--run", "second")
    assert gateway.adjustments == [("MUG", 8, "replay second: stock set to 9")]


def test_a_product_that_another_run_makes_first_is_used(gateway, run, book) -> None:
    find = gateway.find

    def too_early(path: str, query: dict[str, str]):
        """The catalogue as it is read, just before the other run makes its products."""
        if path == "/products" and "limit" in query:
            for sku in ("MUG", "TRAY"):
                gateway._make_product({"sku": sku, "name": "Another run's", "price": "1.00", "stock_quantity": 1})
            return 200, {"items": [], "next_cursor": None}
        return find(path, query)

    gateway.find = too_early
    assert count(run(book), "confirmed") == "3"
    assert len(gateway.products) == 2


def test_a_run_that_broke_off_while_its_stock_was_set_sets_the_rest(gateway, run, book) -> None:
    run(book, "--stock", "50")
    gateway.answers["replay/second/stock/MUG"] = ("another body", {})
    result = run(book, "--run", "second", "--stock", "9")
    assert [sku for sku, _, _ in gateway.adjustments] == ["TRAY"]
    assert count(result, "confirmed") == "3"


def test_scarce_stock_rejects_orders_and_every_order_still_ends(gateway, run, book) -> None:
    result = run(book, "--stock", "1")
    assert result.exit_code == 0, result.output
    assert (count(result, "confirmed"), count(result, "rejected")) == ("0", "3")
    assert count(result, "  insufficient_stock") == "3"


def test_a_run_can_go_on_beyond_its_limit(gateway, run, book) -> None:
    assert count(run(book, "--limit", "1"), "sent") == "1"
    assert len(gateway.customers) == 1
    further = run(book)
    assert (count(further, "sent"), count(further, "replayed answers"), count(further, "confirmed")) == ("3", "1", "3")


def test_busy_answers_and_lost_answers_are_repeated(gateway, run, book) -> None:
    gateway.faults = [("/orders", 503), ("/orders", 0), ("/orders", 409), ("/products", 503), ("/customers", 0)]
    result = run(book, "--concurrency", "2")
    assert result.exit_code == 0, result.output
    assert count(result, "sent") == "3"
    assert len(gateway.orders) == 3


def test_what_is_not_sent_is_listed_beside_the_book(run, book) -> None:
    result = run(book)
    listed = list(csv.reader((book.parent / "orders.rejects.csv").read_text().splitlines()))
    assert listed == [
        ["line", "reason", "text"],
        ["1", "names the columns", HEADER.rstrip()],
        ["4", "no product (rules uci): POST", "500001,POST,POSTAGE,1,2026-01-05 09:00:00,18.00,501,Norway"],
    ]
    assert str(book.parent / "orders.rejects.csv") in result.output


def test_the_list_goes_where_the_user_says(run, book, tmp_path: Path) -> None:
    run(book, "--rejects", tmp_path / "elsewhere.csv")
    assert (tmp_path / "elsewhere.csv").exists()
    assert not (tmp_path / "orders.rejects.csv").exists()


def test_a_list_that_cannot_be_written_stops_nothing(run, book, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(book, "--rejects", tmp_path / "missing" / "list.csv")
    assert result.exit_code == 0
    assert "cannot be written" in result.output
    assert (tmp_path / "orders.rejects.csv").exists()


def test_a_product_that_the_gateway_refuses_takes_only_its_own_lines_along(gateway, run, book) -> None:
    book.write_text(HEADER + LINES + LINES.splitlines()[0].replace("MUG", "REFUSED") + "\n")
    result = run(book)
    assert result.exit_code == 0, result.output
    assert count(result, "confirmed") == "3"
    assert "7,the gateway refused the customer or product" in (book.parent / "orders.rejects.csv").read_text()


def test_a_sku_that_looks_like_another_is_refused_or_taken_with_a_warning(gateway, run, book, tmp_path) -> None:
    make = gateway._make_product

    def strict(asked):
        if asked["sku"] == "MUG" and not asked.get("allow_lookalikes"):
            return 409, {"code": "sku_lookalike", "detail": "MUG looks like the SKU mug"}
        return make(asked)

    gateway._make_product = strict
    assert count(run(book, "--run", "one"), "sent") == "1"
    assert "MUG looks like the SKU mug" in (tmp_path / "orders.rejects.csv").read_text()
    result = run(book, "--run", "two", "--allow-lookalikes")
    assert count(result, "sent") == "3"
    assert "warning: MUG looks like the SKU mug" in result.output


def test_an_invoice_that_has_changed_since_is_not_sent_under_its_old_key(gateway, run, book) -> None:
    run(book)
    book.write_text(HEADER + LINES.replace("Stone mug,4", "Stone mug,5"))
    result = run(book)
    assert result.exit_code == 1
    assert count(result, "  idempotency_key_reused") == "1"
    assert "choose another name with --run" in result.output
    assert len(gateway.orders) == 3


def test_orders_that_do_not_end_are_counted_and_fail_the_command(gateway, run, book) -> None:
    gateway.open_for = 1_000_000
    result = run(book, "--wait", "0.3")
    assert result.exit_code == 1
    assert (count(result, "not ended"), count(result, "confirmed")) == ("3", "0")
    assert "conveyor order show" in result.output


def test_a_gateway_that_is_not_there_is_said_at_once(gateway, run, book) -> None:
    gateway.shutdown()
    gateway.server_close()
    begin = time.monotonic()
    result = run(book)
    assert isinstance(result.exception, Unreachable)
    assert f"{gateway.url} does not answer" in str(result.exception)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a,b\n1,2\n", "is no order book: no line names the columns InvoiceNo, StockCode, Quantity, UnitPrice"),
        (b"# Conveyor\n\nConveyor is ...\n", "is no order book"),
        (b"", "is empty"),
        (b"\r\n \n", "is empty"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is a damaged workbook or archive (zip)"),
        (b"\x1f\x8b\x08\x00abc", "is compressed (gzip): unpack it"),
        (bytes(range(256)) * 100, "is binary, no table"),
    ],
)
def test_where_nothing_is_read_one_line_says_why_and_nothing_is_written(gateway, run, book, content, why) -> None:
    book.write_bytes(content)
    result = run(book)
    assert result.exit_code == 1
    assert why in str(result.exception)
    assert "\n" not in str(result.exception)
    assert [each.name for each in book.parent.iterdir()] == [book.name]
    assert gateway.requests == []


def test_a_file_that_is_none_is_said_in_a_line(run, tmp_path: Path) -> None:
    for named, why in ((tmp_path, "is a directory"), (tmp_path / "none.csv", "cannot be read: No such file")):
        result = run(named)
        assert isinstance(result.exception, ConveyorError)
        assert why in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_read_is_said_in_a_line(run, book, monkeypatch: pytest.MonkeyPatch) -> None:
    others = Path.open

    def refuse(self: Path, *arguments, **options):
        if self == book:
            raise PermissionError(13, "Permission denied")
        return others(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert str(run(book).exception) == f"{book} cannot be read: Permission denied"


def test_the_rejects_can_be_corrected_and_replayed(gateway, run, book) -> None:
    run(book)
    rejects = book.parent / "orders.rejects.csv"
    rejects.write_text(rejects.read_text().replace("POST,POSTAGE", "TRAY,Birch tray"))
    result = run(rejects)
    assert (result.exit_code, count(result, "sent"), len(gateway.orders)) == (0, "1", 4)


def test_help_explains_runs_stock_and_exit_codes() -> None:
    text = CliRunner().invoke(replay, ["--help"]).output
    for word in (
        "RUNS.",
        "STOCK.",
        "LIMITS.",
        "EXIT CODE.",
        "--concurrency",
        "--rate",
        "--limit",
        "--rejects",
        "--run",
    ):
        assert word in text


def invoices(number: int) -> list[Invoice]:
    return [Invoice(f"A{each}", "", "", None, [Item("MUG", 1, each, "")]) for each in range(number)]


def ready(gateway) -> Ids:
    gateway.products["p"] = {"id": "p", "sku": "MUG", "stock_quantity": 1000}
    return Ids({"MUG": "p"}, {"": "customer"})


def test_a_rate_spaces_the_orders(gateway) -> None:
    begin = time.monotonic()
    sent = list(Sender(Gateway(gateway.url, connections=4), "run", ready(gateway), 50.0).send(invoices(11), 4))
    assert all(isinstance(each, Sent) for each in sent)
    assert time.monotonic() - begin >= 10 / 50


def test_up_to_concurrency_orders_are_under_way_at_once(gateway) -> None:
    together = threading.Barrier(3)
    make = gateway.create

    def meet(*arguments):
        gateway.lock.release()
        together.wait(timeout=5)
        gateway.lock.acquire()
        return make(*arguments)

    gateway.create = meet
    sent = list(Sender(Gateway(gateway.url, connections=3), "run", ready(gateway), None).send(invoices(3), 3))
    assert len(sent) == 3


def test_a_gateway_that_stays_away_stops_the_sending(gateway) -> None:
    gateway.faults = [("/orders", 503)] * 1000
    client = Gateway(gateway.url, patience=0.2)
    outcomes = list(Sender(client, "run", ready(gateway), None).send(invoices(20), 1))
    assert {each.code for each in outcomes if isinstance(each, Unsent)} == {"unavailable", "not_tried"}
    assert len(outcomes) == 20


def test_what_ends_behind_stuck_orders_is_found(gateway) -> None:
    sent = list(Sender(Gateway(gateway.url), "run", ready(gateway), None).send(invoices(30), 1))
    for stuck in sent[:10]:
        gateway.orders[stuck.order_id]["asked"] = -1_000_000
    found = dict(endings(Gateway(gateway.url), sent, patience=0.2, concurrency=1, pauses=(0.01, 0.05)))
    assert sorted(found) == sorted(each.order_id for each in sent[10:])


def test_a_round_over_open_orders_asks_for_a_few_only(gateway) -> None:
    sent = list(Sender(Gateway(gateway.url), "run", ready(gateway), None).send(invoices(30), 1))
    gateway.open_for = 1_000_000
    assert not list(endings(Gateway(gateway.url), sent, patience=0, concurrency=1))
    assert len([path for method, path in gateway.requests if method == "GET"]) < 10


def test_customers_that_look_alike_have_addresses_of_their_own() -> None:
    runs = ("orders.csv", "orders-csv", "Orders.csv")
    emails = {email_of(run, customer) for run in runs for customer in ("", "501", "a b", "a-b", "A-B", "日本")}
    assert len(emails) == 18


def test_stock_codes_of_a_book_that_look_the_same_are_told_before_and_the_first_is_taken(
    gateway, run, tmp_path: Path
) -> None:
    book = tmp_path / "alike.csv"
    rows = [f"A{n},{sku},Mug,1,2026-03-02 10:00:00,2.00,1,France" for n, sku in enumerate(("mug", "MUG", "\u041cUG"))]
    book.write_text(
        "\n".join(["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country", *rows])
    )
    dry = run(book, "--dry-run")
    assert "2 stock codes look like another (MUG like mug, \u041cUG like mug): refused" in dry.output
    result = run(book)
    assert [each["sku"] for each in gateway.products.values()] == ["mug"]
    assert "MUG looks like mug (--allow-lookalikes sends it)" in (tmp_path / "alike.rejects.csv").read_text()
    assert (result.exit_code, len(gateway.orders)) == (0, 1)


def test_a_run_is_the_same_however_its_name_is_written(gateway, run, book) -> None:
    """A file's name from a Mac is decomposed."""
    run(book, "--run", "Ma\u0308rz")
    again = run(book, "--run", "M\u00e4rz")
    assert "run M\u00e4rz has begun before" in again.output
    assert len(gateway.orders) == 3


def test_a_run_that_an_older_release_began_under_a_decomposed_name_goes_on(
    gateway, run, book, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("conveyor.replay.run.nfc", lambda text: text)
        run(book, "--run", "Ma\u0308rz")
    assert "has begun before" in run(book, "--run", "Ma\u0308rz").output
    assert len(gateway.orders) == 3
