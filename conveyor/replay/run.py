"""A replay from the file to the report."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chassis.settings import Settings
from conveyor.client import Gateway, GatewayError, Refused
from conveyor.parallel import progress
from conveyor.replay import report
from conveyor.replay.book import Book, Invoice, NoOrderBook, Reject, read_book
from conveyor.replay.prepare import Ids, Preparation, has_begun
from conveyor.replay.rejects import write_rejects
from conveyor.replay.send import NOT_TRIED, UNREACHABLE, Sender, Sent, Unsent
from conveyor.replay.source import bytes_of
from conveyor.replay.wait import Ending, endings
from conveyor.terminal import say, say_paragraph

#: A book of more bytes takes seconds to read.
SOON_READ = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a replay is asked to do; ``conveyor replay --help`` says it in words.

    ``rate`` is in orders a second, None for as fast as it goes; ``stock`` is in units, None for enough; ``patience``
    is in seconds.
    """

    file: Path
    run: str
    concurrency: int = 8
    rate: float | None = None
    limit: int | None = None
    stock: int | None = None
    rejects: Path | None = None
    patience: float = 300.0


def replay(options: Options, settings: Settings) -> int:
    """Send an order book through the gateway and print what came of it.

    The exit code: 0 when every order was taken and has ended, 1 otherwise. Raises Unreadable and NoOrderBook before
    anything is written, GatewayError when the gateway is not there, or goes away for good before the first order is
    sent.
    """
    book = _book_in(options.file, settings)
    invoices = book.invoices[: options.limit]
    for line in _of_the_book(options, book, len(invoices)):
        say(line)
    _list_rejects(options, book.header, book.rejects)
    if not invoices:
        say(f"There is nothing to send in {options.file}.", err=True)
        return 1
    gateway = Gateway(settings.gateway_url, connections=options.concurrency, patience=options.patience)
    try:
        _check_presence(settings.gateway_url)
        return _through(gateway, options, book, invoices)
    finally:
        gateway.stop()


def _through(gateway: Gateway, options: Options, book: Book, invoices: Sequence[Invoice]) -> int:
    begun = has_begun(gateway, options.run, book)
    if begun:
        say(f"run {options.run} has begun before: stock is left as it is, and no order is made twice")
    preparation = Preparation(gateway, options.run, options.stock, begun, options.concurrency)
    ids = preparation.prepare(book, invoices)
    sendable, refused = without_refused(invoices, ids)
    sent, unsent = _send(gateway, options, ids, sendable)
    refused += [_reject(each) for each in unsent]
    if refused:
        _list_rejects(options, book.header, book.rejects + refused)
    ended = _wait(gateway, options, sent)
    result = report.summarize(sent, unsent, ended)
    for line in (*report.lines(result), *_next_steps(sent, unsent, ended)):
        say(line)
    return 0 if sent and result.complete else 1


def without_refused(invoices: Iterable[Invoice], ids: Ids) -> tuple[list[Invoice], list[Reject]]:
    """The invoices without the lines whose product or customer the gateway refused, and those lines."""
    sendable: list[Invoice] = []
    rejects: list[Reject] = []
    for invoice in invoices:
        items = []
        for item in invoice.items:
            why = ids.refused_customers.get(invoice.customer) or ids.refused_products.get(item.sku)
            if why:
                rejects.append(Reject(item.number, f"the gateway refused the customer or product: {why}", item.text))
            else:
                items.append(item)
        if items:
            sendable.append(replace(invoice, items=items))
    return sendable, rejects


def _check_presence(url: str) -> None:
    """Fail at once where there is no gateway, instead of after all patience. Raises Unreachable."""
    try:
        Gateway(url).get("/health")
    except Refused as refusal:
        say(f"The gateway is there, and not well: {refusal.detail} Going on.", err=True)


def _send(gateway: Gateway, options: Options, ids: Ids, invoices: Sequence[Invoice]) -> tuple[list[Sent], list[Unsent]]:
    sent: list[Sent] = []
    unsent: list[Unsent] = []
    sender = Sender(gateway, options.run, ids, options.rate)
    with progress("orders sent", len(invoices)) as advance:
        for outcome in sender.send(invoices, options.concurrency):
            if isinstance(outcome, Sent):
                sent.append(outcome)
            else:
                unsent.append(outcome)
            advance(1)
    return sent, unsent


def _wait(gateway: Gateway, options: Options, sent: Sequence[Sent]) -> dict[str, Ending]:
    ended: dict[str, Ending] = {}
    oldest_first = sorted(sent, key=lambda each: each.created_at)
    with progress("orders ended", len(sent)) as advance:
        try:
            for order_id, ending in endings(
                gateway, oldest_first, patience=options.patience, concurrency=options.concurrency
            ):
                ended[order_id] = ending
                advance(1)
        except GatewayError as error:
            say_paragraph(str(error), err=True)
            say("What is known until here:", err=True)
    return ended


def _of_the_book(options: Options, book: Book, sending: int) -> Iterator[str]:
    dates = sorted(invoice.date for invoice in book.invoices if invoice.date)
    period = f", {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}" if dates else ""
    yield f"{options.file.name} ({book.encoding}): {book.lines:,} lines, {len(book.rejects):,} dropped{period}"
    yield f"{len(book.invoices):,} invoices, {len(book.products):,} products; run {options.run} sends {sending:,}"


def _book_in(file: Path, settings: Settings) -> Book:
    """Raises Unreadable or NoOrderBook, in a line that names the file."""
    raw = bytes_of(file)
    if len(raw) > SOON_READ:
        say(f"reading {file}", err=True)
    try:
        return read_book(raw, most_lines=settings.max_order_lines, most_units=settings.max_line_quantity)
    except NoOrderBook as error:
        raise NoOrderBook(f"{file} is {error}") from None


def _list_rejects(options: Options, header: Reject, rejects: Sequence[Reject]) -> None:
    beside = options.file.with_suffix(".rejects.csv")
    written = write_rejects(options.rejects or beside, header, rejects, fallback=Path(beside.name))
    if written:
        say(f"{len(rejects):,} lines that are not sent are listed in {written}")


def _reject(unsent: Unsent) -> Reject:
    first = unsent.invoice.items[0]
    reason = f"the gateway took no order for invoice {unsent.invoice.number}: {unsent.detail}"
    return Reject(first.number, reason, first.text)


def _next_steps(sent: Sequence[Sent], unsent: Sequence[Unsent], ended: Mapping[str, Ending]) -> Iterator[str]:
    codes = {each.code for each in unsent}
    if "idempotency_key_reused" in codes:
        yield "This run has sent some of these invoices with other lines: choose another name with --run."
    if codes & {NOT_TRIED, UNREACHABLE}:
        yield "The gateway went away. The same command goes on where this replay stopped; no order is made twice."
    open_orders = [each.order_id for each in sent if each.order_id not in ended]
    if open_orders:
        yield f"Still open: {', '.join(open_orders[:3])}{' ...' if open_orders[3:] else ''}"
        yield "`conveyor order show ID` tells how far an order got; the same command waits for them again."
