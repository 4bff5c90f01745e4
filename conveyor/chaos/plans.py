"""Which orders are placed, which of them are cancelled and moved, and how much stock there is: of the seed alone."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from conveyor.chaos.schedule import CROWD_EVERY
from conveyor.replay.book import Book, Invoice, Item, Product

#: Our products are our own: the sample catalogue, which a stack loads at its start, has stock of its own.
PREFIX = "CHAOS-"
#: Orders are placed in the first part of the run, so that the last ones are tormented too.
PLACING = 0.9

CANCELLED = 0.3
#: Cancelled within so many seconds: while the chain is under way, soon after, when the parcel may have left.
CANCEL_WITHIN = (0.3, 5.0, 30.0)
MOVED = 0.5
#: What becomes of a parcel, and how often compared to the others.
JOURNEYS = {
    ("IN_TRANSIT", "DELIVERED"): 5,
    ("IN_TRANSIT", "FAILED"): 2,
    ("IN_TRANSIT", "FAILED", "IN_TRANSIT", "DELIVERED"): 2,
    ("IN_TRANSIT",): 1,
}
#: Moved by an operator, by way of the order; the others by their courier.
BY_OPERATOR = 0.3
#: A parcel is moved on within so many seconds, and within this part of the run.
MOVE_WITHIN, MOVE_PART = 8.0, 1 / 20
#: So many couriers are without a network on their way: they tell it later, in any order, with the times of it.
TOLD_LATE = 0.3
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
#: So many customers come in crowds, the others one by one: so bundles form.
IN_CROWDS = 0.5

#: Of so many products there is less than what all orders together ask for.
SCARCE, SCARCE_SHARE = 0.2, 0.6


@dataclass(frozen=True, slots=True)
class Move:
    """``after`` seconds, the parcel is reported to be ``to``: by its courier, or by an operator.

    ``occurred_at`` is what the courier says of the time, None where nothing.
    """

    after: float
    to: str
    by_operator: bool
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One order: placed ``at`` seconds after the first, cancelled so many seconds after that, or never."""

    number: int
    at: float
    invoice: Invoice
    cancel_after: float | None
    journey: tuple[Move, ...]


def plans(seed: int, seconds: float, orders: int, invoices: Sequence[Invoice]) -> list[Plan]:
    """The orders of a run, spread over it; the invoices are gone through again and again."""
    return [_plan(seed, number, seconds, orders, invoices[number % len(invoices)]) for number in range(orders)]


def _plan(seed: int, number: int, seconds: float, orders: int, invoice: Invoice) -> Plan:
    chance = random.Random(f"{seed}/order/{number}")
    at = (number + chance.random()) * seconds * PLACING / orders
    if chance.random() < IN_CROWDS:
        at -= at % CROWD_EVERY
    within = min(chance.choice(CANCEL_WITHIN), seconds - at)
    cancel_after = chance.uniform(0, within) if chance.random() < CANCELLED else None
    journey: tuple[Move, ...] = ()
    if chance.random() < MOVED:
        by_operator = chance.random() < BY_OPERATOR
        stations = chance.choices(list(JOURNEYS), list(JOURNEYS.values()))[0]
        within = min(MOVE_WITHIN, seconds * MOVE_PART)
        journey = tuple(Move(chance.uniform(0.1, within), to, by_operator) for to in stations)
        if not by_operator and chance.random() < TOLD_LATE:
            journey = _told_late(journey, chance)
    return Plan(number, at, invoice, cancel_after, journey)


def _told_late(journey: Sequence[Move], chance: random.Random) -> tuple[Move, ...]:
    timed = [replace(each, occurred_at=BEGAN + timedelta(hours=hour)) for hour, each in enumerate(journey)]
    return tuple(chance.sample(timed, len(timed)))


def our_own(book: Book) -> Book:
    """The book with products of our own, so that nobody else sells them."""
    products = {PREFIX + sku: replace(each, sku=PREFIX + sku) for sku, each in book.products.items()}
    invoices = [
        replace(each, items=[replace(item, sku=PREFIX + item.sku) for item in each.items]) for each in book.invoices
    ]
    return replace(book, products=products, invoices=invoices)


def stocked(seed: int, book: Book, planned: Sequence[Plan]) -> tuple[Book, set[str]]:
    """The book with what there is of each product as its demand, and the products of which there is not enough."""
    demand: Counter[str] = Counter()
    for plan in planned:
        for item in plan.invoice.items:
            demand[item.sku] += item.quantity
    chance = random.Random(f"{seed}/stock")
    scarce = set(chance.sample(sorted(demand), max(1, round(len(demand) * SCARCE)))) if demand else set()
    products: dict[str, Product] = {}
    for sku, each in book.products.items():
        share = SCARCE_SHARE if sku in scarce else 1
        products[sku] = replace(each, demand=int(demand[sku] * share))
    return replace(book, products=products), scarce


def lines_of(items: Sequence[Item]) -> Counter[str]:
    """Units of each product."""
    units: Counter[str] = Counter()
    for item in items:
        units[item.sku] += item.quantity
    return units
