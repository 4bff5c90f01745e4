"""Loading a catalogue into the shop."""

from pathlib import Path

import pytest

from chassis.errors import ConveyorError
from conveyor.catalogue import SAMPLE, load, read_catalogue
from conveyor.client import Gateway
from conveyor.replay.opened import read_book


def test_the_sample_catalogue_fills_the_shop_once(gateway) -> None:
    first, second = load(Gateway(gateway.url)), load(Gateway(gateway.url))
    assert (first.created, first.known, first.refused) == (20, 0, {})
    assert (second.created, second.known, second.refused) == (0, 20, {})
    mug = next(each for each in gateway.products.values() if each["sku"] == "MUG-STONE")
    assert (mug["name"], mug["price"], mug["stock_quantity"]) == ("Stoneware mug", "9.80", 800)
    assert mug["description"].startswith("300 ml")


def test_a_row_that_cannot_be_a_product_stops_no_other(gateway, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.csv"
    file.write_text(
        "sku,name,price,stock\nA,One,cheap,1\nB,Two,2.00,half\nC,Three\nREFUSED,Four,4.00,4\nE,Five,5.00,\n"
    )
    loaded = load(Gateway(gateway.url), file)
    assert loaded.created == 1
    assert loaded.refused == {
        2: "the price is no number: 'cheap'",
        3: "the stock is no number: 'half'",
        4: "broken row: 2 columns where the header has 4",
        5: "sku: not this one (422 invalid)   sku: no",
    }


def test_the_sample_order_book_is_an_order_book_of_the_sample_catalogue() -> None:
    book = read_book((SAMPLE.parent / "orders.csv").read_bytes())
    prices = {each["sku"]: each["price"] for each in read_catalogue(SAMPLE).products.values()}
    assert {each.sku: str(each.price) for each in book.products.values()}.items() <= prices.items()
    assert len(book.invoices) == 56
    assert [reject.reason.split(":")[0] for reject in book.rejects] == [
        "no product (rules uci)",
        "credit note (rules uci)",
        "a note without a price (rules uci)",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            b"# Conveyor\n\ntext\n",
            "is no catalogue: no line names the columns sku, name, price. --map sku=TITLE says what one is called",
        ),
        (b"", "is empty"),
    ],
)
def test_a_file_that_is_no_catalogue_is_said_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(content)
    with pytest.raises(ConveyorError) as said:
        load(Gateway("http://127.0.0.1:9"), file)
    assert str(said.value) == f"{file} {why}"
