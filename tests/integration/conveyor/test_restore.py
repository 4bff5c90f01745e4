"""Backups of the three databases, made at different moments of the traffic, and restored: each older than the others.

The backups are made and restored by the commands of docs/production.md. What differs is found; what can be mended
without guessing is mended; and what cannot is listed, with a reason.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chassis.database import open_database, transaction
from chassis.migrations import migrate
from chassis.settings import Settings, settings
from conveyor.embedded.postgres import Postgres, binaries
from conveyor.reconcile.repair import Left, Mended, Repairs
from conveyor.reconcile.rules import Deviation
from conveyor.reconcile.run import Findings, reconcile
from sales import placing
from tests.conftest import SERVICES
from tests.integration.saga.paper_broker import Mail, World

DUMP = ("pg_dump", "--format=custom")
RESTORE = ("pg_restore", "--clean", "--if-exists", "--exit-on-error", "--single-transaction")
NEW_NUMBERS = (
    "SELECT setval(pg_get_serial_sequence('deliveries', 'id'), coalesce(max(id), 0) + 1000000) FROM deliveries"
)
DOCUMENTED = (Path(__file__).parents[3] / "docs" / "production.md").read_text()


def run(*command: str) -> None:
    program, *arguments = command
    answer = subprocess.run([binaries() / program, *arguments], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@dataclass
class Databases:
    """Three databases of their own, and the world that lives in them."""

    postgres: Postgres
    name: str
    world: World = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        urls = {each: self.postgres.create_database(f"{self.name}_{each}", each) for each in SERVICES}
        addresses = {f"{each}_database_url": url for each, url in urls.items()}
        self.settings = replace(Settings(), **addresses, **{f"{each}_relay": "127.0.0.1:9" for each in SERVICES})

    def open(self, customer: UUID | None = None) -> World:
        self.sessions = {each: open_database(each, self.settings) for each in SERVICES}
        self.world = World(self.sessions, customer=customer)
        return self.world

    def dump(self, service: str, folder: Path) -> None:
        run(*DUMP, f"--file={folder / service}", self.postgres.url(f"{self.name}_{service}"))

    def restore(self, service: str, folder: Path) -> None:
        run(*RESTORE, f"--dbname={self.postgres.url(f'{self.name}_{service}')}", str(folder / service))
        if service == "delivery":
            self.postgres.execute(NEW_NUMBERS, f"{self.name}_{service}")

    def ask(self, service: str, query: str, **values: object) -> list[Any]:
        with transaction(self.sessions[service]) as session:
            return [tuple(row) for row in session.execute(text(query), values)]

    def content(self) -> dict[str, list[Any]]:
        """Every row of every table."""
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return {
            f"{service}.{table}": sorted(map(str, self.ask(service, f"SELECT * FROM {table}")))
            for service in SERVICES
            for (table,) in self.ask(service, tables)
        }

    def audited(self) -> list[tuple[str, str, str]]:
        """Where what was done to which order, by the records of the repairs."""
        query = "SELECT subject, did FROM repairs WHERE actor = 'ada'"
        return [(service, *row) for service in SERVICES for row in self.ask(service, query)]

    def in_flight(self) -> list[UUID]:
        return [row[0] for row in self.ask("sales", "SELECT id FROM orders WHERE status IN ('Pending', 'Cancelling')")]

    def knows(self, order_id: UUID) -> bool:
        return bool(self.ask("sales", "SELECT 1 FROM orders WHERE id = :id", id=order_id))

    def drop(self) -> None:
        for sessions in self.sessions.values():
            sessions.kw["bind"].dispose()
        for each in SERVICES:
            self.postgres.drop_database(f"{self.name}_{each}")


class Traffic:
    """Orders that are at every stage when the first backups are made, and have gone on when the second are."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lamp, self.rare = world.add_product(stock=1_000), world.add_product(stock=1)
        self.ids: dict[str, UUID] = {}

    def place(self, name: str, steps: int = 99, product: UUID | None = None) -> None:
        """Place an order, and let so many of its steps be done; the rest of its messages waits."""
        waiting, self.world.mail = self.world.mail, []
        self.ids[name] = self.world.place((product or self.lamp, 1))
        self.go_on(steps)
        self.world.mail += waiting

    def cancel(self, name: str, steps: int = 99) -> None:
        waiting, self.world.mail = self.world.mail, []
        self.world.cancel(self.ids[name])
        self.go_on(steps)
        self.world.mail += waiting

    def courier(self, name: str, *statuses: str, steps: int = 99) -> None:
        for status in statuses:
            waiting, self.world.mail = self.world.mail, []
            self.world.courier(self.ids[name], status)
            self.go_on(steps)
            self.world.mail += waiting

    def go_on(self, steps: int) -> None:
        while self.world.mail and steps:
            self.world.deliver(self.world.mail.pop(0))
            steps -= 1

    def unsent(self, service: str) -> None:
        """Something has happened in this service, and its message has not left the outbox."""
        name = f"unsent_by_{service}"
        if service == "sales":
            self.ids[name] = self._place_only()
            return
        self.place(name, steps={"inventory": 0, "delivery": 3}[service])
        self.world.deliver(self.world.mail.pop(0), collect=False)

    def _place_only(self) -> UUID:
        draft = {"customer_id": self.world.customer, "items": [{"product_id": self.lamp, "quantity": 1}]}
        with transaction(self.world.sessions["sales"]) as session:
            order_id: UUID = placing.place_order(session, draft, None, "test")[0]["id"]
        self.world.orders.append(order_id)
        return order_id

    def before(self) -> None:
        for name in ("shipped", "moves_on", "fails", "is_cancelled", "stays"):
            self.place(name)
        self.courier("fails", "IN_TRANSIT")
        self.place("unpriced", steps=0)
        self.place("takes_the_last", steps=0, product=self.rare)
        self.place("priced", steps=2)
        self.place("reserved", steps=3)
        self.place("dispatched", steps=4)
        self.place("gives_up", steps=0)
        self.place("is_cancelling")
        self.cancel("is_cancelling", steps=0)
        self.place("half_cancelled")
        self.cancel("half_cancelled", steps=1)
        self.place("leaves_too_early")
        self.courier("leaves_too_early", "IN_TRANSIT", steps=0)
        self.cancel("leaves_too_early", steps=0)

    def after(self) -> None:
        self.cancel("gives_up", steps=0)
        self.world.settle()
        self.courier("moves_on", "IN_TRANSIT", "DELIVERED")
        self.courier("fails", "FAILED")
        for name in ("fails", "is_cancelled"):
            self.cancel(name)
        self.place("new")
        self.place("new_delivered")
        self.courier("new_delivered", "IN_TRANSIT", "DELIVERED")
        self.place("new_cancelled")
        self.cancel("new_cancelled")
        self.place("new_cancelled_early", steps=1)
        self.cancel("new_cancelled_early")
        self.place("new_rejected", product=self.rare)
        self.place("new_dispatched", steps=4)
        self.world.set_stock(self.lamp, 50)
        self.place("new_reserved", steps=3)


