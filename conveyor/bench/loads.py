"""The parts that place many orders."""

from conveyor.bench.run import PLACED, Bench, Document, wrong_statuses


def orders(bench: Bench) -> Document:
    """The ordinary load: every client buys some products of many, as fast as it is answered."""
    measured = bench.ordinary_load("orders")
    return measured.document() | {"wrong": wrong_statuses(measured, {PLACED: bench.options.orders})}
