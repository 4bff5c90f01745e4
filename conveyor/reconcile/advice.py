"""What is not mended, because it would have to be guessed: why, and what a person can do about it."""

from typing import NamedTuple

from conveyor.reconcile.rules import Deviation


class Advice(NamedTuple):
    """Why nobody but a person can decide, and what that person can do."""

    why: str
    can_do: str


_LEDGER = Advice(
    "stock and ledger of one database disagree, and only the shelf knows which is right",
    "count the shelf; find the write past the ledger and correct it by hand, in one transaction",
)
_ORPHAN = Advice(
    "sales has never heard of this order, and customer and prices are nowhere else",
    "find the customer by the delivery's address or in the logs; then `conveyor orphan keep ID` lets the parcel go,"
    " `conveyor orphan give-up ID` stops it and gives the stock back",
)
_TWO_STORIES = Advice(
    "the services tell two stories, and neither is an older moment of the other",
    "look at the order, its delivery and their logs; move the delivery on, or cancel the order",
)

#: By kind of deviation.
ADVICE = {
    "stock": _LEDGER,
    "negative_stock": _LEDGER,
    "ledger": Advice(
        "the ledger is written only together with its reservation; the two disagree inside of one database",
        "compare the order's lines with its movements; correct the stock by an adjustment with the reason",
    ),
    "reservation": Advice(
        "what was decided about this stock is final, and the order says otherwise",
        "cancel the order if it can be; else adjust the stock by hand",
    ),
    "delivery": _TWO_STORIES,
    "delivery_version": _TWO_STORIES,
    "duplicate_delivery": Advice(
        "one order has one delivery: the unique index is gone",
        "find out which parcel exists, remove the other row, and run `conveyor migrate`",
    ),
    "scans": Advice(
        "a delivery and its log are of one database, and written together",
        "`conveyor delivery show ID` has every scan; report the one that is right again",
    ),
    "orphan_reservation": _ORPHAN,
    "orphan_ledger": _ORPHAN,
    "orphan_delivery": _ORPHAN,
    "saga": Advice("the order's own status is unclear", "look at its timeline: `conveyor order show ID`"),
    "lines": Advice("what was ordered is nowhere else", "ask the customer, or cancel the order"),
    "total": Advice(
        "prices are fixed once, and what the customer was told is nowhere else",
        "compare with the order's timeline, which has the total that was told",
    ),
    "outbox": Advice("these messages have not left yet", "start the relay of that database; they are sent then"),
    "dead_letter": Advice(
        "nobody could read these messages", "start the quarantine process, or declare the queues: `conveyor topology`"
    ),
    "quarantine": Advice(
        "whether a message is still wanted is for people to say", "`conveyor quarantine replay ID` or `drop ID`"
    ),
    "in_flight": Advice(
        "the order is still on its way", "start workers, relays and sweeper, which sends its chain again"
    ),
}
BUSY = Advice("somebody is working on the order", "run this again")


def advice_on(deviation: Deviation) -> Advice:
    """Why this is not mended, and what a person can do. Raises KeyError for a kind that nobody has thought of."""
    return ADVICE[deviation.kind]
