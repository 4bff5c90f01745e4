"""What may share a message: outbox rows merged into bundles, as few as the limits allow."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from celeryconfig import QUEUE_OF_TASK
from chassis.json_text import read_json
from chassis.outbox import MOST_BYTES, MOST_LINES, MOST_ORDERS


@dataclass
class Bundle:
    """Rows whose orders will share one message: at most one per order, kind and number."""

    task: str
    links: str
    rows: list[int] = field(default_factory=list)
    orders: list[Any] = field(default_factory=list)
    keys: set[Any] = field(default_factory=set)
    lines: int = 0
    size: int = 0

    @property
    def queue(self) -> str | None:
        """Where it goes; None where this release has no such task."""
        return QUEUE_OF_TASK.get(self.task)

    def takes(self, orders: list[Any], keys: set[Any], lines: int, size: int) -> bool:
        """Whether these fit in beside what is there."""
        return (
            len(self.orders) + len(orders) <= MOST_ORDERS
            and self.lines + lines <= MOST_LINES
            and self.size + size <= MOST_BYTES
            and self.keys.isdisjoint(keys)
        )

    def add(self, row: int, orders: list[Any], keys: set[Any], lines: int, size: int) -> None:
        """Take them in, which are those of this row."""
        self.rows.append(row)
        self.orders += orders
        self.keys |= keys
        self.lines += lines
        self.size += size


def bundles(rows: Iterable[Any]) -> Iterator[Bundle]:
    """Merge outbox rows, oldest first, into as few messages as the limits allow.

    Only rows of the same task with the same remaining links share a message, and a row that is ``alone`` shares with
    nobody.
    """
    filling: dict[tuple[str, str], Bundle] = {}
    for row in sorted(rows, key=lambda each: each.id):
        orders = read_json(row.bundle)
        keys = {_key(order) for order in orders}
        lines = sum(_lines(order) for order in orders)
        fits = (orders, keys, lines, len(row.bundle))
        if row.alone:
            alone = Bundle(row.task, row.links)
            alone.add(row.id, *fits)
            yield alone
            continue
        kind = (row.task, row.links)
        if kind in filling and not filling[kind].takes(*fits):
            yield filling.pop(kind)
        filling.setdefault(kind, Bundle(*kind)).add(row.id, *fits)
    yield from filling.values()


# A split message may hold anything: whatever it is has to leave, or nothing behind it would.


def _key(order: Any) -> Any:
    if not isinstance(order, dict):
        return id(order)
    return tuple(str(order.get(name)) for name in ("order_id", "kind", "no"))


def _lines(order: Any) -> int:
    lines = order.get("lines") if isinstance(order, dict) else None
    return len(lines) if isinstance(lines, list) else 0