@dataclass
class Backups:
    """Two rounds of backups of a shop at work."""

    postgres: Postgres
    early: Path
    late: Path
    traffic: Traffic
    #: What was with the broker when the second round was made.
    mail: list[Mail]
    #: The shop itself, which was never restored.
    shop: Databases

    def restored(self, older: str) -> Databases:
        databases = Databases(self.postgres, f"{older}_is_older")
        for service in SERVICES:
            databases.restore(service, self.early if service == older else self.late)
        databases.open(self.traffic.world.customer)
        return databases


@pytest.fixture(scope="module")
def backups(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    shop = Databases(postgres, "backed_up")
    with pytest.MonkeyPatch.context() as patch:
        for each in SERVICES:
            patch.setenv(f"CONVEYOR_{each.upper()}_DATABASE_URL", shop.settings.database_url(each))
        settings.cache_clear()
        for each in SERVICES:
            migrate(each)
        traffic = Traffic(shop.open())
        patch.setattr("tasks.step.sessions_of", shop.sessions.__getitem__)
        early, late = (tmp_path_factory.mktemp(name) for name in ("early", "late"))
        traffic.before()
        for service in SERVICES:
            traffic.unsent(service)
            shop.dump(service, early)
            traffic.world.collect()
            traffic.go_on(3)
        traffic.after()
        mail = list(traffic.world.mail)
        for service in SERVICES:
            shop.dump(service, late)
            traffic.place(f"new_after_{service}")
    settings.cache_clear()
    yield Backups(postgres, early, late, traffic, mail, shop)
    shop.drop()


@pytest.fixture
def restored(backups: Backups, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Databases]]:
    """Restores the three databases, the named one from the earlier round."""
    made: list[Databases] = []

    def restore(older: str) -> Databases:
        made.append(backups.restored(older))
        monkeypatch.setattr("tasks.step.sessions_of", made[-1].sessions.__getitem__)
        return made[-1]

    yield restore
    for each in made:
        each.drop()


ORPHAN = ("orphan_reservation", "orphan_ledger", "orphan_delivery")
NOTHING_HELD = ("orphan_reservation", "orphan_delivery")
NO_STOCK = ("reservation", "ledger")
NOT_GIVEN_BACK = ("reservation", "ledger")
NO_MARK = ("reservation",)
BEHIND = ("delivery", "delivery_version")
CANCELLED_UNHEARD = ("reservation", "ledger", "delivery", "delivery_version")
NO_PRICES = ("total",)

