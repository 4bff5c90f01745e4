"""The numbers of a replay, on orders whose times are known."""

from datetime import UTC, datetime, timedelta

import pytest

from conveyor.replay.book import Invoice
from conveyor.replay.report import lines, quantile, summarize
from conveyor.replay.send import Sent, Unsent
from conveyor.replay.wait import Ending, ending

START = datetime(2026, 1, 2, tzinfo=UTC)
INVOICE = Invoice("A1", "501", "Norway", None)


def sent(number: int, *, replayed: bool = False, seconds: float = 0.01) -> Sent:
    return Sent(f"order-{number}", START + timedelta(seconds=number), replayed, seconds)


def ended(number: int, after: float, status: str = "Pending Shipment", reason: str = "") -> Ending:
    return Ending(status, reason, START + timedelta(seconds=number + after))


def moved(second: int, status: str, reason: str | None = None) -> dict[str, object]:
    return {"at": (START + timedelta(seconds=second)).isoformat(), "to_status": status, "reason": reason}


def test_outcomes_are_counted_by_what_became_of_the_order() -> None:
    orders = [sent(number) for number in range(6)]
    endings = {
        "order-0": ended(0, 1),
        "order-1": ended(1, 1, "Rejected", "insufficient_stock"),
        "order-2": ended(2, 1, "Rejected", "insufficient_stock"),
        "order-3": ended(3, 1, "Rejected", "price_changed"),
        "order-4": ended(4, 1, "Cancelled"),
    }
    report = summarize(orders, [Unsent(INVOICE, "invalid", "no")], endings)
    assert (report.sent, report.confirmed, report.not_ended) == (6, 1, 1)
    assert report.rejected == {"insufficient_stock": 2, "price_changed": 1}
    assert report.others == {"Cancelled": 1}
    assert report.unsent == {"invalid": 1}
    assert not report.complete


def test_speed_is_told_of_new_orders_only() -> None:
    orders = [sent(0, seconds=0.02), sent(1, seconds=0.04), sent(1000, replayed=True, seconds=0.01)]
    endings = {"order-0": ended(0, 0.5), "order-1": ended(1, 3), "order-1000": ended(1000, 99)}
    report = summarize(orders, [], endings)
    assert report.orders_per_second == pytest.approx(2 / 4)
    assert report.to_end == pytest.approx((0.5, 3))
    assert report.post == pytest.approx((0.02, 0.04))
    assert report.complete


def test_a_replay_of_nothing_new_has_no_speed() -> None:
    report = summarize([sent(0, replayed=True)], [], {"order-0": ended(0, 1)})
    assert report.orders_per_second is None
    assert "orders/s                          -" in list(lines(report))


def test_the_report_names_every_number_that_was_asked_for() -> None:
    endings = {"order-0": ended(0, 0.5), "order-1": ended(1, 0.5, "Rejected", "insufficient_stock")}
    text = "\n".join(lines(summarize([sent(0), sent(1)], [Unsent(INVOICE, "invalid", "no")], endings)))
    for name in ("sent", "replayed answers", "confirmed", "rejected", "  insufficient_stock", "not ended", "orders/s"):
        assert name in text
    assert "POST p50 / p99            10 ms / 10 ms" in text
    assert "time to the end p50 / p99 500 ms / 500 ms" in text
    assert "not taken by the gateway          1\n  invalid" in text


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_quantile_is_a_measured_value(share: float, value: int) -> None:
    assert quantile(list(range(100, 0, -1)), share) == value


def test_an_order_has_ended_once_it_leaves_pending() -> None:
    assert ending([moved(0, "Pending")]) is None
    assert ending([moved(0, "Pending"), moved(1, "Cancelling")]) is None
    rejected = ending([moved(0, "Pending"), moved(2, "Rejected", "insufficient_stock")])
    assert rejected == Ending("Rejected", "insufficient_stock", START + timedelta(seconds=2))


def test_an_order_that_went_on_is_told_by_the_status_that_ended_its_placing() -> None:
    events = [moved(0, "Pending"), moved(2, "Pending Shipment"), moved(9, "In Transit"), {"at": "x", "kind": "note"}]
    assert ending(events) == Ending("Pending Shipment", "", START + timedelta(seconds=2))


def test_an_order_that_is_being_cancelled_is_open_again() -> None:
    assert ending([moved(0, "Pending"), moved(2, "Pending Shipment"), moved(9, "Cancelling")]) is None
