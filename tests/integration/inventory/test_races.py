"""Several workers at once. Who waits for whom is looked up in PostgreSQL, never guessed by waiting a while."""

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from sqlalchemy import exc, text
from uuid_utils.compat import uuid7

from chassis.database import transaction
from chassis.idempotency import RequestKey
from inventory import models, service
from inventory.messages import ReserveStock

#: Seconds after which something that should have happened never will.
DEADLINE = 10
LOCK_NOT_AVAILABLE = "55P03"


def at_once(*calls):
    """What the calls return, all begun at the same moment, each in a thread."""
    barrier = Barrier(len(calls))

    def begin(call):
        barrier.wait(DEADLINE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [each.result(DEADLINE) for each in [pool.submit(begin, call) for call in calls]]


def until_somebody_waits_for(warehouse, session):
    """Returns once another connection waits for a lock that this session holds."""
    pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    until = time.monotonic() + DEADLINE
    while not warehouse.rows("SELECT 1 FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))", pid=pid):
        assert time.monotonic() < until, "nobody waits"


def can_be_locked(warehouse, statement, **values):
    """Whether this statement gets its locks although others are at work."""
    try:
        with warehouse.sessions() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            session.execute(text(statement), values)
    except exc.OperationalError as error:
        if error.orig.pgcode == LOCK_NOT_AVAILABLE:
            return False
        raise
    return True


class TestLastUnits:
    def test_exactly_as_many_orders_are_held_as_there_are_units(self, warehouse):
        lamp = warehouse.product(5)
        orders = [warehouse.order((lamp, 1)) for _ in range(12)]
        answers = at_once(*((lambda each=each: warehouse.reserve(each)) for each in orders))
        assert sum(each == [None] for each in answers) == 5
        assert warehouse.stock(lamp) == 0
        warehouse.audit()

    def second_comer(self, warehouse):
        """What an order is told that asks for the last unit while another is taking it."""
        lamp = warehouse.product(1)
        first, second = warehouse.order((lamp, 1)), warehouse.order((lamp, 1))
        with transaction(warehouse.sessions) as session:
            service.reserve_stock(session, [ReserveStock(first, warehouse.orders[first])])
            pool = ThreadPoolExecutor(1)
            answer = pool.submit(warehouse.reserve, second)
            until_somebody_waits_for(warehouse, session)
        with pool:
            return answer.result(DEADLINE)

    def test_an_order_that_comes_while_the_last_unit_is_being_taken_is_refused(self, warehouse):
        assert self.second_comer(warehouse) == ["insufficient_stock"]
        warehouse.audit()

    def test_control_without_the_lock_on_products_the_table_has_to_stop_it(self, warehouse, monkeypatch):
        unlocked = text(str(models._LOCK_PRODUCTS).removesuffix(" FOR UPDATE"))
        monkeypatch.setattr(models, "_LOCK_PRODUCTS", unlocked)
        with pytest.raises(exc.IntegrityError, match="stock_not_negative"):
            self.second_comer(warehouse)


class TestCopies:
    def test_copies_of_a_bundle_in_many_workers_take_the_stock_once(self, warehouse):
        lamp = warehouse.product(4)
        orders = [warehouse.order((lamp, 2)) for _ in range(3)]
        answers = at_once(*[lambda: warehouse.reserve(*orders)] * 6)
        assert answers == [[None, None, "insufficient_stock"]] * 6
        assert warehouse.stock(lamp) == 0
        warehouse.audit()

    def test_a_copy_that_waited_for_the_first_one_gets_its_decision(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                service.reserve_stock(session, [ReserveStock(order, warehouse.orders[order])])
                copy = pool.submit(warehouse.reserve, order)
                until_somebody_waits_for(warehouse, session)
            assert copy.result(DEADLINE) == [None]
        assert warehouse.stock(lamp) == 3
        warehouse.audit()

    def test_many_workers_give_the_stock_back_once(self, warehouse):
        lamp = warehouse.product(4)
        orders = [warehouse.order((lamp, 2)) for _ in range(2)]
        warehouse.reserve(*orders)
        at_once(*[lambda: warehouse.release(*orders)] * 6)
        assert warehouse.stock(lamp) == 4
        warehouse.audit()

    def test_whether_reserve_or_release_comes_first_nothing_stays_held(self, warehouse):
        lamp = warehouse.product(40)
        orders = [warehouse.order((lamp, 2)) for _ in range(20)]
        for order in orders:
            at_once(lambda order=order: warehouse.reserve(order), lambda order=order: warehouse.release(order))
        assert set(warehouse.states().values()) == {"released"}
        assert warehouse.stock(lamp) == 40
        warehouse.audit()


class TestLockOrder:
    def test_bundles_in_opposite_orders_and_counts_of_stock_never_deadlock(self, warehouse):
        lamps = [warehouse.product(1_000) for _ in range(4)]
        for _ in range(10):
            orders = [warehouse.order(*((lamp, 1) for lamp in lamps)) for _ in range(6)]
            backwards = [warehouse.order(*((lamp, 1) for lamp in reversed(lamps))) for _ in range(6)]
            at_once(
                lambda orders=orders, backwards=backwards: warehouse.reserve(*orders, *backwards),
                lambda orders=orders, backwards=backwards: warehouse.reserve(*reversed(backwards), *reversed(orders)),
                lambda orders=orders: warehouse.release(*orders),
                lambda orders=orders: warehouse.release(*reversed(orders)),
                lambda: [warehouse.adjust(lamp, 1) for lamp in reversed(lamps)],
            )
        warehouse.audit()

    def reserve_locks_products_lowest_first(self, warehouse):
        lowest, *above = sorted(warehouse.product(5) for _ in range(8))
        order = warehouse.order(*((each, 1) for each in [*reversed(above), lowest]))
        self.waits_for_the_lowest_only(warehouse, warehouse.reserve, order, lowest, above)

    def release_locks_products_lowest_first(self, warehouse):
        # Several times: a statement that takes them as they come may begin with the lowest by chance.
        for _ in range(4):
            lowest, *above = sorted(warehouse.product(5) for _ in range(8))
            order = warehouse.order(*((each, 1) for each in [*reversed(above), lowest]))
            assert warehouse.reserve(order) == [None]
            warehouse.adjust(lowest, 1)  # now its row is the last of the table
            self.waits_for_the_lowest_only(warehouse, warehouse.release, order, lowest, above)

    def waits_for_the_lowest_only(self, warehouse, step, order, lowest, above):
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                models.lock_products(session, [lowest])
                answer = pool.submit(step, order)
                until_somebody_waits_for(warehouse, session)
                lock = "SELECT 1 FROM products WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
                assert can_be_locked(warehouse, lock, ids=above)
            answer.result(DEADLINE)
        warehouse.audit()

    def claims_orders_lowest_first(self, warehouse):
        lamp = warehouse.product(5)
        low, high = sorted(warehouse.order((lamp, 1)) for _ in range(2))
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                models.claim(session, [low], "held")
                answer = pool.submit(warehouse.reserve, high, low)
                until_somebody_waits_for(warehouse, session)
                insert = "INSERT INTO reservations (order_id, state) VALUES (:id, 'held')"
                assert can_be_locked(warehouse, insert, id=high)
            assert answer.result(DEADLINE) == [None, None]

    def releases_orders_lowest_first(self, warehouse):
        lamp = warehouse.product(5)
        low, high = sorted(warehouse.order((lamp, 1)) for _ in range(2))
        warehouse.reserve(low, high)
        lock = "SELECT 1 FROM reservations WHERE order_id = :id FOR UPDATE"
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                session.execute(text(lock), {"id": low})
                answer = pool.submit(warehouse.release, high, low)
                until_somebody_waits_for(warehouse, session)
                assert can_be_locked(warehouse, lock, id=high)
            answer.result(DEADLINE)

    CASES = [
        (reserve_locks_products_lowest_first, "_LOCK_PRODUCTS", "ORDER BY id"),
        (release_locks_products_lowest_first, "_LOCK_PRODUCTS", "ORDER BY id"),
        (claims_orders_lowest_first, "_CLAIM", "ORDER BY order_id"),
        (releases_orders_lowest_first, "_LOCK_HELD", "ORDER BY order_id"),
    ]

    @pytest.mark.parametrize("case", [case for case, _, _ in CASES])
    def test_a_worker_that_waits_for_the_lowest_holds_none_above_it(self, warehouse, case):
        case(self, warehouse)

    @pytest.mark.parametrize(("case", "statement", "sort"), CASES)
    def test_control_the_other_way_round_is_found(self, warehouse, monkeypatch, case, statement, sort):
        backwards = str(getattr(models, statement)).replace(sort, f"{sort} DESC")
        monkeypatch.setattr(models, statement, text(backwards))
        with pytest.raises(AssertionError, match="can_be_locked"):
            case(self, warehouse)

    def test_control_a_release_that_locks_no_products_first_is_found(self, warehouse, monkeypatch):
        read, lock, skipped = models.read_holdings, models.lock_products, []
        monkeypatch.setattr(models, "read_holdings", lambda *given: skipped.append(True) or read(*given))
        monkeypatch.setattr(models, "lock_products", lambda *given: {} if skipped and skipped.pop() else lock(*given))
        with pytest.raises(AssertionError, match="can_be_locked"):
            self.release_locks_products_lowest_first(warehouse)

    def test_who_counts_stock_waits_for_who_takes_it(self, warehouse):
        lamp = warehouse.product(5)
        order = warehouse.order((lamp, 2))
        with ThreadPoolExecutor(1) as pool:
            with transaction(warehouse.sessions) as session:
                service.reserve_stock(session, [ReserveStock(order, warehouse.orders[order])])
                counted = pool.submit(warehouse.adjust, lamp, -3)
                until_somebody_waits_for(warehouse, session)
            counted.result(DEADLINE)
        assert warehouse.stock(lamp) == 0
        warehouse.audit()


def test_a_creating_request_waits_for_its_twin_and_becomes_its_replay(warehouse):
    request = RequestKey("public", uuid7().hex, "digest")
    values = {"sku": uuid7().hex, "name": "Lamp", "price": Decimal("24.90"), "stock_quantity": 5}

    def create():
        with transaction(warehouse.sessions) as session:
            return service.create_product(session, values, request)

    with ThreadPoolExecutor(1) as pool:
        with transaction(warehouse.sessions) as session:
            first, replayed = service.create_product(session, values, request)
            twin = pool.submit(create)
            until_somebody_waits_for(warehouse, session)
        assert not replayed
        assert (twin.result(DEADLINE)[0].id, twin.result()[1]) == (first.id, True)
    warehouse.products.append(first.id)
    warehouse.audit()
