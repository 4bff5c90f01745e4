"""One run: what it is asked to do, what it has to work with, and whether the answers were right."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from chassis.errors import ConveyorError
from chassis.settings import Settings
from conveyor import terminal
from conveyor.bench.measure import Measured, measure
from conveyor.bench.shop import Shop, ordinary
from conveyor.reconcile.run import Findings, reconcile

#: Orders before an ordinary load that are not counted: connections are opened, statements prepared, caches filled.
WARM_UP = 300
#: Orders of a short load, with which a part is compared that is about a ratio.
SHORT = 2_500
PLACED = "Pending Shipment"

Document = dict[str, Any]


class NotMeasured(ConveyorError):
    """Something that a part takes is not here. The message says what, and how to get it."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do: the size of an ordinary load, and where the rest is found.

    ``seeded``: orders that are put into the databases; ``naive_orders``: the load of the naive pipeline, which takes
    ten times as long for each; ``baseline``: the folder of it and of the ceiling; ``book``: what is replayed.
    """

    orders: int = 20_000
    clients: int = 32
    lines: int = 2
    products: int = 1_000
    seeded: int = 1_000_000
    naive_orders: int = 5_000
    baseline: Path | None = None
    book: Path | None = None

    def document(self) -> Document:
        """The conditions, as they are printed."""
        return {
            "clients": self.clients,
            "lines": self.lines,
            "products": self.products,
            "orders": self.orders,
            "naive orders": self.naive_orders,
            "seeded": self.seeded,
        }

    @property
    def quick(self) -> bool:
        """Whether the loads are others than those that the table is about."""
        return self.document() != Options().document()


@dataclass(slots=True)
class Bench:
    """One run on one system. ``results`` has what was measured so far, by the part's name; ``latencies`` the seconds
    of every POST by the load's name, for the plot."""

    settings: Settings
    options: Options
    shop: Shop
    results: dict[str, Document] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)

    def ordinary_load(self, label: str) -> Measured:
        """A warm-up that is not counted, and the load. Raises LoadFailed, GatewayError."""
        measured = self._load(self.options.orders, label)
        self.latencies[label] = measured.answers.took
        return measured

    def short_load(self) -> Measured:
        """An ordinary load of a few seconds, to be set beside what is measured before or after it."""
        return self._load(min(SHORT, self.options.orders), "orders to compare with")

    def _load(self, orders: int, label: str) -> Measured:
        chosen, url = self.options, self.settings.gateway_url
        products, customer = self.shop.products(chosen.products), self.shop.customer("orders")
        warm_up = ordinary(url, customer, products, min(WARM_UP, orders), chosen.lines)
        measure(self.shop.pipeline, customer, warm_up, chosen.clients, "orders to warm up")
        requests = ordinary(url, customer, products, orders, chosen.lines)
        return measure(self.shop.pipeline, customer, requests, chosen.clients, label)


def beside(*loads: Measured) -> Document:
    """The rates of an ordinary load as they were right before and after a part.

    A part is compared with these and not with the part `orders`: some minutes later the processor of a shared machine
    is half as fast again, or slower.
    """
    return {
        "beside": {
            "completed_per_second": round(fmean(each.ended.per_second for each in loads), 2),
            "accepted_per_second": round(fmean(each.answers.per_second for each in loads), 2),
        }
    }


def wrong_statuses(measured: Measured, wanted: Mapping[str, int]) -> list[str]:
    """What became of the orders, where it is not what should have."""
    there = dict(measured.ended.statuses)
    return [] if there == wanted else [f"the orders are {there}, and should be {wanted} {measured.answers.errors}"]


def deviations(settings: Settings) -> list[str]:
    """What reconcile says of the databases: nothing, as long as every promise is kept. Raises DatabaseDown."""
    found = reconcile(settings, Findings())
    return [f"{each.kind} {each.id}: there is {each.found}, should be {each.expected}" for each in found]


def say(text: str) -> None:
    """A line about the progress, on stderr."""
    terminal.say(text, err=True)
