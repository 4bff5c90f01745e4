"""Each service's history builds exactly what its code expects, and knows the way back."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, text
from sqlalchemy.orm import Session, sessionmaker
from uuid_utils.compat import uuid7

from chassis.causes import without_values
from chassis.database import chassis_metadata, open_database, transaction
from chassis.migrations import SchemaNewer, history, migrate
from chassis.settings import Settings, settings
from conveyor.embedded.postgres import Postgres
from sales import placing, queries
from sales.attention import SENTENCES, Cause
from sales.models import customers
from tests import release_before
from tests.conftest import SERVICES
from tests.integration.chassis.catalogs import catalog
from tests.integration.conftest import Scratch
from tests.integration.pipeline.processes import run_command
from tests.integration.saga.paper_broker import World

#: Alembic's own notes.
_NOT_OURS = "alembic_version"


def schema_of(sessions: sessionmaker[Session]) -> dict[str, str]:
    with transaction(sessions) as session:
        return catalog(session)


@pytest.mark.parametrize("service", SERVICES)
def test_alembic_finds_no_difference_either(databases: Settings, service: str) -> None:
    command.check(history(service))


@pytest.mark.parametrize("service", SERVICES)
def test_a_history_goes_down_to_nothing_and_up_again(scratch_database: Scratch, service: str) -> None:
    sessions = scratch_database(service)
    before = schema_of(sessions)

    migrate(service, "base")
    nothing = schema_of(sessions)
    migrate(service)

    assert (nothing, schema_of(sessions)) == ({}, before)


def migrate_back(service: str) -> None:
    """To the last revision that the release before knows."""
    migrate(service, release_before.migrations(service)[-1].partition("_")[0])


@pytest.mark.parametrize("service", SERVICES)
def test_the_release_before_finds_the_tables_that_it_made_itself(
    scratch_database: Scratch, postgres: Postgres, tree_before: Path, service: str
) -> None:
    """Its own migrations, run by its own code, and ours taken back: what they share, such as the outbox, is frozen."""
    sessions = scratch_database(service)
    name = f"before_{service}"
    url = postgres.create_database(name, service)
    run_command(["migrate", service], {f"CONVEYOR_{service.upper()}_DATABASE_URL": url}, tree_before)
    made_before = open_database(service, replace(settings(), **{f"{service}_database_url": url}))

    migrate_back(service)

    assert schema_of(sessions) == schema_of(made_before)
    made_before.kw["bind"].dispose()
    postgres.drop_database(name)


def test_what_the_tables_hold_survives_the_way_back_and_forth(
    shop_of_its_own: dict[str, sessionmaker[Session]],
) -> None:
    before = {service: rows(sessions) for service, sessions in shop_of_its_own.items()}
    assert all(before[service][table] for service, table in HOLDING)

    for service in SERVICES:
        migrate_back(service)
    kept = {service: rows(sessions) for service, sessions in shop_of_its_own.items()}
    for service in SERVICES:
        migrate(service)

    for service in SERVICES:
        after = rows(shop_of_its_own[service])
        for table, held in kept[service].items():
            assert held == known(before[service][table], held), (service, table)
            assert held == known(after[table], held), (service, table)
        assert after.keys() == before[service].keys()


#: Tables that hold something in the shop of that test.
HOLDING = [
    ("sales", "orders"),
    ("sales", "order_items"),
    ("sales", "order_events"),
    ("sales", "order_sagas"),
    ("sales", "outbox"),
    ("inventory", "products"),
    ("inventory", "stock_movements"),
    ("inventory", "reservations"),
    ("delivery", "deliveries"),
    ("delivery", "delivery_logs"),
]


Held = list[dict[str, Any]]


def known(held: Held, way_back: Held) -> Held:
    """These rows without the columns that the release before does not have: what is in them is lost on the way back."""
    columns = way_back[0].keys() if way_back else ()
    return sorted(({name: each[name] for name in columns} for each in held), key=str)


def rows(sessions: sessionmaker[Session]) -> dict[str, Held]:
    """What each table holds, by its name."""
    with transaction(sessions) as session:
        names = session.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        found = {name: session.execute(text(f"SELECT * FROM {name}")) for name in names if name != _NOT_OURS}
        return {name: sorted(map(dict, held.mappings()), key=str) for name, held in found.items()}


@pytest.fixture
def shop_of_its_own(scratch_database: Scratch, monkeypatch: pytest.MonkeyPatch) -> dict[str, sessionmaker[Session]]:
    """Three databases with an order that was shipped, one that is on its way through the steps, and their messages."""
    sessions = {service: scratch_database(service) for service in SERVICES}
    monkeypatch.setattr("tasks.step.sessions_of", sessions.__getitem__)
    world = World(sessions)
    product = world.add_product(stock=10)
    world.place((product, 2))
    world.settle()
    world.orders.append(place(world, product))
    return sessions


def place(world: World, product: Any) -> Any:
    """An order whose first message is still in the outbox."""
    draft = {"customer_id": world.customer, "items": [{"product_id": product, "quantity": 1}]}
    with transaction(world.sessions["sales"]) as session:
        return placing.place_order(session, draft, None, "test")[0]["id"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_database_of_a_newer_release_is_not_touched(scratch_database: Scratch, service: str) -> None:
    with transaction(scratch_database(service)) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaNewer, match=f"{service}'s database is at revision 9999"):
        migrate(service)


@pytest.mark.parametrize("service", SERVICES)
def test_every_constraint_and_index_has_a_name_that_says_what_it_is(databases: Settings, service: str) -> None:
    metadata: MetaData = import_module(f"{service}.models").metadata
    for table in [*metadata.sorted_tables, *chassis_metadata.sorted_tables]:
        for each in [*table.constraints, *table.indexes]:
            assert str(each.name).split("_")[0] in ("pk", "fk", "uq", "ck", "ix"), (table.name, each)


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_role_has_time_outs_and_utc_wherever_the_server_stands(databases: Settings, service: str) -> None:
    from chassis.database import open_database

    sessions = open_database(service, databases)
    with transaction(sessions) as session:
        role: list[Any] = session.execute(
            text("SELECT rolconfig FROM pg_roles WHERE rolname = current_user")
        ).scalar_one()
    sessions.kw["bind"].dispose()
    assert dict(each.split("=") for each in role) == {
        "statement_timeout": "15000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "30000",
        "TimeZone": "UTC",
        "random_page_cost": "1.1",
    }


def test_what_was_settled_before_there_was_a_record_of_it_is_on_record_afterwards(scratch_database: Scratch) -> None:
    sessions = scratch_database("sales")
    migrate("sales", "0001")
    with transaction(sessions) as session:
        session.execute(
            text(
                "INSERT INTO quarantine (message_id, queue, body, headers, reason, state, settled_by, settled_at,"
                " settled_reason) VALUES ('waits', 'q', '{}', '{}', 'r', 'waiting', NULL, NULL, NULL),"
                " ('settled', 'q', '{}', '{}', 'r', 'dropped', 'ada', '2026-11-22T10:00Z', 'a test')"
            )
        )
    migrate("sales")
    with transaction(sessions) as session:
        found = session.execute(
            text("SELECT message_id, actor, action, reason, at = '2026-11-22T10:00Z' FROM quarantine_actions")
        )
        assert [tuple(row) for row in found] == [("settled", "ada", "dropped", "a test", True)]


def test_what_was_noted_of_faults_before_is_a_code_and_a_sentence_afterwards(scratch_database: Scratch) -> None:
    """And says the same as code that reads it: no value, no statement, no exception."""
    sessions, order_id = scratch_database("sales"), uuid7()
    with transaction(sessions) as session:
        session.execute(
            text("INSERT INTO customers (id, name, email, address) VALUES (:id, 'A', 'a@example.com', 'x')"),
            {"id": order_id},
        )
        session.execute(
            text("INSERT INTO orders (id, customer_id, status, currency, delivery_address)"
                 " VALUES (:id, :id, 'Pending', 'EUR', 'x')"), {"id": order_id},
        )  # fmt: skip
    migrate("sales", "0004")
    told = "DataError: (psycopg2.errors.InvalidText) bad\n[SQL: SELECT 1]\n[parameters: {'email': 'ada@example.com'}]"
    reasons = [
        told,
        "dead-lettered in q: rejected by its worker: there is no task x",
        "sent again 10 times, and younger",
    ]
    with transaction(sessions) as session:
        for number, reason in enumerate([*reasons, "KeyError: 'lines'"]):
            session.execute(
                text("INSERT INTO order_events (order_id, kind, number, actor, reason)"
                     " VALUES (:id, 'needs_attention', :number, 'conveyor', :reason)"),
                {"id": order_id, "number": number, "reason": reason},
            )  # fmt: skip
            session.execute(
                text(
                    "INSERT INTO quarantine (message_id, queue, body, headers, reason) VALUES (:n, 'q', '{}', '{}', :r)"
                ),
                {"n": str(number), "r": reason},
            )
        session.execute(
            text("INSERT INTO order_sagas (order_id, kind, no, last_error) VALUES (:id, 'place', 0, :told)"),
            {"id": order_id, "told": told},
        )
    migrate("sales")
    with transaction(sessions) as session:
        noted = session.execute(text("SELECT code, reason FROM order_events ORDER BY number")).all()
        kept = session.execute(text("SELECT reason FROM quarantine ORDER BY message_id")).scalars().all()
        [last_error] = session.execute(text("SELECT last_error FROM order_sagas")).scalars()
    assert [row.code for row in noted] == ["step_failed", "dead_lettered", "messages_lost", "step_failed"]
    assert [row.reason for row in noted] == [SENTENCES[Cause(row.code)] for row in noted]
    assert list(kept) == ["DataError: (psycopg2.errors.InvalidText)", *reasons[1:], "KeyError: 'lines'"]
    assert list(kept) == [without_values(each) for each in [*reasons, "KeyError: 'lines'"]]
    assert last_error is None


def test_an_address_is_the_oldest_customers_that_has_it_and_no_row_is_lost(scratch_database: Scratch) -> None:
    sessions = scratch_database("sales")
    migrate("sales", "0005")
    emails = [
        "ada@example.com",
        "Ada@Example.com",
        "bob@example.com",
        "ada@m\u00dcller.example",
        "ada@m\u00fcller.example",
    ]
    ids = [uuid7() for _ in emails]
    with transaction(sessions) as session:
        # The oldest by its time; of the same time, by its id.
        for number, (customer_id, email) in enumerate(zip(ids, emails, strict=True)):
            session.execute(
                text(
                    "INSERT INTO customers (id, name, email, address, created_at) VALUES (:id, 'A', :email, 'x', :at)"
                ),
                {"id": customer_id, "email": email, "at": "2026-11-02" if number == 0 else "2026-11-01"},
            )
    migrate("sales")
    with transaction(sessions) as session:
        owners = dict(session.execute(text("SELECT email, customer_id FROM customer_emails")).all())
        assert session.execute(text("SELECT count(*) FROM customers")).scalar_one() == len(emails)
        listed = queries.doubles(session)
    assert owners == {"ada@example.com": ids[1], "bob@example.com": ids[2], "ada@m\u00fcller.example": ids[3]}
    assert [ids[1], ids[0]] in listed
    assert ids[2] not in {each for group in listed for each in group}


def test_whom_a_release_of_before_addresses_had_owners_has_registered_owns_the_address_too(
    scratch_database: Scratch,
) -> None:
    sessions = scratch_database("sales")
    migrate("sales", "0006")
    emails = ["J\u00d6RG@example.com", "j\u00f6rg@example.com", "\u0416@example.com"]
    ids = [uuid7() for _ in emails]
    with transaction(sessions) as session:
        for customer_id, email in zip(ids, emails, strict=True):
            row = {"id": customer_id, "name": "A", "email": email, "address": "x"}
            session.execute(customers.insert().values(**row))
    migrate("sales")
    with transaction(sessions) as session:
        owners = dict(session.execute(text("SELECT email, customer_id FROM customer_emails")).all())
        found = queries.list_customers(session, {"limit": 10, "email": "\u0436@EXAMPLE.com"})["items"]
        listed = queries.doubles(session)
    assert owners == {"j\u00f6rg@example.com": ids[0], "\u0436@example.com": ids[2]}
    assert [each.id for each in found] == [ids[2]]
    assert listed == [ids[:2]]


@pytest.mark.parametrize("service", SERVICES)
def test_no_statistics_are_taken_of_a_tiny_table_that_others_refer_to(scratch_database: Scratch, service: str) -> None:
    """A foreign key's check keeps its plan: one made over a tiny table would read all of it for ever."""
    with transaction(scratch_database(service)) as session:
        referred = session.execute(
            text(
                "SELECT relname, coalesce(reloptions, '{}') FROM pg_class"
                " WHERE oid IN (SELECT confrelid FROM pg_constraint WHERE contype = 'f')"
            )
        ).all()
    assert referred
    for table, options in referred:
        assert {"autovacuum_analyze_threshold=1000", "autovacuum_vacuum_threshold=1000"} <= set(options), table
