"""One order per invoice through the gateway, once, at a rate.

The idempotency key of an order is made of the run and the invoice, so an order that was sent before is not made
again: the gateway gives the answer that it gave then. No prices are sent: they are the catalogue's.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from conveyor.client import Gateway, GatewayError, Refused, key_of
from conveyor.parallel import each
from conveyor.replay.book import Invoice, Item
from conveyor.replay.prepare import Ids

#: The code of an invoice that was not sent because the gateway had gone for good.
NOT_TRIED = "not_tried"
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Sent:
    """An order that the gateway answered for. ``seconds`` is how long its client waited, repeats included."""

    order_id: str
    created_at: datetime
    replayed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Unsent:
    """An invoice that the gateway made no order of: a stable code, and a sentence."""

    invoice: Invoice
    code: str
    detail: str


class Sender:
    """Sends the invoices of one run. When the gateway is away for longer than the client's patience, it stops."""

    def __init__(self, gateway: Gateway, run: str, ids: Ids, rate: float | None) -> None:
        """``rate`` is in orders a second, None for as fast as it goes."""
        self._gateway, self._run, self._ids = gateway, run, ids
        self._gap = 1 / rate if rate else 0.0
        self._gone = threading.Event()

    def send(self, invoices: Iterable[Invoice], concurrency: int) -> Iterator[Sent | Unsent]:
        """Send these invoices, begun in their order and taken as they are sent, up to ``concurrency`` at a time."""
        begin = time.monotonic()
        schedule = ((begin + number * self._gap, invoice) for number, invoice in enumerate(invoices))
        try:
            yield from each(self._send_when_due, schedule, concurrency)
        finally:
            self._gone.set()

    def _send_when_due(self, scheduled: tuple[float, Invoice]) -> Sent | Unsent:
        due, invoice = scheduled
        if self._gone.wait(max(0.0, due - time.monotonic())):
            return Unsent(invoice, NOT_TRIED, "the gateway had gone")
        try:
            return self._send(invoice)
        except Refused as refusal:
            if refusal.passing:
                self._give_up()
            return Unsent(invoice, refusal.code, str(refusal).replace("\n", " "))
        except GatewayError as error:
            self._give_up()
            return Unsent(invoice, UNREACHABLE, str(error))

    def _send(self, invoice: Invoice) -> Sent:
        begin = time.perf_counter()
        answer = self._gateway.post(
            "/orders", body_of(invoice, self._ids), key=key_of("replay", self._run, "order", invoice.number)
        )
        seconds = time.perf_counter() - begin
        created_at = datetime.fromisoformat(answer.body["created_at"])
        return Sent(str(answer.body["id"]), created_at, answer.replayed, seconds)

    def _give_up(self) -> None:
        self._gone.set()
        self._gateway.stop()


def body_of(invoice: Invoice, ids: Ids) -> dict[str, object]:
    """The order of an invoice: its lines as they stand in the book, repeated products included, without prices.

    What the book knows by this shop's own ids is sent as it stands there, prices included.
    """
    body: dict[str, object] = {
        "customer_id": invoice.customer_id or ids.customers[invoice.customer],
        "items": [_line_of(item, ids) for item in invoice.items],
    }
    if invoice.country:
        body["delivery_address"] = invoice.country
    return body


def _line_of(item: Item, ids: Ids) -> dict[str, object]:
    line: dict[str, object] = {"product_id": item.product_id or ids.products[item.sku], "quantity": item.quantity}
    return {**line, "price": item.price} if item.price else line
