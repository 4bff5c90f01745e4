"""What came of a replay, in numbers.

Speed is told of the orders that this replay made; a replayed answer says nothing about it. The time to the end runs
from the order's row to the status that ended its placing, both by the clock of the sales database.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conveyor.replay.send import Sent, Unsent
from conveyor.replay.wait import Ending

CONFIRMED = frozenset({"Pending Shipment", "In Transit", "Delivered", "Delivery Failed"})


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a replay. Times are seconds; None where there was nothing to measure."""

    sent: int
    replayed: int
    confirmed: int
    rejected: dict[str, int]
    others: dict[str, int]
    not_ended: int
    unsent: dict[str, int]
    orders_per_second: float | None
    post: tuple[float, float] | None
    to_end: tuple[float, float] | None

    @property
    def complete(self) -> bool:
        """Whether every order was taken by the gateway and has ended."""
        return not self.not_ended and not self.unsent


def summarize(sent: Sequence[Sent], unsent: Iterable[Unsent], endings: Mapping[str, Ending]) -> Report:
    """The report on what was sent and how it ended."""
    ends = list(endings.values())
    made = [(order, endings[order.order_id]) for order in sent if not order.replayed and order.order_id in endings]
    return Report(
        sent=len(sent),
        replayed=sum(order.replayed for order in sent),
        confirmed=sum(end.status in CONFIRMED for end in ends),
        rejected=_counts(end.reason or "no reason given" for end in ends if end.status == "Rejected"),
        others=_counts(end.status for end in ends if end.status not in CONFIRMED | {"Rejected"}),
        not_ended=len(sent) - len(endings),
        unsent=_counts(each.code for each in unsent),
        orders_per_second=_throughput(made),
        post=_p50_p99([order.seconds for order in sent]),
        to_end=_p50_p99([(end.at - order.created_at).total_seconds() for order, end in made]),
    )


def lines(report: Report) -> Iterator[str]:
    """The report as people read it."""
    yield _count("sent", report.sent)
    yield _count("replayed answers", report.replayed)
    yield f"{_count('confirmed', report.confirmed)}   (Pending Shipment)"
    yield _count("rejected", sum(report.rejected.values()))
    yield from (_count(f"  {reason}", number) for reason, number in report.rejected.items())
    yield from (_count(status.lower(), number) for status, number in report.others.items())
    yield _count("not ended", report.not_ended)
    if report.unsent:
        yield _count("not taken by the gateway", sum(report.unsent.values()))
        yield from (_count(f"  {code}", number) for code, number in report.unsent.items())
    speed = report.orders_per_second
    yield f"{'orders/s':<26}{'-' if speed is None else f'{speed:.1f}':>9}"
    yield f"{'POST p50 / p99':<26}{_pair(report.post)}"
    yield f"{'time to the end p50 / p99':<26}{_pair(report.to_end)}"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of these values that at least ``share`` of them do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _p50_p99(values: Sequence[float]) -> tuple[float, float] | None:
    return (quantile(values, 0.5), quantile(values, 0.99)) if values else None


def _throughput(made: Sequence[tuple[Sent, Ending]]) -> float | None:
    """Orders that ended per second, from the first that was placed to the last that ended."""
    if not made:
        return None
    span = max(end.at for _, end in made) - min(order.created_at for order, _ in made)
    return len(made) / max(span.total_seconds(), 0.001)


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _count(name: str, number: int) -> str:
    return f"{name:<26}{number:>9,}"


def _pair(seconds: tuple[float, float] | None) -> str:
    return "        -" if seconds is None else " / ".join(f"{each * 1000:,.0f} ms" for each in seconds).rjust(9)
