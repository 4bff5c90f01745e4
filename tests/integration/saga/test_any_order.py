"""Messages in any order, doubled, in any bundling, with cancels, couriers and changing stock: every promise holds."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory import models as inventory_models
from sales.following import _Following
from tests.integration.saga.paper_broker import Mail, World

QUICK = settings(
    max_examples=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def live(world: World, data: st.DataObject) -> None:
    """Some orders and whatever may happen to them, as Hypothesis wants it; then everything is delivered."""
    products = [world.add_product(stock) for stock in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))]
    count = data.draw(st.integers(1, 4), label="orders")
    lines = st.lists(st.tuples(st.sampled_from(products), st.integers(1, 2)), min_size=1, max_size=2)
    orders = [world.place(*data.draw(lines)) for _ in range(count)]
    for _ in range(data.draw(st.integers(0, 20), label="steps")):
        happening = data.draw(
            st.sampled_from(["deliver", "deliver", "deliver", "cancel", "courier", "resend", "stock"])
        )
        order = data.draw(st.sampled_from(orders))
        if happening == "deliver" and world.mail:
            deliver_some(world, data)
        elif happening == "cancel":
            world.cancel(order)
        elif happening == "courier":
            world.courier(order, data.draw(st.sampled_from(["IN_TRANSIT", "DELIVERED", "FAILED"])))
        elif happening == "resend":
            world.resend(order)
        elif happening == "stock":
            world.set_stock(data.draw(st.sampled_from(products)), 1)
    world.settle()


def deliver_some(world: World, data: st.DataObject) -> None:
    """One message, wherever it stood, merged with others that fit, and maybe kept to be delivered again."""
    chosen = world.mail.pop(data.draw(st.integers(0, len(world.mail) - 1), label="which"))
    if data.draw(st.booleans(), label="again"):
        world.mail.append(Mail(chosen.task, chosen.bundle, chosen.links, chosen.alone))
    merged = Mail(chosen.task, [*chosen.bundle], chosen.links, chosen.alone)
    for other in [each for each in world.mail if merged.fits(each)]:
        if data.draw(st.booleans(), label="merge"):
            world.mail.remove(other)
            merged.bundle += other.bundle
    world.deliver(merged)


@QUICK
@given(data=st.data())
def test_every_promise_holds(world: World, data: st.DataObject) -> None:
    world.__init__(world.sessions)  # type: ignore[misc]
    live(world, data)
    assert world.violations() == []


class TestNegativeControls:
    """With a guard taken out, the very same test finds a violation."""

    def test_without_tombstones_a_late_reserve_takes_stock_for_a_cancelled_order(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claim = inventory_models.claim

        def claim_without_tombstones(session, order_ids, state, refusal=None):  # type: ignore[no-untyped-def]
            return set() if refusal else claim(session, order_ids, state, refusal)

        monkeypatch.setattr(inventory_models, "claim", claim_without_tombstones)
        lamp = world.add_product(stock=5)
        order = world.place((lamp, 2))
        for _ in range(2):
            world.deliver(world.mail.pop(0))
        late, world.mail = world.mail, []
        world.cancel(order)
        world.settle()
        world.mail = late
        world.settle()
        assert any("holds" in each for each in world.violations())

    def test_without_the_delivery_version_an_order_moves_back(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        follow = _Following.follow

        def follow_anything(self, message, saga):  # type: ignore[no-untyped-def]
            self.delivery_version = -1
            follow(self, message, saga)

        monkeypatch.setattr(_Following, "follow", follow_anything)
        order = world.place((world.add_product(stock=5), 1))
        world.settle()
        world.courier(order, "IN_TRANSIT")
        world.courier(order, "DELIVERED")
        world.mail.reverse()
        world.settle()
        assert any("In Transit" in each for each in world.violations())

    def test_without_the_first_response_winning_two_copies_disagree(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second check that finds an empty shelf rejects an order whose stock the first has reserved."""
        from sales import pricing

        lock = pricing.lock_with_lines

        def forget_the_total(session, ids):  # type: ignore[no-untyped-def]
            return {key: [_Unpriced(row) for row in rows] for key, rows in lock(session, ids).items()}

        monkeypatch.setattr(pricing, "lock_with_lines", forget_the_total)
        lamp = world.add_product(stock=1)
        order = world.place((lamp, 1))
        (check,) = world.mail
        for _ in range(3):
            world.deliver(world.mail.pop(0))
        world.mail = [check]
        world.settle()
        assert world.status(order) == "Rejected"
        assert any("holds" in each for each in world.violations())


class _Unpriced:
    """An order row that has forgotten that it was priced."""

    def __init__(self, row: object) -> None:
        self._row = row
        self.total_amount = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._row, name)
