"""A row that somebody holds keeps the orders waiting that need it, and not those behind them."""

import pytest
from sqlalchemy import text

from chassis.database import transaction
from tests.integration.pipeline.processes import Pipeline, wait_until


@pytest.mark.timeout(120)
def test_while_a_product_is_held_the_orders_for_others_go_on(pipeline: Pipeline) -> None:
    held, free = pipeline.add_product(100), pipeline.add_product(100)
    pipeline.start_all()
    with transaction(pipeline.sessions["inventory"]) as session:
        session.execute(text("SELECT FROM products WHERE id = :id FOR UPDATE"), {"id": held})
        waiting = [pipeline.place(held) for _ in range(5)]
        others = [pipeline.place(free) for _ in range(5)]
        wait_until(lambda: "row_held" in (pipeline.folder / "worker-inventory.log").read_text())
        others += [pipeline.place(free) for _ in range(5)]
        pipeline.wait_for(others, 20, Pending_Shipment=10)
        assert pipeline.statuses(waiting) == {"Pending": 5}
    pipeline.wait_for(waiting, 20, Pending_Shipment=5)
    assert pipeline.taken(held) == 5
