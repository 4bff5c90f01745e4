"""Bodies of a megabyte that cannot be valid, and lists of the longest orders: others do not notice them."""

from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.attacks.conftest import Suffers, attack
from tests.e2e.shop import Shop, each_at_once
from tests.e2e.stack import Stack, until

MIB = 2**20
#: So much more memory (bytes) may a web process keep when an attack is over.
KEPT = 32 * MIB
KINDS = ("all", "numbers", "objects", "unknown fields")


def port_of(stack: Stack, name: str) -> int:
    return urlsplit(stack.setting(f"{name}_url")).port or 0


def memory(stack: Stack, name: str) -> int:
    """What a web process has in memory, with its children, in bytes."""
    process = psutil.Process(stack.pid(name))
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


@pytest.mark.parametrize("kind", KINDS)
def test_bodies_that_cannot_be_valid_keep_nobody_waiting_and_no_memory(
    kind: str, stack: Stack, suffers: Suffers, tmp_path: Path
) -> None:
    names = ("gateway", "sales", "inventory")
    port = port_of(stack, "gateway")
    with attack("large_requests", port, 32, "all", log=tmp_path / "before") as warming:
        suffers(f"{stack.setting('gateway_url')}/products", seconds=2.0, patience_ms=30_000)
        warming.ends()
    before = {name: memory(stack, name) for name in names}

    with attack("large_requests", port, 32, kind, log=tmp_path / "attacker") as attacker:
        suffers(f"{stack.setting('gateway_url')}/products")
        fate = attacker.ends()

    print(fate)
    assert set(fate["statuses"]) <= {"400", "422"}, fate
    assert (fate["mistakes"] <= 20, fate["largest"] < 10_000) == (True, True), fate
    until(
        lambda: all(memory(stack, name) < before[name] + KEPT for name in names),
        30,
        lambda: {name: f"{before[name] // MIB} MiB, then {memory(stack, name) // MIB} MiB" for name in names},
    )


def test_a_page_of_the_longest_orders_is_small_and_keeps_nobody_waiting(
    stack: Stack, shop: Shop, suffers: Suffers, tmp_path: Path
) -> None:
    products = [shop.add_product(100_000) for _ in range(10)]
    lines = [{"product_id": products[each % 10], "quantity": 1} for each in range(1_000)]
    body = {"customer_id": shop.customer, "items": lines}
    for _ in range(10):
        placed = each_at_once([lambda: shop.send("POST", "/orders", body)] * 4)
        assert {each.status for each in placed} == {201}
    shop.outcome()

    with attack("large_requests", port_of(stack, "gateway"), 8, "list", log=tmp_path / "attacker") as attacker:
        suffers(f"{stack.setting('gateway_url')}/products")
        fate = attacker.ends()

    assert set(fate["statuses"]) == {"200"}, fate
    assert fate["largest"] < 300_000, fate
