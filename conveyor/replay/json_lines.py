"""An order book as JSON lines: on each line an order as ``POST /orders`` takes it, or as ``GET /orders`` shows it.

    {"number": "1001", "customer": "ada@example.com", "created_at": "2026-03-02T10:00:00Z",
     "items": [{"sku": "MUG", "name": "Stone mug", "quantity": 2, "price": "7.50"}]}

``customer_id`` and ``product_id`` are ids that this shop has given; ``customer`` and ``sku`` are names of the other
system's, for which customers and products are made as for any order book. An order without a number is its line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import msgspec

from conveyor.replay.line import LARGEST_PRICE, LONGEST_CODE, LONGEST_NAME, Line, NotAnOrderLine, moments_of
from conveyor.replay.reading import Blocks
from conveyor.replay.store import Store
from conveyor.tables.cells import NoCode, Row, code_of, words

#: Other names of an order's number and of a product's name, as our own API shows them.
NUMBERS, NAMES = ("number", "id"), ("name", "product_name")
#: Members of an order that is read; what else there is, is left alone, and said.
KNOWN = frozenset({*NUMBERS, "customer", "customer_id", "items", "delivery_address", "country", "created_at", "status"})
KNOWN_OF_ITEM = frozenset({*NAMES, "sku", "product_id", "quantity", "price"})
CANCELLED = frozenset({"Cancelled", "Cancelling", "Rejected"})


@dataclass(slots=True)
class JsonReading:
    """What is known so far while a book of JSON lines is read from top to bottom."""

    store: Store
    most: int
    lines: int = 0
    unread: set[str] = field(default_factory=set)
    blocks: Blocks = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.store)

    def take_all(self, lines: Iterable[str]) -> None:
        """Read all lines."""
        for number, line in enumerate(lines, start=1):
            if line.strip():
                self._take(Row(number, (), line))

    def _take(self, row: Row) -> None:
        self.lines += 1
        try:
            order = _object(row.text)
            invoice = _code(order, *NUMBERS) or f"line {row.number}"
            lines = self._lines(order, invoice)
        except NotAnOrderLine as why:
            self.store.reject(row.number, str(why), row.text)
            return
        block = self.blocks.take(row, invoice)
        for line in lines:
            self.store.keep(row, line, block)
        self.blocks.end()  # a line is a whole order

    def _lines(self, order: Mapping[str, Any], invoice: str) -> list[Line]:
        """The lines of an order: all of them, or none. Raises NotAnOrderLine."""
        self.unread |= order.keys() - KNOWN
        if order.get("status") in CANCELLED:
            raise NotAnOrderLine(f"cancelled: status is {order['status']}")
        items = order.get("items")
        if not isinstance(items, list) or not items:
            raise NotAnOrderLine("items: an order has a list of at least one line")
        customer = "" if order.get("customer") is None else _code(order, "customer")
        address = order.get("delivery_address") or order.get("country") or ""
        shared = {
            "invoice": invoice,
            "customer": customer,
            "customer_id": "" if customer else _code(order, "customer_id"),
            "country": words(_text(address, "delivery_address")),
            "moments": moments_of(_text(order.get("created_at") or "", "created_at"), "ymd"),
        }
        return [self._line(each, f"items.{at}", shared) for at, each in enumerate(items)]

    def _line(self, item: object, where: str, shared: Mapping[str, Any]) -> Line:
        if not isinstance(item, dict):
            raise NotAnOrderLine(f"{where}: a line is an object")
        self.unread |= {f"items.{name}" for name in item.keys() - KNOWN_OF_ITEM}
        sku = _code(item, "sku", where=f"{where}.")
        product_id = "" if sku else _code(item, "product_id", where=f"{where}.")
        if not sku and not product_id:
            raise NotAnOrderLine(f"{where}: neither sku nor product_id")
        quantity = item.get("quantity")
        if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= self.most:
            raise NotAnOrderLine(f"{where}.quantity: a whole number from 1 to {self.most:,}")
        price = _price(item.get("price"), f"{where}.price")
        name = words(_text(next((item[each] for each in NAMES if item.get(each)), ""), f"{where}.name"))[:LONGEST_NAME]
        if sku and price:
            self.store.offer(sku, price)
        if sku and name:
            self.store.name(sku, name)
        return Line(
            sku=sku,
            name=name,
            quantity=quantity,
            product_id=product_id,
            price=str(price) if price is not None and product_id else "",
            **shared,
        )


def _object(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotAnOrderLine(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise NotAnOrderLine("no order: a JSON object is")
    return found


def _code(of: Mapping[str, Any], *names: str, where: str = "") -> str:
    """An identifier under the first of these names that is there; empty where none is. Raises NotAnOrderLine."""
    for name in names:
        value = of.get(name)
        if value is None:
            continue
        if isinstance(value, bool | float | list | dict):
            raise NotAnOrderLine(f"{where}{name}: a text or a whole number")
        try:
            code = code_of(str(value))
        except NoCode as error:
            raise NotAnOrderLine(f"{where}{name} {error}") from None
        if len(code) > (LONGEST_NAME if name.startswith("customer") else LONGEST_CODE):
            raise NotAnOrderLine(f"{where}{name}: longer than {LONGEST_CODE} characters")
        return code
    return ""


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise NotAnOrderLine(f"{name}: a text")
    return value


def _price(value: object, name: str) -> Decimal | None:
    """A price in full cents, None where there is none. Raises NotAnOrderLine."""
    if value is None:
        return None
    try:
        price = Decimal(str(value)) if isinstance(value, str | int | float) else Decimal("NaN")
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or not 0 <= price <= LARGEST_PRICE:
        raise NotAnOrderLine(f"{name}: an amount from 0 to {LARGEST_PRICE:,}")
    return price.quantize(Decimal("0.01"), ROUND_HALF_UP)
