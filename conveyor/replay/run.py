"""A replay from the file to the report."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from chassis.codes import nfc
from chassis.settings import Settings
from conveyor.client import Gateway, GatewayError, Refused
from conveyor.parallel import progress
from conveyor.replay import decided, report
from conveyor.replay.answers import Answers
from conveyor.replay.book import Invoice, OpenBook, Reject
from conveyor.replay.opened import opened_book
from conveyor.replay.prepare import Ids, Preparation, has_begun
from conveyor.replay.rejects import write_rejects
from conveyor.replay.send import NOT_TRIED, UNREACHABLE, Sender, Sent, Unsent
from conveyor.replay.store import counted
from conveyor.replay.wait import Ending, endings
from conveyor.tables.errors import Uncertain
from conveyor.terminal import say, say_paragraph

#: A book of more bytes takes seconds to read.
SOON_READ = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a replay is asked to do; ``conveyor replay --help`` says it in words.

    ``rate`` is in orders a second, None for as fast as it goes; ``stock`` is in units, None for enough; ``patience``
    is in seconds. ``answers``: what the operator says about the file.
    """

    file: Path
    run: str
    concurrency: int = 8
    rate: float | None = None
    limit: int | None = None
    stock: int | None = None
    rejects: Path | None = None
    patience: float = 300.0
    dry_run: bool = False
    allow_lookalikes: bool = False
    answers: Answers = field(default_factory=Answers)


def replay(options: Options, settings: Settings) -> int:
    """Send an order book through the gateway and print what came of it.

    The exit code: 0 when every order was taken and has ended, 1 otherwise; of a dry run 0 where there is something to
    send. Raises Unreadable, Uncertain and NoOrderBook before anything is written, GatewayError when the gateway is not
    there, or goes away for good before the first order is sent.
    """
    limits = {"most_lines": settings.max_order_lines, "most_units": settings.max_line_quantity}
    try:
        _say_that_it_takes_long(options.file)
        with opened_book(options.file, options.answers, **limits) as book:
            return _with(book, options, settings)
    except Uncertain as uncertain:
        for line in uncertain.shown:
            say(line, err=True)
        raise


def _with(book: OpenBook, options: Options, settings: Settings) -> int:
    orders = min(book.orders, options.limit or book.orders)
    if alike := decided.lookalikes(book, options.allow_lookalikes):
        book.said["look-alikes"] = alike
    for line in (*decided.lines(book), *_of_the_run(options, book, orders)):
        say(line)
    if not options.dry_run or options.rejects:
        _list_rejects(options, book.header, book.rejects())
    if not orders:
        say(f"There is nothing to send in {options.file}.", err=True)
        return 1
    if options.dry_run:
        say(*decided.sample(book), "This is a dry run: nothing is sent.")
        return 0
    gateway = Gateway(settings.gateway_url, connections=options.concurrency, patience=options.patience)
    try:
        _check_presence(settings.gateway_url)
        return _through(gateway, options, book, orders)
    finally:
        gateway.stop()


def _through(gateway: Gateway, options: Options, book: OpenBook, orders: int) -> int:
    customer = next(book.invoices(1)).customer
    options = replace(options, run=_run_named(gateway, options.run, customer))
    begun = has_begun(gateway, options.run, customer)
    if begun:
        say(f"run {options.run} has begun before: stock is left as it is, and no order is made twice")
    preparation = Preparation(gateway, options.run, options.stock, begun, options.concurrency, options.allow_lookalikes)
    ids = preparation.prepare(book.products, book.invoices(options.limit))
    refused: list[Reject] = []
    sendable = without_refused(book.invoices(options.limit), ids, refused.append)
    sent, unsent = _send(gateway, options, ids, sendable, orders)
    refused += [_reject(each) for each in unsent]
    if refused:
        _list_rejects(options, book.header, merged(book.rejects(), refused))
    ended = _wait(gateway, options, sent)
    result = report.summarize(sent, unsent, ended)
    for line in (*report.lines(result), *_next_steps(sent, unsent, ended)):
        say(line)
    return 0 if sent and result.complete else 1


def _run_named(gateway: Gateway, name: str, customer: str) -> str:
    """The run's name in normal form, since a file's name from a Mac is decomposed; as it is where 0.2.0 began it so."""
    return name if name != nfc(name) and has_begun(gateway, name, customer) else nfc(name)


def without_refused(invoices: Iterable[Invoice], ids: Ids, reject: Callable[[Reject], None]) -> Iterator[Invoice]:
    """The invoices without the lines whose product or customer the gateway refused; those lines are rejected."""
    for invoice in invoices:
        items = []
        for item in invoice.items:
            why = ids.refused_customers.get(invoice.customer) or ids.refused_products.get(item.sku)
            if why:
                reject(Reject(item.number, f"the gateway refused the customer or product: {why}", item.text))
            else:
                items.append(item)
        if items:
            yield replace(invoice, items=items)


def merged(book: Iterable[Reject], refused: Iterable[Reject]) -> Iterator[Reject]:
    """The rejects of the book and of the gateway, in the order of the file."""
    return heapq.merge(book, sorted(refused, key=lambda each: each.number), key=lambda each: each.number)


def _check_presence(url: str) -> None:
    """Fail at once where there is no gateway, instead of after all patience. Raises Unreachable."""
    try:
        Gateway(url).get("/health")
    except Refused as refusal:
        say(f"The gateway is there, and not well: {refusal.detail} Going on.", err=True)


def _send(
    gateway: Gateway, options: Options, ids: Ids, invoices: Iterable[Invoice], orders: int
) -> tuple[list[Sent], list[Unsent]]:
    sent: list[Sent] = []
    unsent: list[Unsent] = []
    sender = Sender(gateway, options.run, ids, options.rate)
    with progress("orders sent", orders) as advance:
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


def _of_the_run(options: Options, book: OpenBook, sending: int) -> Iterator[str]:
    period = f", {book.period[0]:%Y-%m-%d} to {book.period[1]:%Y-%m-%d}" if book.period else ""
    dropped = sum(book.reasons.values())
    yield f"{options.file.name} ({book.encoding}): {counted(book.lines, 'line')}, {dropped:,} dropped{period}"
    units = f"{counted(book.units, 'unit')} of {counted(len(book.products), 'product')}"
    yield f"{counted(book.orders, 'order')}, {units}; run {options.run} sends {sending:,}"


def _say_that_it_takes_long(file: Path) -> None:
    if file.is_file() and file.stat().st_size > SOON_READ:
        say(f"reading {file}", err=True)


def _list_rejects(options: Options, header: Reject, rejects: Iterable[Reject]) -> None:
    beside = options.file.with_suffix(".rejects.csv")
    written, lines = write_rejects(options.rejects or beside, header, rejects, fallback=Path(beside.name))
    if written:
        say(f"{lines:,} lines that are not sent are listed in {written}")


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