#: What is found, by the database that is older than the others: what can be mended, and what is left.
MENDED: dict[str, dict[str, tuple[str, ...]]] = {
    "sales": {
        "moves_on": BEHIND,
        "is_cancelled": CANCELLED_UNHEARD,
        "fails": CANCELLED_UNHEARD,
        "gives_up": ("reservation", "delivery"),
        **dict.fromkeys(("unpriced", "takes_the_last", "unsent_by_sales"), NO_PRICES),
    },
    "inventory": {
        **dict.fromkeys(("unpriced", "takes_the_last", "priced"), NO_STOCK),
        **dict.fromkeys(("unsent_by_sales", "unsent_by_inventory", "unsent_by_delivery"), NO_STOCK),
        **dict.fromkeys(("new", "new_delivered"), NO_STOCK),
        **dict.fromkeys(("fails", "is_cancelled", "is_cancelling"), NOT_GIVEN_BACK),
        **dict.fromkeys(("gives_up", "new_cancelled", "new_cancelled_early"), NO_MARK),
        "new_dispatched": ("delivery",),
    },
    "delivery": {
        **dict.fromkeys(("moves_on", "fails", "is_cancelled"), BEHIND),
        **dict.fromkeys(("unpriced", "takes_the_last", "priced", "reserved"), BEHIND),
        **dict.fromkeys(("unsent_by_sales", "unsent_by_inventory"), BEHIND),
        **dict.fromkeys(("gives_up", "new", "new_delivered", "new_cancelled", "new_cancelled_early"), BEHIND),
    },
}
LEFT: dict[str, dict[str, tuple[str, ...]]] = {
    "sales": {
        **dict.fromkeys(("unsent_by_inventory", "unsent_by_delivery"), ORPHAN),
        **dict.fromkeys(("new", "new_delivered", "new_dispatched"), ORPHAN),
        **dict.fromkeys(("new_cancelled", "new_cancelled_early"), NOTHING_HELD),
        "new_reserved": ("orphan_reservation", "orphan_ledger"),
        "new_after_sales": ORPHAN,
        "new_after_inventory": ("orphan_delivery",),
        "sales": ("outbox",),
    },
    "inventory": {
        # The three are never of one moment: sales' late backup is older than delivery's.
        **dict.fromkeys(("new_after_sales", "new_after_inventory"), ("orphan_delivery",)),
        "inventory": ("outbox",),
    },
    "delivery": {
        "new_after_sales": ("orphan_reservation", "orphan_ledger"),
        "delivery": ("outbox",),
    },
}
#: How the orders end that had gone on after the older backup, whichever database it was of.
ENDS = {
    "Delivered": ("moves_on",),
    "Cancelled": ("fails", "is_cancelled", "gives_up", "is_cancelling", "half_cancelled"),
    "Pending Shipment": ("shipped", "unpriced", "takes_the_last", "priced", "reserved", "dispatched"),
    "In Transit": ("leaves_too_early",),
}


def found_in(databases: Databases, **options: bool) -> list[Deviation]:
    return list(reconcile(databases.settings, Findings(), wait=lambda _seconds: None, **options))


def repair(databases: Databases, dry_run: bool = False) -> list[Mended | Left]:
    with closing(Repairs(databases.settings, "ada", dry_run)) as repairs:
        return list(repairs.mend(reconcile(databases.settings, Findings(), wait=lambda _seconds: None)))


def mended_by(results: Iterable[Mended | Left]) -> list[Mended]:
    return [each for each in results if isinstance(each, Mended)]


def kinds(found: Iterable[Deviation], names: dict[str, str]) -> dict[str, set[str]]:
    by_name: dict[str, set[str]] = {}
    for each in found:
        by_name.setdefault(names.get(each.id, each.id), set()).add(each.kind)
    return by_name


def as_sets(expected: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    return {name: set(each) for name, each in expected.items()}


@pytest.mark.parametrize("older", SERVICES)
def test_what_differs_is_found_and_mended_once_and_the_rest_is_listed(
    backups: Backups, restored: Callable[[str], Databases], older: str
) -> None:
    databases = restored(older)
    names = {str(order_id): name for name, order_id in backups.traffic.ids.items()}
    assert kinds(found_in(databases), names) == as_sets({**MENDED[older], **LEFT[older]})

    before = databases.content()
    would = mended_by(repair(databases, dry_run=True))
    assert databases.content() == before
    results = repair(databases)
    mended = mended_by(results)
    assert sorted(mended) == sorted(would)
    left = [each.deviation for each in results if isinstance(each, Left)]
    assert {names[each.deviation.id] for each in mended} == MENDED[older].keys()
    assert kinds(left, names) == as_sets(LEFT[older])

    repaired = databases.content()
    again = repair(databases)
    assert mended_by(again) == []
    # Requests and chains that the repair has sent wait for the relay, as all messages of that database do.
    assert kinds([each.deviation for each in again], names) == as_sets(LEFT[older])
    assert databases.content() == repaired
    assert sorted(databases.audited()) == sorted((each.service, each.deviation.id, each.did) for each in mended)


@pytest.mark.parametrize("older", SERVICES)
def test_after_the_repair_the_messages_of_the_backups_do_no_harm_and_every_order_ends_as_it_should(
    backups: Backups, restored: Callable[[str], Databases], older: str
) -> None:
    databases = restored(older)
    repair(databases)
    world, ids = databases.world, backups.traffic.ids
    world.collect()
    assert world.mail, "no outbox had anything in it, so nothing was sent again"
    world.settle()
    for order_id in databases.in_flight():
        world.resend(order_id)
    world.settle()

    names = {str(order_id): name for name, order_id in ids.items()}
    assert kinds(found_in(databases, settled=True), names) == {
        name: set(each) for name, each in LEFT[older].items() if each != ("outbox",)
    }
    assert {name: world.status(ids[name]) for each in ENDS.values() for name in each} == {
        name: status for status, each in ENDS.items() for name in each
    }
    world.orders = [each for name, each in ids.items() if databases.knows(each) and name not in LEFT[older]]
    world.products = [backups.traffic.lamp, backups.traffic.rare]
    assert world.violations() == []


def test_the_backups_are_made_and_restored_as_it_is_documented() -> None:
    [dumping] = [line for line in DOCUMENTED.splitlines() if "pg_dump --" in line]
    restoring = DOCUMENTED[DOCUMENTED.index("pg_restore --") :].partition("\n\n")[0]
    assert all(option in dumping for option in DUMP)
    assert all(option in restoring for option in RESTORE)
    assert NEW_NUMBERS in DOCUMENTED


def test_the_number_of_a_delivery_never_comes_to_mean_another_parcel(
    backups: Backups, restored: Callable[[str], Databases]
) -> None:
    numbers = "SELECT order_id, id FROM deliveries"
    known_to_couriers = {number: order_id for order_id, number in backups.shop.ask("delivery", numbers)}
    databases = restored("delivery")
    repair(databases)
    for order_id, number in databases.ask("delivery", numbers):
        assert known_to_couriers.get(number, order_id) == order_id


def test_stock_that_is_not_there_any_more_is_not_promised(
    backups: Backups, restored: Callable[[str], Databases]
) -> None:
    databases = restored("inventory")
    databases.world.set_stock(backups.traffic.rare, -1)
    order_id = str(backups.traffic.ids["takes_the_last"])

    left = [each for each in repair(databases) if isinstance(each, Left) and each.deviation.id == order_id]

    assert [each.deviation.kind for each in left] == ["reservation", "ledger"]
    assert "1 wanted, 0 in stock" in left[0].advice.why
    databases.world.set_stock(backups.traffic.rare, 1)
    assert order_id in [each.deviation.id for each in repair(databases) if isinstance(each, Mended)]


def test_control_reconcile_is_blind_to_what_only_one_database_ever_knew(
    backups: Backups, restored: Callable[[str], Databases]
) -> None:
    """It compares. The fifty units that were counted in after inventory's backup are gone, and nobody can tell."""
    counted = "SELECT count(*) FROM stock_movements WHERE movement_type = 'adjust' AND quantity = 50"
    assert backups.shop.ask("inventory", counted) == [(1,)]
    databases = restored("inventory")
    assert str(backups.traffic.lamp) not in {each.id for each in found_in(databases)}
    repair(databases)
    assert databases.ask("inventory", counted) == [(0,)]


def test_a_message_of_the_broker_that_is_ahead_of_a_restored_database_ships_what_holds_no_stock(
    backups: Backups, restored: Callable[[str], Databases]
) -> None:
    """Why the queues are purged when a database is restored; and that a repair finds and mends it all the same."""
    databases = restored("inventory")
    repair(databases)
    databases.world.mail = list(backups.mail)
    databases.world.settle()
    order_id = str(backups.traffic.ids["new_reserved"])

    assert {each.kind for each in found_in(databases) if each.id == order_id} == {"reservation", "ledger"}
    assert order_id in [each.deviation.id for each in repair(databases) if isinstance(each, Mended)]
    assert order_id not in [each.id for each in found_in(databases)]
